package fuse

import (
	"slices"

	"github.com/litekit/lite/onnx"
)

// clean turns Constant nodes into initializers and removes Identity and inference Dropout.
func (g *graph) clean() {
	for _, n := range g.nodes() {
		switch {
		case is(n, "Constant"):
			g.liftConstant(n)
		case is(n, "Identity"):
			g.bypass(n)
		case is(n, "Dropout"):
			g.dropDropout(n)
		}
	}
}

// liftConstant makes an initializer of a Constant node.
func (g *graph) liftConstant(n *onnx.Node) {
	if len(n.Outputs) != 1 || len(n.Attrs) != 1 || g.outs[n.Outputs[0]] {
		return
	}
	var t *onnx.Tensor
	name := n.Outputs[0]
	switch a := n.Attrs[0]; a.Name {
	case "value":
		if a.Tensor == nil {
			return
		}
		c := *a.Tensor
		c.Name = name
		t = &c
	case "value_float":
		t = onnx.NewFloats(name, []float32{a.Float})
	case "value_floats":
		t = onnx.NewFloats(name, a.Floats, int64(len(a.Floats)))
	case "value_int":
		t = onnx.NewInt64s(name, []int64{a.Int})
	case "value_ints":
		t = onnx.NewInt64s(name, a.Ints, int64(len(a.Ints)))
	default: // strings and sparse tensors stay nodes
		return
	}
	g.remove(n)
	g.addInit(t)
}

// bypass removes a node whose output 0 equals its input 0. A value that is an
// output of the graph keeps its producer: there the input's producer is made to
// compute the output's name where nothing forbids it.
func (g *graph) bypass(n *onnx.Node) bool {
	in, out := n.Inputs[0], n.Outputs[0]
	if g.outs[out] {
		p := g.prod[in]
		if p == nil || g.outs[in] || g.inSubgraph(in) {
			return false
		}
		g.remove(n)
		g.rename(p, in, out)
		return true
	}
	if g.inSubgraph(out) {
		return false
	}
	readers := slices.Clone(g.cons[out].nodes())
	g.remove(n)
	for _, c := range readers {
		for i, v := range c.Inputs {
			if v == out {
				g.setInput(c, i, in)
			}
		}
	}
	g.alias[out] = in
	return true
}

// inSubgraph reports whether a reader of v holds subgraphs, which may capture v.
func (g *graph) inSubgraph(v string) bool { return slices.ContainsFunc(g.cons[v].nodes(), hasSubgraph) }

// rename makes p compute new in place of old, for every reader.
func (g *graph) rename(p *onnx.Node, old, new string) {
	for i, o := range p.Outputs {
		if o == old {
			p.Outputs[i] = new
		}
	}
	delete(g.prod, old)
	g.prod[new] = p
	for _, c := range slices.Clone(g.cons[old].nodes()) {
		for i, v := range c.Inputs {
			if v == old {
				g.setInput(c, i, new)
			}
		}
	}
	g.alias[old] = new
}

// dropDropout removes a Dropout that does nothing at inference.
func (g *graph) dropDropout(n *onnx.Node) {
	if len(n.Outputs) > 1 && n.Outputs[1] != "" && (g.cons[n.Outputs[1]].count() > 0 || g.outs[n.Outputs[1]]) {
		return
	}
	if mode := input(n, 2); mode != "" {
		t := g.inits[mode]
		if t == nil || t.Type != onnx.Bool || len(t.Raw) != 1 || t.Raw[0] != 0 {
			return
		}
	}
	if n.Int("is_test", 1) == 0 { // opset 6 and before
		return
	}
	g.bypass(n)
}

// dropCasts removes casts to the type a value already has.
func (g *graph) dropCasts() {
	for _, n := range g.nodes() {
		if is(n, "Cast") && g.infer.types[n.Inputs[0]] == onnx.DataType(n.Int("to", 0)) {
			g.bypass(n)
		}
	}
}

// dropExpands removes an Expand whose readers broadcast to the same shape without
// it, as the one that brings a mask to the shape of the attention scores.
func (g *graph) dropExpands() {
	f := g.infer
	for _, n := range g.nodes() {
		if !is(n, "Expand") || g.outs[n.Outputs[0]] || g.inSubgraph(n.Outputs[0]) {
			continue
		}
		in, ok := f.shape[n.Inputs[0]]
		full, ok2 := f.shape[n.Outputs[0]]
		if !ok || !ok2 {
			continue
		}
		f.shape[n.Outputs[0]] = in
		same := true
		for _, c := range g.cons[n.Outputs[0]].nodes() {
			if !is(c, "Where", "Add", "Sub", "Mul", "Div", "And", "Or", "Equal", "Less", "Greater") {
				same = false
				break
			}
			want, known := f.shape[c.Outputs[0]]
			got, ok := f.broadcastAll(c)
			same = same && known && ok && slices.Equal(got, want)
		}
		f.shape[n.Outputs[0]] = full
		if same {
			g.bypass(n)
		}
	}
}

