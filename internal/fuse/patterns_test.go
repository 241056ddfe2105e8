package fuse_test

import (
	"testing"

	"github.com/litekit/lite/onnx"
)

const (
	float = onnx.Float
	i64   = onnx.Int64
)

// spelled is one spelling of a pattern with the operators it must become.
type spelled struct {
	name string
	b    *builder
	want string
}

func x8(opset int64) *builder { return newBuilder(opset).input("x", float, "B", "S", 8) }

func linears() []spelled {
	base := func() *builder {
		return x8(14).weight("w", 8, 6).weight("wt", 6, 8).weight("b", 6).output("y", "B", "S", 6)
	}
	flat := func() *builder {
		return newBuilder(14).input("x", float, "B", 8).weight("w", 8, 6).weight("wt", 6, 8).weight("b", 6).output("y", "B", 6)
	}
	return []spelled{
		{"MatMul", base().node("MatMul x w -> y"), "lite.Linear"},
		{"bias right", base().node("MatMul x w -> m").node("Add m b -> y"), "lite.Linear"},
		{"bias left", base().node("MatMul x w -> m").node("Add b m -> y"), "lite.Linear"},
		{"transposed weight", base().node("Transpose wt -> t", perm(1, 0)).node("MatMul x t -> m").node("Add m b -> y"), "lite.Linear"},
		{"relu", base().node("MatMul x w -> m").node("Add m b -> a").node("Relu a -> y"), "lite.Linear"},
		{"tanh, Dropout, Identity", base().node("MatMul x w -> m").node("Identity m -> i").node("Add i b -> a").node("Dropout a -> d").node("Tanh d -> y"), "lite.Linear"},
		{"cast to the same type", base().node("MatMul x w -> m").node("Cast m -> c", onnx.IntAttr("to", 1)).node("Add c b -> y"), "lite.Linear"},
		{"Gemm", flat().node("Gemm x w b -> y"), "lite.Linear"},
		{"Gemm transB", flat().node("Gemm x wt b -> y", onnx.IntAttr("transB", 1)), "lite.Linear"},
		{"Gemm without bias", flat().node("Gemm x w -> g").node("Add b g -> y"), "lite.Linear"},
		{"Gemm alpha", flat().node("Gemm x w b -> y", onnx.FloatAttr("alpha", 2)), "Gemm"},
		{"Gemm transA", newBuilder(14).input("x", float, 8, "B").weight("w", 8, 6).output("y", "B", 6).node("Gemm x w -> y", onnx.IntAttr("transA", 1)), "Gemm"},
		{"flattened", base().ints("to", -1, 8).node("Reshape x to -> f").node("Gemm f w b -> g").node("Shape x -> s").scalarInt("0", 0).scalarInt("1", 1).ints("ax", 0).ints("six", 6).
			node("Gather s 0 -> s0").node("Gather s 1 -> s1").node("Unsqueeze s0 ax -> u0").node("Unsqueeze s1 ax -> u1").
			node("Concat u0 u1 six -> back", onnx.IntAttr("axis", 0)).node("Reshape g back -> y"), "lite.Linear"},
		{"product of values", newBuilder(14).input("x", float, "B", "S", 8).input("z", float, "B", 8, 6).output("y", "B", "S", 6).node("MatMul x z -> y"), "MatMul"},
		{"bias of another length", base().weight("b1", 1).node("MatMul x w -> m").node("Add m b1 -> y"), "lite.Linear Add"},
	}
}

