//go:build unix

package onnx

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mapFrom is the size from which a file is mapped. Smaller ones are read: a
// mapping is never undone and costs at least a page.
const mapFrom = 1 << 20

// mapFile returns the bytes of a file, not to be written to.
func mapFile(path string) ([]byte, error) {
	if err := regular(path); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := info.Size()
	if size < mapFrom {
		return os.ReadFile(path)
	}
	if int64(int(size)) != size {
		return nil, fmt.Errorf("%s: %d bytes are more than this machine can address", path, size)
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil { // a file system that cannot map
		return os.ReadFile(path)
	}
	return b, nil
}
