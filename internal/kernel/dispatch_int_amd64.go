//go:build !noasm

package kernel

import "unsafe"

// The products of 8-bit and 4-bit weights.

// int8Raised says that the integer kernel takes raised weights and a centred A.
func int8Raised() bool { return useAVX2 && !useVNNI && !useAVXVNNI }

// int8Signed says that the integer kernel takes A as signed bytes, less by 128.
func int8Signed() bool { return false }

// int8Step is how many rows of A are multiplied at a time.
func int8Step() int {
	switch {
	case int8Raised():
		return centredRows
	case useAVX512:
		return 2 * int8Rows
	}
	return int8Rows
}

type integerMicro func(k int, a, a2 *uint8, lda int, b *int8, ps int, c *int32, ldc int, ahead *int8)

type wordMicro func(k int, a *int16, lda int, b *int8, c *int32, ldc int)

// The integer kernels of one, two and four panels by number of rows.
var (
	vnniNarrow  = [1][]integerMicro{{avxvnni1x16, avxvnni2x16, avxvnni3x16, avxvnni4x16, avxvnni5x16, avxvnni6x16}}
	quadsNarrow = [1][]integerMicro{{quads1x16, quads2x16, quads3x16, quads4x16}}
	wordsNarrow = []wordMicro{words1x16, words2x16, words3x16}
	quadsWide   = [2][]integerMicro{
		{quadsz1x16, quadsz2x16, quadsz3x16, quadsz4x16, quadsz5x16, quadsz6x16, quadsz7x16, quadsz8x16},
		{quadsz1x32, quadsz2x32, quadsz3x32, quadsz4x32, quadsz5x32, quadsz6x32, quadsz7x32, quadsz8x32},
	}
	vnniWide = [3][]integerMicro{
		{vnniz1x16, vnniz2x16, vnniz3x16, vnniz4x16, vnniz5x16, vnniz6x16, vnniz7x16, vnniz8x16, vnniz9x16, vnniz10x16, vnniz11x16, vnniz12x16},
		{vnniz1x32, vnniz2x32, vnniz3x32, vnniz4x32, vnniz5x32, vnniz6x32, vnniz7x32, vnniz8x32, vnniz9x32, vnniz10x32, vnniz11x32, vnniz12x32},
		{vnniz1x64, vnniz2x64, vnniz3x64, vnniz4x64},
	}
)

// multiply writes h rows of A·B, those from row i0 on, columns j0 to j1, to acc,
// whole panels of it.
func (t *int8Task) multiply(i0, h int, a rowsOfA, j0, j1 int, acc []int32, ld int) {
	switch {
	case t.b.kp == 0:
		t.multiplyGo(h, a, j0, j1, acc, ld)
	case t.b.raised:
		t.multiplyCentred(i0, h, j0, j1, acc, ld)
	case useVNNI:
		most := len(vnniWide) - 1
		if h > len(vnniWide[most]) {
			most--
		}
		t.panels(vnniWide[:most+1], h, a, j0, j1, acc, ld)
	case useAVXVNNI:
		t.panels(vnniNarrow[:], h, a, j0, j1, acc, ld)
	default:
		t.multiplyGo(h, a, j0, j1, acc, ld)
	}
}

// panels is multiply by kernels of one, two, four panels.
func (t *int8Task) panels(kernels [][]integerMicro, h int, a rowsOfA, j0, j1 int, acc []int32, ld int) {
	most, step := len(kernels)-1, len(kernels[0])
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
			rows := ptr(a.bytes[i*a.ld:])
			second := rows
			if h-i > int8Rows {
				second = ptr(a.bytes[(i+int8Rows)*a.ld:])
			}
			kernels[q][min(step, h-i)-1](t.b.kp/int8Rank, rows, second, a.ld, ptr(panel), int8Cols*t.b.kp, ptr(acc[i*ld+j-j0:]), ld*floatSize, ptr(ahead))
		}
		j += int8Cols << q
	}
}

// multiplyCentred is multiply by blocks of rows, each as bytes and excess, or as words.
func (t *int8Task) multiplyCentred(i0, h, j0, j1 int, acc []int32, ld int) {
	kernels, c := quadsNarrow[:], t.centred
	if useAVX512 {
		kernels = quadsWide[:]
	}
	for i := 0; i < h; i += centredRows {
		rows, out, b := min(centredRows, h-i), acc[i*ld:], &c.blocks[(i0+i)/centredRows]
		if b.dense {
			t.multiplyWords(rows, b.words, j0, j1, out, ld)
			continue
		}
		t.panels(kernels, rows, rowsOfA{bytes: c.bytes[(i0+i)*c.ld:], ld: c.ld}, j0, j1, out, ld)
		if len(b.excess) == 0 {
			continue
		}
		for j := j0; j < j1; j += int8Cols {
			addExcessAVX2(ptr(out[j-j0:]), ld*floatSize, rows, ptr(c.counts[i0+i:]), (*uint8)(unsafe.Pointer(ptr(b.excess))), ptr(t.b.data[j*t.b.kp:]))
		}
	}
}

// multiplyWords is multiply for rows of words.
func (t *int8Task) multiplyWords(h int, words []int16, j0, j1 int, acc []int32, ld int) {
	kp := t.b.kp
	for j := j0; j < j1; j += int8Cols {
		for i := 0; i < h; i += len(wordsNarrow) {
			wordsNarrow[min(len(wordsNarrow), h-i)-1](kp/int8Rank, ptr(words[i*kp:]), 2*kp, ptr(t.b.data[j*kp:]), ptr(acc[i*ld+j-j0:]), ld*floatSize)
		}
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
