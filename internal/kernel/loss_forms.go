package kernel

import "math"

// Form is how a [LogitLoss] compares a row of logits s with the teacher's u. With
// p = softmax(u/T) and q = softmax(s/T):
type Form int

// The forms. None has the factor T² that makes gradients independent of T; it is
// the caller's.
const (
	// FormKL is KL(p ‖ q) (Hinton et al. 2015, section 2).
	FormKL Form = iota
	// FormMSE is the mean over the classes of (s-u)², without a temperature (Ba and
	// Caruana 2014, equation 1). Logits must be finite.
	FormMSE
	// FormJS is the Jensen-Shannon divergence ½KL(p ‖ m) + ½KL(q ‖ m), m = (p+q)/2
	// (Lin 1991).
	FormJS
	// FormDKD is decoupled distillation (Zhao et al. 2022, equation 7):
	// Alpha·KL(b_p ‖ b_q) + Beta·KL(p̂ ‖ q̂) with b the probabilities of the label
	// and of all other classes, and p̂, q̂ the distributions among the others.
	// Where a row has no label, the class that the teacher thinks likeliest is the
	// target.
	FormDKD
)

// squares is the mean of (x-u)².
func squares(x, u []float32) float64 {
	var sum float64
	for i, v := range x {
		d := float64(v) - float64(u[i])
		sum += float64(d * d)
	}
	return sum / float64(len(x))
}

// addDifference adds c·(x-u).
func addDifference(acc, x, u []float32, c float32) {
	x, u = x[:len(acc)], u[:len(acc)]
	for i := range acc {
		acc[i] += float32(c * (x[i] - u[i]))
	}
}

// jensenShannon keeps half of KL(q ‖ m) as extra.
func (l *LogitLoss) jensenShannon(s, u []float32, stat *rowStat) float64 {
	topS, topU, scale := vMax(s), vMax(u), 1/l.T
	*stat = rowStat{
		top: topS, inverse: float32(1 / expTotal(s, topS, scale)),
		teacherTop: topU, teacherInverse: float32(1 / expTotal(u, topU, scale)), weight: stat.weight,
	}
	var bp, bq [expBlock]float32
	var ours, both float64
	for i := 0; i < len(s); i += expBlock {
		j := min(i+expBlock, len(s))
		p, q := bp[:j-i], bq[:j-i]
		vExpScale(p, u[i:j], topU, scale, stat.teacherInverse)
		vExpScale(q, s[i:j], topS, scale, stat.inverse)
		vJSTerms(q, p, p, q)
		ours, both = ours+float64(vSum(q)), both+float64(vSum(p))
	}
	stat.extra = float32(ours)
	return both
}

// addJensenShannon adds c·q·(½log(q/m) - extra)/T.
func (l *LogitLoss) addJensenShannon(acc, x, u []float32, c float32, stat *rowStat) {
	var bp, bq [expBlock]float32
	p, q, scale := bp[:len(acc)], bq[:len(acc)], 1/l.T
	vExpScale(p, u[:len(acc)], stat.teacherTop, scale, stat.teacherInverse)
	vExpScale(q, x, stat.top, scale, stat.inverse)
	vJSGrad(acc, p, q, c*scale, stat.extra)
}

// decoupled keeps the derivative of KL(b_p ‖ b_q) by the log-odds of b_q as extra.
func (l *LogitLoss) decoupled(s, u []float32, label int, stat *rowStat) float64 {
	if label < 0 {
		label = argmax(u)
	}
	*stat = rowStat{label: int32(label), weight: stat.weight}
	if len(s) < 2 {
		return 0
	}
	scale := 1 / l.T
	topS, topU := max(vMax(s[:label]), vMax(s[label+1:])), max(vMax(u[:label]), vMax(u[label+1:]))
	var block [expBlock]float32
	var zs, zu, cross float64
	for _, part := range [2][2]int{{0, label}, {label + 1, len(s)}} {
		for i := part[0]; i < part[1]; i += expBlock {
			j := min(i+expBlock, part[1])
			e := block[:j-i]
			zu += float64(vExpSum(e, u[i:j], topU, scale))
			cross += float64(vDotDiff(e, u[i:j], s[i:j], topU-topS))
			zs += float64(vExpSum(e, s[i:j], topS, scale))
		}
	}
	stat.top, stat.inverse, stat.teacherTop, stat.teacherInverse = topS, float32(1/zs), topU, float32(1/zu)
	others := float64(scale)*cross/zu + math.Log(zs/zu)
	ours := float64(scale)*(float64(s[label])-float64(topS)) - math.Log(zs)
	theirs := float64(scale)*(float64(u[label])-float64(topU)) - math.Log(zu)
	p := sigmoid(theirs)
	target := p*(logSigmoid(theirs)-logSigmoid(ours)) + sigmoid(-theirs)*(logSigmoid(-theirs)-logSigmoid(-ours))
	stat.extra = float32(sigmoid(ours) - p)
	return float64(l.Alpha)*target + float64(l.Beta)*others
}

