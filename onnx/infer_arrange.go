package onnx

import (
	"fmt"
	"slices"
)

func transposeRule(c *call) {
	x, ok := c.dims(0)
	perm := c.list("perm")
	given := c.attr("perm") != nil && len(perm) > 0
	if !ok {
		return
	}
	if given && len(perm) != len(x) {
		c.misfit(fmt.Sprintf("perm %v has %d axes", short(perm), len(perm)), "name each axis of the input once", 0)
		return
	}
	out, seen := make([]Size, len(x)), make([]bool, len(x))
	for i := range x {
		p := int64(len(x) - 1 - i)
		if given {
			p = perm[i]
		}
		if p < 0 || p >= int64(len(x)) || seen[p] {
			c.misfit(fmt.Sprintf("perm %v is no order of the axes", short(perm)), "name each axis of the input once", 0)
			return
		}
		seen[p] = true
		out[i] = x[p]
	}
	c.shape(0, out)
}

// short keeps lists in messages short.
func short(v []int64) []int64 { return v[:min(len(v), 16)] }

func concatRule(c *call) {
	var out []Size
	axis, whole := 0, true
	for i := range c.in {
		x, ok := c.dims(i)
		if !ok {
			whole = false
			continue
		}
		if out == nil {
			if axis, ok = c.axis(0, len(x), i); !ok {
				return
			}
			out = slices.Clone(x)
			continue
		}
		if len(x) != len(out) {
			c.misfit("the ranks differ", "give all operands as many axes", 0, i)
			return
		}
		for k, d := range x {
			switch {
			case k == axis:
				out[k] = c.z.sum(out[k], d, 1)
			case !c.equal(out[k], d, fmt.Sprintf("the lengths of axis %d,", k), fmt.Sprintf("all but axis %d must be equal", axis), 0, i):
				return
			case d.sym == 0:
				out[k] = d
			}
		}
	}
	if out == nil {
		return
	}
	if !whole {
		out[axis] = c.z.length()
	}
	c.shape(0, out)
}

func splitRule(c *call) {
	x, ok := c.dims(0)
	if !ok {
		return
	}
	axis, ok := c.axis(0, len(x), 0)
	if !ok {
		return
	}
	sizes, known := c.splitSizes(x[axis])
	if c.bad {
		return
	}
	for i := range c.out {
		out := slices.Clone(x)
		out[axis] = c.z.length()
		if known {
			out[axis] = sizes[i]
		}
		c.shape(i, out)
	}
}

// splitSizes are the lengths of the parts of an axis of length d.
func (c *call) splitSizes(d Size) (sizes []Size, ok bool) {
	parts := int64(len(c.out))
	if a := c.attr("split"); a != nil && len(a.Ints) > 0 {
		sizes = numbersOf(a.Ints)
	}
	if c.given(1) {
		if sizes = c.arg(1).ints; sizes == nil {
			return nil, false
		}
	}
	if sizes != nil {
		if len(sizes) != len(c.out) {
			c.misfit(fmt.Sprintf("%d sizes for %d outputs", len(sizes), len(c.out)), "give one size for each output", 0)
			return nil, false
		}
		sum := Size{}
		for _, s := range sizes {
			sum = c.z.sum(sum, s, 1)
			if s.sym == 0 && s.n < 0 {
				c.misfit(fmt.Sprintf("a part has size %d", s.n), "sizes count from 0", 0)
				return nil, false
			}
		}
		if !c.equal(sum, d, "the sum of the sizes and the length of the axis,", "the sizes must add up to the length", 0) {
			return nil, false
		}
		out := make([]Size, len(sizes))
		for i, s := range sizes {
			out[i] = c.asLength(s)
		}
		return out, true
	}
	if n := c.int("num_outputs", parts); c.ver >= 18 && n != parts {
		c.complain(fmt.Sprintf("attribute num_outputs is %d and it has %d outputs", n, parts), "let them agree")
		return nil, false
	}
	if d.sym == 0 && c.ver < 18 && d.n%parts != 0 {
		c.misfit(fmt.Sprintf("length %d cannot be split into %d equal parts", d.n, parts), "give the sizes", 0)
		return nil, false
	}
	part := c.z.ceilDiv(d, parts)
	if c.ver < 18 {
		part = c.z.divide(d, SizeOf(parts))
	}
	for range parts - 1 {
		sizes = append(sizes, part)
	}
	last := c.z.sum(d, c.z.product2(part, SizeOf(parts-1)), -1)
	if c.ver < 18 {
		last = part
	}
	if last.sym == 0 && last.n < 0 {
		return nil, false
	}
	return append(sizes, c.asLength(last)), true
}

