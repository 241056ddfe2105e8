package exec_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
)

// graph builds a model of opset 17 (and the two domains of ONNX Runtime and
// lite). Inputs and outputs of unknown shape are "name:type", float by default.
func graph(inputs, outputs []string, inits []*onnx.Tensor, nodes ...*onnx.Node) *onnx.Model {
	g := &onnx.Graph{Name: "test", Nodes: nodes, Initializers: inits}
	types := map[string]onnx.DataType{"": onnx.Float, "i64": onnx.Int64, "i32": onnx.Int32, "u8": onnx.Uint8, "i8": onnx.Int8, "bool": onnx.Bool}
	for i, list := range [][]string{inputs, outputs} {
		for _, s := range list {
			name, typ, _ := strings.Cut(s, ":")
			v := &onnx.ValueInfo{Name: name, Type: types[typ]}
			if i == 0 {
				g.Inputs = append(g.Inputs, v)
			} else {
				g.Outputs = append(g.Outputs, v)
			}
		}
	}
	return &onnx.Model{IRVersion: 8, Graph: g, Opsets: []onnx.Opset{{Version: 17}, {Domain: "com.microsoft", Version: 1}, {Domain: "lite", Version: 1}}}
}

func node(op string, inputs, outputs []string, attrs ...*onnx.Attribute) *onnx.Node {
	domain := ""
	if d, name, ok := strings.Cut(op, ":"); ok {
		domain, op = d, name
	}
	n := onnx.NewNode(op, "the_"+op, inputs, outputs, attrs...)
	n.Domain = domain
	return n
}

func s(names ...string) []string { return names }

// sample is a fixed sequence of numbers in [-1, 1).
func sample(n int, seed uint64) []float32 {
	out := make([]float32, n)
	x := seed*2862933555777941757 + 3037000493
	for i := range out {
		x = x*6364136223846793005 + 1442695040888963407
		out[i] = float32(int32(x>>33))/(1<<30) - 1
	}
	return out
}

func TestUnsupportedNodesAreListedTogether(t *testing.T) {
	m := graph(s("x"), s("z"), nil,
		node("ImageDecoder", s("x"), s("y")), node("Relu", s("y"), s("r")), node("com.example:Magic", s("r"), s("z")))
	m.Opsets = append(m.Opsets, onnx.Opset{Domain: "com.example", Version: 1})
	_, err := exec.New(m, exec.Options{Unfused: true})
	var u *exec.UnsupportedError
	if !errors.As(err, &u) || len(u.Items) != 2 {
		t.Fatalf("error is %v; want both nodes", err)
	}
	for _, want := range []string{"ImageDecoder", "ai.onnx", "the_ImageDecoder", "Magic", "com.example", "the_Magic"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %s", err, want)
		}
	}
}

func TestInputErrors(t *testing.T) {
	m := graph(s("ids:i64", "y"), s("z"), []*onnx.Tensor{onnx.NewFloats("table", sample(12, 1), 4, 3)},
		node("Gather", s("table", "ids"), s("g")), node("Add", s("g", "y"), s("z")))
	m.Graph.Inputs[0].HasShape = true
	m.Graph.Inputs[0].Dims = []onnx.Dim{{Param: "batch"}, {Size: 2, Known: true}}
	sess := newSession(t, m, exec.Options{})
	y := exec.Floats([]float32{1})
	good := exec.Int64s([]int64{0, 3}, 1, 2)
	for name, c := range map[string]struct {
		feed map[string]*exec.Tensor
		want string
	}{
		"missing":      {map[string]*exec.Tensor{"ids": good}, `"y" is missing`},
		"unknown":      {map[string]*exec.Tensor{"ids": good, "y": y, "q": y}, `"q" is unknown`},
		"type":         {map[string]*exec.Tensor{"ids": exec.Floats([]float32{0, 1}, 1, 2), "y": y}, "reads int64"},
		"rank":         {map[string]*exec.Tensor{"ids": exec.Int64s([]int64{0, 1}, 2), "y": y}, "2 dimensions"},
		"fixed":        {map[string]*exec.Tensor{"ids": exec.Int64s([]int64{0}, 1, 1), "y": y}, "dimension 1 must be 2"},
		"length":       {map[string]*exec.Tensor{"ids": exec.Int64s([]int64{0}, 1, 2), "y": y}, "1 elements for shape [1 2]"},
		"negative":     {map[string]*exec.Tensor{"ids": exec.Int64s(nil, -1, 2), "y": y}, "shape [-1 2]"},
		"out of range": {map[string]*exec.Tensor{"ids": exec.Int64s([]int64{0, 4}, 1, 2), "y": y}, "the_Gather"},
		"broadcast":    {map[string]*exec.Tensor{"ids": good, "y": exec.Floats([]float32{1, 2}, 2)}, "the_Add"},
	} {
		_, err := sess.Run(context.Background(), c.feed)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v; want %q", name, err, c.want)
		}
	}
	if _, err := sess.Run(context.Background(), map[string]*exec.Tensor{"ids": good, "y": y}, "nothing"); err == nil || !strings.Contains(err.Error(), `"nothing"`) {
		t.Errorf("unknown output: error is %v", err)
	}
	got := run(t, sess, map[string]*exec.Tensor{"ids": good, "y": y})["z"]
	table := sample(12, 1)
	for i, v := range got.F32 {
		if w := table[i/3*9+i%3] + 1; v != w {
			t.Errorf("element %d is %v; want %v", i, v, w)
		}
	}
}

