package fuse

import (
	"github.com/litekit/lite/onnx"
)

// LiftWeights returns m with its weights as float32 initializers: those that
// exporters keep in Constant nodes, and float16 and bfloat16 ones that a Cast
// widens. Scalars, shapes and indices stay as they are. Nodes that are out of order,
// as ONNX Runtime's tools leave them, are put in order. Where there is nothing to do
// it returns m itself, which is never changed.
func LiftWeights(m *onnx.Model) (*onnx.Model, error) {
	if m == nil || m.Graph == nil {
		return m, nil // whoever needs the graph reports it
	}
	if !inOrder(m.Graph) {
		m = m.Clone()
		if err := m.Graph.Sort(); err != nil {
			return nil, err
		}
	}
	inits := m.Graph.InitializerMap()
	found := false
	for _, n := range m.Graph.Nodes {
		found = found || isWeight(n) || widens(n, inits)
	}
	if !found {
		return m, nil
	}
	g, err := newGraph(m)
	if err != nil {
		return nil, err
	}
	for _, n := range g.nodes() {
		if isWeight(n) {
			g.liftConstant(n)
		}
	}
	g.widenWeights()
	g.m.Graph.Nodes = g.nodes()
	g.m.Graph.Prune()
	return g.m, nil
}

// isWeight reports whether n is a constant of several floating-point numbers.
func isWeight(n *onnx.Node) bool {
	a := n.Attr("value")
	if !is(n, "Constant") || a == nil || a.Tensor == nil || a.Tensor.Len() < 2 {
		return false
	}
	switch a.Tensor.Type {
	case onnx.Float, onnx.Float16, onnx.BFloat16:
		return true
	}
	return false
}

// widens reports whether n makes float32 of a float16 or bfloat16 constant.
func widens(n *onnx.Node, inits map[string]*onnx.Tensor) bool {
	if !is(n, "Cast") || len(n.Inputs) != 1 || len(n.Outputs) != 1 || n.Int("to", 0) != int64(onnx.Float) {
		return false
	}
	t := inits[n.Inputs[0]]
	return t != nil && (t.Type == onnx.Float16 || t.Type == onnx.BFloat16)
}

// widenWeights turns each Cast that widens a constant into a float32 constant.
func (g *graph) widenWeights() {
	for _, n := range g.nodes() {
		if !widens(n, g.inits) || g.outs[n.Outputs[0]] {
			continue
		}
		t := g.inits[n.Inputs[0]]
		values, err := t.Floats()
		if err != nil {
			continue // its bytes do not fill it: whoever runs the node says so
		}
		out := n.Outputs[0]
		g.remove(n)
		g.addInit(onnx.NewFloats(out, values, t.Dims...))
	}
}

// half reports whether the graph computes with float16 weights.
func half(g *onnx.Graph) bool {
	for _, t := range g.Initializers {
		if t.Type == onnx.Float16 && t.Len() > 1 {
			return true
		}
	}
	return false
}

// inOrder reports whether no node reads what a later one makes.
func inOrder(g *onnx.Graph) bool {
	prod, made := g.Producers(), map[*onnx.Node]bool{}
	for _, n := range g.Nodes {
		for _, v := range readsOf(n) {
			if p := prod[v]; v != "" && p != nil && !made[p] {
				return false
			}
		}
		made[n] = true
	}
	return true
}
