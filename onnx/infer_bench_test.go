package onnx_test

import (
	"fmt"
	"testing"

	"github.com/litekit/lite/onnx"
)

// BenchmarkCheck checks a graph of the nodes of a 12-layer encoder whose weights
// are not looked at: 130 nodes a layer, as exporters write them.
func BenchmarkCheck(b *testing.B) {
	g := &onnx.Graph{Inputs: []*onnx.ValueInfo{float("v0", "batch", "sequence", 768)}, Outputs: []*onnx.ValueInfo{{Name: "v1560"}}}
	g.Initializers = []*onnx.Tensor{onnx.NewFloats("w", make([]float32, 768*768), 768, 768), onnx.NewFloats("b", make([]float32, 768), 768), ints("s", 0, 0, 768)}
	for i := range 1560 {
		in, out := fmt.Sprint("v", i), fmt.Sprint("v", i+1)
		switch i % 3 {
		case 0:
			g.Nodes = append(g.Nodes, op("MatMul", in+" w", out))
		case 1:
			g.Nodes = append(g.Nodes, op("Add", in+" b", out))
		default:
			g.Nodes = append(g.Nodes, op("Reshape", in+" s", out))
		}
	}
	m := &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 17}}, Graph: g}
	b.ResetTimer()
	for range b.N {
		if err := m.Check(); err != nil {
			b.Fatal(err)
		}
	}
}
