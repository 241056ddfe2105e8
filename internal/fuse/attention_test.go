package fuse_test

import (
	"math"
	"testing"

	"github.com/litekit/lite/onnx"
)

// heads of the test graphs: H = 8, A = 2, d = 4.
func qkv(opset int64) *builder {
	return newBuilder(opset).input("q", float, "B", "S", 8).input("k", float, "B", "S", 8).input("v", float, "B", "S", 8).
		ints("split", 0, 0, 2, 4).ints("merge", 0, 0, 8).float("root", 2).float("quarter", 0.25).output("y", "B", "S", 8)
}

func splits(b *builder) *builder {
	return b.node("Reshape q split -> q4").node("Reshape k split -> k4").node("Reshape v split -> v4").
		node("Transpose q4 -> qt", perm(0, 2, 1, 3)).node("Transpose v4 -> vt", perm(0, 2, 1, 3))
}

func masked(b *builder) *builder {
	return b.input("mask", i64, "B", "S").float("one", 1).float("low", -10000).ints("12", 1, 2).
		node("Unsqueeze mask 12 -> mu").node("Cast mu -> mf", onnx.IntAttr("to", 1)).node("Sub one mf -> mi").node("Mul mi low -> bias")
}

func mixed(b *builder, scores string) *builder {
	return b.node("Softmax "+scores+" -> p", onnx.IntAttr("axis", -1)).node("MatMul p vt -> o").
		node("Transpose o -> ot", perm(0, 2, 1, 3)).node("Reshape ot merge -> y")
}

const maskOps = "Unsqueeze Cast Sub Mul "

