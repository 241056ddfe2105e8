package exec_test

import (
	"testing"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
)

// TestMicrosoftAttention covers kinds of masks, causality, past states, biases
// and sizes. B is 2, S 5, 2 heads of 4.
func TestMicrosoftAttention(t *testing.T) {
	heads, uni := at("num_heads", 2), at("unidirectional", 1)
	base := ins(fl(1, 2, 5, 8), fl(2, 8, 24), fl(3, 24))
	lengths, ends := i32([]int32{5, 3}, 2), i32([]int32{5, 4, 0, 2}, 4)
	rows := i32([]int32{1, 1, 1, 1, 1, 1, 1, 0, 1, 0}, 2, 5)
	rows8 := i32([]int32{1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 0, 0}, 2, 8)
	cube := i32(make([]int32, 50), 2, 5, 5)
	for i := range cube.I32 {
		if i%7 != 3 {
			cube.I32[i] = 1
		}
	}
	past := fl(5, 2, 2, 2, 3, 4)
	wide := ins(fl(1, 2, 5, 8), fl(2, 8, 8+8+12), fl(3, 28))
	var tests []nodeTest
	add := func(name string, outputs int, in []*exec.Tensor, a ...*onnx.Attribute) {
		tests = append(tests, nodeTest{name: "Attention " + name, op: "com.microsoft:Attention", outputs: outputs, attrs: append(attrs(heads), a...), in: in})
	}
	add("plain", 1, base)
	add("lengths", 1, with(base, lengths))
	add("ends and starts", 1, with(base, ends))
	add("rows", 1, with(base, rows), onnx.FloatAttr("mask_filter_value", -3))
	add("cube", 1, with(base, cube))
	add("causal", 1, base, uni)
	add("causal rows", 1, with(base, rows), uni)
	add("causal cube", 1, with(base, cube), uni)
	add("scale", 1, base, onnx.FloatAttr("scale", 0.3))
	add("bias by head", 1, with(base, rows, nil, fl(6, 2, 2, 5, 5)))
	add("bias for all rows", 1, with(base, nil, nil, fl(6, 1, 2, 5, 5)), uni)
	add("present only", 2, base)
	add("past", 2, with(base, nil, past))
	add("past causal rows", 2, with(base, rows8, past), uni)
	add("past lengths", 2, with(base, i32([]int32{8, 6}, 2), past))
	add("hidden sizes", 1, with(wide, rows), onnx.IntsAttr("qkv_hidden_sizes", 8, 8, 12))
	add("narrow values", 1, ins(fl(1, 2, 5, 8), fl(2, 8, 20), fl(3, 20)), onnx.IntsAttr("qkv_hidden_sizes", 8, 8, 4))
	againstORT(t, tests)
}

// TestMicrosoftMultiHeadAttention covers the forms of its operands. B is 2, S 5, L 7, 2 heads of 4.
func TestMicrosoftMultiHeadAttention(t *testing.T) {
	q, k, v := fl(1, 2, 5, 8), fl(2, 2, 7, 8), fl(3, 2, 7, 8)
	same := ins(q, fl(2, 2, 5, 8), fl(3, 2, 5, 8))
	rows := i32([]int32{1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 0, 0}, 2, 7)
	pk, pv := fl(8, 2, 2, 3, 4), fl(9, 2, 2, 3, 4)
	var tests []nodeTest
	add := func(name string, outputs int, in []*exec.Tensor, a ...*onnx.Attribute) {
		tests = append(tests, nodeTest{name: "MultiHeadAttention " + name, op: "com.microsoft:MultiHeadAttention", outputs: outputs,
			attrs: append(attrs(at("num_heads", 2)), a...), in: in})
	}
	add("cross", 1, ins(q, k, v))
	add("bias", 1, ins(q, k, v, fl(4, 24)))
	add("lengths", 1, ins(q, k, v, fl(4, 24), i32([]int32{7, 2}, 2)))
	add("rows", 1, ins(q, k, v, nil, rows))
	add("rows and scores", 1, ins(q, k, v, fl(4, 24), rows, fl(5, 1, 2, 5, 7)))
	add("scores of each row", 1, ins(q, k, v, nil, nil, fl(5, 2, 2, 5, 7)), onnx.FloatAttr("scale", 0.2))
	add("causal", 1, same, at("unidirectional", 1))
	add("wide values", 1, ins(q, k, fl(3, 2, 7, 12), fl(4, 28)))
	add("present", 3, same)
	add("past", 3, append(with(same, fl(4, 24), nil, nil), pk, pv))
	add("past causal", 3, append(with(same, nil, nil, nil), pk, pv), at("unidirectional", 1))
	add("heads first", 1, ins(q, fl(2, 2, 2, 7, 4), fl(3, 2, 2, 7, 4)))
	againstORT(t, tests)
}

