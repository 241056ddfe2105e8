package onnx

import (
	"fmt"
	"slices"
)

// Sort puts the nodes in topological order, nodes that do not depend on each
// other staying as they were. A cycle is an error that names it, and then the
// order is unchanged.
func (g *Graph) Sort() error {
	maker := map[string]int{}
	for i, n := range g.Nodes {
		for _, o := range n.Outputs {
			if o != "" {
				maker[o] = i
			}
		}
	}
	sorted := make([]*Node, 0, len(g.Nodes))
	const fresh, open, done = 0, 1, 2
	state := make([]int, len(g.Nodes))
	// The way down from the node in hand is kept in a list of its own: a long
	// chain in reverse order must not overflow the stack.
	type step struct {
		node int
		todo []string
	}
	for root := range g.Nodes {
		if state[root] != fresh {
			continue
		}
		state[root] = open
		way := []step{{root, g.Nodes[root].reads()}}
		for len(way) > 0 {
			top := &way[len(way)-1]
			if len(top.todo) == 0 {
				state[top.node] = done
				sorted = append(sorted, g.Nodes[top.node])
				way = way[:len(way)-1]
				continue
			}
			i, ok := maker[top.todo[0]]
			top.todo = top.todo[1:]
			if !ok || state[i] == done {
				continue
			}
			if state[i] == open {
				return fmt.Errorf("onnx: graph %q has a cycle: %s; remove one of these edges", g.Name, findCycle(g.Nodes, maker, top.node, i))
			}
			state[i] = open
			way = append(way, step{i, g.Nodes[i].reads()})
		}
	}
	g.Nodes = sorted
	return nil
}

// reads lists the values that a node needs: its inputs, and what its subgraphs
// take from around them.
func (n *Node) reads() []string {
	var out []string
	for _, in := range n.Inputs {
		if in != "" {
			out = append(out, in)
		}
	}
	for _, g := range n.Graphs() {
		out = append(out, g.Free()...)
	}
	return out
}

// Graphs lists the subgraphs of a node: branches of If, bodies of Loop and Scan.
func (n *Node) Graphs() (out []*Graph) {
	for _, a := range n.Attrs {
		out = append(out, a.graphs()...)
	}
	return out
}

// Free lists the values that a subgraph, or one within it, reads and does not
// make, each once, in the order in which they are read.
func (g *Graph) Free() []string {
	own := map[string]bool{"": true}
	for _, v := range g.Inputs {
		own[v.Name] = true
	}
	for _, t := range g.Initializers {
		own[t.Name] = true
	}
	for _, s := range g.Sparse {
		if s.Values != nil {
			own[s.Values.Name] = true
		}
	}
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			own[o] = true
		}
	}
	var all []string
	for _, n := range g.Nodes {
		all = append(all, n.reads()...)
	}
	for _, o := range g.Outputs {
		all = append(all, o.Name)
	}
	return slices.DeleteFunc(all, func(name string) bool {
		seen := own[name]
		own[name] = true
		return seen
	})
}
