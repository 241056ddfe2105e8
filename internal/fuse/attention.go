package fuse

import (
	"math"
	"slices"

	"github.com/litekit/lite/onnx"
)

// The axis orders of the heads: query, value and context swap S and A; the key may
// be brought to [B,A,d,S].
var (
	swapHeads = [4]int64{0, 2, 1, 3}
	keyHeads  = [4]int64{0, 2, 3, 1}
)

// heads is one operand of an attention product, traced back to before the split.
type heads struct {
	source  string // [B,S,A·d]
	a, d    int64
	scale   float64
	set     []*onnx.Node
	reshape *onnx.Node
}

// scores is the softmax's argument: Q·Kᵀ·scale plus additive biases.
type scores struct {
	q, k   string // the operands of the product
	matmul *onnx.Node
	scale  float64
	bias   []string
	pre    []*onnx.Node // nodes to add that compute biases
	set    []*onnx.Node
}

// fuseAttentions recognises scaled dot-product attention (Vaswani et al., 2017,
// eq. 1) around each Softmax over the last axis.
func (g *graph) fuseAttentions() {
	for _, n := range g.nodes() {
		if g.live(n) && is(n, "Softmax") {
			g.attention(n)
		}
	}
}

func (g *graph) attention(softmax *onnx.Node) {
	def := int64(-1)
	if g.opset < 13 {
		def = 1
	}
	if axis := softmax.Int("axis", def); axis != -1 && axis != 3 {
		return
	}
	s, ok := g.scoresOf(softmax.Inputs[0], 0)
	if !ok {
		return
	}
	q, ok1 := g.splitHeads(s.q, swapHeads)
	k, ok2 := g.splitHeads(s.k, keyHeads)
	probs, guard := g.guarded(softmax)
	mix := g.sole(probs)
	if !ok1 || !ok2 || !is(mix, "MatMul") || mix.Inputs[0] != probs {
		return
	}
	v, ok3 := g.splitHeads(mix.Inputs[1], swapHeads)
	if !ok3 || q.a != k.a || q.a != v.a || q.d != k.d || q.d != v.d || !g.single(q.source) {
		return
	}
	turn, merge := g.mergeHeads(mix, q)
	if merge == nil {
		return
	}
	set := slices.Concat(s.set, q.set, k.set, v.set, guard, []*onnx.Node{softmax, mix, turn, merge})
	pre, bias := g.sumBiases(s, softmax)
	in := []string{q.source, k.source, v.source}
	if bias != "" {
		in = append(in, bias)
	}
	// v's own factor, if any, scales the result; only an unscaled one is an attention.
	if v.scale != 1 {
		return
	}
	out := merge.Outputs[0]
	post := g.guardAfter(&out, len(guard) > 0)
	att := newLite(OpAttention, s.matmul.Name, in, out,
		onnx.IntAttr("heads", q.a), onnx.FloatAttr("scale", float32(s.scale*q.scale*k.scale)))
	p := parts{merge: g.first(merge)}
	for _, h := range []heads{q, k, v} {
		p.splits = append(p.splits, g.first(h.reshape))
	}
	all := slices.Concat(pre, []*onnx.Node{att}, post)
	if g.replace(set, all...) {
		last := all[len(all)-1]
		if last != att {
			g.origin[att], g.origin[last] = g.origin[last], nil
		}
		g.parts[att] = p
	}
}

// guarded follows the replacement of NaN by 0 that some exports write after the
// softmax, for rows whose keys are all masked; it returns the value used as probabilities.
func (g *graph) guarded(softmax *onnx.Node) (string, []*onnx.Node) {
	p := softmax.Outputs[0]
	if g.outs[p] || g.cons[p].count() != 2 {
		return p, nil
	}
	for _, w := range g.cons[p].nodes() {
		if is(w, "Where") && w.Inputs[2] == p && g.isZero(w.Inputs[1]) {
			if c := g.prod[w.Inputs[0]]; is(c, "IsNaN") && c.Inputs[0] == p {
				return w.Outputs[0], []*onnx.Node{c, w}
			}
		}
	}
	return p, nil
}

