//go:build !unix

package onnx

import "os"

// mapFile returns the bytes of a file, not to be written to. Here it is read:
// a mapped file could not be replaced while it is open.
func mapFile(f *os.File) ([]byte, error) { return readWhole(f) }

// mapSparse is mapFile here.
func mapSparse(f *os.File) (b []byte, done func(), err error) {
	b, err = mapFile(f)
	return b, func() {}, err
}

// forget does nothing here: no bytes are mapped.
func forget([]byte) {}
