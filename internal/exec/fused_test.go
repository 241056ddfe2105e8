package exec_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
)

const (
	sst2File   = "sst2-bert-L2-H128/model.onnx"
	lastHidden = "/bert/encoder/layer.1/output/LayerNorm/Add_1_output_0"
)

func mustMatch(t *testing.T, what string, got, want *exec.Tensor, atol float64) {
	t.Helper()
	if err := sameTensor(got, want, 0, atol); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// TestFusedAgreesWithUnfused compares logits and hidden states for any batch and length.
func TestFusedAgreesWithUnfused(t *testing.T) {
	m := openModel(t, sst2File)
	fused, plain := newSession(t, m, exec.Options{}), newSession(t, m, exec.Options{Unfused: true})
	if exec.StepCount(fused)*3 > exec.StepCount(plain) {
		t.Errorf("fusion leaves %d of %d nodes", exec.StepCount(fused), exec.StepCount(plain))
	}
	for _, sh := range [][2]int{{1, 1}, {3, 1}, {1, 7}, {3, 7}, {1, 128}, {3, 128}} {
		feed := goldenFeed(plain, 30522, sh[0], sh[1])
		want := run(t, plain, feed, "logits", lastHidden)
		got := run(t, fused, feed, "logits", lastHidden)
		mustMatch(t, fmt.Sprint("logits ", sh), got["logits"], want["logits"], 2e-5)
		mustMatch(t, fmt.Sprint("hidden ", sh), got[lastHidden], want[lastHidden], 2e-5)
		// What else is asked for changes no bit.
		alone := run(t, fused, feed)
		if !slices.Equal(alone["logits"].F32, got["logits"].F32) {
			t.Errorf("%v: logits alone are %v, with the hidden state %v", sh, alone["logits"].F32, got["logits"].F32)
		}
	}
}

// TestNarrowing: the last layer runs on one position where only that is read.
func TestNarrowing(t *testing.T) {
	sess := newSession(t, openModel(t, sst2File), exec.Options{})
	ops := exec.PlanOps(sess, "logits")
	if !slices.Contains(ops, "lite.exec.Attention") || slices.Contains(exec.PlanOps(sess, lastHidden), "lite.exec.Attention") {
		t.Errorf("nodes for logits: %v", ops)
	}
	// Keys and values need the layers below at every position: their rows are not made again.
	if n := count(ops, "lite.exec.Attention"); n != 1 {
		t.Errorf("%d attentions of one query; the last layer's alone is wanted: %v", n, ops)
	}
	if all, more := count(exec.PlanOps(sess, lastHidden), "lite.Linear"), count(ops, "lite.Linear"); more != all+2 { // pooler and classifier
		t.Errorf("%d linear layers for all positions, %d for one and what is made of it", all, more)
	}
	// A bias [1,1,S,S] has a row of its own for each query.
	const S, H = 5, 8
	build := func(index int64) *onnx.Model {
		return graph(s("x", "bias"), s("y", "full"), []*onnx.Tensor{
			onnx.NewFloats("w", sample(H*H, 1), H, H), onnx.NewFloats("g", sample(H, 2), H), onnx.NewFloats("b", sample(H, 3), H), onnx.NewInt64s("i", []int64{index})},
			node("lite:LayerNorm", s("x", "g", "b"), s("in"), onnx.FloatAttr("eps", 1e-5)),
			node("lite:Linear", s("in", "w"), s("q")),
			node("lite:Attention", s("q", "in", "in", "bias"), s("a"), onnx.IntAttr("heads", 2), onnx.FloatAttr("scale", 0.5)),
			node("lite:Linear", s("a", "w", "b"), s("o"), onnx.StringAttr("act", "gelu")),
			node("lite:LayerNorm", s("o", "g", "b", "in"), s("full"), onnx.FloatAttr("eps", 1e-5)),
			node("Gather", s("full", "i"), s("y"), onnx.IntAttr("axis", 1)))
	}
	for _, index := range []int64{0, 3, -1} {
		sess := newSession(t, build(index), exec.Options{})
		if !slices.Contains(exec.PlanOps(sess, "y"), "lite.exec.Attention") {
			t.Fatal("the graph was not narrowed")
		}
		out := run(t, sess, map[string]*exec.Tensor{"x": exec.Floats(sample(2*S*H, 4), 2, S, H), "bias": exec.Floats(sample(S*S, 5), 1, 1, S, S)})
		at := int((index + S) % S)
		want := slices.Concat(out["full"].F32[at*H:][:H], out["full"].F32[(S+at)*H:][:H])
		mustMatch(t, fmt.Sprint("row ", index), out["y"], exec.Floats(want, 2, H), 1e-6)
	}
}

func count(list []string, what string) (n int) {
	for _, s := range list {
		if s == what {
			n++
		}
	}
	return n
}

func TestRows(t *testing.T) {
	m := openModel(t, "mlm-random-L3-H64/model.onnx")
	full, sess := newSession(t, m, exec.Options{}), newSession(t, m, exec.Options{Rows: []string{"logits"}})
	feed := goldenFeed(full, 4000, 2, 9)
	want := run(t, full, feed)["logits"]
	for _, rows := range [][]int64{{0}, {17, 3, 3, 8}, {}} {
		feed["rows"] = exec.Int64s(rows, len(rows))
		got := run(t, sess, feed)["logits"]
		if !slices.Equal(got.Shape, []int{len(rows), 4000}) {
			t.Fatalf("rows %v: shape %v", rows, got.Shape)
		}
		for i, r := range rows {
			mustMatch(t, fmt.Sprint("row ", r), exec.Floats(got.F32[i*4000:][:4000], 4000), exec.Floats(want.F32[r*4000:][:4000], 4000), 1e-5)
		}
	}
	feed["rows"] = exec.Int64s([]int64{18}, 1)
	if _, err := sess.Run(t.Context(), feed); err == nil {
		t.Error("row 18 of 18 is no error")
	}
}

// TestLinear compares the fused layer with its parts, weight constant and not.
func TestLinear(t *testing.T) {
	const in, out = 5, 7
	x := exec.Floats(sample(2*3*in, 1), 2, 3, in)
	b := sample(out, 3)
	for _, trans := range []int64{0, 1} {
		dims := []int64{in, out}
		if trans == 1 {
			dims = []int64{out, in}
		}
		w := onnx.NewFloats("w", sample(in*out, 2), dims...)
		for act, f := range map[string]func(float64) float64{
			"": func(v float64) float64 { return v }, "relu": func(v float64) float64 { return max(v, 0) }, "tanh": math.Tanh,
			"gelu":      func(v float64) float64 { return v / 2 * (1 + math.Erf(v/math.Sqrt2)) },
			"gelu_tanh": func(v float64) float64 { return v / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(v+0.044715*v*v*v))) },
		} {
			want := make([]float32, 6*out)
			for r := range 6 {
				for j := range out {
					sum := float64(b[j])
					for k := range in {
						at := k*out + j
						if trans == 1 {
							at = j*in + k
						}
						sum += float64(x.F32[r*in+k]) * float64(sample(in*out, 2)[at])
					}
					want[r*out+j] = float32(f(sum))
				}
			}
			n := node("lite:Linear", s("x", "w", "b"), s("y"), onnx.IntAttr("trans_b", trans), onnx.StringAttr("act", act))
			bias := onnx.NewFloats("b", b, out)
			fixed := newSession(t, graph(s("x"), s("y"), []*onnx.Tensor{w, bias}, n), exec.Options{Unfused: true})
			mustMatch(t, act+" packed", run(t, fixed, map[string]*exec.Tensor{"x": x})["y"], exec.Floats(want, 2, 3, out), 1e-5)
			free := newSession(t, graph(s("x", "w"), s("y"), []*onnx.Tensor{bias}, n), exec.Options{Unfused: true})
			wt := exec.Floats(sample(in*out, 2), int(dims[0]), int(dims[1]))
			mustMatch(t, act+" unpacked", run(t, free, map[string]*exec.Tensor{"x": x, "w": wt})["y"], exec.Floats(want, 2, 3, out), 1e-5)
		}
	}
}

