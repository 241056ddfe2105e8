package exec

import (
	"fmt"

	"github.com/litekit/lite/onnx"
)

// sortNodes returns the nodes in topological order, as they are where they
// already have it: the standard asks for it, ONNX Runtime does not. Nodes on a
// cycle are an error.
func sortNodes(g *onnx.Graph) ([]*onnx.Node, error) {
	maker := map[string]int{}
	for i, n := range g.Nodes {
		for _, o := range n.Outputs {
			if o != "" {
				maker[o] = i
			}
		}
	}
	const (
		fresh = iota
		open
		done
	)
	state := make([]int, len(g.Nodes))
	out := make([]*onnx.Node, 0, len(g.Nodes))
	type frame struct{ node, next int }
	for start := range g.Nodes {
		if state[start] != fresh {
			continue
		}
		state[start] = open
		stack := []frame{{start, 0}}
		for len(stack) > 0 {
			f := &stack[len(stack)-1]
			n := g.Nodes[f.node]
			if f.next == len(n.Inputs) {
				state[f.node] = done
				out = append(out, n)
				stack = stack[:len(stack)-1]
				continue
			}
			m, ok := maker[n.Inputs[f.next]]
			f.next++
			if !ok || state[m] == done {
				continue
			}
			if state[m] == open {
				return nil, fmt.Errorf("exec: node %s depends on itself", g.Nodes[m].Label())
			}
			state[m] = open
			stack = append(stack, frame{m, 0})
		}
	}
	return out, nil
}
