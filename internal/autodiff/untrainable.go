package autodiff

import (
	"fmt"

	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/onnx"
)

// Untrainable lists what keeps a model from being trained, all of it, where
// [New] stops at the first: weights that are not float32, counted by their
// type, nodes that have no gradient, and else the error of New. It is nil for a
// model that New takes.
func Untrainable(m *onnx.Model) []string {
	_, err := New(m, Options{})
	if err == nil {
		return nil
	}
	var out []string
	if m != nil && m.Graph != nil {
		out = append(otherWeights(m.Graph), noGradients(m)...)
	}
	if len(out) == 0 {
		out = []string{err.Error()}
	}
	return out
}

// otherWeights counts the weights that checkWeights refuses.
func otherWeights(g *onnx.Graph) (out []string) {
	for _, kind := range []onnx.DataType{onnx.Double, onnx.Float16, onnx.BFloat16, onnx.Int8, onnx.Uint8} {
		count := 0
		for _, t := range g.Initializers {
			if t.Type == kind && t.Len() > 1 {
				count++
			}
		}
		if count > 0 {
			out = append(out, fmt.Sprintf("%d weights are %v; training needs float32", count, kind))
		}
	}
	return out
}

// noGradients lists the nodes that depend on a weight and have no gradient.
func noGradients(m *onnx.Model) (out []string) {
	p := &Program{
		model: m, arena: &arena{}, reads: map[string]reading{}, inputs: map[string]*onnx.ValueInfo{},
		nodes: map[string]*onnx.Node{}, index: map[*onnx.Node]int{}, lowerings: allLowerings(),
	}
	if p.fuse() != nil {
		return nil
	}
	_ = p.findParams() // where it fails, what could be a weight counts below
	learned := map[string]bool{}
	for _, n := range p.fused.Nodes {
		depends := false
		for _, in := range n.Inputs {
			_, isParam := p.reads[in]
			if t := p.consts[in]; t != nil && t.Len() > 1 && len(t.Dims) > 1 {
				switch t.Type { // weights that are no parameters here: of other types, or of convolutions
				case onnx.Float, onnx.Double, onnx.Float16, onnx.BFloat16, onnx.Int8, onnx.Uint8:
					isParam = true
				}
			}
			depends = depends || isParam || learned[in]
		}
		if !depends || readsSize(n) {
			continue
		}
		for _, o := range n.Outputs {
			learned[o] = o != ""
		}
		if p.lowerings[opName(n)] == nil {
			op := opName(n)
			if n.Domain == fuse.Domain {
				op = n.Op
			}
			out = append(out, fmt.Sprintf("%s (node %s): no gradient", op, nodeName(n)))
		}
	}
	return out
}
