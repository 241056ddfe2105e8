package fuse

import "github.com/litekit/lite/onnx"

// fuseLayerNorms recognises LayerNormalization, com.microsoft.SkipLayerNormalization
// and the arithmetic that exporters wrote before opset 17 (Ba et al., 2016, eq. 4).
func (g *graph) fuseLayerNorms() {
	for _, n := range g.nodes() {
		switch {
		case !g.live(n):
		case is(n, "LayerNormalization"):
			g.layerNormOp(n)
		case isMS(n, "SkipLayerNormalization"):
			g.skipLayerNorm(n)
		case is(n, "Div", "Mul"):
			g.layerNormArithmetic(n)
		}
	}
}

// unused reports whether outputs from of n are not needed.
func (g *graph) unused(n *onnx.Node, from int) bool {
	for i := from; i < len(n.Outputs); i++ {
		if o := n.Outputs[i]; o != "" && (g.outs[o] || g.cons[o].count() > 0) {
			return false
		}
	}
	return true
}

// affine reports whether gamma and beta are vectors of the length of x's last axis.
func (g *graph) affine(x, gamma, beta string) bool {
	t := g.inits[gamma]
	if t == nil || len(t.Dims) != 1 || !g.vector(beta, t.Dims[0]) || !g.single(x) || t.Type != onnx.Float {
		return false
	}
	s, ok := g.infer.Shape(x)
	return !ok || len(s) > 0 && mayBe(s[len(s)-1], t.Dims[0])
}

func (g *graph) layerNormOp(n *onnx.Node) {
	if len(n.Inputs) < 3 || !g.unused(n, 1) || !g.affine(n.Inputs[0], n.Inputs[1], n.Inputs[2]) {
		return
	}
	if axis := n.Int("axis", -1); axis != -1 && axis != int64(g.rank(n.Inputs[0])-1) {
		return
	}
	g.replace([]*onnx.Node{n}, newLite(OpLayerNorm, n.Name, n.Inputs[:3:3], n.Outputs[0],
		onnx.FloatAttr("eps", n.Float("epsilon", 1e-5))))
}

// skipLayerNorm rewrites LN(input + skip + bias) of ONNX Runtime's optimizer.
func (g *graph) skipLayerNorm(n *onnx.Node) {
	beta, bias := input(n, 3), input(n, 4)
	if len(n.Inputs) < 4 || !g.unused(n, 1) || !g.affine(n.Inputs[0], n.Inputs[2], beta) || !g.same(n.Inputs[0], n.Inputs[1]) {
		return
	}
	eps := onnx.FloatAttr("eps", n.Float("epsilon", 1e-12))
	x := n.Inputs[0]
	var nodes []*onnx.Node
	if bias != "" {
		x = g.unique(n.Outputs[0] + "_biased")
		nodes = append(nodes, onnx.NewNode("Add", n.Name+"_bias", []string{n.Inputs[0], bias}, []string{x}))
	}
	nodes = append(nodes, newLite(OpLayerNorm, n.Name, []string{x, n.Inputs[2], beta, n.Inputs[1]}, n.Outputs[0], eps))
	if g.replace([]*onnx.Node{n}, nodes...) {
		g.origin[nodes[0]] = g.origin[nodes[len(nodes)-1]]
	}
}

// layerNormArithmetic matches from the node that divides by the standard deviation:
//
//	Div(x − mean, Sqrt(var + eps)) · gamma + beta
func (g *graph) layerNormArithmetic(norm *onnx.Node) {
	for i := range norm.Inputs {
		if is(norm, "Div") && i != 0 || len(norm.Inputs) != 2 {
			continue
		}
		centred := g.prod[norm.Inputs[i]]
		eps, variance, set, ok := g.deviation(norm.Inputs[1-i], is(norm, "Mul"))
		if !ok || !is(centred, "Sub") {
			continue
		}
		squares := g.prod[variance.Inputs[0]]
		again := g.squared(squares)
		if !is(again, "Sub") || again.Inputs[0] != centred.Inputs[0] {
			continue
		}
		x := centred.Inputs[0]
		mean1, mean2 := g.prod[centred.Inputs[1]], g.prod[again.Inputs[1]]
		if !g.meanOf(mean1, x) || !g.meanOf(mean2, x) {
			continue
		}
		set = append(set, norm, centred, again, squares, variance, mean1, mean2)
		g.scaleAndShift(norm, x, eps, set)
		return
	}
}

