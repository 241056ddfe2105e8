//go:build !noasm

package kernel

import (
	"os"
	"unsafe"

	"golang.org/x/sys/cpu"
)

// Every arm64 processor has the vector unit with fused multiply-add; useDot says
// that this one multiplies bytes in fours too.
var (
	useNEON = os.Getenv("LITE_KERNEL") != "go"
	useDot  = useNEON && cpu.ARM64.HasASIMDDP
)

// Class names the set of kernels that runs here: "neon" or "go". Matrix products
// and what is made of them differ between the two in the last digits, because
// the one rounds once where the other rounds twice.
func Class() string {
	if useNEON {
		return "neon"
	}
	return "go"
}

// Path names the instructions that the matrix kernels use here: "neon",
// "neon-dot" or "go". The environment variable LITE_KERNEL=go, read when the
// process starts, is for tests and measurements.
func Path() string {
	if useDot {
		return "neon-dot"
	}
	return Class()
}

func ptr[T any](x []T) *T { return unsafe.SliceData(x) }

// The kernels compute C[h,16] = alpha·A·B + beta·C for h up to the number in the
// name. Element (i,p) of A is rs·i + cs·p bytes in, row p of B bs·p and row i of
// C ldc·i. C is not read when beta is 0.

//go:noescape
func neon6(k int, a *float32, rs, cs int, b *float32, bs int, c *float32, ldc int, alpha, beta float32, h int)

//go:noescape
func neon4(k int, a *float32, rs, cs int, b *float32, bs int, c *float32, ldc int, alpha, beta float32, h int)

//go:noescape
func neon2(k int, a *float32, rs, cs int, b *float32, bs int, c *float32, ldc int, alpha, beta float32, h int)

// dot6 and dot2 compute C[h,16] = A·B for h up to the number in the name over k
// groups of four rows of an interleaved panel, all bytes signed.

//go:noescape
func dot6(k int, a *uint8, lda int, b *int8, c *int32, ldc int, h int)

//go:noescape
func dot2(k int, a *uint8, lda int, b *int8, c *int32, ldc int, h int)

func microKernel(h, k int, a []float32, rs, cs int, b []float32, bs int, c []float32, ldc int, alpha, beta float32, _ []float32) {
	if !useNEON || k == 0 {
		microKernelGo(h, k, a, rs, cs, b, bs, c, ldc, alpha, beta)
		return
	}
	const size = 4
	switch {
	case h > 4:
		neon6(k, ptr(a), rs*size, cs*size, ptr(b), bs*size, ptr(c), ldc*size, alpha, beta, h)
	case h > 2:
		neon4(k, ptr(a), rs*size, cs*size, ptr(b), bs*size, ptr(c), ldc*size, alpha, beta, h)
	default:
		neon2(k, ptr(a), rs*size, cs*size, ptr(b), bs*size, ptr(c), ldc*size, alpha, beta, h)
	}
}

// int8Raised says that the integer kernel takes raised weights and a centred A.
func int8Raised() bool { return false }

// int8Signed says that the integer kernel takes A as signed bytes, less by 128.
func int8Signed() bool { return useDot }

func (t *int8Task) multiply(_, h int, a rowsOfA, j0, j1 int, acc []int32, ld int) {
	if !useDot || t.b.kp == 0 {
		t.multiplyGo(h, a, j0, j1, acc, ld)
		return
	}
	for j := j0; j < j1; j += int8Cols {
		for i := 0; i < h; i += int8Rows {
			kernel := dot6
			if h-i <= 2 {
				kernel = dot2
			}
			kernel(t.b.kp/4, ptr(a.bytes[i*a.ld:]), a.ld, ptr(t.b.data[j*t.b.kp:]), ptr(acc[i*ld+j-j0:]), ld*4, min(int8Rows, h-i))
		}
	}
}