// TestDynamicInt8 compares lite.QLinear with the nodes it stands for, for
// signed and unsigned weights, per tensor and per column.
func TestDynamicInt8(t *testing.T) {
	const in, out = 13, 6
	x := exec.Floats(sample(4*in, 1), 4, in)
	for name, c := range map[string]struct {
		w, zero *onnx.Tensor
		scale   []float32
	}{
		"int8":       {onnx.NewInt8s("w", int8s(in*out, 2), in, out), onnx.NewInt8s("z", []int8{3}), []float32{0.02}},
		"uint8":      {onnx.NewUint8s("w", uint8s(in*out, 3), in, out), onnx.NewUint8s("z", []uint8{130}), []float32{0.02}},
		"int8 axis":  {onnx.NewInt8s("w", int8s(in*out, 4), in, out), onnx.NewInt8s("z", []int8{0, 1, -2, 3, -4, 5}, out), []float32{.01, .02, .03, .04, .05, .06}},
		"uint8 axis": {onnx.NewUint8s("w", uint8s(in*out, 5), in, out), onnx.NewUint8s("z", []uint8{0, 128, 255, 3, 4, 5}, out), []float32{.01, .02, .03, .04, .05, .06}},
	} {
		dims := []int64{}
		if len(c.scale) > 1 {
			dims = []int64{out}
		}
		inits := []*onnx.Tensor{c.w, c.zero, onnx.NewFloats("s", c.scale, dims...), onnx.NewFloats("b", sample(out, 9), out)}
		parts := newSession(t, graph(s("x"), s("y"), inits,
			node("DynamicQuantizeLinear", s("x"), s("xq", "xs", "xz")), node("MatMulInteger", s("xq", "w", "xz", "z"), s("acc")),
			node("Cast", s("acc"), s("f"), onnx.IntAttr("to", 1)), node("Mul", s("xs", "s"), s("ss")), node("Mul", s("f", "ss"), s("m")),
			node("Add", s("m", "b"), s("y"))), exec.Options{Unfused: true})
		whole := newSession(t, graph(s("x"), s("y"), inits, node("lite:QLinear", s("x", "w", "s", "z", "b"), s("y"))), exec.Options{})
		feed := map[string]*exec.Tensor{"x": x}
		mustMatch(t, name, run(t, whole, feed)["y"], run(t, parts, feed)["y"], 0)
		ms := newSession(t, graph(s("x"), s("y"), inits, node("com.microsoft:DynamicQuantizeMatMul", s("x", "w", "s", "z", "b"), s("y"))), exec.Options{Unfused: true})
		mustMatch(t, name+" DynamicQuantizeMatMul", run(t, ms, feed)["y"], run(t, parts, feed)["y"], 0)
	}
}

