package exec

import (
	"fmt"
	"math"
	"slices"

	"github.com/litekit/lite/onnx"
)

// shapeOf returns the dimensions, from start to end where those are given (opset 15).
func shapeOf(c *call) error {
	s := c.in[0].Shape
	rank := int64(len(s))
	clampDim := func(v int64) int64 {
		if v < 0 {
			v += rank
		}
		return min(max(v, 0), rank)
	}
	lo, hi := clampDim(c.node.Int("start", 0)), clampDim(c.node.Int("end", rank))
	s = s[lo:max(lo, hi)]
	out, err := c.output(0, onnx.Int64, len(s))
	if err != nil {
		return err
	}
	for i, d := range s {
		out.I64[i] = int64(d)
	}
	return nil
}

func sizeOf(c *call) error {
	out, err := c.output(0, onnx.Int64)
	if err != nil {
		return err
	}
	out.I64[0] = int64(c.in[0].Len())
	return nil
}

func reshape(c *call) error {
	x := c.in[0]
	want, given, err := c.intsOr("shape", 1)
	if err != nil {
		return err
	}
	if !given {
		return fmt.Errorf("the shape is missing")
	}
	shape := c.newShape(len(want))
	infer := -1
	for i, d := range want {
		switch {
		case d == -1 && infer < 0:
			infer = i
			shape[i] = 1
		case d == 0 && c.node.Int("allowzero", 0) == 0:
			if i >= len(x.Shape) {
				return fmt.Errorf("dimension %d of shape %v copies one that %v does not have", i, want, x.Shape)
			}
			shape[i] = x.Shape[i]
		case d < 0:
			return fmt.Errorf("shape %v has a negative dimension", want)
		default:
			shape[i] = int(d)
		}
	}
	n, ok := elements(shape)
	if ok && infer >= 0 && n > 0 {
		shape[infer] = x.Len() / n
		n *= shape[infer]
	}
	if !ok || n != x.Len() {
		return fmt.Errorf("a value of shape %v cannot become %v", x.Shape, want)
	}
	c.view(0, x, shape)
	return nil
}

func flatten(c *call) error {
	x := c.in[0]
	a := c.node.Int("axis", 1)
	if a != int64(len(x.Shape)) {
		d, err := axis(a, len(x.Shape))
		if err != nil {
			return err
		}
		a = int64(d)
	}
	shape := c.newShape(2)
	shape[0], shape[1] = product(x.Shape[:a]), product(x.Shape[a:])
	c.view(0, x, shape)
	return nil
}

func squeeze(c *call) error {
	x := c.in[0]
	list, given, err := c.intsOr("axes", 1)
	if err != nil {
		return err
	}
	ax, err := c.axes(list, len(x.Shape))
	if err != nil {
		return err
	}
	shape := c.newShape(len(x.Shape))[:0]
	for i, d := range x.Shape {
		switch drop := slices.Contains(ax, i); {
		case drop && d != 1:
			return fmt.Errorf("axis %d of shape %v is not 1", i, x.Shape)
		case drop || !given && d == 1:
		default:
			shape = append(shape, d)
		}
	}
	c.view(0, x, shape)
	return nil
}

func unsqueeze(c *call) error {
	x := c.in[0]
	list, given, err := c.intsOr("axes", 1)
	if err != nil {
		return err
	}
	if !given {
		return fmt.Errorf("the axes are missing")
	}
	rank := len(x.Shape) + len(list)
	ax, err := c.axes(list, rank)
	if err != nil {
		return err
	}
	shape, rest := c.newShape(rank)[:0], x.Shape
	for i := range rank {
		if slices.Contains(ax, i) {
			shape = append(shape, 1)
		} else {
			shape, rest = append(shape, rest[0]), rest[1:]
		}
	}
	c.view(0, x, shape)
	return nil
}

