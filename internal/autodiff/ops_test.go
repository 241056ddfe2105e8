package autodiff_test

import (
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/onnx"
)

// graph writes small models: x = Gather(table, input_ids) is [B,S,6].
type graph struct {
	m *onnx.Model
	n int
}

func newGraph(opset int64) *graph {
	dims := []onnx.Dim{{Param: "b"}, {Param: "s"}}
	g := &graph{m: &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: opset}}, Graph: &onnx.Graph{Name: "g"}}}
	for _, in := range []string{"input_ids", "attention_mask"} {
		g.m.Graph.Inputs = append(g.m.Graph.Inputs, &onnx.ValueInfo{Name: in, Type: onnx.Int64, HasShape: true, Dims: dims})
	}
	g.floats("table", 11, 6)
	g.add("Gather", []string{"table", "input_ids"}, "x")
	return g
}

// add appends a node, named after its output, and returns the output.
func (g *graph) add(op string, in []string, out string, attrs ...*onnx.Attribute) string {
	g.m.Graph.Nodes = append(g.m.Graph.Nodes, onnx.NewNode(op, "node_"+out, in, []string{out}, attrs...))
	return out
}

// floats adds a random initializer.
func (g *graph) floats(name string, dims ...int64) string {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	g.n++
	g.m.Graph.Initializers = append(g.m.Graph.Initializers, onnx.NewFloats(name, normals(int(n), uint64(g.n)), dims...))
	return name
}

func (g *graph) number(name string, v float32) string {
	g.m.Graph.Initializers = append(g.m.Graph.Initializers, onnx.NewFloats(name, []float32{v}))
	return name
}

func (g *graph) ints(name string, v ...int64) string {
	g.m.Graph.Initializers = append(g.m.Graph.Initializers, onnx.NewInt64s(name, v, int64(len(v))))
	return name
}

func (g *graph) output(name string) *onnx.Model {
	g.m.Graph.Outputs = append(g.m.Graph.Outputs, &onnx.ValueInfo{Name: name, Type: onnx.Float})
	return g.m
}

// gelu writes the erf form.
func (g *graph) gelu(x, out string) string {
	g.add("Div", []string{x, g.number("sqrt2", 1.4142135)}, "g1")
	g.add("Erf", []string{"g1"}, "g2")
	g.add("Add", []string{"g2", g.number("one", 1)}, "g3")
	g.add("Mul", []string{x, "g3"}, "g4")
	return g.add("Mul", []string{"g4", g.number("half", 0.5)}, out)
}

func (g *graph) linear(x, out string) string {
	g.add("MatMul", []string{x, g.floats("w", 6, 5)}, "mm")
	return g.add("Add", []string{"mm", g.floats("b", 5)}, out)
}

