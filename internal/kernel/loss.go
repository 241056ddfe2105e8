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

type crossTask struct {
	logits, grad []float32
	n            int
	labels       []int32
	smooth       float32
	loss         []float64
}

var crossTasks taskPool[crossTask]

// CrossEntropy returns the sum over the rows of logits[rows,n] with label ≥ 0
// of the cross-entropy between softmax(row) and the label's one-hot vector,
// smoothed as (1-smooth)·onehot + smooth/n (Szegedy et al. 2016, section 7),
// and the number of those rows. grad[rows,n], when not nil, receives
// softmax − target, not divided by the count, and 0 on ignored rows; it may be
// logits. A label must be less than n.
func CrossEntropy(logits []float32, rows, n int, labels []int32, smooth float32, grad []float32) (sum float64, count int) {
	need("logits", len(logits), rows*n)
	need("labels", len(labels), rows)
	if grad != nil {
		need("grad", len(grad), rows*n)
	}
	for r, l := range labels[:max(rows, 0)] {
		if l >= 0 {
			count++
			if int(l) >= n {
				panic("kernel: label " + strconv.Itoa(int(l)) + " of row " + strconv.Itoa(r) + " is not below the " + strconv.Itoa(n) + " classes")
			}
		}
	}
	if rows <= 0 {
		return 0, 0
	}
	loss := getSums(rows)
	t := crossTasks.get()
	*t = crossTask{logits: logits, grad: grad, n: n, labels: labels, smooth: smooth, loss: loss.f}
	parallel(rows, rowGrain(n, grainCostly), t)
	crossTasks.put(t)
	return loss.total(), count
}

func (t *crossTask) run(lo, hi int) {
	n := t.n
	for r := lo; r < hi; r++ {
		x := t.logits[r*n : (r+1)*n]
		var g []float32
		if t.grad != nil {
			g = t.grad[r*n : (r+1)*n]
		}
		label := int(t.labels[r])
		if label < 0 {
			t.loss[r] = 0
			clear(g)
			continue
		}
		t.loss[r] = t.row(x, g, label)
	}
}

func (t *crossTask) row(x, g []float32, label int) float64 {
	top := vMax(x)
	smooth := float64(t.smooth)
	target := float64(x[label] - top)
	var mean float64
	if smooth != 0 {
		for i := 0; i < len(x); i += expBlock {
			mean += float64(vSum(x[i:min(i+expBlock, len(x))]))
		}
		mean = mean/float64(len(x)) - float64(top)
	}
	var z float64
	if g != nil {
		z = expRow(g, x, top, 1)
		vAffine(float32(1/z), float32(-smooth/float64(len(x))), g)
		g[label] -= float32(1 - smooth)
	} else {
		z = expTotal(x, top, 1)
	}
	lse := math.Log(z)
	loss := (1 - smooth) * (lse - target)
	if smooth != 0 {
		loss += smooth * (lse - mean)
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

type klTask struct {
	student, teacher, grad []float32
	n                      int
	scale                  float32 // 1/T
	weight                 []float32
	loss                   []float64
}

var klTasks taskPool[klTask]

// KL returns Σ_rows weight·KL(softmax(teacher/T) ‖ softmax(student/T)) over
// matrices [rows,n] (Hinton et al. 2015, section 2, without the factor T²,
// which is the caller's). weight[rows] may be nil for 1. grad[rows,n], when not
// nil, receives the derivative of that sum with respect to student; it may be
// student. T must be positive. Classes to which the teacher gives probability
// 0 contribute nothing.
func KL(student, teacher []float32, rows, n int, T float32, weight []float32, grad []float32) (sum float64) {
	need("student", len(student), rows*n)
	need("teacher", len(teacher), rows*n)
	if weight != nil {
		need("weight", len(weight), rows)
	}
	if grad != nil {
		need("grad", len(grad), rows*n)
	}
	if rows <= 0 || n <= 0 {
		return 0
	}
	loss := getSums(rows)
	t := klTasks.get()
	*t = klTask{student: student, teacher: teacher, grad: grad, n: n, scale: 1 / T, weight: weight, loss: loss.f}
	parallel(rows, rowGrain(n, grainCostly), t)
	klTasks.put(t)
	return loss.total()
}

func (t *klTask) run(lo, hi int) {
	n := t.n
	buf := getBuffer(n)
	for r := lo; r < hi; r++ {
		w := float32(1)
		if t.weight != nil {
			w = t.weight[r]
		}
		var g []float32
		if t.grad != nil {
			g = t.grad[r*n : (r+1)*n]
		}
		if w == 0 {
			t.loss[r] = 0
			clear(g)
			continue
		}
		t.loss[r] = float64(w) * t.row(t.student[r*n:(r+1)*n], t.teacher[r*n:(r+1)*n], g, buf.f, w)
	}
	buf.put()
}

// row returns the divergence of one row. With p = softmax(u/T) of the teacher u
// and Z the sums of exponentials after subtracting the maxima,
// KL = Σ p·(u-s)/T + log(Z_s/Z_u) + (max s - max u)/T.
func (t *klTask) row(s, u, g, eu []float32, w float32) float64 {
	topS, topU := vMax(s), vMax(u)
	zu := expRow(eu, u, topU, t.scale)
	var cross float64
	for i := 0; i < len(s); i += expBlock {
		j := min(i+expBlock, len(s))
		cross += float64(vDotDiff(eu[i:j], u[i:j], s[i:j], topU-topS))
	}
	var zs float64
	if g != nil {
		zs = expRow(g, s, topS, t.scale)
		c := float64(w) * float64(t.scale)
		vBlend(g, eu, float32(c/zs), float32(-c/zu))
	} else {
		zs = expTotal(s, topS, t.scale)
	}
	return float64(t.scale)*cross/zu + math.Log(zs/zu)
}
