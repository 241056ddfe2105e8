package fuse

import (
	"fmt"
	"math"
	"slices"

	"github.com/litekit/lite/onnx"
)

// graph is a model under rewriting, with indexes that every edit keeps current.
type graph struct {
	m      *onnx.Model
	slots  [][]*onnx.Node // the nodes in order; a slot may hold none or several
	pos    map[*onnx.Node]int
	prod   map[string]*onnx.Node
	cons   map[string]*readers
	outs   map[string]bool
	inits  map[string]*onnx.Tensor
	taken  map[string]bool
	origin map[*onnx.Node][]*onnx.Node
	parts  map[*onnx.Node]parts
	alias  map[string]string // removed value → the value that stands for it
	opset  int64
	infer  *onnx.Inference
}

func newGraph(orig *onnx.Model) (*graph, error) {
	m := orig.Clone()
	g := &graph{
		m:      m,
		pos:    make(map[*onnx.Node]int, len(m.Graph.Nodes)),
		prod:   m.Graph.Producers(),
		cons:   map[string]*readers{},
		outs:   map[string]bool{},
		inits:  m.Graph.InitializerMap(),
		taken:  map[string]bool{},
		origin: make(map[*onnx.Node][]*onnx.Node, len(m.Graph.Nodes)),
		parts:  map[*onnx.Node]parts{},
		alias:  map[string]string{},
		opset:  opsetOf(m),
	}
	for v, list := range m.Graph.Consumers() {
		g.cons[v] = &readers{list: list}
	}
	for _, v := range m.Graph.Inputs {
		g.taken[v.Name] = true
	}
	for name := range g.inits {
		g.taken[name] = true
	}
	for i, n := range m.Graph.Nodes {
		g.slots = append(g.slots, []*onnx.Node{n})
		g.pos[n] = i
		g.origin[n] = []*onnx.Node{orig.Graph.Nodes[i]}
		for _, in := range n.Inputs {
			if p := g.prod[in]; p != nil && in != "" && !g.taken[in] {
				return nil, fmt.Errorf("fuse: node %s reads %q before node %s computes it; put the graph in topological order", n.Label(), in, p.Label())
			}
		}
		for _, o := range n.Outputs {
			if o != "" {
				g.taken[o] = true
			}
		}
	}
	for _, o := range m.Graph.Outputs {
		g.outs[o.Name] = true
		g.taken[o.Name] = true
	}
	return g, nil
}

// opsetOf is the version of the default operator set, 1 where none is declared.
func opsetOf(m *onnx.Model) int64 {
	for _, o := range m.Opsets {
		if o.Domain == "" || o.Domain == "ai.onnx" {
			return o.Version
		}
	}
	return 1
}

// nodes lists the nodes in order.
func (g *graph) nodes() []*onnx.Node {
	var out []*onnx.Node
	for _, s := range g.slots {
		out = append(out, s...)
	}
	return out
}

// live reports whether n is still in the graph.
func (g *graph) live(n *onnx.Node) bool { _, ok := g.pos[n]; return ok }

// unique returns a value name that nothing has, starting with base.
func (g *graph) unique(base string) string {
	name := base
	for i := 1; g.taken[name]; i++ {
		name = fmt.Sprintf("%s_%d", base, i)
	}
	g.taken[name] = true
	return name
}

// addInit adds a constant under its name.
func (g *graph) addInit(t *onnx.Tensor) {
	g.taken[t.Name] = true
	g.inits[t.Name] = t
	g.m.Graph.Initializers = append(g.m.Graph.Initializers, t)
}

// remove takes a node out; values it computed have no producer afterwards.
func (g *graph) remove(n *onnx.Node) {
	i := g.pos[n]
	g.slots[i] = slices.DeleteFunc(slices.Clone(g.slots[i]), func(x *onnx.Node) bool { return x == n })
	delete(g.pos, n)
	for _, v := range readsOf(n) {
		g.cons[v].drop(n)
	}
	for _, o := range n.Outputs {
		if g.prod[o] == n {
			delete(g.prod, o)
		}
	}
}

