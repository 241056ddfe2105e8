// Package lite compresses transformer encoders: a big ONNX teacher goes in, a
// small student is trained under it, pruned, quantized to int8 and checked
// against labelled data, and an ONNX directory comes out.
//
// The work is done by the rooms below this package, each of which has a Config
// that says what to do and is a [Step], model to model:
//
//	distill.Config    a student under the model as teacher, or more training
//	prune.Config      heads, neurons, layers or single weights removed
//	quantize.Config   int8 weights and activations
//	eval.Gate         passes a model on if it keeps its quality
//
// [Run] puts steps in a row. A model is plain data (onnx.Model), opened with
// onnx.Open and written with its Save; no step changes the model it is given.
//
// The command in cmd/lite is the same rooms behind flags.
package lite
