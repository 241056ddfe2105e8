package autodiff

import (
	"fmt"
	"math"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// shaped are functions of one number that have attributes, by ONNX operator.
func shaped() map[string]func(n *onnx.Node) unary {
	return map[string]func(n *onnx.Node) unary{
		"LeakyRelu": func(n *onnx.Node) unary {
			a := float64(n.Float("alpha", 0.01))
			return unary{f: func(x float64) float64 { return pick(x >= 0, x, a*x) }, df: func(x, _ float64) float64 { return pick(x >= 0, 1, a) }}
		},
		"Elu": func(n *onnx.Node) unary {
			a := float64(n.Float("alpha", 1))
			return unary{f: func(x float64) float64 { return pick(x >= 0, x, a*math.Expm1(x)) }, df: func(x, y float64) float64 { return pick(x >= 0, 1, y+a) }}
		},
		"Selu": func(n *onnx.Node) unary {
			a, g := float64(n.Float("alpha", 1.6732632)), float64(n.Float("gamma", 1.0507010))
			return unary{f: func(x float64) float64 { return g * pick(x > 0, x, a*math.Expm1(x)) }, df: func(x, y float64) float64 { return pick(x > 0, g, y+a*g) }}
		},
		"HardSigmoid": func(n *onnx.Node) unary {
			a, b := float64(n.Float("alpha", 0.2)), float64(n.Float("beta", 0.5))
			return unary{f: func(x float64) float64 { return min(max(a*x+b, 0), 1) }, df: func(x, _ float64) float64 { return pick(a*x+b > 0 && a*x+b < 1, a, 0) }}
		},
		"Swish": func(n *onnx.Node) unary {
			a := float64(n.Float("alpha", 1))
			s := func(x float64) float64 { return 1 / (1 + math.Exp(-a*x)) }
			return unary{f: func(x float64) float64 { return x * s(x) }, df: func(x, y float64) float64 { return s(x) + a*y*(1-s(x)) }}
		},
	}
}

// pick is a where ok, else b.
func pick(ok bool, a, b float64) float64 {
	if ok {
		return a
	}
	return b
}

func lowerShaped(make func(n *onnx.Node) unary) lowering {
	return func(q *Pass, n *onnx.Node) ([]*value, error) {
		x, err := q.float(n, 0)
		if err != nil {
			return nil, err
		}
		u := make(n)
		u.name = n.Op
		return one(q.unary(nodeName(n), u, x))
	}
}

// lowerClip bounds a value by constants: attributes before operator set 11,
// inputs after. The gradient is 0 outside the bounds.
func lowerClip(q *Pass, n *onnx.Node) ([]*value, error) {
	x, err := q.float(n, 0)
	if err != nil {
		return nil, err
	}
	lo, hi := float64(n.Float("min", -math.MaxFloat32)), float64(n.Float("max", math.MaxFloat32))
	for i, bound := range []*float64{&lo, &hi} {
		if len(n.Inputs) <= i+1 || n.Inputs[i+1] == "" {
			continue
		}
		t := q.program.consts[n.Inputs[i+1]]
		if t == nil || t.Len() != 1 {
			return nil, fmt.Errorf("autodiff: node %s: no gradient for a Clip whose bounds are not constants", nodeName(n))
		}
		f, err := t.Floats()
		if err != nil {
			return nil, fmt.Errorf("autodiff: node %s: bound: %w", nodeName(n), err)
		}
		*bound = float64(f[0])
	}
	return one(q.unary(nodeName(n), unary{
		name: "Clip",
		f:    func(x float64) float64 { return min(max(x, lo), hi) },
		df:   func(x, _ float64) float64 { return pick(x >= lo && x <= hi, 1, 0) },
	}, x))
}

// lowerExtreme is the greatest, or with sign −1 the least, of several values.
func lowerExtreme(sign float32) lowering {
	return func(q *Pass, n *onnx.Node) ([]*value, error) {
		y, err := q.float(n, 0)
		for i := 1; i < len(n.Inputs) && err == nil; i++ {
			var x *value
			if x, err = q.float(n, i); err == nil {
				y, err = q.extreme(nodeName(n), sign, y, x)
			}
		}
		return one(y, err)
	}
}

// extreme is the greater of two values (sign 1) or the lesser (sign −1),
// elementwise with broadcasting. Where both are equal the first has the gradient.
type extreme struct {
	sign float32
	side [2]spread
}

func (q *Pass) extreme(label string, sign float32, a, b *value) (*value, error) {
	shape, err := broadcastShape(a.shape, b.shape)
	if err != nil {
		return nil, fmt.Errorf("autodiff: node %s: %w", label, err)
	}
	c := &extreme{sign: sign}
	for i, v := range []*value{a, b} {
		if c.side[i], err = newSpread(v.shape, shape); err != nil {
			return nil, fmt.Errorf("autodiff: node %s: %w", label, err)
		}
	}
	o := q.newOp("Extreme", label, c, a, b)
	o.keep = []*value{a, b}
	return q.add(o, shape...)
}

// first tells whether the first of two values is taken; one that is no number is.
func (c *extreme) first(a, b float32) bool { return c.sign*a >= c.sign*b || a != a }

func (c *extreme) forward(o *forward) error {
	a, b, y := o.in[0].f32(), o.in[1].f32(), o.out.f32()
	kernel.Parallel(len(y), grain, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			y[i] = b[c.side[1].at(i)]
			if x := a[c.side[0].at(i)]; c.first(x, y[i]) {
				y[i] = x
			}
		}
	})
	return nil
}

