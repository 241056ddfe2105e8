package onnx

import (
	"fmt"
	"slices"
	"strings"
)

// matrixFamily holds products of matrices.
func matrixFamily() family {
	return family{
		schemas: `
			MatMul 1 T:n,T>T
			Gemm 7 T:n,T,T>T alpha:f beta:f transA:i transB:i
			Gemm 11 T:n,T,T?>T alpha:f beta:f transA:i transB:i
			Einsum 12 T:n~>T equation:s!
			Det 11 T:f>T
		`,
		infer: map[string]func(*call){"MatMul": matMulRule, "Gemm": gemmRule, "Einsum": einsumRule, "Det": detRule},
	}
}

func matMulRule(c *call) { c.product(0, 1) }

// product is the shape of the matrix product of two inputs, with the rule of
// vectors that numpy has.
func (c *call) product(a, b int) {
	x, ok := c.dims(a)
	y, ok2 := c.dims(b)
	if !ok || !ok2 {
		return
	}
	if len(x) == 0 || len(y) == 0 {
		c.misfit("an operand is a scalar", "multiply with Mul", a, b)
		return
	}
	inner := len(y) - 2
	if len(y) == 1 {
		inner = 0
	}
	if !c.equal(x[len(x)-1], y[inner], "the inner sizes", "the last length of the first must be the last but one of the second; transpose one", a, b) {
		return
	}
	lead, ok := c.z.broadcastAll(x[:max(len(x)-2, 0)], y[:max(len(y)-2, 0)])
	if !ok {
		c.misfit("the leading shapes cannot be broadcast", "lengths must be equal or 1", a, b)
		return
	}
	out := slices.Clone(lead)
	if len(x) > 1 {
		out = append(out, x[len(x)-2])
	}
	if len(y) > 1 {
		out = append(out, y[len(y)-1])
	}
	c.shape(0, out)
}

func gemmRule(c *call) { c.gemm(0, 1, 2) }

func (c *call) gemm(a, b, bias int) {
	x, ok := c.dims(a)
	y, ok2 := c.dims(b)
	if ok && !c.rank(a, 2) || ok2 && !c.rank(b, 2) {
		return
	}
	out := c.fresh(2)
	ta, tb := c.int("transA", 0) != 0, c.int("transB", 0) != 0
	var inner [2]Size
	if ok {
		out[0], inner[0] = pair(x, ta)
	}
	if ok2 {
		inner[1], out[1] = pair(y, tb)
	}
	if ok && ok2 && !c.equal(inner[0], inner[1], "the inner sizes", "set transA or transB, or transpose one", a, b) {
		return
	}
	if s, ok := c.dims(bias); ok && c.given(bias) {
		if full, ok := c.z.broadcastAll(out, s); !ok || len(full) != 2 || !oneWay(s, out) {
			c.misfit(fmt.Sprintf("the bias does not fit the product %s", c.z.shapeText(&fact{ranked: true, dims: out})), "give one of the length of the columns", a, b, bias)
			return
		}
	}
	c.shape(0, out)
}

func pair(x []Size, swap bool) (rows, columns Size) {
	if swap {
		return x[1], x[0]
	}
	return x[0], x[1]
}

// oneWay reports whether s may be broadcast to full, known lengths at least.
func oneWay(s, full []Size) bool {
	if len(s) > len(full) {
		return false
	}
	for i, d := range s {
		if f := full[len(full)-len(s)+i]; d.sym == 0 && d.n != 1 && f.sym == 0 && f.n != d.n {
			return false
		}
	}
	return true
}

func detRule(c *call) {
	x, ok := c.dims(0)
	if !ok {
		return
	}
	if len(x) < 2 || !c.equal(x[len(x)-1], x[len(x)-2], "the sides", "a square matrix is needed", 0) {
		if !c.bad {
			c.misfit("a matrix is needed", "give two or more axes", 0)
		}
		return
	}
	c.shape(0, x[:len(x)-2])
}

// einsumRule reads the equation: letters name lengths, an ellipsis stands for
// axes that are broadcast.
func einsumRule(c *call) {
	eq := strings.ReplaceAll(c.str("equation", ""), " ", "")
	left, right, explicit := strings.Cut(eq, "->")
	terms := strings.Split(left, ",")
	if len(eq) > 1<<12 {
		return
	}
	if len(terms) != len(c.in) {
		if !c.refers("equation") {
			c.complain(fmt.Sprintf("equation %q has %d operands and it has %d inputs", eq, len(terms), len(c.in)), "name one operand for each input")
		}
		return
	}
	e := &equation{c: c, sizes: map[rune]Size{}, count: map[rune]int{}}
	for i, t := range terms {
		if !e.operand(i, t) {
			return
		}
	}
	if !explicit {
		right = e.implicit()
	}
	var out []Size
	head, tail, dots := strings.Cut(right, "...")
	out, ok := e.letters(out, head)
	if dots && ok {
		out = append(out, e.rest...)
		out, ok = e.letters(out, tail)
	}
	if ok {
		c.shape(0, out)
	}
}

type equation struct {
	c     *call
	sizes map[rune]Size
	count map[rune]int
	rest  []Size // of the ellipsis
}

// operand matches one operand's letters with its shape; not ok where that is not known.
func (e *equation) operand(i int, t string) bool {
	x, ok := e.c.dims(i)
	head, tail, dots := strings.Cut(t, "...")
	for _, r := range head + tail {
		if e.count[r]++; r > 0x7f {
			return false
		}
	}
	if !ok {
		return false
	}
	if n := len(head) + len(tail); n > len(x) || !dots && n != len(x) {
		e.c.misfit(fmt.Sprintf("operand %q of the equation names %d axes", t, n), "name each axis", i)
		return false
	}
	mid := x[len(head) : len(x)-len(tail)]
	if rest, ok := e.c.z.broadcastAll(e.rest, mid); ok {
		e.rest = rest
	} else {
		return false
	}
	for k, r := range head {
		if !e.match(i, r, x[k]) {
			return false
		}
	}
	for k, r := range tail {
		if !e.match(i, r, x[len(x)-len(tail)+k]) {
			return false
		}
	}
	return true
}

func (e *equation) match(i int, r rune, d Size) bool {
	old, ok := e.sizes[r]
	if ok {
		if d, ok = e.c.z.broadcast(old, d); !ok {
			e.c.misfit(fmt.Sprintf("the lengths of %q differ", r), "one letter stands for one length", 0, i)
			return false
		}
	}
	e.sizes[r] = d
	return true
}

func (e *equation) letters(out []Size, list string) ([]Size, bool) {
	for _, r := range list {
		d, ok := e.sizes[r]
		if !ok {
			return nil, false
		}
		out = append(out, d)
	}
	return out, true
}

// implicit is the result of an equation without one: the ellipsis, then the
// letters that stand once, in order.
func (e *equation) implicit() string {
	var list []rune
	for r, n := range e.count {
		if n == 1 {
			list = append(list, r)
		}
	}
	slices.Sort(list)
	return "..." + string(list)
}
