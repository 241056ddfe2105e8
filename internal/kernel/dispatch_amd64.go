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

const (
	floatSize = 4
	wordSize  = 2
)

// tileRows is how many rows of A lie together when packed.
func tileRows() int {
	if useAVX512 {
		return 2 * mr
	}
	return mr
}

// directRows is up to how many rows of C packing B, of which the rows are ldb
// apart, costs more than it saves. The wide kernel reads all of B again for every
// 12 rows anyway; the narrow one wants a panel to stay in the cache, where rows a
// multiple of the page size apart displace each other.
func directRows(ldb int) int {
	switch {
	case useAVX512 && ldb%1024 == 0:
		return mcBlock
	case useAVX512:
		return 256
	case ldb%1024 == 0:
		return 2 * mr
	}
	return 8 * mr
}

func (t *gemmTask) block(b *block) {
	switch {
	case useAVX512:
		t.wide(b)
	case useAVX2 && b.i1-b.i0 <= 3:
		t.few(b)
	default:
		t.narrow(b)
	}
}

// wide takes 12 rows of A at a time, which stay in the first-level cache while
// B passes by.
func (t *gemmTask) wide(b *block) {
	rs, cs, ps, ldc := b.rs*floatSize, b.cs*floatSize, t.ps*floatSize, t.ldc*floatSize
	whole := b.j1 // up to where panels lie evenly
	if t.tail != nil {
		whole = b.j1 / nr * nr
	}
	for i, ap := b.i0, 0; i < b.i1; i, ap = i+2*mr, ap+b.step {
		h := min(2*mr, b.i1-i)
		a := b.a[ap:]
		a2 := ptr(a)
		if h > mr {
			a2 = ptr(a[mr*b.rs:])
		}
		most := 2
		if h <= 4 {
			most = 4
		}
		for j := b.j0; j < b.j1; {
			q := most
			for q > 1 && j+(q-1)*nr >= whole {
				q /= 2
			}
			panel, bs := t.panel(j, b.p)
			w := min(q*nr, b.j1-j)
			microWide[q/2][h-1](b.kc, ptr(a), a2, rs, cs, ptr(panel), bs*floatSize, ps, ptr(t.c[i*t.ldc+j:]), ldc, t.alpha, b.beta, 1<<w-1)
			j += w
		}
	}
}

// few makes up to three rows, several panels at a time.
func (t *gemmTask) few(b *block) {
	q, kernel := 2, micro2x32
	switch b.i1 - b.i0 {
	case 1:
		q, kernel = 4, micro1x64
	case 3:
		kernel = micro3x32
	}
	rest := *b
	for ; rest.j0+q*nr <= b.j1; rest.j0 += q * nr {
		j := rest.j0
		kernel(b.kc, ptr(b.a), nil, b.rs*floatSize, b.cs*floatSize, ptr(t.b[j/nr*t.ps+b.p*t.bs:]), t.bs*floatSize, t.ps*floatSize,
			ptr(t.c[b.i0*t.ldc+j:]), t.ldc*floatSize, t.alpha, b.beta, 0)
	}
	t.narrow(&rest)
}

type micro func(k int, a, a2 *float32, rs, cs int, b *float32, bs, ps int, c *float32, ldc int, alpha, beta float32, mask uint64)

// microWide has the kernels of one, two and four panels by number of rows.
var microWide = [3][2 * mr]micro{
	{microz1x16, microz2x16, microz3x16, microz4x16, microz5x16, microz6x16, microz7x16, microz8x16, microz9x16, microz10x16, microz11x16, microz12x16},
	{microz1x32, microz2x32, microz3x32, microz4x32, microz5x32, microz6x32, microz7x32, microz8x32, microz9x32, microz10x32, microz11x32, microz12x32},
	{microz1x64, microz2x64, microz3x64, microz4x64},
}

