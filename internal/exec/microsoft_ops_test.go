package exec_test

import (
	"testing"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
)

// TestMicrosoftQuantized covers the operators on 8-bit values but for attention.
func TestMicrosoftQuantized(t *testing.T) {
	var tests []nodeTest
	add := func(name, op string, in []*exec.Tensor, a ...*onnx.Attribute) *nodeTest {
		tests = append(tests, nodeTest{name: op + " " + name, op: "com.microsoft:" + op, outputs: 1, attrs: a, in: in})
		return &tests[len(tests)-1]
	}
	// sums and products, with scales that put results between two steps
	for _, op := range []string{"QLinearAdd", "QLinearMul"} {
		for name, in := range map[string][]*exec.Tensor{
			"unsigned":   ins(ub(1, 3, 40), num(0.03), u8(120), ub(2, 3, 40), num(0.05), u8(99), num(0.07), u8(101)),
			"signed":     ins(sb(1, 3, 40), num(0.03), s8(-3), sb(2, 3, 40), num(0.05), s8(7), num(0.07), s8(5)),
			"ties":       ins(ub(1, 8, 64), num(0.5), u8(3), ub(2, 8, 64), num(0.5), u8(4), num(1), u8(1)),
			"row":        ins(ub(1, 2, 3, 40), num(0.03), u8(120), ub(2, 40), num(0.05), u8(99), num(0.07), u8(101)),
			"column":     ins(ub(1, 3, 1), num(0.5), u8(120), ub(2, 3, 40), num(0.25), u8(99), num(0.5), u8(101)),
			"scalar":     ins(ub(1, 3, 40), num(0.5), u8(120), ub(2), num(0.25), u8(99), num(0.5), u8(101)),
			"both ways":  ins(ub(1, 4, 1), num(0.5), u8(120), ub(2, 1, 9), num(0.25), u8(99), num(0.5), u8(101)),
			"saturating": ins(ub(1, 3, 40), num(0.5), u8(1), ub(2, 3, 40), num(0.5), u8(250), num(0.05), u8(128)),
		} {
			add(name, op, in).exact = true
		}
	}
	for name, z := range map[string]*exec.Tensor{"unsigned": u8(128), "signed": s8(0)} {
		x := ub(1, 2, 3, 20)
		if z.Type == onnx.Int8 {
			x = sb(1, 2, 3, 20)
		}
		low := u8(0)
		if z.Type == onnx.Int8 {
			low = s8(-128)
		}
		add(name, "QLinearSigmoid", ins(x, num(0.05), z, num(1.0/256), low))
		add(name, "QLinearLeakyRelu", ins(x, num(0.05), z, num(0.04), z), onnx.FloatAttr("alpha", 0.1))
		add(name, "QLinearSoftmax", ins(x, num(0.05), z, num(1.0/256), low), at("axis", -1), at("opset", 13))
		add(name+" axis 1", "QLinearSoftmax", ins(x, num(0.05), z, num(1.0/256), low), at("axis", 1), at("opset", 13))
		add(name+" flat", "QLinearSoftmax", ins(x, num(0.05), z, num(1.0/256), low), at("axis", 1), at("opset", 12))
		image := ub(3, 2, 3, 5, 6)
		if z.Type == onnx.Int8 {
			image = sb(3, 2, 3, 5, 6)
		}
		for _, last := range []int64{0, 1} {
			add(name, "QLinearGlobalAveragePool", ins(image, num(0.05), z, num(0.02), z), at("channels_last", last))
			add(name, "QLinearAveragePool", ins(image, num(0.05), z, num(0.03), z), at("channels_last", last), onnx.IntsAttr("kernel_shape", 2, 3),
				onnx.IntsAttr("strides", 1, 2), onnx.IntsAttr("pads", 1, 0, 0, 1)).exact = true
			add(name+" with pads", "QLinearAveragePool", ins(image, num(0.05), z, num(0.03), z), at("channels_last", last), at("count_include_pad", 1),
				onnx.IntsAttr("kernel_shape", 2, 3), onnx.IntsAttr("pads", 1, 1, 1, 1)).exact = true
		}
		add(name, "NhwcMaxPool", ins(image), onnx.IntsAttr("kernel_shape", 2, 2), onnx.IntsAttr("strides", 2, 1), onnx.IntsAttr("pads", 1, 0, 0, 1)).exact = true
		same := func(seed uint64, shape ...int) *exec.Tensor {
			if z.Type == onnx.Int8 {
				return sb(seed, shape...)
			}
			return ub(seed, shape...)
		}
		add(name, "QLinearConcat", ins(num(0.2), z, same(1, 2, 3), num(0.1), z, same(2, 2, 4), num(0.05), z), at("axis", 1))
		add(name, "QLinearWhere", ins(&exec.Tensor{Type: onnx.Bool, Shape: []int{3}, Bool: []bool{true, false, true}}, same(1, 2, 3), num(0.1), z,
			same(2, 2, 3), num(0.05), z, num(0.2), z))
	}
	// products
	bias := i32([]int32{100, -2000, 30, 0, 555}, 5)
	add("float", "QGemm", ins(ub(1, 3, 4), num(0.02), u8(120), sb(2, 4, 5), num(0.01), s8(0), bias))
	add("unsigned", "QGemm", ins(ub(1, 3, 4), num(0.02), u8(120), ub(2, 4, 5), num(0.01), u8(130), bias, num(0.05), u8(111)))
	add("signed", "QGemm", ins(sb(1, 3, 4), num(0.02), s8(5), sb(2, 5, 4), num(0.01), s8(3), nil, num(0.05), s8(-7)), at("transB", 1)).fed = true
	add("columns", "QGemm", ins(ub(1, 3, 4), num(0.02), u8(120), sb(2, 4, 5), num(0.01, 0.02, 0.03, 0.01, 0.04), s8(0, 0, 0, 0, 0), bias, num(0.05), u8(111)))
	add("factor", "QGemm", ins(ub(1, 4, 3), num(0.02), u8(120), sb(2, 4, 5), num(0.01), s8(0), bias, num(0.05), u8(111)), at("transA", 1), onnx.FloatAttr("alpha", 0.5))
	w, ws := sb(2, 8, 6), num(0.01)
	add("plain", "DynamicQuantizeMatMul", ins(fl(1, 2, 3, 8), w, ws))
	add("zero and bias", "DynamicQuantizeMatMul", ins(fl(1, 3, 8), ub(2, 8, 6), num(0.01, 0.02, 0.03, 0.04, 0.05, 0.06), u8(1, 2, 3, 128, 130, 255), fl(4, 6)))
	add("plain", "MatMulIntegerToFloat", ins(ub(1, 2, 3, 8), w, num(0.1), ws))
	add("signed", "MatMulIntegerToFloat", ins(sb(1, 3, 8), w, num(0.1), num(0.01, 0.02, 0.03, 0.04, 0.05, 0.06), s8(5), s8(1, 2, 3, -4, 5, -6), fl(4, 6))).fed = true
	add("unsigned", "MatMulIntegerToFloat", ins(ub(1, 3, 8), ub(2, 8, 6), num(0.1), ws, u8(130), u8(120), fl(4, 6)))
	for name, c := range map[string]struct{ bits, k, block int }{"4 bits": {4, 64, 32}, "blocks of 16": {4, 40, 16}, "8 bits": {8, 64, 32}} {
		const n = 6
		blocks := (c.k + c.block - 1) / c.block
		a := attrs(at("K", int64(c.k)), at("N", n), at("bits", int64(c.bits)), at("block_size", int64(c.block)))
		in := ins(fl(1, 3, c.k), ub(2, n, blocks, c.block*c.bits/8), fl(3, n*blocks))
		add(name, "MatMulNBits", in, a...).tol = 1e-4
		add(name+", zero points", "MatMulNBits", with(in, ub(4, n*((blocks*c.bits+7)/8))), a...).tol = 1e-4
		add(name+", bias", "MatMulNBits", with(in, nil, nil, fl(5, n)), a...).tol = 1e-4
	}
	againstORT(t, tests)
}

