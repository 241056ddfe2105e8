package kernel

import "math"

type squareTask struct {
	x   []float32
	sum []float64
}

var squareTasks taskPool[squareTask]

func (t *squareTask) run(lo, hi int) {
	t.sum[lo/grainCheap] = vSumSquares(t.x[lo:hi])
}

// SumSquares returns Σ x², summed in float64.
func SumSquares(x []float32) float64 {
	if len(x) <= grainCheap {
		return vSumSquares(x)
	}
	part := getSums(tiles(len(x), grainCheap))
	t := squareTasks.get()
	*t = squareTask{x: x, sum: part.f}
	parallel(len(x), grainCheap, t)
	squareTasks.put(t)
	return part.total()
}

// adamConst holds AdamW's scalars in the order in which the assembly reads them.
type adamConst struct {
	beta1, beta2   float32 // decay of the moments
	rest1, rest2   float32 // 1 - beta
	keep           float32 // 1 - lr·decay
	rate           float32 // lr / (1 - beta1^step)
	unbias2        float32 // 1 / sqrt(1 - beta2^step)
	eps, gradScale float32
}

func newAdamConst(lr, beta1, beta2, eps, decay, gradScale float32, step int) adamConst {
	return adamConst{
		beta1: beta1, beta2: beta2, rest1: float32(1 - float64(beta1)), rest2: float32(1 - float64(beta2)),
		keep:    float32(1 - float64(lr)*float64(decay)),
		rate:    float32(float64(lr) / (1 - math.Pow(float64(beta1), float64(step)))),
		unbias2: float32(1 / math.Sqrt(1-math.Pow(float64(beta2), float64(step)))),
		eps:     eps, gradScale: gradScale,
	}
}

type adamTask struct {
	w, g, m, v []float32
	c          adamConst
}

var adamTasks taskPool[adamTask]

func (t *adamTask) run(lo, hi int) {
	vAdamW(t.w[lo:hi], t.g[lo:hi], t.m[lo:hi], t.v[lo:hi], &t.c)
}

// AdamW takes one step of decoupled weight decay (Loshchilov and Hutter 2019,
// algorithm 2) over the weights w with gradients g·gradScale and moments m, v:
// w -= lr·decay·w + lr·m̂/(sqrt(v̂)+eps), with bias-corrected moments. step
// counts from 1. g is left as it is.
func AdamW(w, g, m, v []float32, lr, beta1, beta2, eps, decay, gradScale float32, step int) {
	need("g", len(g), len(w))
	need("m", len(m), len(w))
	need("v", len(v), len(w))
	t := adamTasks.get()
	*t = adamTask{w: w, g: g, m: m, v: v, c: newAdamConst(lr, beta1, beta2, eps, decay, gradScale, step)}
	parallel(len(w), grainCostly, t)
	adamTasks.put(t)
}
