//go:build !unix

package onnx

import "os"

// mapFile returns the bytes of a file, not to be written to. Here it is read:
// a mapped file could not be replaced while it is open.
func mapFile(path string) ([]byte, error) {
	if err := regular(path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// mapSparse is mapFile here.
func mapSparse(path string) (b []byte, done func(), err error) {
	b, err = mapFile(path)
	return b, func() {}, err
}

// forget does nothing here: no bytes are mapped.
func forget([]byte) {}
