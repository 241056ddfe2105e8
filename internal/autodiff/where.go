package autodiff

import (
	"fmt"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// choose is y = a where the condition is not 0, else b.
type choose struct{ side [3]spread }

func lowerWhere(q *Pass, n *onnx.Node) ([]*value, error) {
	var in [3]*value
	shape := []int{1}
	for i := range in {
		var err error
		if in[i], err = q.float(n, i); err != nil {
			return nil, err
		}
		if shape, err = broadcastShape(shape, in[i].shape); err != nil {
			return nil, fmt.Errorf("autodiff: node %s: %w", nodeName(n), err)
		}
	}
	if in[0].grad != nil {
		return nil, fmt.Errorf("autodiff: node %s: the condition depends on a parameter, which has no gradient", nodeName(n))
	}
	c := &choose{}
	for i := range in {
		var err error
		if c.side[i], err = newSpread(in[i].shape, shape); err != nil {
			return nil, fmt.Errorf("autodiff: node %s: %w", nodeName(n), err)
		}
	}
	o := q.newOp("Where", nodeName(n), c, in[:]...)
	o.keep = in[:1]
	return one(q.add(o, shape...))
}

func (c *choose) forward(o *forward) error {
	cond, a, b, y := o.in[0].f32(), o.in[1].f32(), o.in[2].f32(), o.out.f32()
	kernel.Parallel(len(y), grain, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			if cond[c.side[0].at(i)] != 0 {
				y[i] = a[c.side[1].at(i)]
			} else {
				y[i] = b[c.side[2].at(i)]
			}
		}
	})
	return nil
}

func (c *choose) backward(g *backward) error {
	cond := g.o.in[0].f32()
	g.route(1, c.side[1:], func(i int) int {
		if cond[c.side[0].at(i)] != 0 {
			return 0
		}
		return 1
	})
	return nil
}

// route adds the gradient of every element to that of the operand it was taken
// from: picked numbers those that are spread by sides, of which input first of the
// operation is the first.
func (g *backward) route(first int, sides []spread, picked func(i int) int) {
	dy := g.dy()
	for k, side := range sides {
		dx := g.into(first + k)
		if dx == nil {
			continue
		}
		if g.to[first+k].first {
			clear(dx)
		}
		for i, d := range dy {
			if picked(i) == k {
				dx[side.at(i)] += d
			}
		}
	}
}
