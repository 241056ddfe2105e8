package exec

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/litekit/lite/onnx"
)

const (
	// maxInlined bounds the nodes that functions expand to, maxNames the bytes
	// of their names, maxCalls their depth: a small file can ask for any number.
	maxInlined = 1 << 18
	maxNames   = 128 << 20
	maxCalls   = 64
	// nodeOpset is the attribute of a node whose function imports another
	// version of its operator set than the model.
	nodeOpset = "lite.exec.opset"
)

// inlining replaces calls of a model's functions by their nodes.
type inlining struct {
	functions map[[3]string]*onnx.Function
	opsets    map[string]int64
	count     int
	bytes     int // of names made
	serial    int
}

// over reports that the functions expand to too much.
func (w *inlining) over() bool { return w.count > maxInlined || w.bytes > maxNames }

// given is a copy of a graph that a call hands to a function.
func (w *inlining) given(g *onnx.Graph) *onnx.Graph {
	if g == nil {
		return nil
	}
	if w.count += nodesIn(g.Nodes); w.over() {
		return nil
	}
	return g.Clone()
}

// inline expands the functions of m in its graph and all bodies.
func inline(m *onnx.Model) error {
	if len(m.Functions) == 0 {
		return nil
	}
	w := &inlining{functions: map[[3]string]*onnx.Function{}, opsets: map[string]int64{}}
	for _, f := range m.Functions {
		w.functions[[3]string{cleanDomain(f.Domain), f.Name, f.Overload}] = f
	}
	for _, o := range m.Opsets {
		w.opsets[cleanDomain(o.Domain)] = o.Version
	}
	// What a function imports and the model does not is imported for its nodes.
	for _, f := range m.Functions {
		for _, o := range f.Opsets {
			if d := cleanDomain(o.Domain); w.opsets[d] == 0 {
				w.opsets[d] = o.Version
				m.Opsets = append(m.Opsets, o)
			}
		}
	}
	m.Functions = nil
	return w.graph(m.Graph, 0)
}

func (w *inlining) graph(g *onnx.Graph, depth int) (err error) {
	g.Nodes, err = w.nodes(g.Nodes, depth)
	return err
}

func (w *inlining) nodes(list []*onnx.Node, depth int) (out []*onnx.Node, err error) {
	for _, n := range list {
		f := w.functions[[3]string{cleanDomain(n.Domain), n.Op, n.Overload}]
		if f == nil {
			for _, g := range n.Graphs() {
				if err := w.graph(g, depth); err != nil {
					return nil, err
				}
			}
			out = append(out, n)
			continue
		}
		if depth == maxCalls {
			return nil, fmt.Errorf("exec: node %s: function %s calls itself or is nested over %d deep", n.Label(), n.Op, maxCalls)
		}
		w.count += nodesIn(f.Nodes)
		var body []*onnx.Node
		if !w.over() {
			if body, err = w.expand(n, f); err != nil {
				return nil, err
			}
		}
		if w.over() {
			return nil, fmt.Errorf("exec: node %.200s: the functions expand to over %d nodes or %d MiB of names", n.Label(), maxInlined, maxNames>>20)
		}
		if body, err = w.nodes(body, depth+1); err != nil {
			return nil, err
		}
		out = append(out, body...)
	}
	return out, nil
}

// nodesIn counts nodes with those of their bodies.
func nodesIn(list []*onnx.Node) int {
	k := len(list)
	for _, n := range list {
		for _, g := range n.Graphs() {
			k += nodesIn(g.Nodes)
		}
	}
	return k
}

// expand returns the nodes of f with the names, attributes and opsets of a call.
func (w *inlining) expand(n *onnx.Node, f *onnx.Function) ([]*onnx.Node, error) {
	if len(n.Inputs) > len(f.Inputs) || len(n.Outputs) > len(f.Outputs) {
		return nil, fmt.Errorf("exec: node %s: %d inputs and %d outputs for function %s, which has %d and %d",
			n.Label(), len(n.Inputs), len(n.Outputs), f.Name, len(f.Inputs), len(f.Outputs))
	}
	w.serial++
	r := &renaming{w: w, prefix: n.Label() + "/" + strconv.Itoa(w.serial) + "/", names: map[string]string{"": ""}, attrs: map[string]*onnx.Attribute{}}
	for i, in := range f.Inputs {
		r.names[in] = ""
		if i < len(n.Inputs) {
			r.names[in] = n.Inputs[i]
		}
	}
	var copies []*onnx.Node // of outputs that are inputs
	for i, o := range f.Outputs {
		if i >= len(n.Outputs) || n.Outputs[i] == "" {
			continue
		}
		if slices.Contains(f.Inputs, o) || slices.Contains(f.Outputs[:i], o) {
			copies = append(copies, onnx.NewNode("Identity", n.Label()+"/"+o, []string{r.name(o)}, []string{n.Outputs[i]}))
			continue
		}
		r.names[o] = n.Outputs[i]
	}
	for _, a := range f.Defaults {
		r.attrs[a.Name] = a
	}
	for _, a := range n.Attrs {
		r.attrs[a.Name] = a
	}
	var out []*onnx.Node
	for _, fn := range f.Nodes {
		c := fn.Clone()
		r.node(c)
		for _, o := range f.Opsets {
			if d := cleanDomain(o.Domain); d == cleanDomain(c.Domain) && o.Version != w.opsets[d] {
				c.Attrs = append(c.Attrs, onnx.IntAttr(nodeOpset, o.Version))
			}
		}
		out = append(out, c)
	}
	return append(out, copies...), nil
}

// renaming is what changes in the nodes of a function for one call.
type renaming struct {
	w      *inlining
	prefix string
	names  map[string]string
	attrs  map[string]*onnx.Attribute
}

func (r *renaming) name(s string) string {
	t, ok := r.names[s]
	if !ok {
		t = r.prefix + s
		r.names[s] = t
		r.w.bytes += len(t)
	}
	return t
}

func (r *renaming) node(n *onnx.Node) {
	if r.w.over() {
		return
	}
	n.Name = r.prefix + n.Name
	r.w.bytes += len(n.Name)
	for i, s := range n.Inputs {
		n.Inputs[i] = r.name(s)
	}
	for i, s := range n.Outputs {
		n.Outputs[i] = r.name(s)
	}
	attrs := n.Attrs[:0]
	for _, a := range n.Attrs {
		if a.RefName != "" {
			given := r.attrs[a.RefName]
			if given == nil {
				continue // the operator's default
			}
			c := *given
			c.Name, c.RefName = a.Name, given.RefName
			c.Graph, c.Graphs = r.w.given(given.Graph), nil // their names are those around the call
			for _, g := range given.Graphs {
				c.Graphs = append(c.Graphs, r.w.given(g))
			}
			a = &c
			attrs = append(attrs, a)
			continue
		}
		for _, g := range append(slices.Clone(a.Graphs), a.Graph) {
			if g != nil {
				r.graph(g)
			}
		}
		attrs = append(attrs, a)
	}
	n.Attrs = attrs
}

func (r *renaming) graph(g *onnx.Graph) {
	for _, list := range [][]*onnx.ValueInfo{g.Inputs, g.Outputs, g.Values} {
		for _, v := range list {
			v.Name = r.name(v.Name)
		}
	}
	for i, t := range g.Initializers {
		c := *t
		c.Name = r.name(t.Name)
		g.Initializers[i] = &c
	}
	for _, n := range g.Nodes {
		r.node(n)
	}
}
