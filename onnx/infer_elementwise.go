package onnx

import (
	"math"
	"slices"
)

// elementwiseFamily holds operators that work element by element.
func elementwiseFamily() family {
	f := family{
		schemas: `
			Add|Sub|Mul|Div 7 T:n,T>T
			Pow 7 T:n,T>T
			Pow 12 T:n,U:n>T
			Mod 10 T:n,T>T fmod:i
			Min|Max 1 T:n~>T
			Sum|Mean 1 T:n~>T
			PRelu 7 T:n,T>T
			And|Or|Xor 7 bool,bool>bool
			Equal 7 T,T>bool
			Less|Greater 7 T:n,T>bool
			LessOrEqual|GreaterOrEqual 12 T:n,T>bool
			Not 1 bool>bool
			BitwiseAnd|BitwiseOr|BitwiseXor 18 T:i,T>T
			BitwiseNot 18 T:i>T
			BitShift 11 T:i,T>T direction:s!
			Where 9 bool,T,T>T
			Abs|Neg 6 T:n>T
			Sign 9 T:n>T
			Sqrt|Reciprocal|Exp|Log|Floor|Ceil|Tanh|Sigmoid 6 T:f>T
			Erf 9 T:n>T
			Round 11 T:f>T
			Sin|Cos|Tan|Asin|Acos|Atan 7 T:f>T
			Sinh|Cosh|Asinh|Acosh|Atanh 9 T:f>T
			Relu 6 T:n>T
			Gelu 20 T:f>T approximate:s
			Softplus|Softsign 1 T:f>T
			Mish 18 T:f>T
			HardSwish 14 T:f>T
			HardSigmoid 6 T:f>T alpha:f beta:f
			LeakyRelu|Elu 6 T:f>T alpha:f
			Swish 24 T:f>T alpha:f
			Celu 12 T:f>T alpha:f
			Selu 6 T:f>T alpha:f gamma:f
			ThresholdedRelu 10 T:f>T alpha:f
			Shrink 9 T:n>T bias:f lambd:f
			IsNaN 9 f>bool
			IsInf 10 f>bool detect_negative:i detect_positive:i
			Clip 6 T:n>T max:f min:f
			Clip 11 T:n,T?,T?>T
			Cast 6 _>_ to:i! saturate:i
			CastLike 15 _,T>T saturate:i
			BitCast 26 _>_ to:i!
			Identity 1 T>T
			Dropout 7 T:f>T,_?  ratio:f
			Dropout 10 T:f>T,bool? ratio:f
			Dropout 12 T:f,f?,bool?>T,bool? seed:i
			Softmax|LogSoftmax|Hardmax 1 T:f>T axis:i
			CumSum 11 T:n,idx>T exclusive:i reverse:i
			CumProd 26 T:n,idx>T exclusive:i reverse:i
			Trilu 14 T,i64?>T upper:i
			Bernoulli 15 _>_ dtype:i seed:f
			RandomNormalLike 1 _>_ dtype:i mean:f scale:f seed:f
			RandomUniformLike 1 _>_ dtype:i high:f low:f seed:f
			EyeLike 9 _>_ dtype:i k:i
		`,
		infer: map[string]func(*call){
			"Clip": clipRule, "Cast": castRule, "CastLike": sameAsFirst, "BitCast": bitCastRule, "Dropout": dropoutRule, "BitShift": bitShiftRule,
			"Softmax": softmaxRule, "LogSoftmax": softmaxRule, "Hardmax": softmaxRule, "Trilu": triluRule, "PRelu": preluRule, "Identity": identityRule,
			"CumSum": cumSumRule, "CumProd": cumSumRule, "Where": func(c *call) { c.broadcastInputs(0, 3) },
			"Bernoulli": likeRule, "RandomNormalLike": likeRule, "RandomUniformLike": likeRule, "EyeLike": eyeRule,
			"Gelu": func(c *call) { c.choice("approximate", "none", "none", "tanh"); sameAsFirst(c) },
		},
		values: map[string]func(*call){"Where": whereValues, "Cast": castValues, "Identity": sameValues, "Not": notValues, "Neg": negValues,
			"CastLike": castValues, "Sqrt": floatValues, "Reciprocal": floatValues, "Pow": floatValues, "CumSum": cumSumValues},
	}
	for _, op := range []string{"Add", "Sub", "Mul", "Div", "Mod", "Min", "Max", "And", "Or", "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"} {
		f.values[op] = arithValues
	}
	for _, op := range []string{"Add", "Sub", "Mul", "Div", "Pow", "Mod", "Min", "Max", "Sum", "Mean", "And", "Or", "Xor", "Equal", "Less", "Greater",
		"LessOrEqual", "GreaterOrEqual", "BitwiseAnd", "BitwiseOr", "BitwiseXor"} {
		f.infer[op] = func(c *call) { c.broadcastInputs(0, len(c.in)) }
	}
	for _, op := range []string{"Not", "BitwiseNot", "Abs", "Neg", "Sign", "Sqrt", "Reciprocal", "Exp", "Log", "Floor", "Ceil", "Tanh", "Sigmoid", "Erf", "Round",
		"Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Relu", "Softplus", "Softsign", "Mish", "HardSwish", "HardSigmoid",
		"LeakyRelu", "Elu", "Swish", "Celu", "Selu", "ThresholdedRelu", "Shrink", "IsNaN", "IsInf"} {
		f.infer[op] = sameAsFirst
	}
	return f
}

