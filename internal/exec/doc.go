// Package exec runs ONNX graphs forward.
//
// A [Session] is made once from a model: the graph is fused (package fuse),
// everything that depends on no input is computed, weights are packed for the
// kernels, and what cannot be run is reported in one error that lists every
// such node. [Session.Run] then takes any batch and length.
//
// # Types
//
// Values hold float32, float64, int64, int32, uint8, int8 or bool. Float16
// and bfloat16 are widened: initializers are converted, a declared value is a
// float32 here, and Cast rounds to the narrower type but keeps a float32, so
// that arithmetic in between is more exact. Float64 arithmetic is done in
// float64. The integers of 2, 4 and 16 bits, uint32 and uint64 are held in
// int64 and wrap around as their own type does; float8 and float4 are held in
// float32 and rounded by Cast and QuantizeLinear. Strings are not supported.
//
// # Memory
//
// Values are counted references to buffers that a run takes from an arena
// which the session keeps for its next run. A tensor that Run returns belongs
// to the caller. Values are bounded in size (see [Options.MaxBytes]), so a
// graph that asks for 10¹² elements is an error.
//
// # Determinism
//
// The same inputs give the same bytes, whatever the number of threads and
// whichever outputs are asked for: every value is computed by the same kernel
// with a fixed order of summation.
package exec
