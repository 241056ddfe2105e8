package kernel

// Int8 layout: panels of int8Cols columns, in each of which groups of two or
// four consecutive rows lie interleaved, column by column, as the multiply-add
// instructions want them: pairs for the 16-bit one of AVX2, fours for VNNI. k is
// padded to whole groups with zeros. Both are exact, so that the choice is not
// visible in any result.
const (
	int8Rows = 6
	int8Cols = 16
)

// PackedInt8 is an int8 right-hand side laid out for GemmInt8 on this machine,
// with its column sums. It is read-only and may be shared.
type PackedInt8 struct {
	k, n  int
	group int // rows interleaved
	kp    int // k padded to whole groups
	data  []int8
	sums  []int32 // Σ_k w[k,j]
}

// K returns the number of rows of the packed matrix.
func (p *PackedInt8) K() int { return p.k }

// N returns the number of columns of the packed matrix.
func (p *PackedInt8) N() int { return p.n }

// PackInt8 lays out w[k,n] for GemmInt8.
func PackInt8(k, n int, w []int8) *PackedInt8 {
	need("w", len(w), k*n)
	g := int8Group()
	kp := roundUp(k, g)
	p := &PackedInt8{k: k, n: n, group: g, kp: kp, data: make([]int8, kp*roundUp(n, int8Cols)), sums: make([]int32, n)}
	for i := range k {
		row := i/g*int8Cols*g + i%g
		for j, v := range w[i*n : (i+1)*n] {
			p.sums[j] += int32(v)
			p.data[j/int8Cols*int8Cols*kp+row+j%int8Cols*g] = v
		}
	}
	return p
}

// sized returns a slice of n elements, x itself if it has room for them.
func sized[T any](x []T, n int) []T {
	if cap(x) < n {
		return make([]T, n)
	}
	return x[:n]
}

// int8Scratch is what one task needs: its rows of A as the kernel wants them,
// their sums, and the products of the rows that are under way.
type int8Scratch struct {
	words []int16
	bytes []uint8
	sums  []int32
	acc   []int32
	row   []float32
}

var int8Scratches freeList[int8Scratch]

// rowsOfA is A from some row on: words where B is packed in pairs, else bytes.
type rowsOfA struct {
	words []int16
	bytes []uint8
	ld    int
}

type int8Task struct {
	m, n   int
	a      []uint8
	azero  int32
	b      *PackedInt8
	wzero  []int8
	c      []int32   // the result, or
	y      []float32 // the result scaled, with bias and activation, or
	q      []uint8   // that rounded
	qzero  float32
	scale  []float32
	bias   []float32
	act    Act
	mb, nb int // tile of C
	down   int // tiles in a column of tiles
}

var int8Tasks taskPool[int8Task]

// GemmInt8 computes C[m,n] = (A[m,k] - azero)·(W[k,n] - wzero) in exact 32-bit
// arithmetic. wzero is nil for 0, or has length 1 or n. Signed factors on the
// left are those plus 128, with azero plus 128.
func GemmInt8(m int, a []uint8, azero uint8, b *PackedInt8, wzero []int8, c []int32) {
	need("C", len(c), m*b.n)
	gemmInt8(int8Task{m: m, a: a, azero: int32(azero), b: b, wzero: wzero, c: c})
}

// GemmInt8Float computes Y[m,n] = act((A - azero)·(W - wzero)·scale + bias), as
// GemmInt8 does up to the scale, of length n, which goes by column. The 32-bit
// sums stay in the cache. bias is nil or has length n.
func GemmInt8Float(m int, a []uint8, azero uint8, b *PackedInt8, wzero []int8, scale, bias []float32, act Act, y []float32) {
	need("Y", len(y), m*b.n)
	gemmInt8(int8Task{m: m, a: a, azero: int32(azero), b: b, wzero: wzero, y: y, scale: scale, bias: bias, act: act})
}

