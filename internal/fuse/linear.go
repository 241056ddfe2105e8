package fuse

import (
	"slices"

	"github.com/litekit/lite/onnx"
)

// fuseLinears makes a Linear of every MatMul and Gemm whose right-hand side is a
// constant matrix, and joins the bias that follows.
func (g *graph) fuseLinears() {
	for _, n := range g.nodes() {
		switch {
		case !g.live(n):
		case is(n, "MatMul") && len(n.Inputs) == 2:
			g.linearFrom(n, "", 0)
		case is(n, "Gemm") && len(n.Inputs) >= 2 && n.Float("alpha", 1) == 1 && n.Int("transA", 0) == 0 &&
			(input(n, 2) == "" || n.Float("beta", 1) == 1):
			g.linearFrom(n, input(n, 2), n.Int("transB", 0))
		case isMS(n, "FusedMatMul") && len(n.Inputs) == 2 && n.Float("alpha", 1) == 1 && n.Int("transA", 0) == 0 &&
			n.Int("transBatchA", 0) == 0 && n.Int("transBatchB", 0) == 0:
			g.linearFrom(n, "", n.Int("transB", 0))
		}
	}
	g.unwrapReshapes()
	g.absorbBiases()
}

// weight resolves a constant matrix: an initializer, or the transpose of one, which
// stays one tensor so that a tied table remains tied.
func (g *graph) weight(v string) (name string, transposed bool, ok bool) {
	if n := g.prod[v]; is(n, "Transpose") {
		if p := n.Ints("perm"); p == nil || slices.Equal(p, []int64{1, 0}) {
			v, transposed = n.Inputs[0], true
		}
	}
	t := g.inits[v]
	return v, transposed, t != nil && len(t.Dims) == 2 && t.Type == onnx.Float
}

// linearFrom rewrites one product; the bias, if any, must be a vector of the output size.
func (g *graph) linearFrom(n *onnx.Node, bias string, transB int64) {
	x := n.Inputs[0]
	w, transposed, ok := g.weight(n.Inputs[1])
	if !ok || !g.single(x) {
		return
	}
	if r := g.rank(x); r == 0 || r == 1 {
		return
	}
	if transposed {
		transB = 1 - transB
	}
	t := g.inits[w]
	if s, ok := g.infer.Shape(x); ok && !mayBe(s[len(s)-1], t.Dims[transB&1]) {
		return // left to whoever reports the mismatch
	}
	in := []string{x, w}
	if bias != "" {
		if !g.vector(bias, t.Dims[1-transB&1]) {
			return
		}
		in = append(in, bias)
	}
	attrs := []*onnx.Attribute{onnx.StringAttr("act", ActNone), onnx.IntAttr("trans_b", transB)}
	lin := newLite(OpLinear, n.Name, in, n.Outputs[0], attrs...)
	if g.replace([]*onnx.Node{n}, lin) {
		g.parts[lin] = parts{matmul: g.first(lin)}
	}
}

// outFeatures is the output size of a Linear or QLinear.
func (g *graph) outFeatures(n *onnx.Node) int64 {
	return g.inits[n.Inputs[1]].Dims[1-n.Int("trans_b", 0)&1]
}

// biasInput is the position of the bias among the inputs of a Linear or QLinear.
func biasInput(n *onnx.Node) int {
	if n.Op == OpQLinear {
		return 4
	}
	return 2
}

// absorbBiases joins the addition of a vector to the linear layer before it.
func (g *graph) absorbBiases() {
	for _, n := range g.nodes() {
		if !g.live(n) || !isLite(n, OpLinear, OpQLinear) || input(n, biasInput(n)) != "" || n.Str("act", "") != "" {
			continue
		}
		add := g.sole(n.Outputs[0])
		if !is(add, "Add") {
			continue
		}
		bias := other(add, n.Outputs[0])
		if !g.vector(bias, g.outFeatures(n)) || g.inits[bias].Type != onnx.Float {
			continue
		}
		fused := newLite(n.Op, n.Name, append(slices.Clone(n.Inputs[:biasInput(n)]), bias), add.Outputs[0], n.Attrs...)
		p := g.parts[n]
		p.add = g.first(add)
		if g.replace([]*onnx.Node{n, add}, fused) {
			g.parts[fused] = p
		}
	}
}

// fuseActivations joins the activation that alone reads a linear layer.
func (g *graph) fuseActivations() {
	for _, n := range g.nodes() {
		if !g.live(n) || !isLite(n, OpLinear, OpQLinear) || n.Str("act", "") != "" {
			continue
		}
		next := g.sole(n.Outputs[0])
		act := ""
		switch {
		case isLite(next, OpGelu) && next.Str("approximate", "none") == "tanh":
			act = ActGeluTanh
		case isLite(next, OpGelu):
			act = ActGelu
		case is(next, "Relu"):
			act = ActRelu
		case is(next, "Tanh"):
			act = ActTanh
		default:
			continue
		}
		attrs := slices.DeleteFunc(slices.Clone(n.Attrs), func(a *onnx.Attribute) bool { return a.Name == "act" })
		fused := newLite(n.Op, n.Name, n.Inputs, next.Outputs[0], append(attrs, onnx.StringAttr("act", act))...)
		p := g.parts[n]
		if g.replace([]*onnx.Node{n, next}, fused) {
			g.parts[fused] = p
		}
	}
	g.unwrapReshapes()
}

// unwrapReshapes takes the flattening of [B,S,in] to [B·S,in] and back off a linear layer.
func (g *graph) unwrapReshapes() {
	for _, n := range g.nodes() {
		if !g.live(n) || !isLite(n, OpLinear, OpQLinear) {
			continue
		}
		flat, back := g.prod[n.Inputs[0]], g.sole(n.Outputs[0])
		if !is(flat, "Reshape", "Flatten") || !is(back, "Reshape") || back.Inputs[0] != n.Outputs[0] {
			continue
		}
		in, ok := g.infer.Shape(flat.Inputs[0])
		mid, ok2 := g.infer.Shape(n.Inputs[0])
		out, ok3 := g.infer.Shape(back.Outputs[0])
		if !ok || !ok2 || !ok3 || len(in) < 3 || len(mid) != 2 || len(out) != len(in) {
			continue
		}
		k := len(in) - 1
		if in[k] != mid[1] || !slices.Equal(in[:k], out[:k]) || !out[k].Is(g.outFeatures(n)) {
			continue
		}
		fused := newLite(n.Op, n.Name, append([]string{flat.Inputs[0]}, n.Inputs[1:]...), back.Outputs[0], n.Attrs...)
		p := g.parts[n]
		p.rows = true
		if g.replace([]*onnx.Node{n, back}, fused) {
			g.parts[fused] = p
		}
	}
}
