package onnx

import (
	"fmt"
	"math"
	"slices"
)

// shapeFamily holds operators that make, ask for or change shapes.
func shapeFamily() family {
	return family{
		schemas: `
			Shape 1 _>i64
			Shape 15 _>i64 start:i end:i
			Size 1 _>i64
			Reshape 5 T,i64>T allowzero:i
			Flatten 1 T>T axis:i
			Squeeze 1 T>T axes:I
			Squeeze 13 T,i64?>T
			Unsqueeze 1 T>T axes:I!
			Unsqueeze 13 T,i64>T
			Transpose 1 T>T perm:I
			Expand 8 T,i64>T
			Tile 6 T,i64>T
			Concat 4 T~>T axis:i!
			Split 2 T>T~ axis:i split:I
			Split 13 T,i64?>T~ axis:i
			Split 18 T,i64?>T~ axis:i num_outputs:i
			Slice 1 T>T axes:I starts:I! ends:I!
			Slice 10 T,I:idx,I,I?,I?>T
			Pad 2 T>T mode:s pads:I! value:f
			Pad 11 T,i64,T?>T mode:s
			Pad 18 T,i64,T?,idx?>T mode:s
			Constant 1 >_ value:t value_float:f value_floats:F value_int:i value_ints:I value_string:s value_strings:S sparse_value:x
			ConstantOfShape 9 i64>_ value:t
			Range 11 T:n,T,T>T
			DepthToSpace 1 T>T blocksize:i! mode:s
			SpaceToDepth 1 T>T blocksize:i!
			RandomNormal|RandomUniform 1 >_ dtype:i shape:I! seed:f
		`,
		infer: map[string]func(*call){
			"Shape": shapeRule, "Size": func(c *call) { c.shape(0, []Size{}) }, "Reshape": reshapeRule, "Flatten": flattenRule,
			"Squeeze": squeezeRule, "Unsqueeze": unsqueezeRule, "Transpose": transposeRule, "Expand": expandRule, "Tile": tileRule,
			"Concat": concatRule, "Split": splitRule, "Slice": sliceRule, "Pad": padRule, "Constant": constantRule,
			"ConstantOfShape": constantOfShapeRule, "Range": rangeRule, "DepthToSpace": depthToSpaceRule, "SpaceToDepth": spaceToDepthRule,
			"RandomNormal": randomRule, "RandomUniform": randomRule,
		},
		values: map[string]func(*call){
			"Shape": shapeValues, "Size": sizeValues, "Reshape": sameValues, "Flatten": sameValues, "Squeeze": sameValues, "Unsqueeze": sameValues,
			"Expand": expandValues, "Concat": concatValues, "Slice": sliceValues, "ConstantOfShape": filledValues, "Range": rangeValues,
			"Tile": tileValues, "Split": splitValues,
		},
	}
}

// shapeRange is the part of the shape that a Shape node (opset 15) returns.
func (c *call) shapeRange(rank int) (lo, hi int) {
	at := func(name string, def int64) int {
		v := c.int(name, def)
		if v < 0 {
			v += int64(rank)
		}
		return int(min(max(v, 0), int64(rank)))
	}
	lo, hi = at("start", 0), at("end", int64(rank))
	return lo, max(lo, hi)
}

func shapeRule(c *call) {
	if x, ok := c.dims(0); ok {
		lo, hi := c.shapeRange(len(x))
		c.shape(0, []Size{SizeOf(int64(hi - lo))})
		return
	}
	c.shape(0, []Size{c.z.length()})
}

func shapeValues(c *call) {
	if x, ok := c.dims(0); ok {
		lo, hi := c.shapeRange(len(x))
		c.out[0].ints = x[lo:hi:hi]
	}
}

func sizeValues(c *call) {
	if x, ok := c.dims(0); ok {
		c.out[0].ints = []Size{c.z.product(x)}
	}
}