func hasSubgraph(n *onnx.Node) bool {
	return slices.ContainsFunc(n.Attrs, func(a *onnx.Attribute) bool { return a.Graph != nil || len(a.Graphs) > 0 })
}

// insert puts n at the end of slot i.
func (g *graph) insert(i int, n *onnx.Node) { g.insertAt(i, len(g.slots[i]), n) }

// insertAt puts n before the node at of slot i.
func (g *graph) insertAt(i, at int, n *onnx.Node) {
	g.slots[i] = slices.Insert(slices.Clone(g.slots[i]), at, n)
	g.pos[n] = i
	for _, v := range n.Inputs {
		if v != "" {
			g.reader(v).add(n)
		}
	}
	for _, o := range n.Outputs {
		if o != "" {
			g.prod[o] = n
			g.taken[o] = true
		}
	}
}

// setInput changes one input of a node.
func (g *graph) setInput(n *onnx.Node, i int, v string) {
	old := n.Inputs[i]
	n.Inputs[i] = v
	if !slices.Contains(n.Inputs, old) {
		g.cons[old].drop(n)
	}
	if v != "" {
		g.reader(v).add(n)
	}
}

// closed reports whether nothing outside set needs a value that set computes, out excepted.
func (g *graph) closed(set []*onnx.Node, out string) bool {
	for _, n := range set {
		for _, o := range n.Outputs {
			if o == "" || o == out {
				continue
			}
			if g.outs[o] {
				return false
			}
			for _, c := range g.cons[o].nodes() {
				if !slices.Contains(set, c) {
					return false
				}
			}
		}
	}
	return true
}

// replace puts new (in order) where the last node of set was, if set is closed
// but for the outputs of the last node of new and no new node reads what set
// computes. It reports whether it did.
func (g *graph) replace(set []*onnx.Node, fused ...*onnx.Node) bool {
	set = distinct(set)
	last := fused[len(fused)-1]
	out := last.Outputs[0]
	if !g.closed(set, out) {
		return false
	}
	slot := 0
	for _, n := range set {
		slot = max(slot, g.pos[n])
		for _, f := range fused {
			for _, v := range f.Inputs {
				if v != "" && slices.Contains(n.Outputs, v) {
					return false
				}
			}
		}
	}
	slices.SortStableFunc(set, func(a, b *onnx.Node) int { return g.pos[a] - g.pos[b] })
	// A slot may hold nodes behind the set that read its result.
	at := 0
	for i, n := range g.slots[slot] {
		if slices.Contains(set, n) {
			at = i + 1
		}
	}
	behind := len(g.slots[slot]) - at
	var from []*onnx.Node
	for _, n := range set {
		from = append(from, g.origin[n]...)
		g.remove(n)
	}
	for _, f := range fused {
		g.insertAt(slot, len(g.slots[slot])-behind, f)
		if _, known := g.infer.Shape(f.Outputs[0]); !known {
			g.infer.Add(f)
		}
	}
	g.origin[last] = distinct(from)
	return true
}

