package prune

import (
	"fmt"
	"slices"

	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/onnx"
)

// layers removes whole layers: what read a layer's output reads its input.
func (c Config) layers(out *onnx.Model, enc *fuse.Encoder, r *Report) error {
	drop, err := c.dropped(len(enc.Layers))
	if err != nil {
		return err
	}
	r.Criterion = "choice"
	r.Sparsity = float64(len(drop)) / float64(len(enc.Layers))
	if len(drop) == 0 {
		return nil
	}
	g := out.Graph
	before := enc.Layers[0].Input
	for i, l := range enc.Layers {
		if !slices.Contains(drop, i) {
			before = l.Hidden
			continue
		}
		if before == "" || l.Hidden == "" {
			return fmt.Errorf("prune: layer %d: its input or output has no name in the graph; it cannot be dropped", i)
		}
		bypass(g, l.Hidden, before)
		if g.IsOutput(l.Hidden) {
			before = l.Hidden
		}
		r.Layers[i].Dropped, r.Layers[i].Heads, r.Layers[i].Neurons = true, 0, 0
	}
	g.Values = nil
	g.Prune()
	return updateConfig(out, r)
}

// bypass makes readers of value read by instead. A graph output keeps its
// name: the node that computed it gives way to an Identity.
func bypass(g *onnx.Graph, value, by string) {
	if !g.IsOutput(value) {
		g.ReplaceInput(value, by)
		return
	}
	for i, n := range g.Nodes {
		if slices.Contains(n.Outputs, value) {
			g.Nodes[i] = onnx.NewNode("Identity", n.Name, []string{by}, []string{value})
			return
		}
	}
}

// dropped lists the layers to remove, ascending.
func (c Config) dropped(n int) ([]int, error) {
	if len(c.Drop) > 0 {
		drop := slices.Clone(c.Drop)
		slices.Sort(drop)
		drop = slices.Compact(drop)
		if drop[0] < 0 || drop[len(drop)-1] >= n {
			return nil, misfit.Errorf("prune: layers %v to drop; the model has layers 0 to %d", c.Drop, n-1)
		}
		if len(drop) == n {
			return nil, misfit.Errorf("prune: all %d layers are to be dropped; keep at least one", n)
		}
		return drop, nil
	}
	k := max(1, n-quota(n, c.Sparsity))
	keep, err := c.Keep(n, k)
	if err != nil {
		return nil, misfit.Errorf("prune: %w", err)
	}
	var drop []int
	for i := range n {
		if !slices.Contains(keep, i) {
			drop = append(drop, i)
		}
	}
	if len(drop) != n-k {
		return nil, fmt.Errorf("prune: the choice of layers %v keeps %d of %d; %d are wanted", keep, n-len(drop), n, k)
	}
	return drop, nil
}