func TestOnlyNeededNodesAndInputs(t *testing.T) {
	m := graph(s("a", "b"), s("x", "y"), nil,
		node("Exp", s("a"), s("x")), node("MatMul", s("x", "b"), s("y")))
	sess := newSession(t, m, exec.Options{})
	// b, which would not fit, is not needed for x.
	out := run(t, sess, map[string]*exec.Tensor{"a": exec.Floats([]float32{0, 0, 0}, 3)}, "x")
	if len(out) != 1 || !slices.Equal(out["x"].F32, []float32{1, 1, 1}) {
		t.Fatalf("x is %v", out["x"])
	}
	if _, err := sess.Run(context.Background(), map[string]*exec.Tensor{"a": exec.Floats([]float32{0, 0, 0}, 3)}); err == nil {
		t.Error("y without b is no error")
	}
}

// TestResultsBelongToCaller writes into everything a run returned and runs again.
func TestResultsBelongToCaller(t *testing.T) {
	w := onnx.NewFloats("w", []float32{1, 2, 3}, 3)
	m := graph(s("a"), s("a1", "a2", "sum", "w1", "dead"), []*onnx.Tensor{w},
		node("Identity", s("a"), s("a1")), node("Add", s("a", "w"), s("sum")), node("Reshape", s("sum", "shape"), s("a2")),
		node("Identity", s("w"), s("w1")), node("Neg", s("sum"), s("dead")))
	m.Graph.Initializers = append(m.Graph.Initializers, onnx.NewInt64s("shape", []int64{3, 1}, 2))
	for _, unfused := range []bool{false, true} {
		sess := newSession(t, m, exec.Options{Unfused: unfused})
		in := exec.Floats([]float32{1, 1, 1}, 3)
		for range 3 {
			out := run(t, sess, map[string]*exec.Tensor{"a": in})
			for name, want := range map[string][]float32{"a1": {1, 1, 1}, "sum": {2, 3, 4}, "a2": {2, 3, 4}, "w1": {1, 2, 3}, "dead": {-2, -3, -4}} {
				if !slices.Equal(out[name].F32, want) {
					t.Fatalf("unfused %v: %s is %v; want %v", unfused, name, out[name].F32, want)
				}
			}
			for _, v := range out {
				for i := range v.F32 {
					v.F32[i] = 99
				}
			}
			if !slices.Equal(in.F32, []float32{1, 1, 1}) {
				t.Fatal("the input was changed")
			}
		}
	}
}

func TestConstantsAreFolded(t *testing.T) {
	m := graph(s("x"), s("y"), []*onnx.Tensor{onnx.NewFloats("w", []float32{1, 4, 9}, 3)},
		node("Sqrt", s("w"), s("r")), node("Add", s("r", "r"), s("rr")), node("Mul", s("x", "rr"), s("y")))
	for _, unfused := range []bool{false, true} {
		sess := newSession(t, m, exec.Options{Unfused: unfused})
		if n := exec.StepCount(sess); n != 1 {
			t.Errorf("unfused %v: %d steps are left; want 1", unfused, n)
		}
		y := run(t, sess, map[string]*exec.Tensor{"x": exec.Floats([]float32{1, 10, 100}, 3)})["y"]
		if !slices.Equal(y.F32, []float32{2, 40, 600}) {
			t.Errorf("y is %v", y.F32)
		}
	}
}

