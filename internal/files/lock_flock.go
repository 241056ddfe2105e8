//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package files

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Lock takes the file for this process alone, or fails with ErrLocked. The
// system gives the lock back when the file is closed or the process ends,
// however it ends.
func Lock(f *os.File) (unlock func(), err error) {
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil, ErrLocked
	case errors.Is(err, unix.ENOLCK), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOSYS):
		return lockBeside(f) // some network file systems have no locks
	case err != nil:
		return nil, err
	}
	return func() {}, nil
}