func int8s(n int, seed uint64) []int8 {
	out := make([]int8, n)
	for i, v := range sample(n, seed) {
		out[i] = int8(v * 127)
	}
	return out
}

func uint8s(n int, seed uint64) []uint8 {
	out := make([]uint8, n)
	for i, v := range sample(n, seed) {
		out[i] = uint8((v + 1) * 127.5)
	}
	return out
}

// TestStaticInt8: quantize–dequantize around a product runs in the int8 kernel
// and agrees with the float graph.
func TestStaticInt8(t *testing.T) {
	const in, out = 12, 6
	x := exec.Floats(sample(2*5*in, 1), 2, 5, in)
	uz, iz := onnx.NewUint8s("xz", []uint8{117}), onnx.NewInt8s("xz", []int8{-9})
	for name, c := range map[string]struct {
		xz    *onnx.Tensor
		scale []float32
		op    string
		lower bool
	}{
		"u8 axis":     {uz, []float32{.01, .02, .03, .04, .05, .06}, "MatMul", true},
		"u8 tensor":   {uz, []float32{.01}, "MatMul", true},
		"s8 axis":     {iz, []float32{.01, .02, .03, .04, .05, .06}, "MatMul", true},
		"u8 Linear":   {uz, []float32{.01, .02, .03, .04, .05, .06}, "lite:Linear", true},
		"u8 rows":     {uz, slices.Repeat([]float32{.01, .02, .03, .04}, 3), "MatMul", false},
		"transposed":  {uz, []float32{.01, .02, .03, .04, .05, .06}, "trans", true},
		"transposed2": {uz, slices.Repeat([]float32{.01, .02, .03, .04}, 3), "trans", false},
		"tied":        {uz, []float32{.01, .02, .03, .04, .05, .06}, "tied", true},
		"tied2":       {uz, slices.Repeat([]float32{.01, .02, .03, .04}, 3), "tied", false},
	} {
		sdims := []int64{int64(len(c.scale))}
		if len(c.scale) == 1 {
			sdims = nil
		}
		axis, dims := int64(1), []int64{in, out}
		n := node(c.op, s("xd", "wd"), s("y"))
		if c.op == "lite:Linear" {
			n = node(c.op, s("xd", "wd", "b"), s("y"), onnx.StringAttr("act", "gelu"))
		}
		if c.op == "trans" {
			axis, dims = 0, []int64{out, in}
			n = node("lite:Linear", s("xd", "wd", "b"), s("y"), onnx.IntAttr("trans_b", 1))
		}
		stored, nodes := "w", []*onnx.Node(nil)
		if c.op == "tied" {
			n, dims, stored = node("MatMul", s("xd", "wd"), s("y")), []int64{out, in}, "wt"
			nodes = append(nodes, node("Transpose", s("w"), s("wt")))
		}
		if len(c.scale) == in {
			axis = 1 - axis // scales along the summed dimension: not a column scale
		}
		m := graph(s("x"), s("y"), []*onnx.Tensor{onnx.NewInt8s("w", int8s(in*out, 2), dims...), c.xz,
			onnx.NewFloats("xs", []float32{0.011}), onnx.NewFloats("s", c.scale, sdims...), onnx.NewFloats("b", sample(out, 9), out)},
			append(nodes, node("QuantizeLinear", s("x", "xs", "xz"), s("xq")), node("DequantizeLinear", s("xq", "xs", "xz"), s("xd")),
				node("DequantizeLinear", s(stored, "s"), s("wd"), onnx.IntAttr("axis", axis)), n)...)
		feed := map[string]*exec.Tensor{"x": x}
		sess := newSession(t, m, exec.Options{})
		if got := slices.Contains(exec.PlanOps(sess, "y"), "lite.exec.IntegerLinear"); got != c.lower {
			t.Errorf("%s: lowered %v; want %v: %v", name, got, c.lower, exec.PlanOps(sess, "y"))
		}
		want := run(t, newSession(t, m, exec.Options{Unfused: true}), feed)["y"]
		mustMatch(t, name, run(t, sess, feed)["y"], want, 2e-5)
	}
}

