package inspect

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/onnx"
)

// Weights counts constants: the initializers of the graph, of the bodies of its
// nodes, and the tensors of Constant nodes.
type Weights struct {
	Name string `json:"name"`
	// Tensors and Elements count all constants, Parameters those that are
	// floats or 8 bits or fewer, as [onnx.Model.Parameters] does, but without the
	// scalars of formulas (such as √2 in GELU).
	Tensors    int   `json:"tensors"`
	Elements   int64 `json:"elements"`
	Parameters int64 `json:"parameters"`
	Bytes      int64 `json:"bytes"`
}

func (w *Weights) add(t *onnx.Tensor) {
	w.Tensors++
	w.Elements += int64(t.Len())
	w.Bytes += int64(len(t.Raw))
	for _, s := range t.Strings {
		w.Bytes += int64(len(s))
	}
	if bits := t.Type.Bits(); len(t.Dims) > 0 && (isFloat(t.Type) || bits > 0 && bits <= 8 && t.Type != onnx.Bool) {
		w.Parameters += int64(t.Len())
	}
}

func isFloat(t onnx.DataType) bool {
	return t == onnx.Float || t == onnx.Float16 || t == onnx.BFloat16 || t == onnx.Double
}

// tally is a sum for each name.
type tally map[string]*Weights

func (s tally) add(name string, t *onnx.Tensor) {
	if s[name] == nil {
		s[name] = &Weights{Name: name}
	}
	s[name].add(t)
}

// list is the sums, the largest first unless an order of names is given.
func (s tally) list(order ...string) []Weights {
	out := []Weights{}
	for _, name := range slices.Sorted(maps.Keys(s)) {
		out = append(out, *s[name])
	}
	slices.SortStableFunc(out, func(a, b Weights) int {
		if len(order) > 0 {
			return cmp.Compare(slices.Index(order, a.Name), slices.Index(order, b.Name))
		}
		return cmp.Compare(b.Bytes, a.Bytes)
	})
	return out
}

// constants are the tensors that a graph holds itself, by the name they are read by.
func constants(g *onnx.Graph) []*onnx.Tensor {
	out := slices.Clone(g.Initializers)
	for _, s := range g.Sparse {
		if s.Values != nil {
			out = append(out, s.Values)
		}
	}
	for _, n := range g.Nodes {
		a := n.Attr("value")
		if n.Op != "Constant" || a == nil || a.Tensor == nil || len(n.Outputs) == 0 {
			continue
		}
		t := *a.Tensor
		t.Name = n.Outputs[0]
		out = append(out, &t)
	}
	return out
}

// weigh counts the weights by type, by operator and by layer.
func (r *Report) weigh(m *onnx.Model) {
	types, operators := tally{}, tally{}
	var walk func(g *onnx.Graph)
	walk = func(g *onnx.Graph) {
		readers := g.Consumers()
		for _, t := range constants(g) {
			types.add(t.Type.String(), t)
			operators.add(reader(t.Name, readers), t)
		}
		for _, n := range g.Nodes {
			for _, body := range n.Graphs() {
				walk(body)
			}
		}
	}
	walk(m.Graph)
	for _, f := range m.Functions {
		walk(&onnx.Graph{Nodes: f.Nodes})
	}
	r.ByType, r.ByOperator = types.list(), operators.list()
	for _, w := range r.ByType {
		r.WeightTypes[w.Name] = w.Elements
		r.WeightBytes += w.Bytes
	}
	if enc, err := fuse.Detect(m); err == nil && len(enc.Layers) > 0 {
		r.ByLayer = byLayer(m, enc)
	}
}

// passing are the operators that hand a weight on to the one that uses it.
var passing = map[string]bool{
	"DequantizeLinear": true, "Cast": true, "Transpose": true, "Identity": true, "Reshape": true, "Squeeze": true, "Unsqueeze": true,
}