// addDecoupled adds c/T times Alpha·extra at the label, and elsewhere
// (Beta - Alpha·extra)·q̂ - Beta·p̂.
func (l *LogitLoss) addDecoupled(acc, x, u []float32, i int, c float32, stat *rowStat) {
	c, scale := c/l.T, 1/l.T
	at := min(max(int(stat.label)-i, 0), len(acc))
	ours, theirs := c*(l.Beta-l.Alpha*stat.extra)*stat.inverse, -c*l.Beta*stat.teacherInverse
	for _, part := range [2][2]int{{0, at}, {at, len(acc)}} {
		lo, hi := part[0], part[1]
		if lo == at && i+at == int(stat.label) && hi > lo {
			acc[lo] += c * l.Alpha * stat.extra
			lo++
		}
		vExpAdd(acc[lo:hi], x[lo:hi], stat.top, scale, ours)
		vExpAdd(acc[lo:hi], u[lo:hi], stat.teacherTop, scale, theirs)
	}
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// logSigmoid is log(1/(1+exp(-x))) for every x.
func logSigmoid(x float64) float64 { return min(x, 0) - math.Log1p(math.Exp(-math.Abs(x))) }

// argmax is the place of the largest element, the first of equals.
func argmax(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}

// neighbour is a likely class and its distance 1 - cos from the label.
type neighbour struct {
	class int32
	cost  float32
}

// top is how many classes a penalty weighs.
func (l *LogitLoss) top(n int) int {
	if l.Table == nil {
		return 0
	}
	return min(l.Top, n)
}

// penalty fills near with the likeliest classes and keeps the loss as extra.
func (l *LogitLoss) penalty(x []float32, label int, near []neighbour, stat *rowStat) float64 {
	top := vMax(x)
	z := expTotal(x, top, 1)
	likeliest(near, x)
	e := l.Table[label*l.Width : (label+1)*l.Width]
	norm := vSumSquares(e)
	var sum float64
	for i := range near {
		v := &near[i]
		f := l.Table[int(v.class)*l.Width : (int(v.class)+1)*l.Width]
		v.cost = 1
		if square := norm * vSumSquares(f); square > 0 {
			v.cost = float32(1 - min(1, float64(vDot(e, f))/math.Sqrt(square)))
		}
		if int(v.class) == label {
			v.cost = 0
		}
		sum += math.Exp(float64(x[v.class]-top)) / z * float64(v.cost)
	}
	*stat = rowStat{top: top, inverse: float32(1 / z), extra: float32(sum), weight: stat.weight}
	return sum
}

// likeliest fills near with the largest elements, in falling order, the first of equals first.
func likeliest(near []neighbour, x []float32) {
	n := 0
	for i, v := range x {
		if n == len(near) && (n == 0 || !(v > x[near[n-1].class])) {
			continue
		}
		if n < len(near) {
			n++
		}
		k := n - 1
		for ; k > 0 && v > x[near[k-1].class]; k-- {
			near[k] = near[k-1]
		}
		near[k] = neighbour{class: int32(i)}
	}
}

// addPenalty adds c·p·(cost - extra), cost 0 for all but the likeliest classes.
func (l *LogitLoss) addPenalty(acc, x []float32, near []neighbour, i int, c float32, stat *rowStat) {
	vExpAdd(acc, x, stat.top, 1, -c*stat.extra*stat.inverse)
	for _, v := range near {
		if at := int(v.class) - i; at >= 0 && at < len(acc) {
			acc[at] += float32(float64(c) * math.Exp(float64(x[at]-stat.top)) * float64(stat.inverse*v.cost))
		}
	}
}

type confidenceTask struct {
	w, logits []float32
	n         int
	entropy   bool
}

var confidenceTasks taskPool[confidenceTask]

// Confidence sets w[rows] to how sure each row of logits[rows,n] is, from 0 to 1:
// the probability of its likeliest class, or with entropy 1 - H/log n, H the
// entropy of softmax(row); a row of one class is sure.
func Confidence(w, logits []float32, rows, n int, entropy bool) {
	need("w", len(w), rows)
	need("logits", len(logits), rows*n)
	if rows <= 0 || n <= 0 {
		return
	}
	t := confidenceTasks.get()
	*t = confidenceTask{w: w, logits: logits, n: n, entropy: entropy}
	parallel(rows, rowGrain(n, grainCostly), t)
	confidenceTasks.put(t)
}

func (t *confidenceTask) run(lo, hi int) {
	var block, zero [expBlock]float32
	for r := lo; r < hi; r++ {
		x := t.logits[r*t.n : (r+1)*t.n]
		top := vMax(x)
		var z, mean float64
		for i := 0; i < t.n; i += expBlock {
			j := min(i+expBlock, t.n)
			e := block[:j-i]
			z += float64(vExpSum(e, x[i:j], top, 1))
			if t.entropy {
				mean += float64(vDotDiff(e, x[i:j], zero[:j-i], top))
			}
		}
		switch {
		case t.n == 1:
			t.w[r] = 1
		case t.entropy: // H = log z - Σ p·(x - top)
			t.w[r] = float32(min(1, max(0, 1-(math.Log(z)-mean/z)/math.Log(float64(t.n)))))
		default:
			t.w[r] = float32(1 / z)
		}
	}
}