// GemmInt8U8 is GemmInt8Float rounded half to even, plus zero, saturated to
// uint8: scale and bias are in units of the result.
func GemmInt8U8(m int, a []uint8, azero uint8, b *PackedInt8, wzero []int8, scale, bias []float32, act Act, zero uint8, q []uint8) {
	need("Q", len(q), m*b.n)
	gemmInt8(int8Task{m: m, a: a, azero: int32(azero), b: b, wzero: wzero, q: q, qzero: float32(zero), scale: scale, bias: bias, act: act})
}

func gemmInt8(task int8Task) {
	t := int8TaskOf(task)
	if t == nil {
		return
	}
	threads := threadsFor(t.m*t.n*t.b.k, 2*parallelWork)
	if total := t.cut(threads); threads == 1 {
		t.run(0, total)
	} else {
		parallel(total, 1, t)
	}
	int8Tasks.put(t)
}

// int8TaskOf checks the sizes of a product; nil where C is empty.
func int8TaskOf(task int8Task) *int8Task {
	m, n, k := task.m, task.b.n, task.b.k
	if m <= 0 || n <= 0 {
		return nil
	}
	need("A", len(task.a), m*k)
	if len(task.wzero) > 1 {
		need("zero points", len(task.wzero), n)
	}
	if task.c == nil {
		need("scale", len(task.scale), n)
		if task.bias != nil {
			need("bias", len(task.bias), n)
		}
	}
	if allZero(task.wzero) {
		task.wzero = nil
	}
	t := int8Tasks.get()
	*t = task
	t.n = n
	return t
}

// cut sets the tile of C for one task: columns of B that stay in the second-level
// cache while all rows of the tile pass by, and a few tiles for each thread.
// It returns the number of tiles.
func (t *int8Task) cut(threads int) int {
	const cache = 1 << 18 // bytes of B
	columns := min(ncBlock, max(2*int8Cols, cache/max(t.b.kp, 1)))
	if t.m <= fewRows {
		columns = ncBlock // B is read once
	}
	t.mb = roundUp(tiles(t.m, tiles(t.m, 2*mcBlock)), 2*int8Rows)
	t.nb = roundUp(tiles(t.n, tiles(t.n, columns)), 2*int8Cols)
	if threads > 1 && t.mb >= t.m {
		t.nb = min(t.nb, evenColumns(t.n, threads, t.m*t.n*t.b.k/(threads*tileWork)))
	}
	for rows := 2 * mcBlock; threads > 1 && t.mb < t.m && tiles(t.m, t.mb)*tiles(t.n, t.nb) < 4*threads; {
		if t.nb > 4*int8Cols {
			t.nb = roundUp(t.nb/2, 2*int8Cols)
		} else if rows > 24 {
			rows /= 2
			t.mb = roundUp(tiles(t.m, tiles(t.m, rows)), 2*int8Rows)
		} else {
			break
		}
	}
	t.down = tiles(t.m, t.mb)
	return t.down * tiles(t.n, t.nb)
}

func allZero(x []int8) bool {
	for _, v := range x {
		if v != 0 {
			return false
		}
	}
	return true
}

func (t *int8Task) run(lo, hi int) {
	s := int8Scratches.get()
	for ; lo < hi; lo++ {
		i, j := lo%t.down*t.mb, lo/t.down*t.nb
		t.tile(i, min(i+t.mb, t.m), j, min(j+t.nb, t.n), s)
	}
	int8Scratches.put(s)
}

func (t *int8Task) tile(i0, i1, j0, j1 int, s *int8Scratch) {
	step, ld := int8Step(), roundUp(j1-j0, int8Cols)
	if t.m <= fewRows {
		step = roundUp(t.m, step) // B passes by once
	}
	s.acc = sized(s.acc, step*ld)
	for i := i0; i < i1; i += step {
		h := min(step, i1-i)
		a := t.rows(i, h, s)
		t.multiply(h, &a, j0, j1, s.acc, ld)
		for r := range h {
			sum := int32(0)
			if t.wzero != nil {
				sum = s.sums[r]
			}
			t.finish(i+r, j0, s.acc[r*ld:r*ld+j1-j0], sum, s)
		}
	}
}

