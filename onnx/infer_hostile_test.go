package onnx_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/litekit/lite/onnx"
)

// float declares a float32 input; lengths are numbers, names, or nil.
func float(name string, dims ...any) *onnx.ValueInfo {
	v := &onnx.ValueInfo{Name: name, Type: onnx.Float, HasShape: true}
	for _, d := range dims {
		switch d := d.(type) {
		case int:
			v.Dims = append(v.Dims, onnx.Dim{Size: int64(d), Known: true})
		case string:
			v.Dims = append(v.Dims, onnx.Dim{Param: d})
		default:
			v.Dims = append(v.Dims, onnx.Dim{})
		}
	}
	return v
}

func ints(name string, v ...int64) *onnx.Tensor { return onnx.NewInt64s(name, v, int64(len(v))) }

// graphOf is a model of opset 17 with the inputs x [batch, 4, 6] and y [batch, 8].
func graphOf(inits []*onnx.Tensor, nodes ...*onnx.Node) *onnx.Model {
	return &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 17}}, Graph: &onnx.Graph{
		Nodes: nodes, Initializers: inits, Inputs: []*onnx.ValueInfo{float("x", "batch", 4, 6), float("y", "batch", 8)},
		Outputs: []*onnx.ValueInfo{{Name: "z"}},
	}}
}

func op(op, in, out string, attrs ...*onnx.Attribute) *onnx.Node {
	return onnx.NewNode(op, "n", strings.Fields(in), strings.Fields(out), attrs...)
}