func splitValues(c *call) {
	x := c.arg(0)
	if x.ints == nil || len(x.dims) != 1 {
		return
	}
	at := int64(0)
	for i := range c.out {
		if !c.out[i].ranked || c.out[i].dims[0].sym != 0 {
			return
		}
		n := c.out[i].dims[0].n
		if at+n > int64(len(x.ints)) {
			return
		}
		c.out[i].ints = x.ints[at : at+n : at+n]
		at += n
	}
}

func padRule(c *call) {
	c.choice("mode", "constant", "constant", "reflect", "edge", "wrap")
	x, ok := c.dims(0)
	if !ok {
		return
	}
	axes := make([]int64, len(x))
	for i := range axes {
		axes[i] = int64(i)
	}
	if c.given(3) {
		if axes, ok = c.numbers(3); !ok {
			c.shape(0, c.fresh(len(x)))
			return
		}
	}
	pads := numbersOf(c.list("pads"))
	if c.ver >= 11 {
		if n, known := c.elementCount(1); known && n != 2*len(axes) {
			c.misfit(fmt.Sprintf("%d pads for %d axes", n, len(axes)), "give two for each axis", 0, 1)
			return
		}
		if pads = c.arg(1).ints; pads == nil {
			c.shape(0, c.fresh(len(x)))
			return
		}
	}
	if len(pads) != 2*len(axes) {
		c.misfit(fmt.Sprintf("%d pads for %d axes", len(pads), len(axes)), "give two for each axis", 0)
		return
	}
	out := slices.Clone(x)
	for i, a := range axes {
		k, ok := c.axisIn("axis", a, len(x), 0)
		if !ok {
			return
		}
		n := c.z.sum(c.z.sum(x[k], pads[i], 1), pads[len(axes)+i], 1)
		if n.sym == 0 && n.n < 0 && x[k].sym == 0 {
			c.misfit(fmt.Sprintf("the pads leave %d of axis %d", n.n, k), "remove no more than there is", 0)
			return
		}
		out[k] = c.asLength(n)
	}
	c.shape(0, out)
}

func concatValues(c *call) {
	if len(c.out[0].dims) != 1 {
		return
	}
	var out []Size
	for i := range c.in {
		e := c.arg(i).ints
		if e == nil || len(out)+len(e) > maxInts {
			return
		}
		out = append(out, e...)
	}
	c.out[0].ints = out
}

func depthToSpaceRule(c *call) {
	c.choice("mode", "DCR", "DCR", "CRD")
	b := c.blockSize()
	if x, ok := c.dims(0); ok && c.rank(0, 4) && !c.bad {
		if x[1].sym == 0 && x[1].n%(b*b) != 0 {
			c.misfit(fmt.Sprintf("%d channels do not make blocks of %d by %d", x[1].n, b, b), "the channels must be a multiple of blocksize²", 0)
			return
		}
		c.shape(0, []Size{x[0], c.z.divide(x[1], SizeOf(b*b)), c.z.product2(x[2], SizeOf(b)), c.z.product2(x[3], SizeOf(b))})
	}
}

func spaceToDepthRule(c *call) {
	b := c.blockSize()
	if x, ok := c.dims(0); ok && c.rank(0, 4) && !c.bad {
		for _, d := range x[2:] {
			if d.sym == 0 && d.n%b != 0 {
				c.misfit(fmt.Sprintf("length %d is no multiple of blocksize %d", d.n, b), "pad the input", 0)
				return
			}
		}
		c.shape(0, []Size{x[0], c.z.product2(x[1], SizeOf(b*b)), c.z.divide(x[2], SizeOf(b)), c.z.divide(x[3], SizeOf(b))})
	}
}

func (c *call) blockSize() int64 {
	b := c.int("blocksize", 0)
	if !c.refers("blocksize") && (b < 1 || b > 1<<15) {
		c.complain(fmt.Sprintf("attribute blocksize is %d", b), "set it to a small number from 1")
	}
	return max(b, 1)
}
