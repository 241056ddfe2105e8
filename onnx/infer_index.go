package onnx

import (
	"fmt"
	"math"
	"slices"
)

// indexFamily holds operators that pick, place or sort elements by position.
func indexFamily() family {
	return family{
		schemas: `
			Gather|GatherElements 1 T,idx>T axis:i
			GatherND 11 T,i64>T batch_dims:i
			Scatter 9 T,idx,T>T axis:i
			Scatter 11 -
			ScatterElements 11 T,idx,T>T axis:i reduction:s
			ScatterND 11 T,i64,T>T reduction:s
			TensorScatter 24 T,T,i64?>T axis:i mode:s
			OneHot 9 n,n,T>T axis:i
			NonZero 9 _>i64
			Compress 9 T,bool>T axis:i
			Unique 11 T>T,i64?,i64?,i64? axis:i sorted:i
			ReverseSequence 10 T,i64>T batch_axis:i time_axis:i
			NonMaxSuppression 10 f32,f32,i64?,f32?,f32?>i64 center_point_box:i
			CenterCropPad 18 T,idx>T axes:I
		`,
		infer: map[string]func(*call){
			"Gather": gatherRule, "GatherElements": gatherElementsRule, "GatherND": gatherNDRule,
			"Scatter": scatterElementsRule, "ScatterElements": scatterElementsRule, "ScatterND": scatterNDRule, "TensorScatter": sameAsFirst,
			"OneHot": oneHotRule, "NonZero": nonZeroRule, "Compress": compressRule, "Unique": uniqueRule, "ReverseSequence": reverseSequenceRule,
			"NonMaxSuppression": func(c *call) { c.shape(0, []Size{c.z.length(), SizeOf(3)}) }, "CenterCropPad": centerCropPadRule,
		},
		values: map[string]func(*call){"Gather": gatherValues},
	}
}

func gatherRule(c *call) {
	x, ok := c.dims(0)
	if !ok {
		return
	}
	axis, inside := c.axis(0, len(x), 0)
	if !inside {
		return
	}
	if list, ok := c.numbers(1); ok && x[axis].sym == 0 {
		for _, k := range list {
			if k < -x[axis].n || k >= x[axis].n {
				c.misfit(fmt.Sprintf("index %d is out of range", k), fmt.Sprintf("indices of axis %d go from %d to %d", axis, -x[axis].n, x[axis].n-1), 0)
				return
			}
		}
	}
	if idx, ok := c.dims(1); ok {
		c.shape(0, slices.Concat(x[:axis], idx, x[axis+1:]))
	}
}

func gatherValues(c *call) {
	x := c.arg(0)
	idx, ok := c.numbers(1)
	if !ok || len(x.dims) != 1 || len(x.ints) == 0 && len(x.floats) == 0 || len(idx) > maxInts {
		return
	}
	n := int64(max(len(x.ints), len(x.floats)))
	ints := make([]Size, 0, len(idx))
	for _, k := range idx {
		if k < 0 {
			k += n
		}
		if k < 0 || k >= n || x.ints == nil {
			return
		}
		ints = append(ints, x.ints[k])
	}
	c.out[0].ints = ints
}

func gatherElementsRule(c *call) {
	x, ok := c.dims(0)
	idx, ok2 := c.dims(1)
	if ok && ok2 && len(x) != len(idx) {
		c.misfit("the ranks differ", "give the indices as many axes as the input has", 0, 1)
		return
	}
	if ok {
		if _, ok := c.axis(0, len(x), 0); !ok {
			return
		}
	}
	if ok2 {
		c.shape(0, idx)
	}
}