func distinct(set []*onnx.Node) []*onnx.Node {
	var out []*onnx.Node
	for _, n := range set {
		if n != nil && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// first is the first original node that n stands for, nil where it was added.
func (g *graph) first(n *onnx.Node) *onnx.Node {
	if o := g.origin[n]; len(o) > 0 {
		return o[0]
	}
	return nil
}

// sweep removes nodes whose results nothing needs.
func (g *graph) sweep() {
	for i := len(g.slots) - 1; i >= 0; i-- {
		for j := len(g.slots[i]) - 1; j >= 0; j-- {
			n := g.slots[i][j]
			needed := slices.ContainsFunc(n.Outputs, func(o string) bool {
				return o != "" && (g.outs[o] || g.cons[o].count() > 0)
			})
			if !needed {
				g.remove(n)
			}
		}
	}
}

// sole returns the only reader of v, or nil where v is an output, or has none or several readers.
func (g *graph) sole(v string) *onnx.Node {
	if c := g.cons[v]; c.count() == 1 && !g.outs[v] {
		return c.nodes()[0]
	}
	return nil
}

// needed is how many inputs the patterns read of an operator, where it is not one.
var needed = map[string]int{
	"Constant": 0, "Where": 3, "Add": 2, "Sub": 2, "Mul": 2, "Div": 2, "Pow": 2, "MatMul": 2, "Gather": 2,
	"MatMulInteger": 2, "Gemm": 2, "DequantizeLinear": 2, "LayerNormalization": 3, "Reshape": 2,
}

// liteNeeded is the same for the fused operators.
var liteNeeded = map[string]int{OpLinear: 2, OpQLinear: 4, OpLayerNorm: 3, OpAttention: 3, OpGelu: 1, OpGatherRows: 2}

// is reports whether n is a node of the default domain with one of these operators
// that has a result and the inputs the patterns read; one that lacks them is left as it is.
func is(n *onnx.Node, ops ...string) bool {
	if n == nil || n.Domain != "" && n.Domain != "ai.onnx" || !slices.Contains(ops, n.Op) {
		return false
	}
	k, ok := needed[n.Op]
	if !ok {
		k = 1
	}
	return complete(n, k)
}

// isMS is [is] for com.microsoft nodes.
func isMS(n *onnx.Node, ops ...string) bool {
	return n != nil && n.Domain == "com.microsoft" && slices.Contains(ops, n.Op) && complete(n, 1)
}

// isLite is [is] for fused nodes.
func isLite(n *onnx.Node, ops ...string) bool {
	return n != nil && n.Domain == Domain && slices.Contains(ops, n.Op) && complete(n, liteNeeded[n.Op])
}

// complete reports whether n has a first output and its first k inputs, none omitted.
func complete(n *onnx.Node, k int) bool {
	return len(n.Outputs) > 0 && n.Outputs[0] != "" && len(n.Inputs) >= k && !slices.Contains(n.Inputs[:k], "")
}

// input returns input i of n, "" where it is omitted.
func input(n *onnx.Node, i int) string {
	if i < len(n.Inputs) {
		return n.Inputs[i]
	}
	return ""
}

// newLite makes a fused node.
func newLite(op, name string, inputs []string, output string, attrs ...*onnx.Attribute) *onnx.Node {
	n := onnx.NewNode(op, name, inputs, []string{output}, attrs...)
	n.Domain = Domain
	return n
}

// scalar returns the value of a constant of one element.
func (g *graph) scalar(v string) (float64, bool) {
	if f, ok := g.infer.Floats(v); ok && len(f) == 1 {
		return float64(f[0]), true
	}
	if e, ok := g.one(v); ok {
		n, known := e.Number()
		return float64(n), known
	}
	return 0, false
}

// single reports whether v may be computed in float32: the fused operators know no other type.
func (g *graph) single(v string) bool {
	t := g.infer.Type(v)
	return t == onnx.Float || t == onnx.Undefined
}

// near reports whether a and b agree to a relative 1e-3, which tells the constants
// of the patterns apart whatever precision they were printed with.
func near(a, b float64) bool { return math.Abs(a-b) <= 1e-3*math.Max(math.Abs(a), math.Abs(b)) }

// isScalar reports whether v is a float constant near want.
func (g *graph) isScalar(v string, want float64) bool {
	x, ok := g.scalar(v)
	return ok && near(x, want)
}

// split returns the constant and the other operand of a binary node that has exactly
// one float scalar constant: index is which input the constant is.
func (g *graph) split(n *onnx.Node) (c float64, other string, index int, ok bool) {
	if len(n.Inputs) != 2 {
		return 0, "", 0, false
	}
	for i := range 2 {
		if x, isConst := g.scalar(n.Inputs[i]); isConst {
			if _, both := g.scalar(n.Inputs[1-i]); !both {
				return x, n.Inputs[1-i], i, true
			}
		}
	}
	return 0, "", 0, false
}

// vector reports whether v is a constant of exactly n elements in one dimension.
func (g *graph) vector(v string, n int64) bool {
	t := g.inits[v]
	return t != nil && len(t.Dims) == 1 && t.Dims[0] == n
}