// rows returns what the kernel needs of h rows of A: 16-bit words for pairs, rows
// padded to whole groups for fours. The row sums are made where there are zero
// points of B.
func (t *int8Task) rows(i, h int, s *int8Scratch) rowsOfA {
	k, kp := t.b.k, t.b.kp
	s.sums = sized(s.sums, h)
	if t.b.group == 2 {
		s.words = sized(s.words, h*kp)
		for r := range h {
			s.sums[r] = vWiden(s.words[r*kp:(r+1)*kp], t.a[(i+r)*k:(i+r+1)*k])
		}
		return rowsOfA{words: s.words, ld: kp}
	}
	if t.wzero != nil {
		for r := range h {
			s.sums[r] = vSumBytes(t.a[(i+r)*k : (i+r+1)*k])
		}
	}
	signed := int8Signed()
	if kp == k && !signed {
		return rowsOfA{bytes: t.a[i*k:], ld: k}
	}
	s.bytes = sized(s.bytes, h*kp)
	for r := range h {
		dst := s.bytes[r*kp : (r+1)*kp]
		clear(dst[copy(dst, t.a[(i+r)*k:(i+r+1)*k]):])
		if signed {
			for x := range dst {
				dst[x] ^= 0x80
			}
		}
	}
	return rowsOfA{bytes: s.bytes, ld: kp}
}

// finish takes the zero points into account and writes columns j on of row i:
// Σ(a-za)(w-zw) = Σaw - za·Σw - zw·Σa + k·za·zw.
func (t *int8Task) finish(i, j int, acc []int32, sum int32, s *int8Scratch) {
	sums := t.b.sums[j : j+len(acc)]
	rest := sum - int32(t.b.k)*t.azero
	var all int32 // to be taken from every element
	switch len(t.wzero) {
	case 0:
	case 1:
		all = int32(t.wzero[0]) * rest
	default:
		for x, z := range t.wzero[j : j+len(acc)] {
			acc[x] -= int32(z) * rest
		}
	}
	at, azero := i*t.n+j, t.azero
	if int8Signed() && t.b.group == 4 {
		azero -= 128 // as much as A
	}
	if t.c != nil {
		if azero != 0 || all != 0 {
			vSubScaled(acc, sums, azero, all)
		}
		copy(t.c[at:], acc)
		return
	}
	if t.q != nil {
		s.row = sized(s.row, len(acc))
		vDequantize(s.row, acc, sums, t.scale[j:j+len(acc)], azero, all)
		finishRow(s.row, t.bias, j, t.act)
		vQuantize(t.q[at:at+len(acc)], s.row, 1, t.qzero)
		return
	}
	y := t.y[at : at+len(acc)]
	if t.bias != nil {
		vFinishSums(t.act, y, acc, sums, t.scale[j:j+len(acc)], t.bias[j:j+len(acc)], azero, all)
		return
	}
	vDequantize(y, acc, sums, t.scale[j:j+len(acc)], azero, all)
	finishRow(y, t.bias, j, t.act)
}

func (t *int8Task) multiplyGo(h int, a *rowsOfA, j0, j1 int, acc []int32, ld int) {
	kp := t.b.kp
	for j := j0; j < j1; j += int8Cols {
		for r := 0; r < h; r += int8Rows {
			c := acc[r*ld+j-j0:]
			if t.b.group == 2 {
				int8KernelGo(min(int8Rows, h-r), kp, a.words[r*a.ld:], a.ld, t.b.data[j*kp:], c, ld)
			} else {
				int8Kernel4Go(min(int8Rows, h-r), kp, a.bytes[r*a.ld:], a.ld, t.b.data[j*kp:], c, ld)
			}
		}
	}
}