func gatherNDRule(c *call) {
	x, ok := c.dims(0)
	idx, ok2 := c.dims(1)
	if !ok || !ok2 {
		return
	}
	b := c.int("batch_dims", 0)
	if len(x) < 1 || len(idx) < 1 || b < 0 || b >= int64(min(len(x), len(idx))) {
		c.misfit(fmt.Sprintf("batch_dims is %d", b), "it must be below both ranks, which are 1 or more", 0, 1)
		return
	}
	k := idx[len(idx)-1]
	if k.sym != 0 {
		return
	}
	if k.n < 0 || k.n+b > int64(len(x)) {
		c.misfit(fmt.Sprintf("indices of %d axes", k.n), "the last length of the indices is how many axes they name", 0, 1)
		return
	}
	for i := range int(b) {
		if !c.equal(x[i], idx[i], "the batch lengths", "they must be equal", 0, 1) {
			return
		}
	}
	c.shape(0, slices.Concat(idx[:len(idx)-1], x[b+k.n:]))
}

func scatterElementsRule(c *call) {
	x, ok := c.dims(0)
	idx, ok2 := c.dims(1)
	up, ok3 := c.dims(2)
	switch {
	case ok && ok2 && len(x) != len(idx):
		c.misfit("the ranks differ", "give the indices as many axes as the input has", 0, 1)
	case ok2 && ok3 && len(up) != len(idx):
		c.misfit("the ranks differ", "indices and updates have one shape", 1, 2)
	case ok2 && ok3:
		for i := range up {
			if !c.equal(up[i], idx[i], fmt.Sprintf("the lengths of axis %d,", i), "indices and updates have one shape", 1, 2) {
				return
			}
		}
	}
	if ok && !c.bad {
		if _, ok := c.axis(0, len(x), 0); ok {
			c.shape(0, x)
		}
	}
}

func scatterNDRule(c *call) {
	x, ok := c.dims(0)
	if !ok {
		return
	}
	c.shape(0, x)
	idx, ok := c.dims(1)
	up, ok2 := c.dims(2)
	if !ok || len(idx) == 0 || idx[len(idx)-1].sym != 0 {
		return
	}
	k := idx[len(idx)-1].n
	if k < 0 || k > int64(len(x)) {
		c.misfit(fmt.Sprintf("indices of %d axes", k), "the last length of the indices is how many axes they name", 0, 1)
		return
	}
	if !ok2 {
		return
	}
	want := slices.Concat(idx[:len(idx)-1], x[k:])
	if len(want) != len(up) {
		c.misfit("the updates do not fit", "their shape is that of the indices without the last axis, then the rest of the input's", 0, 1, 2)
		return
	}
	for i := range up {
		if !c.equal(want[i], up[i], fmt.Sprintf("the lengths of axis %d of the updates,", i), "their shape is that of the indices without the last axis, then the rest of the input's", 0, 1, 2) {
			return
		}
	}
}

func oneHotRule(c *call) {
	x, ok := c.dims(0)
	if v, ok := c.dims(2); ok && (len(v) != 1 || v[0].sym == 0 && v[0].n != 2) {
		c.misfit("the values for off and on are needed", "give a list of two", 2)
		return
	}
	if !ok {
		return
	}
	k, ok := c.axis(-1, len(x)+1, 0)
	if !ok {
		return
	}
	depth := c.z.length()
	if e, ok := c.element(1); ok {
		depth = c.asLength(e)
	} else if f := c.arg(1).floats; len(f) == 1 && f[0] >= 0 && f[0] < 1<<31 {
		depth = SizeOf(int64(f[0]))
	}
	c.shape(0, slices.Insert(slices.Clone(x), k, depth))
}

func nonZeroRule(c *call) {
	if x, ok := c.dims(0); ok {
		c.shape(0, []Size{SizeOf(int64(max(len(x), 1))), c.z.length()})
		if len(x) == 0 {
			c.shape(0, c.fresh(2))
		}
		return
	}
	c.shape(0, c.fresh(2))
}

func compressRule(c *call) {
	x, ok := c.dims(0)
	if c.attr("axis") == nil {
		c.shape(0, c.fresh(1))
		return
	}
	if !ok {
		return
	}
	if k, ok := c.axis(0, len(x), 0); ok {
		out := slices.Clone(x)
		out[k] = c.z.length()
		c.shape(0, out)
	}
}

