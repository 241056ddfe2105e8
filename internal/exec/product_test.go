package exec_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
)

// runOne runs a node on its inputs a, b, c … and returns its only output.
func runOne(t *testing.T, n *onnx.Node, in ...*exec.Tensor) (*exec.Tensor, error) {
	t.Helper()
	m := graph(nil, s("out"), nil, n)
	feed := map[string]*exec.Tensor{}
	for i, x := range in {
		name := string(rune('a' + i))
		n.Inputs = append(n.Inputs, name)
		m.Graph.Inputs = append(m.Graph.Inputs, &onnx.ValueInfo{Name: name, Type: x.Type})
		feed[name] = x
	}
	n.Outputs = s("out")
	sess, err := exec.New(m, exec.Options{Unfused: true})
	if err != nil {
		return nil, err
	}
	got, err := sess.Run(context.Background(), feed)
	return got["out"], err
}

func TestEinsum(t *testing.T) {
	a, b := sample(6, 1), sample(12, 2) // [2 3], [3 4]
	at := func(v []float32, cols, i, j int) float64 { return float64(v[i*cols+j]) }
	v4 := sample(4, 3)
	chain := make([]float64, 2) // ij,jk,k->i
	outer := make([]float64, 0, 24)
	for i := range 2 {
		for j := range 3 {
			for k := range 4 {
				chain[i] += at(a, 3, i, j) * at(b, 4, j, k) * float64(v4[k])
				outer = append(outer, at(a, 3, i, j)*float64(v4[k]))
			}
		}
	}
	square := sample(9, 4)
	ta, tb, tv, ts := exec.Floats(a, 2, 3), exec.Floats(b, 3, 4), exec.Floats(v4, 4), exec.Floats(square, 3, 3)
	for equation, c := range map[string]struct {
		in   []*exec.Tensor
		want []float64
		size []int
	}{
		"ij,jk,k->i":     {[]*exec.Tensor{ta, tb, tv}, chain, []int{2}},
		"ij , k":         {[]*exec.Tensor{ta, tv}, outer, []int{2, 3, 4}},
		"...j,k->...jk":  {[]*exec.Tensor{ta, tv}, outer, []int{2, 3, 4}},
		"ii":             {[]*exec.Tensor{ts}, []float64{float64(square[0] + square[4] + square[8])}, nil},
		"ii->i":          {[]*exec.Tensor{ts}, []float64{float64(square[0]), float64(square[4]), float64(square[8])}, []int{3}},
		"ji->ij":         {[]*exec.Tensor{exec.Floats(a[:3], 1, 3)}, []float64{float64(a[0]), float64(a[1]), float64(a[2])}, []int{3, 1}},
		"...i->...":      {[]*exec.Tensor{exec.Floats(a, 1, 6)}, []float64{float64(a[0] + a[1] + a[2] + a[3] + a[4] + a[5])}, []int{1}},
		"ij,jk->z":       {[]*exec.Tensor{ta, tb}, nil, nil},
		"ij,kj->ik":      {[]*exec.Tensor{ta, tb}, nil, nil},
		"i1->i":          {[]*exec.Tensor{ta}, nil, nil},
		"ij->ii":         {[]*exec.Tensor{ta}, nil, nil},
		"ij,jk,kl->il":   {[]*exec.Tensor{ta, tb}, nil, nil},
		"ijkl->l":        {[]*exec.Tensor{ta}, nil, nil},
		"ij...,...k->ik": {[]*exec.Tensor{ta, tv}, nil, nil},
	} {
		got, err := runOne(t, node("Einsum", nil, nil, onnx.StringAttr("equation", equation)), c.in...)
		if c.want == nil {
			if equation == "ij...,...k->ik" { // dots that cover nothing
				if err != nil {
					t.Errorf("%s: %v", equation, err)
				}
			} else if err == nil || !strings.Contains(err.Error(), "the_Einsum") || strings.Contains(err.Error(), "fault") {
				t.Errorf("%s: error is %v", equation, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", equation, err)
			continue
		}
		if !slices.Equal(got.Shape, c.size) || len(got.F32) != len(c.want) {
			t.Errorf("%s: shape %v; want %v", equation, got.Shape, c.size)
			continue
		}
		for i, w := range c.want {
			if math.Abs(float64(got.F32[i])-w) > 1e-5 {
				t.Errorf("%s: element %d is %v; want %v", equation, i, got.F32[i], w)
			}
		}
	}
}

func TestGemmOfOtherTypes(t *testing.T) {
	a, b, bias := sample(6, 1), sample(12, 2), sample(4, 3)
	double := func(v []float32, shape ...int) *exec.Tensor {
		x := &exec.Tensor{Type: onnx.Double, Shape: shape}
		for _, e := range v {
			x.F64 = append(x.F64, float64(e))
		}
		return x
	}
	attrs := []*onnx.Attribute{onnx.IntAttr("transA", 1), onnx.IntAttr("transB", 1), onnx.FloatAttr("alpha", 0.5), onnx.FloatAttr("beta", 2)}
	want, err := runOne(t, node("Gemm", nil, nil, attrs...), exec.Floats(a, 3, 2), exec.Floats(b, 4, 3), exec.Floats(bias, 4))
	if err != nil {
		t.Fatal(err)
	}
	got, err := runOne(t, node("Gemm", nil, nil, attrs...), double(a, 3, 2), double(b, 4, 3), double(bias, 4))
	if err != nil {
		t.Fatal(err)
	}
	if err := sameTensor(got, double(want.F32, 2, 4), 1e-5, 1e-6); err != nil {
		t.Error(err)
	}
}

func TestCastLikeOfFloat16Rounds(t *testing.T) {
	m := graph(s("x", "like"), s("y"), nil, node("CastLike", s("x", "like"), s("y")))
	m.Graph.Inputs[1].Type = onnx.Float16
	got, err := newSession(t, m, exec.Options{}).Run(context.Background(), map[string]*exec.Tensor{"x": exec.Floats([]float32{1.0001}, 1), "like": exec.Floats([]float32{0}, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if got["y"].F32[0] != 1 {
		t.Errorf("1.0001 is %v in float16", got["y"].F32[0])
	}
}

// TestQuantizedConv compares QLinearConv, grouped and with a scale and zero
// point for each channel, with Conv of what it stands for.
func TestQuantizedConv(t *testing.T) {
	x, w := make([]uint8, 2*4*5*5), make([]int8, 6*2*3*3)
	for i := range x {
		x[i] = uint8(i * 37)
	}
	for i := range w {
		w[i] = int8(i * 53)
	}
	xs, ws, ys := []float32{0.02}, []float32{0.01, 0.02, 0.03, 0.01, 0.02, 0.03}, []float32{0.5}
	wz, bias := []int8{0, 3, 3, -5, 0, 7}, []int32{100, -200, 300, 0, 5, 6}
	fx, fw, fb := make([]float32, len(x)), make([]float32, len(w)), make([]float32, 6)
	for i, v := range x {
		fx[i] = (float32(v) - 120) * xs[0]
	}
	for i, v := range w {
		k := i / 18
		fw[i] = (float32(v) - float32(wz[k])) * ws[k]
		fb[k] = float32(bias[k]) * xs[0] * ws[k]
	}
	attrs := []*onnx.Attribute{onnx.IntAttr("group", 2), onnx.IntsAttr("pads", 1, 0, 1, 2), onnx.IntsAttr("strides", 2, 1)}
	want, err := runOne(t, node("Conv", nil, nil, attrs...), exec.Floats(fx, 2, 4, 5, 5), exec.Floats(fw, 6, 2, 3, 3), exec.Floats(fb, 6))
	if err != nil {
		t.Fatal(err)
	}
	got, err := runOne(t, node("QLinearConv", nil, nil, attrs...),
		&exec.Tensor{Type: onnx.Uint8, Shape: []int{2, 4, 5, 5}, U8: x}, exec.Floats(xs), &exec.Tensor{Type: onnx.Uint8, U8: []uint8{120}},
		&exec.Tensor{Type: onnx.Int8, Shape: []int{6, 2, 3, 3}, I8: w}, exec.Floats(ws, 6), &exec.Tensor{Type: onnx.Int8, Shape: []int{6}, I8: wz},
		exec.Floats(ys), &exec.Tensor{Type: onnx.Uint8, U8: []uint8{100}}, &exec.Tensor{Type: onnx.Int32, Shape: []int{6}, I32: bias})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Shape, want.Shape) {
		t.Fatalf("shape %v; want %v", got.Shape, want.Shape)
	}
	inside := 0
	for i, v := range want.F32 {
		q := min(max(float64(v/ys[0])+100, 0), 255)
		if q > 0 && q < 255 {
			inside++
		}
		if math.Abs(float64(got.U8[i])-q) > 0.501 {
			t.Errorf("element %d is %d; want %v", i, got.U8[i], q)
		}
	}
	if inside < len(want.F32)/2 {
		t.Errorf("only %d of %d values are not saturated", inside, len(want.F32))
	}
}

// TestQuantizedTypes checks that small integers wrap and saturate as their own
// type does, and uint64 above 2⁶³.
func TestQuantizedTypes(t *testing.T) {
	u64 := func(v ...uint64) *exec.Tensor {
		x := &exec.Tensor{Type: onnx.Uint64, Shape: []int{len(v)}}
		for _, e := range v {
			x.I64 = append(x.I64, int64(e))
		}
		return x
	}
	i16 := func(v ...int64) *exec.Tensor { return &exec.Tensor{Type: onnx.Int16, Shape: []int{len(v)}, I64: v} }
	big := uint64(1) << 63
	for name, c := range map[string]struct {
		op   string
		in   []*exec.Tensor
		want *exec.Tensor
		attr []*onnx.Attribute
	}{
		"int16 wraps":     {op: "Add", in: []*exec.Tensor{i16(32767, -32768), i16(1, -1)}, want: i16(-32768, 32767)},
		"uint64 division": {op: "Div", in: []*exec.Tensor{u64(big, 9), u64(2, 2)}, want: u64(big/2, 4)},
		"uint64 maximum":  {op: "Max", in: []*exec.Tensor{u64(big, 9), u64(2, 2)}, want: u64(big, 9)},
		"uint64 order": {op: "Less", in: []*exec.Tensor{u64(big, 1), u64(2, 2)},
			want: &exec.Tensor{Type: onnx.Bool, Shape: []int{2}, Bool: []bool{false, true}}},
		"uint64 to float": {op: "Cast", in: []*exec.Tensor{u64(big)}, want: exec.Floats([]float32{0x1p63}, 1), attr: []*onnx.Attribute{onnx.IntAttr("to", 1)}},
		"float to uint64": {op: "Cast", in: []*exec.Tensor{exec.Floats([]float32{0x1p63}, 1)}, want: u64(big), attr: []*onnx.Attribute{onnx.IntAttr("to", 13)}},
		"float to int4": {op: "QuantizeLinear", in: []*exec.Tensor{exec.Floats([]float32{-100, 1, 100}, 3), exec.Floats([]float32{1})},
			want: &exec.Tensor{Type: onnx.Int4, Shape: []int{3}, I64: []int64{-8, 1, 7}}, attr: []*onnx.Attribute{onnx.IntAttr("output_dtype", int64(onnx.Int4))}},
		"clipped uint64":    {op: "Clip", in: []*exec.Tensor{u64(1, big+5, big), scalarOf(u64(2)), scalarOf(u64(big + 1))}, want: u64(2, big+1, big)},
		"negative int16":    {op: "Neg", in: []*exec.Tensor{i16(-32768, 5)}, want: i16(-32768, -5)},
		"arg max of uint64": {op: "ArgMax", in: []*exec.Tensor{u64(1, big, 2)}, want: exec.Int64s([]int64{1}, 1)},
		"scattered int16": {op: "ScatterElements", in: []*exec.Tensor{i16(32767, 5), exec.Int64s([]int64{0, 0}, 2), i16(1, 2)}, want: i16(-32766, 5),
			attr: []*onnx.Attribute{onnx.StringAttr("reduction", "add")}},
		"maximum of uint64": {op: "ReduceMax", in: []*exec.Tensor{u64(1, big, 2)}, want: u64(big), attr: []*onnx.Attribute{onnx.IntAttr("keepdims", 1)}},
	} {
		got, err := runOne(t, node(c.op, nil, nil, c.attr...), c.in...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := sameTensor(got, c.want, 0, 0); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := runOne(t, node("Div", nil, nil), i16(1), i16(0)); err == nil || strings.Contains(err.Error(), "fault") {
		t.Errorf("division by zero: %v", err)
	}
}

func scalarOf(t *exec.Tensor) *exec.Tensor {
	t.Shape = nil
	return t
}

// TestBiasBeforeSkipLayerNorm has a linear layer whose bias stands in the
// normalisation behind it: the two are fused in the order in which they run.
func TestBiasBeforeSkipLayerNorm(t *testing.T) {
	m := graph(s("x"), s("y"), []*onnx.Tensor{onnx.NewFloats("w", sample(16, 1), 4, 4), onnx.NewFloats("b", sample(4, 2), 4),
		onnx.NewFloats("gamma", sample(4, 3), 4), onnx.NewFloats("beta", sample(4, 4), 4)},
		node("com.microsoft:SkipLayerNormalization", s("x", "x", "gamma", "beta"), s("h")),
		node("MatMul", s("h", "w"), s("p")),
		node("com.microsoft:SkipLayerNormalization", s("p", "h", "gamma", "beta", "b"), s("y")))
	in := map[string]*exec.Tensor{"x": exec.Floats(sample(24, 5), 2, 3, 4)}
	var want *exec.Tensor
	for _, unfused := range []bool{true, false} {
		m.Graph.Inputs[0].HasShape = true
		m.Graph.Inputs[0].Dims = []onnx.Dim{{Param: "batch"}, {Param: "length"}, {Size: 4, Known: true}}
		got, err := newSession(t, m, exec.Options{Unfused: unfused}).Run(context.Background(), in)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = got["y"]
		} else if err := sameTensor(got["y"], want, 1e-4, 1e-5); err != nil {
			t.Error(err)
		}
	}
}
