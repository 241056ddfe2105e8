package kernel

// Int8 layout: panels of int8Cols columns, in each of which groups of four
// consecutive rows lie interleaved, column by column, as the instructions that
// multiply and add bytes want them. k is padded to whole groups with zeros. All
// kernels are exact, so that the choice is not visible in any result.
const (
	int8Rows  = 6
	int8Cols  = 16
	int8Rank  = 4  // rows interleaved
	int8Align = 24 // rows of a tile are whole steps of every kernel
)

// PackedInt8 is an int8 right-hand side laid out for GemmInt8 on this machine,
// with its column sums. It is read-only and may be shared.
type PackedInt8 struct {
	k, n int
	kp   int // k padded to whole groups
	data []int8
	sums []int32 // Σ_k w[k,j]
	// raised says that data is w + 128 as an unsigned byte, for kernels whose A is
	// centred.
	raised bool
}

// K returns the number of rows of the packed matrix.
func (p *PackedInt8) K() int { return p.k }

// N returns the number of columns of the packed matrix.
func (p *PackedInt8) N() int { return p.n }

// PackInt8 lays out w[k,n] for GemmInt8.
func PackInt8(k, n int, w []int8) *PackedInt8 {
	need("w", len(w), k*n)
	kp := roundUp(k, int8Rank)
	p := &PackedInt8{k: k, n: n, kp: kp, data: make([]int8, kp*roundUp(n, int8Cols)), sums: make([]int32, n), raised: int8Raised()}
	flip := int8(0)
	if p.raised {
		flip = -128
	}
	for i := range k {
		row := i/int8Rank*int8Cols*int8Rank + i%int8Rank
		for j, v := range w[i*n : (i+1)*n] {
			p.sums[j] += int32(v)
			p.data[j/int8Cols*int8Cols*kp+row+j%int8Cols*int8Rank] = v ^ flip
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
	bytes []uint8
	sums  []int32
	acc   []int32
	row   []float32
}

var int8Scratches freeList[int8Scratch]

// rowsOfA is A from some row on as the kernel takes it.
type rowsOfA struct {
	bytes []uint8
	ld    int
}

type int8Task struct {
	m, n    int
	a       []uint8
	centred *centredA // of a, where B is raised
	azero   int32
	b       *PackedInt8
	wzero   []int8
	c       []int32   // the result, or
	y       []float32 // the result scaled, with bias and activation, or
	q       []uint8   // that rounded
	qzero   float32
	scale   []float32
	bias    []float32
	act     Act
	mb, nb  int // tile of C
	down    int // tiles in a column of tiles
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
	t.centred = centre(t.m, t.a, t.b, threads)
	if total := t.cut(threads); threads == 1 {
		t.run(0, total)
	} else {
		parallel(total, 1, t)
	}
	t.centred.release()
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
	t.mb = roundUp(tiles(t.m, tiles(t.m, 2*mcBlock)), int8Align)
	t.nb = roundUp(tiles(t.n, tiles(t.n, columns)), 2*int8Cols)
	if threads > 1 && t.mb >= t.m {
		t.nb = min(t.nb, evenColumns(t.n, threads, t.m*t.n*t.b.k/(threads*tileWork)))
	}
	for rows := 2 * mcBlock; threads > 1 && t.mb < t.m && tiles(t.m, t.mb)*tiles(t.n, t.nb) < 4*threads; {
		if t.nb > 4*int8Cols {
			t.nb = roundUp(t.nb/2, 2*int8Cols)
		} else if rows > int8Align {
			rows /= 2
			t.mb = roundUp(tiles(t.m, tiles(t.m, rows)), int8Align)
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
		t.multiply(i, h, a, j0, j1, s.acc, ld)
		for r := range h {
			t.finish(i+r, r, j0, s.acc[r*ld:r*ld+j1-j0], s)
		}
	}
}

// rows returns what the kernel needs of h rows of A, padded to whole groups. The
// row sums are made where something depends on them.
func (t *int8Task) rows(i, h int, s *int8Scratch) rowsOfA {
	k, kp := t.b.k, t.b.kp
	if c := t.centred; c != nil {
		return rowsOfA{bytes: c.bytes[i*c.ld:], ld: c.ld}
	}
	if t.wzero != nil {
		s.sums = sized(s.sums, h)
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

// sum is that of row i of A, the r-th of those prepared.
func (t *int8Task) sum(i, r int, s *int8Scratch) int32 {
	if t.centred != nil {
		return t.centred.sums[i]
	}
	return s.sums[r]
}

// finish takes the zero points into account and writes columns j on of row i, the
// r-th of those prepared:
// Σ(a-za)(w-zw) = Σaw - za·Σw - zw·Σa + k·za·zw, and with a centre c and raised
// weights Σaw = Σ(a-c)(w+128) + c·Σw - 128·(Σa - k·c).
func (t *int8Task) finish(i, r, j int, acc []int32, s *int8Scratch) {
	sums, azero := t.b.sums[j:j+len(acc)], t.azero
	var all int32 // to be taken from every element
	if t.wzero != nil {
		rest := t.sum(i, r, s) - int32(t.b.k)*t.azero
		if len(t.wzero) == 1 {
			all = int32(t.wzero[0]) * rest
		} else {
			for x, z := range t.wzero[j : j+len(acc)] {
				acc[x] -= int32(z) * rest
			}
		}
	}
	if c := t.centred; c != nil {
		azero -= c.centres[i]
		all += 128 * (c.sums[i] - int32(t.b.k)*c.centres[i])
	} else if int8Signed() {
		azero -= 128 // as much as A
	}
	at := i*t.n + j
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

func (t *int8Task) multiplyGo(h int, a rowsOfA, j0, j1 int, acc []int32, ld int) {
	kp := t.b.kp
	for j := j0; j < j1; j += int8Cols {
		int8KernelGo(h, kp, a.bytes, a.ld, t.b.data[j*kp:], acc[j-j0:], ld)
	}
}
