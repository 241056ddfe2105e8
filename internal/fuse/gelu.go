package fuse

import (
	"math"

	"github.com/litekit/lite/onnx"
)

// The argument of the nonlinearity in x·½·(1 + f(u(x))), as coefficients of x⁰…x³:
// u = x/√2 under erf, and √(2/π)·(x + 0.044715·x³) under tanh (Hendrycks and Gimpel, 2016).
var (
	erfArgument  = [4]float64{1: 1 / math.Sqrt2}
	tanhArgument = [4]float64{1: 0.7978845608028654, 3: 0.7978845608028654 * 0.044715}
)

// fuseGelus recognises GELU in its erf and tanh forms and the GELU operators of
// ai.onnx (opset 20) and com.microsoft.
func (g *graph) fuseGelus() {
	for _, n := range g.nodes() {
		switch {
		case !g.live(n):
		case is(n, "Erf"):
			g.geluArithmetic(n, erfArgument, "none")
		case is(n, "Tanh"):
			g.geluArithmetic(n, tanhArgument, "tanh")
		case is(n, "Gelu"):
			g.geluOp(n, n.Str("approximate", "none"))
		case isMS(n, "Gelu", "BiasGelu"):
			g.geluOp(n, "none")
		case isMS(n, "FastGelu"):
			g.geluOp(n, "tanh")
		}
	}
}

// geluOp rewrites a GELU operator; one with a bias becomes Add and Gelu, so that
// the bias can join the linear layer before it.
func (g *graph) geluOp(n *onnx.Node, approximate string) {
	x := n.Inputs[0]
	if !g.single(x) {
		return
	}
	var nodes []*onnx.Node
	if bias := input(n, 1); bias != "" {
		x = g.unique(n.Outputs[0] + "_biased")
		nodes = append(nodes, onnx.NewNode("Add", n.Name+"_bias", []string{n.Inputs[0], bias}, []string{x}))
	}
	gelu := newLite(OpGelu, n.Name, []string{x}, n.Outputs[0], onnx.StringAttr("approximate", approximate))
	nodes = append(nodes, gelu)
	if g.replace([]*onnx.Node{n}, nodes...) {
		g.origin[nodes[0]] = g.origin[gelu]
	}
}

// geluArithmetic matches from the nonlinearity: the factors x and ½ may come in any
// order and grouping around 1 + f(u).
func (g *graph) geluArithmetic(f *onnx.Node, argument [4]float64, approximate string) {
	plus := g.sole(f.Outputs[0])
	if !is(plus, "Add") || !g.isScalar(other(plus, f.Outputs[0]), 1) {
		return
	}
	set := []*onnx.Node{f, plus}
	x, half, cur := "", false, plus
	for x == "" || !half {
		next := g.sole(cur.Outputs[0])
		o := ""
		if next != nil {
			o = other(next, cur.Outputs[0])
		}
		switch {
		case o == "":
			return
		case !half && (is(next, "Mul") && g.isScalar(o, 0.5) || is(next, "Div") && next.Inputs[1] == o && g.isScalar(o, 2)):
			half = true
		case is(next, "Mul") && x == "":
			used, halved, ok := g.geluFactor(f.Inputs[0], o, argument)
			if !ok || halved != "" && half {
				return
			}
			x = o
			if halved != "" {
				x, half = halved, true
			}
			set = append(set, used...)
		default:
			return
		}
		set = append(set, next)
		cur = next
	}
	if g.single(x) {
		g.replace(set, newLite(OpGelu, f.Name, []string{x}, cur.Outputs[0], onnx.StringAttr("approximate", approximate)))
	}
}

// geluFactor tests whether u is the argument polynomial in the factor o, or in y
// where o = y/2 (then halved is y). used are the nodes that compute u, and o.
func (g *graph) geluFactor(u, o string, argument [4]float64) (used []*onnx.Node, halved string, ok bool) {
	if p, ok := g.polynomial(u, o, 0, &used); ok && equalPoly(p, argument) {
		return used, "", true
	}
	n := g.prod[o]
	if !is(n, "Mul", "Div") {
		return nil, "", false
	}
	c, y, i, ok := g.split(n)
	if !ok || is(n, "Mul") && !near(c, 0.5) || is(n, "Div") && (i != 1 || !near(c, 2)) {
		return nil, "", false
	}
	used = []*onnx.Node{n}
	if p, ok := g.polynomial(u, y, 0, &used); ok && equalPoly(p, argument) {
		return used, y, true
	}
	return nil, "", false
}

func equalPoly(p, want [4]float64) bool {
	for i := range p {
		if want[i] == 0 && math.Abs(p[i]) > 1e-9 || want[i] != 0 && !near(p[i], want[i]) {
			return false
		}
	}
	return true
}

// polynomial expands v as a polynomial of degree at most 3 in x.
func (g *graph) polynomial(v, x string, depth int, used *[]*onnx.Node) (p [4]float64, ok bool) {
	if v == x {
		return [4]float64{1: 1}, true
	}
	if c, isConst := g.scalar(v); isConst {
		return [4]float64{c}, true
	}
	n := g.prod[v]
	if depth > 8 || !is(n, "Mul", "Add", "Sub", "Div", "Pow") || len(n.Inputs) != 2 {
		return p, false
	}
	*used = append(*used, n)
	a, ok := g.polynomial(n.Inputs[0], x, depth+1, used)
	if !ok {
		return p, false
	}
	b, ok := g.polynomial(n.Inputs[1], x, depth+1, used)
	if !ok {
		return p, false
	}
	constant := b[1] == 0 && b[2] == 0 && b[3] == 0
	switch n.Op {
	case "Add", "Sub":
		s := 1.0
		if n.Op == "Sub" {
			s = -1
		}
		for i := range p {
			p[i] = a[i] + s*b[i]
		}
		return p, true
	case "Mul":
		return multiply(a, b)
	case "Div":
		if !constant || b[0] == 0 {
			return p, false
		}
		return multiply(a, [4]float64{1 / b[0]})
	}
	if !constant || b[0] != 2 && b[0] != 3 { // Pow
		return p, false
	}
	p, ok = multiply(a, a)
	if ok && b[0] == 3 {
		p, ok = multiply(p, a)
	}
	return p, ok
}

// multiply is the product of two polynomials, not ok above degree 3.
func multiply(a, b [4]float64) (p [4]float64, ok bool) {
	for i, x := range a {
		for j, y := range b {
			if x*y == 0 {
				continue
			}
			if i+j > 3 {
				return p, false
			}
			p[i+j] += x * y
		}
	}
	return p, true
}
