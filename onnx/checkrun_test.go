package onnx_test

import (
	"strings"
	"testing"

	"github.com/litekit/lite/onnx"
)

// What runtimes put up with is a fault for Check and none for CheckRun.
func TestCheckRun(t *testing.T) {
	base := func(nodes ...*onnx.Node) *onnx.Model {
		return &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 17}}, Graph: &onnx.Graph{
			Inputs: []*onnx.ValueInfo{float("x", "batch", 4)}, Outputs: []*onnx.ValueInfo{{Name: "y"}}, Nodes: nodes,
			Initializers: []*onnx.Tensor{onnx.NewFloats("w", make([]float32, 12), 4, 3)},
		}}
	}
	fused := op("FastGelu", "x", "y")
	fused.Domain = "com.microsoft"
	declared := base(op("Transpose", "w", "t"), op("MatMul", "x w", "y"))
	declared.Graph.Outputs[0] = float("y", 2, 2)
	// A wrong declaration between nodes must not make others look wrong.
	between := base(op("NonZero", "x", "n"), op("MatMul", "x w", "y"))
	between.Graph.Values = []*onnx.ValueInfo{float("y", 1, 2, 3)}
	for name, m := range map[string]*onnx.Model{
		"order": base(op("Relu", "r", "y"), op("MatMul", "x w", "r")), "import": base(fused), "output": declared, "value": between,
	} {
		if m.Check() == nil {
			t.Errorf("%s: Check finds no fault", name)
		}
		before := m.Graph.Nodes[0]
		if err := m.CheckRun(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if m.Graph.Nodes[0] != before || len(m.Opsets) != 1 {
			t.Errorf("%s: the model was changed", name)
		}
	}
	for want, m := range map[string]*onnx.Model{
		"MatMul":    base(op("MatMul", "w w", "y")),
		"cycle":     base(op("Add", "x b", "y"), op("Relu", "y", "b")),
		"no graph":  {},
		`"nowhere"`: base(op("Relu", "nowhere", "y")),
	} {
		if err := m.CheckRun(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
}