// reshapeRule applies ONNX's rules for 0 and -1.
func reshapeRule(c *call) {
	x, ok := c.dims(0)
	want := c.arg(1).ints
	if want == nil {
		if n, known := c.elementCount(1); known {
			c.shape(0, c.fresh(n))
		}
		return
	}
	if len(want) > maxRank {
		return
	}
	out, free := slices.Clone(want), -1
	exact := true // whether all lengths but that of −1 are what they say
	for i, d := range want {
		switch {
		case d.Is(0) && c.int("allowzero", 0) == 0:
			if ok && i >= len(x) {
				c.misfit(fmt.Sprintf("element %d of the shape is 0, which takes a length of the input, and it has none there", i), "write the length", 0)
				return
			} else if ok {
				out[i] = x[i]
			} else {
				out[i], exact = c.z.length(), false
			}
		case d.Is(-1):
			if free >= 0 {
				c.misfit("the shape has -1 twice", "one length at most can be left open", 1)
				return
			}
			free = i
		case d.sym == 0 && d.n < 0:
			c.misfit(fmt.Sprintf("element %d of the shape is %d", i, d.n), "write a length, 0 or -1", 1)
			return
		case c.z.wild(d):
			out[i], exact = c.z.length(), false
		}
	}
	if free >= 0 {
		rest := slices.Delete(slices.Clone(out), free, free+1)
		out[free] = c.z.length()
		if ok && exact {
			out[free] = c.remainder(x, rest, want)
		}
	} else if ok && exact {
		c.sameCount(x, out, want)
	}
	if !c.bad {
		c.shape(0, out)
	}
}

// remainder is the length that -1 stands for.
func (c *call) remainder(x, rest, want []Size) Size {
	an, bn, as, bs, ok := c.z.ratio(x, rest)
	switch {
	case !ok || bn == 0 || an == 0:
		if an == 0 && bn != 0 && ok {
			return SizeOf(0)
		}
		return c.z.length()
	case len(bs) == 0 && an%bn == 0:
		return c.z.product(append(as, SizeOf(an/bn)))
	case len(bs) == 0 && len(as) == 0:
		c.misfit(fmt.Sprintf("the elements cannot be reshaped to %s", c.z.shapeText(&fact{ranked: true, dims: want})),
			fmt.Sprintf("%d is no multiple of %d", an, bn), 0)
		return Size{}
	case len(bs) == 0:
		return c.z.divide(c.z.product(append(as, SizeOf(an))), SizeOf(bn))
	}
	return c.z.length()
}

// sameCount checks that two shapes have as many elements.
func (c *call) sameCount(x, out, want []Size) {
	an, bn, as, bs, ok := c.z.ratio(x, out)
	if ok && len(as) == 0 && len(bs) == 0 && an != bn {
		c.misfit(fmt.Sprintf("the elements cannot be reshaped to %s", c.z.shapeText(&fact{ranked: true, dims: want})), "the numbers of elements must be equal", 0)
	}
}

func flattenRule(c *call) {
	x, ok := c.dims(0)
	if !ok {
		c.shape(0, c.fresh(2))
		return
	}
	axis := c.int("axis", 1)
	if axis < 0 {
		axis += int64(len(x))
	}
	if axis < 0 || axis > int64(len(x)) {
		c.misfit(fmt.Sprintf("attribute axis %d is out of range", c.int("axis", 1)), fmt.Sprintf("axes go from %d to %d", -len(x), len(x)), 0)
		return
	}
	c.shape(0, []Size{c.z.product(x[:axis]), c.z.product(x[axis:])})
}

func squeezeRule(c *call) {
	x, ok := c.dims(0)
	if !ok {
		return
	}
	axes, given, ok := c.axesOf(len(x))
	if c.bad {
		return
	}
	if !ok {
		if n, known := c.elementCount(1); known && n <= len(x) {
			c.shape(0, c.fresh(len(x)-n))
		}
		return
	}
	out := make([]Size, 0, len(x))
	for i, d := range x {
		switch {
		case given && slices.Contains(axes, i):
			if d.sym == 0 && d.n != 1 {
				c.misfit(fmt.Sprintf("axis %d has length %d", i, d.n), "only axes of length 1 can be squeezed", 0)
				return
			}
		case !given && d.sym != 0:
			return // it may be 1
		case given || !d.Is(1):
			out = append(out, d)
		}
	}
	c.shape(0, out)
}

