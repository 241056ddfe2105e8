package autodiff

import (
	"fmt"
	"slices"

	"github.com/litekit/lite/internal/kernel"
)

// view is its input under another shape; no data moves.
type view struct{}

func (q *Pass) reshape(label string, x *value, shape ...int) (*value, error) {
	if volume(shape) != x.size() {
		return nil, fmt.Errorf("autodiff: node %s: cannot view %v as %v", label, x.shape, shape)
	}
	if slices.Equal(shape, x.shape) {
		return x, nil
	}
	if len(shape) == 0 {
		shape = []int{1} // scalars are kept for losses
	}
	return q.addView(q.newOp("View", label, &view{}, x), shape...)
}

func (*view) passes(int) bool        { return true }
func (*view) forward(*forward) error { return nil }
func (*view) backward(b *backward) error {
	if c := b.to[0]; !c.shared {
		addTo(c, b.dy())
	}
	return nil
}

// region copies a strided part of its input: element i of the result is
// element base + Σ at·strides of the input. It serves Transpose and Slice.
type region struct {
	shape, strides []int
	base           int
	inner          int // length of the contiguous runs
	parts          bool
}

func (q *Pass) region(kind, label string, x *value, base int, shape, strides []int) (*value, error) {
	c := &region{shape: slices.Clone(shape), strides: slices.Clone(strides), base: base, inner: 1}
	for len(c.shape) > 0 && c.strides[len(c.shape)-1] == c.inner {
		c.inner *= c.shape[len(c.shape)-1]
		c.shape, c.strides = c.shape[:len(c.shape)-1], c.strides[:len(c.strides)-1]
	}
	c.parts = volume(shape) != x.size()
	if len(shape) == 0 {
		shape = []int{1}
	}
	return q.add(q.newOp(kind, label, c, x), shape...)
}

func (c *region) forward(o *forward) error {
	x, y := o.in[0].f32(), o.out.f32()
	if len(y) == 0 {
		return nil
	}
	walk(c.shape, c.strides, func(i, off int) {
		copy(y[i*c.inner:(i+1)*c.inner], x[c.base+off:])
	})
	return nil
}

func (c *region) backward(b *backward) error {
	dx, dy, first := b.into(0), b.dy(), b.to[0].first
	if first && c.parts {
		clear(dx)
	}
	if len(dy) == 0 {
		return nil
	}
	walk(c.shape, c.strides, func(i, off int) {
		from, to := dy[i*c.inner:(i+1)*c.inner], dx[c.base+off:]
		if first {
			copy(to, from)
			return
		}
		for j, g := range from {
			to[j] += g
		}
	})
	return nil
}

func denseStrides(shape []int) []int {
	out := make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		out[i] = n
		n *= shape[i]
	}
	return out
}

// transpose permutes the axes.
func (q *Pass) transpose(label string, x *value, perm []int64) (*value, error) {
	shape, strides := make([]int, x.rank()), make([]int, x.rank())
	if perm == nil {
		for i := x.rank() - 1; i >= 0; i-- {
			perm = append(perm, int64(i))
		}
	}
	from := denseStrides(x.shape)
	seen := make([]bool, x.rank())
	if len(perm) != x.rank() {
		return nil, fmt.Errorf("autodiff: node %s: permutation %v of a value of shape %v", label, perm, x.shape)
	}
	for i, p := range perm {
		if p < 0 || int(p) >= x.rank() || seen[p] {
			return nil, fmt.Errorf("autodiff: node %s: permutation %v of a value of shape %v", label, perm, x.shape)
		}
		seen[p] = true
		shape[i], strides[i] = x.shape[p], from[p]
	}
	return q.region("Transpose", label, x, 0, shape, strides)
}

// slice takes start, start+step, … (count elements) along an axis.
func (q *Pass) slice(label string, x *value, axis, start, count, step int) (*value, error) {
	if axis < 0 || axis >= x.rank() || count < 0 || count > 0 && (start < 0 || start >= x.shape[axis] || start+(count-1)*step < 0 || start+(count-1)*step >= x.shape[axis]) {
		return nil, fmt.Errorf("autodiff: node %s: slice of %d from %d by %d on axis %d of %v", label, count, start, step, axis, x.shape)
	}
	if count == x.shape[axis] && step == 1 {
		return x, nil
	}
	strides := denseStrides(x.shape)
	base := start * strides[axis]
	shape := slices.Clone(x.shape)
	shape[axis] = count
	strides[axis] *= step
	return q.region("Slice", label, x, base, shape, strides)
}

// concat joins values along an axis.
type concat struct {
	outer int
	run   []int // contiguous floats of each input
	total int
}

