package exec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/litekit/lite/onnx"
)

// equation is a parsed Einsum: labels are letters, and for the dimensions that
// an ellipsis stands for the numbers 0, 1, … counted from the last one.
type equation struct {
	in     [][]rune
	out    []rune
	sizes  map[rune]int
	summed []rune
}

// einsum is Einsum (opset 12): letters name dimensions, those that the result
// does not have are summed over, and an ellipsis stands for dimensions that
// broadcast. Without "->" the result has the ellipsis and then, in alphabetical
// order, the letters that occur once.
func einsum(c *call) error {
	for i, t := range c.in {
		if t == nil || t.Type != c.in[0].Type {
			return fmt.Errorf("input %d is missing or of another type than input 0", i)
		}
	}
	eq, err := parseEinsum(c.node.Str("equation", ""), c.in)
	if err != nil {
		return err
	}
	switch t := c.in[0].Type; storage(t) {
	case onnx.Float:
		return contract[float32](c, eq)
	case onnx.Double:
		return contract[float64](c, eq)
	case onnx.Int64:
		return contract[int64](c, eq)
	case onnx.Int32:
		return contract[int32](c, eq)
	case onnx.Uint8:
		return contract[uint8](c, eq)
	case onnx.Int8:
		return contract[int8](c, eq)
	default:
		return errType(t)
	}
}

func parseEinsum(text string, in []*Tensor) (*equation, error) {
	left, right, explicit := strings.Cut(strings.ReplaceAll(text, " ", ""), "->")
	terms := strings.Split(left, ",")
	if len(terms) != len(in) {
		return nil, fmt.Errorf("equation %q has %d terms for %d inputs", text, len(terms), len(in))
	}
	eq := &equation{sizes: map[rune]int{}}
	dots := 0
	count := map[rune]int{}
	for i, term := range terms {
		labels, n, err := einsumTerm(text, term, len(in[i].Shape))
		if err != nil {
			return nil, err
		}
		dots = max(dots, n)
		for d, l := range labels {
			size := in[i].Shape[d]
			old, seen := eq.sizes[l]
			switch {
			case !seen || old == 1:
				eq.sizes[l] = size
			case size != 1 && size != old:
				return nil, fmt.Errorf("equation %q: input %d of shape %v has size %d where another has %d", text, i, in[i].Shape, size, old)
			}
			count[l]++
		}
		eq.in = append(eq.in, labels)
	}
	if eq.out = implicitOut(count, dots); explicit {
		n := strings.Count(right, "...")
		if n == 0 {
			dots = 0
		}
		var err error
		if eq.out, _, err = einsumTerm(text, right, len([]rune(right))-3*n+dots); err != nil {
			return nil, err
		}
	}
	for i, l := range eq.out {
		if _, ok := eq.sizes[l]; !ok || slices.Contains(eq.out[:i], l) {
			return nil, fmt.Errorf("equation %q: the result has a label that no input has, or twice", text)
		}
	}
	for l := range eq.sizes {
		if !slices.Contains(eq.out, l) {
			eq.summed = append(eq.summed, l)
		}
	}
	slices.Sort(eq.summed)
	return eq, nil
}

// implicitOut are the labels of the result of an equation that does not say.
func implicitOut(count map[rune]int, dots int) (out []rune) {
	for d := dots - 1; d >= 0; d-- {
		out = append(out, rune(d))
	}
	var once []rune
	for l, n := range count {
		if n == 1 && l >= 'A' {
			once = append(once, l)
		}
	}
	slices.Sort(once)
	return append(out, once...)
}

// einsumTerm gives each of rank dimensions its label; dots of them are the ellipsis.
func einsumTerm(text, term string, rank int) (labels []rune, dots int, err error) {
	before, after, ellipsis := strings.Cut(term, "...")
	letters := len(before) + len(after)
	if strings.Contains(after, ".") || !ellipsis && letters != rank || letters > rank {
		return nil, 0, fmt.Errorf("equation %q: term %q does not fit %d dimensions", text, term, rank)
	}
	dots = rank - letters
	for _, l := range before {
		labels = append(labels, l)
	}
	for d := dots - 1; d >= 0; d-- {
		labels = append(labels, rune(d))
	}
	for _, l := range after {
		labels = append(labels, l)
	}
	for _, l := range before + after {
		if l < 'A' || l > 'z' || l > 'Z' && l < 'a' {
			return nil, 0, fmt.Errorf("equation %q: %q is not a letter", text, l)
		}
	}
	if dots > 'A'-1 {
		return nil, 0, fmt.Errorf("equation %q: %d dimensions", text, rank)
	}
	return labels, dots, nil
}

