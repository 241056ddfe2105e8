// Package quantize rewrites a float model to int8, model to model.
//
// [Dynamic] needs no data: weights become int8 and activations are quantized
// as they come (DynamicQuantizeLinear + MatMulInteger). [Static] fixes the
// activations' ranges beforehand from calibration data and writes
// QuantizeLinear/DequantizeLinear pairs. [WeightOnly] stores int8 weights and
// computes in float. Embedding tables become int8 rows in every mode.
//
// The formulas are those of ONNX, rounding half to even:
//
//	symmetric   s = max|x|/127                 q = clamp(round(x/s), −127, 127)
//	asymmetric  s = (max−min)/255, 0 in range  q = clamp(round(x/s)+z, qmin, qmax), z = round(qmin − min/s)
//
// Shapes: K inputs and N outputs of a linear layer, B batch, S sequence, H hidden, V vocabulary.
package quantize