func microKernel(h, k int, a []float32, rs, cs int, b []float32, bs int, c []float32, ldc int, alpha, beta float32) {
	if !useAVX2 {
		microKernelGo(h, k, a, rs, cs, b, bs, c, ldc, alpha, beta)
		return
	}
	rs, cs, bs, ldc = rs*floatSize, cs*floatSize, bs*floatSize, ldc*floatSize
	// No table: the compiler must see that c, which may be on the stack, stays.
	switch h {
	case 6:
		micro6x16(k, ptr(a), nil, rs, cs, ptr(b), bs, 0, ptr(c), ldc, alpha, beta, 0)
	case 5:
		micro5x16(k, ptr(a), nil, rs, cs, ptr(b), bs, 0, ptr(c), ldc, alpha, beta, 0)
	case 4:
		micro4x16(k, ptr(a), nil, rs, cs, ptr(b), bs, 0, ptr(c), ldc, alpha, beta, 0)
	case 3:
		micro3x16(k, ptr(a), nil, rs, cs, ptr(b), bs, 0, ptr(c), ldc, alpha, beta, 0)
	case 2:
		micro2x16(k, ptr(a), nil, rs, cs, ptr(b), bs, 0, ptr(c), ldc, alpha, beta, 0)
	case 1:
		micro1x16(k, ptr(a), nil, rs, cs, ptr(b), bs, 0, ptr(c), ldc, alpha, beta, 0)
	}
}