func attentions() []spelled {
	kt := func(b *builder) *builder { return b.node("Transpose k4 -> kt", perm(0, 2, 3, 1)) }
	inf := float32(math.Inf(-1))
	boolMask := func(b *builder, fill float32) *builder {
		return b.input("keep", onnx.Bool, "B", 1, 1, "S").float("fill", fill)
	}
	guard := func(b *builder) *builder {
		return b.float("zero", 0).node("Softmax sm -> p0", onnx.IntAttr("axis", -1)).node("IsNaN p0 -> nan").node("Where nan zero p0 -> p").
			node("MatMul p vt -> o").node("Transpose o -> ot", perm(0, 2, 1, 3)).node("Reshape ot merge -> y")
	}
	shapes := func(b *builder) *builder { // B and S by Shape and Gather, A·d and d constants
		b = b.scalarInt("i0", 0).scalarInt("i1", 1).ints("ax", 0).ints("A", 2).ints("d", 4).ints("Ad", 8)
		for _, v := range []string{"q", "k", "v"} {
			b = b.node("Shape "+v+" -> "+v+"s").node("Gather "+v+"s i0 -> "+v+"B").node("Gather "+v+"s i1 -> "+v+"S").
				node("Unsqueeze "+v+"B ax -> "+v+"Bu").node("Unsqueeze "+v+"S ax -> "+v+"Su").
				node("Concat "+v+"Bu "+v+"Su A d -> "+v+"shape", onnx.IntAttr("axis", 0)).node("Reshape " + v + " " + v + "shape -> " + v + "4")
		}
		b = b.node("Transpose q4 -> qt", perm(0, 2, 1, 3)).node("Transpose v4 -> vt", perm(0, 2, 1, 3)).node("Transpose k4 -> kt", perm(0, 2, 3, 1)).
			node("MatMul qt kt -> s").node("Div s root -> sc").node("Softmax sc -> p", onnx.IntAttr("axis", 3)).node("MatMul p vt -> o").node("Transpose o -> ot", perm(0, 2, 1, 3)).
			node("Shape ot -> os").node("Gather os i0 -> oB").node("Gather os i1 -> oS").node("Unsqueeze oB ax -> oBu").node("Unsqueeze oS ax -> oSu").
			node("Concat oBu oSu Ad -> oshape", onnx.IntAttr("axis", 0))
		return b.node("Reshape ot oshape -> y")
	}
	return []spelled{
		{"plain", mixed(kt(splits(qkv(14))).node("MatMul qt kt -> s").node("Div s root -> sc"), "sc"), "lite.Attention"},
		{"computed shapes, axis 3", shapes(qkv(14)), "lite.Attention"},
		{"mask", mixed(kt(splits(masked(qkv(14)))).node("MatMul qt kt -> s").node("Mul s quarter -> sc").node("Add bias sc -> sm"), "sm"), maskOps + "lite.Attention"},
		{"mask subtracted", mixed(kt(splits(masked(qkv(14)))).node("MatMul qt kt -> s").node("Mul s quarter -> sc").node("Neg bias -> nb").node("Sub sc nb -> sm"), "sm"),
			maskOps + "Neg Neg lite.Attention"},
		{"scaled query", mixed(kt(splits(qkv(14))).node("Div qt root -> qs").node("MatMul qs kt -> s"), "s"), "lite.Attention"},
		{"query scaled before the split", mixed(qkv(14).node("Mul q quarter -> qq").node("Reshape qq split -> q4").node("Reshape k split -> k4").node("Reshape v split -> v4").
			node("Transpose q4 -> qt", perm(0, 2, 1, 3)).node("Transpose v4 -> vt", perm(0, 2, 1, 3)).node("Transpose k4 -> kt", perm(0, 2, 3, 1)).node("MatMul qt kt -> s"), "s"), "lite.Attention"},
		{"root of the scale on both, key turned twice", mixed(splits(qkv(14)).node("Transpose k4 -> k1", perm(0, 2, 1, 3)).node("Transpose k1 -> k2", perm(0, 1, 3, 2)).
			node("Mul qt quarter -> qs").node("Mul k2 quarter -> ks").node("MatMul qs ks -> s"), "s"), "lite.Attention"},
		{"Where, scores kept", mixed(boolMask(kt(splits(qkv(14))), inf).node("MatMul qt kt -> s").node("Div s root -> sc").node("Where keep sc fill -> sm"), "sm"), "Where lite.Attention"},
		{"Where, scores filled", mixed(boolMask(kt(splits(qkv(14))), -math.MaxFloat32).node("MatMul qt kt -> s").node("Where keep fill s -> sm"), "sm"), "Where lite.Attention"},
		{"Where, mask expanded to the shape of the scores", mixed(boolMask(kt(splits(qkv(14))), inf).node("MatMul qt kt -> s").node("Shape s -> ss").node("Expand keep ss -> full").
			node("Where full s fill -> sm"), "sm"), "Where lite.Attention"},
		{"Where with a weak fill", mixed(boolMask(kt(splits(qkv(14))), -100).node("MatMul qt kt -> s").node("Where keep fill s -> sm"), "sm"),
			"Reshape Reshape Reshape Transpose Transpose Transpose MatMul Where Softmax MatMul Transpose Reshape"},
		{"guarded", guard(boolMask(kt(splits(qkv(14))), inf).node("MatMul qt kt -> s").node("Where keep s fill -> sm")), "Where lite.Attention IsNaN Where"},
		{"two biases", mixed(kt(splits(masked(qkv(14)))).weight("rel", 1, 2, 1, 1).node("MatMul qt kt -> s").node("Add s rel -> s1").node("Add s1 bias -> sm"), "sm"), maskOps + "Add lite.Attention"},
		{"bias under the scale", mixed(kt(splits(masked(qkv(14)))).node("MatMul qt kt -> s").node("Add s bias -> sm").node("Mul sm quarter -> sc"), "sc"),
			maskOps + "Reshape Reshape Reshape Transpose Transpose Transpose MatMul Add Mul Softmax MatMul Transpose Reshape"},
		{"probabilities are an output", mixed(kt(splits(qkv(14))).node("MatMul qt kt -> s"), "s").output("p", "B", 2, "S", "S"),
			"Reshape Reshape Reshape Transpose Transpose Transpose MatMul Softmax MatMul Transpose Reshape"},
		{"softmax of opset 11 over the last two axes", kt(splits(qkv(11))).node("MatMul qt kt -> s").node("Softmax s -> p", onnx.IntAttr("axis", 2)).node("MatMul p vt -> o").
			node("Transpose o -> ot", perm(0, 2, 1, 3)).node("Reshape ot merge -> y"),
			"Reshape Reshape Reshape Transpose Transpose Transpose MatMul Softmax MatMul Transpose Reshape"},
	}
}

func TestAttentionAttributes(t *testing.T) {
	for i, want := range []float32{0: 0.5, 4: 0.5, 5: 0.25, 6: 0.0625} {
		if want == 0 {
			continue
		}
		c := attentions()[i]
		n := find(mustFuse(t, c.b.model()).Model, "Attention")
		if n == nil || n.Int("heads", 0) != 2 || n.Float("scale", 0) != want {
			t.Errorf("%s: got %+v, want 2 heads and scale %g", c.name, n, want)
		}
	}
}
