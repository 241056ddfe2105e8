//go:build (!amd64 && !arm64) || noasm

package kernel

// Class names the set of kernels that runs here: "go".
func Class() string { return "go" }

// Path names the instructions that the matrix kernels use here: "go".
func Path() string { return "go" }

func microKernel(h, k int, a []float32, rs, cs int, b []float32, bs int, c []float32, ldc int, alpha, beta float32, _ []float32) {
	microKernelGo(h, k, a, rs, cs, b, bs, c, ldc, alpha, beta)
}

// int8Raised says that the integer kernel takes raised weights and a centred A.
func int8Raised() bool { return false }

// int8Signed says that the integer kernel takes A as signed bytes, less by 128.
func int8Signed() bool { return false }

func (t *int8Task) multiply(_, h int, a rowsOfA, j0, j1 int, acc []int32, ld int) {
	t.multiplyGo(h, a, j0, j1, acc, ld)
}
