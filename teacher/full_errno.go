//go:build !windows && !plan9

package teacher

import (
	"errors"
	"syscall"
)

// full reports whether an error says that the disk, or the share of it, is used up.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