// TestFusedMicrosoft compares ONNX Runtime's fused operators with their parts.
func TestFusedMicrosoft(t *testing.T) {
	const B, S, H = 2, 4, 8
	x, skip := exec.Floats(sample(B*S*H, 1), B, S, H), exec.Floats(sample(B*S*H, 2), B, S, H)
	inits := []*onnx.Tensor{onnx.NewFloats("g", sample(H, 3), H), onnx.NewFloats("be", sample(H, 4), H), onnx.NewFloats("b", sample(H, 5), H),
		onnx.NewFloats("w", sample(H*3*H, 6), H, 3*H), onnx.NewFloats("wb", sample(3*H, 7), 3*H), onnx.NewInt64s("end", []int64{S}, 1)}
	feed := map[string]*exec.Tensor{"x": x, "skip": skip}
	eps := onnx.FloatAttr("epsilon", 1e-5)
	both := func(name string, inputs []string, one, parts []*onnx.Node, feed map[string]*exec.Tensor) {
		t.Helper()
		a := newSession(t, graph(inputs, s("y"), inits, one...), exec.Options{Unfused: true})
		b := newSession(t, graph(inputs, s("y"), inits, parts...), exec.Options{Unfused: true})
		mustMatch(t, name, run(t, a, feed)["y"], run(t, b, feed)["y"], 2e-6)
	}
	both("SkipLayerNormalization", s("x", "skip"),
		[]*onnx.Node{node("com.microsoft:SkipLayerNormalization", s("x", "skip", "g", "be", "b"), s("y", "", "", "sum"), eps)},
		[]*onnx.Node{node("Add", s("x", "skip"), s("t")), node("Add", s("t", "b"), s("u")), node("LayerNormalization", s("u", "g", "be"), s("y"), eps)}, feed)
	both("BiasGelu", s("x"), []*onnx.Node{node("com.microsoft:BiasGelu", s("x", "b"), s("y"))},
		[]*onnx.Node{node("Add", s("x", "b"), s("t")), node("Gelu", s("t"), s("y"))}, map[string]*exec.Tensor{"x": x})
	both("FastGelu", s("x"), []*onnx.Node{node("com.microsoft:FastGelu", s("x"), s("y"))},
		[]*onnx.Node{node("Gelu", s("x"), s("y"), onnx.StringAttr("approximate", "tanh"))}, map[string]*exec.Tensor{"x": x})
	both("FusedMatMul", s("x", "skip"), []*onnx.Node{node("com.microsoft:FusedMatMul", s("x", "skip"), s("y"), onnx.IntAttr("transB", 1), onnx.FloatAttr("alpha", 2))},
		[]*onnx.Node{node("Transpose", s("skip"), s("t"), onnx.IntsAttr("perm", 0, 2, 1)), node("MatMul", s("x", "t"), s("u")), node("Add", s("u", "u"), s("y"))}, feed)

	mask := &exec.Tensor{Type: onnx.Int32, Shape: []int{B, S}, I32: []int32{1, 1, 1, 0, 1, 1, 0, 0}}
	bias := exec.Floats([]float32{0, 0, 0, -10000, 0, 0, -10000, -10000}, B, 1, 1, S)
	got := newSession(t, graph(s("x", "mask:i32"), s("y"), inits,
		node("com.microsoft:Attention", s("x", "w", "wb", "mask"), s("y"), onnx.IntAttr("num_heads", 2))), exec.Options{Unfused: true})
	want := newSession(t, graph(s("x", "bias"), s("y"), inits,
		node("MatMul", s("x", "w"), s("t")), node("Add", s("t", "wb"), s("u")), node("Split", s("u"), s("q", "k", "v"), onnx.IntAttr("axis", 2)),
		node("lite:Attention", s("q", "k", "v", "bias"), s("y"), onnx.IntAttr("heads", 2), onnx.FloatAttr("scale", 0.5))), exec.Options{Unfused: true})
	mustMatch(t, "Attention", run(t, got, map[string]*exec.Tensor{"x": x, "mask": mask})["y"], run(t, want, map[string]*exec.Tensor{"x": x, "bias": bias})["y"], 2e-6)
	// The same mask as lengths.
	lengths := &exec.Tensor{Type: onnx.Int32, Shape: []int{B}, I32: []int32{3, 2}}
	mustMatch(t, "Attention lengths", run(t, got, map[string]*exec.Tensor{"x": x, "mask": lengths})["y"], run(t, want, map[string]*exec.Tensor{"x": x, "bias": bias})["y"], 2e-6)

	// MultiHeadAttention has the same with Q, K and V apart and the bias inside.
	mha := newSession(t, graph(s("x", "mask:i32"), s("y"), inits, node("MatMul", s("x", "w"), s("t")), node("Split", s("t"), s("q", "k", "v"), onnx.IntAttr("axis", 2)),
		node("com.microsoft:MultiHeadAttention", s("q", "k", "v", "wb", "mask"), s("y"), onnx.IntAttr("num_heads", 2))), exec.Options{Unfused: true})
	mustMatch(t, "MultiHeadAttention", run(t, mha, map[string]*exec.Tensor{"x": x, "mask": mask})["y"], run(t, want, map[string]*exec.Tensor{"x": x, "bias": bias})["y"], 2e-6)
}
