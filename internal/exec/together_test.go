package exec_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

func sampleBytes(n int, seed uint64) []int8 {
	out := make([]int8, n)
	for i, v := range sample(n, seed) {
		out[i] = int8(100 * v)
	}
	return out
}

// TestTogether: layers of one input are one node, and give the bits that they give
// alone, with any number of threads.
func TestTogether(t *testing.T) {
	const in = 20
	widths := []int{40, 7, 33, 5, 48} // more than are joined at a time
	weights := []*onnx.Tensor{onnx.NewFloats("s", []float32{0.02})}
	floats, ints := graph(s("x"), nil, weights), graph(s("x"), nil, weights)
	acts := []string{"", "gelu", "relu", "tanh", "gelu_tanh"}
	for i, out := range widths {
		name := fmt.Sprint(i)
		dims, trans := []int64{in, int64(out)}, int64(i%2)
		if trans == 1 {
			slices.Reverse(dims)
		}
		bias := "b" + name
		weights = append(weights, onnx.NewFloats("w"+name, sample(in*out, uint64(i)), dims...), onnx.NewInt8s("q"+name, sampleBytes(in*out, uint64(i)), dims...),
			onnx.NewFloats(bias, sample(out, uint64(20+i)), int64(out)), onnx.NewFloats("s"+name, sample(out, uint64(30+i)), int64(out)), onnx.NewInt8s("z"+name, []int8{int8(i)}))
		if i == 1 {
			bias = ""
		}
		attrs := []*onnx.Attribute{onnx.StringAttr("act", acts[i]), onnx.IntAttr("trans_b", trans)}
		floats.Graph.Nodes = append(floats.Graph.Nodes, node("lite:Linear", s("x", "w"+name, bias), s("y"+name), attrs...))
		ints.Graph.Nodes = append(ints.Graph.Nodes, node("lite:QLinear", s("x", "q"+name, "s"+name, "z"+name, bias), s("y"+name), attrs...))
	}
	defer kernel.SetThreads(0)
	for op, m := range map[string]*onnx.Model{"Linears": floats, "IntegerLinears": ints} {
		m.Graph.Initializers = weights
		for i := range widths {
			m.Graph.Outputs = append(m.Graph.Outputs, &onnx.ValueInfo{Name: fmt.Sprint("y", i)})
		}
		sess := newSession(t, m, exec.Options{})
		if ops := exec.PlanOps(sess); count(ops, "lite.exec."+op) != 1 {
			t.Errorf("the nodes are %v; one %s is wanted", ops, op)
		}
		for _, rows := range []int{0, 1, 3, 30, 70} {
			feed := map[string]*exec.Tensor{"x": exec.Floats(sample(2*rows*in, 7), 2, rows, in)}
			for i, out := range widths {
				one := m.Clone()
				one.Graph.Outputs = one.Graph.Outputs[i : i+1]
				one.Graph.Prune()
				alone := newSession(t, one, exec.Options{})
				kernel.SetThreads(1)
				name := fmt.Sprint("y", i)
				want := run(t, alone, feed)[name]
				for _, threads := range []int{1, 2, 5} {
					kernel.SetThreads(threads)
					got := run(t, sess, feed)[name]
					if !slices.Equal(got.Shape, []int{2, rows, out}) || !slices.Equal(got.F32, want.F32) {
						t.Fatalf("%s %s of %d rows with %d threads differs from the layer alone", op, name, rows, threads)
					}
				}
			}
		}
	}
}

// TestTogetherNeeded: a layer that only a value beside the outputs needs stays alone.
func TestTogetherNeeded(t *testing.T) {
	sess := newSession(t, openModel(t, sst2File), exec.Options{})
	ops := exec.PlanOps(sess, "logits")
	// Two layers: query, key and value of the first, key and value of the last.
	if n := count(ops, "lite.exec.Linears"); n != 2 {
		t.Errorf("%d joined nodes, want 2: %v", n, ops)
	}
	if joined, alone := count(ops, "lite.exec.Linears"), count(ops, "lite.Linear"); joined+alone != 2+3+4+2 {
		t.Errorf("%d joined layers and %d others for logits: %v", joined, alone, ops)
	}
}

// TestGatherBytes: a table that is quantized by rows is read in one node.
func TestGatherBytes(t *testing.T) {
	const rows, width = 6, 21
	m := graph(s("ids:i64"), s("y"), []*onnx.Tensor{onnx.NewInt8s("table", sampleBytes(rows*width, 1), rows, width), onnx.NewFloats("scale", sample(rows, 2), rows, 1)},
		node("Gather", s("table", "ids"), s("q")), node("Gather", s("scale", "ids"), s("by")),
		node("Cast", s("q"), s("f"), onnx.IntAttr("to", int64(onnx.Float))), node("Mul", s("f", "by"), s("y")))
	sess, plain := newSession(t, m, exec.Options{}), newSession(t, m, exec.Options{Unfused: true})
	if ops := exec.PlanOps(sess); !slices.Equal(ops, s("lite.exec.GatherBytes")) {
		t.Errorf("the nodes are %v", ops)
	}
	feed := map[string]*exec.Tensor{"ids": exec.Int64s([]int64{5, 0, -1, 3}, 2, 2)}
	got, want := run(t, sess, feed, "y", "f"), run(t, plain, feed, "y", "f")
	for _, name := range s("y", "f") {
		if !slices.Equal(got[name].Shape, want[name].Shape) || !slices.Equal(got[name].F32, want[name].F32) {
			t.Errorf("%s is %v %v, want %v %v", name, got[name].Shape, got[name].F32, want[name].Shape, want[name].F32)
		}
	}
	feed["ids"].I64[1] = rows
	if _, err := sess.Run(t.Context(), feed); err == nil {
		t.Error("a row beyond the table is no error")
	}
}
