package exec

import (
	"fmt"
	"slices"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// indices returns integer input i with every element brought into 0 ≤ v < dim.
func (c *call) indices(i, dim int) ([]int64, error) {
	raw, err := c.ints(i)
	if err != nil {
		return nil, err
	}
	copied := false
	for k, v := range raw {
		if v < -int64(dim) || v >= int64(dim) {
			return nil, fmt.Errorf("index %d (element %d) is outside the dimension of %d", v, k, dim)
		}
		if v < 0 {
			if !copied {
				own, err := c.temp(onnx.Int64, len(raw))
				if err != nil {
					return nil, err
				}
				copy(own.I64, raw)
				raw, copied = own.I64, true
			}
			raw[k] = v + int64(dim)
		}
	}
	return raw, nil
}

func gather(c *call) error {
	x := c.in[0]
	d, err := axis(c.node.Int("axis", 0), len(x.Shape))
	if err != nil {
		return err
	}
	ids, err := c.indices(1, x.Shape[d])
	if err != nil {
		return err
	}
	shape := c.newShape(len(x.Shape) + len(c.in[1].Shape) - 1)[:0]
	shape = append(append(append(shape, x.Shape[:d]...), c.in[1].Shape...), x.Shape[d+1:]...)
	out, err := c.output(0, x.Type, shape...)
	if err != nil {
		return err
	}
	inner, outer := product(x.Shape[d+1:]), product(x.Shape[:d])
	if inner == 0 {
		return nil
	}
	t := borrow[gatherTask]()
	*t = gatherTask{dst: out, src: x, ids: ids, dim: x.Shape[d], inner: inner}
	kernel.Run(outer*len(ids), max(1, grain/inner), t)
	giveBack(t)
	return nil
}

// gatherTask copies the blocks of inner elements that ids name.
type gatherTask struct {
	dst, src   *Tensor
	ids        []int64
	dim, inner int
}

func (t *gatherTask) Run(lo, hi int) {
	n := len(t.ids)
	for r := lo; r < hi; r++ {
		t.dst.blit(r*t.inner, t.src, (r/n*t.dim+int(t.ids[r%n]))*t.inner, t.inner, 1)
	}
}

// gatherBytes takes rows of an int8 table [V,n], each times its scale [V,1].
func gatherBytes(c *call) error {
	table, scale := c.in[0], c.in[1]
	if table.Type != onnx.Int8 || scale.Type != onnx.Float || len(table.Shape) != 2 || scale.Len() != table.Shape[0] {
		return fmt.Errorf("a table of %s %v and scales of %s %v; int8 rows and a float for each are needed", typeName(table.Type), table.Shape, typeName(scale.Type), scale.Shape)
	}
	n := table.Shape[1]
	ids, err := c.indices(2, table.Shape[0])
	if err != nil {
		return err
	}
	out, err := c.output(0, onnx.Float, append(append(c.newShape(len(c.in[2].Shape) + 1)[:0], c.in[2].Shape...), n)...)
	if err != nil {
		return err
	}
	kernel.GatherBytes(out.F32, table.I8, scale.F32, n, ids)
	return nil
}

func gatherElements(c *call) error {
	x, idx := c.in[0], c.in[1]
	d, err := axis(c.node.Int("axis", 0), len(x.Shape))
	if err != nil {
		return err
	}
	if err := within(idx.Shape, x.Shape, d); err != nil {
		return err
	}
	ids, err := c.indices(1, x.Shape[d])
	if err != nil {
		return err
	}
	out, err := c.output(0, x.Type, idx.Shape...)
	if err != nil {
		return err
	}
	dst, src := out, x
	elementwise(idx.Shape, x.Shape, d, func(i, base, step int) { dst.blit(i, src, base+int(ids[i])*step, 1, 1) })
	return nil
}

// within checks that indices of GatherElements or ScatterElements stay inside
// the data on every axis but d.
func within(idx, shape []int, d int) error {
	if len(idx) != len(shape) {
		return fmt.Errorf("indices of shape %v for a value of shape %v", idx, shape)
	}
	for i := range idx {
		if i != d && idx[i] > shape[i] {
			return fmt.Errorf("indices of shape %v are larger than the value's %v", idx, shape)
		}
	}
	return nil
}

// elementwise visits every index position: its number, the offset in the data
// without axis d, and the data's stride along d.
func elementwise(idx, shape []int, d int, f func(i, base, step int)) {
	own := strides(shape)
	step := own[d]
	own[d] = 0
	walkStrided(idx, own, 0, product(idx), func(i, base int) { f(i, base, step) })
}

func scatterElements(c *call) error {
	x, idx, up := c.in[0], c.in[1], c.in[2]
	d, err := axis(c.node.Int("axis", 0), len(x.Shape))
	if err != nil {
		return err
	}
	if err := within(idx.Shape, x.Shape, d); err != nil {
		return err
	}
	if up.Type != x.Type || !sameShape(up.Shape, idx.Shape) {
		return fmt.Errorf("updates are %s %v; %s %v is needed", typeName(up.Type), up.Shape, typeName(x.Type), idx.Shape)
	}
	ids, err := c.indices(1, x.Shape[d])
	if err != nil {
		return err
	}
	out, err := c.copyOf(x)
	if err != nil {
		return err
	}
	put, err := scatterer(c, out, up)
	if err != nil {
		return err
	}
	elementwise(idx.Shape, x.Shape, d, func(i, base, step int) { put(base+int(ids[i])*step, i, 1) })
	return nil
}

// copyOf makes output 0 a copy of x.
func (c *call) copyOf(x *Tensor) (*Tensor, error) {
	out, err := c.output(0, x.Type, x.Shape...)
	if err != nil {
		return nil, err
	}
	out.blit(0, x, 0, x.Len(), 1)
	return out, nil
}

// scatterer returns a function that writes n updates from position i to
// position at, combined as attribute reduction says.
func scatterer(c *call, out, up *Tensor) (func(at, i, n int), error) {
	var op binaryOp
	switch r := c.node.Str("reduction", "none"); r {
	case "none":
		dst, src := out, up
		return func(at, i, n int) { dst.blit(at, src, i, n, 1) }, nil
	case "add":
		op = addOp()
	case "mul":
		op = mulOp()
	case "max":
		op = maxOp()
	case "min":
		op = minOp()
	default:
		return nil, fmt.Errorf("reduction %q is unknown", r)
	}
	switch out.Type {
	case onnx.Float:
		return combine(op.f32, out.F32, up.F32), nil
	case onnx.Double:
		return combine(op.f64, out.F64, up.F64), nil
	case onnx.Int64:
		return combine(op.i64, out.I64, up.I64), nil
	case onnx.Int32:
		return combine(op.i32, out.I32, up.I32), nil
	case onnx.Uint8:
		return combine(op.u8, out.U8, up.U8), nil
	case onnx.Int8:
		return combine(op.i8, out.I8, up.I8), nil
	case onnx.Uint16, onnx.Int16, onnx.Uint32:
		put, bits, signed := combine(op.i64, out.I64, up.I64), uint(out.Type.Bits()), out.Type == onnx.Int16
		return func(at, i, n int) {
			put(at, i, n)
			for k := at; k < at+n; k++ {
				out.I64[k] = wrapInt(out.I64[k], bits, signed)
			}
		}, nil
	}
	return nil, errType(out.Type)
}

func combine[T number](f row[T, T], dst, src []T) func(at, i, n int) {
	return func(at, i, n int) { f(dst[at:at+n], dst[at:at+n], src[i:i+n], 1, 1) }
}

// tuples resolves the index tuples of GatherND and ScatterND into positions in
// the value: shape is what they index, the result counts elements.
func (c *call) tuples(i int, shape []int) (at []int, inner int, err error) {
	idx := c.in[i]
	if len(idx.Shape) == 0 {
		return nil, 0, fmt.Errorf("the indices are a scalar")
	}
	k := idx.Shape[len(idx.Shape)-1]
	if k > len(shape) || k == 0 {
		return nil, 0, fmt.Errorf("index tuples of %d for a value of shape %v", k, shape)
	}
	raw, err := c.ints(i)
	if err != nil {
		return nil, 0, err
	}
	own := strides(shape)
	at = make([]int, len(raw)/k)
	for t := range at {
		for j := range k {
			v, dim := raw[t*k+j], int64(shape[j])
			if v < -dim || v >= dim {
				return nil, 0, fmt.Errorf("index %d in tuple %d is outside the dimension of %d", v, t, dim)
			}
			if v < 0 {
				v += dim
			}
			at[t] += int(v) * own[j]
		}
	}
	return at, product(shape[k:]), nil
}

func gatherND(c *call) error {
	x, idx := c.in[0], c.in[1]
	b := int(c.node.Int("batch_dims", 0))
	if b < 0 || b >= len(idx.Shape) || b >= len(x.Shape) || !sameShape(x.Shape[:b], idx.Shape[:b]) {
		return fmt.Errorf("batch_dims %d does not fit shapes %v and %v", b, x.Shape, idx.Shape)
	}
	at, inner, err := c.tuples(1, x.Shape[b:])
	if err != nil {
		return err
	}
	k := idx.Shape[len(idx.Shape)-1]
	out, err := c.output(0, x.Type, slices.Concat(idx.Shape[:len(idx.Shape)-1], x.Shape[b+k:])...)
	if err != nil {
		return err
	}
	batch, size := product(x.Shape[:b]), product(x.Shape[b:])
	if batch == 0 || inner == 0 {
		return nil
	}
	per := len(at) / batch
	dst, src := out, x
	for t, from := range at {
		dst.blit(t*inner, src, t/per*size+from, inner, 1)
	}
	return nil
}

func scatterND(c *call) error {
	x, idx, up := c.in[0], c.in[1], c.in[2]
	at, inner, err := c.tuples(1, x.Shape)
	if err != nil {
		return err
	}
	k := idx.Shape[len(idx.Shape)-1]
	if want := slices.Concat(idx.Shape[:len(idx.Shape)-1], x.Shape[k:]); up.Type != x.Type || !sameShape(up.Shape, want) {
		return fmt.Errorf("updates are %s %v; %s %v is needed", typeName(up.Type), up.Shape, typeName(x.Type), want)
	}
	out, err := c.copyOf(x)
	if err != nil {
		return err
	}
	put, err := scatterer(c, out, up)
	if err != nil {
		return err
	}
	for t, to := range at {
		put(to, t*inner, inner)
	}
	return nil
}
