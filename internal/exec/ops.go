package exec

import (
	"math"
	"slices"

	"github.com/litekit/lite/internal/kernel"
)

// kind names an operator; the empty domain is ai.onnx.
type kind struct{ domain, op string }

const (
	liteDomain = "lite"          // operators made by package fuse
	ownDomain  = "lite.exec"     // operators made by lower
	msDomain   = "com.microsoft" // ONNX Runtime's
)

// Operators lists the operators that models can have, each as "domain.operator",
// sorted; those of ai.onnx start with a dot.
func Operators() (list []string) {
	for k := range operators() {
		if k.domain != ownDomain {
			list = append(list, k.domain+"."+k.op)
		}
	}
	slices.Sort(list)
	return list
}

// operators lists everything that can run.
func operators() map[kind]*operator {
	table := map[kind]*operator{}
	for domain, ops := range map[string]map[string]operator{
		"":         standard(),
		liteDomain: fused(),
		ownDomain:  merge(lowered(), packedOps()),
		msDomain:   merge(microsoft(), microsoftQuantOps(), microsoftMoreOps()),
	} {
		for name, op := range ops {
			table[kind{domain, name}] = &op
		}
	}
	return table
}

func merge(maps ...map[string]operator) map[string]operator {
	all := map[string]operator{}
	for _, m := range maps {
		for k, v := range m {
			all[k] = v
		}
	}
	return all
}

// standard is domain ai.onnx.
func standard() map[string]operator {
	return merge(elementwiseOps(), reductionOps(), shapeOps(), indexOps(), matrixOps(), tensorOps(),
		bitOps(), signalOps(), selectOps(), controlOps(), integerConvOps(), textOps())
}

func elementwiseOps() map[string]operator {
	return map[string]operator{
		"Add": {run: arithmetic(addOp()), inputs: 2}, "Sub": {run: arithmetic(subOp()), inputs: 2},
		"Mul": {run: arithmetic(mulOp()), inputs: 2}, "Div": {run: arithmetic(divOp()), inputs: 2},
		"Pow": {run: power(powOp()), inputs: 2}, "Mod": {run: mod, inputs: 2},
		"Min": {run: variadic(minOp()), inputs: 1}, "Max": {run: variadic(maxOp()), inputs: 1},
		"Sum": {run: variadic(addOp()), inputs: 1}, "Mean": {run: mean, inputs: 1},

		"Sqrt": {run: sqrt, inputs: 1}, "Reciprocal": {run: reciprocal, inputs: 1},
		"Neg": {run: negate, inputs: 1}, "Abs": {run: absolute, inputs: 1}, "Sign": {run: sign, inputs: 1},
		"Exp": {run: float(math.Exp), inputs: 1}, "Log": {run: float(math.Log), inputs: 1},
		"Erf": {run: float(math.Erf), inputs: 1}, "Tanh": {run: activation(kernel.ActTanh, math.Tanh), inputs: 1},
		"Sin": {run: float(math.Sin), inputs: 1}, "Cos": {run: float(math.Cos), inputs: 1}, "Tan": {run: float(math.Tan), inputs: 1},
		"Asin": {run: float(math.Asin), inputs: 1}, "Acos": {run: float(math.Acos), inputs: 1}, "Atan": {run: float(math.Atan), inputs: 1},
		"Sinh": {run: float(math.Sinh), inputs: 1}, "Cosh": {run: float(math.Cosh), inputs: 1},
		"Asinh": {run: float(math.Asinh), inputs: 1}, "Acosh": {run: float(math.Acosh), inputs: 1}, "Atanh": {run: float(math.Atanh), inputs: 1},
		"Floor": {run: float(math.Floor), inputs: 1}, "Ceil": {run: float(math.Ceil), inputs: 1}, "Round": {run: float(math.RoundToEven), inputs: 1},

		"Relu": {run: relu, inputs: 1}, "Gelu": {run: gelu, inputs: 1}, "Sigmoid": {run: float(sigmoid), inputs: 1},
		"Softplus": {run: float(softplus), inputs: 1}, "Mish": {run: float(mish), inputs: 1},
		"Softsign":  {run: float(func(x float64) float64 { return x / (1 + math.Abs(x)) }), inputs: 1},
		"HardSwish": {run: float(hardSwish), inputs: 1}, "HardSigmoid": {run: hardSigmoid, inputs: 1},
		"LeakyRelu": {run: withAlpha("alpha", 0.01, leakyRelu), inputs: 1}, "Elu": {run: withAlpha("alpha", 1, elu), inputs: 1},
		"Swish": {run: withAlpha("alpha", 1, quickGelu), inputs: 1}, "Selu": {run: selu, inputs: 1},

		"Equal": {run: compare(equalOp()), inputs: 2}, "Less": {run: compare(lessOp()), inputs: 2}, "Greater": {run: compare(greaterOp()), inputs: 2},
		"LessOrEqual": {run: compare(lessEqualOp()), inputs: 2}, "GreaterOrEqual": {run: compare(greaterEqualOp()), inputs: 2},
		"And": {run: compare(boolOp(func(x, y bool) bool { return x && y })), inputs: 2},
		"Or":  {run: compare(boolOp(func(x, y bool) bool { return x || y })), inputs: 2},
		"Xor": {run: compare(boolOp(func(x, y bool) bool { return x != y })), inputs: 2},
		"Not": {run: not, inputs: 1}, "Where": {run: where, inputs: 3},
		"IsNaN": {run: classify(math.IsNaN), inputs: 1}, "IsInf": {run: isInf, inputs: 1},

		"Clip": {run: clip, inputs: 1}, "Cast": {run: castNode, inputs: 1}, "CastLike": {run: castLike, inputs: 2}, "BitCast": {run: bitCast, inputs: 1},
		"Identity": {run: identity, inputs: 1}, "Dropout": {run: dropout, inputs: 1},
	}
}

