package onnx

import (
	"fmt"
	"slices"
)

// microsoftFamily holds ONNX Runtime's operators that the executor runs.
func microsoftFamily() family {
	return family{
		domain: microsoftDomain,
		schemas: microsoftMoreSchemas + `
			Gelu|QuickGelu 1 T:f>T alpha:f
			FastGelu 1 T:f,T?>T
			BiasGelu 1 T:f,T>T
			SkipLayerNormalization 1 T:f,T,T,T?,T?>T,_?,_?,T? epsilon:f
			SkipSimplifiedLayerNormalization 1 T:f,T,T,T?>T,_?,_?,T? epsilon:f
			EmbedLayerNormalization 1 idx,idx?,T:f,T,T?,T,T,idx?,idx?>T,i32?,T? epsilon:f
			Attention 1 T:f,T,T?,_?,T?,T?,i32?>T,T? num_heads:i! unidirectional:i qkv_hidden_sizes:I mask_filter_value:f scale:f
			MultiHeadAttention 1 T:f,T?,T?,T?,_?,T?,T?,T?,i32?,_?>T,T?,T?,T? num_heads:i! scale:f mask_filter_value:f unidirectional:i
			QAttention 1 A:b8,W:b8,T:f,f,f,_?,A?,W?,T?>T,T? num_heads:i! unidirectional:i
			FusedMatMul 1 T:f,T>T alpha:f transA:i transB:i transBatchA:i transBatchB:i
			GemmFastGelu 1 T:f,T,T?>T
			QuantizeLinear 1 _,f,_?>_ axis:i
			DequantizeLinear 1 _,f,_?>_ axis:i
			DynamicQuantizeMatMul 1 f32,b8,f32,b8?,f32?>f32
			MatMulIntegerToFloat 1 A:b8,B:b8,F:f,F,A?,B?,F?>F
			MatMulNBits 1 T:f,_,T,_?,i32?,T?>T K:i! N:i! bits:i block_size:i! accuracy_level:i
			QGemm 1 A:b8,f,A,B:b8,f,B,i32?,f?,_?>_ alpha:f transA:i transB:i
			QLinearAdd|QLinearMul 1 T:b8,f32,T?,T,f32,T?,f32,T?>T
			QLinearSigmoid|QLinearLeakyRelu 1 T:b8,f32,T?,f32,T?>T alpha:f
			QLinearSoftmax 1 T:b8,f32,T?,f32,T>T axis:i opset:i
			QLinearGlobalAveragePool 1 T:b8,f32,T?,f32,T?>T channels_last:i
			QLinearAveragePool 1 T:b8,f32,T?,f32,T?>T auto_pad:s ceil_mode:i channels_last:i count_include_pad:i kernel_shape:I! pads:I strides:I
			QLinearConcat 1 f32,T:b8,_~>T axis:i!
			QLinearWhere 1 bool,T:b8,f32,T,T,f32,T,f32,T>T
			QLinearConv 1 X:b8,f32,X,W:b8,f32,W,Y:f32,Z:b8,i32?>Z auto_pad:s channels_last:i dilations:I group:i kernel_shape:I pads:I strides:I
		`,
		infer: withRules(microsoftMoreRules(), map[string]func(*call){
			"Gelu": sameAsFirst, "QuickGelu": sameAsFirst, "FastGelu": biasRule, "BiasGelu": biasRule,
			"SkipLayerNormalization": skipNormRule, "SkipSimplifiedLayerNormalization": skipNormRule, "EmbedLayerNormalization": embedNormRule,
			"Attention": packedAttentionRule, "QAttention": packedAttentionRule, "MultiHeadAttention": multiHeadRule,
			"FusedMatMul": fusedMatMulRule, "GemmFastGelu": matMulRule, "DynamicQuantizeMatMul": matMulRule, "MatMulIntegerToFloat": matMulRule,
			"QuantizeLinear": quantizeRule, "DequantizeLinear": dequantizeRule, "MatMulNBits": nBitsRule, "QGemm": qGemmRule,
			"QLinearAdd": broadcastPair(0, 3), "QLinearMul": broadcastPair(0, 3), "QLinearWhere": qLinearWhereRule,
			"QLinearSigmoid": sameAsFirst, "QLinearLeakyRelu": sameAsFirst, "QLinearSoftmax": sameAsFirst,
			"QLinearGlobalAveragePool": channelsFirst(globalPoolRule), "QLinearAveragePool": channelsFirst(poolRule),
			"QLinearConcat": qLinearConcatRule, "QLinearConv": channelsFirst(func(c *call) { c.conv(0, 3, 8) }),
		}),
	}
}