func unsqueezeRule(c *call) {
	x, ok := c.dims(0)
	if !ok {
		return
	}
	count := len(c.list("axes"))
	if c.given(1) {
		var known bool
		if count, known = c.elementCount(1); !known {
			return
		}
	}
	rank := len(x) + count
	axes, _, ok := c.axesOf(rank)
	if c.bad {
		return
	}
	if !ok {
		c.shape(0, c.fresh(rank))
		return
	}
	slices.Sort(axes)
	if len(slices.Compact(axes)) != count {
		c.misfit("an axis is named twice", "name each once", 0)
		return
	}
	out, k := make([]Size, rank), 0
	for i := range out {
		if slices.Contains(axes, i) {
			out[i] = SizeOf(1)
			continue
		}
		out[i] = x[k]
		k++
	}
	c.shape(0, out)
}

func expandRule(c *call) {
	x, ok := c.dims(0)
	want := c.arg(1).ints
	if !ok {
		return
	}
	if want == nil {
		if n, known := c.elementCount(1); known {
			c.shape(0, c.fresh(max(n, len(x))))
		}
		return
	}
	to := make([]Size, len(want))
	for i, d := range want {
		if d.sym == 0 && d.n < 0 { // ONNX Runtime reads -1 as 1
			d = SizeOf(1)
		}
		to[i] = c.asLength(d)
	}
	out, ok := c.z.broadcastAll(x, to)
	if !ok {
		c.misfit("it cannot be expanded to "+c.z.shapeText(&fact{ranked: true, dims: want}), "lengths must be equal or 1", 0)
		return
	}
	c.shape(0, out)
}

func tileRule(c *call) {
	x, ok := c.dims(0)
	if !ok {
		return
	}
	n, known := c.elementCount(1)
	if known && n != len(x) {
		c.misfit(fmt.Sprintf("%d repeats are given", n), fmt.Sprintf("give one for each of the %d axes", len(x)), 0, 1)
		return
	}
	times := c.arg(1).ints
	if times == nil {
		c.shape(0, c.fresh(len(x)))
		return
	}
	out := make([]Size, len(x))
	for i := range x {
		if times[i].sym == 0 && times[i].n < 0 {
			c.misfit(fmt.Sprintf("the repeats of axis %d are %d", i, times[i].n), "repeats count from 0", 0)
			return
		}
		out[i] = c.z.product2(x[i], c.asLength(times[i]))
	}
	c.shape(0, out)
}

func constantRule(c *call) {
	f := &c.out[0]
	for _, a := range c.n.Attrs {
		if a = c.attr(a.Name); a == nil {
			continue
		}
		switch a.Name {
		case "value":
			if a.Tensor != nil {
				*f = *tensorFact(a.Tensor)
			}
		case "value_float":
			*f = fact{typ: Float, ranked: true, floats: []float32{a.Float}}
		case "value_int":
			*f = fact{typ: Int64, ranked: true, ints: []Size{SizeOf(a.Int)}}
		case "value_string":
			*f = fact{typ: String, ranked: true}
		case "value_floats":
			*f = fact{typ: Float, ranked: true, dims: []Size{SizeOf(int64(len(a.Floats)))}}
			if len(a.Floats) <= maxFloats {
				f.floats = a.Floats
			}
		case "value_ints":
			*f = fact{typ: Int64, ranked: true, dims: []Size{SizeOf(int64(len(a.Ints)))}}
			if len(a.Ints) <= maxInts {
				f.ints = numbersOf(a.Ints)
			}
		case "value_strings":
			*f = fact{typ: String, ranked: true, dims: []Size{SizeOf(int64(len(a.Strings)))}}
		case "sparse_value":
			if a.Sparse != nil && a.Sparse.Values != nil {
				*f = fact{typ: a.Sparse.Values.Type, ranked: true, dims: numbersOf(a.Sparse.Dims)}
			}
		default:
			continue
		}
		return
	}
	if len(c.n.Attrs) == 0 {
		c.complain("it has no value", "set attribute value to a tensor")
	}
}