func packWhole(dst, b []float32, ldb, rows, panels, ps int) {
	done := 0
	if useAVX2 && rows >= 4 {
		done = rows &^ 3
		// So many rows at a time that their lines stay for the next panel.
		const some = 16
		for p := 0; p < done; p += some {
			packPanels(ptr(dst[p*nr:]), ptr(b[p*ldb:]), ldb*floatSize, min(some, done-p), panels, ps*floatSize)
		}
	}
	if done < rows {
		packWholeGo(dst[done*nr:], b[done*ldb:], ldb, rows-done, panels, ps)
	}
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

// packRows makes so many whole panels of tileRows rows of A.
func packRows(dst, a []float32, ld, k, panels int) {
	rows := tileRows()
	switch {
	case useAVX512:
		packRows12(ptr(dst), ptr(a), ld*floatSize, k, panels, rows*k*floatSize)
	case useAVX2:
		packRows6(ptr(dst), ptr(a), ld*floatSize, k, panels, rows*k*floatSize)
	default:
		for q := range panels {
			packRowsGo(dst[q*rows*k:], a[q*rows:], ld, k, rows)
		}
	}
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

func vDequantize(y []float32, acc, sums []int32, scale []float32, z, c int32) {
	done := 0
	if useAVX2 && len(y) >= 8 {
		done = len(y) &^ 7
		dequantizeAVX2(ptr(y), ptr(acc), ptr(sums), ptr(scale), done, z, c)
	}
	dequantizeGo(y[done:], acc[done:], sums[done:], scale[done:], z, c)
}

// int8Group is how many rows of B are interleaved.
func int8Group() int {
	if useVNNI || useAVXVNNI {
		return 4
	}
	return 2
}

// int8Signed says that the integer kernel takes A as signed bytes, less by 128.
func int8Signed() bool { return false }

// int8Step is how many rows of A are multiplied at a time.
func int8Step() int {
	if useAVX512 {
		return 2 * int8Rows
	}
	return int8Rows
}

type integerMicro func(k int, a, a2 *uint8, lda int, b *int8, ps int, c *int32, ldc int)

// The integer kernels of one, two and four panels by number of rows.
var (
	wordsNarrow = []integerMicro{words1x16, words2x16, words3x16, words4x16, words5x16, words6x16}
	vnniNarrow  = []integerMicro{avxvnni1x16, avxvnni2x16, avxvnni3x16, avxvnni4x16, avxvnni5x16, avxvnni6x16}
	wordsWide   = [2][]integerMicro{
		{wordsz1x16, wordsz2x16, wordsz3x16, wordsz4x16, wordsz5x16, wordsz6x16, wordsz7x16, wordsz8x16, wordsz9x16, wordsz10x16, wordsz11x16, wordsz12x16},
		{wordsz1x32, wordsz2x32, wordsz3x32, wordsz4x32, wordsz5x32, wordsz6x32, wordsz7x32, wordsz8x32, wordsz9x32, wordsz10x32, wordsz11x32, wordsz12x32},
	}
	vnniWide = [3][]integerMicro{
		{vnniz1x16, vnniz2x16, vnniz3x16, vnniz4x16, vnniz5x16, vnniz6x16, vnniz7x16, vnniz8x16, vnniz9x16, vnniz10x16, vnniz11x16, vnniz12x16},
		{vnniz1x32, vnniz2x32, vnniz3x32, vnniz4x32, vnniz5x32, vnniz6x32, vnniz7x32, vnniz8x32, vnniz9x32, vnniz10x32, vnniz11x32, vnniz12x32},
		{vnniz1x64, vnniz2x64, vnniz3x64, vnniz4x64},
	}
)

// multiply writes h rows of A·B, columns j0 to j1, to acc, whole panels of it.
func (t *int8Task) multiply(h int, a *rowsOfA, j0, j1 int, acc []int32, ld int) {
	var kernels [][]integerMicro
	switch {
	case t.b.group == 4 && useVNNI:
		kernels = vnniWide[:]
	case t.b.group == 4 && useAVXVNNI:
		kernels = [][]integerMicro{vnniNarrow}
	case t.b.group == 2 && useAVX512:
		kernels = wordsWide[:]
	case t.b.group == 2 && useAVX2:
		kernels = [][]integerMicro{wordsNarrow}
	}
	if kernels == nil || t.b.kp == 0 {
		t.multiplyGo(h, a, j0, j1, acc, ld)
		return
	}
	first, second, lda := ptr(a.bytes), (*uint8)(nil), a.ld
	if t.b.group == 2 {
		first, lda = (*uint8)(unsafe.Pointer(ptr(a.words))), wordSize*a.ld
	}
	if h > int8Rows {
		second = (*uint8)(unsafe.Add(unsafe.Pointer(first), int8Rows*lda))
	}
	most := len(kernels) - 1
	if most == 2 && h > len(kernels[2]) {
		most = 1
	}
	for j := j0; j < j1; {
		q := most
		for q > 0 && j+(1<<q-1)*int8Cols >= j1 {
			q--
		}
		kernels[q][h-1](t.b.kp/t.b.group, first, second, lda, ptr(t.b.data[j*t.b.kp:]), int8Cols*t.b.kp, ptr(acc[j-j0:]), ld*floatSize)
		j += int8Cols << q
	}
}

func vUnpackFours(dst []float32, ps int, data []uint8, params []float32, k, left, block int) {
	switch {
	case useAVX512:
		unpackFoursz(ptr(dst), ps*floatSize, ptr(data), ptr(params), k, left, block)
	case useAVX2:
		unpackFours(ptr(dst), ps*floatSize, ptr(data), ptr(params), k, left, block)
	default:
		unpackFoursGo(dst, ps, data, params, k, left, block)
	}
}

// foursRows is for how many rows vFours is the faster way.
func foursRows() int {
	switch {
	case useAVX512:
		return 4
	case useAVX2:
		return 2
	}
	return 0
}

// vFours multiplies h rows of A by k rows of a panel of 4-bit weights.
func vFours(h, k int, a []float32, lda int, data []uint8, params []float32, left, block int, c []float32, beta float32) {
	lda *= floatSize
	switch {
	case useAVX512 && h == 1:
		foursz1x32(k, ptr(a), lda, ptr(data), ptr(params), left, block, ptr(c), beta)
	case useAVX512 && h == 2:
		foursz2x32(k, ptr(a), lda, ptr(data), ptr(params), left, block, ptr(c), beta)
	case useAVX512 && h == 3:
		foursz3x32(k, ptr(a), lda, ptr(data), ptr(params), left, block, ptr(c), beta)
	case useAVX512:
		foursz4x32(k, ptr(a), lda, ptr(data), ptr(params), left, block, ptr(c), beta)
	case h == 1:
		fours1x32(k, ptr(a), lda, ptr(data), ptr(params), left, block, ptr(c), beta)
	default:
		fours2x32(k, ptr(a), lda, ptr(data), ptr(params), left, block, ptr(c), beta)
	}
}