// TestHostileShapes asks for more than memory in every way a graph can.
func TestHostileShapes(t *testing.T) {
	huge := int64(1_000_000_000_000)
	ints := func(v ...int64) *exec.Tensor { return exec.Int64s(v, len(v)) }
	one := func(v int64) *exec.Tensor { return exec.Int64s([]int64{v}) }
	x := exec.Floats(make([]float32, 6), 2, 3)
	axis := onnx.IntAttr("axis", 0)
	for name, c := range map[string]struct {
		n    *onnx.Node
		feed map[string]*exec.Tensor
	}{
		"Reshape":          {node("Reshape", s("x", "a"), s("z")), map[string]*exec.Tensor{"x": x, "a": ints(huge)}},
		"Reshape overflow": {node("Reshape", s("x", "a"), s("z")), map[string]*exec.Tensor{"x": x, "a": ints(math.MaxInt64, math.MaxInt64, 8)}},
		"Reshape zero":     {node("Reshape", s("x", "a"), s("z"), onnx.IntAttr("allowzero", 1)), map[string]*exec.Tensor{"x": x, "a": ints(0, -1)}},
		"Expand":           {node("Expand", s("x", "a"), s("z")), map[string]*exec.Tensor{"x": x, "a": ints(huge, 2, 3)}},
		"Tile":             {node("Tile", s("x", "a"), s("z")), map[string]*exec.Tensor{"x": x, "a": ints(huge, huge)}},
		"Tile negative":    {node("Tile", s("x", "a"), s("z")), map[string]*exec.Tensor{"x": x, "a": ints(-1, 1)}},
		"Range":            {node("Range", s("a", "b", "c"), s("z")), map[string]*exec.Tensor{"a": one(0), "b": one(1_000_000_000_000_000_000), "c": one(1)}},
		"Range span":       {node("Range", s("a", "b", "c"), s("z")), map[string]*exec.Tensor{"a": one(math.MinInt64), "b": one(math.MaxInt64), "c": one(1)}},
		"Range zero":       {node("Range", s("a", "b", "c"), s("z")), map[string]*exec.Tensor{"a": one(0), "b": one(1), "c": one(0)}},
		"ConstantOfShape":  {node("ConstantOfShape", s("a"), s("z")), map[string]*exec.Tensor{"a": ints(huge)}},
		"Constant -1":      {node("ConstantOfShape", s("a"), s("z")), map[string]*exec.Tensor{"a": ints(-1)}},
		"Pad":              {node("Pad", s("x", "a"), s("z")), map[string]*exec.Tensor{"x": x, "a": ints(huge, 0, huge, 0)}},
		"Pad overflow":     {node("Pad", s("x", "a"), s("z")), map[string]*exec.Tensor{"x": x, "a": ints(math.MaxInt64, 0, math.MaxInt64, 0)}},
		"Pad negative":     {node("Pad", s("x", "a"), s("z")), map[string]*exec.Tensor{"x": x, "a": ints(math.MinInt64, 0, 0, 0)}},
		"Slice step":       {node("Slice", s("x", "a", "b", "c", "d"), s("z")), map[string]*exec.Tensor{"x": x, "a": ints(0), "b": ints(9), "c": ints(0), "d": ints(0)}},
		"Slice axis":       {node("Slice", s("x", "a", "b", "c"), s("z")), map[string]*exec.Tensor{"x": x, "a": ints(0), "b": ints(9), "c": ints(7)}},
		"Squeeze":          {node("Squeeze", s("x", "a"), s("z")), map[string]*exec.Tensor{"x": x, "a": ints(0)}},
		"Unsqueeze":        {node("Unsqueeze", s("x", "a"), s("z")), map[string]*exec.Tensor{"x": x, "a": ints(99)}},
		"Gather":           {node("Gather", s("x", "a"), s("z"), axis), map[string]*exec.Tensor{"x": x, "a": ints(math.MinInt64)}},
		"GatherND":         {node("GatherND", s("x", "a"), s("z")), map[string]*exec.Tensor{"x": x, "a": ints(2, 0)}},
		"Split":            {node("Split", s("x", "a"), s("z", "y"), axis), map[string]*exec.Tensor{"x": x, "a": ints(-1, 3)}},
		"TopK":             {node("TopK", s("x", "a"), s("z", "y")), map[string]*exec.Tensor{"x": x, "a": ints(4)}},
		"MatMul":           {node("MatMul", s("x", "x"), s("z")), map[string]*exec.Tensor{"x": x}},
		"Transpose":        {node("Transpose", s("x"), s("z"), onnx.IntsAttr("perm", 0, 0)), map[string]*exec.Tensor{"x": x}},
		"Div":              {node("Div", s("a", "b"), s("z")), map[string]*exec.Tensor{"a": ints(1, 2), "b": ints(1, 0)}},
		"OneHot":           {node("OneHot", s("a", "b", "x2"), s("z")), map[string]*exec.Tensor{"a": ints(1, 2), "b": one(huge), "x2": exec.Floats([]float32{0, 1}, 2)}},
		"Trilu":            {node("Trilu", s("a"), s("z")), map[string]*exec.Tensor{"a": ints(1, 2)}},
		"Softmax":          {node("Softmax", s("x"), s("z"), onnx.IntAttr("axis", 5)), map[string]*exec.Tensor{"x": x}},
	} {
		var inputs []string
		for in, v := range c.feed {
			if v.Type == onnx.Int64 {
				in += ":i64"
			}
			inputs = append(inputs, in)
		}
		slices.Sort(inputs)
		sess, err := exec.New(graph(inputs, s("z"), nil, c.n), exec.Options{Unfused: true})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out, err := sess.Run(context.Background(), c.feed)
		if err == nil {
			t.Errorf("%s: no error, but %v", name, out["z"].Shape)
			continue
		}
		if !strings.Contains(err.Error(), "node the_"+c.n.Op) || strings.Contains(err.Error(), "fault") {
			t.Errorf("%s: error %q", name, err)
		}
	}
}

