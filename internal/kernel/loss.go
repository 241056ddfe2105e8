package kernel

import (
	"math"
	"strconv"
)

// sums is scratch for one float64 per row.
type sums struct{ f []float64 }

var sumsPool freeList[sums]

func getSums(n int) *sums {
	s := sumsPool.get()
	if cap(s.f) < n {
		s.f = make([]float64, n)
	}
	s.f = s.f[:n]
	return s
}

func (s *sums) total() float64 {
	var sum float64
	for _, v := range s.f {
		sum += v
	}
	sumsPool.put(s)
	return sum
}

// LogitLoss is a loss of rows of logits. Without a Teacher it is the
// cross-entropy between softmax(row) and the one-hot vector of the row's label,
// smoothed as (1-Smooth)·onehot + Smooth/n (Szegedy et al. 2016, section 7); rows
// with a negative label are left out. With a Teacher it is
// Weight·KL(softmax(teacher/T) ‖ softmax(row/T)) (Hinton et al. 2015, section 2,
// without the factor T², which is the caller's).
//
// [LogitLoss.Value] keeps the maximum and the sum of exponentials of each row,
// from which [LossGrad] makes the gradient, so that probabilities are never
// stored.
type LogitLoss struct {
	Labels []int32 // one per row, each less than n
	Smooth float32

	Teacher []float32 // [rows,n]
	T       float32   // temperature, positive
	Weight  []float32 // one per row, nil for 1

	// Scale is the factor of this loss in LossGrad.
	Scale float32

	rows []rowStat
}

// rowStat holds maxima and the inverse sums of exponentials below them.
type rowStat struct{ top, inverse, teacherTop, teacherInverse float32 }

type lossTask struct {
	*LogitLoss
	logits []float32
	n      int
	sum    []float64
}

var lossTasks taskPool[lossTask]

// Value returns the sum of the loss over the rows of logits[rows,n], and how
// many rows have a label or a weight other than 0. Classes to which the teacher
// gives probability 0 contribute nothing.
func (l *LogitLoss) Value(logits []float32, rows, n int) (sum float64, count int) {
	need("logits", len(logits), rows*n)
	l.check(rows, n)
	if rows <= 0 || n <= 0 {
		return 0, 0
	}
	if cap(l.rows) < rows {
		l.rows = make([]rowStat, rows)
	}
	l.rows = l.rows[:rows]
	for r := range rows {
		if l.counts(r) {
			count++
		}
	}
	each := getSums(rows)
	t := lossTasks.get()
	*t = lossTask{LogitLoss: l, logits: logits, n: n, sum: each.f}
	parallel(rows, rowGrain(n, grainCostly), t)
	lossTasks.put(t)
	return each.total(), count
}

func (l *LogitLoss) check(rows, n int) {
	if l.Teacher != nil {
		need("teacher", len(l.Teacher), rows*n)
		if l.Weight != nil {
			need("weight", len(l.Weight), rows)
		}
		return
	}
	need("labels", len(l.Labels), rows)
	for r, v := range l.Labels[:max(rows, 0)] {
		if int(v) >= n {
			panic("kernel: label " + strconv.Itoa(int(v)) + " of row " + strconv.Itoa(r) + " is not below the " + strconv.Itoa(n) + " classes")
		}
	}
}

// counts reports whether a row contributes.
func (l *LogitLoss) counts(r int) bool {
	if l.Teacher == nil {
		return l.Labels[r] >= 0
	}
	return l.Weight == nil || l.Weight[r] != 0
}

func (t *lossTask) run(lo, hi int) {
	for r := lo; r < hi; r++ {
		x := t.logits[r*t.n : (r+1)*t.n]
		switch {
		case !t.counts(r):
			t.sum[r] = 0
		case t.Teacher == nil:
			t.sum[r] = t.cross(x, int(t.Labels[r]), &t.rows[r])
		default:
			t.sum[r] = t.divergence(x, t.Teacher[r*t.n:(r+1)*t.n], &t.rows[r])
			if t.Weight != nil {
				t.sum[r] *= float64(t.Weight[r])
			}
		}
	}
}

