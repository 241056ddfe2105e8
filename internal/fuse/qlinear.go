package fuse

import (
	"slices"

	"github.com/litekit/lite/onnx"
)

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
	x, wq := q.Inputs[0], g.weight8(n.Inputs[1])
	cast := g.sole(n.Outputs[0])
	if !is(cast, "Cast") || cast.Int("to", 0) != int64(onnx.Float) || !g.fits(x, wq) {
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
			if g.cons[o].count() == 1 {
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

// weight8 is a constant 8-bit matrix, or the transpose of one, which stays one
// tensor so that a decoder and the embedding table it is tied to share it.
type weight8 struct {
	name    string
	tensor  *onnx.Tensor // nil: there is none
	transB  int64
	in, out int64
}

func (g *graph) weight8(v string) weight8 {
	var w weight8
	if n := g.prod[v]; is(n, "Transpose") {
		if p := n.Ints("perm"); p == nil || slices.Equal(p, []int64{1, 0}) {
			v, w.transB = n.Inputs[0], 1
		}
	}
	t := g.inits[v]
	if t == nil || len(t.Dims) != 2 || t.Type != onnx.Int8 && t.Type != onnx.Uint8 {
		return w
	}
	w.name, w.tensor = v, t
	w.in, w.out = t.Dims[w.transB], t.Dims[1-w.transB]
	return w
}

// fits reports whether x can be multiplied by w.
func (g *graph) fits(x string, w weight8) bool {
	if w.tensor == nil || !g.single(x) {
		return false
	}
	s, ok := g.infer.Shape(x)
	return !ok || len(s) >= 2 && mayBe(s[len(s)-1], w.in)
}

// isOutScale reports whether v is a constant scale for the whole of w or for each output.
func (g *graph) isOutScale(v string, w weight8) bool {
	t := g.inits[v]
	return t != nil && t.Type == onnx.Float && w.perOutput(t)
}

func (w weight8) perOutput(t *onnx.Tensor) bool {
	return len(t.Dims) == 0 || len(t.Dims) == 1 && (t.Dims[0] == 1 || t.Dims[0] == w.out)
}

// qlinear replaces set by a QLinear. A missing zero point becomes a zero of the weight's type.
func (g *graph) qlinear(n *onnx.Node, set []*onnx.Node, x string, w weight8, scale, zero, bias, out string) {
	if zero == "" {
		t := onnx.NewInt8s("", []int8{0})
		if w.tensor.Type == onnx.Uint8 {
			t = onnx.NewUint8s("", []uint8{0})
		}
		t.Name = g.unique(w.name + "_zero")
		if !g.closed(set, out) {
			return
		}
		g.addInit(t)
		zero = t.Name
	}
	if z := g.inits[zero]; z == nil || z.Type != w.tensor.Type || !w.perOutput(z) {
		return
	}
	in := []string{x, w.name, scale, zero}
	if bias != "" {
		if !g.vector(bias, w.out) {
			return
		}
		in = append(in, bias)
	}
	fused := newLite(OpQLinear, n.Name, in, out, onnx.StringAttr("act", ActNone))
	if w.transB != 0 {
		fused.Attrs = append(fused.Attrs, onnx.IntAttr("trans_b", 1))
	}
	matmul := g.first(n)
	if g.replace(set, fused) {
		g.parts[fused] = parts{matmul: matmul}
	}
}

func (g *graph) dynamicQuantizeMatMul(n *onnx.Node) {
	if len(n.Inputs) < 3 {
		return
	}
	w := g.weight8(n.Inputs[1])
	if !g.fits(n.Inputs[0], w) || !g.isOutScale(n.Inputs[2], w) {
		return
	}
	g.qlinear(n, []*onnx.Node{n}, n.Inputs[0], w, n.Inputs[2], input(n, 3), input(n, 4), n.Outputs[0])
}