func transpose(c *call) error {
	x := c.in[0]
	rank := len(x.Shape)
	perm := c.newShape(rank)
	if list := c.node.Ints("perm"); list != nil {
		if len(list) != rank {
			return fmt.Errorf("perm %v does not fit shape %v", list, x.Shape)
		}
		if _, err := c.axes(list, rank); err != nil {
			return err
		}
		for i, p := range list {
			perm[i], _ = axis(p, rank)
		}
	} else {
		for i := range perm {
			perm[i] = rank - 1 - i
		}
	}
	out, err := c.permuted(x, perm)
	c.out[0] = out
	return err
}

// permuted returns x with its dimensions in the order perm; the caller owns it.
func (c *call) permuted(x *Tensor, perm []int) (*Tensor, error) {
	own := c.strides(x.Shape)
	shape, stride := c.newShape(len(perm)), c.newShape(len(perm))
	for i, p := range perm {
		shape[i], stride[i] = x.Shape[p], own[p]
	}
	out, err := c.new(x.Type, shape...)
	if err != nil {
		return nil, err
	}
	copyStrided(out, 0, x, 0, shape, stride)
	return out, nil
}

func expand(c *call) error {
	x := c.in[0]
	want, err := c.ints(1)
	if err != nil {
		return err
	}
	target := c.newShape(len(want))
	for i, d := range want {
		if d < 0 {
			return fmt.Errorf("shape %v has a negative dimension", want)
		}
		target[i] = int(d)
	}
	shape, err := c.broadcastShape(x.Shape, target)
	if err != nil {
		return err
	}
	if sameShape(shape, x.Shape) {
		return identity(c)
	}
	out, err := c.invent(0, x.Type, shape...)
	if err != nil {
		return err
	}
	copyStrided(out, 0, x, 0, shape, c.broadcastStrides(x.Shape, shape))
	return nil
}

func tile(c *call) error {
	x := c.in[0]
	reps, err := c.ints(1)
	if err != nil {
		return err
	}
	if len(reps) != len(x.Shape) {
		return fmt.Errorf("repeats %v do not fit shape %v", reps, x.Shape)
	}
	own := c.strides(x.Shape)
	shape := c.newShape(len(reps))
	loop, stride := c.newShape(2 * len(reps))[:0], c.newShape(2 * len(reps))[:0]
	for i, r := range reps {
		if n := x.Shape[i]; r < 0 || n > 0 && r > int64(math.MaxInt/64/n) {
			return fmt.Errorf("repeats %v of shape %v", reps, x.Shape)
		}
		shape[i] = x.Shape[i] * int(r)
		loop, stride = append(loop, int(r), x.Shape[i]), append(stride, 0, own[i])
	}
	out, err := c.invent(0, x.Type, shape...)
	if err != nil {
		return err
	}
	copyStrided(out, 0, x, 0, loop, stride)
	return nil
}

func concat(c *call) error {
	first := c.in[0]
	d, err := axis(c.node.Int("axis", 1), len(first.Shape))
	if err != nil {
		return err
	}
	shape := c.mem.shape(first.Shape)
	shape[d] = 0
	for i, x := range c.in {
		if x == nil {
			return fmt.Errorf("input %d is missing", i)
		}
		if x.Type != first.Type || len(x.Shape) != len(shape) {
			return fmt.Errorf("input %d is %s %v; the first is %s %v", i, typeName(x.Type), x.Shape, typeName(first.Type), first.Shape)
		}
		for k, n := range x.Shape {
			if k != d && n != shape[k] {
				return fmt.Errorf("input %d has shape %v, the first %v; they may differ on axis %d only", i, x.Shape, first.Shape, d)
			}
		}
		shape[d] += x.Shape[d]
	}
	out, err := c.output(0, first.Type, shape...)
	if err != nil {
		return err
	}
	inner := product(shape[d+1:])
	outer, row := product(shape[:d]), shape[d]*inner
	dst, at := out, 0
	for _, x := range c.in {
		n := x.Shape[d] * inner
		src := x
		for o := range outer {
			dst.blit(at+o*row, src, o*n, n, 1)
		}
		at += n
	}
	return nil
}

