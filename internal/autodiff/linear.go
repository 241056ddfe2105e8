package autodiff

import (
	"fmt"
	"slices"

	"github.com/litekit/lite/internal/kernel"
)

// linear is Y[m,n] = act(X[m,k]·W + b), with W [k,n], or [n,k] with transB.
//
//	dZ = dY·act'(Z)   dX = dZ·Wᵀ   dW = Xᵀ·dZ   db = Σ_m dZ
//
// X that is an activation which nothing else reads in the backward pass is not
// kept but made again from its Z; with it comes the derivative, for nothing.
type linear struct {
	act    kernel.Act
	transB bool
	m, n   int
	k      int
	z      *buffer // Z, where there is an activation; backward makes it dZ
	again  *linear // of which X is to be made again, into x
	x      *buffer
	slope  bool // z holds act'(Z) by now
}

// linear adds a fully connected layer; bias may be nil.
func (q *Pass) linear(label string, x, w, bias *value, act kernel.Act, transB bool) (*value, error) {
	if w.rank() != 2 || x.rank() < 1 {
		return nil, fmt.Errorf("autodiff: node %s: weight %v and input %v; a linear layer needs a matrix and a rank of at least 1", label, w.shape, x.shape)
	}
	c := &linear{act: act, transB: transB, k: w.shape[0], n: w.shape[1]}
	if transB {
		c.k, c.n = c.n, c.k
	}
	if x.width() != c.k {
		return nil, fmt.Errorf("autodiff: node %s: input %v does not match weight %v (trans_b %v); its last axis must be %d", label, x.shape, w.shape, transB, c.k)
	}
	c.m = x.rows()
	in := []*value{x, w}
	if bias != nil {
		if bias.size() != c.n {
			return nil, fmt.Errorf("autodiff: node %s: bias %v does not match the %d outputs", label, bias.shape, c.n)
		}
		in = append(in, bias)
	}
	o := q.newOp("Linear", label, c, in...)
	o.keep = []*value{x, w}
	if act != kernel.ActNone {
		c.z = o.save(q, c.m*c.n)
	}
	shape := append(append([]int(nil), x.shape[:x.rank()-1]...), c.n)
	return q.add(o, shape...)
}

func (c *linear) forward(o *forward) error {
	z, y := o.out.f32(), []float32(nil)
	if c.z != nil {
		z, y = c.z.data(), z
	}
	var bias []float32
	if len(o.in) > 2 {
		bias = o.in[2].f32()
	}
	w := o.in[1]
	kernel.Linear(c.transB, c.m, c.n, c.k, o.in[0].f32(), c.k, w.f32(), w.shape[1], bias, c.act, z, y)
	return nil
}

func (c *linear) backward(b *backward) error {
	x, w := b.o.in[0].f32(), b.o.in[1]
	if c.again != nil {
		x = c.x.data()
		z := c.again.z.data()
		kernel.ActivateBoth(c.again.act, x, z, z)
	}
	dz := b.dy()
	if c.z != nil {
		dz = c.z.data()
		if c.slope {
			kernel.Mul(dz, dz, b.dy())
		} else {
			kernel.ActivateGrad(c.act, dz, dz, b.dy())
		}
	}
	if dx := b.into(0); dx != nil {
		kernel.Gemm(false, !c.transB, c.m, c.k, c.n, 1, dz, c.n, w.f32(), w.shape[1], b.beta(0), dx, c.k)
	}
	if dw := b.into(1); dw != nil {
		if c.transB {
			kernel.Gemm(true, false, c.n, c.k, c.m, 1, dz, c.n, x, c.k, b.beta(1), dw, c.k)
		} else {
			kernel.Gemm(true, false, c.k, c.n, c.m, 1, x, c.k, dz, c.n, b.beta(1), dw, c.n)
		}
	}
	if len(b.to) > 2 {
		if db := b.into(2); db != nil {
			kernel.ColSum(db, dz, c.m, c.n, b.beta(2))
		}
	}
	return nil
}