// TestMisfits gives fused and quantized operators inputs that do not fit.
func TestMisfits(t *testing.T) {
	f := func(shape ...int) *exec.Tensor { return exec.Floats(make([]float32, product(shape)), shape...) }
	u := func(shape ...int) *exec.Tensor {
		return &exec.Tensor{Type: onnx.Uint8, Shape: shape, U8: make([]uint8, product(shape))}
	}
	i64 := func(shape ...int) *exec.Tensor { return exec.Int64s(make([]int64, product(shape)), shape...) }
	heads := func(n int64) *onnx.Attribute { return onnx.IntAttr("heads", n) }
	ms := func(n int64) *onnx.Attribute { return onnx.IntAttr("num_heads", n) }
	for name, c := range map[string]struct {
		op    string
		in    []*exec.Tensor
		attrs []*onnx.Attribute
	}{
		"width":           {"lite:Linear", []*exec.Tensor{f(2, 3), f(4, 5)}, nil},
		"bias":            {"lite:Linear", []*exec.Tensor{f(2, 3), f(3, 5), f(4)}, nil},
		"scalar":          {"lite:Linear", []*exec.Tensor{f(), f(3, 5)}, nil},
		"vector weight":   {"lite:Linear", []*exec.Tensor{f(2, 3), f(3)}, nil},
		"type":            {"lite:Linear", []*exec.Tensor{i64(2, 3), f(3, 3)}, nil},
		"act":             {"lite:Linear", []*exec.Tensor{f(2, 3), f(3, 3)}, []*onnx.Attribute{onnx.StringAttr("act", "swish")}},
		"gamma":           {"lite:LayerNorm", []*exec.Tensor{f(2, 3), f(4), f(4)}, nil},
		"residual":        {"lite:LayerNorm", []*exec.Tensor{f(2, 3), f(3), f(3), f(2, 2)}, nil},
		"heads":           {"lite:Attention", []*exec.Tensor{f(1, 2, 6), f(1, 2, 6), f(1, 2, 6)}, []*onnx.Attribute{heads(4)}},
		"no heads":        {"lite:Attention", []*exec.Tensor{f(1, 2, 6), f(1, 2, 6), f(1, 2, 6)}, nil},
		"key":             {"lite:Attention", []*exec.Tensor{f(1, 2, 6), f(2, 2, 6), f(2, 2, 6)}, []*onnx.Attribute{heads(2)}},
		"attention bias":  {"lite:Attention", []*exec.Tensor{f(1, 2, 6), f(1, 2, 6), f(1, 2, 6), f(3)}, []*onnx.Attribute{heads(2)}},
		"rank":            {"lite:Attention", []*exec.Tensor{f(2, 6), f(2, 6), f(2, 6)}, []*onnx.Attribute{heads(2)}},
		"qlinear":         {"lite:QLinear", []*exec.Tensor{f(2, 3), u(4, 5), f(), u()}, nil},
		"qlinear scale":   {"lite:QLinear", []*exec.Tensor{f(2, 3), u(3, 5), f(2), u()}, nil},
		"qlinear zero":    {"lite:QLinear", []*exec.Tensor{f(2, 3), u(3, 5), f(), u(2)}, nil},
		"dequantize":      {"DequantizeLinear", []*exec.Tensor{u(2, 3), f(2), u(2)}, nil},
		"quantize zero":   {"QuantizeLinear", []*exec.Tensor{f(2, 3), f(3), u(2)}, nil},
		"integer":         {"MatMulInteger", []*exec.Tensor{u(2, 3), u(2, 3)}, nil},
		"integer type":    {"MatMulInteger", []*exec.Tensor{f(2, 3), u(3, 3)}, nil},
		"norm":            {"LayerNormalization", []*exec.Tensor{f(2, 3), f(2)}, nil},
		"skip":            {"com.microsoft:SkipLayerNormalization", []*exec.Tensor{f(2, 3), f(2, 2), f(3)}, nil},
		"packed heads":    {"com.microsoft:Attention", []*exec.Tensor{f(1, 2, 4), f(4, 12)}, []*onnx.Attribute{ms(3)}},
		"packed mask":     {"com.microsoft:Attention", []*exec.Tensor{f(1, 2, 4), f(4, 12), f(12), i64(7)}, []*onnx.Attribute{ms(2)}},
		"multi head":      {"com.microsoft:MultiHeadAttention", []*exec.Tensor{f(1, 2, 4), f(1, 2, 6), f(1, 2, 6)}, []*onnx.Attribute{ms(2)}},
		"embedding width": {"com.microsoft:EmbedLayerNormalization", []*exec.Tensor{i64(1, 2), i64(1, 2), f(4, 3), f(4, 2), f(2, 3), f(3), f(3)}, nil},
		"embedding long":  {"com.microsoft:EmbedLayerNormalization", []*exec.Tensor{i64(1, 9), i64(1, 9), f(4, 3), f(4, 3), f(2, 3), f(3), f(3)}, nil},
	} {
		feed, inputs, names := map[string]*exec.Tensor{}, []string{}, []string{}
		for i, x := range c.in {
			n := string(rune('a' + i))
			feed[n], names = x, append(names, n)
			inputs = append(inputs, n+map[onnx.DataType]string{onnx.Float: "", onnx.Int64: ":i64", onnx.Uint8: ":u8"}[x.Type])
		}
		sess, err := exec.New(graph(inputs, s("z"), nil, node(c.op, names, s("z"), c.attrs...)), exec.Options{})
		if err == nil {
			_, err = sess.Run(context.Background(), feed)
		}
		if err == nil || !strings.Contains(err.Error(), "node the_") || strings.Contains(err.Error(), "fault") || strings.Contains(err.Error(), "kernel:") {
			t.Errorf("%s %s: error %v", c.op, name, err)
		}
	}
}