// channelsFirst leaves the other layout alone.
func channelsFirst(rule func(*call)) func(*call) {
	return func(c *call) {
		if c.int("channels_last", 0) == 0 {
			rule(c)
		}
	}
}

func broadcastPair(a, b int) func(*call) {
	return func(c *call) {
		x, ok := c.dims(a)
		y, ok2 := c.dims(b)
		if !ok || !ok2 {
			return
		}
		if out, ok := c.z.broadcastAll(x, y); ok {
			c.shape(0, out)
		} else {
			c.misfit("the shapes cannot be broadcast", "lengths must be equal or 1", a, b)
		}
	}
}

func biasRule(c *call) {
	x, ok := c.dims(0)
	if !ok {
		return
	}
	if b, ok := c.dims(1); ok && (len(b) != 1 || len(x) == 0 || !c.equal(b[0], x[len(x)-1], "the bias and the last axis,", "give a number for each position of the last axis", 0, 1)) {
		c.bad = true
		return
	}
	c.shape(0, x)
}

func skipNormRule(c *call) {
	c.typed(1, Float)
	c.typed(2, Float)
	x, ok := c.dims(0)
	if !ok || len(x) == 0 {
		return
	}
	h := x[len(x)-1]
	for i := 2; i < len(c.in); i++ {
		if s, ok := c.dims(i); ok && c.given(i) && len(s) == 1 && !c.equal(s[0], h, "a parameter and the last axis,", "give a number for each position of the last axis", 0, i) {
			return
		}
	}
	c.shape(0, x)
	c.shape(3, x)
	stats := append(x[:len(x)-1:len(x)-1], SizeOf(1))
	c.shape(1, stats)
	c.shape(2, stats)
}

func embedNormRule(c *call) {
	x, ok := c.dims(0)
	w, ok2 := c.dims(2)
	if !ok || !ok2 || !c.rank(0, 2) || !c.rank(2, 2) {
		return
	}
	for _, i := range []int{3, 4} {
		if t, ok := c.dims(i); ok && c.given(i) && (!c.rank(i, 2) || !c.equal(t[1], w[1], "the widths of two tables,", "all tables have one width", 2, i)) {
			return
		}
	}
	full := []Size{x[0], x[1], w[1]}
	c.shape(0, full)
	c.shape(1, x[:1])
	c.shape(2, full)
}

// packedAttentionRule has one weight [I, 3·H] for query, key and value.
func packedAttentionRule(c *call) {
	if c.n.Op == "QAttention" {
		c.typed(0, c.arg(2).typ)
	}
	x, ok := c.dims(0)
	w, ok2 := c.dims(1)
	if !ok || !ok2 || !c.rank(0, 3) || !c.rank(1, 2) {
		return
	}
	if !c.equal(x[2], w[0], "the inner sizes", "weights are [input, query + key + value]", 0, 1) {
		return
	}
	sizes := c.list("qkv_hidden_sizes")
	value := c.z.divide(w[1], SizeOf(3))
	key := value
	if len(sizes) == 3 {
		key, value = SizeOf(sizes[1]), SizeOf(sizes[2])
	}
	c.shape(0, []Size{x[0], x[1], c.asLength(value)})
	n := c.int("num_heads", 0)
	if n < 1 || key.sym == 0 && key.n%n != 0 {
		c.misfit(fmt.Sprintf("attribute num_heads is %d", n), "it must divide the size of query, key and value", 1)
		return
	}
	if p, ok := c.dims(4); len(c.out) > 1 && key == value && c.int("past_present_share_buffer", 0) == 0 {
		total := x[1]
		if i := 4; c.n.Op == "QAttention" {
			p, ok = c.dims(8)
			i = 8
			if c.given(i) && !ok {
				return
			}
		} else if c.given(i) && !ok {
			return
		}
		if ok && len(p) == 5 {
			total = c.z.sum(total, p[3], 1)
		}
		c.shape(1, []Size{SizeOf(2), x[0], SizeOf(n), total, c.z.divide(key, SizeOf(n))})
	}
}

