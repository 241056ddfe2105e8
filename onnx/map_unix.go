//go:build unix

package onnx

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapFrom is the size from which a file is mapped. Smaller ones are read: a
// mapping is never undone and costs at least a page.
const mapFrom = 1 << 20

// mapFile returns the bytes of a file, not to be written to.
func mapFile(f *os.File) ([]byte, error) {
	b, _, err := mapWhole(f)
	return b, err
}

// mapSparse is mapFile for bytes of which few are read at first, here and there,
// until done is called. The system then fetches those pages alone from the disk
// and not what follows them: of a model, a tenth of the time.
func mapSparse(f *os.File) (b []byte, done func(), err error) {
	b, mapped, err := mapWhole(f)
	if !mapped || unix.Madvise(b, unix.MADV_RANDOM) != nil {
		return b, func() {}, err
	}
	return b, func() { _ = unix.Madvise(b, unix.MADV_NORMAL) }, nil
}

func mapWhole(f *os.File) (b []byte, mapped bool, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	size := info.Size()
	if size < mapFrom {
		b, err = readWhole(f)
		return b, false, err
	}
	if int64(int(size)) != size {
		return nil, false, fmt.Errorf("%s: %d bytes are more than this machine can address", f.Name(), size)
	}
	b, err = unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil { // a file system that cannot map
		b, err = readWhole(f)
		return b, false, err
	}
	mappings.add(b, f.Name())
	return b, true, nil
}

// forget gives up the pages that lie within b, which is mapped from a file.
func forget(b []byte) {
	page := uintptr(os.Getpagesize())
	start := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	skip, end := -start&(page-1), (start+uintptr(len(b)))&^(page-1)
	if start+skip < end {
		_ = unix.Madvise(b[skip:end-start], unix.MADV_DONTNEED) // advice: nothing is lost where it is not taken
	}
}
