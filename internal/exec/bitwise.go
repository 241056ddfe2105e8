package exec

import (
	"fmt"
	"math"

	"github.com/litekit/lite/onnx"
)

// bitOps are the operators on bits, and activations that take a parameter.
func bitOps() map[string]operator {
	return map[string]operator{
		"BitwiseAnd": {run: arithmetic(bitAnd()), inputs: 2}, "BitwiseOr": {run: arithmetic(bitOr()), inputs: 2},
		"BitwiseXor": {run: arithmetic(bitXor()), inputs: 2}, "BitwiseNot": {run: bitwiseNot, inputs: 1},
		"BitShift": {run: bitShift, inputs: 2},

		"PRelu": {run: prelu, inputs: 2}, "Shrink": {run: shrink, inputs: 1}, "Hardmax": {run: hardmax, inputs: 1},
		"ThresholdedRelu": {run: withAlpha("alpha", 1, thresholdedRelu), inputs: 1},
		"Celu":            {run: withAlpha("alpha", 1, celu), inputs: 1},
	}
}

func bitAnd() binaryOp {
	return binaryOp{i64: each(and[int64]), i32: each(and[int32]), u8: each(and[uint8]), i8: each(and[int8])}
}

func bitOr() binaryOp {
	return binaryOp{i64: each(or[int64]), i32: each(or[int32]), u8: each(or[uint8]), i8: each(or[int8])}
}

func bitXor() binaryOp {
	return binaryOp{i64: each(xor[int64]), i32: each(xor[int32]), u8: each(xor[uint8]), i8: each(xor[int8])}
}

type integer interface {
	int64 | int32 | uint8 | int8
}

func and[T integer](x, y T) T { return x & y }
func or[T integer](x, y T) T  { return x | y }
func xor[T integer](x, y T) T { return x ^ y }

func bitwiseNot(c *call) error {
	switch storage(c.in[0].Type) {
	case onnx.Int64:
		err := each1(c, func(x int64) int64 { return ^x })
		if err == nil {
			c.out[0].wrap()
		}
		return err
	case onnx.Int32:
		return each1(c, func(x int32) int32 { return ^x })
	case onnx.Uint8:
		return each1(c, func(x uint8) uint8 { return ^x })
	case onnx.Int8:
		return each1(c, func(x int8) int8 { return ^x })
	}
	return errType(c.in[0].Type)
}

// bitShift shifts unsigned integers; a shift by the width or more gives 0.
func bitShift(c *call) error {
	if t := c.in[0].Type; t != onnx.Uint8 && t != onnx.Uint16 && t != onnx.Uint32 && t != onnx.Uint64 {
		return fmt.Errorf("input 0 is %s; an unsigned integer is needed: %w", typeName(t), ErrType)
	}
	switch d := c.node.Str("direction", ""); d {
	case "LEFT":
		left := func(x, y int64) int64 { return int64(uint64(x) << uint64(y)) }
		return arithmetic(binaryOp{i64: each(left), u8: each(func(x, y uint8) uint8 { return x << y })})(c)
	case "RIGHT":
		right := func(x, y int64) int64 { return int64(uint64(x) >> uint64(y)) }
		return arithmetic(binaryOp{i64: each(right), u8: each(func(x, y uint8) uint8 { return x >> y })})(c)
	default:
		return fmt.Errorf("direction is %q; LEFT or RIGHT is needed", d)
	}
}

func leak[T number](x, slope T) T {
	if x < 0 {
		return slope * x
	}
	return x
}

// prelu multiplies what is negative by a slope that broadcasts to the input.
func prelu(c *call) error {
	op := binaryOp{f32: each(leak[float32]), f64: each(leak[float64]), i64: each(leak[int64]), i32: each(leak[int32])}
	x, y := c.in[0], c.in[1]
	if err := op.apply(c, x, y, false); err != nil {
		return err
	}
	if !sameShape(c.out[0].Shape, x.Shape) {
		return fmt.Errorf("the slope of shape %v does not broadcast to %v", y.Shape, x.Shape)
	}
	return nil
}

func shrink(c *call) error {
	lambd, bias := float64(c.node.Float("lambd", 0.5)), float64(c.node.Float("bias", 0))
	f := func(x float64) float64 {
		switch {
		case x < -lambd:
			return x + bias
		case x > lambd:
			return x - bias
		}
		return 0
	}
	x := c.in[0]
	if x.Type == onnx.Float || x.Type == onnx.Double || x.Type == onnx.Bool {
		return float(f)(c)
	}
	wide, err := c.cast(x, onnx.Double)
	if err != nil {
		return err
	}
	defer c.mem.release(wide)
	for i, v := range wide.F64 {
		wide.F64[i] = f(v)
	}
	c.out[0], err = c.cast(wide, x.Type)
	return err
}

func thresholdedRelu(x, alpha float64) float64 {
	if x > alpha {
		return x
	}
	return 0
}

func celu(x, alpha float64) float64 { return max(0, x) + min(0, alpha*math.Expm1(x/alpha)) }

// hardmax is 1 at the first greatest element and 0 elsewhere. Before opset 13
// the dimensions from the axis on are one.
func hardmax(c *call) error {
	x, def := c.in[0], int64(-1)
	if c.opset < 13 {
		def = 1
	}
	d, err := axis(c.node.Int("axis", def), len(x.Shape))
	if err != nil {
		return err
	}
	l := lanesOf(x.Shape, d)
	if c.opset < 13 {
		l = lanes{count: product(x.Shape[:d]), n: product(x.Shape[d:]), step: 1}
	}
	out, err := c.output(0, x.Type, x.Shape...)
	if err != nil || out.Len() == 0 {
		return err
	}
	at := make([]int64, l.count)
	switch x.Type {
	case onnx.Float:
		best(at, x.F32, l, true, false)
		clear(out.F32)
	case onnx.Double:
		best(at, x.F64, l, true, false)
		clear(out.F64)
	default:
		return errType(x.Type)
	}
	for i, k := range at {
		p := l.start(i) + int(k)*l.step
		if x.Type == onnx.Float {
			out.F32[p] = 1
		} else {
			out.F64[p] = 1
		}
	}
	return nil
}
