// Package onnxgo runs programs that were written for onnx-go
// (github.com/owulveryck/onnx-go) on lite's executor: a [Backend] is an
// onnx.Backend and a backend.ComputationBackend, so that one line changes.
//
//	backend := onnxgo.New() // was gorgonnx.NewGraph()
//	model := onnx.NewModel(backend)
//	err := model.UnmarshalBinary(b)
//	err = model.SetInput(0, t)
//	err = backend.Run()
//	output, err := model.GetOutputTensors()
//
// onnx-go decodes the file. What its decoder cannot read (float16, int8,
// external data, bodies of If, Loop and Scan) cannot be run this way; package
// lite/onnx with the other rooms reads all of it. docs/onnx-go.md of the
// repository says what of onnx-go's own operator suite passes.
//
// # Versions of operators
//
// onnx-go keeps neither the operator set version of a model nor the domains of
// its operators. Unless [Backend.SetOpset] names the version, it is the lowest,
// from 9 on, that has everything that occurs in the model: its operators, their
// attributes and their numbers of inputs (axes of Squeeze as an input mean 13,
// LayerNormalization 17, …). As a model has one version, evidence of one node
// holds for all. Of the operators that changed their meaning without changing
// their form this matters for Softmax, LogSoftmax and Hardmax (13: along one
// axis, before along all from it on) most.
//
// An operator that ai.onnx does not have is taken for one of com.microsoft.
//
// # Inputs and results
//
// Model.SetInput(i, …) of onnx-go sets the node of number i. That is input i
// only where no weight is listed before it among the inputs; for other models
// use Model.GetNodeByName. The tensor is read at each run. If its element type
// is not the declared one, its numbers are converted where all of them stay the
// same, else Run returns an error. Results have the shape that ONNX says, so a
// scalar is a scalar of Gorgonia. An empty result is an error, as Gorgonia's
// tensors have at least one element.
//
// GetTensor of any node gives the value of the last run, of values inside the
// graph too.
package onnxgo
