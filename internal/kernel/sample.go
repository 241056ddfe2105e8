package kernel

type sampleTask struct {
	classes   []int32
	logits, u []float32
	n         int
}

var sampleTasks taskPool[sampleTask]

// Sample draws a class of each row of logits[rows,n] from softmax(row): the one
// in which the share u[row] of the probabilities, in their order, ends, 0 ≤ u < 1.
// With u uniform the classes are distributed as by the Gumbel-max trick, which
// needs n random numbers for a row.
func Sample(classes []int32, logits, u []float32, rows, n int) {
	need("classes", len(classes), rows)
	need("logits", len(logits), rows*n)
	need("u", len(u), rows)
	if rows <= 0 || n <= 0 {
		return
	}
	t := sampleTasks.get()
	*t = sampleTask{classes: classes, logits: logits, u: u, n: n}
	parallel(rows, rowGrain(n, grainCostly), t)
	sampleTasks.put(t)
}

func (t *sampleTask) run(lo, hi int) {
	for r := lo; r < hi; r++ {
		x := t.logits[r*t.n : (r+1)*t.n]
		top := vMax(x)
		t.classes[r] = int32(draw(x, top, float64(t.u[r])*expTotal(x, top, 1)))
	}
}

// draw returns the first class up to which exp(x-top) sums to more than want, or
// where rounding leaves none the last that has a part in the sum.
func draw(x []float32, top float32, want float64) int {
	var block [expBlock]float32
	var sum float64
	last := 0
	for i := 0; i < len(x); i += expBlock {
		j := min(i+expBlock, len(x))
		e := block[:j-i]
		part := float64(vExpSum(e, x[i:j], top, 1))
		if j < len(x) && sum+part <= want {
			sum += part
			continue
		}
		for k, v := range e {
			if sum += float64(v); sum > want {
				return i + k
			}
			if v > 0 {
				last = i + k
			}
		}
	}
	return last
}