func split(c *call) error {
	x := c.in[0]
	d, err := axis(c.node.Int("axis", 0), len(x.Shape))
	if err != nil {
		return err
	}
	parts, given, err := c.intsOr("split", 1)
	if err != nil {
		return err
	}
	count := len(c.node.Outputs)
	if !given {
		if k := c.node.Int("num_outputs", int64(count)); k != int64(count) {
			return fmt.Errorf("num_outputs is %d, but the node has %d", k, count)
		}
		room, err := c.temp(onnx.Int64, count)
		if err != nil {
			return err
		}
		parts = room.I64[:0]
		chunk := (x.Shape[d] + count - 1) / count
		for left := x.Shape[d]; len(parts) < count; left -= chunk {
			parts = append(parts, int64(max(0, min(chunk, left))))
		}
	}
	total := int64(0)
	for _, p := range parts {
		total += p
		if p < 0 || total > int64(x.Shape[d]) {
			return fmt.Errorf("split %v does not fit axis %d of shape %v", parts, d, x.Shape)
		}
	}
	if len(parts) != count || total != int64(x.Shape[d]) {
		return fmt.Errorf("split %v does not fit axis %d of shape %v and %d outputs", parts, d, x.Shape, count)
	}
	inner, outer := product(x.Shape[d+1:]), product(x.Shape[:d])
	src, at := x, 0
	for i, p := range parts {
		n := int(p) * inner
		if c.wants(i) {
			shape := c.mem.shape(x.Shape)
			shape[d] = int(p)
			out, err := c.output(i, x.Type, shape...)
			if err != nil {
				return err
			}
			dst := out
			for o := range outer {
				dst.blit(o*n, src, at+o*x.Shape[d]*inner, n, 1)
			}
		}
		at += n
	}
	return nil
}

// slice takes starts, ends, axes and steps as attributes (opset 1) or inputs (10).
func slice(c *call) error {
	x := c.in[0]
	rank := len(x.Shape)
	starts, _, err := c.intsOr("starts", 1)
	if err != nil {
		return err
	}
	ends, _, err := c.intsOr("ends", 2)
	if err != nil {
		return err
	}
	list, haveAxes, err := c.intsOr("axes", 3)
	if err != nil {
		return err
	}
	steps, haveSteps, err := c.intsOr("steps", 4)
	if err != nil {
		return err
	}
	n := len(starts)
	if len(ends) != n || haveAxes && len(list) != n || haveSteps && len(steps) != n || n > rank {
		return fmt.Errorf("starts %v, ends %v, axes %v and steps %v do not fit together and shape %v", starts, ends, list, steps, x.Shape)
	}
	if _, err := c.axes(list, rank); err != nil {
		return err
	}
	shape, stride, from := c.mem.shape(x.Shape), c.strides(x.Shape), 0
	for i := range n {
		d, step := i, int64(1)
		if haveAxes {
			d, _ = axis(list[i], rank)
		}
		if haveSteps {
			step = steps[i]
		}
		lo, count, err := sliceRange(starts[i], ends[i], step, int64(x.Shape[d]))
		if err != nil {
			return err
		}
		from += int(lo) * stride[d]
		shape[d] = int(count)
		if count > 1 {
			stride[d] *= int(step)
		}
	}
	out, err := c.output(0, x.Type, shape...)
	if err != nil {
		return err
	}
	copyStrided(out, 0, x, from, shape, stride)
	return nil
}

// sliceRange is numpy's: where a slice of a dimension begins and how many elements it has.
func sliceRange(start, end, step, dim int64) (lo, count int64, err error) {
	if step == 0 {
		return 0, 0, fmt.Errorf("a slice with step 0")
	}
	low, high := int64(0), dim
	if step < 0 {
		low, high = -1, dim-1
	}
	bound := func(v int64) int64 {
		if v < 0 {
			v += dim
		}
		return min(max(v, low), high)
	}
	start, end = bound(start), bound(end)
	switch {
	case step > 0 && end > start:
		// Written so that a huge step cannot overflow.
		return start, (end-start-1)/step + 1, nil
	case step < 0 && end < start:
		if step < -dim {
			step = -dim
		}
		return start, (start-end-1)/-step + 1, nil
	}
	return 0, 0, nil
}
