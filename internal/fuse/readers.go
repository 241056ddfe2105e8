package fuse

import (
	"slices"

	"github.com/litekit/lite/onnx"
)

// readers are the distinct nodes that read a value, in the order in which they
// came. A nil *readers has none. Adding and dropping one costs the same however
// many there are: a graph may have one value that all of its nodes read.
type readers struct {
	list []*onnx.Node // nil where one was dropped
	at   map[*onnx.Node]int
	gone int
	lent bool // somebody may be going through list
}

// indexed is the length from which places are looked up.
const indexed = 16

func (r *readers) find(n *onnx.Node) int {
	if len(r.list) < indexed {
		return slices.Index(r.list, n)
	}
	if r.at == nil {
		r.at = make(map[*onnx.Node]int, len(r.list))
		for i, x := range r.list {
			if x != nil {
				r.at[x] = i
			}
		}
	}
	if i, ok := r.at[n]; ok {
		return i
	}
	return -1
}

func (r *readers) add(n *onnx.Node) {
	if r.find(n) >= 0 {
		return
	}
	if r.at != nil {
		r.at[n] = len(r.list)
	}
	r.list = append(r.list, n)
}

func (r *readers) drop(n *onnx.Node) {
	if r == nil {
		return
	}
	i := r.find(n)
	if i < 0 {
		return
	}
	if r.lent {
		r.list, r.lent = slices.Clone(r.list), false
	}
	r.list[i] = nil
	r.gone++
	delete(r.at, n)
}

func (r *readers) count() int {
	if r == nil {
		return 0
	}
	return len(r.list) - r.gone
}

// nodes lists the readers. The list stays as it is while the graph is changed.
func (r *readers) nodes() []*onnx.Node {
	if r == nil {
		return nil
	}
	if r.gone > 0 {
		kept := make([]*onnx.Node, 0, r.count())
		for _, n := range r.list {
			if n != nil {
				kept = append(kept, n)
			}
		}
		r.list, r.at, r.gone = kept, nil, 0
	}
	r.lent = true
	return r.list[:len(r.list):len(r.list)]
}

// reader returns the readers of a value to add one to.
func (g *graph) reader(v string) *readers {
	if g.cons[v] == nil {
		g.cons[v] = &readers{}
	}
	return g.cons[v]
}

// readsOf lists the values that n reads, directly or in a subgraph.
func readsOf(n *onnx.Node) []string {
	if !hasSubgraph(n) {
		return n.Inputs
	}
	out := slices.Clone(n.Inputs)
	for _, s := range n.Graphs() {
		out = append(out, s.Free()...)
	}
	return out
}