// TestMicrosoftFloat covers the rest of what encoders use.
func TestMicrosoftFloat(t *testing.T) {
	var tests []nodeTest
	add := func(name, op string, outputs int, in []*exec.Tensor, a ...*onnx.Attribute) {
		tests = append(tests, nodeTest{name: op + " " + name, op: "com.microsoft:" + op, outputs: outputs, attrs: a, in: in})
	}
	eps := onnx.FloatAttr("epsilon", 1e-5)
	x := fl(1, 2, 5, 8)
	// embeddings
	ids := i32([]int32{1, 5, 9, 0, 2, 3, 3, 1}, 2, 4)
	types := i32([]int32{0, 0, 1, 1, 0, 1, 1, 1}, 2, 4)
	mask := i32([]int32{1, 1, 1, 1, 1, 1, 0, 0}, 2, 4)
	tables := func(seg *exec.Tensor) []*exec.Tensor {
		segment := fl(4, 2, 8)
		if seg == nil {
			segment = nil
		}
		return ins(ids, seg, fl(2, 10, 8), fl(3, 6, 8), segment, fl(5, 8), fl(6, 8))
	}
	add("plain", "EmbedLayerNormalization", 2, tables(types), eps)
	add("mask", "EmbedLayerNormalization", 2, with(tables(types), mask), eps)
	add("no segments", "EmbedLayerNormalization", 2, with(tables(nil), mask), eps)
	add("sum", "EmbedLayerNormalization", 3, with(tables(types), mask), eps)
	add("positions", "EmbedLayerNormalization", 2, with(tables(types), nil, i32([]int32{0, 1, 2, 3, 5, 4, 3, 2}, 2, 4)), eps)
	add("positions for all", "EmbedLayerNormalization", 2, with(tables(types), nil, i32([]int32{5, 4, 3, 2}, 1, 4)), eps)
	add("mask type", "EmbedLayerNormalization", 1, tables(types), eps, at("mask_index_type", 0))
	add("plain", "QEmbedLayerNormalization", 2, ins(ids, types, ub(2, 10, 8), ub(3, 6, 8), ub(4, 2, 8), ub(5, 8), ub(6, 8), mask,
		num(0.02), num(0.03), num(0.01), num(0.02), num(0.01), u8(120), u8(130), u8(110), u8(3), u8(128)), eps)
	// norms
	g, b := fl(3, 8), fl(4, 8)
	add("plain", "SkipLayerNormalization", 1, ins(x, fl(2, 2, 5, 8), g, b), eps)
	add("bias", "SkipLayerNormalization", 1, ins(x, fl(2, 2, 5, 8), g, b, fl(5, 8)), eps)
	add("no beta", "SkipLayerNormalization", 1, ins(x, fl(2, 2, 5, 8), g), eps)
	add("skip for all rows", "SkipLayerNormalization", 1, ins(x, fl(2, 1, 5, 8), g, b), eps)
	add("skip of two dimensions", "SkipLayerNormalization", 1, ins(x, fl(2, 5, 8), g, b), eps)
	add("two dimensions", "SkipLayerNormalization", 1, ins(fl(1, 5, 8), fl(2, 5, 8), g, b), eps)
	add("plain", "SkipSimplifiedLayerNormalization", 1, ins(x, fl(2, 2, 5, 8), g), eps)
	add("bias", "SkipSimplifiedLayerNormalization", 1, ins(x, fl(2, 2, 5, 8), g, fl(5, 8)), eps)
	add("own epsilon", "SkipSimplifiedLayerNormalization", 1, ins(x, fl(2, 2, 5, 8), g))
	// activations
	add("plain", "Gelu", 1, ins(x))
	add("plain", "BiasGelu", 1, ins(x, b))
	add("plain", "FastGelu", 1, ins(x))
	add("bias", "FastGelu", 1, ins(x, b))
	add("plain", "QuickGelu", 1, ins(x))
	add("alpha", "QuickGelu", 1, ins(x, nil)[:1], onnx.FloatAttr("alpha", 0.7))
	// products
	add("plain", "FusedMatMul", 1, ins(x, fl(2, 8, 3)), onnx.FloatAttr("alpha", 0.3))
	add("transposed", "FusedMatMul", 1, ins(fl(1, 2, 8, 5), fl(2, 2, 3, 8)), at("transA", 1), at("transB", 1), onnx.FloatAttr("alpha", 2))
	add("batches inside", "FusedMatMul", 1, ins(fl(1, 5, 2, 3, 8), fl(2, 2, 3, 8, 4)), at("transBatchA", 1))
	add("both batches inside", "FusedMatMul", 1, ins(fl(1, 5, 2, 8), fl(2, 4, 2, 8)), at("transBatchA", 1), at("transBatchB", 1), at("transB", 1))
	add("plain", "TransposeMatMul", 1, ins(fl(1, 2, 8, 5), fl(2, 2, 8, 3)), at("transA", 1), onnx.FloatAttr("alpha", 0.5))
	for _, act := range []string{"Relu", "Tanh", "Sigmoid", "LeakyRelu"} {
		a := attrs(onnx.StringAttr("activation", act))
		params := []*onnx.Attribute{}
		if act == "LeakyRelu" {
			a = append(a, onnx.FloatAttr("activation_alpha", 0.2))
			params = append(params, &onnx.Attribute{Name: "activation_params", Type: onnx.AttrFloats, Floats: []float32{0.2}})
		}
		add(act, "FusedGemm", 1, ins(fl(1, 5, 8), fl(2, 8, 3), fl(3, 3)), a...)
		conv := append(attrs(onnx.StringAttr("activation", act), onnx.IntsAttr("pads", 1, 0, 1, 0)), params...)
		add(act, "FusedConv", 1, ins(fl(1, 2, 4, 6, 5), fl(2, 6, 4, 3, 3), fl(3, 6)), conv...)
	}
	add("groups", "FusedConv", 1, ins(fl(1, 2, 4, 6, 5), fl(2, 6, 2, 3, 3), fl(3, 6)), onnx.StringAttr("activation", "Relu"), at("group", 2))
	add("sum", "FusedConv", 1, ins(fl(1, 2, 4, 6, 5), fl(2, 6, 4, 3, 3), fl(3, 6), fl(4, 2, 6, 4, 3)), onnx.StringAttr("activation", "Relu"))
	add("sigmoid by params", "FusedConv", 1, ins(fl(1, 1, 4, 6), fl(2, 6, 4, 3)), onnx.StringAttr("activation", "HardSigmoid"),
		&onnx.Attribute{Name: "activation_params", Type: onnx.AttrFloats, Floats: []float32{0.3, 0.6}})
	add("clip", "FusedConv", 1, ins(fl(1, 1, 4, 6), fl(2, 6, 4, 3)), onnx.StringAttr("activation", "Clip"),
		&onnx.Attribute{Name: "activation_params", Type: onnx.AttrFloats, Floats: []float32{-0.1, 0.4}})
	// shapes and distances
	add("lower", "Trilu", 1, ins(x, exec.Int64s([]int64{1})), at("upper", 0))
	add("pads", "Pad", 1, ins(x, exec.Int64s([]int64{0, 1, 2, 0, 0, 1}, 6), num(0.5)), onnx.StringAttr("mode", "constant"))
	add("front", "ExpandDims", 1, ins(x, i32([]int32{-2})))
	add("rows", "GatherND", 1, ins(x, exec.Int64s([]int64{0, 1, 1, 4}, 2, 2)))
	add("squares", "CDist", 1, ins(fl(1, 4, 6), fl(2, 5, 6)))
	add("plain", "CDist", 1, ins(fl(1, 4, 6), fl(2, 5, 6)), onnx.StringAttr("metric", "euclidean"))
	add("no step", "Range", 1, ins(num(0.5), num(4)))
	tests = append(tests, nodeTest{name: "SimplifiedLayerNormalization", op: "SimplifiedLayerNormalization", outputs: 1, attrs: attrs(eps), in: ins(x, g)},
		nodeTest{name: "SimplifiedLayerNormalization from axis 1", op: "SimplifiedLayerNormalization", outputs: 1, attrs: attrs(eps, at("axis", 1)), in: ins(x, fl(3, 5, 8))})
	againstORT(t, tests)
}