// TestHostileConstants has the same from constants: New must survive and Run must fail.
func TestHostileConstants(t *testing.T) {
	m := graph(s("x"), s("z"), []*onnx.Tensor{onnx.NewInt64s("a", []int64{1 << 40}, 1)},
		node("ConstantOfShape", s("a"), s("c")), node("Add", s("c", "x"), s("z")))
	sess, err := exec.New(m, exec.Options{Unfused: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sess.Run(context.Background(), map[string]*exec.Tensor{"x": exec.Floats([]float32{1})}); err == nil || !strings.Contains(err.Error(), "the_ConstantOfShape") {
		t.Errorf("error is %v", err)
	}
}

// TestNodeOrder: nodes in any order run, a cycle and a value from nowhere do not.
func TestNodeOrder(t *testing.T) {
	a, b, c := node("Exp", s("x"), s("y")), node("Neg", s("y"), s("w")), node("Abs", s("w"), s("z"))
	sess := newSession(t, graph(s("x"), s("z"), nil, c, b, a), exec.Options{Unfused: true})
	if z := run(t, sess, map[string]*exec.Tensor{"x": exec.Floats([]float32{0}, 1)})["z"]; z.F32[0] != 1 {
		t.Errorf("z is %v", z.F32)
	}
	if _, err := exec.New(graph(s("x"), s("z"), nil, node("Exp", s("w"), s("y")), b, c), exec.Options{}); err == nil || !strings.Contains(err.Error(), "depends on itself") {
		t.Errorf("cycle: error is %v", err)
	}
	if _, err := exec.New(graph(s("x"), s("z"), nil, b, c), exec.Options{Unfused: true}); err == nil || !strings.Contains(err.Error(), `"y"`) {
		t.Errorf("missing value: error is %v", err)
	}
}

func TestMaxBytes(t *testing.T) {
	m := graph(s("x"), s("z"), nil, node("Exp", s("x"), s("z")))
	sess := newSession(t, m, exec.Options{MaxBytes: 1024})
	if _, err := sess.Run(context.Background(), map[string]*exec.Tensor{"x": exec.Floats(make([]float32, 256), 256)}); err != nil {
		t.Error(err)
	}
	if _, err := sess.Run(context.Background(), map[string]*exec.Tensor{"x": exec.Floats(make([]float32, 257), 257)}); err == nil {
		t.Error("257 floats fit into 1024 bytes")
	}
}

// countdown is a context that is done after n looks.
type countdown struct {
	context.Context
	left int
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

func TestCancellation(t *testing.T) {
	m := graph(s("x"), s("z"), nil, node("Exp", s("x"), s("y")), node("Neg", s("y"), s("w")), node("Abs", s("w"), s("z")))
	sess := newSession(t, m, exec.Options{})
	feed := map[string]*exec.Tensor{"x": exec.Floats([]float32{1}, 1)}
	done, cancel := context.WithCancelCause(context.Background())
	why := errors.New("enough")
	cancel(why)
	if _, err := sess.Run(done, feed); !errors.Is(err, why) {
		t.Errorf("error is %v; want the cause", err)
	}
	if _, err := sess.Run(&countdown{context.Background(), 1}, feed); err == nil || !strings.Contains(err.Error(), "the_Neg") {
		t.Errorf("error is %v; want one that names the second node", err)
	}
	run(t, sess, feed) // and the session is still good
}

// TestConcurrentRuns checks that runs of different shapes do not disturb each other.
func TestConcurrentRuns(t *testing.T) {
	sess := newSession(t, openModel(t, "sst2-bert-L2-H128/model.onnx"), exec.Options{})
	shapes := [][2]int{{1, 5}, {2, 9}, {3, 16}}
	want := make([][]float32, len(shapes))
	for i, sh := range shapes {
		want[i] = run(t, sess, goldenFeed(sess, 30522, sh[0], sh[1]))["logits"].F32
	}
	var wg sync.WaitGroup
	for g := range 6 {
		wg.Go(func() {
			for r := range 4 {
				i := (g + r) % len(shapes)
				out, err := sess.Run(context.Background(), goldenFeed(sess, 30522, shapes[i][0], shapes[i][1]))
				if err != nil {
					t.Error(err)
					return
				}
				if !slices.Equal(out["logits"].F32, want[i]) {
					t.Errorf("shape %v: %v; want %v bit for bit", shapes[i], out["logits"].F32, want[i])
				}
			}
		})
	}
	wg.Wait()
}

// TestPadding: masked positions change nothing.
func TestPadding(t *testing.T) {
	for _, file := range []string{"sst2-bert-L2-H128/model.onnx", "zh-bert-chnsenticorp-L4-H128/model.onnx"} {
		sess := newSession(t, openModel(t, file), exec.Options{})
		ids := []int64{101, 2023, 2003, 1037, 3231, 102}
		logits := func(length int, fill int64) []float32 {
			row, mask := slices.Repeat([]int64{fill}, length), make([]int64, length)
			copy(row, ids)
			for i := range ids {
				mask[i] = 1
			}
			return run(t, sess, map[string]*exec.Tensor{"input_ids": exec.Int64s(row, 1, length),
				"attention_mask": exec.Int64s(mask, 1, length), "token_type_ids": exec.Int64s(make([]int64, length), 1, length)})["logits"].F32
		}
		want := logits(len(ids), 0)
		for _, length := range []int{7, 20, 64} {
			for _, fill := range []int64{0, 777} {
				for i, v := range logits(length, fill) {
					if math.Abs(float64(v-want[i])) > 1e-5 {
						t.Errorf("%s: length %d filled with %d: logit %d is %v; want %v", file, length, fill, i, v, want[i])
					}
				}
			}
		}
	}
}

func BenchmarkSST2(b *testing.B) {
	sess := newSession(b, openModel(b, "sst2-bert-L2-H128/model.onnx"), exec.Options{})
	feed := goldenFeed(sess, 30522, 8, 128)
	run(b, sess, feed)
	start := time.Now()
	for b.Loop() {
		run(b, sess, feed)
	}
	b.ReportMetric(float64(b.N)*8*128/time.Since(start).Seconds(), "tokens/s")
}
