package exec

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// UnsupportedError lists what the executor cannot run.
type UnsupportedError struct {
	// Items are the nodes (operator, domain, name) or types, in graph order.
	Items []string
}

func (e *UnsupportedError) Error() string {
	s := fmt.Sprintf("exec: the model needs %d thing(s) that are not supported:", len(e.Items))
	for _, it := range e.Items {
		s += "\n  " + it
	}
	return s
}

// call is one execution of one node.
type call struct {
	ctx   context.Context
	node  *onnx.Node
	in    []*Tensor // nil where omitted
	out   []*Tensor // set by the operator
	opset int64
	mem   *memory
	prep  any
	// dying tells which inputs nobody reads after this node.
	dying []bool
}

// operator is how one kind of node is run.
type operator struct {
	run func(*call) error
	// prepare runs once, when the session is made, with the constant inputs
	// (nil where not constant); its result is call.prep. May be nil.
	prepare func(*compiler, *step) (any, error)
	// refuse names what about the node is not supported, "" if nothing, so
	// that the session is not made. May be nil.
	refuse func(*onnx.Node) string
	// inputs is how many leading inputs may not be omitted.
	inputs int
}

// arg returns input i, nil where it is omitted.
func (c *call) arg(i int) *Tensor {
	if i < len(c.in) {
		return c.in[i]
	}
	return nil
}

// wants reports whether output i has a name.
func (c *call) wants(i int) bool {
	return i < len(c.node.Outputs) && c.node.Outputs[i] != ""
}

// new returns a buffer that the operator fills: an output, or scratch that it releases.
func (c *call) new(t onnx.DataType, shape ...int) (*Tensor, error) {
	return c.sized(t, shape, c.mem.limit)
}

// made is new for operators that invent elements (Range, Expand, …), which a
// hostile graph can ask for out of nothing; their limit is lower.
func (c *call) made(t onnx.DataType, shape ...int) (*Tensor, error) {
	return c.sized(t, shape, c.mem.limit/4)
}

func (c *call) sized(t onnx.DataType, shape []int, limit int) (*Tensor, error) {
	n, ok := elements(shape)
	if !supported(t) {
		return nil, errType(t)
	}
	if !ok || n > limit/storage(t).Size() {
		return nil, errSize(t, slices.Clone(shape), limit)
	}
	return c.mem.take(t, shape, n), nil
}

// errSize is kept apart so that shapes that fit need not be on the heap.
func errSize(t onnx.DataType, shape []int, limit int) error {
	if _, ok := elements(shape); !ok {
		return fmt.Errorf("cannot make a value of shape %v", shape)
	}
	return fmt.Errorf("a value of shape %v (%s) is over the limit of %d MiB; see Options.MaxBytes", shape, typeName(t), limit>>20)
}

// temp is new that is released by itself after the step.
func (c *call) temp(t onnx.DataType, shape ...int) (*Tensor, error) {
	s, err := c.new(t, shape...)
	if err == nil {
		c.mem.temps = append(c.mem.temps, s)
	}
	return s, err
}

// output makes output i.
func (c *call) output(i int, t onnx.DataType, shape ...int) (*Tensor, error) {
	o, err := c.new(t, shape...)
	if err != nil {
		return nil, err
	}
	c.out[i] = o
	return o, nil
}

// invent is output for operators that make elements out of nothing.
func (c *call) invent(i int, t onnx.DataType, shape ...int) (*Tensor, error) {
	o, err := c.made(t, shape...)
	if err != nil {
		return nil, err
	}
	c.out[i] = o
	return o, nil
}

// view makes output i share t's elements under another shape of the same length.
func (c *call) view(i int, t *Tensor, shape []int) {
	v := c.mem.header(t)
	v.Shape = shape
	if v.mem != nil {
		v.mem.refs++
	}
	c.out[i] = v
}

// newShape is room for a shape of so many dimensions, zero at first; it lasts as
// long as the run.
func (c *call) newShape(rank int) []int { return c.mem.sizes.next(rank) }

// stopped reports whether the run is to end. An operator that takes long asks
// now and then, and may leave its outputs as they are when it is.
func (c *call) stopped() bool { return closed(c.mem.done) }

func closed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// parallel is [kernel.Parallel] that does no more chunks when the run is to end.
func (c *call) parallel(n, grain int, f func(lo, hi int)) {
	kernel.Parallel(n, grain, func(lo, hi int) {
		if !c.stopped() {
			f(lo, hi)
		}
	})
}