// reader is the operator that uses a constant.
func reader(name string, readers map[string][]*onnx.Node) string {
	const hops = 8 // a cycle is a fault, but no reason to hang
	for range hops {
		list := readers[name]
		if len(list) == 0 {
			return "unused"
		}
		n := list[0]
		if !passing[n.Op] || len(n.Inputs) == 0 || n.Inputs[0] != name || len(n.Outputs) == 0 || len(readers[n.Outputs[0]]) == 0 {
			return operator(n)
		}
		name = n.Outputs[0]
	}
	return "other"
}

// The parts of an encoder that are no layers.
const (
	partEmbeddings = "embeddings"
	partPooler     = "pooler"
	partHead       = "head"
	partShared     = "shared by layers"
	partOther      = "other"
	partUnused     = "unused"
)

// parts knows to which part of an encoder nodes belong.
type parts struct {
	of      map[*onnx.Node]string
	readers map[string][]*onnx.Node
	fed     map[string]bool // values that depend on an input of the graph
}

// byLayer sums the weights of an encoder: a layer is what lies between the
// values that it reads and makes.
func byLayer(m *onnx.Model, enc *fuse.Encoder) []Weights {
	g := m.Clone().Graph
	_ = g.Sort() // Detect has read it: where this fails the order is good enough
	p := &parts{of: map[*onnx.Node]string{}, readers: g.Consumers(), fed: map[string]bool{}}
	for _, in := range g.Inputs {
		p.fed[in.Name] = g.Initializer(in.Name) == nil
	}
	reach := map[string]bool{enc.Embeddings: true} // values after the embeddings
	after := map[*onnx.Node]bool{}
	for _, n := range g.Nodes {
		for _, in := range n.Inputs {
			after[n] = after[n] || reach[in]
		}
		fed := slices.ContainsFunc(n.Inputs, func(in string) bool { return p.fed[in] })
		for _, o := range n.Outputs {
			reach[o] = reach[o] || after[n]
			p.fed[o] = fed
		}
	}
	made := g.Producers()
	seen := map[*onnx.Node]bool{}
	claim := func(value, part string, all bool) {
		for stack := []string{value}; len(stack) > 0; {
			n := made[stack[len(stack)-1]]
			stack = stack[:len(stack)-1]
			if n == nil || seen[n] || !all && !after[n] {
				continue
			}
			seen[n] = true
			p.of[n] = part
			stack = append(stack, n.Inputs...)
		}
	}
	order := []string{partEmbeddings}
	claim(enc.Embeddings, partEmbeddings, true)
	claim(enc.Layers[0].Input, partEmbeddings, false)
	for i, l := range enc.Layers {
		name := fmt.Sprintf("layer %d", i)
		order = append(order, name)
		claim(l.Hidden, name, false)
	}
	if enc.Pooler != nil {
		claim(enc.Pooler.Y, partPooler, false)
	}
	for _, n := range g.Nodes {
		if after[n] && !seen[n] {
			p.of[n] = partHead
		}
	}
	sum := tally{}
	for _, t := range constants(g) {
		sum.add(p.part(t.Name), t)
	}
	return sum.list(append(order, partShared, partPooler, partHead, partOther, partUnused)...)
}

// part is the part of the encoder that reads a constant, itself or through
// nodes that depend on constants only.
func (p *parts) part(name string) string {
	found := map[string]bool{}
	seen := map[string]bool{}
	for stack := []string{name}; len(stack) > 0; {
		name := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[name] {
			continue
		}
		seen[name] = true
		for _, n := range p.readers[name] {
			switch {
			case p.of[n] != "":
				found[p.of[n]] = true
			case slices.ContainsFunc(n.Inputs, func(in string) bool { return p.fed[in] }):
				found[partOther] = true // the mask's arithmetic
			default:
				stack = append(stack, n.Outputs...)
			}
		}
	}
	switch {
	case len(found) == 0:
		return partUnused
	case found[partEmbeddings]:
		return partEmbeddings // a table that a decoder shares
	case len(found) == 1:
		return slices.Collect(maps.Keys(found))[0]
	}
	for part := range found {
		if part == partPooler || part == partHead || part == partOther {
			return partOther
		}
	}
	return partShared
}
