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

// Of a file that is cut short there is what stands before the cut, and the fault
// says where that is; Open refuses it wherever it is cut.
func TestOpenDamagedFile(t *testing.T) {
	m := &onnx.Model{IRVersion: 8, Producer: "maker", Opsets: []onnx.Opset{{Version: 17}}, Graph: &onnx.Graph{
		Name:         "g",
		Inputs:       []*onnx.ValueInfo{{Name: "x", Type: onnx.Float}},
		Outputs:      []*onnx.ValueInfo{{Name: "y", Type: onnx.Float}},
		Initializers: []*onnx.Tensor{onnx.NewFloats("w", make([]float32, 64), 64), onnx.NewFloats("v", make([]float32, 2048), 2048)},
		Nodes:        []*onnx.Node{onnx.NewNode("Add", "", []string{"x", "w"}, []string{"h"}), onnx.NewNode("Mul", "", []string{"h", "v"}, []string{"y"})},
	}}
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model.onnx")
	most := 0
	for cut := 1; cut < len(data); cut += 7 {
		if err := os.WriteFile(path, data[:cut], 0o666); err != nil {
			t.Fatal(err)
		}
		whole, err := onnx.Open(path)
		got, faults, damaged := onnx.OpenDamaged(path)
		if err == nil { // between two fields of the model, after its graph
			if damaged != nil || faults != nil || len(whole.Graph.Nodes) != 2 {
				t.Errorf("%d bytes: %v, %v", cut, faults, damaged)
			}
			continue
		}
		if damaged != nil {
			continue // before the first node, or there is no graph
		}
		if len(faults) != 1 || !strings.Contains(faults[0].Error(), "byte ") || !strings.Contains(faults[0].Error(), "what could be read") || got.Producer != "maker" {
			t.Fatalf("%d bytes: %v, made by %q", cut, faults, got.Producer)
		}
		seen := len(got.Graph.Nodes) + len(got.Graph.Initializers)
		if seen < most {
			t.Errorf("%d bytes show %d nodes and weights, fewer showed %d", cut, seen, most)
		}
		most = max(most, seen)
	}
	if most != 4 {
		t.Errorf("at the most %d nodes and weights are shown; before the end all four are there", most)
	}
}
