package onnx

import (
	"fmt"
	"slices"
)

// reduceFamily holds operators that take axes away, and those that pick along one.
func reduceFamily() family {
	f := family{
		schemas: `
			ReduceSum 1 T:n>T axes:I keepdims:i
			ReduceSum 13 T:n,i64?>T keepdims:i noop_with_empty_axes:i
			ReduceMean|ReduceProd|ReduceL1|ReduceL2|ReduceSumSquare|ReduceLogSum|ReduceLogSumExp 1 T:n>T axes:I keepdims:i
			ReduceMean|ReduceProd|ReduceL1|ReduceL2|ReduceSumSquare|ReduceLogSum|ReduceLogSumExp 18 T:n,i64?>T keepdims:i noop_with_empty_axes:i
			ReduceMax|ReduceMin 1 T>T axes:I keepdims:i
			ReduceMax|ReduceMin 18 T,i64?>T keepdims:i noop_with_empty_axes:i
			ArgMax|ArgMin 1 n>i64 axis:i keepdims:i select_last_index:i
			TopK 1 T:n>T,i64 axis:i k:i!
			TopK 10 T:n,i64>T,i64 axis:i largest:i sorted:i
		`,
		infer:  map[string]func(*call){"ArgMax": argRule, "ArgMin": argRule, "TopK": topKRule},
		values: map[string]func(*call){"ReduceProd": reduceValues("Mul", 1), "ReduceSum": reduceValues("Add", 0), "ReduceMax": reduceValues("Max", -1), "ReduceMin": reduceValues("Min", -1)},
	}
	for _, op := range []string{"ReduceSum", "ReduceMean", "ReduceProd", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"} {
		f.infer[op] = reduceRule
	}
	return f
}

// axesOf reads the axes of a node: the attribute axes, or input 1 since the
// version that has it there. given is false where there are none, ok where they
// are not known or wrong.
func (c *call) axesOf(rank int) (axes []int, given, ok bool) {
	list := c.list("axes")
	given = c.attr("axes") != nil
	if c.given(1) {
		var known bool
		if list, known = c.numbers(1); !known {
			return nil, true, false
		}
		given = true
	}
	for _, a := range list {
		k, ok := c.axisIn("axis", a, rank, 0)
		if !ok {
			return nil, given, false
		}
		axes = append(axes, k)
	}
	return axes, given, true
}

func reduceRule(c *call) {
	x, ok := c.dims(0)
	if !ok {
		return
	}
	axes, given, ok := c.axesOf(len(x))
	keep := c.int("keepdims", 1) != 0
	switch {
	case c.bad:
		return
	case !ok && keep:
		c.shape(0, c.perhapsReduced(x))
		return
	case !ok:
		if n, known := c.elementCount(1); known && n > 0 && n <= len(x) {
			c.shape(0, c.fresh(len(x)-n))
		}
		return
	case len(axes) == 0 && (c.int("noop_with_empty_axes", 0) != 0):
		c.shape(0, x)
		return
	}
	_ = given
	c.shape(0, reduced(x, axes, keep))
}

// perhapsReduced keeps lengths of 1 and forgets the others.
func (c *call) perhapsReduced(x []Size) []Size {
	out := slices.Clone(x)
	for i, d := range x {
		if !d.Is(1) {
			out[i] = c.z.length()
		}
	}
	return out
}

// reduced takes axes away, all where none are named, or makes them 1.
func reduced(x []Size, axes []int, keep bool) []Size {
	out := make([]Size, 0, len(x))
	for i, d := range x {
		switch {
		case len(axes) > 0 && !slices.Contains(axes, i):
			out = append(out, d)
		case keep:
			out = append(out, SizeOf(1))
		}
	}
	return out
}

func argRule(c *call) {
	if x, ok := c.dims(0); ok && len(x) > 0 {
		if k, ok := c.axis(0, len(x), 0); ok {
			c.shape(0, reduced(x, []int{k}, c.int("keepdims", 1) != 0))
		}
	}
}

func topKRule(c *call) {
	x, ok := c.dims(0)
	if !ok {
		return
	}
	k, ok := c.axis(-1, len(x), 0)
	if !ok {
		return
	}
	n := c.z.length()
	if c.ver < 10 {
		n = SizeOf(c.int("k", 0))
	} else if e, ok := c.element(1); ok {
		n = e
	}
	if n.sym == 0 && (n.n < 0 || x[k].sym == 0 && n.n > x[k].n) {
		c.misfit(fmt.Sprintf("k is %d for an axis of %s", n.n, must(c.z.text(x[k]))), "take at most as many as there are", 0)
		return
	}
	out := slices.Clone(x)
	out[k] = c.asLength(n)
	c.shape(0, out)
	c.shape(1, out)
}

func must(text string, _ bool) string { return text }

// reduceValues reduces a list of sizes to one.
func reduceValues(op string, start int64) func(*call) {
	return func(c *call) {
		x := c.arg(0)
		if len(x.ints) == 0 || len(x.dims) != 1 || !integer(x.typ) || !c.out[0].ranked || !c.z.single(c.out[0].dims) {
			return
		}
		v := x.ints[0]
		if start >= 0 {
			v = c.z.arith(op, SizeOf(start), v)
		}
		for _, e := range x.ints[1:] {
			v = c.z.arith(op, v, e)
		}
		c.out[0].ints = []Size{v}
	}
}
