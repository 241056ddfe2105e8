package teacher

import (
	"errors"

	"golang.org/x/sys/windows"
)

// full reports whether an error says that the disk, or the share of it, is used up.
func full(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) || errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}
