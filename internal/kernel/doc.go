// Package kernel holds the float32 and int8 kernels that execution and
// training run on: matrix products, attention, normalisation, activations,
// losses and the optimiser, all over plain row-major slices.
//
// # Shapes
//
// m, n, k are the sizes of a matrix product C[m,n] = A[m,k]·B[k,n]; rows and n
// are the sizes of a row-major matrix x[rows,n]; B, A, Sq, Sk, D are batch,
// heads, query positions, key positions and head width. A leading dimension
// (lda, LDQ, …) is the distance in elements between two rows.
//
// # Classes
//
// The vector primitives exist twice: as AVX2+FMA assembly (see the gen folder)
// and as plain Go, which every other machine uses and which the build tag
// noasm forces; arm64 has NEON matrix products. [Class] tells which one runs, and
// [Path] which instructions the matrix products use: wider ones that give the
// same bits are no class. Within one class every function returns the same bits
// for the same input, whatever the number of threads, the number of cores or the
// alignment of the slices: every sum has one order, which follows from the
// problem's size alone. The int8 functions are exact, so they agree between
// classes too.
//
// # Contract
//
// Sizes are the caller's to get right; a slice that is too short is a broken
// invariant and panics. Nothing else does. Destinations may be the same slice
// as a source of the same shape where a function says so, and must not overlap
// otherwise.
package kernel

//go:generate sh -c "cd gen && go run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg kernel"
