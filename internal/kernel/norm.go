package kernel

import "math"

type softmaxTask struct {
	y, x []float32
	n    int
	log  bool
}

var softmaxTasks taskPool[softmaxTask]

func (t *softmaxTask) run(lo, hi int) {
	for ; lo < hi; lo++ {
		y, x := t.y[lo*t.n:(lo+1)*t.n], t.x[lo*t.n:(lo+1)*t.n]
		if t.log {
			logSoftmaxRow(y, x)
		} else {
			softmaxRow(y, x)
		}
	}
}

// SoftmaxRows sets each row of y[rows,n] to the softmax of that row of x; y may
// be x. A row that is -Inf throughout gives zeros; one with a NaN gives NaN.
func SoftmaxRows(y, x []float32, rows, n int) { softmaxRows(y, x, rows, n, false) }

// LogSoftmaxRows sets each row of y[rows,n] to the logarithm of the softmax of
// that row of x; y may be x. A row that is -Inf throughout stays -Inf.
func LogSoftmaxRows(y, x []float32, rows, n int) { softmaxRows(y, x, rows, n, true) }

func softmaxRows(y, x []float32, rows, n int, log bool) {
	need("y", len(y), rows*n)
	need("x", len(x), rows*n)
	if n <= 0 {
		return
	}
	t := softmaxTasks.get()
	*t = softmaxTask{y: y, x: x, n: n, log: log}
	parallel(rows, evenGrain(rows, n, grainCostly), t)
	softmaxTasks.put(t)
}

// expBlock is how many float32 terms are summed before the sum is carried on
// in float64, so that a vocabulary's worth of terms loses nothing.
const expBlock = 2048

// expRow sets y = exp(scale·(x-top)) and returns the sum; y may be x.
func expRow(y, x []float32, top, scale float32) float64 {
	var sum float64
	for i := 0; i < len(x); i += expBlock {
		j := min(i+expBlock, len(x))
		sum += float64(vExpSum(y[i:j], x[i:j], top, scale))
	}
	return sum
}

func softmaxRow(y, x []float32) {
	top := vMax(x)
	if math.IsInf(float64(top), -1) {
		nothingLeft(y, x)
		return
	}
	sum := expRow(y, x, top, 1)
	vScale(float32(1/sum), y)
}

// nothingLeft sets y for a row x without a finite maximum: zeros, or NaN
// throughout if x has one, so that a broken model does not pass for a mask. y
// may be x.
func nothingLeft(y, x []float32) {
	var fill float32
	for _, v := range x {
		if v != v {
			fill = v
		}
	}
	for i := range y {
		y[i] = fill
	}
}

func logSoftmaxRow(y, x []float32) {
	top := vMax(x)
	if math.IsInf(float64(top), -1) {
		copy(y, x)
		return
	}
	var block [expBlock]float32
	var sum float64
	for i := 0; i < len(x); i += expBlock {
		part := x[i:min(i+expBlock, len(x))]
		sum += float64(vExpSum(block[:len(part)], part, top, 1))
	}
	// Subtracting in two steps keeps log(sum) exact beside a large maximum.
	vShift(y, x, top, float32(math.Log(sum)))
}

type normTask struct {
	y, x, residual, gamma, beta []float32
	sum, mean, rstd             []float32
	n                           int
	eps                         float32
}

var normTasks taskPool[normTask]

// LayerNorm sets each row of y[rows,n] to gamma·(s-mean)/sqrt(var+eps) + beta,
// where s = x + residual and var is the biased variance (Ba et al. 2016,
// equation 4). residual may be nil. sum[rows,n] = s, mean[rows] and rstd[rows]
// are stored for LayerNormGrad when not nil. y may be x or residual, and sum
// may be x or residual.
func LayerNorm(y, x, residual, gamma, beta []float32, rows, n int, eps float32, sum, mean, rstd []float32) {
	need("y", len(y), rows*n)
	need("x", len(x), rows*n)
	need("gamma", len(gamma), n)
	need("beta", len(beta), n)
	if residual != nil {
		need("residual", len(residual), rows*n)
	}
	if sum != nil {
		need("sum", len(sum), rows*n)
	}
	if mean != nil {
		need("mean", len(mean), rows)
	}
	if rstd != nil {
		need("rstd", len(rstd), rows)
	}
	if n <= 0 {
		return
	}
	t := normTasks.get()
	*t = normTask{y: y, x: x, residual: residual, gamma: gamma[:n], beta: beta[:n], sum: sum, mean: mean, rstd: rstd, n: n, eps: eps}
	parallel(rows, evenGrain(rows, n, grainCostly), t)
	normTasks.put(t)
}

