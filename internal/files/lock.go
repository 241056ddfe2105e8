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