func (c *extreme) backward(g *backward) error {
	a, b := g.o.in[0].f32(), g.o.in[1].f32()
	g.route(0, c.side[:], func(i int) int {
		if c.first(a[c.side[0].at(i)], b[c.side[1].at(i)]) {
			return 0
		}
		return 1
	})
	return nil
}

// lowerReduceL2 is the root of a sum of squares, by which vectors are
// normalised. Where that is 0, so is the gradient.
func lowerReduceL2(q *Pass, n *onnx.Node) ([]*value, error) {
	x, axes, err := q.reduced(n)
	if err != nil {
		return nil, err
	}
	label := nodeName(n)
	x, err = q.unary(label, unary{"Square", func(x float64) float64 { return x * x }, func(x, _ float64) float64 { return 2 * x }}, x)
	if err == nil {
		x, err = q.reduce(label, x, axes, n.Int("keepdims", 1) != 0, false)
	}
	if err == nil {
		x, err = q.unary(label, unary{"Root", math.Sqrt, func(_, y float64) float64 { return pick(y > 0, 0.5/y, 0) }}, x)
	}
	return one(x, err)
}

// lowerReduceExtreme is the greatest element over axes, or with sign −1 the least.
func lowerReduceExtreme(sign float32) lowering {
	return func(q *Pass, n *onnx.Node) ([]*value, error) {
		x, axes, err := q.reduced(n)
		if err != nil {
			return nil, err
		}
		kept, shape, err := reducedShape(nodeName(n), x, axes, n.Int("keepdims", 1) != 0)
		if err != nil {
			return nil, err
		}
		c := &pool{extreme: extreme{sign: sign}}
		if c.to, err = newSpread(kept, x.shape); err != nil {
			return nil, fmt.Errorf("autodiff: node %s: %w", nodeName(n), err)
		}
		o := q.newOp("Pool", nodeName(n), c, x)
		o.keep = []*value{x}
		return one(q.add(o, shape...))
	}
}

// reduced reads the input and the axes of a reduction.
func (q *Pass) reduced(n *onnx.Node) (*value, []int64, error) {
	x, err := q.float(n, 0)
	if err != nil {
		return nil, nil, err
	}
	axes, err := q.listed(n, 1, "axes")
	if err == nil && len(axes) == 0 && n.Int("noop_with_empty_axes", 0) != 0 {
		err = fmt.Errorf("autodiff: node %s: no gradient for a %s over no axis", nodeName(n), n.Op)
	}
	return x, axes, err
}

// pool takes the greatest element over axes. The first of equal ones has the
// gradient.
type pool struct {
	extreme
	to spread // how the result is read as the input's shape
}

// winners are the places of the elements that are taken.
func (c *pool) winners(x []float32) []int {
	at := make([]int, c.to.n)
	for i := range at {
		at[i] = -1
	}
	for i, v := range x {
		if j := c.to.at(i); at[j] < 0 || !c.first(x[at[j]], v) {
			at[j] = i
		}
	}
	return at
}

func (c *pool) forward(o *forward) error {
	x, y := o.in[0].f32(), o.out.f32()
	for j, i := range c.winners(x) {
		if i >= 0 {
			y[j] = x[i]
		}
	}
	return nil
}

func (c *pool) backward(b *backward) error {
	dx, dy := b.into(0), b.dy()
	if b.to[0].first {
		clear(dx)
	}
	for j, i := range c.winners(b.o.in[0].f32()) {
		if i >= 0 {
			dx[i] += dy[j]
		}
	}
	return nil
}
