package onnx_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/litekit/lite/onnx"
)

// What is missing beside a model's graph is named, and the graph is there.
func TestOpenDamaged(t *testing.T) {
	m := &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 17}}, Config: &onnx.Config{HiddenSize: 3}, Graph: &onnx.Graph{
		Name:         "g",
		Inputs:       []*onnx.ValueInfo{{Name: "x", Type: onnx.Float}},
		Outputs:      []*onnx.ValueInfo{{Name: "y", Type: onnx.Float}},
		Initializers: []*onnx.Tensor{onnx.NewFloats("w", make([]float32, 4096), 4096), onnx.NewFloats("v", make([]float32, 2048), 2048)},
		Nodes:        []*onnx.Node{onnx.NewNode("Sum", "", []string{"x", "w", "v"}, []string{"y"})},
	}}
	dir := t.TempDir()
	if _, err := m.SaveWith(dir, onnx.SaveOptions{ExternalData: true}); err != nil {
		t.Fatal(err)
	}
	whole, faults, err := onnx.OpenDamaged(dir)
	if err != nil || faults != nil || len(whole.DataFiles) != 1 {
		t.Fatalf("whole: %v, %v, data files %q", faults, err, whole.DataFiles)
	}
	if err := os.Remove(filepath.Join(dir, "onnx", whole.DataFiles[0])); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	got, faults, err := onnx.OpenDamaged(dir)
	if err != nil || len(faults) != 2 || !strings.Contains(faults[0].Error(), "shown as zeros") || !strings.Contains(faults[1].Error(), "config.json") {
		t.Fatalf("damaged: %v, %v", faults, err)
	}
	if len(got.Graph.Initializers) != 2 || got.Graph.Initializers[0].Len() != 4096 || got.Config != nil {
		t.Errorf("weights %v, config %v", got.Graph.Initializers, got.Config)
	}
	if err := os.WriteFile(filepath.Join(dir, "onnx", "model.onnx"), []byte("no model"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, _, err := onnx.OpenDamaged(dir); err == nil {
		t.Error("bytes that are no model are opened")
	}
}
