//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package files

import "os"

// Lock takes the file for this process alone, or fails with ErrLocked.
func Lock(f *os.File) (unlock func(), err error) { return lockBeside(f) }