func norms() []spelled {
	base := func(opset int64) *builder { return x8(opset).weight("g", 8).weight("b", 8).output("y", "B", "S", 8) }
	last := onnx.IntsAttr("axes", -1)
	mean := func(b *builder) *builder {
		return b.float("two", 2).float("eps", 1e-5).node("ReduceMean x -> mu", last).node("Sub x mu -> c")
	}
	tail := func(b *builder) *builder {
		return b.node("Add v eps -> ve").node("Sqrt ve -> sd").node("Div c sd -> n").node("Mul n g -> ng").node("Add ng b -> y")
	}
	return []spelled{
		{"pow", tail(mean(base(11)).node("Pow c two -> q").node("ReduceMean q -> v", last)), "lite.LayerNorm"},
		{"square by itself", tail(mean(base(11)).node("Mul c c -> q").node("ReduceMean q -> v", onnx.IntsAttr("axes", 2))), "lite.LayerNorm"},
		{"two differences", tail(mean(base(11)).node("Sub x mu -> c2").node("Pow c2 two -> q").node("ReduceMean q -> v", last)), "lite.LayerNorm"},
		{"reciprocal, operands swapped", mean(base(11)).node("Pow c two -> q").node("ReduceMean q -> v", last).node("Add eps v -> ve").
			node("Sqrt ve -> sd").node("Reciprocal sd -> r").node("Mul r c -> n").node("Mul g n -> ng").node("Add b ng -> y"), "lite.LayerNorm"},
		{"axes as input", base(18).ints("ax", -1).float("two", 2).float("eps", 1e-5).node("ReduceMean x ax -> mu").node("Sub x mu -> c").
			node("Pow c two -> q").node("ReduceMean q ax -> v").node("Add v eps -> ve").node("Sqrt ve -> sd").node("Div c sd -> n").
			node("Mul n g -> ng").node("Add ng b -> y"), "lite.LayerNorm"},
		{"operator", base(17).node("LayerNormalization x g b -> y", onnx.IntAttr("axis", -1), onnx.FloatAttr("epsilon", 1e-6)), "lite.LayerNorm"},
		{"operator over two axes", newBuilder(17).input("x", float, "B", 2, 8).weight("g", 2, 8).weight("b", 2, 8).output("y", "B", 2, 8).
			node("LayerNormalization x g b -> y", onnx.IntAttr("axis", -2)), "LayerNormalization"},
		{"residual", base(17).input("z", float, "B", "S", 8).node("Add x z -> s").node("LayerNormalization s g b -> y"), "lite.LayerNorm"},
		{"broadcast sum", base(17).input("z", float, 1, "S", 8).node("Add x z -> s").node("LayerNormalization s g b -> y"), "Add lite.LayerNorm"},
		{"sum read twice", base(17).input("z", float, "B", "S", 8).node("Add x z -> s").node("LayerNormalization s g b -> n").node("Add n s -> y"), "Add lite.LayerNorm Add"},
		{"skip", base(17).input("z", float, "B", "S", 8).node("com.microsoft:SkipLayerNormalization x z g b -> y"), "lite.LayerNorm"},
		{"sum over another axis", mean(x8(11).weight("g", 8).weight("b", 8).output("y", "B", "S", 8)).node("Pow c two -> q").
			node("ReduceMean q -> v", onnx.IntsAttr("axes", 1)).node("Add v eps -> ve").node("Sqrt ve -> sd").node("Div c sd -> n").
			node("Mul n g -> ng").node("Add ng b -> y"), "ReduceMean Sub Pow ReduceMean Add Sqrt Div Mul Add"},
		{"variance is an output", tail(mean(base(11)).node("Pow c two -> q").node("ReduceMean q -> v", last)).output("v", "B", "S", 1),
			"ReduceMean Sub Pow ReduceMean Add Sqrt Div Mul Add"},
	}
}

func gelus() []spelled {
	base := func() *builder {
		return x8(14).float("half", 0.5).float("one", 1).float("two", 2).float("three", 3).float("sqrt2", 1.41421356).float("rsqrt2", 0.70710678).
			float("c", 0.044715).float("k", 0.7978846).output("y", "B", "S", 8)
	}
	erf := func() *builder { return base().node("Div x sqrt2 -> u").node("Erf u -> e").node("Add e one -> p") }
	tanh := func(b *builder) *builder {
		return b.node("Mul x3 c -> cx").node("Add x cx -> s").node("Mul s k -> u").node("Tanh u -> e").node("Add one e -> p").
			node("Mul x half -> h").node("Mul h p -> y")
	}
	return []spelled{
		{"x(1+erf)½", erf().node("Mul x p -> m").node("Mul m half -> y"), "lite.Gelu"},
		{"½x(1+erf)", erf().node("Mul half x -> h").node("Mul h p -> y"), "lite.Gelu"},
		{"x(½(1+erf))", erf().node("Mul p half -> h").node("Mul h x -> y"), "lite.Gelu"},
		{"x(1+erf)/2", erf().node("Mul p x -> m").node("Div m two -> y"), "lite.Gelu"},
		{"times 1/√2", base().node("Mul rsqrt2 x -> u").node("Erf u -> e").node("Add one e -> p").node("Div x two -> h").node("Mul p h -> y"), "lite.Gelu"},
		{"another argument", base().node("Mul half x -> u").node("Erf u -> e").node("Add one e -> p").node("Div x two -> h").node("Mul p h -> y"), "Mul Erf Add Div Mul"},
		{"no half", erf().node("Mul x p -> y"), "Div Erf Add Mul"},
		{"erf is an output", erf().node("Mul x p -> m").node("Mul m half -> y").output("e", "B", "S", 8), "Div Erf Add Mul Mul"},
		{"sum read twice", erf().node("Mul x p -> m").node("Mul m half -> n").node("Add n p -> y"), "Div Erf Add Mul Mul Add"},
		{"tanh, Pow", tanh(base().node("Pow x three -> x3")), "lite.Gelu"},
		{"tanh, x·x·x", tanh(base().node("Mul x x -> x2").node("Mul x x2 -> x3")), "lite.Gelu"},
		{"tanh, factored", base().node("Mul x k -> kx").node("Mul x c -> cx").node("Mul cx x -> cxx").node("Add cxx one -> f").node("Mul kx f -> u").
			node("Tanh u -> e").node("Add e one -> p").node("Mul x p -> m").node("Mul m half -> y"), "lite.Gelu"},
		{"operator", base().node("com.microsoft:Gelu x -> y"), "lite.Gelu"},
		{"FastGelu", base().node("com.microsoft:FastGelu x -> y"), "lite.Gelu"},
		{"BiasGelu joins the linear layer", base().weight("w", 8, 8).weight("b", 8).node("MatMul x w -> m").node("com.microsoft:BiasGelu m b -> y"), "lite.Linear"},
		{"after a linear layer", base().weight("w", 8, 8).weight("b", 8).node("MatMul x w -> m").node("Add m b -> a").node("Div a sqrt2 -> u").node("Erf u -> e").
			node("Add e one -> p").node("Mul a p -> q").node("Mul q half -> y"), "lite.Linear"},
		{"linear layer is an output", base().weight("w", 8, 8).node("MatMul x w -> a").node("com.microsoft:Gelu a -> y").output("a", "B", "S", 8), "lite.Linear lite.Gelu"},
	}
}

