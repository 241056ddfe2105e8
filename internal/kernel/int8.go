package kernel

import "math"

// Int8 layout: panels of int8Cols columns, in each of which two consecutive
// rows lie interleaved, column by column, as the 16-bit multiply-add wants
// them. k is padded to an even number with zeros.
const (
	int8Rows = 6
	int8Cols = 16
)

// PackedInt8 is an int8 right-hand side laid out for GemmInt8, with its column
// sums. It is read-only and may be shared.
type PackedInt8 struct {
	k, n int
	data []int8
	sums []int32 // Σ_k w[k,j]
}

// K returns the number of rows of the packed matrix.
func (p *PackedInt8) K() int { return p.k }

// N returns the number of columns of the packed matrix.
func (p *PackedInt8) N() int { return p.n }

// PackInt8 lays out w[k,n] for GemmInt8.
func PackInt8(k, n int, w []int8) *PackedInt8 {
	need("w", len(w), k*n)
	k2 := roundUp(k, 2)
	p := &PackedInt8{k: k, n: n, data: make([]int8, k2*roundUp(n, int8Cols)), sums: make([]int32, n)}
	for i := range k {
		for j, v := range w[i*n : (i+1)*n] {
			p.sums[j] += int32(v)
			panel := p.data[j/int8Cols*int8Cols*k2:]
			panel[(i/2*int8Cols+j%int8Cols)*2+i%2] = v
		}
	}
	return p
}

// words is scratch for the widened left-hand side and its row sums.
type words struct {
	a    []int16
	sums []int32
}

var wordsPool freeList[words]

func getWords(n, rows int) *words {
	w := wordsPool.get()
	if cap(w.a) < n {
		w.a = make([]int16, n)
	}
	if cap(w.sums) < rows {
		w.sums = make([]int32, rows)
	}
	w.a, w.sums = w.a[:n], w.sums[:rows]
	return w
}

type int8Task struct {
	m, k2     int
	a         []uint8
	azero     int32
	wide      []int16
	rowSums   []int32
	b         *PackedInt8
	wzero     []int8
	c         []int32
	mb, nb    int
	across    int
	widenOnly bool
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
	if wzero != nil && len(wzero) != 1 {
		need("zero points", len(wzero), n)
	}
	k2 := roundUp(k, 2)
	w := getWords(m*k2, m)
	t := int8Tasks.get()
	*t = int8Task{m: m, k2: k2, a: a, azero: int32(azero), wide: w.a, rowSums: w.sums, b: b, wzero: wzero, c: c, widenOnly: true}
	parallel(m, rowGrain(k, grainCheap), t)
	t.widenOnly = false
	t.mb, t.nb = 48, 256
	for tiles(m, t.mb)*tiles(n, t.nb) < 32 && t.mb*t.nb*k > 1<<20 && t.nb > 64 {
		t.nb /= 2
	}
	t.across = tiles(n, t.nb)
	total := tiles(m, t.mb) * t.across
	if m*n*k < 1<<17 {
		t.run(0, total)
	} else {
		parallel(total, 1, t)
	}
	int8Tasks.put(t)
	wordsPool.put(w)
}

func (t *int8Task) run(lo, hi int) {
	if t.widenOnly {
		k := t.b.k
		for r := lo; r < hi; r++ {
			t.rowSums[r] = vWiden(t.wide[r*t.k2:(r+1)*t.k2], t.a[r*k:(r+1)*k])
		}
		return
	}
	for ; lo < hi; lo++ {
		i, j := lo/t.across*t.mb, lo%t.across*t.nb
		t.tile(i, min(i+t.mb, t.m), j, min(j+t.nb, t.b.n))
	}
}

func (t *int8Task) tile(i0, i1, j0, j1 int) {
	n := t.b.n
	var tmp [int8Rows * int8Cols]int32
	for j := j0; j < j1; j += int8Cols {
		panel := t.b.data[j*t.k2 : (j+int8Cols)*t.k2]
		for i := i0; i < i1; i += int8Rows {
			h := min(int8Rows, i1-i)
			if j+int8Cols <= n {
				int8Kernel(h, t.k2, t.wide[i*t.k2:], t.k2, panel, t.c[i*n+j:], n)
				continue
			}
			int8Kernel(h, t.k2, t.wide[i*t.k2:], t.k2, panel, tmp[:], int8Cols)
			for r := range h {
				copy(t.c[(i+r)*n+j:(i+r)*n+j1], tmp[r*int8Cols:])
			}
		}
	}
	for i := i0; i < i1; i++ {
		t.correct(t.c[i*n+j0:i*n+j1], i, j0)
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
		vSubScaled(row, sums, t.azero, int32(t.wzero[0])*(t.rowSums[i]-int32(t.b.k)*t.azero))
	default:
		zero := t.wzero[j : j+len(row)]
		rest := t.rowSums[i] - int32(t.b.k)*t.azero
		for x := range row {
			row[x] -= t.azero*sums[x] + int32(zero[x])*rest
		}
	}
}

type quantTask struct {
	dst         []uint8
	x           []float32
	scale, zero float32
	low, high   []float64
}

var quantTasks taskPool[quantTask]

// run makes partial extrema while low is set, and quantizes when it is not.
func (t *quantTask) run(lo, hi int) {
	if t.low != nil {
		low, high := vMinMax(t.x[lo:hi])
		t.low[lo/grainCheap], t.high[lo/grainCheap] = float64(low), float64(high)
		return
	}
	vQuantize(t.dst[lo:hi], t.x[lo:hi], t.scale, t.zero)
}

// QuantizeU8 quantizes x to dst as ONNX DynamicQuantizeLinear does: the range
// is that of x widened to include 0, scale = range/255, zero = round(-min/scale)
// and dst = saturate(round(x/scale) + zero), all rounding half to even. All
// zeros, or nothing, give scale 1. x must be finite; NaN becomes some value.
func QuantizeU8(dst []uint8, x []float32) (scale float32, zero uint8) {
	need("dst", len(dst), len(x))
	parts := max(tiles(len(x), grainCheap), 1)
	ext := getSums(2 * parts)
	clear(ext.f)
	t := quantTasks.get()
	*t = quantTask{dst: dst, x: x, low: ext.f[:parts], high: ext.f[parts:]}
	parallel(len(x), grainCheap, t)
	var low, high float32
	for i := range parts {
		low, high = min(low, float32(t.low[i])), max(high, float32(t.high[i]))
	}
	sumsPool.put(ext)
	scale = 1
	if low != high {
		scale = (high - low) / 255
	}
	z := float32(math.RoundToEven(float64(max(0, min(255, -low/scale)))))
	t.low, t.high, t.scale, t.zero = nil, nil, scale, z
	parallel(len(x), grainCheap, t)
	quantTasks.put(t)
	return scale, uint8(z)
}