// operators are graphs from x [3,5,6] to y.
var operators = []struct {
	name  string
	opset int64
	build func(g *graph)
}{
	{"linear", 13, func(g *graph) { g.linear("x", "y") }},
	{"linear relu", 13, func(g *graph) { g.add("Relu", []string{g.linear("x", "l")}, "y") }},
	{"linear tanh", 13, func(g *graph) { g.add("Tanh", []string{g.linear("x", "l")}, "y") }},
	{"linear gelu", 13, func(g *graph) { g.gelu(g.linear("x", "l"), "y") }},
	{"linear of a transposed weight", 13, func(g *graph) {
		g.add("Transpose", []string{g.floats("w", 5, 6)}, "wt", onnx.IntsAttr("perm", 1, 0))
		g.add("MatMul", []string{"x", "wt"}, "y")
	}},
	{"tied decoder", 13, func(g *graph) {
		g.add("Transpose", []string{"table"}, "wt", onnx.IntsAttr("perm", 1, 0))
		g.add("MatMul", []string{"x", "wt"}, "y")
	}},
	{"gelu", 13, func(g *graph) { g.gelu("x", "y") }},
	{"layer norm", 17, func(g *graph) {
		g.add("LayerNormalization", []string{"x", g.floats("gamma", 6), g.floats("beta", 6)}, "y", onnx.FloatAttr("epsilon", 1e-3))
	}},
	{"layer norm of a residual", 17, func(g *graph) {
		g.add("MatMul", []string{"x", g.floats("w", 6, 6)}, "mm")
		g.add("Add", []string{"mm", "x"}, "sum")
		g.add("LayerNormalization", []string{"sum", g.floats("gamma", 6), g.floats("beta", 6)}, "y", onnx.FloatAttr("epsilon", 1e-3))
	}},
	{"softmax", 13, func(g *graph) { g.add("Softmax", []string{"x"}, "y", onnx.IntAttr("axis", -1)) }},
	{"log softmax", 13, func(g *graph) { g.add("LogSoftmax", []string{"x"}, "y", onnx.IntAttr("axis", 2)) }},
	{"add a vector and itself", 13, func(g *graph) {
		g.add("Add", []string{"x", g.floats("v", 6)}, "a")
		g.add("Add", []string{"a", "x"}, "c")
		g.add("Add", []string{"c", "c"}, "y")
	}},
	{"sub", 13, func(g *graph) { g.add("Sub", []string{g.floats("v", 1, 1, 6), "x"}, "y") }},
	{"mul", 13, func(g *graph) {
		g.add("Mul", []string{"x", g.floats("v", 6)}, "a")
		g.add("Mul", []string{"a", "x"}, "y")
	}},
	{"div", 13, func(g *graph) {
		g.add("Exp", []string{"x"}, "e")
		g.add("Div", []string{g.floats("v", 6), "e"}, "y")
	}},
	{"powers and roots", 13, func(g *graph) {
		g.add("Pow", []string{"x", g.number("two", 2)}, "p")
		g.add("Add", []string{"p", g.number("one", 1)}, "p1")
		g.add("Sqrt", []string{"p1"}, "q")
		g.add("Log", []string{"q"}, "l")
		g.add("Reciprocal", []string{"p1"}, "r")
		g.add("Add", []string{"l", "r"}, "y")
	}},
	{"unary functions", 13, func(g *graph) {
		g.add("Sigmoid", []string{"x"}, "a")
		g.add("Neg", []string{"a"}, "n")
		g.add("Softplus", []string{"n"}, "s")
		g.add("Erf", []string{"s"}, "y")
	}},
	{"bounded functions", 22, func(g *graph) {
		g.add("LeakyRelu", []string{"x"}, "a", onnx.FloatAttr("alpha", 0.3))
		g.add("Elu", []string{"a"}, "b", onnx.FloatAttr("alpha", 0.7))
		g.add("Selu", []string{"b"}, "c")
		g.add("HardSigmoid", []string{"c"}, "d", onnx.FloatAttr("alpha", 0.25))
		g.add("HardSwish", []string{"x"}, "e")
		g.add("Softsign", []string{"e"}, "f")
		g.add("Mish", []string{"x"}, "h")
		g.add("Sin", []string{"h"}, "i")
		g.add("Cos", []string{"f"}, "j")
		g.add("Add", []string{"d", "i"}, "k")
		g.add("Add", []string{"k", "j"}, "y")
	}},
	{"swish", 24, func(g *graph) { g.add("Swish", []string{"x"}, "y", onnx.FloatAttr("alpha", 1.5)) }},
	{"clip by attributes", 10, func(g *graph) {
		g.add("Clip", []string{"x"}, "y", onnx.FloatAttr("min", -0.5), onnx.FloatAttr("max", 0.7))
	}},
	{"clip from above", 13, func(g *graph) { g.add("Clip", []string{"x", "", g.number("high", 0.4)}, "y") }},
	{"greatest and least", 13, func(g *graph) {
		g.add("Mul", []string{"x", g.floats("v", 6)}, "h")
		g.add("Max", []string{"x", "h", g.floats("w", 6)}, "a")
		g.add("Min", []string{"a", g.floats("u", 1)}, "y")
	}},
	{"normalised vectors", 13, func(g *graph) {
		g.add("ReduceMean", []string{"x"}, "m", onnx.IntsAttr("axes", 1), onnx.IntAttr("keepdims", 0))
		g.add("ReduceL2", []string{"m"}, "n", onnx.IntsAttr("axes", -1), onnx.IntAttr("keepdims", 1))
		g.add("Clip", []string{"n", g.number("eps", 1e-12)}, "c")
		g.add("Shape", []string{"m"}, "s")
		g.add("Expand", []string{"c", "s"}, "e")
		g.add("Div", []string{"m", "e"}, "y")
	}},
	{"greatest over tokens", 18, func(g *graph) {
		g.add("ReduceMax", []string{"x", g.ints("one", 1)}, "a")
		g.add("ReduceMin", []string{"x", g.ints("last", -1)}, "b")
		g.add("Add", []string{"a", "b"}, "y")
	}},
	{"one value read by many", 13, func(g *graph) {
		g.add("Mul", []string{"x", g.floats("v", 6)}, "h")
		g.add("Tanh", []string{"h"}, "a")
		g.add("Sigmoid", []string{"h"}, "b")
		g.add("Softmax", []string{"h"}, "c", onnx.IntAttr("axis", -1))
		g.add("ReduceMean", []string{"h"}, "d", onnx.IntsAttr("axes", 1))
		g.add("Mul", []string{"a", "b"}, "ab")
		g.add("Mul", []string{"c", "d"}, "cd")
		g.add("Add", []string{"ab", "cd"}, "y")
	}},
	{"attention in primitives", 13, func(g *graph) {
		g.add("Transpose", []string{"x"}, "xt", onnx.IntsAttr("perm", 0, 2, 1))
		g.add("MatMul", []string{"x", "xt"}, "scores")
		g.add("Softmax", []string{"scores"}, "probs", onnx.IntAttr("axis", -1))
		g.add("MatMul", []string{"probs", "x"}, "y")
	}},
	{"masked scores", 13, func(g *graph) {
		g.add("Cast", []string{"attention_mask"}, "m", onnx.IntAttr("to", int64(onnx.Bool)))
		g.add("Unsqueeze", []string{"m", g.ints("two", 2)}, "m3")
		g.add("Where", []string{"m3", "x", g.number("low", -3)}, "y")
	}},
	{"reshape, transpose, slice", 13, func(g *graph) {
		g.add("Reshape", []string{"x", g.ints("shape", 0, -1, 2, 3)}, "r")
		g.add("Transpose", []string{"r"}, "t", onnx.IntsAttr("perm", 0, 2, 1, 3))
		g.add("Slice", []string{"t", g.ints("from", -1, 1), g.ints("to", -9, 99), g.ints("axes", 2, 3), g.ints("steps", -2, 1)}, "y")
	}},
	{"squeeze, concat, expand", 13, func(g *graph) {
		g.add("Slice", []string{"x", g.ints("from", 0), g.ints("to", 1), g.ints("axes", 1)}, "s")
		g.add("Squeeze", []string{"s", g.ints("one", 1)}, "q")
		g.add("Unsqueeze", []string{"q", g.ints("at", 1)}, "u")
		g.add("Concat", []string{"u", "x", "u"}, "c", onnx.IntAttr("axis", 1))
		g.add("ReduceMean", []string{"c"}, "m", onnx.IntsAttr("axes", 1), onnx.IntAttr("keepdims", 1))
		g.add("Expand", []string{"m", g.ints("shape", 3, 4, 6)}, "y")
	}},
	{"sum", 13, func(g *graph) { g.add("ReduceSum", []string{"x", g.ints("axes", 2)}, "y", onnx.IntAttr("keepdims", 0)) }},
	{"first token", 13, func(g *graph) {
		g.m.Graph.Initializers = append(g.m.Graph.Initializers, onnx.NewInt64s("zero", []int64{0}))
		g.add("Gather", []string{"x", "zero"}, "p", onnx.IntAttr("axis", 1))
		g.add("Gemm", []string{"p", g.floats("w", 4, 6), g.floats("b", 4)}, "y", onnx.IntAttr("transB", 1))
	}},
	{"split", 13, func(g *graph) {
		g.m.Graph.Nodes = append(g.m.Graph.Nodes, onnx.NewNode("Split", "node_split", []string{"x", g.ints("sizes", 2, 4)}, []string{"s1", "s2"}, onnx.IntAttr("axis", 2)))
		g.add("ReduceMean", []string{"s2"}, "m", onnx.IntsAttr("axes", -1))
		g.add("Mul", []string{"s1", "m"}, "y")
	}},
}

func TestOperators(t *testing.T) {
	for _, c := range operators {
		t.Run(c.name, func(t *testing.T) {
			g := newGraph(c.opset)
			c.build(g)
			m := g.output("y")
			in := map[string][]int64{"input_ids": ids(3, 5, 11, 1), "attention_mask": masks(3, 5)}
			want := outputs(t, m, in, 3, 5, "y")["y"]
			p := program(t, m, autodiff.Options{})
			near(t, "y", forward(t, p, 3, 5, 0, "y", in), want.F32, 1e-5)

			q := built(t, p, 3, 5, 0, func(q *autodiff.Pass) []*gorgonia.Node {
				ok := must(t)
				return []*gorgonia.Node{ok(autodiff.MSE(ok(q.Output("y")), q.Floats("target", want.Shape...), nil))}
			})
			checkGrads(t, p, q, autodiff.Feed{Inputs: in, Floats: map[string][]float32{"target": normals(want.Len(), 77)}}, 0.01)
		})
	}
}
