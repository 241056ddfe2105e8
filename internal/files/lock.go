package files

import (
	"errors"
	"fmt"
	"os"
)

// ErrLocked is what [Lock] returns while another holder has the file.
var ErrLocked = errors.New("in use by another run")

// lockBeside locks by a file <name>.lock that must not exist, for systems
// without file locks. A killed process leaves it behind; the message says so.
func lockBeside(f *os.File) (unlock func(), err error) {
	name := f.Name() + ".lock"
	l, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("%w (if none is running, delete %s, which a killed one left)", ErrLocked, name)
	}
	if err != nil {
		return nil, err
	}
	if err := l.Close(); err != nil {
		return nil, err
	}
	return func() { _ = os.Remove(name) }, nil
}

// Hold makes the file at path and locks it for this process alone, or fails with
// ErrLocked. release removes the file and gives the lock back; a process that is
// killed leaves the file, which the next one takes over.
func Hold(path string) (release func(), err error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
		if err != nil {
			return nil, err
		}
		unlock, err := Lock(f)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		// A run that ended meanwhile has removed the file that was opened.
		mine, err := f.Stat()
		there, gone := os.Stat(path)
		if err == nil && gone == nil && os.SameFile(mine, there) {
			return func() {
				_ = os.Remove(path) // where open files cannot be removed it stays, unlocked
				_ = f.Close()
				unlock()
			}, nil
		}
		unlock()
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
}