// fold replaces nodes whose value is known by initializers.
func (g *graph) fold() {
	for _, n := range g.nodes() {
		if len(n.Outputs) != 1 || g.outs[n.Outputs[0]] || hasSubgraph(n) || len(n.Inputs) == 0 {
			continue
		}
		if t := g.infer.tensor(n.Outputs[0]); t != nil {
			g.remove(n)
			g.addInit(t)
		}
	}
}

// tensor is the constant a value is known to be, or nil.
func (f *inference) tensor(v string) *onnx.Tensor {
	s, ok := f.shape[v]
	if !ok {
		return nil
	}
	dims, ok := numbers(s)
	if !ok {
		return nil
	}
	if e, ok := f.ints[v]; ok && f.types[v] == onnx.Int64 {
		if x, ok := numbers(e); ok {
			return onnx.NewInt64s(v, x, dims...)
		}
	}
	if e, ok := f.floats[v]; ok && f.types[v] == onnx.Float {
		return onnx.NewFloats(v, e, dims...)
	}
	return nil
}

// fixReshapes gives every Reshape whose target is computed, but known up to one
// length and the lengths copied from its input, that target as a constant with 0
// and -1, so that the shape arithmetic of the exporter falls away.
func (g *graph) fixReshapes() {
	f := g.infer
	for _, n := range g.nodes() {
		if !is(n, "Reshape") || len(n.Inputs) < 2 || g.inits[n.Inputs[1]] != nil {
			continue
		}
		in, ok1 := f.shape[n.Inputs[0]]
		out, ok2 := f.shape[n.Outputs[0]]
		if !ok1 || !ok2 {
			continue
		}
		target, free, ok := make([]int64, len(out)), 0, true
		for i, d := range out {
			switch {
			case d.sym == 0 && d.n > 0:
				target[i] = d.n
			case i < len(in) && in[i] == d:
				target[i] = 0
			case d.sym != 0:
				target[i] = -1
				free++
			default:
				ok = false
			}
		}
		if !ok || free > 1 || n.Int("allowzero", 0) != 0 && slices.Contains(target, 0) && !g.dropAttr(n, "allowzero") {
			continue
		}
		t := onnx.NewInt64s(g.unique(n.Outputs[0]+"_shape"), target, int64(len(target)))
		g.addInit(t)
		f.constant(t)
		g.setInput(n, 1, t.Name)
	}
}

// dropAttr removes an attribute and reports true.
func (g *graph) dropAttr(n *onnx.Node, name string) bool {
	n.Attrs = slices.DeleteFunc(n.Attrs, func(a *onnx.Attribute) bool { return a.Name == name })
	return true
}

// rehomeShapes makes Gather(Shape(v), i) read the graph input that shows the same
// length, so that asking for the size of a value does not keep it from being fused.
func (g *graph) rehomeShapes() {
	shapes := map[string]string{} // graph input → its shape value
	for _, n := range g.nodes() {
		if !is(n, "Gather") || g.outs[n.Outputs[0]] {
			continue
		}
		s := g.prod[n.Inputs[0]]
		e, ok := g.infer.one(n.Outputs[0])
		axis := g.inits[n.Inputs[1]]
		if !ok || !is(s, "Shape") || e.sym == 0 || axis == nil {
			continue
		}
		at, ok := g.infer.home[e.sym]
		if !ok || at.input == s.Inputs[0] {
			continue
		}
		if shapes[at.input] == "" {
			node := onnx.NewNode("Shape", g.unique(at.input+"_shape_of"), []string{at.input}, []string{g.unique(at.input + "_shape")})
			g.slots = append([][]*onnx.Node{{}}, g.slots...)
			for k := range g.pos {
				g.pos[k]++
			}
			g.insert(0, node)
			g.infer.node(node)
			shapes[at.input] = node.Outputs[0]
		}
		idx := onnx.NewInt64s(g.unique(n.Outputs[0]+"_axis"), []int64{int64(at.axis)}, axis.Dims...)
		g.addInit(idx)
		g.infer.constant(idx)
		g.setInput(n, 0, shapes[at.input])
		g.setInput(n, 1, idx.Name)
	}
}
