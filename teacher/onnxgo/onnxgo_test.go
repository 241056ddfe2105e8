package onnxgo_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	onnxgo "github.com/owulveryck/onnx-go"
	"gorgonia.org/tensor"

	_ "github.com/litekit/lite" // the rest of lite and onnx-go start in one program
	"github.com/litekit/lite/onnx"
	lite "github.com/litekit/lite/teacher/onnxgo"
)

func info(name string, t onnx.DataType, dims ...int64) *onnx.ValueInfo {
	v := &onnx.ValueInfo{Name: name, Type: t, HasShape: true}
	for _, d := range dims {
		v.Dims = append(v.Dims, onnx.Dim{Size: d, Known: true})
	}
	return v
}

// load decodes a graph with one float input x and outputs by name.
func load(t *testing.T, g *onnx.Graph, outputs ...string) (*lite.Backend, *onnxgo.Model) {
	t.Helper()
	if g.Inputs == nil {
		g.Inputs = []*onnx.ValueInfo{info("x", onnx.Float, 2, 3)}
	}
	for _, o := range outputs {
		g.Outputs = append(g.Outputs, info(o, onnx.Float, 2, 3))
	}
	data, err := (&onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 13}}, Graph: g}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	b := lite.New()
	m := onnxgo.NewModel(b)
	if err := m.UnmarshalBinary(data); err != nil {
		t.Fatal(err)
	}
	return b, m
}

func floats(v []float32, shape ...int) tensor.Tensor {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(v))
}

// run sets input 0 and returns the data of output i.
func run(t *testing.T, b *lite.Backend, m *onnxgo.Model, x tensor.Tensor, i int) []float32 {
	t.Helper()
	if err := m.SetInput(0, x); err != nil {
		t.Fatal(err)
	}
	if err := b.Run(); err != nil {
		t.Fatal(err)
	}
	out, err := m.GetOutputTensors()
	if err != nil {
		t.Fatal(err)
	}
	if out[i] == nil {
		t.Fatal(b.Err())
	}
	return out[i].Data().([]float32)
}

func node(op string, in, out []string, attrs ...*onnx.Attribute) *onnx.Node {
	return onnx.NewNode(op, "", in, out, attrs...)
}

// TestRuns: a value read twice by one node, a weight, outputs that other nodes
// read, values inside the graph, other shapes, views and repeated runs.
func TestRuns(t *testing.T) {
	b, m := load(t, &onnx.Graph{
		Nodes: []*onnx.Node{
			node("Mul", []string{"x", "x"}, []string{"square"}),
			node("Sub", []string{"square", "w"}, []string{"less"}),
			node("Neg", []string{"less"}, []string{"minus"}),
		},
		Initializers: []*onnx.Tensor{onnx.NewFloats("w", []float32{1, 2, 3}, 3)},
	}, "minus", "less")
	x := floats([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	if got, want := run(t, b, m, x, 0), []float32{0, -2, -6, -15, -23, -33}; !slices.Equal(got, want) {
		t.Errorf("minus is %v, want %v", got, want)
	}
	for range 2 {
		if got, want := run(t, b, m, x, 1), []float32{0, 2, 6, 15, 23, 33}; !slices.Equal(got, want) {
			t.Errorf("less is %v, want %v", got, want)
		}
	}
	n, _ := m.GetNodeByName("square")
	if got, want := n.(onnxgo.DataCarrier).GetTensor().Data().([]float32), []float32{1, 4, 9, 16, 25, 36}; !slices.Equal(got, want) {
		t.Errorf("square is %v, want %v", got, want)
	}
	if got, want := run(t, b, m, floats([]float32{2, 2, 2}, 1, 3), 1), []float32{3, 2, 1}; !slices.Equal(got, want) {
		t.Errorf("with one row: %v, want %v", got, want)
	}
	turned := tensor.New(tensor.WithShape(3, 2), tensor.WithBacking([]float32{1, 4, 2, 5, 3, 6}))
	if err := turned.T(); err != nil {
		t.Fatal(err)
	}
	if got, want := run(t, b, m, turned, 1), []float32{0, 2, 6, 15, 23, 33}; !slices.Equal(got, want) {
		t.Errorf("of a transposed view: %v, want %v", got, want)
	}
	w, _ := m.GetNodeByName("w")
	if err := w.(onnxgo.DataCarrier).SetTensor(floats([]float32{0, 0, 0}, 3)); err != nil {
		t.Fatal(err)
	}
	if got, want := run(t, b, m, x, 1), []float32{1, 4, 9, 16, 25, 36}; !slices.Equal(got, want) {
		t.Errorf("with another weight: %v, want %v", got, want)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := b.RunContext(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a run that is cancelled: %v", err)
	}
}

// TestOpset: Softmax with axis 0 takes all of [2, 3] together before version 13,
// and columns since. The version follows from Squeeze, or is given.
func TestOpset(t *testing.T) {
	soft := node("Softmax", []string{"x"}, []string{"y"}, onnx.IntAttr("axis", 0))
	later := node("Unsqueeze", []string{"y", "axes"}, []string{"z"})
	for _, tc := range []struct {
		name  string
		given int64
		nodes []*onnx.Node
		want  float32
	}{
		{"no evidence", 0, []*onnx.Node{soft}, 1. / 6},
		{"axes are an input", 0, []*onnx.Node{soft, later}, .5},
		{"given", 13, []*onnx.Node{soft}, .5},
	} {
		b, m := load(t, &onnx.Graph{
			Nodes:        tc.nodes,
			Initializers: []*onnx.Tensor{onnx.NewInt64s("axes", []int64{0}, 1)},
		}, tc.nodes[len(tc.nodes)-1].Outputs[0])
		b.SetOpset(tc.given)
		if got := run(t, b, m, floats(make([]float32, 6), 2, 3), 0)[0]; got < tc.want-1e-6 || got > tc.want+1e-6 {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

// TestErrors: what a caller can do wrong, or lite cannot do, is an error.
func TestErrors(t *testing.T) {
	neg := func() *onnx.Graph { return &onnx.Graph{Nodes: []*onnx.Node{node("Neg", []string{"x"}, []string{"y"})}} }
	if err := lite.New().Run(); err == nil || !strings.Contains(err.Error(), "UnmarshalBinary") {
		t.Errorf("an empty backend: %v", err)
	}
	b, m := load(t, neg(), "y")
	if err := b.Run(); err == nil || !strings.Contains(err.Error(), `"x"`) {
		t.Errorf("an input without a value: %v", err)
	}
	for _, tc := range []struct {
		give tensor.Tensor
		want string
	}{
		{tensor.New(tensor.WithShape(1), tensor.WithBacking([]float64{0.1})), "float32"},
		{tensor.New(tensor.WithShape(1), tensor.WithBacking([]string{"a"})), "string"},
		{tensor.New(tensor.WithShape(1), tensor.WithBacking([]float64{2})), ""},
		{nil, "tensor"},
	} {
		if err := m.SetInput(0, tc.give); err != nil {
			t.Fatal(err)
		}
		err := b.Run()
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("input %v: %v, want %q", tc.give, err, tc.want)
		}
	}
	g := neg()
	g.Nodes[0].Op = "Nonesuch"
	b, m = load(t, g, "y")
	if err := m.SetInput(0, floats([]float32{1}, 1)); err != nil {
		t.Fatal(err)
	}
	if e := (*onnxgo.ErrNotImplemented)(nil); !errors.As(b.Run(), &e) || !strings.Contains(e.Error(), "Nonesuch") {
		t.Errorf("an unknown operator: %v", e)
	}
}