func reductionOps() map[string]operator {
	return map[string]operator{
		"ReduceSum": {run: reduce(sumReduction()), inputs: 1}, "ReduceMean": {run: reduce(meanReduction()), inputs: 1},
		"ReduceProd": {run: reduce(prodReduction()), inputs: 1},
		"ReduceMax":  {run: reduce(maxReduction()), inputs: 1}, "ReduceMin": {run: reduce(minReduction()), inputs: 1},
		"ReduceL1": {run: reduce(l1Reduction()), inputs: 1}, "ReduceL2": {run: reduce(l2Reduction()), inputs: 1},
		"ReduceSumSquare": {run: reduce(squareReduction()), inputs: 1}, "ReduceLogSum": {run: reduce(logSumReduction()), inputs: 1},
		"ReduceLogSumExp": {run: reduceLogSumExp, inputs: 1},
		"CumSum":          {run: cumSum, inputs: 2},
		"ArgMax":          {run: argBest(true), inputs: 1}, "ArgMin": {run: argBest(false), inputs: 1},
		"TopK": {run: topK, inputs: 1},
	}
}

func shapeOps() map[string]operator {
	return map[string]operator{
		"Shape": {run: shapeOf, inputs: 1}, "Size": {run: sizeOf, inputs: 1},
		"Reshape": {run: reshape, inputs: 1}, "Flatten": {run: flatten, inputs: 1},
		"Squeeze": {run: squeeze, inputs: 1}, "Unsqueeze": {run: unsqueeze, inputs: 1},
		"Transpose": {run: transpose, inputs: 1}, "Expand": {run: expand, inputs: 2}, "Tile": {run: tile, inputs: 2},
		"Concat": {run: concat, inputs: 1}, "Split": {run: split, inputs: 1}, "Slice": {run: slice, inputs: 1},
		"Pad": {run: pad, inputs: 1}, "Trilu": {run: trilu, inputs: 1},
		"Constant": {run: constant}, "ConstantOfShape": {run: constantOfShape, prepare: prepareFiller, inputs: 1}, "Range": {run: rangeOf, inputs: 3},
	}
}

