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

// quantAxis is how the scales of QuantizeLinear lie over a value: lane i of
// count uses scale i/inner mod len.
type quantAxis struct {
	scale []float32
	zero  []int32
	inner int
}

func (q *quantAxis) at(i int) (float32, int32) {
	if len(q.scale) == 1 {
		return q.scale[0], q.zero[0]
	}
	k := i / q.inner % len(q.scale)
	return q.scale[k], q.zero[k]
}

// quantParams reads scale and zero point (inputs 1 and 2) of Quantize- and DequantizeLinear.
func (c *call) quantParams() (*quantAxis, error) {
	x := c.in[0]
	if c.node.Int("block_size", 0) != 0 {
		return nil, fmt.Errorf("blocked quantization: %w", ErrType)
	}
	scale, err := c.floats(1)
	if err != nil {
		return nil, err
	}
	q := &quantAxis{scale: scale, inner: 1}
	if len(scale) != 1 || len(c.in[1].Shape) == 1 && len(x.Shape) > 0 && c.in[1].Shape[0] > 1 {
		d, err := axis(c.node.Int("axis", 1), len(x.Shape))
		if err != nil {
			return nil, err
		}
		if len(c.in[1].Shape) != 1 || x.Shape[d] != len(scale) {
			return nil, fmt.Errorf("the scale has shape %v; axis %d of %v needs as many elements", c.in[1].Shape, d, x.Shape)
		}
		q.inner = product(x.Shape[d+1:])
	}
	if q.zero, err = zeroPoints(c.arg(2), len(scale)); err != nil {
		return nil, err
	}
	return q, nil
}

// zeroPoints reads n zero points of any 8-bit type or int32; none means 0.
func zeroPoints(t *Tensor, n int) ([]int32, error) {
	out := make([]int32, n)
	if t == nil {
		return out, nil
	}
	if t.Len() != n && t.Len() != 1 {
		return nil, fmt.Errorf("the zero point has shape %v; %d elements are needed", t.Shape, n)
	}
	for i := range out {
		k := min(i, t.Len()-1)
		switch t.Type {
		case onnx.Uint8:
			out[i] = int32(t.U8[k])
		case onnx.Int8:
			out[i] = int32(t.I8[k])
		case onnx.Int32:
			out[i] = t.I32[k]
		default:
			return nil, errType(t.Type)
		}
	}
	return out, nil
}

// quantizeLinear rounds half to even and saturates.
func quantizeLinear(c *call) error {
	x, err := c.floats(0)
	if err != nil {
		return err
	}
	q, err := c.quantParams()
	if err != nil {
		return err
	}
	to := onnx.Uint8
	if z := c.arg(2); z != nil {
		to = z.Type
	} else if d := c.node.Int("output_dtype", 0); d != 0 {
		to = onnx.DataType(d)
	}
	if to != onnx.Uint8 && to != onnx.Int8 {
		return errType(to)
	}
	out, err := c.output(0, to, c.in[0].Shape...)
	if err != nil {
		return err
	}
	kernel.Parallel(len(x), grain, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			s, z := q.at(i)
			if to == onnx.Uint8 {
				out.U8[i] = uint8(round(float64(x[i]/s), z, 0, 255))
			} else {
				out.I8[i] = int8(round(float64(x[i]/s), z, -128, 127))
			}
		}
	})
	return nil
}

// round is saturate(round-half-even(v) + zero); NaN becomes the zero point.
func round(v float64, zero int32, lo, hi float64) int32 {
	r := math.RoundToEven(v) + float64(zero)
	if r != r {
		return zero
	}
	return int32(min(max(r, lo), hi))
}

func dequantizeLinear(c *call) error {
	x := c.in[0]
	q, err := c.quantParams()
	if err != nil {
		return err
	}
	out, err := c.output(0, onnx.Float, x.Shape...)
	if err != nil {
		return err
	}
	switch x.Type {
	case onnx.Uint8:
		dequantize(out.F32, x.U8, q)
	case onnx.Int8:
		dequantize(out.F32, x.I8, q)
	case onnx.Int32:
		dequantize(out.F32, x.I32, q)
	default:
		return errType(x.Type)
	}
	return nil
}

func dequantize[T uint8 | int8 | int32](dst []float32, src []T, q *quantAxis) {
	kernel.Parallel(len(src), grain, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			s, z := q.at(i)
			dst[i] = float32(int32(src[i])-z) * s
		}
	})
}