// along are the strides of input i along the given labels, 0 where it has none.
func (eq *equation) along(i int, shape []int, labels []rune) []int {
	own := strides(shape)
	out := make([]int, len(labels))
	for d, l := range eq.in[i] {
		if k := slices.Index(labels, l); k >= 0 && shape[d] != 1 {
			out[k] += own[d] // a label twice in one term is its diagonal
		}
	}
	return out
}

func (eq *equation) dims(labels []rune) []int {
	out := make([]int, len(labels))
	for i, l := range labels {
		out[i] = eq.sizes[l]
	}
	return out
}

// contract computes an equation: two float32 operands as matrix products,
// anything else by going through all the sums.
func contract[T number](c *call, eq *equation) error {
	shape := eq.dims(eq.out)
	out, err := c.invent(0, c.in[0].Type, shape...)
	if err != nil || out.Len() == 0 {
		return err
	}
	sums := eq.dims(eq.summed)
	n, ok := elements(sums)
	if !ok {
		return fmt.Errorf("a sum over dimensions of %v is too long", sums)
	}
	if dst, ok := any(data[T](out.as(storage(out.Type)))).([]float32); ok && len(c.in) == 2 && n > 0 {
		return eq.multiply(c, dst)
	}
	if n > maxWork/out.Len() {
		return fmt.Errorf("%d results of %d products each are too many", out.Len(), n)
	}
	src := make([][]T, len(c.in))
	to, over := make([][]int, len(c.in)), make([][]int, len(c.in))
	for i, t := range c.in {
		src[i] = data[T](t.as(storage(t.Type)))
		to[i], over[i] = eq.along(i, t.Shape, eq.out), eq.along(i, t.Shape, eq.summed)
	}
	dst := data[T](out.as(storage(out.Type)))
	c.parallel(len(dst), max(1, grain/8/max(n, 1)), func(lo, hi int) {
		at, pos := make([]int, len(src)), make([]int, len(src))
		for o := lo; o < hi; o++ {
			place(at, o, shape, to)
			var sum T
			for s := range n {
				place(pos, s, sums, over)
				p := src[0][at[0]+pos[0]]
				for i := 1; i < len(src); i++ {
					p *= src[i][at[i]+pos[i]]
				}
				sum += p
			}
			dst[o] = sum
		}
	})
	out.wrap()
	return nil
}

// place computes where operands with the given strides have index i of shape.
func place(at []int, i int, shape []int, strides [][]int) {
	clear(at)
	for d := len(shape) - 1; d >= 0; d-- {
		k := i % shape[d]
		i /= shape[d]
		for j := range at {
			at[j] += k * strides[j][d]
		}
	}
}

// multiply lays two operands out as [batch, m, k] and [batch, k, n].
func (eq *equation) multiply(c *call, dst []float32) error {
	var batch, rows, cols []rune
	for _, l := range eq.out {
		a, b := slices.Contains(eq.in[0], l), slices.Contains(eq.in[1], l)
		switch {
		case a && b:
			batch = append(batch, l)
		case a:
			rows = append(rows, l)
		default:
			cols = append(cols, l)
		}
	}
	nb, m, n, k := product(eq.dims(batch)), product(eq.dims(rows)), product(eq.dims(cols)), product(eq.dims(eq.summed))
	order := [3][]rune{slices.Concat(batch, rows, eq.summed), slices.Concat(batch, eq.summed, cols), slices.Concat(batch, rows, cols)}
	var mats [3]*Tensor
	for i := range mats {
		t, err := c.new(onnx.Float, eq.dims(order[i])...)
		if err != nil {
			return err
		}
		defer c.mem.release(t)
		mats[i] = t
		if i < 2 {
			copyStrided(Floats(t.F32), 0, c.in[i], 0, t.Shape, eq.along(i, c.in[i].Shape, order[i]))
		}
	}
	for b := range nb {
		gemmOf(c.mem.done, false, m, n, k, mats[0].F32[b*m*k:(b+1)*m*k], mats[1].F32[b*k*n:(b+1)*k*n], 0, mats[2].F32[b*m*n:(b+1)*m*n])
	}
	own := strides(mats[2].Shape)
	at := make([]int, len(eq.out))
	for i, l := range eq.out {
		at[i] = own[slices.Index(order[2], l)]
	}
	copyStrided(Floats(dst), 0, mats[2], 0, eq.dims(eq.out), at)
	return nil
}
