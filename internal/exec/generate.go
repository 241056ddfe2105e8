package exec

import (
	"fmt"
	"slices"

	"github.com/litekit/lite/onnx"
)

func constantOfShape(c *call) error {
	dims, err := c.ints(0)
	if err != nil {
		return err
	}
	shape := c.newShape(len(dims))
	for i, d := range dims {
		shape[i] = int(d)
	}
	value, ok := c.prep.(*Tensor)
	if !ok { // not prepared: run to fold a constant
		if value, err = filler(c.node); err != nil {
			return err
		}
	}
	out, err := c.invent(0, value.Type, shape...)
	if err != nil {
		return err
	}
	if n := out.Len(); n > 0 {
		out.blit(0, value, 0, n, 0)
	}
	return nil
}

// filler is what ConstantOfShape fills with.
func filler(n *onnx.Node) (*Tensor, error) {
	a := n.Attr("value")
	if a == nil || a.Tensor == nil {
		return Floats([]float32{0}, 1), nil
	}
	value, err := FromONNX(a.Tensor)
	if err == nil && value.dataLen() != 1 {
		err = fmt.Errorf("attribute value has %d elements; one is needed", value.dataLen())
	}
	return value, err
}

// prepareFiller reads the filler once; what is wrong with it is the run's to say.
func prepareFiller(_ *compiler, st *step) (any, error) {
	if v, err := filler(st.node); err == nil {
		return v, nil
	}
	return nil, nil
}

// constant is a Constant node in any of its spellings.
func constant(c *call) error {
	for _, a := range c.node.Attrs {
		switch a.Name {
		case "value":
			if a.Tensor == nil {
				return fmt.Errorf("attribute value is empty")
			}
			t, err := FromONNX(a.Tensor)
			c.out[0] = t
			return err
		case "value_float":
			c.out[0] = Floats([]float32{a.Float})
			return nil
		case "value_floats":
			c.out[0] = Floats(slices.Clone(a.Floats), len(a.Floats))
			return nil
		case "value_int":
			c.out[0] = Int64s([]int64{a.Int})
			return nil
		case "value_ints":
			c.out[0] = Int64s(slices.Clone(a.Ints), len(a.Ints))
			return nil
		}
	}
	return fmt.Errorf("a constant without a tensor or number: %w", ErrType)
}

// pad adds a border (or removes one: negative pads): constant, or the edge, the
// mirror image or (opset 19) the other side of what is left of the value.
func pad(c *call) error {
	x := c.in[0]
	mode := c.node.Str("mode", "constant")
	if !slices.Contains([]string{"constant", "edge", "reflect", "wrap"}, mode) {
		return fmt.Errorf("attribute mode is %q; constant, edge, reflect or wrap is needed", mode)
	}
	pads, _, err := c.intsOr("pads", 1)
	if err != nil {
		return err
	}
	rank := len(x.Shape)
	before, after := make([]int, rank), make([]int, rank)
	ax := make([]int, rank)
	for i := range ax {
		ax[i] = i
	}
	if c.arg(3) != nil {
		list, err := c.ints(3)
		if err != nil {
			return err
		}
		if _, err := axes(list, rank); err != nil {
			return err
		}
		ax = ax[:0]
		for _, a := range list {
			d, _ := axis(a, rank)
			ax = append(ax, d)
		}
	}
	if len(pads) != 2*len(ax) {
		return fmt.Errorf("%d pads for %d axes of shape %v", len(pads), len(ax), x.Shape)
	}
	for i, d := range ax {
		before[d], after[d] = int(pads[i]), int(pads[len(ax)+i])
	}
	shape, core := make([]int, rank), make([]int, rank)
	from, at := 0, 0
	for d, s := range strides(x.Shape) {
		// before and after may be any 64-bit number; each is checked against the
		// limit on values before they are added.
		if max(before[d], after[d]) > c.mem.limit || min(before[d], after[d]) < -x.Shape[d] {
			return fmt.Errorf("pads %v do not fit shape %v", pads, x.Shape)
		}
		shape[d] = x.Shape[d] + before[d] + after[d]
		core[d] = x.Shape[d] + min(before[d], 0) + min(after[d], 0)
		if shape[d] < 0 || core[d] < 0 {
			return fmt.Errorf("pads %v do not fit shape %v", pads, x.Shape)
		}
		from += max(0, -before[d]) * s
	}
	out, err := c.invent(0, x.Type, shape...)
	if err != nil {
		return err
	}
	if mode != "constant" {
		return c.padMapped(mode, out, x, from, core, before, after)
	}
	value := zeroOf(x.Type)
	if v := c.arg(2); v != nil {
		if v.Type != x.Type || v.Len() != 1 {
			return fmt.Errorf("the padding value is %s %v; a scalar %s is needed", typeName(v.Type), v.Shape, typeName(x.Type))
		}
		value = v
	} else if v := c.node.Float("value", 0); v != 0 && x.Type == onnx.Float {
		value = Floats([]float32{v})
	}
	dst := out
	if n := out.Len(); n > 0 {
		dst.blit(0, value, 0, n, 0)
	}
	if product(core) == 0 {
		return nil
	}
	for d, s := range strides(shape) {
		at += max(0, before[d]) * s
	}
	placeStrided(dst, at, strides(shape), x, from, strides(x.Shape), core)
	return nil
}