func uniqueRule(c *call) {
	n := c.z.length()
	c.shape(1, []Size{n})
	c.shape(3, []Size{n})
	x, ok := c.dims(0)
	if c.attr("axis") == nil {
		c.shape(0, []Size{n})
		if c.shape(2, c.fresh(1)); ok {
			c.shape(2, []Size{c.z.product(x)})
		}
		return
	}
	if c.shape(2, c.fresh(1)); !ok {
		return
	}
	if k, ok := c.axis(0, len(x), 0); ok {
		out := slices.Clone(x)
		out[k] = n
		c.shape(0, out)
		c.shape(2, []Size{x[k]})
	}
}

func reverseSequenceRule(c *call) {
	x, ok := c.dims(0)
	if !ok {
		return
	}
	if len(x) < 2 {
		c.misfit("batch and time are needed", "give two or more axes", 0)
		return
	}
	b, t := c.int("batch_axis", 1), c.int("time_axis", 0)
	if b+t != 1 || b*t != 0 {
		c.complain(fmt.Sprintf("attributes batch_axis %d and time_axis %d", b, t), "set one to 0 and the other to 1")
		return
	}
	if n, ok := c.dims(1); ok && (len(n) != 1 || !c.equal(n[0], x[b], "the number of lengths and the batch,", "give one length for each", 1, 0)) {
		c.bad = true
		return
	}
	c.shape(0, x)
}

func centerCropPadRule(c *call) {
	x, ok := c.dims(0)
	if !ok {
		return
	}
	axes := c.list("axes")
	if c.attr("axes") == nil {
		for i := range x {
			axes = append(axes, int64(i))
		}
	}
	to := c.arg(1).ints
	out := slices.Clone(x)
	for i, a := range axes {
		k, ok := c.axisIn("axis", a, len(x), 0)
		if !ok {
			return
		}
		out[k] = c.z.length()
		if to != nil && i < len(to) {
			out[k] = c.asLength(to[i])
		}
	}
	if to != nil && len(to) != len(axes) {
		c.misfit(fmt.Sprintf("%d lengths for %d axes", len(to), len(axes)), "give one for each", 0)
		return
	}
	c.shape(0, out)
}

// slicing is the normalized argument list of a Slice node, one entry for each axis.
type slicing struct {
	axes       []int
	start, end []Size
	step       []int64
}

// slicing reads the arguments; not ok where they are not known or wrong.
func (c *call) slicing(rank int) (s slicing, ok bool) {
	var axes []int64
	if c.ver < 10 && domain(c.n.Domain) == "" {
		s.start, s.end, axes = numbersOf(c.list("starts")), numbersOf(c.list("ends")), c.list("axes")
	} else {
		s.start, s.end = c.arg(1).ints, c.arg(2).ints
		if s.start == nil || s.end == nil {
			return s, false
		}
		for i, dst := range map[int]*[]int64{3: &axes, 4: &s.step} {
			if c.given(i) {
				if *dst, ok = c.numbers(i); !ok {
					return s, false
				}
			}
		}
	}
	if axes == nil {
		for i := range s.start {
			axes = append(axes, int64(i))
		}
	}
	if s.step == nil {
		s.step = slices.Repeat([]int64{1}, len(s.start))
	}
	if len(s.end) != len(s.start) || len(axes) != len(s.start) || len(s.step) != len(s.start) {
		c.misfit(fmt.Sprintf("%d starts, %d ends, %d axes and %d steps", len(s.start), len(s.end), len(axes), len(s.step)), "give as many of each", 0)
		return s, false
	}
	for i, a := range axes {
		k, inside := c.axisIn("axis", a, rank, 0)
		if !inside {
			return s, false
		}
		if s.step[i] == 0 {
			c.misfit("a step is 0", "steps go forward or back", 0)
			return s, false
		}
		s.axes = append(s.axes, k)
	}
	return s, true
}

