package onnx

import (
	"maps"
	"slices"
)

// microsoftMoreSchemas are com.microsoft's operators that are standard ones with
// something added or laid out in another way.
const microsoftMoreSchemas = `
	SimplifiedLayerNormalization 1 T:f,S:f>S,_? axis:i epsilon:f stash_type:i
	RotaryEmbedding 1 T:f,idx,T,T>T interleaved:i is_packed_batching:i num_heads:i rotary_embedding_dim:i scale:f
	FusedConv 1 T:f,T,T?,T?>T activation:s activation_params:F auto_pad:s dilations:I group:i kernel_shape:I pads:I strides:I
	FusedGemm 1 T:f,T,T?>T activation:s activation_alpha:f activation_beta:f activation_gamma:f alpha:f beta:f transA:i transB:i
	NhwcMaxPool 1 T:n>T auto_pad:s ceil_mode:i dilations:I kernel_shape:I! pads:I strides:I
	TransposeMatMul 1 T:f,T>T alpha:f transA:i transB:i
	Trilu 1 T,i64?>T upper:i
	GatherND 1 T,idx>T batch_dims:i
	Range 1 T:n,T,T?>T
	Pad 1 T,i64,T?>T mode:s
	ExpandDims 1 T,idx>T
	CDist 1 T:f,T>T metric:s
	QEmbedLayerNormalization 1 idx,idx?,b8,b8,b8?,b8,b8,idx?,f32,f32,f32?,f32,f32,b8?,b8?,b8?,b8?,b8?>f32,i32?,f32? epsilon:f
`

func microsoftMoreRules() map[string]func(*call) {
	return map[string]func(*call){
		"SimplifiedLayerNormalization": layerNormRule, "RotaryEmbedding": rotaryRule,
		"FusedConv": fusedConvRule, "FusedGemm": func(c *call) { c.gemm(0, 1, 2) }, "NhwcMaxPool": nhwcPoolRule,
		"TransposeMatMul": fusedMatMulRule, "Trilu": triluRule, "GatherND": gatherNDRule, "Range": optionalStepRule,
		"Pad": inputPadRule, "ExpandDims": expandDimsRule, "CDist": cdistRule, "QEmbedLayerNormalization": embedNormRule,
	}
}

func withRules(a, b map[string]func(*call)) map[string]func(*call) {
	maps.Copy(a, b)
	return a
}

// fusedConvRule is a convolution and what is added to its result, input 3.
func fusedConvRule(c *call) {
	c.conv(0, 1, 2)
	z, ok := c.dims(3)
	if !ok || c.bad || len(c.out) == 0 || !c.out[0].ranked || !c.given(3) {
		return
	}
	y := c.out[0].dims
	if len(z) != len(y) {
		c.misfit("the sum does not fit the result", "input 3 has the shape of the result", 0, 1, 3)
		return
	}
	for i := range y {
		if !c.equal(y[i], z[i], "the sum and the result", "input 3 has the shape of the result", 0, 1, 3) {
			return
		}
	}
}

// nhwcPoolRule pools an input [N, lengths…, C].
func nhwcPoolRule(c *call) {
	x, ok := c.dims(0)
	if !ok || len(x) < 3 {
		poolRule(c)
		return
	}
	last := len(x) - 1
	first := *c.arg(0)
	first.dims = slices.Concat(x[:1], x[last:], x[1:last])
	inner := *c
	inner.in, inner.out = append([]*fact{&first}, c.in[1:]...), make([]fact, 1)
	poolRule(&inner)
	c.bad = inner.bad
	if y := inner.out[0]; y.ranked {
		c.shape(0, slices.Concat(y.dims[:1], y.dims[2:], y.dims[1:2]))
	}
}

// optionalStepRule is Range whose step is 1 where it is omitted.
func optionalStepRule(c *call) {
	inner := *c
	if !c.given(2) {
		one := &fact{typ: c.arg(0).typ, ranked: true}
		if integer(one.typ) {
			one.ints = []Size{SizeOf(1)}
		} else {
			one.floats = []float32{1}
		}
		inner.in = []*fact{c.arg(0), c.arg(1), one}
	}
	rangeRule(&inner)
	c.bad = inner.bad
}

// inputPadRule is Pad of the version whose pads are an input.
func inputPadRule(c *call) {
	inner := *c
	inner.ver = 11
	padRule(&inner)
	c.bad = inner.bad
}

// expandDimsRule puts a length of one where input 1 says.
func expandDimsRule(c *call) {
	x, ok := c.dims(0)
	if !ok {
		return
	}
	a, known := c.number(1)
	if !known {
		c.shape(0, c.fresh(len(x)+1))
		return
	}
	if d, ok := c.axisIn("the axis", a, len(x)+1, 0); ok {
		c.shape(0, slices.Insert(slices.Clone(x), d, SizeOf(1)))
	}
}

// cdistRule is the distance of each row of [m, k] from each of [n, k].
func cdistRule(c *call) {
	c.choice("metric", "sqeuclidean", "sqeuclidean", "euclidean")
	a, ok := c.dims(0)
	b, ok2 := c.dims(1)
	if ok && !c.rank(0, 2) || ok2 && !c.rank(1, 2) || !ok || !ok2 {
		return
	}
	if c.equal(a[1], b[1], "the widths of the rows", "they must be equal", 0, 1) {
		c.shape(0, []Size{a[0], b[0]})
	}
}
