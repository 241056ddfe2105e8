package onnx

import "fmt"

// quantizedFamily holds ai.onnx's operators of quantized values.
func quantizedFamily() family {
	return family{
		schemas: `
			QuantizeLinear 10 _,_,_?>_ axis:i saturate:i block_size:i output_dtype:i precision:i
			DequantizeLinear 10 q8,f,q8?>_ axis:i block_size:i output_dtype:i
			DynamicQuantizeLinear 11 f32>u8,f32,u8
			MatMulInteger 10 b8,b8,b8?,b8?>i32
			QLinearMatMul 10 A:q8,f,A,B:q8,f,B,f,Y:q8>Y
		`,
		infer: map[string]func(*call){
			"QuantizeLinear": quantizeRule, "DequantizeLinear": dequantizeRule, "DynamicQuantizeLinear": dynamicQuantizeRule,
			"MatMulInteger": matMulRule, "QLinearMatMul": func(c *call) { c.product(0, 3) },
		},
	}
}

func quantizeRule(c *call) {
	t := c.targetType("output_dtype", Undefined)
	switch {
	case c.given(2):
		c.typed(0, c.arg(2).typ)
	case t != Undefined:
		c.typed(0, t)
	default:
		c.typed(0, Uint8)
	}
	c.scales()
}

func dequantizeRule(c *call) {
	t := c.targetType("output_dtype", Undefined)
	switch {
	case t != Undefined:
		c.typed(0, t)
	case c.ver < 19 && domain(c.n.Domain) == "":
		c.typed(0, Float)
	default:
		c.typed(0, c.arg(1).typ)
	}
	if x, z := c.arg(0).typ, c.arg(2).typ; c.given(2) && x != z && x != Undefined && z != Undefined {
		c.misfit("the types of the value and its zero point differ", "give them one type", 0, 2)
	}
	c.scales()
}

// scales checks that scale and zero point are one number, or a list for the
// axis of input 0; the result has its shape.
func (c *call) scales() {
	x, ok := c.dims(0)
	if !ok || c.bad {
		return
	}
	c.shape(0, x)
	s, ok := c.dims(1)
	if z, ok2 := c.dims(2); ok && ok2 && c.given(2) && len(s) == len(z) {
		for i := range s {
			if !c.equal(s[i], z[i], "the lengths of scale and zero point,", "give them one shape", 1, 2) {
				return
			}
		}
	}
	if !ok || c.int("block_size", 0) != 0 || c.z.single(s) || len(s) != 1 {
		return
	}
	axis, ok := c.axis(1, len(x), 0)
	if ok && s[0].sym == 0 && s[0].n != 1 {
		c.equal(s[0], x[axis], fmt.Sprintf("the number of scales and the length of axis %d,", axis), "give a scale for each position of the axis", 0, 1)
	}
}

func dynamicQuantizeRule(c *call) {
	sameAsFirst(c)
	c.shape(1, []Size{})
	c.shape(2, []Size{})
}