func constantOfShapeRule(c *call) {
	t := Float
	if a := c.attr("value"); a != nil && a.Tensor != nil {
		t = a.Tensor.Type
		if n := a.Tensor.Len(); n != 1 {
			c.complain(fmt.Sprintf("attribute value has %d elements", n), "give one")
			return
		}
	}
	c.typed(0, t)
	want := c.arg(0).ints
	if want == nil {
		if n, known := c.elementCount(0); known {
			c.shape(0, c.fresh(n))
		}
		return
	}
	out := make([]Size, len(want))
	for i, d := range want {
		if d.sym == 0 && d.n < 0 {
			c.misfit(fmt.Sprintf("element %d of the shape is %d", i, d.n), "lengths count from 0", 0)
			return
		}
		out[i] = c.asLength(d)
	}
	c.shape(0, out)
}

func filledValues(c *call) {
	shape, ok := numeric(c.out[0].dims)
	a := c.attr("value")
	if !ok || !c.out[0].ranked || a == nil || a.Tensor == nil || product64(shape) > maxInts {
		return
	}
	if f := tensorFact(a.Tensor); len(f.ints) == 1 {
		c.out[0].ints = slices.Repeat(f.ints, int(product64(shape)))
	}
}

func randomRule(c *call) {
	c.typed(0, c.targetType("dtype", Float))
	for _, d := range c.list("shape") {
		if d < 0 {
			return
		}
	}
	c.shape(0, numbersOf(c.list("shape")))
}

func rangeRule(c *call) {
	for i := range 3 {
		if x, ok := c.dims(i); ok && !c.z.single(x) {
			c.misfit("start, limit and delta are scalars", "give one number", i)
			return
		}
	}
	c.shape(0, []Size{c.rangeLength()})
}

// rangeLength is ⌈(limit − start)/delta⌉ of integers, or of float constants.
func (c *call) rangeLength() Size {
	from, ok0 := c.element(0)
	to, ok1 := c.element(1)
	step, ok2 := c.element(2)
	if ok0 && ok1 && ok2 {
		lo, _, okLo, _ := c.z.bounds(to, from)
		switch d := c.z.sum(to, from, -1); {
		case step.Is(1) && okLo && lo >= 0:
			return d
		case d.sym == 0 && step.sym == 0 && step.n != 0 && step.n != math.MinInt64:
			q := d.n / step.n
			if d.n%step.n != 0 && (d.n > 0) == (step.n > 0) {
				q++
			}
			return SizeOf(max(0, q))
		}
		return c.z.length()
	}
	var v [3]float64
	for i := range v {
		f := c.arg(i).floats
		if len(f) != 1 || c.arg(i).typ == Double {
			return c.z.length()
		}
		v[i] = float64(f[0])
	}
	if n := math.Ceil((v[1] - v[0]) / v[2]); n < 1<<40 && n > -(1<<40) {
		return SizeOf(int64(max(n, 0)))
	}
	return c.z.length()
}

func rangeValues(c *call) {
	from, ok := c.element(0)
	step, ok2 := c.element(2)
	if n := c.out[0].dims[0]; ok && ok2 && n.sym == 0 && n.n <= maxInts && integer(c.out[0].typ) {
		out := make([]Size, n.n)
		for i := range out {
			out[i] = c.z.sum(from, c.z.product2(step, SizeOf(int64(i))), 1)
		}
		c.out[0].ints = out
	}
}

func expandValues(c *call) {
	if integer(c.out[0].typ) {
		c.elements(func(d []Size) Size { return d[0] }, 1)
	}
}

func tileValues(c *call) {
	x := c.arg(0)
	if shape, ok := numeric(c.out[0].dims); ok && len(shape) == 1 && product64(shape) <= maxInts && len(x.ints) > 0 {
		c.out[0].ints = slices.Repeat(x.ints, int(shape[0])/len(x.ints))
	}
}
