//go:build windows

package files

// SyncDir does nothing: Windows has no way to sync a directory.
func SyncDir(string) error { return nil }
