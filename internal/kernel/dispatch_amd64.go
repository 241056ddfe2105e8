//go:build !noasm

package kernel

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// useAVX2 says that processor and operating system support AVX2 and FMA.
var useAVX2 = cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasOSXSAVE

// useVNNI says that the processor also has the byte multiply-add of AVX-512 on
// 256-bit registers. It serves exact integer kernels only, and therefore is no
// class of its own.
var useVNNI = useAVX2 && cpu.X86.HasAVX512VNNI && cpu.X86.HasAVX512VL

// Class names the set of kernels that runs here: "avx2" or "go".
func Class() string {
	if useAVX2 {
		return "avx2"
	}
	return "go"
}

func ptr[T any](x []T) *T { return unsafe.SliceData(x) }

const (
	floatSize = 4
	wordSize  = 2
)

func microKernel(h, k int, a []float32, rs, cs int, b []float32, c []float32, ldc int, alpha, beta float32) {
	if !useAVX2 {
		microKernelGo(h, k, a, rs, cs, b, c, ldc, alpha, beta)
		return
	}
	rs, cs, ldc = rs*floatSize, cs*floatSize, ldc*floatSize
	switch h {
	case 6:
		micro6x16(k, ptr(a), rs, cs, ptr(b), ptr(c), ldc, alpha, beta)
	case 5:
		micro5x16(k, ptr(a), rs, cs, ptr(b), ptr(c), ldc, alpha, beta)
	case 4:
		micro4x16(k, ptr(a), rs, cs, ptr(b), ptr(c), ldc, alpha, beta)
	case 3:
		micro3x16(k, ptr(a), rs, cs, ptr(b), ptr(c), ldc, alpha, beta)
	case 2:
		micro2x16(k, ptr(a), rs, cs, ptr(b), ptr(c), ldc, alpha, beta)
	case 1:
		micro1x16(k, ptr(a), rs, cs, ptr(b), ptr(c), ldc, alpha, beta)
	}
}

func packColumns(dst, b []float32, ldb, k, w int) {
	if !useAVX2 || w < nr || k < 1 {
		packColumnsGo(dst, b, ldb, k, w)
		return
	}
	pack16(ptr(dst), ptr(b), ldb*floatSize, k)
}

func packColumnsT(dst, b []float32, ldb, k, w int) {
	done := 0
	if useAVX2 && w == nr && k >= 8 {
		done = k &^ 7
		packT8(ptr(dst), ptr(b), ldb*floatSize, done)
		packT8(ptr(dst[8:]), ptr(b[8*ldb:]), ldb*floatSize, done)
	}
	if done < k {
		packColumnsTGo(dst[done*nr:], b[done:], ldb, k-done, w)
	}
}

func packRows(dst, a []float32, ld, k, w int) {
	if !useAVX2 || w < mr || k < 1 {
		packRowsGo(dst, a, ld, k, w)
		return
	}
	packRows6(ptr(dst), ptr(a), ld*floatSize, k)
}

func vecMat(y, x, b []float32, ldb int, alpha, beta float32) {
	if !useAVX2 || len(x) == 0 {
		vecMatGo(y, x, b, ldb, alpha, beta)
		return
	}
	var sum [64]float32
	out := sum[:len(y)]
	if len(y) == 64 {
		vecMat64(ptr(out), ptr(x), ptr(b), ldb*floatSize, len(x))
	} else {
		for j := 0; j < len(y); j += 8 {
			vecMat8(ptr(out[j:]), ptr(x), ptr(b[j:]), ldb*floatSize, len(x), min(8, len(y)-j))
		}
	}
	if beta == 0 {
		copy(y, out)
		if alpha != 1 {
			vScale(alpha, y)
		}
		return
	}
	blendAVX2(ptr(y), ptr(out), len(y), beta, alpha)
}

func vColSum(dst, x []float32, rows, ld int, beta float32) {
	if !useAVX2 {
		colSumGo(dst, x, rows, ld, beta)
		return
	}
	var sum [colBlock]float32
	out := sum[:len(dst)]
	if len(dst) == colBlock {
		colSum64(ptr(out), ptr(x), ld*floatSize, rows)
	} else {
		for j := 0; j < len(dst); j += 8 {
			colSum8(ptr(out[j:]), ptr(x[j:]), ld*floatSize, rows, min(8, len(dst)-j))
		}
	}
	if beta == 0 {
		copy(dst, out)
		return
	}
	blendAVX2(ptr(dst), ptr(out), len(dst), beta, 1)
}

func vWiden(dst []int16, a []uint8) int32 {
	done := 0
	var sum int32
	if useAVX2 && len(a) >= 32 {
		done = len(a) &^ 31
		sum = int32(widenAVX2(ptr(dst), ptr(a), done))
	}
	return sum + widenGo(dst[done:], a[done:])
}

func vSubScaled(row, sums []int32, z, c int32) {
	done := 0
	if useAVX2 && len(row) >= 8 {
		done = len(row) &^ 7
		subScaledAVX2(ptr(row), ptr(sums), done, z, c)
	}
	subScaledGo(row[done:], sums[done:len(row)], z, c)
}

func vQuantize(dst []uint8, x []float32, scale, zero float32) {
	done := 0
	if useAVX2 && len(x) >= 8 {
		done = len(x) &^ 7
		quantizeAVX2(ptr(dst), ptr(x), done, scale, int32(zero))
	}
	quantizeGo(dst[done:], x[done:], scale, zero)
}

func vSumBytes(a []uint8) int32 {
	done := 0
	var sum int32
	if useAVX2 && len(a) >= 32 {
		done = len(a) &^ 31
		sum = int32(sumBytesAVX2(ptr(a), done))
	}
	return sum + sumBytesGo(a[done:])
}

func int8Group() int {
	if useVNNI {
		return 4
	}
	return 2
}

func int8Kernel4(h, k int, a []uint8, lda int, b []int8, c []int32, ldc int) {
	if !useVNNI || k == 0 {
		int8Kernel4Go(h, k, a, lda, b, c, ldc)
		return
	}
	k, ldc = k/4, ldc*floatSize
	switch h {
	case 6:
		vnni6(k, ptr(a), lda, ptr(b), ptr(c), ldc)
	case 5:
		vnni5(k, ptr(a), lda, ptr(b), ptr(c), ldc)
	case 4:
		vnni4(k, ptr(a), lda, ptr(b), ptr(c), ldc)
	case 3:
		vnni3(k, ptr(a), lda, ptr(b), ptr(c), ldc)
	case 2:
		vnni2(k, ptr(a), lda, ptr(b), ptr(c), ldc)
	case 1:
		vnni1(k, ptr(a), lda, ptr(b), ptr(c), ldc)
	}
}

func int8Kernel(h, k int, a []int16, lda int, b []int8, c []int32, ldc int) {
	if !useAVX2 || k == 0 {
		int8KernelGo(h, k, a, lda, b, c, ldc)
		return
	}
	k, lda, ldc = k/2, lda*wordSize, ldc*floatSize
	switch h {
	case 6:
		int8x6(k, ptr(a), lda, ptr(b), ptr(c), ldc)
	case 5:
		int8x5(k, ptr(a), lda, ptr(b), ptr(c), ldc)
	case 4:
		int8x4(k, ptr(a), lda, ptr(b), ptr(c), ldc)
	case 3:
		int8x3(k, ptr(a), lda, ptr(b), ptr(c), ldc)
	case 2:
		int8x2(k, ptr(a), lda, ptr(b), ptr(c), ldc)
	case 1:
		int8x1(k, ptr(a), lda, ptr(b), ptr(c), ldc)
	}
}