// remakeActivations finds the activations that need not be kept.
func (q *Pass) remakeActivations() {
	made := map[*buffer]*backward{} // by its output
	for _, b := range q.backs {
		if c, ok := b.comp().(*linear); ok && c.z != nil && b.o.out.buf != nil && !b.o.out.shown {
			made[b.o.out.buf] = b
		}
	}
	readers := map[*buffer]int{}
	for _, b := range q.backs {
		for _, v := range b.o.keep {
			readers[v.memory()]++
		}
	}
	for _, b := range q.backs {
		c, ok := b.comp().(*linear)
		if !ok || b.to[1] == nil {
			continue
		}
		x := b.o.in[0].memory()
		if from := made[x]; from != nil && readers[x] == 1 && from != b {
			c.again = from.comp().(*linear)
			c.again.slope = true
			c.x = q.newBuffer(x.n)
			b.o.backTemp = append(b.o.backTemp, c.x)
			b.o.saved = append(b.o.saved, c.again.z)
			b.o.keep = slices.DeleteFunc(b.o.keep, func(v *value) bool { return v.memory() == x })
		}
	}
}

// batchMatMul is Y[i] = A[i]·B[i] for matrices [m,k] and [k,n]. A batch of
// one matrix is used for all of the other side's.
type batchMatMul struct {
	batch, m, n, k int
	strideA        int // floats from one matrix to the next, 0 for a single one
	strideB        int
}

func (q *Pass) matmul(label string, a, b *value) (*value, error) {
	bad := fmt.Errorf("autodiff: node %s: cannot multiply %v by %v; batch sizes must agree, or one side be a single matrix", label, a.shape, b.shape)
	if a.rank() < 2 || b.rank() < 2 {
		return nil, bad
	}
	ra, rb := a.rank(), b.rank()
	c := &batchMatMul{m: a.shape[ra-2], k: a.shape[ra-1], n: b.shape[rb-1]}
	if b.shape[rb-2] != c.k {
		return nil, bad
	}
	ba, bb := volume(a.shape[:ra-2]), volume(b.shape[:rb-2])
	lead := a.shape[:ra-2]
	switch {
	case ba == bb:
		c.strideA, c.strideB = c.m*c.k, c.k*c.n
		if rb > ra {
			lead = b.shape[:rb-2]
		}
		if ra == rb && !equalInts(lead, b.shape[:rb-2]) {
			return nil, bad
		}
	case bb == 1 && ra >= rb:
		return q.linearOf(label, a, b, c.k, c.n)
	case ba == 1 && rb >= ra:
		c.strideB, lead = c.k*c.n, b.shape[:rb-2]
	default:
		return nil, bad
	}
	c.batch = max(ba, bb)
	o := q.newOp("MatMul", label, c, a, b)
	o.keep = []*value{a, b}
	return q.add(o, append(append([]int(nil), lead...), c.m, c.n)...)
}

// linearOf multiplies every row of a by the one matrix b.
func (q *Pass) linearOf(label string, a, b *value, k, n int) (*value, error) {
	if b.rank() > 2 {
		var err error
		if b, err = q.reshape(label, b, k, n); err != nil {
			return nil, err
		}
	}
	return q.linear(label, a, b, nil, kernel.ActNone, false)
}

func equalInts(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func (c *batchMatMul) forward(o *forward) error {
	a, b, y := o.in[0].f32(), o.in[1].f32(), o.out.f32()
	for i := range c.batch {
		kernel.Gemm(false, false, c.m, c.n, c.k, 1, a[i*c.strideA:], c.k, b[i*c.strideB:], c.n, 0, y[i*c.m*c.n:], c.n)
	}
	return nil
}

func (c *batchMatMul) backward(g *backward) error {
	a, b, dy := g.o.in[0].f32(), g.o.in[1].f32(), g.dy()
	if da := g.into(0); da != nil {
		beta := g.beta(0)
		for i := range c.batch {
			kernel.Gemm(false, true, c.m, c.k, c.n, 1, dy[i*c.m*c.n:], c.n, b[i*c.strideB:], c.n, beta, da[i*c.strideA:], c.k)
			if c.strideA == 0 {
				beta = 1
			}
		}
	}
	if db := g.into(1); db != nil {
		for i := range c.batch {
			kernel.Gemm(true, false, c.k, c.n, c.m, 1, a[i*c.strideA:], c.k, dy[i*c.m*c.n:], c.n, g.beta(1), db[i*c.strideB:], c.n)
		}
	}
	return nil
}