func (q *Pass) concat(label string, axis int, in ...*value) (*value, error) {
	shape := slices.Clone(in[0].shape)
	if axis < 0 || axis >= len(shape) {
		return nil, fmt.Errorf("autodiff: node %s: axis %d of a value of shape %v", label, axis, shape)
	}
	c := &concat{outer: volume(shape[:axis])}
	shape[axis] = 0
	for _, v := range in {
		if v.rank() != len(shape) {
			return nil, fmt.Errorf("autodiff: node %s: cannot join %v and %v", label, in[0].shape, v.shape)
		}
		for d := range shape {
			if d != axis && v.shape[d] != shape[d] {
				return nil, fmt.Errorf("autodiff: node %s: cannot join %v and %v on axis %d", label, in[0].shape, v.shape, axis)
			}
		}
		shape[axis] += v.shape[axis]
		c.run = append(c.run, volume(v.shape[axis:]))
	}
	c.total = volume(shape[axis:])
	return q.add(q.newOp("Concat", label, c, in...), shape...)
}

func (c *concat) forward(o *forward) error {
	y, at := o.out.f32(), 0
	for i, v := range o.in {
		x, n := v.f32(), c.run[i]
		for r := range c.outer {
			copy(y[r*c.total+at:r*c.total+at+n], x[r*n:])
		}
		at += n
	}
	return nil
}

func (c *concat) backward(b *backward) error {
	dy, at := b.dy(), 0
	for i := range b.o.in {
		n := c.run[i]
		if dx := b.into(i); dx != nil {
			for r := range c.outer {
				from, to := dy[r*c.total+at:r*c.total+at+n], dx[r*n:(r+1)*n]
				if b.to[i].first {
					copy(to, from)
				} else {
					kernel.Axpy(1, from, to)
				}
			}
		}
		at += n
	}
	return nil
}

// reduce sums over axes and multiplies by scale: ReduceSum and ReduceMean.
type reduce struct {
	to    spread // how the result is read as the input's shape
	scale float32
}

// reduce adds a sum (or mean) over the given axes.
func (q *Pass) reduce(label string, x *value, axes []int64, keep, mean bool) (*value, error) {
	kept, shape, err := reducedShape(label, x, axes, keep)
	if err != nil {
		return nil, err
	}
	c := &reduce{scale: 1}
	if mean {
		c.scale = 1 / float32(x.size()/max(1, volume(kept)))
	}
	if c.to, err = newSpread(kept, x.shape); err != nil {
		return nil, fmt.Errorf("autodiff: node %s: %w", label, err)
	}
	return q.add(q.newOp("Reduce", label, c, x), shape...)
}

// reducedShape is the shape of a value with 1 for each of the axes (all where none
// are named), kept, and without them where they are not kept, shape.
func reducedShape(label string, x *value, axes []int64, keep bool) (kept, shape []int, err error) {
	kept = slices.Clone(x.shape)
	drop := make([]bool, x.rank())
	for _, a := range axes {
		if a < 0 {
			a += int64(x.rank())
		}
		if a < 0 || int(a) >= x.rank() {
			return nil, nil, fmt.Errorf("autodiff: node %s: axis %d of a value of shape %v", label, a, x.shape)
		}
		drop[a] = true
	}
	for d := range kept {
		if drop[d] || len(axes) == 0 {
			kept[d] = 1
			if !keep {
				continue
			}
		}
		shape = append(shape, kept[d])
	}
	if len(shape) == 0 {
		shape = []int{1}
	}
	return kept, shape, nil
}

func (c *reduce) forward(o *forward) error {
	y := o.out.f32()
	c.to.sum(y, o.in[0].f32(), true)
	kernel.Scale(c.scale, y)
	return nil
}

func (c *reduce) overwrites(int) bool { return true }

func (c *reduce) backward(b *backward) error {
	dx, dy := b.over(0), b.dy()
	kernel.Parallel(len(dx), grain, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			dx[i] = c.scale * dy[c.to.at(i)]
		}
	})
	return nil
}

// expand repeats a value to a larger shape.
type expand struct{ from spread }

func (q *Pass) expand(label string, x *value, shape []int) (*value, error) {
	to, err := broadcastShape(x.shape, shape)
	if err != nil {
		return nil, fmt.Errorf("autodiff: node %s: %w", label, err)
	}
	if slices.Equal(to, x.shape) {
		return x, nil
	}
	c := &expand{}
	if c.from, err = newSpread(x.shape, to); err != nil {
		return nil, fmt.Errorf("autodiff: node %s: %w", label, err)
	}
	return q.add(q.newOp("Expand", label, c, x), to...)
}

func (c *expand) forward(o *forward) error {
	x, y := o.in[0].f32(), o.out.f32()
	kernel.Parallel(len(y), grain, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			y[i] = x[c.from.at(i)]
		}
	})
	return nil
}

func (c *expand) backward(b *backward) error {
	c.from.sum(b.into(0), b.dy(), b.to[0].first)
	return nil
}
