package onnxgo

import "slices"

// microsoft is the domain of ONNX Runtime's operators.
const microsoft = "com.microsoft"

// contributed are the operators of com.microsoft that ai.onnx has not.
var contributed = []string{
	"BiasGelu", "DynamicQuantizeMatMul", "EmbedLayerNormalization", "FastGelu", "FusedMatMul",
	"MatMulIntegerToFloat", "MatMulNBits", "MultiHeadAttention", "QAttention", "QGemm",
	"QLinearAdd", "QLinearAveragePool", "QLinearConcat", "QLinearGlobalAveragePool",
	"QLinearLeakyRelu", "QLinearMul", "QLinearSigmoid", "QLinearSoftmax", "QuickGelu",
	"SimplifiedLayerNormalization", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization",
}

// domain is the domain of an operator. Attention is in two; only that of
// com.microsoft has num_heads.
func domain(op *operation) string {
	if slices.Contains(contributed, op.name) || op.name == "Attention" && op.has("num_heads") {
		return microsoft
	}
	return ""
}

// oldest is the version that is taken where nothing shows a later one.
const oldest = 9

// since says from which version of ai.onnx on an operator is what is seen:
// there at all (no attribute, no inputs), with the attribute, or with that
// number of inputs.
var since = map[string][]struct {
	version int64
	attr    string
	inputs  int
}{
	"AffineGrid": {{20, "", 0}}, "ArgMax": {{12, "select_last_index", 0}}, "ArgMin": {{12, "select_last_index", 0}},
	"Attention": {{23, "", 0}, {24, "", 7}}, "AveragePool": {{10, "ceil_mode", 0}, {19, "dilations", 0}},
	"BatchNormalization": {{14, "training_mode", 0}}, "Bernoulli": {{15, "", 0}},
	"BitShift": {{11, "", 0}}, "BitwiseAnd": {{18, "", 0}}, "BitwiseNot": {{18, "", 0}}, "BitwiseOr": {{18, "", 0}}, "BitwiseXor": {{18, "", 0}},
	"BlackmanWindow": {{17, "", 0}}, "HannWindow": {{17, "", 0}}, "HammingWindow": {{17, "", 0}},
	"CastLike": {{15, "", 0}}, "Celu": {{12, "", 0}}, "CenterCropPad": {{18, "", 0}}, "Clip": {{11, "", 2}}, "Col2Im": {{18, "", 0}},
	"Constant": {
		{12, "value_float", 0}, {12, "value_floats", 0}, {12, "value_int", 0},
		{12, "value_ints", 0}, {12, "value_string", 0}, {12, "value_strings", 0},
	},
	"ConvInteger": {{10, "", 0}}, "CumSum": {{11, "", 0}}, "DFT": {{17, "", 0}, {20, "", 3}},
	"DepthToSpace": {{11, "mode", 0}}, "DequantizeLinear": {{10, "", 0}, {13, "axis", 0}, {21, "block_size", 0}}, "Det": {{11, "", 0}},
	"Dropout": {{12, "", 2}}, "DynamicQuantizeLinear": {{11, "", 0}}, "Einsum": {{12, "", 0}},
	"GatherElements": {{11, "", 0}}, "GatherND": {{11, "", 0}, {12, "batch_dims", 0}}, "Gelu": {{20, "", 0}},
	"GreaterOrEqual": {{12, "", 0}}, "GridSample": {{16, "", 0}}, "GroupNormalization": {{18, "", 0}, {21, "stash_type", 0}},
	"HardSwish": {{14, "", 0}}, "IsInf": {{10, "", 0}}, "LayerNormalization": {{17, "", 0}}, "LessOrEqual": {{12, "", 0}},
	"MatMulInteger": {{10, "", 0}}, "MaxPool": {{10, "ceil_mode", 0}, {10, "dilations", 0}}, "MelWeightMatrix": {{17, "", 0}},
	"Mish": {{18, "", 0}}, "Mod": {{10, "", 0}}, "NegativeLogLikelihoodLoss": {{12, "", 0}}, "NonMaxSuppression": {{10, "", 0}},
	"Pad": {{11, "", 2}}, "QLinearConv": {{10, "", 0}}, "QLinearMatMul": {{10, "", 0}},
	"QuantizeLinear": {{10, "", 0}, {13, "axis", 0}, {21, "block_size", 0}}, "RMSNormalization": {{23, "", 0}}, "Range": {{11, "", 0}},
	"ReduceL1": {{18, "", 2}}, "ReduceL2": {{18, "", 2}}, "ReduceLogSum": {{18, "", 2}}, "ReduceLogSumExp": {{18, "", 2}},
	"ReduceMax": {{18, "", 2}}, "ReduceMean": {{18, "", 2}}, "ReduceMin": {{18, "", 2}}, "ReduceProd": {{18, "", 2}},
	"ReduceSum": {{13, "", 2}}, "ReduceSumSquare": {{18, "", 2}}, "Reshape": {{14, "allowzero", 0}},
	"Resize":          {{10, "", 0}, {11, "", 3}, {18, "antialias", 0}, {18, "axes", 0}},
	"RoiAlign":        {{10, "", 0}, {16, "coordinate_transformation_mode", 0}},
	"RotaryEmbedding": {{23, "", 0}}, "Round": {{11, "", 0}}, "STFT": {{17, "", 0}},
	"ScatterElements": {{11, "", 0}, {16, "reduction", 0}}, "ScatterND": {{11, "", 0}, {16, "reduction", 0}},
	"Shape": {{15, "start", 0}, {15, "end", 0}}, "Slice": {{10, "", 3}}, "SoftmaxCrossEntropyLoss": {{12, "", 0}},
	"Split": {{13, "", 2}, {18, "num_outputs", 0}}, "Squeeze": {{13, "", 2}}, "Swish": {{24, "", 0}},
	"ThresholdedRelu": {{10, "", 0}}, "TopK": {{10, "", 2}, {11, "largest", 0}, {11, "sorted", 0}},
	"Trilu": {{14, "", 0}}, "Unique": {{11, "", 0}}, "Unsqueeze": {{13, "", 2}},
}

// opset is the lowest version that has everything that occurs.
func opset(ops []*operation) int64 {
	version := int64(oldest)
	for _, op := range ops {
		if domain(op) != "" {
			continue
		}
		for _, s := range since[op.name] {
			if len(op.inputs) >= s.inputs && (s.attr == "" || op.has(s.attr)) {
				version = max(version, s.version)
			}
		}
	}
	return version
}

func (op *operation) has(attr string) bool {
	for _, a := range op.attrs {
		if a.Name == attr {
			return true
		}
	}
	return false
}
