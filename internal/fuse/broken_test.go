package fuse_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/onnx"
)

// TestBrokenGraphs damages graphs at random: whatever comes in, Fuse, Detect and
// SelectRows return, and what Fuse returns knows all its values.
func TestBrokenGraphs(t *testing.T) {
	var seeds []*onnx.Model
	all := patterns()
	for _, group := range slices.Sorted(maps.Keys(all)) {
		for _, c := range all[group] {
			seeds = append(seeds, c.b.model())
		}
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for _, m := range seeds {
		for range 40 {
			bad := damaged(m, rng)
			f, err := fuse.Fuse(bad)
			if err != nil {
				continue
			}
			if _, err := fuse.Detect(bad); err == nil {
				t.Error("a pattern is no encoder")
			}
			for _, o := range f.Model.Graph.Outputs {
				_, _ = fuse.SelectRows(f.Model, []string{o.Name})
			}
		}
	}
}

func damaged(m *onnx.Model, rng *rand.Rand) *onnx.Model {
	c := m.Clone()
	for range 1 + rng.IntN(3) {
		n := c.Graph.Nodes[rng.IntN(len(c.Graph.Nodes))]
		switch rng.IntN(7) {
		case 0:
			n.Inputs = n.Inputs[:rng.IntN(len(n.Inputs)+1)]
		case 1:
			n.Outputs = n.Outputs[:rng.IntN(len(n.Outputs)+1)]
		case 2:
			n.Attrs = nil
		case 3:
			if len(n.Inputs) > 0 {
				n.Inputs[rng.IntN(len(n.Inputs))] = ""
			}
		case 4:
			for i := range n.Inputs {
				j := rng.IntN(i + 1)
				n.Inputs[i], n.Inputs[j] = n.Inputs[j], n.Inputs[i]
			}
		case 5:
			for _, a := range n.Attrs {
				a.Int, a.Ints = int64(rng.IntN(9)-4), append(a.Ints, int64(rng.IntN(9)-4))
			}
		case 6:
			if k := len(c.Graph.Initializers); k > 0 {
				w := *c.Graph.Initializers[rng.IntN(k)]
				w.Dims = append(w.Dims[:len(w.Dims):len(w.Dims)], int64(rng.IntN(4)-1))
				c.Graph.SetInitializer(&w)
			}
		}
	}
	return c
}
