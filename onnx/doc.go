// Package onnx reads, checks, changes and writes ONNX models, and the Hugging
// Face directories that they come in.
//
// [Open] maps the weights of a file or directory into memory, wherever they lie
// (typed fields, raw data, external data), and keeps what it does not know, so
// that [Model.Encode] gives the file back. [Model.SaveAs] writes a directory that
// ONNX Runtime, transformers.js and Optimum open: config.json, the tokenizer's
// files and onnx/model.onnx. The graph is plain data, with helpers for surgery:
// [Graph.SetInitializer], [NewFloats], [Model.Clone] and more.
//
// Files are untrusted: a damaged one is an error that says what and where, never
// a panic.
package onnx
