package exec

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/litekit/lite/onnx"
)

// lanes is how a tensor is cut along one axis: lane l starts at start(l) and
// has n elements, step apart.
type lanes struct{ count, n, step int }

func lanesOf(shape []int, d int) lanes {
	l := lanes{n: shape[d], step: product(shape[d+1:])}
	l.count = product(shape[:d]) * l.step
	return l
}

func (l lanes) start(i int) int { return i/l.step*l.step*l.n + i%l.step }

// argBest is ArgMax and ArgMin: better(a, b) says that a replaces b.
func argBest(largest bool) func(*call) error {
	return func(c *call) error {
		x := c.in[0]
		d, err := axis(c.node.Int("axis", 0), len(x.Shape))
		if err != nil {
			return err
		}
		if x.Shape[d] == 0 {
			return fmt.Errorf("axis %d of shape %v is empty", d, x.Shape)
		}
		o := c.reduceOver(x.Shape, []int{d}, c.node.Int("keepdims", 1) != 0)
		out, err := c.output(0, onnx.Int64, o.shape...)
		if err != nil {
			return err
		}
		l, last := lanesOf(x.Shape, d), c.node.Int("select_last_index", 0) != 0
		switch x.Type {
		case onnx.Float:
			best(out.I64, x.F32, l, largest, last)
		case onnx.Double:
			best(out.I64, x.F64, l, largest, last)
		case onnx.Int64:
			best(out.I64, x.I64, l, largest, last)
		case onnx.Int32:
			best(out.I64, x.I32, l, largest, last)
		case onnx.Uint8:
			best(out.I64, x.U8, l, largest, last)
		case onnx.Int8:
			best(out.I64, x.I8, l, largest, last)
		default:
			if !wideInt(x.Type) {
				return errType(x.Type)
			}
			best(out.I64, x.orderedInts(), l, largest, last)
		}
		return nil
	}
}

func best[T number](dst []int64, src []T, l lanes, largest, last bool) {
	for i := range dst {
		at := l.start(i)
		top, k := src[at], 0
		for j := 1; j < l.n; j++ {
			v := src[at+j*l.step]
			if largest && v > top || !largest && v < top || last && v == top {
				top, k = v, j
			}
		}
		dst[i] = int64(k)
	}
}

// topK returns the k largest or smallest along an axis, the lower index first
// among equals. The result is always sorted.
func topK(c *call) error {
	x := c.in[0]
	d, err := axis(c.node.Int("axis", -1), len(x.Shape))
	if err != nil {
		return err
	}
	k := c.node.Int("k", -1)
	if c.arg(1) != nil {
		if k, err = c.scalar(1, -1); err != nil {
			return err
		}
	}
	if k < 0 || k > int64(x.Shape[d]) {
		return fmt.Errorf("k is %d; axis %d of shape %v has %d elements", k, d, x.Shape, x.Shape[d])
	}
	shape := slices.Clone(x.Shape)
	shape[d] = int(k)
	values, err := c.output(0, x.Type, shape...)
	if err != nil {
		return err
	}
	index, err := c.new(onnx.Int64, shape...)
	if err != nil {
		return err
	}
	if c.wants(1) {
		c.out[1] = index
	} else {
		defer c.mem.release(index)
	}
	from, to, largest := lanesOf(x.Shape, d), lanesOf(shape, d), c.node.Int("largest", 1) != 0
	switch x.Type {
	case onnx.Float:
		top(values.F32, index.I64, x.F32, from, to, largest)
	case onnx.Double:
		top(values.F64, index.I64, x.F64, from, to, largest)
	case onnx.Int64:
		top(values.I64, index.I64, x.I64, from, to, largest)
	case onnx.Int32:
		top(values.I32, index.I64, x.I32, from, to, largest)
	case onnx.Uint8:
		top(values.U8, index.I64, x.U8, from, to, largest)
	case onnx.Int8:
		top(values.I8, index.I64, x.I8, from, to, largest)
	default:
		if !wideInt(x.Type) {
			return errType(x.Type)
		}
		top(values.I64, index.I64, x.orderedInts(), from, to, largest)
		if x.Type == onnx.Uint64 {
			copy(values.I64, flipSign(values.I64))
		}
	}
	return nil
}

func top[T number](dst []T, index []int64, src []T, from, to lanes, largest bool) {
	order := make([]int, from.n)
	for l := range from.count {
		at := from.start(l)
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int {
			x, y := src[at+a*from.step], src[at+b*from.step]
			if largest {
				return cmp.Compare(y, x)
			}
			return cmp.Compare(x, y)
		})
		if to.n == 0 {
			continue
		}
		out := to.start(l)
		for i, k := range order[:to.n] {
			dst[out+i*to.step] = src[at+k*from.step]
			index[out+i*to.step] = int64(k)
		}
	}
}

func oneHot(c *call) error {
	idx, values := c.in[0], c.in[2]
	depthT, err := c.cast(c.in[1], onnx.Int64)
	if err != nil {
		return err
	}
	defer c.mem.release(depthT)
	if len(depthT.I64) != 1 || depthT.I64[0] < 1 || depthT.I64[0] > int64(c.mem.limit) || values.Len() != 2 {
		return fmt.Errorf("depth %v and %d values; one positive depth and two values are needed", depthT.I64, values.Len())
	}
	ids, err := c.cast(idx, onnx.Int64)
	if err != nil {
		return err
	}
	defer c.mem.release(ids)
	depth := int(depthT.I64[0])
	rank := len(idx.Shape) + 1
	d, err := axis(c.node.Int("axis", -1), rank)
	if err != nil {
		return err
	}
	shape := slices.Insert(slices.Clone(idx.Shape), d, depth)
	out, err := c.invent(0, values.Type, shape...)
	if err != nil {
		return err
	}
	dst, src := out, values
	if n := out.Len(); n > 0 {
		dst.blit(0, src, 0, n, 0)
	}
	l := lanesOf(shape, d)
	for i, v := range ids.I64 {
		if v < 0 {
			v += int64(depth)
		}
		if v >= 0 && v < int64(depth) { // others are all off, says the standard
			dst.blit(l.start(i)+int(v)*l.step, src, 1, 1, 1)
		}
	}
	return nil
}

func nonZero(c *call) error {
	flags, err := c.cast(c.in[0], onnx.Bool)
	if err != nil {
		return err
	}
	defer c.mem.release(flags)
	n := 0
	for _, f := range flags.Bool {
		if f {
			n++
		}
	}
	shape := c.in[0].Shape
	out, err := c.output(0, onnx.Int64, max(len(shape), 1), n)
	if err != nil {
		return err
	}
	k := 0
	for i, f := range flags.Bool {
		if !f {
			continue
		}
		for d := len(shape) - 1; d >= 0; d-- {
			out.I64[d*n+k] = int64(i % shape[d])
			i /= shape[d]
		}
		if len(shape) == 0 {
			out.I64[k] = 0
		}
		k++
	}
	return nil
}