// TestPackedMultiHeadAttention holds the packed forms, which ONNX Runtime's CPU
// has not, to the plain one.
func TestPackedMultiHeadAttention(t *testing.T) {
	const b, s, n, h = 2, 3, 2, 4
	heads := at("num_heads", n)
	pack := func(parts int) (*exec.Tensor, []*exec.Tensor) {
		all := fl(1, b, s, n, parts, h)
		out := make([]*exec.Tensor, parts)
		for p := range out {
			out[p] = fl(0, b, s, n*h)
			for i := range b * s * n {
				copy(out[p].F32[i*h:(i+1)*h], all.F32[(i*parts+p)*h:])
			}
		}
		return all, out
	}
	all, three := pack(3)
	pair, two := pack(2)
	q := fl(9, b, s, n*h)
	for name, c := range map[string][2][]*exec.Tensor{
		"queries, keys and values": {ins(all, nil, nil, fl(2, 3*n*h)), with(three, fl(2, 3*n*h))},
		"keys and values":          {ins(q, pair), ins(q, two[0], two[1])},
	} {
		got, err := runNode(17, node("com.microsoft:MultiHeadAttention", nil, nil, heads), 1, c[0]...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want, err := runNode(17, node("com.microsoft:MultiHeadAttention", nil, nil, heads), 1, c[1]...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := sameTensor(got[0], want[0], 1e-6, 1e-6); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMicrosoftRotary(t *testing.T) {
	cos, sin := fl(3, 10, 2), fl(4, 10, 2)
	pos, first := exec.Int64s([]int64{0, 1, 2, 9, 8, 7}, 2, 3), exec.Int64s([]int64{4}, 1)
	var tests []nodeTest
	for name, c := range map[string]struct {
		in []*exec.Tensor
		a  []*onnx.Attribute
	}{
		"rows":        {ins(fl(1, 2, 3, 8), pos, cos, sin), nil},
		"offset":      {ins(fl(1, 2, 3, 8), first, cos, sin), nil},
		"heads first": {ins(fl(1, 2, 5, 3, 4), pos, cos, sin), nil},
		"interleaved": {ins(fl(1, 2, 3, 8), pos, cos, sin), attrs(at("interleaved", 1))},
		"partial":     {ins(fl(1, 2, 3, 16), pos, cos, sin), attrs(at("rotary_embedding_dim", 4), at("num_heads", 2))},
	} {
		if name == "heads first" {
			c.in[0] = fl(1, 2, 5, 3, 4)
		}
		tests = append(tests, nodeTest{name: "RotaryEmbedding " + name, op: "com.microsoft:RotaryEmbedding", outputs: 1, attrs: c.a, in: c.in})
	}
	againstORT(t, tests)
}

func TestQAttention(t *testing.T) {
	var tests []nodeTest
	rows := i32([]int32{1, 1, 1, 1, 1, 1, 1, 0, 0, 0}, 2, 5)
	columns := exec.Floats(fillOf(24, func(i int) float32 { return 0.005 + float32(i)/2000 }), 24)
	add := func(name string, outputs int, in []*exec.Tensor, a ...*onnx.Attribute) {
		tests = append(tests, nodeTest{name: "QAttention " + name, op: "com.microsoft:QAttention", outputs: outputs, attrs: append(attrs(at("num_heads", 2)), a...), in: in})
	}
	x, b := ub(1, 2, 5, 8), fl(3, 24)
	add("unsigned", 1, ins(x, ub(2, 8, 24), b, num(0.02), num(0.01), nil, u8(117), u8(131)))
	add("signed", 1, ins(x, sb(2, 8, 24), b, num(0.02), num(0.01), rows, u8(117), s8(3)))
	add("columns", 1, ins(x, sb(2, 8, 24), b, num(0.02), columns, i32([]int32{5, 4}, 2), u8(117), s8(make([]int8, 24)...)))
	add("causal", 1, ins(x, sb(2, 8, 24), b, num(0.02), num(0.01), nil, u8(117), s8(0)), at("unidirectional", 1))
	add("past", 2, ins(x, sb(2, 8, 24), b, num(0.02), num(0.01), nil, u8(117), s8(0), fl(5, 2, 2, 2, 3, 4)))
	againstORT(t, tests)
}
