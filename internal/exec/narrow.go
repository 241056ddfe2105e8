package exec

import (
	"fmt"
	"slices"

	"github.com/litekit/lite/onnx"
)

// narrowing computes for one position what is only read at one position.
//
// A classifier reads the last hidden state [B, S, H] at its first token:
// Gather(hidden, 0, axis 1). The nodes between the last attention's scores and
// there work row by row, so they are repeated with the gather moved above
// them: the last layer's query, attention, output and feed-forward products run
// on B rows in place of B·S. The nodes in full stay in the graph for whoever
// asks for their values; a run leaves out what its outputs do not need.
type narrowing struct {
	producers map[string]*onnx.Node
	weights   map[string]*onnx.Tensor
	index     string // initializer [1] with the position
	row       int64
	full      map[string]bool   // values that keys and values need at every position
	memo      map[string]string // value → its row [B, 1, …]
	out       []*onnx.Node
	prefix    string
}

// narrow rewrites every such gather of g.
func narrow(g *onnx.Graph) {
	producers, weights := g.Producers(), g.InitializerMap()
	var out []*onnx.Node
	for _, n := range g.Nodes {
		w := &narrowing{producers: producers, weights: weights, full: map[string]bool{}, memo: map[string]string{}}
		if r := w.gather(g, n); r != nil {
			out = append(out, w.out...)
			n = r
		}
		out = append(out, n)
	}
	g.Nodes = out
}

// gather returns what a Gather of one position becomes, nil where it stays.
func (w *narrowing) gather(g *onnx.Graph, n *onnx.Node) *onnx.Node {
	if n.Op != "Gather" || !defaultDomain(n.Domain) || n.Int("axis", 0) != 1 || len(n.Inputs) != 2 || len(n.Outputs) != 1 {
		return nil
	}
	idx := w.weights[n.Inputs[1]]
	if idx == nil || idx.Len() != 1 || len(idx.Dims) > 1 || !w.reaches(n.Inputs[0], 8) {
		return nil
	}
	v, err := idx.Int64s()
	if err != nil {
		return nil
	}
	w.needs(n.Inputs[0])
	w.prefix, w.row = n.Outputs[0]+"/lite.exec/", v[0]
	w.index = w.prefix + "index"
	g.Initializers = append(g.Initializers, onnx.NewInt64s(w.index, v, 1))
	out := *n
	out.Op, out.Inputs, out.Attrs = "Identity", []string{w.of(n.Inputs[0])}, nil
	if len(idx.Dims) == 0 {
		out.Domain, out.Op = ownDomain, "DropAxis1"
	}
	return &out
}

// reaches reports whether v comes from an attention by row-wise nodes, at most
// depth of them. Only then is v known to be [B, S, …].
func (w *narrowing) reaches(v string, depth int) bool {
	n := w.producers[v]
	if n == nil || depth == 0 {
		return false
	}
	if n.Domain == liteDomain && n.Op == "Attention" {
		return true
	}
	return w.rowWise(n) && w.reaches(n.Inputs[0], depth-1)
}

// needs finds what has to be computed in full all the same: whatever the keys and
// values are made of, of the attentions that v comes from by row-wise nodes. A row
// of that is taken and not computed again, or every layer below would run twice.
func (w *narrowing) needs(v string) {
	n := w.producers[v]
	switch {
	case n == nil:
	case n.Domain == liteDomain && n.Op == "Attention":
		w.mark(n.Inputs[1])
		w.mark(n.Inputs[2])
	case w.rowWise(n):
		w.needs(n.Inputs[0])
		if n.Op == "LayerNorm" && !w.full[input(n, 3)] {
			w.needs(input(n, 3))
		}
	}
}

func (w *narrowing) mark(v string) {
	if v == "" || w.full[v] {
		return
	}
	w.full[v] = true
	if n := w.producers[v]; n != nil {
		for _, in := range n.Inputs {
			w.mark(in)
		}
	}
}