func sliceRule(c *call) {
	x, ok := c.dims(0)
	if !ok {
		return
	}
	out := slices.Clone(x)
	s, ok := c.slicing(len(x))
	if c.bad {
		return
	}
	if ok {
		for i, a := range s.axes {
			out[a] = c.sliced(x[a], s.start[i], s.end[i], s.step[i])
		}
		c.shape(0, out)
		return
	}
	axes, known := c.numbers(3)
	if n, counted := c.elementCount(1); !c.given(3) && counted {
		for i := range min(n, len(x)) {
			axes = append(axes, int64(i))
		}
		known = true
	}
	if known { // only the sliced axes are in doubt
		for _, a := range axes {
			k, inside := c.axisIn("axis", a, len(x), 0)
			if !inside {
				return
			}
			out[k] = c.z.length()
		}
		c.shape(0, out)
		return
	}
	c.shape(0, c.fresh(len(x)))
}

// sliced is the length of [start:end:step] of an axis of length d.
func (c *call) sliced(d, start, end Size, step int64) Size {
	if d.sym == 0 && start.sym == 0 && end.sym == 0 {
		lo, hi := clampSlice(d.n, start.n, end.n, step)
		switch {
		case step > 0 && hi > lo:
			return SizeOf((hi-lo-1)/step + 1)
		case step < 0 && lo > hi && step != math.MinInt64:
			return SizeOf((lo-hi-1)/-step + 1)
		case step < 0 && lo > hi:
			return SizeOf(1)
		}
		return SizeOf(0)
	}
	if step != 1 || c.z.wild(start) || c.z.wild(end) {
		if step == -1 && start.Is(-1) && end.sym == 0 && end.n < math.MinInt32 {
			return d
		}
		if step > 1 && start.Is(0) && end.sym == 0 && end.n >= math.MaxInt32 {
			return c.z.ceilDiv(d, step)
		}
		return c.z.length()
	}
	// An end of s of a constant has s elements, a run in which it has fewer fails
	// where they are used with others of that length.
	if start.Is(0) && end.sym != 0 {
		if lo, _, ok, _ := c.z.bounds(end, Size{}); ok && lo >= 0 {
			return end
		}
	}
	start, end = c.z.fromEnd(d, start), c.z.fromEnd(d, end)
	if end.sym == 0 && end.n >= math.MaxInt32 {
		end = d
	}
	inside, _, ok, _ := c.z.bounds(d, end)
	first, _, ok2, _ := c.z.bounds(start, Size{})
	if ok && inside >= 0 && ok2 && first >= 0 {
		return c.z.arith("Max", c.z.sum(end, start, -1), Size{})
	}
	return c.z.length()
}

// fromEnd counts a negative number from the end of an axis.
func (z *algebra) fromEnd(d, at Size) Size {
	if at.sym == 0 && at.n < 0 && at.n > math.MinInt32 {
		return z.sum(d, at, 1)
	}
	return at
}

// clampSlice brings start and end into the axis as ONNX's Slice does.
func clampSlice(n, start, end, step int64) (lo, hi int64) {
	if start < 0 {
		start += n
	}
	if end < 0 {
		end += n
	}
	if step > 0 {
		return min(max(start, 0), n), min(max(end, 0), n)
	}
	return min(max(start, 0), n-1), min(max(end, -1), n-1)
}

func sliceValues(c *call) {
	x := c.arg(0)
	if x.ints == nil || len(x.dims) != 1 {
		return
	}
	s, ok := c.slicing(1)
	if !ok || len(s.axes) != 1 || s.start[0].sym != 0 || s.end[0].sym != 0 {
		return
	}
	n := c.out[0].dims[0]
	if n.sym != 0 {
		return
	}
	lo, _ := clampSlice(int64(len(x.ints)), s.start[0].n, s.end[0].n, s.step[0])
	out := make([]Size, 0, n.n)
	for i := range n.n {
		out = append(out, x.ints[lo+i*s.step[0]])
	}
	c.out[0].ints = out
}
