package kernel

// foursCols is the width of a panel of 4-bit weights.
const foursCols = 2 * nr

// Packed4 is a right-hand side of 4-bit weights in blocks along k, each with a
// scale and a zero point: w = (q - zero)·scale. It is a little over an eighth of
// the size of its floats; the kernels restore them in registers, or in the cache
// where there are many rows on the left. It is read-only and may be shared.
type Packed4 struct {
	k, n, block int
	data        []uint8   // panels of k rows of 16 bytes: columns 0–15 low, 16–31 high
	params      []float32 // panels of blocks of 32 scales and 32 zero points
}

// K returns the number of rows of the packed matrix.
func (p *Packed4) K() int { return p.k }

// N returns the number of columns of the packed matrix.
func (p *Packed4) N() int { return p.n }

// Pack4 lays out 4-bit weights for GemmPacked4: q is [n, blocks, ⌈block/2⌉], two
// numbers to a byte, the first in the low bits, with blocks = ⌈k/block⌉, as ONNX
// Runtime's MatMulNBits has them; scale is [n, blocks], and so is zero, or nil
// for 8.
func Pack4(k, n, block int, q []uint8, scale, zero []float32) *Packed4 {
	blocks, blob := tiles(k, block), (block+1)/2
	need("q", len(q), n*blocks*blob)
	need("scale", len(scale), n*blocks)
	if zero != nil {
		need("zero", len(zero), n*blocks)
	}
	panels := tiles(n, foursCols)
	p := &Packed4{k: k, n: n, block: block, data: make([]uint8, panels*k*nr), params: make([]float32, panels*blocks*2*foursCols)}
	if k <= 0 {
		return p
	}
	for j := range n {
		panel, at := j/foursCols, j%foursCols
		shift := at / nr * 4
		data := p.data[panel*k*nr+at%nr:]
		for i := range k {
			v := q[(j*blocks+i/block)*blob+i%block/2] >> (i % block % 2 * 4) & 15
			data[i*nr] |= v << shift
		}
		for b := range blocks {
			params := p.params[(panel*blocks+b)*2*foursCols+at:]
			params[0], params[foursCols] = scale[j*blocks+b], 8
			if zero != nil {
				params[foursCols] = zero[j*blocks+b]
			}
		}
	}
	return p
}

// at returns the rows from i on of the panel that holds column j, their
// parameters, and how many of them are in the first block.
func (p *Packed4) at(j, i int) (data []uint8, params []float32, left int) {
	panel, blocks := j/foursCols, tiles(p.k, p.block)
	return p.data[(panel*p.k+i)*nr:], p.params[(panel*blocks+i/p.block)*2*foursCols:], p.block - i%p.block
}

// unpack writes rows of w columns from (i,j) on to panels of floats; j is a
// multiple of foursCols.
func (p *Packed4) unpack(dst []float32, i, rows, j, w int) {
	for x := 0; x < w; x += foursCols {
		data, params, left := p.at(j+x, i)
		vUnpackFours(dst[x*rows:], rows*nr, data, params, rows, left, p.block)
	}
}

// unpackFoursGo writes k rows of a panel of 4-bit weights to two panels of
// floats that are ps apart.
func unpackFoursGo(dst []float32, ps int, data []uint8, params []float32, k, left, block int) {
	for i := range k {
		if left == 0 {
			left, params = block, params[2*foursCols:]
		}
		left--
		for x, v := range data[i*nr : (i+1)*nr] {
			dst[i*nr+x] = (float32(v&15) - params[foursCols+x]) * params[x]
			dst[ps+i*nr+x] = (float32(v>>4) - params[foursCols+nr+x]) * params[nr+x]
		}
	}
}

// GemmPacked4 computes C[m,n] = act(A[m,k]·B + bias[n]); bias may be nil. Its
// results are those of GemmPacked on the restored floats, bit for bit.
func GemmPacked4(m int, a []float32, lda int, b *Packed4, bias []float32, act Act, c []float32, ldc int) {
	k, n := b.k, b.n
	if !startPacked(m, n, k, a, lda, bias, act, c, ldc) {
		return
	}
	g := gemmCall{m: m, n: n, k: k, wide: true, fours: b}
	t := gemmTask{
		a: a, rs: lda, cs: 1, step: tileRows() * lda, c: c, ldc: ldc, m: m, n: n, k: k, alpha: 1,
		bias: bias, act: act, epilogue: bias != nil || act != ActNone,
	}
	nc := g.columns()
	if nc == 0 {
		nc = roundUp(tiles(n, Threads()), foursCols)
	}
	g.strips(t, nc)
}

// foursStrip makes columns j to j+w of C for the few rows that foursRows allows.
func (t *stripTask) foursStrip(j, w int) {
	const most = 4
	kc := kcStep(t.k)
	var sums [most * foursCols]float32
	for end := j + w; j < end; j += foursCols {
		w := min(foursCols, end-j)
		for p := 0; p < t.k; p += kc {
			beta := float32(1)
			if p == 0 {
				beta = 0
			}
			data, params, left := t.call.fours.at(j, p)
			vFours(t.m, min(kc, t.k-p), t.a[p:], t.rs, data, params, left, t.call.fours.block, sums[:], beta)
		}
		for i := range t.m {
			row := t.c[i*t.ldc+j : i*t.ldc+j+w]
			copy(row, sums[i*foursCols:])
			if t.epilogue {
				finishRow(row, t.bias, j, t.act)
			}
		}
	}
}