func indexOps() map[string]operator {
	return map[string]operator{
		"Gather": {run: gather, inputs: 2}, "GatherElements": {run: gatherElements, inputs: 2}, "GatherND": {run: gatherND, inputs: 2},
		"ScatterElements": {run: scatterElements, inputs: 3}, "Scatter": {run: scatterElements, inputs: 3}, "ScatterND": {run: scatterND, inputs: 3},
		"OneHot": {run: oneHot, inputs: 3}, "NonZero": {run: nonZero, inputs: 1},
	}
}

func matrixOps() map[string]operator {
	return map[string]operator{
		"Einsum": {run: einsum, inputs: 1}, "MatMul": {run: matmul, prepare: prepareMatMul, inputs: 2}, "Gemm": {run: gemm, prepare: prepareGemm, inputs: 2},
		"Softmax": {run: softmax(false), inputs: 1}, "LogSoftmax": {run: softmax(true), inputs: 1},
		"LayerNormalization": {run: layerNormalization, inputs: 2}, "SimplifiedLayerNormalization": simplifiedNorm(),
		"DynamicQuantizeLinear": {run: dynamicQuantize, inputs: 1},
		"QuantizeLinear":        {run: quantizeLinear, inputs: 2}, "DequantizeLinear": {run: dequantizeLinear, inputs: 2},
		"MatMulInteger": {run: matMulInteger, prepare: prepare8(1, 3, ""), inputs: 2},
		"QLinearMatMul": {run: qLinearMatMul, inputs: 8},
	}
}

// fused is domain lite.
func fused() map[string]operator {
	return map[string]operator{
		"Linear": {run: linear, prepare: prepareLinear, inputs: 2}, "LayerNorm": {run: fusedLayerNorm, inputs: 1},
		"Attention": {run: attention, inputs: 3}, "Gelu": {run: gelu, inputs: 1}, "GatherRows": {run: gatherRows, inputs: 2},
	}
}

// lowered is what lower makes of QLinear and of quantize–dequantize products,
// and what narrow makes of attention that is read at one position.
func lowered() map[string]operator {
	return map[string]operator{
		"IntegerLinear": {run: integerLinear, prepare: prepare8(3, 5, "trans_b"), inputs: 2},
		"Attention":     {run: attention, inputs: 3}, "DropAxis1": {run: dropAxis1, inputs: 1},
		"Linears": {run: linears, prepare: prepareLinears, inputs: 2}, "IntegerLinears": {run: integerLinears, prepare: prepareIntegerLinears, inputs: 2},
		"GatherBytes": {run: gatherBytes, inputs: 3},
	}
}

// microsoft is ONNX Runtime's domain; DynamicQuantizeMatMul and MatMulIntegerToFloat are lowered.
func microsoft() map[string]operator {
	return map[string]operator{
		"Gelu": {run: gelu, inputs: 1}, "FastGelu": {run: biasAct(kernel.ActGeluTanh), inputs: 1}, "BiasGelu": {run: biasAct(kernel.ActGelu), inputs: 2},
		"QuickGelu":              {run: withAlpha("alpha", 1.702, quickGelu), inputs: 1},
		"SkipLayerNormalization": {run: skipLayerNorm, inputs: 3}, "EmbedLayerNormalization": {run: embedLayerNorm, inputs: 1},
		"Attention": {run: packedAttention, prepare: prepareMatMul, refuse: attentionAttrs, inputs: 2}, "FusedMatMul": {run: fusedMatMul, inputs: 2},
		"MultiHeadAttention": {run: multiHeadAttention, refuse: attentionAttrs, inputs: 1},
		"QuantizeLinear":     {run: quantizeLinear, inputs: 2}, "DequantizeLinear": {run: dequantizeLinear, inputs: 2},
	}
}