// placeStrided copies a box between two tensors with strides of their own.
func placeStrided(dst *Tensor, at int, to []int, src *Tensor, from int, own, shape []int) {
	last := len(shape) - 1
	if last < 0 {
		dst.blit(at, src, from, 1, 1)
		return
	}
	rows := product(shape[:last])
	walkStrided(shape[:last], to[:last], 0, rows, func(i, offset int) {
		src0 := from
		for d := last - 1; d >= 0; d-- {
			src0 += i % shape[d] * own[d]
			i /= shape[d]
		}
		dst.blit(at+offset, src, src0, shape[last], 1)
	})
}

// zeroOf is a scalar zero, only to be read.
func zeroOf(t onnx.DataType) *Tensor {
	if t == onnx.Float {
		return zeroFloat
	}
	return newZero(t)
}

var zeroFloat = newZero(onnx.Float)

func newZero(t onnx.DataType) *Tensor {
	return &Tensor{Type: t, F32: []float32{0}, F64: []float64{0}, I64: []int64{0}, I32: []int32{0}, U8: []uint8{0}, I8: []int8{0}, Bool: []bool{false}}
}

// rangeOf counts from start to limit by delta.
func rangeOf(c *call) error {
	t := c.in[0].Type
	for i, x := range c.in[:3] {
		if x == nil || x.Type != t || x.Len() != 1 {
			return fmt.Errorf("input %d is not a scalar of type %s", i, typeName(t))
		}
	}
	switch t {
	case onnx.Float:
		return countReal[float32](c)
	case onnx.Double:
		return countReal[float64](c)
	case onnx.Int64:
		return count[int64](c)
	case onnx.Int32:
		return count[int32](c)
	}
	return errType(t)
}

func count[T int64 | int32](c *call) error {
	start, limit, delta := data[T](c.in[0])[0], data[T](c.in[1])[0], data[T](c.in[2])[0]
	if delta == 0 {
		return fmt.Errorf("delta is 0")
	}
	n := uint64(0)
	switch {
	case delta > 0 && limit > start:
		n = (uint64(limit)-uint64(start)-1)/uint64(delta) + 1
	case delta < 0 && limit < start:
		n = (uint64(start)-uint64(limit)-1)/(-uint64(delta)) + 1
	}
	if n > uint64(c.mem.limit) {
		return fmt.Errorf("from %d to %d by %d is too many elements", start, limit, delta)
	}
	out, err := c.invent(0, c.in[0].Type, int(n))
	if err != nil {
		return err
	}
	for i, y := 0, data[T](out); i < len(y); i++ {
		y[i] = start + T(i)*delta
	}
	return nil
}

func countReal[T float32 | float64](c *call) error {
	start, limit, delta := float64(data[T](c.in[0])[0]), float64(data[T](c.in[1])[0]), float64(data[T](c.in[2])[0])
	n := (limit - start) / delta
	if !(n < float64(c.mem.limit)) {
		return fmt.Errorf("from %g to %g by %g is too many elements", start, limit, delta)
	}
	k := 0
	if n > 0 {
		k = int(n)
		if float64(k) < n {
			k++
		}
	}
	out, err := c.invent(0, c.in[0].Type, k)
	if err != nil {
		return err
	}
	for i, y := 0, data[T](out); i < len(y); i++ {
		y[i] = T(start + float64(i)*delta)
	}
	return nil
}

// trilu keeps the upper or lower triangle of the last two dimensions.
func trilu(c *call) error {
	x := c.in[0]
	k, err := c.scalar(1, 0)
	if err != nil {
		return err
	}
	rank := len(x.Shape)
	if rank < 2 {
		return fmt.Errorf("shape %v has fewer than two dimensions", x.Shape)
	}
	out, err := c.output(0, x.Type, x.Shape...)
	if err != nil {
		return err
	}
	if out.Len() == 0 {
		return nil
	}
	rows, cols := x.Shape[rank-2], x.Shape[rank-1]
	k = min(max(k, -int64(rows)), int64(cols))
	upper := c.node.Int("upper", 1) != 0
	dst, src, zero := out, x, zeroOf(x.Type)
	for r := range out.Len() / cols {
		// Elements before cut are below the diagonal.
		cut := min(max(r%rows+int(k), 0), cols)
		if !upper {
			cut = min(max(r%rows+int(k)+1, 0), cols)
			dst.blit(r*cols, src, r*cols, cut, 1)
			dst.blit(r*cols+cut, zero, 0, cols-cut, 0)
			continue
		}
		dst.blit(r*cols, zero, 0, cut, 0)
		dst.blit(r*cols+cut, src, r*cols+cut, cols-cut, 1)
	}
	return nil
}
