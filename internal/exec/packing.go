package exec

import (
	"slices"
	"strings"

	"github.com/litekit/lite/onnx"
)

// packing leaves padding out of an encoder (Options.SkipPadding).
//
// The bias that all attentions share says which tokens are padding: those whose
// key nobody sees. What the encoder computes for each token by itself, and the
// attentions, then run on the rows [R, ·] of the other tokens in place of
// [B, S, ·]: node Seen finds them, Pack takes them where the encoder begins, and
// Unpack puts them back, with zeros for padding, for whoever else reads a value.
// Each row's result has the same bits as in the full value where padding lies at
// the end of sequences; dynamically quantized products take their range from the
// tokens alone.
//
// Which rows there are is known only when the graph runs. Where a batch has no
// padding, or its bias is not of the kind that packing understands, Pack hands on
// the value as it is, and everything after it runs in full.
type packing struct {
	g         *onnx.Graph
	producers map[string]*onnx.Node
	weights   map[string]*onnx.Tensor
	bias      string
	rows      map[string]bool // values [B, S, ·] with a row for each token
	out       []*onnx.Node
}

// pack rewrites g, whose nodes are sorted, where its attentions allow it. The
// names of all values stay.
func pack(g *onnx.Graph) {
	p := &packing{g: g, producers: g.Producers(), weights: g.InitializerMap(), rows: map[string]bool{}}
	if !p.start() {
		return
	}
	p.spread()
	p.rewrite()
}

// start finds the attentions. They must share one bias, and each must get
// query, key and value from one value: then that value has B·S rows.
func (p *packing) start() bool {
	for _, n := range p.g.Nodes {
		if n.Op != "Attention" || n.Domain != liteDomain && n.Domain != ownDomain {
			continue
		}
		bias := input(n, 3)
		if bias == "" || p.bias != "" && bias != p.bias || p.producers[bias] == nil {
			return false
		}
		p.bias = bias
		if n.Domain == ownDomain {
			continue // of one query in each sequence, see narrowing
		}
		source := p.sourceOf(n.Inputs[0])
		if source == "" || p.sourceOf(n.Inputs[1]) != source || p.sourceOf(n.Inputs[2]) != source {
			return false
		}
		for _, v := range []string{n.Inputs[0], n.Inputs[1], n.Inputs[2], n.Outputs[0]} {
			p.rows[v] = true
		}
	}
	return len(p.rows) > 0
}

// sourceOf is what the linear layer that makes v reads, "" where none makes it.
func (p *packing) sourceOf(v string) string {
	n := p.producers[v]
	if n == nil || !(n.Domain == liteDomain && n.Op == "Linear" || n.Domain == ownDomain && n.Op == "IntegerLinear") {
		return ""
	}
	if q := p.producers[n.Inputs[0]]; q != nil && q.Op == "DynamicQuantizeLinear" {
		return q.Inputs[0]
	}
	return n.Inputs[0]
}

// rowInputs lists the inputs of which a node reads, for each row of its first
// output, the same row only; nil for other nodes.
func (p *packing) rowInputs(n *onnx.Node) []int {
	switch {
	case len(n.Inputs) == 0 || len(n.Outputs) == 0:
		return nil
	case n.Domain == liteDomain && n.Op == "LayerNorm":
		if input(n, 3) != "" {
			return []int{0, 3}
		}
		return []int{0}
	case n.Domain == liteDomain && (n.Op == "Linear" || n.Op == "Gelu"), n.Domain == ownDomain && n.Op == "IntegerLinear":
		return []int{0}
	case !defaultDomain(n.Domain):
		return nil
	}
	switch n.Op {
	case "Relu", "Gelu", "Tanh", "Sigmoid", "Erf", "Identity", "DynamicQuantizeLinear":
		return []int{0}
	case "QuantizeLinear", "DequantizeLinear":
		if s := p.weights[input(n, 1)]; s != nil && s.Len() == 1 {
			return []int{0}
		}
	case "Add", "Sub", "Mul", "Div":
		for i := range 2 {
			if w := p.weights[input(n, i)]; w != nil && len(w.Dims) <= 1 {
				return []int{1 - i}
			}
		}
		return []int{0, 1}
	}
	return nil
}

