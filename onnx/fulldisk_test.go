package onnx_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/litekit/lite/onnx"
)

// A model that cannot be written leaves the old one with its own files, and
// no folders that were not there.
func TestSaveThatFailsChangesNothing(t *testing.T) {
	old := &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 17}}, Graph: &onnx.Graph{Name: "old"}, Files: map[string][]byte{"vocab.txt": []byte("old")}}
	dir := t.TempDir()
	if err := old.SaveAs(dir, "model.onnx"); err != nil {
		t.Fatal(err)
	}
	next := old.Clone()
	next.Files = map[string][]byte{"vocab.txt": []byte("new")}
	// A folder where the model file is to be: the rename of it fails.
	if err := os.MkdirAll(filepath.Join(dir, "onnx", "other.onnx", "in-the-way"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := next.SaveAs(dir, "other.onnx"); err == nil {
		t.Fatal("the model was written over a folder")
	}
	if b, err := os.ReadFile(filepath.Join(dir, "vocab.txt")); err != nil || string(b) != "old" {
		t.Errorf("vocab.txt is %q, error %v; the old model's is expected", b, err)
	}
	for _, pattern := range []string{".*.tmp", "onnx/.*.tmp"} {
		if left, _ := filepath.Glob(filepath.Join(dir, pattern)); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}

	deep := filepath.Join(dir, "file", "a", "b")
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := next.SaveAs(deep, "model.onnx"); err == nil {
		t.Fatal("the model was written below a file")
	}
	if info, err := os.Stat(filepath.Join(dir, "file")); err != nil || info.IsDir() {
		t.Errorf("the file in the way: %v", err)
	}
}
