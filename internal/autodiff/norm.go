package autodiff

import (
	"fmt"

	"github.com/litekit/lite/internal/kernel"
)

// layerNorm is Y = LN(X + residual)·γ + β over the last axis.
type layerNorm struct {
	eps            float32
	rows, n        int
	sum            *buffer // X + residual; nil without a residual, when it is X
	mean, rstd     *buffer
	dx             *buffer // where neither X nor residual wants a gradient
	dgamma, dbeta  *buffer // where they are frozen
	residual, kept int     // index of the residual in the inputs, 0 if none; input that dX goes to
}

// layerNorm adds a normalisation; residual may be nil.
func (q *Pass) layerNorm(label string, x, gamma, beta, residual *value, eps float32) (*value, error) {
	n := x.width()
	if gamma.size() != n || beta.size() != n {
		return nil, fmt.Errorf("autodiff: node %s: scale %v and bias %v do not match input %v", label, gamma.shape, beta.shape, x.shape)
	}
	c := &layerNorm{eps: eps, rows: x.rows(), n: n}
	in := []*value{x, gamma, beta}
	if residual != nil {
		if !equalInts(residual.shape, x.shape) {
			var err error
			if x, err = q.binary(label, opAdd, x, residual); err != nil {
				return nil, err
			}
			in[0], residual, c.rows = x, nil, x.rows()
		}
	}
	if residual != nil {
		in, c.residual = append(in, residual), 3
	}
	o := q.newOp("LayerNorm", label, c, in...)
	if residual != nil {
		c.sum = o.save(q, x.size())
	} else {
		o.keep = append(o.keep, x)
	}
	c.mean, c.rstd = o.save(q, c.rows), o.save(q, c.rows)
	o.keep = append(o.keep, gamma)
	temp := func(n int) *buffer {
		b := q.newBuffer(n)
		o.backTemp = append(o.backTemp, b)
		return b
	}
	if x.grad == nil && residual != nil && residual.grad != nil {
		c.kept = c.residual
	} else if x.grad == nil {
		c.dx = temp(x.size())
	}
	if gamma.grad == nil {
		c.dgamma = temp(n)
	}
	if beta.grad == nil {
		c.dbeta = temp(n)
	}
	return q.add(o, x.shape...)
}

func (c *layerNorm) overwrites(i int) bool { return i == c.kept }

func (c *layerNorm) forward(o *forward) error {
	var residual, sum []float32
	if c.residual > 0 {
		residual, sum = o.in[c.residual].f32(), c.sum.data()
	}
	kernel.LayerNorm(o.out.f32(), o.in[0].f32(), residual, o.in[1].f32(), o.in[2].f32(), c.rows, c.n, c.eps, sum, c.mean.data(), c.rstd.data())
	return nil
}

func (c *layerNorm) backward(b *backward) error {
	sum := b.o.in[0].f32()
	if c.sum != nil {
		sum = c.sum.data()
	}
	dx := b.over(c.kept)
	if dx == nil {
		dx = c.dx.data()
	}
	kernel.LayerNormGrad(dx, b.sumInto(1, c.dgamma), b.sumInto(2, c.dbeta), b.dy(), sum, b.o.in[1].f32(), c.mean.data(), c.rstd.data(), c.rows, c.n)
	if r := c.residual; r > 0 && r != c.kept && b.to[r] != nil {
		addTo(b.to[r], dx)
	}
	return nil
}

// sumInto is memory for a kernel that can only add: the adjoint of input i,
// cleared if nothing was written to it, or scratch where none is wanted.
func (b *backward) sumInto(i int, scratch *buffer) []float32 {
	if b.to[i] == nil {
		return scratch.data()
	}
	x := b.into(i)
	if b.to[i].first {
		clear(x)
	}
	return x
}

// softmax is the softmax, or its logarithm, over the last axis.
//
//	softmax: dx = y·(dy − Σ dy·y)   log: dx = dy − exp(y)·Σ dy
type softmax struct {
	log     bool
	rows, n int
}

func (q *Pass) softmax(label string, x *value, log bool) (*value, error) {
	o := q.newOp("Softmax", label, nil, x)
	o.comp = &softmax{log: log, rows: x.rows(), n: x.width()}
	out, err := q.add(o, x.shape...)
	if err == nil {
		o.keep = []*value{out}
	}
	return out, err
}

func (c *softmax) forward(o *forward) error {
	if c.log {
		kernel.LogSoftmaxRows(o.out.f32(), o.in[0].f32(), c.rows, c.n)
	} else {
		kernel.SoftmaxRows(o.out.f32(), o.in[0].f32(), c.rows, c.n)
	}
	return nil
}

func (c *softmax) overwrites(int) bool { return true }

func (c *softmax) backward(b *backward) error {
	y, dy, dx := b.o.out.f32(), b.dy(), b.over(0)
	kernel.Parallel(c.rows, max(1, (1<<13)/max(1, c.n)), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			c.row(dx[r*c.n:(r+1)*c.n], y[r*c.n:(r+1)*c.n], dy[r*c.n:(r+1)*c.n])
		}
	})
	return nil
}

func (c *softmax) row(dx, y, dy []float32) {
	var dot float64
	for j, g := range dy {
		if c.log {
			dot += float64(g)
		} else {
			dot += float64(g) * float64(y[j])
		}
	}
	for j, g := range dy {
		if c.log {
			dx[j] = g - exp32(y[j])*float32(dot)
		} else {
			dx[j] = y[j] * (g - float32(dot))
		}
	}
}
