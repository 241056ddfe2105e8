package exec

import (
	"fmt"
	"math"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// dynamicQuantize is DynamicQuantizeLinear: uint8, scale and zero point of one tensor.
func dynamicQuantize(c *call) error {
	x, err := c.floats(0)
	if err != nil {
		return err
	}
	q, err := c.output(0, onnx.Uint8, c.in[0].Shape...)
	if err != nil {
		return err
	}
	scale, err := c.output(1, onnx.Float)
	if err != nil {
		return err
	}
	zero, err := c.output(2, onnx.Uint8)
	if err != nil {
		return err
	}
	if len(x) == 0 {
		scale.F32[0], zero.U8[0] = 0, 0
		return nil
	}
	scale.F32[0], zero.U8[0] = kernel.QuantizeU8(q.U8, x)
	return nil
}

// quantAxis is how the scales of QuantizeLinear lie over a value: one for all;
// one for each position of an axis (block 1, flat); or, blocked, one for every
// block positions of the axis with the other axes as they are.
type quantAxis struct {
	scale []float32
	zero  []int32
	dim   int // of the axis
	inner int // elements per position of the axis
	block int // positions that share a scale, 0 where not blocked
}

func (q *quantAxis) at(i int) (float32, int32) {
	if len(q.scale) == 1 {
		return q.scale[0], q.zero[0]
	}
	k := i / q.inner % q.dim
	if q.block > 0 {
		blocks := (q.dim + q.block - 1) / q.block
		k = (i/q.inner/q.dim*blocks+k/q.block)*q.inner + i%q.inner
	}
	return q.scale[k], q.zero[k]
}

// quantParams reads scale and zero point (inputs 1 and 2) of Quantize- and DequantizeLinear.
func (c *call) quantParams(q *quantAxis) error {
	x, block := c.in[0], c.node.Int("block_size", 0)
	if block < 0 {
		return fmt.Errorf("block_size is %d; 0 or more is needed", block)
	}
	st := c.in[1]
	if storage(st.Type) != onnx.Float {
		return fmt.Errorf("the scale is %s; only float is supported here: %w", typeName(st.Type), ErrType)
	}
	*q = quantAxis{scale: st.F32, inner: 1, dim: 1}
	if block > 0 || len(q.scale) != 1 || len(st.Shape) == 1 && len(x.Shape) > 0 && st.Shape[0] > 1 {
		d, err := axis(c.node.Int("axis", 1), len(x.Shape))
		if err != nil {
			return err
		}
		want := x.Shape[d : d+1]
		if block > 0 {
			q.block = int(min(block, int64(max(x.Shape[d], 1))))
			want = c.mem.shape(x.Shape)
			want[d] = (x.Shape[d] + q.block - 1) / q.block
		}
		if !sameShape(st.Shape, want) {
			return fmt.Errorf("the scale has shape %v; axis %d of %v needs %v", st.Shape, d, x.Shape, want)
		}
		q.inner, q.dim = product(x.Shape[d+1:]), x.Shape[d]
	}
	var err error
	q.zero, err = c.zeroPoints(c.arg(2), len(q.scale))
	return err
}

// zeroPoints reads n zero points of any quantized type or int32; none means 0.
func (c *call) zeroPoints(t *Tensor, n int) ([]int32, error) {
	room, err := c.temp(onnx.Int32, n)
	if err != nil {
		return nil, err
	}
	out := room.I32
	if t == nil {
		clear(out)
		return out, nil
	}
	if t.Len() != n && t.Len() != 1 {
		return nil, fmt.Errorf("the zero point has shape %v; %d elements are needed", t.Shape, n)
	}
	for i := range out {
		k := min(i, t.Len()-1)
		switch storage(t.Type) {
		case onnx.Uint8:
			out[i] = int32(t.U8[k])
		case onnx.Int8:
			out[i] = int32(t.I8[k])
		case onnx.Int32:
			out[i] = t.I32[k]
		case onnx.Int64:
			out[i] = int32(t.I64[k])
		case onnx.Float:
			if t.F32[k] != 0 {
				return nil, fmt.Errorf("the zero point of %s is %g; it must be 0", typeName(t.Type), t.F32[k])
			}
		default:
			return nil, errType(t.Type)
		}
	}
	return out, nil
}

// quantizable reports whether QuantizeLinear makes values of the type.
func quantizable(t onnx.DataType) bool {
	bits, _ := bitsOf(t)
	return t == onnx.Uint8 || t == onnx.Int8 || wideInt(t) && bits <= 16 || smallFloats[t].max > 0 && t != onnx.Float8E8M0
}

// quantizeLinear rounds half to even and saturates.
func quantizeLinear(c *call) error {
	real := c.in[0]
	if real.Type == onnx.Int32 || real.Type == onnx.Double {
		wide, err := c.cast(real, onnx.Float)
		if err != nil {
			return err
		}
		defer c.mem.release(wide)
		real = wide
	}
	if real.Type != onnx.Float {
		return errType(real.Type)
	}
	t := borrow[quantizeTask]()
	defer giveBack(t)
	if err := c.quantParams(&t.quantAxis); err != nil {
		return err
	}
	to := onnx.Uint8
	if z := c.arg(2); z != nil {
		to = z.Type
	} else if d := c.node.Int("output_dtype", 0); d != 0 {
		to = onnx.DataType(d)
	}
	if !quantizable(to) {
		return errType(to)
	}
	out, err := c.output(0, to, c.in[0].Shape...)
	if err != nil {
		return err
	}
	t.out, t.x, t.saturate = out, real.F32, c.node.Int("saturate", 1) != 0
	kernel.Run(len(t.x), grain, t)
	return nil
}

type quantizeTask struct {
	quantAxis
	out      *Tensor
	x        []float32
	saturate bool
}

func (t *quantizeTask) Run(first, last int) {
	out, x := t.out, t.x
	lo, hi := bounds(out.Type)
	for i := first; i < last; i++ {
		s, z := t.at(i)
		switch v := x[i] / s; storage(out.Type) {
		case onnx.Uint8:
			out.U8[i] = uint8(round(float64(v), z, 0, 255))
		case onnx.Int8:
			out.I8[i] = int8(round(float64(v), z, -128, 127))
		case onnx.Int64:
			out.I64[i] = int64(round(float64(v), z, float64(lo), float64(hi)))
		default:
			out.F32[i] = smallFloats[out.Type].nearest(v, t.saturate)
		}
	}
}

// round is saturate(round-half-even(v) + zero); NaN becomes the zero point.
func round(v float64, zero int32, lo, hi float64) int32 {
	r := math.RoundToEven(v) + float64(zero)
	if r != r {
		return zero
	}
	return int32(min(max(r, lo), hi))
}

// requantize writes v, in units of the result's scale, as element i of a quantized tensor.
func (t *Tensor) requantize(i int, v float64, zero int32) {
	lo, hi := bounds(t.Type)
	r := round(v, zero, float64(lo), float64(hi))
	switch t.Type {
	case onnx.Uint8:
		t.U8[i] = uint8(r)
	case onnx.Int8:
		t.I8[i] = int8(r)
	}
}

func dequantizeLinear(c *call) error {
	x := c.in[0]
	var q quantAxis
	if err := c.quantParams(&q); err != nil {
		return err
	}
	out, err := c.output(0, onnx.Float, x.Shape...)
	if err != nil {
		return err
	}
	switch storage(x.Type) {
	case onnx.Uint8:
		dequantize(out.F32, x.U8, q)
	case onnx.Int8:
		dequantize(out.F32, x.I8, q)
	case onnx.Int32:
		dequantize(out.F32, x.I32, q)
	case onnx.Int64:
		if !quantizable(x.Type) {
			return errType(x.Type)
		}
		dequantize(out.F32, x.I64, q)
	case onnx.Float:
		if !quantizable(x.Type) {
			return errType(x.Type)
		}
		for i, v := range x.F32 {
			s, _ := q.at(i)
			out.F32[i] = v * s
		}
	default:
		return errType(x.Type)
	}
	return nil
}

type dequantizeTask[T uint8 | int8 | int32 | int64] struct {
	quantAxis
	dst []float32
	src []T
}

func dequantize[T uint8 | int8 | int32 | int64](dst []float32, src []T, q quantAxis) {
	t := borrow[dequantizeTask[T]]()
	t.quantAxis, t.dst, t.src = q, dst, src
	kernel.Run(len(src), grain, t)
	giveBack(t)
}

func (t *dequantizeTask[T]) Run(lo, hi int) {
	for i := lo; i < hi; i++ {
		s, z := t.at(i)
		t.dst[i] = float32(int32(t.src[i])-z) * s
	}
}
