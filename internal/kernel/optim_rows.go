package kernel

// noGrad is what AdamWRows reads as the gradient of rows that have none.
var noGrad [grainCostly]float32

type adamRowsTask struct {
	adamTask
	n    int
	rows []bool
}

var adamRowsTasks taskPool[adamRowsTask]

func (t *adamRowsTask) run(lo, hi int) {
	for lo < hi {
		end := lo + 1
		for end < hi && t.rows[end] == t.rows[lo] {
			end++
		}
		if i, j := lo*t.n, end*t.n; t.rows[lo] {
			vAdamW(t.w[i:j], t.g[i:j], t.m[i:j], t.v[i:j], &t.c)
		} else {
			for ; i < j; i += len(noGrad) {
				k := min(i+len(noGrad), j)
				vAdamW(t.w[i:k], noGrad[:k-i], t.m[i:k], t.v[i:k], &t.c)
			}
		}
		lo = end
	}
}

// AdamWRows is AdamW over a table w[len(rows),n] of which only the rows that rows
// tells have a gradient; what g holds for the others is taken for 0 and not read.
// The moments of those decay all the same: the result has the bits that AdamW
// gives for a g of zeros there.
func AdamWRows(w, g, m, v []float32, n int, rows []bool, lr, beta1, beta2, eps, decay, gradScale float32, step int) {
	need("w", len(w), n*len(rows))
	need("g", len(g), len(w))
	need("m", len(m), len(w))
	need("v", len(v), len(w))
	if n <= 0 {
		return
	}
	t := adamRowsTasks.get()
	*t = adamRowsTask{n: n, rows: rows, adamTask: adamTask{w: w, g: g, m: m, v: v, c: newAdamConst(lr, beta1, beta2, eps, decay, gradScale, step)}}
	parallel(len(rows), rowGrain(n, grainCostly), t)
	adamRowsTasks.put(t)
}

type squareRowsTask struct {
	x    []float32
	n    int
	rows []bool
	sum  []float64
}

var squareRowsTasks taskPool[squareRowsTask]

func (t *squareRowsTask) run(lo, hi int) {
	for r := lo; r < hi; r++ {
		t.sum[r] = 0
		if t.rows[r] {
			t.sum[r] = vSumSquares(t.x[r*t.n : (r+1)*t.n])
		}
	}
}

// SumSquaresRows returns Σ x² over the rows of x[len(rows),n] that rows tells,
// summed in float64.
func SumSquaresRows(x []float32, n int, rows []bool) float64 {
	need("x", len(x), n*len(rows))
	each := getSums(len(rows))
	t := squareRowsTasks.get()
	*t = squareRowsTask{x: x, n: n, rows: rows, sum: each.f}
	parallel(len(rows), rowGrain(n, grainCheap), t)
	squareRowsTasks.put(t)
	return each.total()
}
