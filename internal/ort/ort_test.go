package ort_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/litekit/lite/internal/ort"
	"github.com/litekit/lite/onnx"
)

// TestRunCarriesEveryType sends a value of each element type through ONNX
// Runtime's Identity, twice with different shapes.
func TestRunCarriesEveryType(t *testing.T) {
	ort.Need(t)
	types := map[string]onnx.DataType{
		"f32": onnx.Float, "f64": onnx.Double, "i64": onnx.Int64, "i32": onnx.Int32, "u8": onnx.Uint8, "i8": onnx.Int8, "b": onnx.Bool,
	}
	m := identity(types)
	first := map[string]ort.Tensor{
		"f32": ort.Floats([]float32{1.5, -2}, 2), "f64": {Shape: []int{1}, F64: []float64{1e-300}},
		"i64": ort.Int64s([]int64{-1 << 62, 3}, 1, 2), "i32": {Shape: []int{1}, I32: []int32{-7}},
		"u8": {Shape: []int{3}, U8: []uint8{0, 128, 255}}, "i8": {Shape: []int{2}, I8: []int8{-128, 127}},
		"b": {Shape: []int{2}, Bool: []bool{true, false}},
	}
	second := map[string]ort.Tensor{}
	for name, x := range first {
		x.Shape = append([]int{1}, x.Shape...)
		second[name] = x
	}
	got := ort.RunModel(t, m, []map[string]ort.Tensor{first, second})
	if len(got) != 2 {
		t.Fatalf("%d answers to 2 batches", len(got))
	}
	for i, want := range []map[string]ort.Tensor{first, second} {
		for name, w := range want {
			if g := got[i]["out_"+name]; !same(g, w) {
				t.Errorf("batch %d: %s came back as %+v, sent %+v", i, name, g, w)
			}
		}
	}
}

// TestRunOnAFile runs a file by its path.
func TestRunOnAFile(t *testing.T) {
	ort.Need(t)
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := identity(map[string]onnx.DataType{"x": onnx.Float}).Save(path); err != nil {
		t.Fatal(err)
	}
	x := ort.Floats([]float32{3}, 1)
	if got := ort.Run(t, path, []map[string]ort.Tensor{{"x": x}}); !same(got[0]["out_x"], x) {
		t.Errorf("got %+v", got)
	}
}

// identity is a model whose output out_<name> is its input <name>.
func identity(types map[string]onnx.DataType) *onnx.Model {
	g := &onnx.Graph{Name: "identity"}
	for name, kind := range types {
		g.Inputs = append(g.Inputs, &onnx.ValueInfo{Name: name, Type: kind})
		g.Outputs = append(g.Outputs, &onnx.ValueInfo{Name: "out_" + name, Type: kind})
		g.Nodes = append(g.Nodes, &onnx.Node{Name: "copy " + name, Op: "Identity", Inputs: []string{name}, Outputs: []string{"out_" + name}})
	}
	return &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 17}}, Graph: g}
}

func same(a, b ort.Tensor) bool {
	return slices.Equal(a.Shape, b.Shape) && slices.Equal(a.F32, b.F32) && slices.Equal(a.F64, b.F64) &&
		slices.Equal(a.I64, b.I64) && slices.Equal(a.I32, b.I32) && slices.Equal(a.U8, b.U8) &&
		slices.Equal(a.I8, b.I8) && slices.Equal(a.Bool, b.Bool)
}
