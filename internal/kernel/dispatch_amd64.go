//go:build !noasm

package kernel

import (
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/cpu"
)

// What the processor has and the operating system supports, unless
// LITE_KERNEL says to use less.
var (
	useAVX2 = cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasOSXSAVE && limit() >= pathAVX2
	// The wider registers and the byte multiply-adds serve kernels that give
	// the same bits as the narrower ones, and therefore are no class.
	useAVX512  = useAVX2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ && limit() >= pathAVX512
	useVNNI    = useAVX512 && cpu.X86.HasAVX512VNNI
	useAVXVNNI = useAVX2 && cpu.X86.HasAVXVNNI && limit() >= pathAVXVNNI
)

// Paths in the order of what they need.
const (
	pathGo = iota
	pathAVX2
	pathAVXVNNI
	pathAVX512
)

var pathNames = []string{"go", "avx2", "avxvnni", "avx512"}

// limit is the path that LITE_KERNEL names: the most that is used. Other values
// are no limit.
func limit() int {
	if i := slices.Index(pathNames, os.Getenv("LITE_KERNEL")); i >= 0 {
		return i
	}
	return pathAVX512
}

// Class names the set of kernels that runs here: "avx2" or "go".
func Class() string {
	if useAVX2 {
		return "avx2"
	}
	return "go"
}

// Path names the instructions that the matrix kernels use here: "go", "avx2",
// "avxvnni" or "avx512". The environment variable LITE_KERNEL, read when the
// process starts, limits it to one of these, for tests and measurements.
func Path() string {
	switch {
	case useAVX512:
		return pathNames[pathAVX512]
	case useAVXVNNI:
		return pathNames[pathAVXVNNI]
	case useAVX2:
		return pathNames[pathAVX2]
	}
	return pathNames[pathGo]
}

func ptr[T any](x []T) *T { return unsafe.SliceData(x) }

const floatSize = 4

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

// vCentre is centreGo. dst has whole blocks of 32 bytes.
func vCentre(dst, a []uint8, c uint8, over []uint64) {
	if !useAVX2 {
		centreGo(dst, a, c, over)
		return
	}
	four := uint32(c^0x80) * 0x01010101
	done := len(a) &^ 31
	if done > 0 {
		centreAVX2(ptr(dst), ptr(a), done, four, ptr(over))
	}
	if done < len(dst) {
		var last [32]uint8
		for x := copy(last[:], a[done:]); x < len(last); x++ {
			last[x] = c
		}
		centreAVX2(ptr(dst[done:]), &last[0], len(last), four, ptr(over[done/32:]))
	}
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
	switch {
	case useAVX512 && len(x) >= 16:
		done = len(x) &^ 15
		quantizeAVX512(ptr(dst), ptr(x), done, scale, int32(zero))
	case useAVX2 && len(x) >= 8:
		done = len(x) &^ 7
		quantizeAVX2(ptr(dst), ptr(x), done, scale, int32(zero))
	}
	quantizeGo(dst[done:], x[done:], scale, zero)
}

func vScaleBytes(y []float32, x []int8, scale float32) {
	done := 0
	if useAVX2 && len(y) >= 8 {
		done = len(y) &^ 7
		scaleBytesAVX2(ptr(y), ptr(x), done, scale)
	}
	scaleBytesGo(y[done:], x[done:], scale)
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

func vDequantize(y []float32, acc, sums []int32, scale []float32, z, c int32) {
	done := 0
	if useAVX2 && len(y) >= 8 {
		done = len(y) &^ 7
		dequantizeAVX2(ptr(y), ptr(acc), ptr(sums), ptr(scale), done, z, c)
	}
	dequantizeGo(y[done:], acc[done:], sums[done:], scale[done:], z, c)
}