// rowWise reports whether each row of the output depends on the same row of
// the first input (and of a LayerNorm's residual) only. A dynamically
// quantized product does not: its scale depends on every row.
func (w *narrowing) rowWise(n *onnx.Node) bool {
	switch {
	case n.Domain == liteDomain && n.Op == "LayerNorm":
		r := w.producers[input(n, 3)]
		return input(n, 3) == "" || r != nil && r.Domain == liteDomain && (r.Op == "LayerNorm" || r.Op == "Linear")
	case n.Domain == liteDomain && n.Op == "Linear":
		t := w.weights[input(n, 1)]
		return t != nil && len(t.Dims) == 2
	case n.Domain == liteDomain && n.Op == "Gelu":
		return true
	case n.Domain == ownDomain && n.Op == "IntegerLinear":
		q := w.producers[input(n, 0)]
		return q != nil && q.Op == "QuantizeLinear"
	case (n.Op == "QuantizeLinear" || n.Op == "DequantizeLinear") && defaultDomain(n.Domain):
		s := w.weights[input(n, 1)]
		return s != nil && s.Len() == 1
	}
	return false
}

// of returns the name of the row of v, adding the nodes that compute it.
func (w *narrowing) of(v string) string {
	if name, ok := w.memo[v]; ok {
		return name
	}
	name := w.prefix + v
	w.memo[v] = name
	n := w.producers[v]
	switch {
	case w.full[v]:
		w.take(v, name)
	case n != nil && w.rowWise(n) && w.reaches(v, 8):
		c := w.copyOf(n, v, name)
		c.Inputs[0] = w.of(n.Inputs[0])
		if n.Op == "LayerNorm" && input(n, 3) != "" {
			c.Inputs[3] = w.of(n.Inputs[3])
		}
		w.out = append(w.out, c)
	case n != nil && n.Domain == liteDomain && n.Op == "Attention":
		c := w.copyOf(n, v, name)
		c.Attrs = append(c.Attrs, onnx.IntAttr("query_row", w.row))
		c.Domain = ownDomain
		c.Inputs[0] = w.query(n.Inputs[0])
		w.out = append(w.out, c)
	default:
		w.take(v, name)
	}
	return name
}

// query returns the row of an attention's query, through its linear layer.
func (w *narrowing) query(v string) string {
	n := w.producers[v]
	if n == nil || n.Domain != liteDomain || n.Op != "Linear" || !w.rowWise(n) {
		return w.of(v)
	}
	name := w.prefix + v
	c := w.copyOf(n, v, name)
	c.Inputs[0] = w.of(n.Inputs[0])
	w.out = append(w.out, c)
	return name
}

func (w *narrowing) take(v, name string) {
	w.out = append(w.out, onnx.NewNode("Gather", fmt.Sprintf("row %d of %s", w.row, v), []string{v, w.index}, []string{name}, onnx.IntAttr("axis", 1)))
}

// copyOf returns n with only output v, renamed.
func (w *narrowing) copyOf(n *onnx.Node, v, name string) *onnx.Node {
	c := *n
	c.Inputs, c.Attrs = slices.Clone(n.Inputs), slices.Clone(n.Attrs)
	c.Outputs = make([]string, len(n.Outputs))
	for i, o := range n.Outputs {
		if o == v {
			c.Outputs[i] = name
		}
	}
	return &c
}

// dropAxis1 is Squeeze of axis 1 [B, 1, …].
func dropAxis1(c *call) error {
	x := c.in[0]
	if len(x.Shape) < 2 || x.Shape[1] != 1 {
		return fmt.Errorf("shape %v has no axis 1 of one element", x.Shape)
	}
	shape := append(c.newShape(len(x.Shape) - 1)[:0], x.Shape[0])
	c.view(0, x, append(shape, x.Shape[2:]...))
	return nil
}
