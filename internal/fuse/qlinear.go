package fuse

import "github.com/litekit/lite/onnx"

// fuseQLinears recognises the dynamic int8 linear layer: DynamicQuantizeLinear,
// MatMulInteger, Cast, and the product with both scales in any grouping; also
// com.microsoft.DynamicQuantizeMatMul. Several layers may share one quantized input.
func (g *graph) fuseQLinears() {
	for _, n := range g.nodes() {
		switch {
		case !g.live(n):
		case is(n, "MatMulInteger"):
			g.matMulInteger(n)
		case isMS(n, "DynamicQuantizeMatMul"):
			g.dynamicQuantizeMatMul(n)
		}
	}
	g.unwrapReshapes()
	g.absorbBiases()
}

func (g *graph) matMulInteger(n *onnx.Node) {
	q := g.prod[n.Inputs[0]]
	if !is(q, "DynamicQuantizeLinear") || len(q.Outputs) != 3 || n.Inputs[0] != q.Outputs[0] || input(n, 2) != q.Outputs[2] {
		return
	}
	x, wq := q.Inputs[0], n.Inputs[1]
	cast := g.sole(n.Outputs[0])
	if !is(cast, "Cast") || cast.Int("to", 0) != int64(onnx.Float) || !g.quantizedWeight(x, wq) {
		return
	}
	set := []*onnx.Node{n, cast}
	last, scale := cast, ""
	for i := 0; i < 2 && (i == 0 || !g.isOutScale(scale, wq)); i++ {
		mul := g.sole(last.Outputs[0])
		if !is(mul, "Mul") {
			return
		}
		o := other(mul, last.Outputs[0])
		set = append(set, mul)
		last = mul
		switch {
		case i == 0 && o == q.Outputs[1]: // · scale of x, then · scale of w
			scale = q.Outputs[1]
		case i == 0 && g.isOutScale(o, wq): // · scale of w, then · scale of x
			next := g.sole(mul.Outputs[0])
			if !is(next, "Mul") || other(next, mul.Outputs[0]) != q.Outputs[1] {
				return
			}
			set, last, scale = append(set, next), next, o
		case i == 0: // · (scale of x · scale of w)
			both := g.prod[o]
			if !is(both, "Mul") {
				return
			}
			if scale = other(both, q.Outputs[1]); !g.isOutScale(scale, wq) {
				return
			}
			if len(g.cons[o]) == 1 {
				set = append(set, both)
			}
		default:
			if scale = o; !g.isOutScale(scale, wq) {
				return
			}
		}
	}
	g.qlinear(n, set, x, wq, scale, input(n, 3), "", last.Outputs[0])
}

// quantizedWeight reports whether wq is a constant 8-bit matrix that x can be multiplied by.
func (g *graph) quantizedWeight(x, wq string) bool {
	t := g.inits[wq]
	if t == nil || len(t.Dims) != 2 || t.Type != onnx.Int8 && t.Type != onnx.Uint8 || !g.single(x) {
		return false
	}
	s, ok := g.infer.shape[x]
	return !ok || len(s) >= 2 && (s[len(s)-1].sym != 0 || s[len(s)-1].n == t.Dims[0])
}

// isOutScale reports whether v is a constant scale for the whole of wq or for each output.
func (g *graph) isOutScale(v, wq string) bool {
	t := g.inits[v]
	return t != nil && t.Type == onnx.Float && g.perOutput(t, wq)
}

func (g *graph) perOutput(t *onnx.Tensor, wq string) bool {
	return len(t.Dims) == 0 || len(t.Dims) == 1 && (t.Dims[0] == 1 || t.Dims[0] == g.inits[wq].Dims[1])
}

// qlinear replaces set by a QLinear. A missing zero point becomes a zero of the weight's type.
func (g *graph) qlinear(n *onnx.Node, set []*onnx.Node, x, wq, scale, zero, bias, out string) {
	w := g.inits[wq]
	if zero == "" {
		t := onnx.NewInt8s("", []int8{0})
		if w.Type == onnx.Uint8 {
			t = onnx.NewUint8s("", []uint8{0})
		}
		t.Name = g.unique(wq + "_zero")
		if !g.closed(set, out) {
			return
		}
		g.addInit(t)
		zero = t.Name
	}
	if z := g.inits[zero]; z == nil || z.Type != w.Type || !g.perOutput(z, wq) {
		return
	}
	in := []string{x, wq, scale, zero}
	if bias != "" {
		if !g.vector(bias, w.Dims[1]) {
			return
		}
		in = append(in, bias)
	}
	fused := newLite(OpQLinear, n.Name, in, out, onnx.StringAttr("act", ActNone))
	matmul := g.first(n)
	if g.replace(set, fused) {
		g.parts[fused] = parts{matmul: matmul}
	}
}

func (g *graph) dynamicQuantizeMatMul(n *onnx.Node) {
	if len(n.Inputs) < 3 || !g.quantizedWeight(n.Inputs[0], n.Inputs[1]) || !g.isOutScale(n.Inputs[2], n.Inputs[1]) {
		return
	}
	g.qlinear(n, []*onnx.Node{n}, n.Inputs[0], n.Inputs[1], n.Inputs[2], input(n, 3), input(n, 4), n.Outputs[0])
}
