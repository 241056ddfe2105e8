package autodiff_test

import (
	"strings"
	"testing"

	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/onnx"
)

// All nodes without a gradient are listed, not the first alone, but for those
// that no weight reaches.
func TestUntrainable(t *testing.T) {
	list := func(name string) *onnx.ValueInfo {
		return &onnx.ValueInfo{Name: name, Type: onnx.Float, HasShape: true, Dims: []onnx.Dim{{Param: "n"}, {Size: 2, Known: true}}}
	}
	m := &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 17}}, Graph: &onnx.Graph{
		Name: "g", Inputs: []*onnx.ValueInfo{list("x")}, Outputs: []*onnx.ValueInfo{list("y")},
		Initializers: []*onnx.Tensor{onnx.NewFloats("w", []float32{1, 2, 3, 4}, 2, 2)},
		Nodes: []*onnx.Node{
			onnx.NewNode("Floor", "before", []string{"x"}, []string{"a"}), onnx.NewNode("MatMul", "product", []string{"a", "w"}, []string{"b"}),
			onnx.NewNode("Ceil", "first", []string{"b"}, []string{"c"}), onnx.NewNode("Round", "second", []string{"c"}, []string{"y"}),
		},
	}}
	got := autodiff.Untrainable(m)
	if len(got) != 2 || !strings.Contains(got[0], "first") || !strings.Contains(got[1], "second") {
		t.Errorf("got %q", got)
	}
	m.Graph.Nodes = append(m.Graph.Nodes[:2], onnx.NewNode("Relu", "", []string{"b"}, []string{"y"}))
	if got := autodiff.Untrainable(m); got != nil {
		t.Errorf("trainable, but %q", got)
	}
}
