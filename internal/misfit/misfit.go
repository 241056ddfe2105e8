// Package misfit tells settings that cannot be carried out from what fails while it
// is carried out: the command ends with exit code 2 for the one and 1 for the other.
package misfit

import "fmt"

// Error is a setting that cannot be carried out: a value outside its range, or one
// that does not fit the models or the data, such as a layer that the teacher
// does not have. It is found before anything costly is done.
type Error struct{ Err error }

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives what does not fit.
func (e *Error) Unwrap() error { return e.Err }

// Errorf is fmt.Errorf for such an error.
func Errorf(format string, args ...any) error { return &Error{fmt.Errorf(format, args...)} }

// Of makes an error one of this kind; nil stays nil.
func Of(err error) error {
	if err == nil {
		return nil
	}
	return &Error{err}
}
