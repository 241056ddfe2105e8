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
// A run works in a state that the session keeps for its next runs: one slab of
// bytes, and the headers, shapes and arguments around them, which are handed out
// in order and all taken back at the end. The first run of a shape notes what
// memory is asked for, and from when to when; the plan made of that gives each
// piece its place in the slab: the largest first, each in the smallest gap left by
// those that live at the same time. Later runs of the shape allocate nothing but
// their outputs, which are made on the heap because they belong to the caller.
//
// A plan is advice. A place is taken only if it is free, so a value whose size
// depends on data and not on shapes (NonZero, or rows that are no padding) may
// be larger than planned: it goes to a gap, or to a further region, and the next
// run is planned anew with the larger size. Nothing relies on a plan being right.
//
// All shapes share the slab, which is as large as the largest of them needs and
// is given up when it has been too large for long; the plans of the last 512
// shapes are remembered. Concurrent runs have a state each; 16 of them or 1 GiB
// are kept. [Session.Footprint] tells the sizes. One value is bounded by
// [Options.MaxBytes], so a graph that asks for 10¹² elements is an error.
//
// # Stopping
//
// A run looks whether its context is done before every node, and operators that
// may take long do so between pieces of some ten milliseconds. Where pieces are
// cut follows from sizes alone.
//
// # Values that fusion replaced
//
// Any value of the graph can be asked for. One that fusion replaced comes from a
// variant, a second compilation that keeps it, and from a run of its own; see
// [Session.Run].
//
// # Determinism
//
// The same inputs give the same bytes, whatever the number of threads and
// whichever outputs are asked for: every value is computed by the same kernel
// with a fixed order of summation.
package exec