func clipRule(c *call) {
	sameAsFirst(c)
	for i := 1; i < 3; i++ {
		if x, ok := c.dims(i); ok && !c.z.single(x) {
			c.misfit("a bound is not one number", "give a scalar", i)
		}
	}
}

// single reports whether a shape may be that of one element.
func (z *algebra) single(x []Size) bool {
	return !slices.ContainsFunc(x, func(d Size) bool { return d.sym == 0 && d.n != 1 })
}

// targetType reads an attribute that names an element type.
func (c *call) targetType(name string, def DataType) DataType {
	a := c.attr(name)
	if a == nil {
		return def
	}
	t := DataType(a.Int)
	if a.Int <= 0 || a.Int >= int64(len(dataTypes)) {
		c.complain("attribute "+name+" is "+t.String(), "set it to a number of TensorProto.DataType: 1 is float32, 7 is int64")
		return Undefined
	}
	return t
}

func castRule(c *call) {
	c.typed(0, c.targetType("to", Undefined))
	sameAsFirst(c)
}

func bitCastRule(c *call) {
	t, from := c.targetType("to", Undefined), c.arg(0).typ
	c.typed(0, t)
	if t.Bits() > 0 && from.Bits() > 0 && t.Bits() != from.Bits() {
		c.misfit("elements of "+t.String()+" have another size", "set attribute to to a type of the same size", 0)
		return
	}
	sameAsFirst(c)
}

func likeRule(c *call) {
	c.typed(0, c.targetType("dtype", c.arg(0).typ))
	sameAsFirst(c)
}

func eyeRule(c *call) {
	if c.rank(0, 2) {
		likeRule(c)
	} else if !c.bad {
		c.typed(0, c.targetType("dtype", c.arg(0).typ))
	}
}

func identityRule(c *call) {
	if c.arg(0).opaque {
		c.out[0].opaque = true
	}
	sameAsFirst(c)
}

func dropoutRule(c *call) {
	sameAsFirst(c)
	if x, ok := c.dims(0); ok {
		c.shape(1, x)
	}
	if c.ver < 10 {
		c.typed(1, c.arg(0).typ)
	}
	for i := 1; i < 3; i++ {
		if x, ok := c.dims(i); ok && !c.z.single(x) {
			c.misfit("the ratio and the mode are scalars", "give one number", i)
		}
	}
}

func bitShiftRule(c *call) {
	c.choice("direction", "", "LEFT", "RIGHT")
	c.broadcastInputs(0, 2)
}

func softmaxRule(c *call) {
	def := int64(-1)
	if c.ver < 13 {
		def = 1
	}
	x, ok := c.dims(0)
	if !ok {
		return
	}
	// Before opset 13 the axis is where the value is made a matrix, and may be its rank.
	if axis := c.int("axis", def); len(x) > 0 && !(c.ver < 13 && axis == int64(len(x))) {
		if _, ok := c.axisIn("attribute axis", axis, len(x), 0); !ok {
			return
		}
	}
	c.shape(0, x)
}

func triluRule(c *call) {
	if x, ok := c.dims(0); ok {
		if len(x) < 2 {
			c.misfit("a matrix is needed", "reshape the input to two or more axes", 0)
			return
		}
		c.shape(0, x)
	}
}

func preluRule(c *call) {
	x, ok := c.dims(0)
	if !ok {
		return
	}
	if s, ok := c.dims(1); ok {
		if out, ok := c.z.broadcastAll(x, s); !ok || len(out) != len(x) {
			c.misfit("the slope cannot be broadcast to the input", "give a slope whose lengths are those of the input or 1", 0, 1)
			return
		}
	}
	c.shape(0, x)
}

func cumSumRule(c *call) {
	x, ok := c.dims(0)
	if !ok {
		return
	}
	if a, known := c.number(1); known && len(x) > 0 {
		if _, ok := c.axisIn("the axis", a, len(x), 0); !ok {
			return
		}
	}
	c.shape(0, x)
}

// integer reports whether elements of a type are followed as sizes.
func integer(t DataType) bool { return t == Int64 || t == Int32 || t == Bool }

// arithValues evaluates an operation of two values.
func arithValues(c *call) {
	op := c.n.Op
	if len(c.in) == 2 && (op != "Mod" || c.int("fmod", 0) == 0) && integer(c.arg(0).typ) && integer(c.out[0].typ) {
		c.elements(func(d []Size) Size { return c.z.arith(op, d[0], d[1]) }, 2)
		return
	}
	floatValues(c)
}

