package autodiff

import (
	"errors"
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/litekit/lite/internal/kernel"
)

// loss is what all losses share: rows of n numbers, and the factor by which
// their sum is divided to make a mean.
type loss struct {
	rows, n int
	scale   float64
}

// passOf finds the pass that a node belongs to.
func passOf(n *gorgonia.Node) (*Pass, error) {
	if n == nil || n.Graph() == nil {
		return nil, errors.New("autodiff: a loss of no node")
	}
	for _, m := range n.Graph().AllNodes() {
		if op, ok := m.Op().(own); ok {
			return op.meta().pass, nil
		}
	}
	return nil, fmt.Errorf("autodiff: node %v is not from a Pass; take values from Pass.Output", n)
}

// read is the value of a node for a loss. Nodes of Gorgonia's own operators
// become foreign values.
func (q *Pass) read(n *gorgonia.Node) (*value, error) {
	if n == nil || n.Graph() != q.graph {
		return nil, fmt.Errorf("autodiff: node %v is not of this pass", n)
	}
	if v := q.values[n]; v != nil {
		return v, nil
	}
	v := &value{pass: q, label: n.Name(), node: n, shape: append([]int(nil), n.Shape()...), dtype: n.Dtype(), foreign: true}
	if v.dtype != tensor.Float32 {
		return nil, fmt.Errorf("autodiff: node %v is %v; losses read float32", n, v.dtype)
	}
	if len(q.reached(n)) > 0 {
		v.grad = &adjoint{of: v}
	}
	return v, nil
}

// constant is the value without its gradient.
func (v *value) constant() *value {
	c := *v
	c.grad = nil
	if !v.foreign {
		c.base = v
	}
	return &c
}

// addLoss adds a loss of x, whose other inputs are constants to it. Their
// sizes are checked against want, the rows or the elements of x.
func (q *Pass) addLoss(name string, comp computation, x *value, others []*value, want []int) (*forward, *gorgonia.Node, error) {
	in := []*value{x}
	for i, v := range others {
		if v == nil {
			continue
		}
		if v.size() != want[i] {
			return nil, nil, fmt.Errorf("autodiff: %s: input %d has shape %v; %v of %s wants %d elements", name, i+1, v.shape, x.shape, x.label, want[i])
		}
		in = append(in, v.constant())
	}
	o := q.newOp(name, x.label, comp, in...)
	out, err := q.add(o)
	if err != nil {
		return nil, nil, err
	}
	return o, out.node, nil
}

// prepare reads the nodes of a loss; the second may be a target and the third a
// weight, each nil.
func prepare(name string, nodes ...*gorgonia.Node) (*Pass, []*value, error) {
	q, err := passOf(nodes[0])
	if err != nil {
		return nil, nil, err
	}
	out := make([]*value, len(nodes))
	for i, n := range nodes {
		if n == nil && i > 0 {
			continue
		}
		if out[i], err = q.read(n); err != nil {
			return nil, nil, fmt.Errorf("%w (input %d of %s)", err, i, name)
		}
	}
	x := out[0]
	if x.isScalar() || x.dtype != tensor.Float32 {
		return nil, nil, fmt.Errorf("autodiff: %s of a value of type %v %v; want float32 with at least one axis", name, x.dtype, x.shape)
	}
	return q, out, nil
}

// weights reads the row weights and their sum; without weights all are 1.
func (c *loss) weights(v *value) (w []float32, total float64, err error) {
	if v == nil {
		return nil, float64(c.rows), nil
	}
	w = v.f32()
	for r, x := range w {
		if !(x >= 0) {
			return nil, 0, &RowError{r, fmt.Sprintf("weight %v; want a number ≥ 0", x)}
		}
		total += float64(x)
	}
	return w, total, nil
}

// finish sets the loss to factor·sum/total.
func (c *loss) finish(o *forward, sum, factor, total float64) {
	c.scale = 0
	if total > 0 {
		c.scale = factor / total
	}
	*o.out.scalar = gorgonia.F32(sum * c.scale)
}

