package onnx_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/litekit/lite/onnx"
)

// A directory that lite writes can be opened by others, though the model came
// with vocab.txt alone; a tokenizer that lite cannot read is written as it is.
func TestSaveCompletesTheTokenizer(t *testing.T) {
	m := &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 17}}, Graph: &onnx.Graph{Name: "g"}}
	for _, c := range []struct {
		name  string
		files map[string][]byte
		want  []string
	}{
		{"vocab.txt alone", map[string][]byte{"vocab.txt": []byte("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")},
			[]string{"special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"}},
		{"unknown", map[string][]byte{"tokenizer.json": []byte(`{"model":{"type":"Mystery"}}`)}, []string{"tokenizer.json"}},
		{"none", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			m.Files = c.files
			if err := m.Save(dir); err != nil {
				t.Fatal(err)
			}
			got, err := filepath.Glob(filepath.Join(dir, "*.*"))
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(c.want) {
				t.Fatalf("written: %q; want %q", got, c.want)
			}
			for _, name := range c.want {
				if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
					t.Errorf("%s: %v", name, err)
				}
			}
			if len(m.Files) != len(c.files) {
				t.Error("saving changed the model")
			}
		})
	}
}