// elements applies fn to the elements of the first n inputs, broadcast.
func (c *call) elements(fn func(d []Size) Size, n int) {
	args, count := make([][]Size, n), 1
	for i := range args {
		f := c.arg(i)
		if f.ints == nil || !c.out[0].ranked {
			return
		}
		args[i] = f.ints
		count = max(count, len(f.ints))
	}
	shape, ok := numeric(c.out[0].dims)
	if !ok || product64(shape) > maxInts {
		return
	}
	count = int(product64(shape))
	out, at := make([]Size, count), make([]Size, n)
	for k := range out {
		for i := range args {
			at[i] = args[i][broadcastIndex(k, shape, c.arg(i).dims)]
		}
		out[k] = fn(at)
		if c.out[0].typ == Int32 && out[k].sym == 0 && int64(int32(out[k].n)) != out[k].n {
			return
		}
	}
	c.out[0].ints = out
}

// product64 is the number of elements, more than maxInts where it is not small.
func product64(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		if d <= 0 {
			return 0
		}
	}
	for _, d := range shape {
		if d > maxInts {
			return maxInts + 1
		}
		if n *= d; n > maxInts {
			return n
		}
	}
	return n
}

// broadcastIndex is the position in a value of shape dims of what stands at k of shape.
func broadcastIndex(k int, shape []int64, dims []Size) int {
	at, stride := 0, 1
	for i := len(dims) - 1; i >= 0; i-- {
		j := i + len(shape) - len(dims)
		x := k % int(shape[j])
		k /= int(shape[j])
		if n := int(dims[i].n); n > 1 {
			at += x * stride
			stride *= n
		}
	}
	return at
}

func whereValues(c *call) {
	if !integer(c.out[0].typ) {
		return
	}
	c.elements(func(d []Size) Size {
		switch {
		case d[1] == d[2]:
			return d[1]
		case d[0].sym != 0:
			return c.z.opaqueElement(c.z.opaque("where", d[0], d[1]), d[2])
		case d[0].n != 0:
			return d[1]
		}
		return d[2]
	}, 3)
}

// opaqueElement is an element that depends on two others in a way that is not followed.
func (z *algebra) opaqueElement(a, b Size) Size {
	s := z.opaque("where", a, b)
	z.expr(s).wild = true
	return s
}

func notValues(c *call) {
	c.elements(func(d []Size) Size { return c.z.arith("Equal", d[0], SizeOf(0)) }, 1)
}

func negValues(c *call) {
	if integer(c.out[0].typ) {
		c.elements(func(d []Size) Size { return c.z.arith("Sub", SizeOf(0), d[0]) }, 1)
		return
	}
	floatValues(c)
}

// sameValues hands the elements of input 0 on.
func sameValues(c *call) {
	c.out[0].ints, c.out[0].floats = c.arg(0).ints, c.arg(0).floats
}

func cumSumValues(c *call) {
	x := c.arg(0)
	if len(x.dims) != 1 || x.ints == nil || !integer(x.typ) || c.int("exclusive", 0) != 0 || c.int("reverse", 0) != 0 {
		return
	}
	out, sum := make([]Size, len(x.ints)), Size{}
	for i, v := range x.ints {
		sum = c.z.arith("Add", sum, v)
		out[i] = sum
	}
	c.out[0].ints = out
}

func castValues(c *call) {
	from, to := c.arg(0), c.out[0].typ
	switch {
	case from.ints != nil && to == Bool && from.typ != Bool:
		c.elements(func(d []Size) Size {
			return c.z.arith("Equal", c.z.arith("Equal", d[0], Size{}), Size{})
		}, 1)
	case from.ints != nil && integer(to):
		c.elements(func(d []Size) Size { return d[0] }, 1)
	case from.ints != nil && to == Float:
		v, ok := numeric(from.ints)
		if !ok || len(v) > maxFloats {
			return
		}
		c.out[0].floats = make([]float32, len(v))
		for i, x := range v {
			c.out[0].floats[i] = float32(x)
		}
	case from.floats != nil && to == Float:
		c.out[0].floats = from.floats
	case from.floats != nil && (to == Int64 || to == Int32):
		out := make([]Size, len(from.floats))
		for i, v := range from.floats {
			limit := float64(1 << 53)
			if to == Int32 {
				limit = 1 << 31
			}
			if !(math.Abs(float64(v)) < limit) {
				return
			}
			out[i] = SizeOf(int64(v))
		}
		c.out[0].ints = out
	}
}

// floatValues evaluates float32 arithmetic of single numbers, rounding as a run would.
func floatValues(c *call) {
	if c.out[0].typ != Float || len(c.in) > 2 || !c.out[0].ranked || !c.z.single(c.out[0].dims) {
		return
	}
	var arg [2]float32
	for i, f := range c.in {
		if len(f.floats) != 1 || f.typ != Float {
			return
		}
		arg[i] = f.floats[0]
	}
	a, b := arg[0], arg[1]
	switch c.n.Op {
	case "Sqrt":
		a = float32(math.Sqrt(float64(a)))
	case "Reciprocal":
		a = 1 / a
	case "Neg":
		a = -a
	case "Add":
		a += b
	case "Sub":
		a -= b
	case "Mul":
		a *= b
	case "Div":
		a /= b
	default:
		return
	}
	c.out[0].floats = []float32{a}
}
