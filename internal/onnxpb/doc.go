// Package onnxpb reads and writes the protocol buffer wire format that ONNX
// files use, one field at a time.
//
// It knows nothing of ONNX's messages: package onnx holds their field numbers
// and walks them with [Fields] and [Message]. So nothing is generated and
// nothing is registered globally, and a program may import this beside other
// ONNX packages.
//
// Reading never copies: the bytes of a field are a part of the input, so a
// memory-mapped file is opened without touching its weights. Writing never
// joins: a [Message] refers to long byte slices and streams them to the writer.
package onnxpb