func (g *graph) isZero(v string) bool {
	x, ok := g.scalar(v)
	return ok && x == 0
}

// guardAfter makes the nodes that put the same guard behind the fused attention: a
// row of NaN probabilities makes a row of NaN, which becomes 0 here as it did there.
func (g *graph) guardAfter(out *string, guarded bool) []*onnx.Node {
	if !guarded {
		return nil
	}
	final := *out
	*out = g.unique(final + "_unguarded")
	nan := g.unique(final + "_nan")
	zero := onnx.NewFloats(g.unique(final+"_zero"), []float32{0})
	g.addInit(zero)
	g.infer.AddTensor(zero)
	return []*onnx.Node{
		onnx.NewNode("IsNaN", nan, []string{*out}, []string{nan}),
		onnx.NewNode("Where", final+"_guard", []string{nan, zero.Name, *out}, []string{final}),
	}
}

// mergeHeads follows the context to [B,S,A·d].
func (g *graph) mergeHeads(mix *onnx.Node, q heads) (turn, merge *onnx.Node) {
	turn = g.sole(mix.Outputs[0])
	if !is(turn, "Transpose") || !slices.Equal(turn.Ints("perm"), swapHeads[:]) {
		return nil, nil
	}
	merge = g.sole(turn.Outputs[0])
	if !is(merge, "Reshape") {
		return nil, nil
	}
	in, ok := g.infer.Shape(q.source)
	out, ok2 := g.infer.Shape(merge.Outputs[0])
	if !ok || !ok2 || len(out) != 3 || out[0] != in[0] || out[1] != in[1] || !out[2].Is(q.a*q.d) {
		return nil, nil
	}
	return turn, merge
}

// scoresOf walks up from the softmax's argument through the additive masks and the
// scale to the product of query and key.
func (g *graph) scoresOf(v string, depth int) (scores, bool) {
	n := g.prod[v]
	if depth > 6 || n == nil {
		return scores{}, false
	}
	switch {
	case is(n, "MatMul") && g.inits[n.Inputs[1]] == nil:
		return scores{q: n.Inputs[0], k: n.Inputs[1], matmul: n, scale: 1, set: []*onnx.Node{n}}, true
	case is(n, "Mul", "Div"):
		c, o, i, ok := g.split(n)
		if !ok || n.Op == "Div" && (i != 1 || c == 0) {
			return scores{}, false
		}
		s, ok := g.scoresOf(o, depth+1)
		if !ok || len(s.bias) > 0 { // the scale would apply to the bias too
			return scores{}, false
		}
		if n.Op == "Div" {
			c = 1 / c
		}
		s.scale *= c
		s.set = append(s.set, n)
		return s, true
	case is(n, "Add"):
		for i := range n.Inputs {
			if s, ok := g.scoresOf(n.Inputs[i], depth+1); ok {
				s.bias = append(s.bias, n.Inputs[1-i])
				s.set = append(s.set, n)
				return s, g.biasFits(n.Inputs[1-i])
			}
		}
	case is(n, "Sub"):
		if s, ok := g.scoresOf(n.Inputs[0], depth+1); ok {
			neg := onnx.NewNode("Neg", n.Name+"_bias", n.Inputs[1:2:2], []string{g.unique(n.Outputs[0] + "_bias")})
			s.bias, s.pre, s.set = append(s.bias, neg.Outputs[0]), append(s.pre, neg), append(s.set, n)
			return s, g.biasFits(n.Inputs[1])
		}
	case is(n, "Where"):
		return g.maskedScores(n, depth)
	}
	return scores{}, false
}

// biasFits reports whether a value can broadcast to [B,A,S,S]. A value of unknown
// rank can: the transposition of the result has four axes.
func (g *graph) biasFits(v string) bool { return g.rank(v) <= 4 && g.single(v) }

