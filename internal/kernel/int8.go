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

// words is scratch for the left-hand side, widened or padded, and its row sums.
type words struct {
	wide  []int16
	bytes []uint8
	sums  []int32
}

var wordsPool freeList[words]

// sized returns a slice of n elements, x itself if it has room for them.
func sized[T any](x []T, n int) []T {
	if cap(x) < n {
		return make([]T, n)
	}
	return x[:n]
}

type int8Task struct {
	m       int
	a       []uint8
	lda     int // of a, in elements
	azero   int32
	b       *PackedInt8
	wzero   []int8
	c       []int32
	scratch *words
	prepare bool // run makes the scratch, not tiles of C
	mb, nb  int  // tile of C
	down    int  // tiles in a column of tiles
}

var int8Tasks taskPool[int8Task]

// GemmInt8 computes C[m,n] = (A[m,k] - azero)·(W[k,n] - wzero) in exact 32-bit
// arithmetic. wzero is nil for 0, or has length 1 or n.
func GemmInt8(m int, a []uint8, azero uint8, b *PackedInt8, wzero []int8, c []int32) {
	k, n := b.k, b.n
	if m <= 0 || n <= 0 {
		return
	}
	need("A", len(a), m*k)
	need("C", len(c), m*n)
	if len(wzero) > 1 {
		need("zero points", len(wzero), n)
	}
	if allZero(wzero) {
		wzero = nil
	}
	w := wordsPool.get()
	t := int8Tasks.get()
	*t = int8Task{m: m, a: a, lda: k, azero: int32(azero), b: b, wzero: wzero, c: c, scratch: w}
	t.left()
	t.mb, t.nb = 48, 256
	for tiles(m, t.mb)*tiles(n, t.nb) < 32 && t.mb*t.nb*k > 1<<20 && t.nb > 64 {
		t.nb /= 2
	}
	t.down = tiles(m, t.mb)
	total := t.down * tiles(n, t.nb)
	if m*n*k < 1<<19 {
		t.run(0, total)
	} else {
		parallel(total, 1, t)
	}
	int8Tasks.put(t)
	wordsPool.put(w)
}

func allZero(x []int8) bool {
	for _, v := range x {
		if v != 0 {
			return false
		}
	}
	return true
}

// left makes what the kernel needs of A: 16-bit words for pairs, rows padded to
// whole groups for fours, and the row sums where there are zero points.
func (t *int8Task) left() {
	padded := t.b.group == 4 && t.b.kp != t.b.k
	if t.b.group == 4 && !padded && t.wzero == nil {
		return
	}
	w := t.scratch
	w.sums = sized(w.sums, t.m)
	if t.b.group == 2 {
		w.wide = sized(w.wide, t.m*t.b.kp)
	} else if padded {
		w.bytes = sized(w.bytes, t.m*t.b.kp)
	}
	t.prepare = true
	parallel(t.m, rowGrain(t.b.k, grainCheap), t)
	t.prepare = false
	if padded {
		t.a, t.lda = w.bytes, t.b.kp
	}
}

func (t *int8Task) run(lo, hi int) {
	if t.prepare {
		k, kp, w := t.b.k, t.b.kp, t.scratch
		for r := lo; r < hi; r++ {
			row := t.a[r*k : (r+1)*k]
			if t.b.group == 2 {
				w.sums[r] = vWiden(w.wide[r*kp:(r+1)*kp], row)
				continue
			}
			w.sums[r] = vSumBytes(row)
			if kp != k {
				dst := w.bytes[r*kp : (r+1)*kp]
				clear(dst[copy(dst, row):])
			}
		}
		return
	}
	for ; lo < hi; lo++ {
		i, j := lo%t.down*t.mb, lo/t.down*t.nb
		t.tile(i, min(i+t.mb, t.m), j, min(j+t.nb, t.b.n))
	}
}

func (t *int8Task) tile(i0, i1, j0, j1 int) {
	n := t.b.n
	var tmp [int8Rows * int8Cols]int32
	for j := j0; j < j1; j += int8Cols {
		panel := t.b.data[j*t.b.kp : (j+int8Cols)*t.b.kp]
		for i := i0; i < i1; i += int8Rows {
			h := min(int8Rows, i1-i)
			if j+int8Cols <= n {
				t.kernel(h, i, panel, t.c[i*n+j:], n)
				continue
			}
			t.kernel(h, i, panel, tmp[:], int8Cols)
			for r := range h {
				copy(t.c[(i+r)*n+j:(i+r)*n+j1], tmp[r*int8Cols:])
			}
		}
	}
	for i := i0; i < i1; i++ {
		t.correct(t.c[i*n+j0:i*n+j1], i, j0)
	}
}

func (t *int8Task) kernel(h, i int, panel []int8, c []int32, ldc int) {
	if t.b.group == 2 {
		int8Kernel(h, t.b.kp, t.scratch.wide[i*t.b.kp:], t.b.kp, panel, c, ldc)
	} else {
		int8Kernel4(h, t.b.kp, t.a[i*t.lda:], t.lda, panel, c, ldc)
	}
}

// correct takes the zero points into account:
// Σ(a-za)(w-zw) = Σaw - za·Σw - zw·Σa + k·za·zw.
func (t *int8Task) correct(row []int32, i, j int) {
	sums := t.b.sums[j : j+len(row)]
	switch {
	case len(t.wzero) == 0:
		if t.azero != 0 {
			vSubScaled(row, sums, t.azero, 0)
		}
	case len(t.wzero) == 1:
		vSubScaled(row, sums, t.azero, int32(t.wzero[0])*(t.scratch.sums[i]-int32(t.b.k)*t.azero))
	default:
		zero := t.wzero[j : j+len(row)]
		rest := t.scratch.sums[i] - int32(t.b.k)*t.azero
		for x := range row {
			row[x] -= t.azero*sums[x] + int32(zero[x])*rest
		}
	}
}
