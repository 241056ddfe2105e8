package exec_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/modeltest"
	"github.com/litekit/lite/onnx"
)

// TestEveryValueCanBeAskedFor asks an encoder for all values of its graph, also
// those that fusion replaces, and compares them with a run node by node.
func TestEveryValueCanBeAskedFor(t *testing.T) {
	m := encoders(t)["float"]
	fused, plain := newSession(t, m, exec.Options{}), newSession(t, m, exec.Options{Unfused: true})
	feed := modeltest.Inputs(300, 2, 8, 5)
	var names []string
	for _, n := range m.Graph.Nodes {
		names = append(names, n.Outputs...)
	}
	logits := run(t, fused, feed)[m.Graph.Outputs[0].Name].F32
	replaced := 0
	// A few names at a time: a set of names is a compilation.
	for part := range slices.Chunk(names, 12) {
		want := run(t, plain, feed, part...)
		got := run(t, fused, feed, append([]string{m.Graph.Outputs[0].Name}, part...)...)
		if !slices.Equal(got[m.Graph.Outputs[0].Name].F32, logits) {
			t.Errorf("asked for beside %q, an output has other bits", part)
		}
		for _, name := range part {
			if !fused.Has(name) {
				t.Errorf("Has(%q) is false", name)
			}
			if err := sameTensor(got[name], want[name], 1e-4, 1e-5); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if !exec.Holds(fused, name) {
				replaced++
			}
		}
	}
	if replaced < 10 {
		t.Errorf("fusion replaced %d values; too few for this test to tell anything", replaced)
	}
	if n := exec.VariantCount(fused); n > 8 {
		t.Errorf("%d variants are kept", n)
	}
}

// TestVariantsShareWeights: a value between two layers costs no second copy of
// the packed weights.
func TestVariantsShareWeights(t *testing.T) {
	for name, m := range encoders(t) {
		sess := newSession(t, m, exec.Options{})
		var inner string
		for _, n := range m.Graph.Nodes {
			if o := n.Outputs[0]; n.Op == "Softmax" && !exec.Holds(sess, o) {
				inner = o
			}
		}
		if inner == "" {
			t.Fatalf("%s: no attention's probabilities are fused away", name)
		}
		out := run(t, sess, modeltest.Inputs(300, 2, 8, 5), inner)[inner]
		for i := 0; i < len(out.F32); i += 8 {
			sum := 0.0
			for _, v := range out.F32[i : i+8] {
				sum += float64(v)
			}
			if math.Abs(sum-1) > 1e-5 {
				t.Fatalf("%s: probabilities add up to %v", name, sum)
			}
		}
		if own, shared := exec.VariantPacks(sess); own > shared/4 {
			t.Errorf("%s: the variant packs %d weights itself and shares %d", name, own, shared)
		}
	}
}

func TestValuesThatCannotBeAskedFor(t *testing.T) {
	body := &onnx.Graph{Name: "body", Nodes: []*onnx.Node{node("Neg", s("x"), s("inner")), node("Abs", s("inner"), s("res"))}, Outputs: []*onnx.ValueInfo{{Name: "res"}}}
	m := graph(s("x", "c:bool"), s("z"), nil,
		node("If", s("c"), s("y"), &onnx.Attribute{Name: "then_branch", Type: onnx.AttrGraph, Graph: body}, &onnx.Attribute{Name: "else_branch", Type: onnx.AttrGraph, Graph: body}),
		node("own:Twice", s("y"), s("z")))
	m.Opsets = append(m.Opsets, onnx.Opset{Domain: "own", Version: 1})
	m.Functions = []*onnx.Function{{Name: "Twice", Domain: "own", Inputs: s("a"), Outputs: s("b"), Opsets: []onnx.Opset{{Version: 17}},
		Nodes: []*onnx.Node{node("Exp", s("a"), s("hidden")), node("Add", s("hidden", "hidden"), s("b"))}}}
	sess := newSession(t, m, exec.Options{})
	feed := map[string]*exec.Tensor{"x": exec.Floats([]float32{1}, 1), "c": {Type: onnx.Bool, Bool: []bool{true}}}
	for name, want := range map[string]string{"inner": "body of node the_If", "hidden": "function Twice", "nothing": "not a value", "": "not a value"} {
		if sess.Has(name) {
			t.Errorf("Has(%q) is true", name)
		}
		if _, err := sess.Run(context.Background(), feed, "z", name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error is %v; want %q", name, err, want)
		}
	}
	if y := run(t, sess, feed, "y")["y"]; y.F32[0] != 1 {
		t.Errorf("y is %v", y.F32)
	}
}
