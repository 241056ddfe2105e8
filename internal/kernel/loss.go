package kernel

import (
	"math"
	"slices"
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

// LogitLoss is a loss of rows of logits.
//
// Without a Teacher it is the cross-entropy between softmax(row) and the one-hot
// vector of the row's label, smoothed as (1-Smooth)·onehot + Smooth/n (Szegedy et
// al. 2016, section 7), or with a Table the penalty of [LogitLoss.Table]; rows
// with a negative label are left out. With a Teacher it is what Form says.
//
// [LogitLoss.Value] keeps the maximum and the sum of exponentials of each row,
// from which [LossGrad] makes the gradient, so that probabilities are never
// stored.
type LogitLoss struct {
	Labels []int32 // one per row, each less than n
	Smooth float32
	// Excuse, if not nil, tells the rows of a cross-entropy that are left out
	// too: those whose likeliest class (the first of equals) is not the label
	// but may stand for it. It is called from several goroutines.
	Excuse func(label, class int32) bool

	// Table [n,Width], if not nil, holds a vector E for each class. The loss is then
	// Σ p[v]·(1 - cos(E[v], E[label])) over the Top classes v with the largest
	// logits (all, where there are no more), p = softmax(row). The gradient is that
	// of p; which classes are the top ones, and E, count as constants.
	Table      []float32
	Width, Top int

	Teacher []float32 // [rows,n]
	Form    Form
	T       float32 // temperature, positive
	// Alpha and Beta are the factors of the two parts of FormDKD.
	Alpha, Beta float32

	Weight []float32 // factor of each row, nil for 1

	// Scale is the factor of this loss in LossGrad.
	Scale float32

	// Excused is how many rows Excuse left out, and Labelled how many have a label
	// and a weight; Value sets them.
	Excused, Labelled int

	rows []rowStat
	near []neighbour // [rows,Top]
}

// rowStat holds maxima and the inverse sums of exponentials below them; of
// FormDKD those of the classes besides the label.
type rowStat struct {
	top, inverse, teacherTop, teacherInverse float32

	weight  float32 // 0 on rows that are left out
	extra   float32 // see the forms
	label   int32   // the target of FormDKD
	excused bool
}

type lossTask struct {
	*LogitLoss
	logits []float32
	n      int
	sum    []float64
}

var lossTasks taskPool[lossTask]

// Value returns the sum of the loss over the rows of logits[rows,n], each times
// its weight, and the sum of the weights of the rows that are not left out.
// Classes to which the teacher gives probability 0 contribute nothing to KL.
func (l *LogitLoss) Value(logits []float32, rows, n int) (sum, weight float64) {
	need("logits", len(logits), rows*n)
	l.check(rows, n)
	l.Excused, l.Labelled = 0, 0
	if rows <= 0 || n <= 0 {
		return 0, 0
	}
	if cap(l.rows) < rows {
		l.rows = make([]rowStat, rows)
	}
	l.rows = l.rows[:rows]
	if k := rows * l.top(n); cap(l.near) < k {
		l.near = make([]neighbour, k)
	}
	each := getSums(rows)
	t := lossTasks.get()
	*t = lossTask{LogitLoss: l, logits: logits, n: n, sum: each.f}
	parallel(rows, rowGrain(n, grainCostly), t)
	lossTasks.put(t)
	for i := range l.rows {
		s := &l.rows[i]
		weight += float64(s.weight)
		if s.excused {
			l.Excused++
		}
		if s.excused || s.weight != 0 {
			l.Labelled++
		}
	}
	return each.total(), weight
}

func (l *LogitLoss) check(rows, n int) {
	if l.Weight != nil {
		need("weight", len(l.Weight), rows)
	}
	if l.Teacher != nil {
		need("teacher", len(l.Teacher), rows*n)
	}
	if l.Table != nil {
		need("table", len(l.Table), n*l.Width)
	}
	if l.Teacher != nil && l.Form != FormDKD {
		return
	}
	need("labels", len(l.Labels), rows)
	for r, v := range l.Labels[:max(rows, 0)] {
		if int(v) >= n {
			panic("kernel: label " + strconv.Itoa(int(v)) + " of row " + strconv.Itoa(r) + " is not below the " + strconv.Itoa(n) + " classes")
		}
	}
}

func (t *lossTask) run(lo, hi int) {
	for r := lo; r < hi; r++ {
		s := &t.rows[r]
		*s = rowStat{weight: 1}
		if t.Weight != nil {
			s.weight = t.Weight[r]
		}
		if t.Teacher == nil && t.Labels[r] < 0 {
			s.weight = 0
		}
		t.sum[r] = 0
		if s.weight != 0 {
			t.sum[r] = t.row(r, s) * float64(s.weight)
		}
	}
}

// row is the loss of a row; it fills the rest of its rowStat.
func (t *lossTask) row(r int, s *rowStat) float64 {
	x := t.logits[r*t.n : (r+1)*t.n]
	if t.Teacher == nil && t.Table == nil {
		return t.cross(x, int(t.Labels[r]), s)
	}
	if t.Teacher == nil {
		k := t.top(t.n)
		return t.penalty(x, int(t.Labels[r]), t.near[r*k:(r+1)*k], s)
	}
	u := t.Teacher[r*t.n : (r+1)*t.n]
	switch t.Form {
	case FormMSE:
		return squares(x, u)
	case FormJS:
		return t.jensenShannon(x, u, s)
	case FormDKD:
		return t.decoupled(x, u, int(t.Labels[r]), s)
	}
	return t.divergence(x, u, s)
}

func (l *LogitLoss) cross(x []float32, label int, stat *rowStat) float64 {
	top := vMax(x)
	if l.Excuse != nil {
		if guess := max(0, slices.Index(x, top)); guess != label && l.Excuse(int32(label), int32(guess)) {
			stat.weight, stat.excused = 0, true
			return 0
		}
	}
	smooth := float64(l.Smooth)
	z := expTotal(x, top, 1)
	*stat = rowStat{top: top, inverse: float32(1 / z), weight: stat.weight}
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
	*stat = rowStat{top: topS, inverse: float32(1 / zs), teacherTop: topU, teacherInverse: float32(1 / zu), weight: stat.weight}
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
		stat := &l.rows[r]
		if l.Scale == 0 || stat.weight == 0 {
			continue
		}
		c := l.Scale * stat.weight
		if !some && !l.exponential() {
			clear(acc)
			some = true
		}
		switch {
		case l.exponential():
			l.addSoftmax(acc, x, r, i, at, t.n, c, !some)
		case l.Teacher == nil:
			l.addPenalty(acc, x, l.near[r*l.top(t.n):(r+1)*l.top(t.n)], i, c, stat)
		case l.Form == FormMSE:
			addDifference(acc, x, l.Teacher[at:], 2*c/float32(t.n))
		case l.Form == FormJS:
			l.addJensenShannon(acc, x, l.Teacher[at:], c, stat)
		case l.Form == FormDKD:
			l.addDecoupled(acc, x, l.Teacher[at:], i, c, stat)
		}
		some = true
	}
	return some
}

// exponential reports whether the gradient is a sum of softmaxes and a one-hot
// vector.
func (l *LogitLoss) exponential() bool {
	return l.Teacher == nil && l.Table == nil || l.Teacher != nil && l.Form == FormKL
}

// addSoftmax sets acc, or adds to it, the gradient of a cross-entropy or KL.
func (l *LogitLoss) addSoftmax(acc, x []float32, r, i, at, n int, c float32, set bool) {
	stat, scale := &l.rows[r], float32(1)
	if l.Teacher != nil {
		scale = 1 / l.T
		c *= scale
	}
	if set {
		vExpScale(acc, x, stat.top, scale, c*stat.inverse)
	} else {
		vExpAdd(acc, x, stat.top, scale, c*stat.inverse)
	}
	if l.Teacher != nil {
		vExpAdd(acc, l.Teacher[at:at+len(acc)], stat.teacherTop, scale, -c*stat.teacherInverse)
		return
	}
	if l.Smooth != 0 {
		vAffine(1, -c*l.Smooth/float32(n), acc)
	}
	if label := int(l.Labels[r]) - i; label >= 0 && label < len(acc) {
		acc[label] -= c * (1 - l.Smooth)
	}
}
