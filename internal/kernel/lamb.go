package kernel

import "math"

// lambConst holds LAMB's scalars in the order in which the assembly reads them.
type lambConst struct {
	beta1, beta2     float32 // decay of the moments
	rest1            float32 // (1 - beta1)·gradScale
	rest2            float32 // (1 - beta2)·gradScale²
	unbias1, unbias2 float32 // 1 / (1 - beta1^step), 1 / sqrt(1 - beta2^step)
	eps, decay       float32
	rate             float32 // lr·ratio; lambStep only
}

type lambTask struct {
	w, g, m, v  []float32
	c           lambConst
	sumW, sumU  []float64 // by chunk
	takeTheStep bool
}

var lambTasks taskPool[lambTask]

func (t *lambTask) run(lo, hi int) {
	if t.takeTheStep {
		vLAMBStep(t.w[lo:hi], t.m[lo:hi], t.v[lo:hi], &t.c)
		return
	}
	i := lo / grainCostly
	t.sumU[i] = vLAMBMoments(t.w[lo:hi], t.g[lo:hi], t.m[lo:hi], t.v[lo:hi], &t.c)
	t.sumW[i] = vSumSquares(t.w[lo:hi])
}

// LAMB takes one step of layer-wise adaptive moments (You et al., arXiv
// 1904.00962, algorithm 2) over the weights w of one tensor with gradients
// g·gradScale and moments m, v:
//
//	u = m̂/(sqrt(v̂)+eps) + decay·w   w -= lr·(‖w‖/‖u‖)·u
//
// with bias-corrected moments; step counts from 1. It returns the trust ratio
// ‖w‖/‖u‖. Without adapt, as is usual for biases and the vectors of LayerNorm,
// the ratio is 1, and the step is AdamW's but for rounding. g is left as it is.
//
// What the paper leaves open is settled so: φ is the identity, the norm is
// Euclidean, and where ‖w‖ or ‖u‖ is 0 the ratio is 1. Gradients are not
// normalised beforehand; what gradScale does is the caller's. Norms are summed
// in float64 in an order that follows from len(w) alone.
func LAMB(w, g, m, v []float32, lr, beta1, beta2, eps, decay, gradScale float32, step int, adapt bool) (ratio float64) {
	need("g", len(g), len(w))
	need("m", len(m), len(w))
	need("v", len(v), len(w))
	chunks := tiles(len(w), grainCostly)
	sumW, sumU := getSums(chunks), getSums(chunks)
	scale := float64(gradScale)
	t := lambTasks.get()
	*t = lambTask{w: w, g: g, m: m, v: v, sumW: sumW.f, sumU: sumU.f, c: lambConst{
		beta1: beta1, beta2: beta2,
		rest1:   float32((1 - float64(beta1)) * scale),
		rest2:   float32((1 - float64(beta2)) * scale * scale),
		unbias1: float32(1 / (1 - math.Pow(float64(beta1), float64(step)))),
		unbias2: float32(1 / math.Sqrt(1-math.Pow(float64(beta2), float64(step)))),
		eps:     eps, decay: decay,
	}}
	parallel(len(w), grainCostly, t)
	ratio = 1
	if normW, normU := math.Sqrt(sumW.total()), math.Sqrt(sumU.total()); adapt && normW > 0 && normU > 0 {
		ratio = normW / normU
	}
	t.c.rate = float32(float64(lr) * ratio)
	t.takeTheStep = true
	parallel(len(w), grainCostly, t)
	lambTasks.put(t)
	return ratio
}

// lambMomentsGo updates the moments and returns Σ u², summed in float64.
func lambMomentsGo(w, g, m, v []float32, c *lambConst) float64 {
	g, m, v = g[:len(w)], m[:len(w)], v[:len(w)]
	var sum float64
	for i, wi := range w {
		gi := g[i]
		mi := float32(c.beta1*m[i]) + float32(c.rest1*gi)
		vi := float32(c.beta2*v[i]) + float32(float32(c.rest2*gi)*gi)
		m[i], v[i] = mi, vi
		u := float64(c.direction(wi, mi, vi))
		sum += u * u
	}
	return sum
}

// lambStepGo sets w -= rate·u.
func lambStepGo(w, m, v []float32, c *lambConst) {
	m, v = m[:len(w)], v[:len(w)]
	for i, wi := range w {
		w[i] = wi - float32(c.rate*c.direction(wi, m[i], v[i]))
	}
}

// direction is u of one weight.
func (c *lambConst) direction(w, m, v float32) float32 {
	den := float32(float32(math.Sqrt(float64(v)))*c.unbias2) + c.eps
	return float32(m*c.unbias1)/den + float32(c.decay*w)
}
