//go:build !noasm

package kernel

import "unsafe"

// The products of 8-bit and 4-bit weights.

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

type integerMicro func(k int, a, a2 *uint8, lda int, b *int8, ps int, c *int32, ldc int, ahead *int8)

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
	first, lda := ptr(a.bytes), a.ld
	if t.b.group == 2 {
		first, lda = (*uint8)(unsafe.Pointer(ptr(a.words))), wordSize*a.ld
	}
	most, step := len(kernels)-1, int8Step()
	if most == 2 && h > len(kernels[2]) {
		most = 1
	}
	for j := j0; j < j1; {
		q := most
		for q > 0 && j+(1<<q-1)*int8Cols >= j1 {
			q--
		}
		panel := t.b.data[j*t.b.kp:]
		for i := 0; i < h; i += step {
			// The panels that come next, one by each step of rows.
			ahead := panel
			if next := (1<<q + i/step) * int8Cols * t.b.kp; next < len(panel) && i < 2*step {
				ahead = panel[next:]
			}
			rows := (*uint8)(unsafe.Add(unsafe.Pointer(first), i*lda))
			second := rows
			if h-i > int8Rows {
				second = (*uint8)(unsafe.Add(unsafe.Pointer(rows), int8Rows*lda))
			}
			kernels[q][min(step, h-i)-1](t.b.kp/t.b.group, rows, second, lda, ptr(panel), int8Cols*t.b.kp, ptr(acc[i*ld+j-j0:]), ld*floatSize, ptr(ahead))
		}
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

func vFinishSums(act Act, y []float32, acc, sums []int32, scale, bias []float32, z, c int32) {
	if !useAVX2 {
		finishSumsGo(act, y, acc, sums, scale, bias, z, c)
		return
	}
	if useAVX512 {
		finishSumsAVX512(act, y, acc, sums, scale, bias, z, c)
		return
	}
	switch act {
	case ActNone:
		noneSumsAVX2(ptr(y), ptr(acc), ptr(sums), ptr(scale), ptr(bias), len(y), z, c)
	case ActGelu:
		geluSumsAVX2(ptr(y), ptr(acc), ptr(sums), ptr(scale), ptr(bias), len(y), z, c)
	case ActGeluTanh:
		geluTanhSumsAVX2(ptr(y), ptr(acc), ptr(sums), ptr(scale), ptr(bias), len(y), z, c)
	case ActRelu:
		reluSumsAVX2(ptr(y), ptr(acc), ptr(sums), ptr(scale), ptr(bias), len(y), z, c)
	case ActTanh:
		tanhSumsAVX2(ptr(y), ptr(acc), ptr(sums), ptr(scale), ptr(bias), len(y), z, c)
	}
}

func finishSumsAVX512(act Act, y []float32, acc, sums []int32, scale, bias []float32, z, c int32) {
	switch act {
	case ActNone:
		noneSumsAVX512(ptr(y), ptr(acc), ptr(sums), ptr(scale), ptr(bias), len(y), z, c)
	case ActGelu:
		geluSumsAVX512(ptr(y), ptr(acc), ptr(sums), ptr(scale), ptr(bias), len(y), z, c)
	case ActGeluTanh:
		geluTanhSumsAVX512(ptr(y), ptr(acc), ptr(sums), ptr(scale), ptr(bias), len(y), z, c)
	case ActRelu:
		reluSumsAVX512(ptr(y), ptr(acc), ptr(sums), ptr(scale), ptr(bias), len(y), z, c)
	case ActTanh:
		tanhSumsAVX512(ptr(y), ptr(acc), ptr(sums), ptr(scale), ptr(bias), len(y), z, c)
	}
}