// deviation matches Sqrt(var + eps), or its reciprocal, and returns eps and the node
// that averages the squares.
func (g *graph) deviation(v string, reciprocal bool) (eps float64, variance *onnx.Node, set []*onnx.Node, ok bool) {
	root := g.prod[v]
	switch {
	case reciprocal && is(root, "Reciprocal"):
		set = append(set, root)
		root = g.prod[root.Inputs[0]]
	case reciprocal && is(root, "Pow") && g.isScalar(input(root, 1), -0.5):
	case reciprocal:
		return
	}
	if !is(root, "Sqrt") && !(reciprocal && is(root, "Pow")) && !(!reciprocal && is(root, "Pow") && g.isScalar(input(root, 1), 0.5)) {
		return
	}
	add := g.prod[root.Inputs[0]]
	if !is(add, "Add") {
		return
	}
	eps, other, _, ok := g.split(add)
	if !ok || eps < 0 {
		return 0, nil, nil, false
	}
	variance = g.prod[other]
	if !g.lastAxisMean(variance) {
		return 0, nil, nil, false
	}
	return eps, variance, append(set, root, add), true
}

// squared returns the node whose value n squares, or nil.
func (g *graph) squared(n *onnx.Node) *onnx.Node {
	switch {
	case is(n, "Pow") && g.isScalar(input(n, 1), 2), is(n, "Mul") && len(n.Inputs) == 2 && n.Inputs[0] == n.Inputs[1]:
		return g.prod[n.Inputs[0]]
	}
	return nil
}

func (g *graph) meanOf(n *onnx.Node, x string) bool { return g.lastAxisMean(n) && n.Inputs[0] == x }

// lastAxisMean reports whether n is a ReduceMean over the last axis that keeps it.
func (g *graph) lastAxisMean(n *onnx.Node) bool {
	if !is(n, "ReduceMean") || n.Int("keepdims", 1) != 1 {
		return false
	}
	axes := n.Ints("axes")
	if v := input(n, 1); v != "" {
		e, _ := g.infer.Elements(v)
		axes, _ = numbers(e)
	}
	return len(axes) == 1 && (axes[0] == -1 || axes[0] == int64(g.rank(n.Inputs[0])-1))
}

// scaleAndShift completes a match with ·gamma + beta.
func (g *graph) scaleAndShift(norm *onnx.Node, x string, eps float64, set []*onnx.Node) {
	mul := g.sole(norm.Outputs[0])
	if !is(mul, "Mul") {
		return
	}
	add := g.sole(mul.Outputs[0])
	if !is(add, "Add") {
		return
	}
	gamma, beta := other(mul, norm.Outputs[0]), other(add, mul.Outputs[0])
	if !g.affine(x, gamma, beta) {
		return
	}
	first := set[0]
	for _, n := range set {
		if g.pos[n] < g.pos[first] {
			first = n
		}
	}
	g.replace(append(set, mul, add), newLite(OpLayerNorm, first.Name, []string{x, gamma, beta}, add.Outputs[0],
		onnx.FloatAttr("eps", float32(eps))))
}

// other is the operand of a binary node that is not v; "" where both are v.
func other(n *onnx.Node, v string) string {
	switch {
	case len(n.Inputs) != 2 || n.Inputs[0] == n.Inputs[1]:
		return ""
	case n.Inputs[0] == v:
		return n.Inputs[1]
	case n.Inputs[1] == v:
		return n.Inputs[0]
	}
	return ""
}

// fuseResiduals makes LN(Add(x, y)) one node where the sum has no other reader and
// x and y are computed values of the same shape.
func (g *graph) fuseResiduals() {
	for _, n := range g.nodes() {
		if !g.live(n) || !isLite(n, OpLayerNorm) || len(n.Inputs) != 3 {
			continue
		}
		add := g.prod[n.Inputs[0]]
		if !is(add, "Add") || !g.same(add.Inputs[0], add.Inputs[1]) || add.Inputs[0] == add.Inputs[1] {
			continue
		}
		x, y := add.Inputs[0], add.Inputs[1]
		if g.inits[x] != nil || g.inits[y] != nil {
			continue
		}
		// The operand computed last is the sublayer's output, the other the residual.
		if px, py := g.prod[x], g.prod[y]; px == nil || py != nil && g.pos[px] < g.pos[py] {
			x, y = y, x
		}
		g.replace([]*onnx.Node{add, n}, newLite(OpLayerNorm, n.Name, []string{x, n.Inputs[1], n.Inputs[2], y}, n.Outputs[0], n.Attrs...))
	}
}
