package onnx

import (
	"fmt"
	"runtime/debug"
	"sync"
	"unsafe"
)

// CutShortError tells that a file was cut short while weights of an open model
// were still read from it.
type CutShortError struct {
	Path string
}

func (e *CutShortError) Error() string {
	return fmt.Sprintf("onnx: %s was cut short while the model was in use; its weights are lost: open the model again, and replace files by renaming rather than writing into them", e.Path)
}

// Guard calls f, and turns the fault of reading a mapped weight whose file was
// cut short, which would end the process, into a [*CutShortError]. It covers the
// goroutine it is called in and kernels that work for it. Executing a model is
// guarded, and so are the steps of lite.Run and the command; a program that reads
// Tensor.Raw or [Tensor.Floats] of files that others may cut short can use it too.
// Other panics pass through.
func Guard(f func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			if err = Fault(r); err == nil {
				panic(r)
			}
		}
	}()
	return f()
}

// Fault returns the [*CutShortError] that a recovered panic stands for, nil where
// it is another one. Panics of that kind come only where
// [debug.SetPanicOnFault] is on.
func Fault(recovered any) error {
	at, ok := recovered.(interface{ Addr() uintptr })
	if !ok {
		return nil
	}
	if path, ok := mappings.find(at.Addr()); ok {
		return &CutShortError{Path: path}
	}
	return nil
}

// mappings lists the mapped files. They are never unmapped.
var mappings mappingList

type mappingList struct {
	mu   sync.Mutex
	list []mapping
}

type mapping struct {
	start, end uintptr
	path       string
}

func (l *mappingList) add(b []byte, path string) {
	start := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, mapping{start, start + uintptr(len(b)), path})
}

func (l *mappingList) find(addr uintptr) (path string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.list {
		if m.start <= addr && addr < m.end {
			return m.path, true
		}
	}
	return "", false
}
