package autodiff

import (
	"fmt"
	"math"

	"github.com/litekit/lite/internal/kernel"
)

// grain is the number of elements that one task of an elementwise loop takes.
const grain = 1 << 14

type binaryKind int

const (
	opAdd binaryKind = iota
	opSub
	opMul
	opDiv
)

// arithmetic is an elementwise operation of two operands with broadcasting.
type arithmetic struct {
	kind binaryKind
	side [2]spread
	size int
	tmp  *buffer // the gradient in the shape of the result
}

func (q *Pass) binary(label string, kind binaryKind, a, b *value) (*value, error) {
	shape, err := broadcastShape(a.shape, b.shape)
	if err != nil {
		return nil, fmt.Errorf("autodiff: node %s: %w", label, err)
	}
	c := &arithmetic{kind: kind, size: volume(shape)}
	for i, v := range []*value{a, b} {
		if c.side[i], err = newSpread(v.shape, shape); err != nil {
			return nil, fmt.Errorf("autodiff: node %s: %w", label, err)
		}
	}
	o := q.newOp([]string{"Add", "Sub", "Mul", "Div"}[kind], label, c, a, b)
	if kind == opMul || kind == opDiv {
		o.keep = []*value{a, b}
	}
	if o.needsGrad() && kind != opAdd {
		c.tmp = q.newBuffer(c.size)
		o.backTemp = append(o.backTemp, c.tmp)
	}
	return q.add(o, shape...)
}

// passes: a sum hands its gradient on unchanged.
func (c *arithmetic) passes(i int) bool {
	return c.side[i].same() && (c.kind == opAdd || c.kind == opSub && i == 0)
}

func (c *arithmetic) forward(o *forward) error {
	a, b, y := o.in[0].f32(), o.in[1].f32(), o.out.f32()
	sa, sb := &c.side[0], &c.side[1]
	switch {
	case c.kind == opAdd && sa.same() && sb.same():
		kernel.Add(y, a, b)
		return nil
	case c.kind == opAdd && sa.same() && sb.index == nil && sb.n > 1:
		copy(y, a)
		kernel.BiasAct(y, c.size/sb.n, sb.n, b, kernel.ActNone)
		return nil
	}
	kernel.Parallel(c.size, grain, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			x, z := a[sa.at(i)], b[sb.at(i)]
			switch c.kind {
			case opAdd:
				y[i] = x + z
			case opSub:
				y[i] = x - z
			case opMul:
				y[i] = x * z
			case opDiv:
				y[i] = x / z
			}
		}
	})
	return nil
}

func (c *arithmetic) backward(g *backward) error {
	for i := range g.to {
		if g.to[i] == nil || g.to[i].shared {
			continue
		}
		grad := g.dy()
		if c.kind > opSub || c.kind == opSub && i == 1 {
			grad = c.tmp.data()
			c.partial(g, i, grad)
		}
		c.side[i].sum(g.into(i), grad, g.to[i].first)
	}
	return nil
}

// partial computes the gradient of operand i in the shape of the result.
func (c *arithmetic) partial(g *backward, i int, out []float32) {
	a, b, dy := g.o.in[0].f32(), g.o.in[1].f32(), g.dy()
	sa, sb := &c.side[0], &c.side[1]
	kernel.Parallel(c.size, grain, func(lo, hi int) {
		for j := lo; j < hi; j++ {
			switch {
			case c.kind == opSub:
				out[j] = -dy[j]
			case c.kind == opMul && i == 0:
				out[j] = dy[j] * b[sb.at(j)]
			case c.kind == opMul:
				out[j] = dy[j] * a[sa.at(j)]
			case i == 0:
				out[j] = dy[j] / b[sb.at(j)]
			default:
				z := b[sb.at(j)]
				out[j] = -dy[j] * a[sa.at(j)] / (z * z)
			}
		}
	})
}

// activation is y = act(x) for the kernels' activations.
type activation struct{ act kernel.Act }

func (q *Pass) activation(label string, act kernel.Act, x *value) (*value, error) {
	o := q.newOp("Activation", label, &activation{act}, x)
	o.keep = []*value{x}
	return q.add(o, x.shape...)
}

func (c *activation) overwrites(int) bool { return true }

func (c *activation) forward(o *forward) error {
	kernel.Activate(c.act, o.out.f32(), o.in[0].f32())
	return nil
}

func (c *activation) backward(b *backward) error {
	kernel.ActivateGrad(c.act, b.over(0), b.o.in[0].f32(), b.dy())
	return nil
}

// unary is y = f(x) for the functions that have no kernel, with the derivative
// in terms of x and y.
type unary struct {
	name string
	f    func(x float64) float64
	df   func(x, y float64) float64
}

// unaries are the functions by ONNX operator.
func unaries() []unary {
	return []unary{
		{"Sigmoid", func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }, func(_, y float64) float64 { return y * (1 - y) }},
		{"Neg", func(x float64) float64 { return -x }, func(_, _ float64) float64 { return -1 }},
		{"Exp", math.Exp, func(_, y float64) float64 { return y }},
		{"Log", math.Log, func(x, _ float64) float64 { return 1 / x }},
		{"Sqrt", math.Sqrt, func(_, y float64) float64 { return 0.5 / y }},
		{"Abs", math.Abs, func(x, _ float64) float64 { return sign(x) }},
		{"Reciprocal", func(x float64) float64 { return 1 / x }, func(_, y float64) float64 { return -y * y }},
		{"Erf", math.Erf, func(x, _ float64) float64 { return 2 / math.Sqrt(math.Pi) * math.Exp(-x*x) }},
		{"Sin", math.Sin, func(x, _ float64) float64 { return math.Cos(x) }},
		{"Cos", math.Cos, func(x, _ float64) float64 { return -math.Sin(x) }},
		{"Softsign", func(x float64) float64 { return x / (1 + math.Abs(x)) }, func(x, _ float64) float64 { return 1 / ((1 + math.Abs(x)) * (1 + math.Abs(x))) }},
		{"HardSwish", func(x float64) float64 { return x * min(max(x/6+0.5, 0), 1) }, func(x, _ float64) float64 { return pick(x <= -3, 0, pick(x >= 3, 1, x/3+0.5)) }},
		{"Mish", mish, mishSlope},
		{"Softplus", softplus, func(x, _ float64) float64 { return 1 / (1 + math.Exp(-x)) }},
	}
}

// mish is x·tanh(softplus(x)) (Misra, arXiv 1908.08681).
func mish(x float64) float64 { return x * math.Tanh(softplus(x)) }

func mishSlope(x, _ float64) float64 {
	t := math.Tanh(softplus(x))
	return t + x*(1-t*t)/(1+math.Exp(-x))
}

func softplus(x float64) float64 { return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

func exp32(x float32) float32 { return float32(math.Exp(float64(x))) }

func (q *Pass) unary(label string, u unary, x *value) (*value, error) {
	o := q.newOp(u.name, label, &u, x)
	out, err := q.add(o, x.shape...)
	o.keep = []*value{x, out}
	return out, err
}

func (c *unary) overwrites(int) bool { return true }

func (c *unary) forward(o *forward) error {
	x, y := o.in[0].f32(), o.out.f32()
	kernel.Parallel(len(y), grain, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			y[i] = float32(c.f(float64(x[i])))
		}
	})
	return nil
}

func (c *unary) backward(b *backward) error {
	x, y, dy, dx := b.o.in[0].f32(), b.o.out.f32(), b.dy(), b.over(0)
	kernel.Parallel(len(dx), grain, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			dx[i] = dy[i] * float32(c.df(float64(x[i]), float64(y[i])))
		}
	})
	return nil
}