func (l *LogitLoss) cross(x []float32, label int, stat *rowStat) float64 {
	top := vMax(x)
	smooth := float64(l.Smooth)
	z := expTotal(x, top, 1)
	*stat = rowStat{top: top, inverse: float32(1 / z)}
	lse := math.Log(z)
	loss := (1 - smooth) * (lse - float64(x[label]-top))
	if smooth != 0 {
		var mean float64
		for i := 0; i < len(x); i += expBlock {
			mean += float64(vSum(x[i:min(i+expBlock, len(x))]))
		}
		loss += smooth * (lse - (mean/float64(len(x)) - float64(top)))
	}
	return loss
}

// expTotal is expRow without keeping the terms.
func expTotal(x []float32, top, scale float32) float64 {
	var block [expBlock]float32
	var sum float64
	for i := 0; i < len(x); i += expBlock {
		part := x[i:min(i+expBlock, len(x))]
		sum += float64(vExpSum(block[:len(part)], part, top, scale))
	}
	return sum
}

// divergence returns KL of one row. With p = softmax(u/T) of the teacher u and Z
// the sums of exponentials after subtracting the maxima,
// KL = Σ p·(u-s)/T + log(Z_s/Z_u) + (max s - max u)/T.
func (l *LogitLoss) divergence(s, u []float32, stat *rowStat) float64 {
	topS, topU, scale := vMax(s), vMax(u), 1/l.T
	var block [expBlock]float32
	var zu, cross float64
	for i := 0; i < len(s); i += expBlock {
		j := min(i+expBlock, len(s))
		e := block[:j-i]
		zu += float64(vExpSum(e, u[i:j], topU, scale))
		cross += float64(vDotDiff(e, u[i:j], s[i:j], topU-topS))
	}
	zs := expTotal(s, topS, scale)
	*stat = rowStat{top: topS, inverse: float32(1 / zs), teacherTop: topU, teacherInverse: float32(1 / zu)}
	return float64(scale)*cross/zu + math.Log(zs/zu)
}

type lossGradTask struct {
	grad, logits []float32
	n            int
	add          bool
	terms        []*LogitLoss
}

var lossGradTasks taskPool[lossGradTask]

// LossGrad sets grad[rows,n], or adds to it, the derivative with respect to
// logits of Σ Scale·Value over the terms, whose Value was last called with these
// logits. grad may be logits.
func LossGrad(grad, logits []float32, rows, n int, add bool, terms ...*LogitLoss) {
	need("grad", len(grad), rows*n)
	need("logits", len(logits), rows*n)
	if rows <= 0 || n <= 0 {
		return
	}
	for _, l := range terms {
		need("terms of Value", len(l.rows), rows)
	}
	t := lossGradTasks.get()
	*t = lossGradTask{grad: grad, logits: logits, n: n, add: add, terms: terms}
	parallel(rows, rowGrain(n, grainCostly), t)
	lossGradTasks.put(t)
}

func (t *lossGradTask) run(lo, hi int) {
	var block [expBlock]float32
	for r := lo; r < hi; r++ {
		for i := 0; i < t.n; i += expBlock {
			j := min(i+expBlock, t.n)
			acc, grad := block[:j-i], t.grad[r*t.n+i:r*t.n+j]
			if !t.block(acc, r, i) {
				clear(acc)
			}
			if t.add {
				vAdd(grad, grad, acc)
			} else {
				copy(grad, acc)
			}
		}
	}
}

// block sets acc to the gradient of columns of row r from i on, if there is any.
func (t *lossGradTask) block(acc []float32, r, i int) (some bool) {
	at := r*t.n + i
	x := t.logits[at : at+len(acc)]
	for _, l := range t.terms {
		if l.Scale == 0 || !l.counts(r) {
			continue
		}
		c, stat, scale := l.Scale, &l.rows[r], float32(1)
		if l.Teacher != nil {
			if scale = 1 / l.T; l.Weight != nil {
				c *= l.Weight[r]
			}
			c *= scale
		}
		if some {
			vExpAdd(acc, x, stat.top, scale, c*stat.inverse)
		} else {
			vExpScale(acc, x, stat.top, scale, c*stat.inverse)
		}
		some = true
		if l.Teacher != nil {
			vExpAdd(acc, l.Teacher[at:at+len(acc)], stat.teacherTop, scale, -c*stat.teacherInverse)
			continue
		}
		if l.Smooth != 0 {
			vAffine(1, -c*l.Smooth/float32(t.n), acc)
		}
		if label := int(l.Labels[r]) - i; label >= 0 && label < len(acc) {
			acc[label] -= c * (1 - l.Smooth)
		}
	}
	return some
}