// inside reports whether a node runs on rows: it treats each by itself, and what
// it reads are values with a row for each token.
func (p *packing) inside(n *onnx.Node) bool {
	in := p.rowInputs(n)
	return in != nil && !slices.ContainsFunc(in, func(i int) bool { return !p.rows[n.Inputs[i]] })
}

// spread finds the other values with a row for each token: what nodes of one
// operand made them of, and what nodes make of them.
func (p *packing) spread() {
	for changed := true; changed; {
		changed = false
		mark := func(v string) {
			if !p.rows[v] {
				p.rows[v], changed = true, true
			}
		}
		for _, n := range slices.Backward(p.g.Nodes) {
			// A single operand has the shape of the result; one of several could
			// be repeated along an axis.
			if in := p.rowInputs(n); len(in) == 1 && p.rows[n.Outputs[0]] {
				mark(n.Inputs[in[0]])
			}
		}
		for _, n := range p.g.Nodes {
			if p.inside(n) {
				mark(n.Outputs[0])
			}
		}
	}
}

const packedSuffix = "/lite.exec.packed"

func (p *packing) rewrite() {
	seen := []string{p.bias + "/lite.exec.index", p.bias + "/lite.exec.rows", p.bias + "/lite.exec.offsets"}
	var boundary []*onnx.Node
	packed := map[string]bool{}
	for _, n := range p.g.Nodes {
		switch in := p.rowInputs(n); {
		case p.inside(n):
			c := *n
			c.Inputs, c.Outputs = slices.Clone(n.Inputs), slices.Clone(n.Outputs)
			for _, i := range in {
				c.Inputs[i] += packedSuffix
			}
			p.emit(&c, n.Outputs[0], seen, packed)
		case n.Domain == liteDomain && n.Op == "Attention":
			c := *n
			c.Domain, c.Op, c.Outputs = ownDomain, "PackedAttention", slices.Clone(n.Outputs)
			c.Inputs = []string{n.Inputs[0] + packedSuffix, n.Inputs[1] + packedSuffix, n.Inputs[2] + packedSuffix, p.bias, seen[2]}
			p.emit(&c, n.Outputs[0], seen, packed)
		case n.Domain == liteDomain && n.Op == "GatherRows" && p.rows[n.Inputs[0]]:
			p.out = append(p.out, p.reader(n, "PackedGatherRows", seen))
		case n.Op == "Gather" && defaultDomain(n.Domain) && p.rows[n.Inputs[0]] && n.Int("axis", 0) == 1:
			p.out = append(p.out, p.reader(n, "PackedGather", seen))
		default:
			p.out = append(p.out, n)
		}
	}
	for v := range p.rows {
		if !packed[v] {
			boundary = append(boundary, &onnx.Node{Domain: ownDomain, Op: "Pack", Name: v + "/pack", Inputs: []string{v, seen[1], seen[2]}, Outputs: []string{v + packedSuffix}})
		}
	}
	slices.SortFunc(boundary, func(a, b *onnx.Node) int { return strings.Compare(a.Name, b.Name) })
	p.out = append(p.out, &onnx.Node{Domain: ownDomain, Op: "Seen", Name: p.bias + "/seen", Inputs: []string{p.bias}, Outputs: seen})
	p.g.Nodes = append(p.out, boundary...)
}

// emit adds a node whose first output is packed, and the one that unpacks it for
// whoever reads it elsewhere.
func (p *packing) emit(n *onnx.Node, v string, seen []string, packed map[string]bool) {
	n.Outputs[0] = v + packedSuffix
	packed[v] = true
	p.out = append(p.out, n, &onnx.Node{Domain: ownDomain, Op: "Unpack", Name: v + "/unpack",
		Inputs: []string{n.Outputs[0], p.bias, seen[0]}, Outputs: []string{v}})
}

// reader is a node that picks rows of a packed value.
func (p *packing) reader(n *onnx.Node, op string, seen []string) *onnx.Node {
	c := *n
	c.Domain, c.Op = ownDomain, op
	c.Inputs = []string{n.Inputs[0] + packedSuffix, n.Inputs[1], p.bias, seen[0]}
	return &c
}
