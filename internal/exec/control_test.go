package exec_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
)

// sub is a body for an attribute; values are of unknown type.
func sub(name string, inputs, outputs []string, nodes ...*onnx.Node) *onnx.Attribute {
	g := &onnx.Graph{Name: name, Nodes: nodes}
	for _, n := range inputs {
		g.Inputs = append(g.Inputs, &onnx.ValueInfo{Name: n})
	}
	for _, n := range outputs {
		g.Outputs = append(g.Outputs, &onnx.ValueInfo{Name: n, Type: onnx.Float})
	}
	return &onnx.Attribute{Name: name, Type: onnx.AttrGraph, Graph: g}
}

func TestIfReadsWhatIsAroundIt(t *testing.T) {
	inner := node("If", s("c"), s("w"),
		sub("then_branch", nil, s("p"), node("Mul", s("y", "two"), s("p"))),
		sub("else_branch", nil, s("y"))) // an outer value as it is
	m := graph(s("c:bool", "x"), s("z"), []*onnx.Tensor{onnx.NewFloats("two", []float32{2}, 1)},
		node("If", s("c"), s("v"), // stands before the node that makes y
			sub("then_branch", nil, s("w"), inner),
			sub("else_branch", nil, s("q"), node("Neg", s("y"), s("q")))),
		node("Identity", s("x"), s("x1")), node("Add", s("x1", "x1"), s("y")), node("Identity", s("v"), s("z")))
	for _, unfused := range []bool{true, false} {
		sess := newSession(t, m, exec.Options{Unfused: unfused})
		for yes, want := range map[bool]float32{true: 12, false: -6} {
			got, err := sess.Run(context.Background(), map[string]*exec.Tensor{
				"c": {Type: onnx.Bool, Shape: []int{}, Bool: []bool{yes}}, "x": exec.Floats([]float32{3}, 1)})
			if err != nil {
				t.Fatal(err)
			}
			if v := got["z"].F32; len(v) != 1 || v[0] != want {
				t.Errorf("unfused %v, condition %v: z is %v; want %v", unfused, yes, v, want)
			}
		}
	}
}

// powers is a Loop that doubles v and stacks the values of all rounds.
func powers(cond string) *onnx.Model {
	return graph(s("m:i64", "v0"), s("v", "all"), nil,
		node("Loop", s("m", "", "v0"), s("v", "all"),
			sub("body", s("i", "go", "v"), s("again", "d", "d2"),
				node("Add", s("v", "v"), s("d")), node("Identity", s("d"), s("d2")), node(cond, s("go"), s("again")))))
}

func TestLoop(t *testing.T) {
	sess := newSession(t, powers("Identity"), exec.Options{})
	for trips, want := range map[int64][]float32{3: {2, 4, 8}, 0: {}, -1: {}} {
		got, err := sess.Run(context.Background(), map[string]*exec.Tensor{"m": exec.Int64s([]int64{trips}), "v0": exec.Floats([]float32{1})})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got["all"].F32, want) || len(got["all"].Shape) != 1 {
			t.Errorf("%d trips: %v of shape %v; want %v", trips, got["all"].F32, got["all"].Shape, want)
		}
	}
	sess = newSession(t, powers("Not"), exec.Options{}) // the condition ends it
	got, err := sess.Run(context.Background(), map[string]*exec.Tensor{"m": exec.Int64s([]int64{9}), "v0": exec.Floats([]float32{1})})
	if err != nil || !slices.Equal(got["v"].F32, []float32{2}) {
		t.Errorf("%v, %v; want one round", got["v"], err)
	}
}

// TestScan sums rows in both directions; that of opset 8 does so for each
// sequence of a batch.
func TestScan(t *testing.T) {
	body := func() *onnx.Attribute {
		return sub("body", s("sum", "row"), s("next", "copy"), node("Add", s("sum", "row"), s("next")), node("Identity", s("next"), s("copy")))
	}
	m := graph(s("s0", "x"), s("s", "all"), nil, node("Scan", s("s0", "x"), s("s", "all"), onnx.IntAttr("num_scan_inputs", 1),
		onnx.IntsAttr("scan_input_directions", 1), onnx.IntsAttr("scan_output_axes", 1), body()))
	x := exec.Floats([]float32{1, 2, 3, 4, 5, 6}, 3, 2)
	got, err := newSession(t, m, exec.Options{}).Run(context.Background(), map[string]*exec.Tensor{"s0": exec.Floats([]float32{0, 0}, 2), "x": x})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got["s"].F32, []float32{9, 12}) || !slices.Equal(got["all"].F32, []float32{5, 8, 9, 6, 10, 12}) || !slices.Equal(got["all"].Shape, []int{2, 3}) {
		t.Errorf("%v and %v of shape %v", got["s"].F32, got["all"].F32, got["all"].Shape)
	}
	m = graph(s("s0", "x"), s("s", "all"), nil, node("Scan", s("", "s0", "x"), s("s", "all"), onnx.IntAttr("num_scan_inputs", 1), body()))
	m.Opsets[0].Version = 8
	x.Shape = []int{1, 3, 2}
	got, err = newSession(t, m, exec.Options{}).Run(context.Background(), map[string]*exec.Tensor{"s0": exec.Floats([]float32{0, 0}, 1, 2), "x": x})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got["s"].Shape, []int{1, 2}) || !slices.Equal(got["all"].F32, []float32{1, 2, 4, 6, 9, 12}) || !slices.Equal(got["all"].Shape, []int{1, 3, 2}) {
		t.Errorf("opset 8: %v and %v of shape %v", got["s"], got["all"].F32, got["all"].Shape)
	}
}