func (t *normTask) run(lo, hi int) {
	n := t.n
	for r := lo; r < hi; r++ {
		y, s := t.y[r*n:(r+1)*n], t.x[r*n:(r+1)*n]
		if t.residual != nil {
			// With nowhere to keep it, the sum lives in y until it is
			// normalised in place.
			into := y
			if t.sum != nil {
				into = t.sum[r*n : (r+1)*n]
			}
			vAdd(into, s, t.residual[r*n:(r+1)*n])
			s = into
		} else if t.sum != nil {
			copy(t.sum[r*n:(r+1)*n], s)
		}
		mean := vSum(s) / float32(n)
		variance := vSquaredDiff(s, mean) / float32(n)
		rstd := float32(1 / math.Sqrt(float64(variance)+float64(t.eps)))
		vNormalize(y, s, t.gamma, t.beta, mean, rstd)
		if t.mean != nil {
			t.mean[r] = mean
		}
		if t.rstd != nil {
			t.rstd[r] = rstd
		}
	}
}

// normGradRows is how many rows share one partial sum of dgamma and dbeta.
const normGradRows = 64

type normGradTask struct {
	dx, dy, sum, gamma, mean, rstd []float32
	partial                        []float32 // per chunk: dgamma[n], dbeta[n]
	n                              int
}

var normGradTasks taskPool[normGradTask]

// LayerNormGrad differentiates LayerNorm: dx[rows,n] receives the gradient with
// respect to x + residual; dgamma[n] and dbeta[n] are added to. sum, mean and
// rstd are those that LayerNorm stored. dx may be dy.
func LayerNormGrad(dx, dgamma, dbeta, dy, sum, gamma, mean, rstd []float32, rows, n int) {
	need("dx", len(dx), rows*n)
	need("dy", len(dy), rows*n)
	need("sum", len(sum), rows*n)
	need("gamma", len(gamma), n)
	need("dgamma", len(dgamma), n)
	need("dbeta", len(dbeta), n)
	need("mean", len(mean), rows)
	need("rstd", len(rstd), rows)
	if rows <= 0 || n <= 0 {
		return
	}
	chunks := tiles(rows, normGradRows)
	buf := getBuffer(chunks * 2 * n)
	t := normGradTasks.get()
	*t = normGradTask{dx: dx, dy: dy, sum: sum, gamma: gamma[:n], mean: mean, rstd: rstd, partial: buf.f, n: n}
	parallel(rows, normGradRows, t)
	normGradTasks.put(t)
	for c := range chunks {
		vAdd(dgamma[:n], dgamma[:n], buf.f[c*2*n:c*2*n+n])
		vAdd(dbeta[:n], dbeta[:n], buf.f[c*2*n+n:(c+1)*2*n])
	}
	buf.put()
}

func (t *normGradTask) run(lo, hi int) {
	n := t.n
	part := t.partial[lo/normGradRows*2*n:][:2*n]
	clear(part)
	dgamma, dbeta := part[:n], part[n:]
	for r := lo; r < hi; r++ {
		dy, s := t.dy[r*n:(r+1)*n], t.sum[r*n:(r+1)*n]
		mean, rstd := t.mean[r], t.rstd[r]
		// With g = dy·gamma and h = (s-mean)·rstd:
		// dx = rstd·(g - mean(g) - h·mean(g·h)).
		sg, sgh := vNormGradSums(dgamma, dbeta, dy, s, t.gamma, mean, rstd)
		vNormGradDx(t.dx[r*n:(r+1)*n], dy, s, t.gamma, mean, rstd, sg/float32(n), sgh/float32(n))
	}
}