// like makes output 0 with the type and shape of input i, in place where
// nobody needs that input any more.
func (c *call) like(i int) (*Tensor, error) {
	t := c.in[i]
	if c.owned(i) {
		c.view(0, t, t.Shape)
		return c.out[0], nil
	}
	return c.output(0, t.Type, t.Shape...)
}

// owned reports whether the buffer of input i may be overwritten.
func (c *call) owned(i int) bool {
	t := c.in[i]
	return c.dying[i] && t.mem != nil && t.mem.refs == 1
}

// floats returns input i, which must be a float32 tensor.
func (c *call) floats(i int) ([]float32, error) {
	t := c.arg(i)
	if t == nil {
		return nil, fmt.Errorf("input %d is missing", i)
	}
	if t.Type != onnx.Float {
		return nil, fmt.Errorf("input %d is %s; only float is supported here: %w", i, typeName(t.Type), ErrType)
	}
	return t.F32, nil
}

// ints returns input i, int64 or int32, as int64.
func (c *call) ints(i int) ([]int64, error) {
	t := c.arg(i)
	if t == nil {
		return nil, fmt.Errorf("input %d is missing", i)
	}
	switch t.Type {
	case onnx.Int64:
		return t.I64, nil
	case onnx.Int32:
		out, err := c.temp(onnx.Int64, len(t.I32))
		if err != nil {
			return nil, err
		}
		for j, v := range t.I32 {
			out.I64[j] = int64(v)
		}
		return out.I64, nil
	}
	if wideInt(t.Type) && t.Type != onnx.Uint64 {
		return t.I64, nil
	}
	return nil, fmt.Errorf("input %d is %s; int64 or int32 is needed", i, typeName(t.Type))
}

// intsOr returns integers given as the attribute (older opsets) or as input i
// (newer); ok is false where neither is there.
func (c *call) intsOr(attr string, i int) (v []int64, ok bool, err error) {
	if a := c.node.Attr(attr); a != nil {
		return a.Ints, true, nil
	}
	if c.arg(i) == nil {
		return nil, false, nil
	}
	v, err = c.ints(i)
	return v, true, err
}

// scalar returns the single element of integer input i, or def where it is omitted.
func (c *call) scalar(i int, def int64) (int64, error) {
	if c.arg(i) == nil {
		return def, nil
	}
	v, err := c.ints(i)
	if err != nil {
		return 0, err
	}
	if len(v) != 1 {
		return 0, fmt.Errorf("input %d has %d elements; one is needed", i, len(v))
	}
	return v[0], nil
}

// word is an attribute that is one of some known words, the first where it is
// absent. Unlike Node.Str it makes no string.
func (c *call) word(name string, known ...string) (string, error) {
	a := c.node.Attr(name)
	if a == nil {
		return known[0], nil
	}
	for _, k := range known {
		if string(a.String) == k {
			return k, nil
		}
	}
	return "", fmt.Errorf("attribute %s is %q; one of %q is needed", name, a.String, slices.Clone(known))
}

// axis normalises an axis that may be negative.
func axis(a int64, rank int) (int, error) {
	if a < -int64(rank) || a >= int64(rank) {
		return 0, fmt.Errorf("axis %d is outside a value of rank %d", a, rank)
	}
	if a < 0 {
		a += int64(rank)
	}
	return int(a), nil
}

// axes normalises a list of axes, sorted, and refuses duplicates.
func axes(list []int64, rank int) ([]int, error) {
	return axesInto(make([]int, len(list)), list, rank)
}

// axes is the same in a slice that lasts as long as the run.
func (c *call) axes(list []int64, rank int) ([]int, error) {
	return axesInto(c.newShape(len(list)), list, rank)
}

func axesInto(out []int, list []int64, rank int) ([]int, error) {
	for i, a := range list {
		v, err := axis(a, rank)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	slices.Sort(out)
	for i := 1; i < len(out); i++ {
		if out[i] == out[i-1] {
			return nil, fmt.Errorf("axis %d is given twice", out[i])
		}
	}
	return out, nil
}

// ErrType marks the error of a node that is known, but not for these element
// types or this variant.
var ErrType = errors.New("not supported")

func errType(t onnx.DataType) error {
	return fmt.Errorf("no implementation for %s: %w", typeName(t), ErrType)
}

func sameShape(a, b []int) bool { return slices.Equal(a, b) }