func multiHeadRule(c *call) {
	q, ok := c.dims(0)
	if !ok || len(q) != 3 || !c.given(2) {
		return
	}
	v, ok := c.dims(2)
	switch {
	case ok && len(v) == 3:
		c.shape(0, []Size{q[0], q[1], v[2]})
	case ok && len(v) == 4:
		c.shape(0, []Size{q[0], q[1], c.z.product2(v[1], v[3])})
	}
}

func fusedMatMulRule(c *call) {
	x, ok := c.dims(0)
	y, ok2 := c.dims(1)
	if !ok || !ok2 || len(x) < 2 || len(y) < 2 || c.int("transBatchA", 0)+c.int("transBatchB", 0) != 0 {
		return
	}
	rows, ka := pair(x[len(x)-2:], c.int("transA", 0) != 0)
	kb, columns := pair(y[len(y)-2:], c.int("transB", 0) != 0)
	if !c.equal(ka, kb, "the inner sizes", "set transA or transB, or transpose one", 0, 1) {
		return
	}
	lead, ok := c.z.broadcastAll(x[:len(x)-2], y[:len(y)-2])
	if !ok {
		c.misfit("the leading shapes cannot be broadcast", "lengths must be equal or 1", 0, 1)
		return
	}
	c.shape(0, append(slices.Clone(lead), rows, columns))
}

func nBitsRule(c *call) {
	x, ok := c.dims(0)
	if !ok || len(x) == 0 {
		return
	}
	if k := c.int("K", 0); c.equal(x[len(x)-1], SizeOf(k), "the last axis and attribute K,", "they must be equal", 0) {
		c.shape(0, append(x[:len(x)-1:len(x)-1], c.asLength(SizeOf(c.int("N", -1)))))
	}
}

func qGemmRule(c *call) {
	c.typed(0, Float)
	if c.given(7) {
		c.typed(0, c.arg(0).typ)
		if c.given(8) {
			c.typed(0, c.arg(8).typ)
		}
	}
	c.gemm(0, 3, 6)
}

func qLinearWhereRule(c *call) {
	var shapes [][]Size
	for _, i := range []int{0, 1, 4} {
		x, ok := c.dims(i)
		if !ok {
			return
		}
		shapes = append(shapes, x)
	}
	if out, ok := c.z.broadcastAll(shapes...); ok {
		c.shape(0, out)
	} else {
		c.misfit("the shapes cannot be broadcast", "lengths must be equal or 1", 0, 1, 4)
	}
}

// qLinearConcatRule has the result's scale and zero point, then three inputs for each operand.
func qLinearConcatRule(c *call) {
	if len(c.in) < 5 || len(c.in)%3 != 2 {
		c.complain(fmt.Sprintf("it has %d inputs", len(c.in)), "give two for the result and three for each operand")
		return
	}
	inner := *c
	inner.in, inner.n = nil, c.n.Clone()
	inner.n.Inputs = nil
	for i := 2; i < len(c.in); i += 3 {
		inner.in = append(inner.in, c.in[i])
		inner.n.Inputs = append(inner.n.Inputs, c.n.Inputs[i])
	}
	concatRule(&inner)
	c.bad = inner.bad
}
