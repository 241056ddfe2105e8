package autodiff

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/litekit/lite/internal/kernel"
)

// gather takes rows of X by ids: X is [outer, table, n], the result
// [outer, ids…, n]. The gradient adds each row back to where it came from, in
// the order of ids. It serves embeddings, selected rows and picked positions.
type gather struct {
	outer, table, n int
	ids             []int64 // ids of this run, negative ones resolved
	fixed           bool    // the ids are constants
}

// gather adds ONNX Gather on an axis with ids of a data value.
func (q *Pass) gather(label string, x, ids *value, axis int) (*value, error) {
	if ids.dtype != tensor.Int64 && ids.dtype != tensor.Int32 {
		return nil, fmt.Errorf("autodiff: node %s: indices are %v, want integers", label, ids.dtype)
	}
	o, _, err := q.newGather(label, x, axis, ids.size())
	if err != nil {
		return nil, err
	}
	o.in = append(o.in, ids)
	shape := append(append([]int(nil), x.shape[:axis]...), ids.shape...)
	return q.add(o, append(shape, x.shape[axis+1:]...)...)
}

// pick adds ONNX Gather with one constant scalar index: the axis disappears.
func (q *Pass) pick(label string, x *value, axis int, index int64) (*value, error) {
	o, c, err := q.newGather(label, x, axis, 1)
	if err != nil {
		return nil, err
	}
	if index < 0 {
		index += int64(c.table)
	}
	if index < 0 || index >= int64(c.table) {
		return nil, fmt.Errorf("autodiff: node %s: index %d is outside axis %d of %v", label, index, axis, x.shape)
	}
	c.ids[0], c.fixed = index, true
	shape := append([]int(nil), x.shape[:axis]...)
	if shape = append(shape, x.shape[axis+1:]...); len(shape) == 0 {
		shape = []int{1}
	}
	return q.add(o, shape...)
}

func (q *Pass) newGather(label string, x *value, axis, ids int) (*forward, *gather, error) {
	if axis < 0 || axis >= x.rank() {
		return nil, nil, fmt.Errorf("autodiff: node %s: axis %d of a value of shape %v", label, axis, x.shape)
	}
	c := &gather{
		outer: volume(x.shape[:axis]), table: x.shape[axis], n: volume(x.shape[axis+1:]),
		ids: make([]int64, ids),
	}
	return q.newOp("Gather", label, c, x), c, nil
}

func (c *gather) forward(o *forward) error {
	if !c.fixed {
		if err := c.read(o.in[1]); err != nil {
			return err
		}
	}
	x, y := o.in[0].f32(), o.out.f32()
	in, out := c.table*c.n, len(c.ids)*c.n
	for i := range c.outer {
		kernel.GatherRows(y[i*out:(i+1)*out], x[i*in:(i+1)*in], c.n, c.ids)
	}
	return nil
}

// read takes the ids over and checks them.
func (c *gather) read(v *value) (err error) {
	for i := range c.ids {
		if c.ids[i], err = v.index(i, c.table); err != nil {
			return err
		}
	}
	return nil
}

// index is element i of integers as a row of a table, from its end where it is
// negative.
func (v *value) index(i, table int) (int64, error) {
	given := int64(0)
	if v.dtype == tensor.Int32 {
		given = int64(v.i32[i])
	} else {
		given = v.i64[i]
	}
	id := given
	if id < 0 {
		id += int64(table)
	}
	if id < 0 || id >= int64(table) {
		return 0, fmt.Errorf("%s[%d] is %d, outside a table of %d rows", v.label, i, given, table)
	}
	return id, nil
}

func (c *gather) backward(b *backward) error {
	dx, dy := b.into(0), b.dy()
	if b.to[0].first {
		clear(dx)
	}
	b.o.in[0].param.touch(c.ids)
	in, out := c.table*c.n, len(c.ids)*c.n
	for i := range c.outer {
		kernel.ScatterAddRows(dx[i*in:(i+1)*in], dy[i*out:(i+1)*out], c.n, c.ids)
	}
	return nil
}
