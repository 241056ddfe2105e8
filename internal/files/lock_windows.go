package files

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// Lock takes the file for this process alone, or fails with ErrLocked. The
// system gives the lock back when the file is closed or the process ends. The
// locked byte lies far behind the data, so that reading is not hindered.
func Lock(f *os.File) (unlock func(), err error) {
	at := &windows.Overlapped{OffsetHigh: 1 << 30}
	err = windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return nil, ErrLocked
	}
	return func() {}, err
}
