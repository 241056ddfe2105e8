package fuse_test

import (
	"strings"
	"testing"

	"github.com/litekit/lite/internal/fuse"
)

// heads3 is a transform that three outputs share, as in a masked model with taggers.
func heads3() *builder {
	return x8(17).weight("w", 8, 8).weight("b", 8).weight("g", 8).weight("wm", 8, 20).weight("wp", 8, 5).weight("wn", 8, 7).
		output("mlm", "B", "S", 20).output("pos", "B", "S", 5).output("ner", "B", "S", 7).
		node("Relu x -> h").node("MatMul h w -> m").node("Add m b -> a").node("com.microsoft:Gelu a -> u").
		node("LayerNormalization u g b -> t").node("MatMul t wm -> mlm").node("MatMul t wp -> pos").node("MatMul t wn -> ner")
}

func TestSelectRows(t *testing.T) {
	tests := []struct {
		name    string
		b       *builder
		outputs string
		want    string
	}{
		{"all heads", heads3(), "mlm pos ner", "lite.GatherRows Relu lite.Linear lite.LayerNorm lite.Linear lite.Linear lite.Linear"},
		{"one head", heads3(), "pos", "Relu lite.Linear lite.LayerNorm lite.Linear lite.GatherRows lite.Linear lite.Linear"},
		{"shared with a pooled head", heads3().scalarInt("0", 0).node("Gather h 0 -> cls").output("cls", "B", 8), "mlm pos ner",
			"Relu lite.GatherRows lite.Linear lite.LayerNorm lite.Linear lite.Linear lite.Linear Gather"},
		{"residual inside", x8(17).weight("w", 8, 8).weight("g", 8).weight("b", 8).output("y", "B", "S", 8).node("MatMul x w -> m").node("Add m x -> s").
			node("LayerNormalization s g b -> y"), "y", "lite.GatherRows lite.Linear lite.LayerNorm"},
		{"values broadcast over the batch", x8(17).input("p", float, 1, "S", 8).output("y", "B", "S", 8).node("Add x p -> a").node("Tanh a -> y"), "y", "Add lite.GatherRows Tanh"},
		{"an output that another output reads", x8(17).output("z", "B", "S", 8).output("y", "B", "S", 8).node("Relu x -> z").node("Softmax z -> y"), "z",
			"Relu lite.GatherRows Softmax"},
		{"nothing row-wise", x8(17).output("y", "B", "S", 8).node("CumSum x one -> y").scalarInt("one", 1), "y", "CumSum lite.GatherRows"},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			f := mustFuse(t, c.b.model())
			before := ops(f.Model)
			m, err := fuse.SelectRows(f.Model, strings.Fields(c.outputs))
			if err != nil {
				t.Fatal(err)
			}
			sound(t, m)
			if got := ops(m); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if ops(f.Model) != before {
				t.Error("the model handed in was changed")
			}
			if in := m.Graph.Inputs[len(m.Graph.Inputs)-1]; in.Name != fuse.RowsInput || len(in.Dims) != 1 {
				t.Errorf("input %+v", in)
			}
			for _, o := range m.Graph.Outputs {
				if strings.Contains(c.outputs, o.Name) != (len(o.Dims) == 2 && o.Dims[0].Param == fuse.RowsInput) {
					t.Errorf("output %s has dims %+v", o.Name, o.Dims)
				}
			}
		})
	}
}

func TestSelectRowsErrors(t *testing.T) {
	m := mustFuse(t, heads3().model()).Model
	if _, err := fuse.SelectRows(m, []string{"logits"}); err == nil || !strings.Contains(err.Error(), "mlm, pos, ner") {
		t.Errorf("unknown output: %v", err)
	}
	flat := mustFuse(t, newBuilder(17).input("x", float, "B", 8).output("y", "B", 8).node("Relu x -> y").model()).Model
	if _, err := fuse.SelectRows(flat, []string{"y"}); err == nil || !strings.Contains(err.Error(), "axes") {
		t.Errorf("output of two axes: %v", err)
	}
	once, err := fuse.SelectRows(m, []string{"mlm"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fuse.SelectRows(once, []string{"pos"}); err == nil || !strings.Contains(err.Error(), "rows") {
		t.Errorf("selected twice: %v", err)
	}
}
