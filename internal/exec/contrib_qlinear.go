package exec

import (
	"fmt"

	"github.com/litekit/lite/onnx"
)

// qLinearSum and qLinearProduct are QLinearAdd and QLinearMul of 8-bit values.
// They are computed in the order of ONNX Runtime's kernels for x86, since
// scales that are multiples of each other put many results on the middle
// between two steps, and both are rounded with their zero point.

// quantizedPair is what both work with: (a − za)·sa and (b − zb)·sb in units of sy.
type quantizedPair struct {
	a, b       *Tensor
	za, zb, zy float32
	sa, sb, sy float32
}

func (c *call) quantizedPair() (p quantizedPair, err error) {
	if p.a, p.b = c.in[0], c.arg(3); p.b == nil {
		return p, fmt.Errorf("the second operand is missing")
	}
	for _, s := range []struct {
		to *float32
		i  int
	}{{&p.sa, 1}, {&p.sb, 4}, {&p.sy, 6}} {
		t := c.arg(s.i)
		if t == nil || t.Type != onnx.Float || t.Len() != 1 {
			return p, fmt.Errorf("input %d is not a scale of one float", s.i)
		}
		*s.to = t.F32[0]
	}
	for _, z := range []struct {
		to *float32
		i  int
	}{{&p.za, 2}, {&p.zb, 5}, {&p.zy, 7}} {
		t := c.arg(z.i)
		if t != nil && t.Type != p.a.Type {
			return p, fmt.Errorf("a zero point is %s; the operands are %s", typeName(t.Type), typeName(p.a.Type))
		}
		v, err := c.zeroPoints(t, 1)
		if err != nil {
			return p, err
		}
		*z.to = float32(v[0])
	}
	if p.a.Type != p.b.Type || p.a.Type != onnx.Uint8 && p.a.Type != onnx.Int8 {
		return p, fmt.Errorf("operands of types %s and %s: %w", typeName(p.a.Type), typeName(p.b.Type), ErrType)
	}
	return p, nil
}

// apply computes every element; one is given the run's raw elements and their strides, 0 or 1.
func (p quantizedPair) apply(c *call, one row[float32, float32]) error {
	bc, err := c.broadcast(p.a.Shape, p.b.Shape)
	if err != nil {
		return err
	}
	wide := [2]*Tensor{}
	for i, t := range []*Tensor{p.a, p.b} {
		if wide[i], err = c.cast(t, onnx.Float); err != nil {
			return err
		}
		defer c.mem.release(wide[i])
	}
	out, err := c.output(0, p.a.Type, bc.shape...)
	if err != nil || out.Len() == 0 {
		return err
	}
	result, err := c.temp(onnx.Float, bc.shape...)
	if err != nil {
		return err
	}
	walk(bc, one, result.F32, wide[0].F32, wide[1].F32)
	for i, v := range result.F32 {
		out.requantize(i, float64(v), 0)
	}
	return nil
}

// qLinearSum multiplies both by their scale over the result's and adds up what
// is the same for all elements first.
func qLinearSum(c *call) error {
	p, err := c.quantizedPair()
	if err != nil {
		return err
	}
	ra, rb := p.sa/p.sy, p.sb/p.sy
	fixed := p.zy - float32(float32(ra*p.za)+float32(rb*p.zb))
	return p.apply(c, func(dst, a, b []float32, sa, sb int) {
		switch {
		case sb == 0:
			base := fixed + float32(b[0]*rb)
			for i := range dst {
				dst[i] = base + float32(a[i*sa]*ra)
			}
		case sa == 0:
			base := fixed + float32(a[0]*ra)
			for i := range dst {
				dst[i] = base + float32(b[i]*rb)
			}
		default:
			for i := range dst {
				dst[i] = float32(fixed+float32(a[i]*ra)) + float32(b[i]*rb)
			}
		}
	})
}

// qLinearProduct multiplies what is left of both without their zero points.
func qLinearProduct(c *call) error {
	p, err := c.quantizedPair()
	if err != nil {
		return err
	}
	ratio := float32(p.sa*p.sb) / p.sy
	return p.apply(c, func(dst, a, b []float32, sa, sb int) {
		for i := range dst {
			dst[i] = float32(float32((a[i*sa]-p.za)*(b[i*sb]-p.zb))*ratio) + p.zy
		}
	})
}

// qLinearAveragePool sums in float32 and rounds with the zero point, for the
// same reason: means of few values lie between two steps often.
func qLinearAveragePool(c *call) error {
	x, err := c.dequantized(c.in[0], c.arg(1), c.arg(2), 1)
	if err != nil {
		return err
	}
	defer c.mem.release(x)
	in := c.inner(c.node, x)
	if err := averagePool[float32, float32](in); err != nil {
		return err
	}
	y := in.out[0]
	defer c.mem.release(y)
	scale, err := c.bias(3, 1)
	if err != nil || scale == nil {
		return fmt.Errorf("input 3 is not a scale of one float (%v)", err)
	}
	zero, err := c.zeroPoints(c.arg(4), 1)
	if err != nil {
		return err
	}
	out, err := c.output(0, c.in[0].Type, y.Shape...)
	if err != nil {
		return err
	}
	if out.Type != onnx.Uint8 && out.Type != onnx.Int8 {
		return errType(out.Type)
	}
	for i, v := range y.F32 {
		out.requantize(i, float64(float32(v/scale[0])+float32(zero[0])), 0)
	}
	return nil
}