func qlinears() []spelled {
	base := func() *builder {
		b := x8(14).weight("b", 6).float("sw", 0.02).output("y", "B", "S", 6)
		w := make([]int8, 48)
		for i := range w {
			w[i] = int8(i*37%255 - 127)
		}
		b.g.Initializers = append(b.g.Initializers, onnx.NewInt8s("w", w, 8, 6), onnx.NewInt8s("zw", []int8{0}),
			onnx.NewFloats("sv", []float32{.01, .02, .03, .04, .05, .06}, 6))
		return b.node("DynamicQuantizeLinear x -> q s z")
	}
	to := onnx.IntAttr("to", 1)
	return []spelled{
		{"scales first", base().node("Mul s sw -> ss").node("MatMulInteger q w z zw -> i").node("Cast i -> f", to).node("Mul f ss -> m").node("Add m b -> y"), "lite.QLinear"},
		{"scale of x, then of w", base().node("MatMulInteger q w z -> i").node("Cast i -> f", to).node("Mul s f -> m").node("Mul m sv -> n").node("Add b n -> y"), "lite.QLinear"},
		{"scale of w, then of x", base().node("MatMulInteger q w z zw -> i").node("Cast i -> f", to).node("Mul f sv -> m").node("Mul m s -> y"), "lite.QLinear"},
		{"relu", base().node("Mul sv s -> ss").node("MatMulInteger q w z zw -> i").node("Cast i -> f", to).node("Mul ss f -> m").node("Add m b -> a").node("Relu a -> y"), "lite.QLinear"},
		{"two layers, one input", base().node("Mul s sw -> ss").node("MatMulInteger q w z zw -> i").node("Cast i -> f", to).node("Mul f ss -> m").
			node("MatMulInteger q w z zw -> i2").node("Cast i2 -> f2", to).node("Mul f2 ss -> m2").node("Add m m2 -> y"), "lite.QLinear lite.QLinear Add"},
		{"integers are an output", base().node("Mul s sw -> ss").node("MatMulInteger q w z zw -> i").node("Cast i -> f", to).node("Mul f ss -> y").output("f", "B", "S", 6),
			"DynamicQuantizeLinear Mul MatMulInteger Cast Mul"},
		{"a wrong zero point", base().node("Mul s sw -> ss").node("MatMulInteger q w _ zw -> i").node("Cast i -> f", to).node("Mul f ss -> y"),
			"DynamicQuantizeLinear Mul MatMulInteger Cast Mul"},
	}
}

func patterns() map[string][]spelled {
	return map[string][]spelled{"linear": linears(), "norm": norms(), "gelu": gelus(), "qlinear": qlinears(), "attention": attentions()}
}

func TestPatterns(t *testing.T) {
	for group, cases := range patterns() {
		for _, c := range cases {
			t.Run(group+"/"+c.name, func(t *testing.T) {
				m := c.b.model()
				before := ops(m)
				f := mustFuse(t, m)
				if got := ops(f.Model); got != c.want {
					t.Errorf("fused to %s, want %s", got, c.want)
				}
				if ops(m) != before {
					t.Error("the model handed in was changed")
				}
			})
		}
	}
}
