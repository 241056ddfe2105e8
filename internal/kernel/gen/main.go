// Command gen writes the AVX2+FMA assembly of package kernel. Run it through
// go generate in the parent folder.
//
// Every function takes plain pointers and counts; the Go side checks sizes.
// Vector loops handle the last, partial vector with masked loads and stores,
// so that an element takes the same arithmetic wherever it lies.
package main

import (
	. "github.com/mmcloughlin/avo/build"
)

func main() {
	ConstraintExpr("!noasm")
	microKernels()
	packing()
	vecMat()
	plainLoops()
	reductions()
	functions()
	normLoops()
	optimizer()
	attention()
	int8Kernels()
	Generate()
}
