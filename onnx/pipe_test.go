//go:build unix

package onnx_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/litekit/lite/onnx"
)

// A named pipe in place of a file is an error: opening it would wait for ever.
func TestNamedPipes(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"pipe", "pipe.onnx", "config.json"} {
		if err := unix.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Skip(err)
		}
	}
	model := filepath.Join(dir, "model.onnx")
	if err := os.WriteFile(model, external("pipe", "", "", 2), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{model, filepath.Join(dir, "pipe.onnx")} {
		if _, err := onnx.Open(file); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
	}
	if err := os.WriteFile(model, handMade(t), 0o666); err != nil {
		t.Fatal(err)
	}
	if m, err := onnx.Open(dir); err != nil || m.Config != nil {
		t.Errorf("a pipe named config.json: %v", err)
	}
}
