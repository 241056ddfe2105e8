//go:build windows

package onnx

// syncDir does nothing: Windows has no way to sync a directory.
func syncDir(string) error { return nil }