// maskedScores turns Where(mask, fill, scores) into an additive bias. The fill must
// be so low that adding it is the same as putting it: at -1e9 float32 keeps nothing
// of a score below 32.
func (g *graph) maskedScores(n *onnx.Node, depth int) (scores, bool) {
	for i := 1; i <= 2; i++ {
		fill, ok := g.scalar(n.Inputs[3-i])
		if !ok || fill > -1e9 || !g.single(n.Inputs[3-i]) || g.rank(n.Inputs[3-i]) > 4 {
			continue
		}
		s, ok := g.scoresOf(n.Inputs[i], depth+1)
		if !ok || g.rank(n.Inputs[0]) > 4 {
			continue
		}
		zero := onnx.NewFloats(g.unique(n.Outputs[0]+"_zero"), []float32{0})
		g.addInit(zero)
		g.infer.AddTensor(zero)
		in := []string{n.Inputs[0], "", ""}
		in[i], in[3-i] = zero.Name, n.Inputs[3-i]
		where := onnx.NewNode("Where", n.Name+"_bias", in, []string{g.unique(n.Outputs[0] + "_bias")})
		s.bias, s.pre, s.set = append(s.bias, where.Outputs[0]), append(s.pre, where), append(s.set, n)
		return s, true
	}
	return scores{}, false
}

// sumBiases adds several biases into one.
func (g *graph) sumBiases(s scores, softmax *onnx.Node) (pre []*onnx.Node, bias string) {
	pre = s.pre
	for i, b := range s.bias {
		if i == 0 {
			bias = b
			continue
		}
		sum := g.unique(softmax.Outputs[0] + "_bias")
		pre = append(pre, onnx.NewNode("Add", sum, []string{bias, b}, []string{sum}))
		bias = sum
	}
	return pre, bias
}

// splitHeads walks up from an operand of a product through transpositions and
// scalar factors to the Reshape [B,S,A·d] → [B,S,A,d], and through factors before
// it. The transpositions must compose to perm.
func (g *graph) splitHeads(v string, perm [4]int64) (heads, bool) {
	h := heads{scale: 1}
	total := [4]int64{0, 1, 2, 3}
	for range 8 {
		n := g.prod[v]
		switch {
		case is(n, "Transpose"):
			p := n.Ints("perm")
			if len(p) != 4 {
				return h, false
			}
			for i := range total {
				if p[total[i]] < 0 || p[total[i]] > 3 {
					return h, false
				}
				total[i] = p[total[i]]
			}
			v = n.Inputs[0]
		case is(n, "Mul", "Div"):
			o, ok := g.factor(n, &h)
			if !ok {
				return h, false
			}
			v = o
		case is(n, "Reshape"):
			h.set, h.reshape = append(h.set, n), n
			return h, total == perm && g.splitShape(n, &h)
		default:
			return h, false
		}
		h.set = append(h.set, n)
	}
	return h, false
}

// factor takes a scalar factor into h and returns the operand.
func (g *graph) factor(n *onnx.Node, h *heads) (string, bool) {
	c, o, i, ok := g.split(n)
	if !ok || c == 0 || math.IsInf(c, 0) || n.Op == "Div" && i != 1 {
		return "", false
	}
	if n.Op == "Div" {
		c = 1 / c
	}
	h.scale *= c
	return o, true
}

// splitShape reads A and d off the Reshape and takes factors before it.
func (g *graph) splitShape(n *onnx.Node, h *heads) bool {
	h.source = n.Inputs[0]
	in, ok := g.infer.Shape(h.source)
	out, ok2 := g.infer.Shape(n.Outputs[0])
	if !ok || !ok2 || len(in) != 3 || len(out) != 4 || in[0] != out[0] || in[1] != out[1] {
		return false
	}
	size, known := numbers(out[2:])
	if !known || !in[2].Is(size[0]*size[1]) {
		return false
	}
	h.a, h.d = size[0], size[1]
	for {
		f := g.prod[h.source]
		if !is(f, "Mul", "Div") || g.sole(h.source) == nil {
			return true
		}
		before := *h
		o, ok := g.factor(f, h)
		if !ok || !g.same(o, h.source) {
			*h = before
			return true
		}
		h.set = append(h.set, f)
		h.source = o
	}
}
