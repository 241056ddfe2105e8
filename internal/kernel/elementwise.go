package kernel

import "math"

// Chunk sizes, in elements, of loops that only move memory and of loops that
// evaluate functions.
const (
	grainCheap  = 1 << 15
	grainCostly = 1 << 13
)

// Act is an activation function.
type Act int

// The activations. ActGelu is x·Φ(x) with the exact normal distribution
// function; ActGeluTanh is its tanh approximation (Hendrycks and Gimpel 2016,
// section 2).
const (
	ActNone Act = iota
	ActGelu
	ActGeluTanh
	ActRelu
	ActTanh
)

// String returns the name used in graphs: "", "gelu", "gelu_tanh", "relu", "tanh".
func (a Act) String() string {
	switch a {
	case ActGelu:
		return "gelu"
	case ActGeluTanh:
		return "gelu_tanh"
	case ActRelu:
		return "relu"
	case ActTanh:
		return "tanh"
	}
	return ""
}

type elementOp int

const (
	opAdd elementOp = iota
	opMul
	opAxpy
	opScale
	opAct
	opActGrad
	opActBoth
)

type elementTask struct {
	op      elementOp
	act     Act
	alpha   float32
	x, y, z []float32
}

var elementTasks taskPool[elementTask]

func (t *elementTask) run(lo, hi int) {
	switch t.op {
	case opAdd:
		vAdd(t.z[lo:hi], t.x[lo:hi], t.y[lo:hi])
	case opMul:
		vMul(t.z[lo:hi], t.x[lo:hi], t.y[lo:hi])
	case opAxpy:
		vAxpy(t.alpha, t.x[lo:hi], t.y[lo:hi])
	case opScale:
		vScale(t.alpha, t.x[lo:hi])
	case opAct:
		vAct(t.act, t.y[lo:hi], t.x[lo:hi])
	case opActGrad:
		vActGrad(t.act, t.z[lo:hi], t.x[lo:hi], t.y[lo:hi])
	case opActBoth:
		vActBoth(t.act, t.y[lo:hi], t.z[lo:hi], t.x[lo:hi])
	}
}

func elements(n, grain int, args elementTask) {
	if n <= grain {
		args.run(0, n)
		return
	}
	t := elementTasks.get()
	*t = args
	parallel(n, grain, t)
	elementTasks.put(t)
}

// Add sets dst = a + b over len(dst) elements; dst may be a or b.
func Add(dst, a, b []float32) {
	need("a", len(a), len(dst))
	need("b", len(b), len(dst))
	elements(len(dst), grainCheap, elementTask{op: opAdd, z: dst, x: a, y: b})
}

// Mul sets dst = a·b over len(dst) elements; dst may be a or b.
func Mul(dst, a, b []float32) {
	need("a", len(a), len(dst))
	need("b", len(b), len(dst))
	elements(len(dst), grainCheap, elementTask{op: opMul, z: dst, x: a, y: b})
}

// Axpy sets y += alpha·x over len(x) elements.
func Axpy(alpha float32, x, y []float32) {
	need("y", len(y), len(x))
	elements(len(x), grainCheap, elementTask{op: opAxpy, alpha: alpha, x: x, y: y})
}

// Scale sets x = alpha·x.
func Scale(alpha float32, x []float32) {
	elements(len(x), grainCheap, elementTask{op: opScale, alpha: alpha, x: x})
}

// Activate sets y = act(x) over len(x) elements; y may be x. At ±Inf the
// activations take their limits.
func Activate(act Act, y, x []float32) {
	need("y", len(y), len(x))
	elements(len(x), grainCostly, elementTask{op: opAct, act: act, x: x, y: y})
}

// ActivateGrad sets dx = dy·act'(x) over len(x) elements; dx may be x or dy.
// The derivative of ReLU at 0 is 0.
func ActivateGrad(act Act, dx, x, dy []float32) {
	need("dx", len(dx), len(x))
	need("dy", len(dy), len(x))
	elements(len(x), grainCostly, elementTask{op: opActGrad, act: act, x: x, y: dy, z: dx})
}

// ActivateBoth sets y = act(x) and g = act'(x) over len(x) elements, to the same
// bits as Activate and ActivateGrad with dy = 1 do; g may be x.
func ActivateBoth(act Act, y, g, x []float32) {
	need("y", len(y), len(x))
	need("g", len(g), len(x))
	elements(len(x), grainCostly, elementTask{op: opActBoth, act: act, x: x, y: y, z: g})
}

type biasTask struct {
	y, bias []float32
	n       int
	act     Act
}

var biasTasks taskPool[biasTask]

func (t *biasTask) run(lo, hi int) {
	for ; lo < hi; lo++ {
		finishRow(t.y[lo*t.n:(lo+1)*t.n], t.bias, 0, t.act)
	}
}

// BiasAct sets y[rows,n] = act(y + bias[n]) in place; bias may be nil.
func BiasAct(y []float32, rows, n int, bias []float32, act Act) {
	need("y", len(y), rows*n)
	if bias != nil {
		need("bias", len(bias), n)
	}
	t := biasTasks.get()
	*t = biasTask{y: y, bias: bias, n: n, act: act}
	parallel(rows, evenGrain(rows, n, grainCostly), t)
	biasTasks.put(t)
}

// colBlock is the number of columns that one ColSum task adds up.
const colBlock = 64

type colSumTask struct {
	dst, x  []float32
	rows, n int
	beta    float32
}

var colSumTasks taskPool[colSumTask]

func (t *colSumTask) run(lo, hi int) {
	for ; lo < hi; lo++ {
		j0, j1 := lo*colBlock, min((lo+1)*colBlock, t.n)
		vColSum(t.dst[j0:j1], t.x[j0:], t.rows, t.n, t.beta)
	}
}

// ColSum sets dst[n] = beta·dst + Σ_rows x[rows,n]. With beta 0, dst is written
// without being read.
func ColSum(dst []float32, x []float32, rows, n int, beta float32) {
	need("dst", len(dst), n)
	need("x", len(x), rows*n)
	if rows <= 0 {
		scaleMatrix(beta, dst, 1, n, n)
		return
	}
	t := colSumTasks.get()
	*t = colSumTask{dst: dst, x: x, rows: rows, n: n, beta: beta}
	parallel(tiles(n, colBlock), rowGrain(colBlock*rows, grainCheap), t)
	colSumTasks.put(t)
}

// Cosine of the angle between two vectors of equal length, in float64; 0 where
// one of them is zero.
func Cosine(a, b []float32) float64 {
	var aa, bb, ab float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		aa, bb, ab = aa+x*x, bb+y*y, ab+x*y
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return ab / math.Sqrt(aa*bb)
}