func TestLoopWithoutEndIsStopped(t *testing.T) {
	sess := newSession(t, powers("Identity"), exec.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := sess.Run(ctx, map[string]*exec.Tensor{"m": exec.Int64s([]int64{1 << 62}), "v0": exec.Floats([]float32{1})})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v", err)
	}
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("stopped after %v", d)
	}
	// Rounds that only count: nothing to fold, whatever the constants say.
	m := graph(nil, s("v"), []*onnx.Tensor{onnx.NewFloats("v0", []float32{1}, 1), onnx.NewInt64s("m", []int64{1 << 62})},
		node("Loop", s("m", "", "v0"), s("v"), sub("body", s("i", "go", "v"), s("go", "v"))))
	if _, err := exec.New(m, exec.Options{}); err != nil {
		t.Errorf("New: %v", err)
	}
}

func TestBadBodies(t *testing.T) {
	cond := &onnx.Tensor{Name: "c", Type: onnx.Bool, Raw: []byte{1}}
	for name, c := range map[string]struct {
		m    *onnx.Model
		want string
	}{
		"unsupported inside": {graph(s("c:bool"), s("z"), nil, node("If", s("c"), s("z"),
			sub("then_branch", nil, s("a"), node("ImageDecoder", s("c"), s("a"))),
			sub("else_branch", nil, s("b"), node("Magic", s("c"), s("b"))))), "ImageDecoder"},
		"no branch": {graph(nil, s("z"), []*onnx.Tensor{cond}, node("If", s("c"), s("z"))), "then_branch"},
		"few outputs": {graph(nil, s("z", "y"), []*onnx.Tensor{cond}, node("If", s("c"), s("z", "y"),
			sub("then_branch", nil, s("c")))), "then_branch has 1 outputs"},
		"few inputs": {graph(s("x"), s("z"), nil, node("Loop", s("", "", "x"), s("z"), sub("body", s("i"), s("i")))), "the body has 1 inputs"},
		"no slices":  {graph(s("x"), s("z"), nil, node("Scan", s("x"), s("z"), sub("body", s("i"), s("i")))), "num_scan_inputs"},
	} {
		t.Run(name, func(t *testing.T) {
			sess, err := exec.New(c.m, exec.Options{})
			if err == nil {
				feed := map[string]*exec.Tensor{}
				for _, in := range sess.Inputs() {
					feed[in.Name] = exec.Floats([]float32{1}, 1)
				}
				_, err = sess.Run(context.Background(), feed)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v; want %q", err, c.want)
			}
		})
	}
}

func TestFunctionsAreInlined(t *testing.T) {
	ref := &onnx.Attribute{Name: "alpha", RefName: "slope", Type: onnx.AttrFloat}
	m := graph(s("x"), s("z"), nil, node("my:Outer", s("x"), s("y"), onnx.FloatAttr("slope", 0.5)), node("my:Outer", s("y"), s("z")))
	m.Opsets = append(m.Opsets, onnx.Opset{Domain: "my", Version: 1})
	m.Functions = []*onnx.Function{
		{Name: "Inner", Domain: "my", Inputs: s("a"), Outputs: s("b"), Attrs: s("slope"), Opsets: []onnx.Opset{{Version: 17}},
			Nodes: []*onnx.Node{onnx.NewNode("LeakyRelu", "", s("a"), s("b"), ref)}},
		{Name: "Outer", Domain: "my", Inputs: s("a"), Outputs: s("b"), Opsets: []onnx.Opset{{Version: 17}, {Domain: "my", Version: 1}},
			Defaults: []*onnx.Attribute{onnx.FloatAttr("slope", 0.25)},
			Nodes: []*onnx.Node{
				onnx.NewNode("Inner", "", s("a"), s("t"), &onnx.Attribute{Name: "slope", RefName: "slope", Type: onnx.AttrFloat}),
				onnx.NewNode("Add", "", s("t", "t"), s("b"))}},
	}
	m.Functions[1].Nodes[0].Domain = "my"
	sess := newSession(t, m, exec.Options{Unfused: true})
	got, err := sess.Run(context.Background(), map[string]*exec.Tensor{"x": exec.Floats([]float32{-4, 1}, 2)})
	if err != nil || !slices.Equal(got["z"].F32, []float32{-2, 4}) {
		t.Errorf("z is %v, %v; want [-2 4]", got["z"], err)
	}
	m.Functions[0].Nodes = []*onnx.Node{onnx.NewNode("Inner", "", s("a"), s("b"))}
	m.Functions[0].Nodes[0].Domain = "my"
	if _, err := exec.New(m, exec.Options{}); err == nil || !strings.Contains(err.Error(), "calls itself") {
		t.Errorf("a function that calls itself: %v", err)
	}
}