// TestCheckFaults: what cannot run is named with its node, its shapes and a remedy.
func TestCheckFaults(t *testing.T) {
	w := onnx.NewFloats("w", make([]float32, 35), 5, 7)
	for name, c := range map[string]struct {
		m    *onnx.Model
		want []string
	}{
		"inner sizes":        {graphOf([]*onnx.Tensor{w}, op("MatMul", "x w", "z")), []string{"node n (MatMul)", "6 and 5", `"x"`, "[batch,4,6]", "[5,7]", "transpose"}},
		"broadcast":          {graphOf([]*onnx.Tensor{w}, op("Add", "x w", "z")), []string{"broadcast", "[batch,4,6]", "[5,7]"}},
		"types":              {graphOf([]*onnx.Tensor{ints("i", 1)}, op("Add", "x i", "z")), []string{"float32 and int64", "cast"}},
		"type of one":        {graphOf([]*onnx.Tensor{ints("i", 1)}, op("Sqrt", "i", "z")), []string{"int64", "float16"}},
		"reshape":            {graphOf([]*onnx.Tensor{ints("s", 0, 0, 5)}, op("Reshape", "x s", "z")), []string{"[batch,4,6]", "[0,0,5]"}},
		"reshape to -1":      {graphOf([]*onnx.Tensor{ints("s", 0, -1, 5)}, op("Reshape", "x s", "z")), []string{"24 is no multiple of 5"}},
		"two times -1":       {graphOf([]*onnx.Tensor{ints("s", -1, -1)}, op("Reshape", "x s", "z")), []string{"-1 twice"}},
		"concat":             {graphOf([]*onnx.Tensor{w}, op("Concat", "w y", "z", onnx.IntAttr("axis", 0))), []string{"axis 1", "7 and 8"}},
		"concat of ranks":    {graphOf(nil, op("Concat", "x y", "z", onnx.IntAttr("axis", 0))), []string{"ranks differ"}},
		"axis":               {graphOf(nil, op("Softmax", "x", "z", onnx.IntAttr("axis", 3))), []string{"axis 3 is out of range", "-3 to 2"}},
		"index":              {graphOf([]*onnx.Tensor{w, ints("i", 5)}, op("Gather", "w i", "z")), []string{"index 5 is out of range", "4"}},
		"channels":           {graphOf([]*onnx.Tensor{onnx.NewFloats("k", make([]float32, 30), 2, 5, 3)}, op("Conv", "x k", "z")), []string{"4 and 5 differ"}},
		"kernel":             {graphOf([]*onnx.Tensor{onnx.NewFloats("k", make([]float32, 72), 2, 4, 9)}, op("Conv", "x k", "z")), []string{"spans 9", "axis 2"}},
		"norm":               {graphOf([]*onnx.Tensor{onnx.NewFloats("g", make([]float32, 4), 4)}, op("LayerNormalization", "x g", "z")), []string{"[batch,4,6]", "[4]"}},
		"gemm bias":          {graphOf([]*onnx.Tensor{onnx.NewFloats("u", make([]float32, 24), 8, 3), onnx.NewFloats("b", make([]float32, 4), 4)}, op("Gemm", "y u b", "z")), []string{"[batch,3]", "[4]"}},
		"squeeze":            {graphOf([]*onnx.Tensor{ints("a", 1)}, op("Squeeze", "x a", "z")), []string{"axis 1 has length 4"}},
		"split":              {graphOf([]*onnx.Tensor{ints("a", 1, 2)}, op("Split", "x a", "z v", onnx.IntAttr("axis", 1))), []string{"3 and 4"}},
		"no such operator":   {graphOf(nil, op("Soft", "x", "z")), []string{"no operator Soft"}},
		"too new":            {graphOf(nil, op("Gelu", "x", "z")), []string{"ai.onnx 17 has no operator Gelu", "version 20"}},
		"removed":            {graphOf(nil, op("Upsample", "x", "z")), []string{"no operator Upsample any more", "version 9"}},
		"inputs missing":     {graphOf(nil, op("MatMul", "x", "z")), []string{"input 1 is missing"}},
		"inputs too many":    {graphOf(nil, op("Relu", "x y", "z")), []string{"2 inputs and takes at most 1"}},
		"outputs too many":   {graphOf(nil, op("Relu", "x", "z v")), []string{"2 outputs and makes at most 1"}},
		"attribute missing":  {graphOf(nil, op("Cast", "x", "z")), []string{"attribute to is missing"}},
		"attribute type":     {graphOf(nil, op("Softmax", "x", "z", onnx.FloatAttr("axis", 1))), []string{"axis is a float", "an integer"}},
		"attribute value":    {graphOf(nil, op("Cast", "x", "z", onnx.IntAttr("to", 99))), []string{"attribute to is type(99)"}},
		"permutation":        {graphOf(nil, op("Transpose", "x", "z", onnx.IntsAttr("perm", 0, 0, 1))), []string{"perm [0 0 1]"}},
		"declared otherwise": {declaredAs(graphOf(nil, op("Relu", "x", "z")), float("z", nil, 4, 7)), []string{`"z"`, "[?,4,7]", "[batch,4,6]"}},
		"declared type":      {declaredAs(graphOf(nil, op("Relu", "x", "z")), &onnx.ValueInfo{Name: "z", Type: onnx.Int64}), []string{"int64", "float32"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.m.Check()
			if err == nil {
				t.Fatal("no fault")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
			if strings.Count(err.Error(), "\n") > 0 {
				t.Errorf("one fault is told as several: %v", err)
			}
		})
	}
}

func declaredAs(m *onnx.Model, v *onnx.ValueInfo) *onnx.Model {
	m.Graph.Outputs = []*onnx.ValueInfo{v}
	return m
}

// TestCheckManyFaults: 20 faults are listed, the others are counted.
func TestCheckManyFaults(t *testing.T) {
	var nodes []*onnx.Node
	for i := range 500 {
		nodes = append(nodes, onnx.NewNode("Relu", "", []string{"x", "y"}, []string{fmt.Sprint("v", i)}))
	}
	err := graphOf(nil, append(nodes, op("Relu", "x", "z"))...).Check()
	if err == nil || strings.Count(err.Error(), "\n") != 20 || !strings.Contains(err.Error(), "480 more faults") {
		t.Errorf("%v", err)
	}
}

// TestInferSymbols: lengths are written in the symbols of the inputs, and sizes make them numbers.
func TestInferSymbols(t *testing.T) {
	m := graphOf([]*onnx.Tensor{ints("s", -1, 6), ints("from", 1), ints("to", math.MaxInt64), ints("ax", 0)},
		op("Reshape", "x s", "flat"), op("Concat", "y y", "two", onnx.IntAttr("axis", 0)), op("Slice", "y from to ax", "rest"),
		op("Shape", "flat", "shape"), op("ConstantOfShape", "shape", "z"))
	for sizes, want := range map[*map[string]int64]map[string]string{
		{}:           {"flat": "4*batch,6", "two": "2*batch,8", "rest": "max(0, batch - 1),8", "z": "4*batch,6"},
		{"batch": 3}: {"flat": "12,6", "two": "6,8", "rest": "2,8", "z": "12,6"},
	} {
		f, err := m.Infer(*sizes)
		if err != nil {
			t.Fatal(err)
		}
		for name, w := range want {
			dims, ok := f.Shape(name)
			parts := make([]string, len(dims))
			for i, d := range dims {
				parts[i] = f.Text(d)
			}
			if got := strings.Join(parts, ","); !ok || got != w {
				t.Errorf("%v: %s is %s; want %s", *sizes, name, got, w)
			}
		}
	}
	for _, bad := range []map[string]int64{{"sequence": 1}, {"batch": -1}} {
		if _, err := m.Infer(bad); err == nil {
			t.Errorf("sizes %v are accepted", bad)
		}
	}
}

// TestInferBounded: hostile graphs take bounded time and memory.
func TestInferBounded(t *testing.T) {
	chain := func(n int, f func(i int, in, out string) *onnx.Node) *onnx.Model {
		nodes := make([]*onnx.Node, n)
		for i := range nodes {
			nodes[i] = f(i, fmt.Sprint("v", i), fmt.Sprint("v", i+1))
		}
		m := graphOf(nil, nodes...)
		m.Graph.Inputs = append(m.Graph.Inputs, float("v0", "n", "m"))
		m.Graph.Outputs[0].Name = fmt.Sprint("v", n)
		return m
	}
	doubling := graphOf(nil, onnx.NewNode("f0", "", []string{"x"}, []string{"z"}))
	doubling.Graph.Nodes[0].Domain = "own"
	for i := range 40 {
		f := &onnx.Function{Name: fmt.Sprint("f", i), Domain: "own", Inputs: []string{"a"}, Outputs: []string{"b"}, Opsets: []onnx.Opset{{Version: 17}, {Domain: "own", Version: 1}}}
		for j := range 2 {
			n := onnx.NewNode(fmt.Sprint("f", i+1), "", []string{"a"}, []string{[]string{"c", "b"}[j]})
			n.Domain = "own"
			f.Nodes = append(f.Nodes, n)
		}
		doubling.Functions = append(doubling.Functions, f)
	}
	loop := &onnx.Graph{Name: "inner", Inputs: []*onnx.ValueInfo{{Name: "i"}, {Name: "c"}, {Name: "s"}},
		Nodes: []*onnx.Node{op("Concat", "s s", "t", onnx.IntAttr("axis", 0))}, Outputs: []*onnx.ValueInfo{{Name: "c"}, {Name: "t"}}}
	for k := range 40 {
		loop = &onnx.Graph{Name: "body", Inputs: []*onnx.ValueInfo{{Name: "i"}, {Name: "c"}, {Name: "s"}},
			Nodes:   []*onnx.Node{onnx.NewNode("Loop", "", []string{"", "", "s"}, []string{fmt.Sprint("t", k)}, &onnx.Attribute{Name: "body", Type: onnx.AttrGraph, Graph: loop})},
			Outputs: []*onnx.ValueInfo{{Name: "c"}, {Name: fmt.Sprint("t", k)}}}
	}
	for name, m := range map[string]*onnx.Model{
		"100000 nodes": chain(100_000, func(_ int, in, out string) *onnx.Node { return op("Relu", in, out) }),
		"sums": chain(20_000, func(_ int, in, out string) *onnx.Node {
			return op("Concat", in+" "+in, out, onnx.IntAttr("axis", 0))
		}),
		"products": chain(20_000, func(i int, in, out string) *onnx.Node {
			return op("Einsum", in+" "+in, out, onnx.StringAttr("equation", "ab,cd->ac"))
		}),
		"axes": chain(20_000, func(_ int, in, out string) *onnx.Node {
			n := op("Flatten", in, out, onnx.IntAttr("axis", 0))
			return n
		}),
		"calls that double": doubling,
		"loops in loops":    graphOf(nil, onnx.NewNode("Loop", "", []string{"", "", "y"}, []string{"z"}, &onnx.Attribute{Name: "body", Type: onnx.AttrGraph, Graph: loop})),
		"overflow":          graphOf([]*onnx.Tensor{ints("s", 1<<62, 1<<62, -1), ints("t", math.MinInt64, -1)}, op("Tile", "x s", "a"), op("Expand", "x s", "b"), op("Reshape", "x t", "c"), op("ConstantOfShape", "s", "z")),
	} {
		t.Run(name, func(t *testing.T) {
			bounded(t, func() {
				_ = m.Check()
				if f, err := m.Infer(nil); err == nil {
					for _, v := range f.Names() {
						f.Value(v)
					}
				}
			})
		})
	}
}

// FuzzInfer: whatever the model, checking and inferring it returns, twice with the same result.
func FuzzInfer(f *testing.F) {
	addModels(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		m, err := onnx.Decode(data)
		if err != nil || m.Graph == nil {
			return
		}
		a, b := fmt.Sprint(m.Check()), fmt.Sprint(m.Check())
		if a != b {
			t.Fatalf("checked twice:\n%s\n%s", a, b)
		}
		for _, sizes := range []map[string]int64{nil, {"n": 3}} {
			inf, err := m.Infer(sizes)
			if err != nil {
				continue
			}
			for _, name := range inf.Names() {
				inf.Value(name)
			}
		}
		m.InferNodes(m.Graph.Nodes)
	})
}
