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
	g.widenWeights()
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
		if is(n, "Cast") && g.infer.Type(n.Inputs[0]) == onnx.DataType(n.Int("to", 0)) {
			g.bypass(n)
		}
	}
}

// dropExpands removes an Expand whose readers broadcast to the same shape without
// it, as the one that brings a mask to the shape of the attention scores.
func (g *graph) dropExpands() {
	for _, n := range g.nodes() {
		if !is(n, "Expand") || g.outs[n.Outputs[0]] || g.inSubgraph(n.Outputs[0]) {
			continue
		}
		readers := g.cons[n.Outputs[0]].nodes()
		if !slices.ContainsFunc(readers, func(c *onnx.Node) bool { return !g.expands(c, n) }) {
			g.bypass(n)
		}
	}
}

// expands reports whether c broadcasts what the Expand node n reads to the shape
// that its result has now.
func (g *graph) expands(c, n *onnx.Node) bool {
	if !is(c, "Where", "Add", "Sub", "Mul", "Div", "And", "Or", "Equal", "Less", "Greater") {
		return false
	}
	want, known := g.infer.Shape(c.Outputs[0])
	shapes := make([][]onnx.Size, len(c.Inputs))
	for i, v := range c.Inputs {
		if v == n.Outputs[0] {
			v = n.Inputs[0]
		}
		var ok bool
		shapes[i], ok = g.infer.Shape(v)
		known = known && ok
	}
	got, ok := g.infer.Broadcast(shapes...)
	return known && ok && slices.Equal(got, want)
}

// fold replaces nodes whose value is known by initializers.
func (g *graph) fold() {
	for _, n := range g.nodes() {
		if len(n.Outputs) != 1 || g.outs[n.Outputs[0]] || hasSubgraph(n) || len(n.Inputs) == 0 {
			continue
		}
		if t := g.known(n.Outputs[0]); t != nil {
			g.remove(n)
			g.addInit(t)
		}
	}
}

// fixReshapes gives every Reshape whose target is computed, but known up to one
// length and the lengths copied from its input, that target as a constant with 0
// and -1, so that the shape arithmetic of the exporter falls away.
func (g *graph) fixReshapes() {
	for _, n := range g.nodes() {
		if !is(n, "Reshape") || len(n.Inputs) < 2 || g.inits[n.Inputs[1]] != nil {
			continue
		}
		in, ok1 := g.infer.Shape(n.Inputs[0])
		out, ok2 := g.infer.Shape(n.Outputs[0])
		if !ok1 || !ok2 {
			continue
		}
		target, free, ok := make([]int64, len(out)), 0, true
		for i, d := range out {
			number, known := d.Number()
			switch {
			case known && number > 0:
				target[i] = number
			case i < len(in) && in[i] == d:
				target[i] = 0
			case !known:
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
		g.infer.AddTensor(t)
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
		e, ok := g.one(n.Outputs[0])
		axis := g.inits[n.Inputs[1]]
		if !ok || !is(s, "Shape") || axis == nil {
			continue
		}
		in, at, ok := g.infer.Axis(e)
		if !ok || in == s.Inputs[0] {
			continue
		}
		if shapes[in] == "" {
			node := onnx.NewNode("Shape", g.unique(in+"_shape_of"), []string{in}, []string{g.unique(in + "_shape")})
			g.slots = append([][]*onnx.Node{{}}, g.slots...)
			for k := range g.pos {
				g.pos[k]++
			}
			g.insert(0, node)
			g.infer.Add(node)
			shapes[in] = node.Outputs[0]
		}
		idx := onnx.NewInt64s(g.unique(n.Outputs[0]+"_axis"), []int64{int64(at)}, axis.Dims...)
		g.addInit(idx)
		g.infer.AddTensor(idx)
		g.setInput(n, 0, shapes[in])
		g.setInput(n, 1, idx.Name)
	}
}