// MSE adds the mean over rows, weighted where weight (one number per row) is
// given, of the mean over the last axis of (x − target)². No gradient flows to
// target or weight.
func MSE(x, target *gorgonia.Node, weight *gorgonia.Node) (*gorgonia.Node, error) {
	return rowLoss("MSE", x, target, weight, squaredError)
}

// Cosine adds the mean over rows, weighted where weight is given, of
// 1 − cos(x, target) along the last axis (the hidden state loss of Sanh et al.
// 2019, section 2). A row of zeros has cosine 0. No gradient flows to target or
// weight.
func Cosine(x, target *gorgonia.Node, weight *gorgonia.Node) (*gorgonia.Node, error) {
	return rowLoss("Cosine", x, target, weight, cosineDistance)
}

func rowLoss(name string, x, target, weight *gorgonia.Node, row func(x, t, g []float32, w float64) float64) (*gorgonia.Node, error) {
	if target == nil {
		return nil, fmt.Errorf("autodiff: %s without a target", name)
	}
	q, v, err := prepare(name, x, target, weight)
	if err != nil {
		return nil, err
	}
	if err := q.alike(v[0], v[1:]); err != nil {
		return nil, err
	}
	c := &rowwise{loss: loss{rows: v[0].rows(), n: v[0].width()}, row: row}
	c.sums = make([]float64, c.rows)
	o, node, err := q.addLoss(name, c, v[0], v[1:], []int{v[0].size(), c.rows})
	if err == nil && v[0].grad != nil {
		c.grad = o.save(q, v[0].size())
	}
	return node, err
}

// rowwise is a loss that is a weighted mean of a function of each row. Its
// gradient is made by forward, up to the factor scale.
type rowwise struct {
	loss
	grad *buffer
	// row returns the function's value and sets g, if not nil, to w times its gradient.
	row  func(x, t, g []float32, w float64) float64
	sums []float64
}

// gift offers the gradient's buffer as the adjoint.
func (c *rowwise) gift() *buffer { return c.grad }

// backward scales the gradient that forward computed.
func (c *rowwise) backward(b *backward) error {
	scale := float32(c.scale * float64(b.seed))
	if b.to[0].shared {
		kernel.Scale(scale, c.grad.data())
		return nil
	}
	kernel.Axpy(scale, c.grad.data(), b.into(0))
	return nil
}

func (c *rowwise) forward(o *forward) error {
	var weight *value
	if len(o.in) > 2 {
		weight = o.in[2]
	}
	w, total, err := c.weights(weight)
	if err != nil {
		return err
	}
	x, t, g := o.in[0].f32(), o.in[1].f32(), c.grad.data()
	kernel.Parallel(c.rows, max(1, grain/max(1, c.n)), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			i, j, wr := r*c.n, (r+1)*c.n, 1.0
			if w != nil {
				wr = float64(w[r])
			}
			var gr []float32
			if g != nil {
				gr = g[i:j]
			}
			if wr == 0 {
				clear(gr)
				c.sums[r] = 0
				continue
			}
			c.sums[r] = wr * c.row(x[i:j], t[i:j], gr, wr)
		}
	})
	sum := 0.0
	for _, s := range c.sums {
		sum += s
	}
	c.finish(o, sum, 1, total)
	return nil
}

func squaredError(x, t, g []float32, w float64) float64 {
	sum, c := 0.0, 2*w/float64(len(x))
	for j := range x {
		d := float64(x[j]) - float64(t[j])
		sum += d * d
		if g != nil {
			g[j] = float32(c * d)
		}
	}
	return sum / float64(max(1, len(x)))
}

func cosineDistance(x, t, g []float32, w float64) float64 {
	var xx, tt, xt float64
	for j := range x {
		a, b := float64(x[j]), float64(t[j])
		xx, tt, xt = xx+a*a, tt+b*b, xt+a*b
	}
	if xx == 0 || tt == 0 {
		clear(g)
		return 1
	}
	norm := math.Sqrt(xx) * math.Sqrt(tt)
	cos := xt / norm
	for j := range g {
		g[j] = float32(-w * (float64(t[j])/norm - cos*float64(x[j])/xx))
	}
	return 1 - cos
}
