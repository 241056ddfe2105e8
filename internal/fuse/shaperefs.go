package fuse

import (
	"fmt"
	"slices"

	"github.com/litekit/lite/onnx"
)

// ShapeKind says which number an element of a shape is.
type ShapeKind int

// The kinds of elements that depend on the heads.
const (
	HeadCount      ShapeKind = iota // A
	HeadSize                        // d; listed only where it is computed, and might come out wrong
	HeadsTimesSize                  // A·d
)

// ShapeRef is one element of a shape that a Reshape around the heads uses: the
// number of heads or A·d, to be rewritten when heads are removed, or a head size
// that the graph computes, to be pinned to what it is. Elements that are -1 need
// no care and are not listed.
//
// Node reads it as Node.Inputs[Input], a list of numbers of which element Index is
// meant. Node is the Reshape itself, or the Concat that builds its shape. Where
// the list is a constant, Initializer is its name (of an initializer, or the
// output of a Constant node); Shared tells that other nodes read that constant as
// well, in this layer or another, so that it must not be rewritten in place. Where
// the list is computed, Initializer is "".
//
// [ShapeRef.Set] does the right thing in each case.
type ShapeRef struct {
	Initializer string
	Node        *onnx.Node
	Index       int
	Value       int64

	Input  int
	Kind   ShapeKind
	Shared bool
	list   []int64 // the whole list, with 0 and -1 where it is computed
}

// Set makes the element v: Node reads a constant of its own from then on. g is the
// graph that holds Node. Several references into one list (same Node and Input)
// are set one after the other.
func (r ShapeRef) Set(g *onnx.Graph, v int64) error {
	if r.Node == nil || r.Input >= len(r.Node.Inputs) || r.Index >= len(r.list) || !slices.Contains(g.Nodes, r.Node) {
		return fmt.Errorf("fuse: the shape reference belongs to another graph; run Detect on the model that is changed")
	}
	list := slices.Clone(r.list)
	name := fmt.Sprintf("%s_lite_shape_%d", r.Node.Outputs[0], r.Input)
	if r.Node.Inputs[r.Input] == name { // set before: keep what the other reference wrote
		t := g.Initializer(name)
		if t == nil {
			return fmt.Errorf("fuse: node %s reads the shape %q, which is gone", r.Node.Label(), name)
		}
		old, err := t.Int64s()
		if err != nil || len(old) != len(list) {
			return fmt.Errorf("fuse: node %s: the shape %q was changed by someone else", r.Node.Label(), name)
		}
		list = old
	}
	list[r.Index] = v
	if r.Initializer == "" && r.Node.Op == "Reshape" { // 0 stands for a length of the input here
		r.Node.Attrs = slices.DeleteFunc(r.Node.Attrs, func(a *onnx.Attribute) bool { return a.Name == "allowzero" })
	}
	g.SetInitializer(onnx.NewInt64s(name, list, int64(len(list))))
	r.Node.Inputs[r.Input] = name
	return nil
}

// shapeRefs describes the shape elements of an attention's splits and merge.
func (d *detector) shapeRefs(att *onnx.Node, a, size int64) (split, merge []ShapeRef) {
	p := d.f.parts[att]
	layer := append(slices.Clone(p.splits), p.merge)
	for _, r := range p.splits {
		split = append(split, d.refs(r, layer, 4, []wanted{{2, HeadCount, a}, {3, HeadSize, size}})...)
	}
	return split, d.refs(p.merge, layer, 3, []wanted{{2, HeadsTimesSize, a * size}})
}

// wanted is an axis of a Reshape's target, and what it is.
type wanted struct {
	axis  int
	kind  ShapeKind
	value int64
}

// refs finds the elements of the shape of an original Reshape.
func (d *detector) refs(reshape *onnx.Node, layer []*onnx.Node, rank int, want []wanted) []ShapeRef {
	v := reshape.Inputs[1]
	if list, ok := d.constant(v); ok {
		var out []ShapeRef
		for _, w := range want {
			if w.axis < len(list) && list[w.axis] == w.value && w.kind != HeadSize {
				out = append(out, d.ref(reshape, 1, w.axis, w, list))
			}
		}
		return out
	}
	if concat := d.through(v); is(concat, "Concat") && !d.readElsewhere(concat, layer) {
		if out, ok := d.concatRefs(concat, rank, want); ok {
			return out
		}
	}
	// Computed as a whole: the lengths before the heads are those of the input.
	list := make([]int64, rank)
	for _, w := range want {
		list[w.axis] = w.value
	}
	var out []ShapeRef
	for _, w := range want {
		out = append(out, ShapeRef{Node: reshape, Index: w.axis, Value: w.value, Input: 1, Kind: w.kind, list: list})
	}
	return out
}

// concatRefs finds the elements in the pieces of a Concat; not ok where the pieces
// are not understood or an element sits in a longer computed piece.
func (d *detector) concatRefs(concat *onnx.Node, rank int, want []wanted) ([]ShapeRef, bool) {
	var out []ShapeRef
	at := 0
	for i, piece := range concat.Inputs {
		list, constant := d.constant(piece)
		n := len(list)
		if !constant {
			e, ok := d.f.infer.Elements(d.resolve(piece))
			if !ok {
				return nil, false
			}
			n = len(e)
		}
		for _, w := range want {
			k := w.axis - at
			switch {
			case k < 0 || k >= n:
			case constant && list[k] == w.value && w.kind != HeadSize:
				out = append(out, d.ref(concat, i, k, w, list))
			case !constant && n == 1:
				out = append(out, ShapeRef{Node: concat, Value: w.value, Input: i, Kind: w.kind, list: []int64{w.value}})
			case !constant:
				return nil, false
			}
		}
		at += n
	}
	return out, at == rank
}

// readElsewhere reports whether anything but the reshapes of this layer reads what n
// computes, as where all layers share one shape; changing it there would change others.
func (d *detector) readElsewhere(n *onnx.Node, layer []*onnx.Node) bool {
	for _, c := range d.origCons[n.Outputs[0]] {
		if is(c, "Cast", "Identity") && !d.readElsewhere(c, layer) {
			continue
		}
		if !slices.Contains(layer, c) {
			return true
		}
	}
	return d.orig.Graph.IsOutput(n.Outputs[0])
}

func (d *detector) ref(n *onnx.Node, in, index int, w wanted, list []int64) ShapeRef {
	v := n.Inputs[in]
	return ShapeRef{
		Initializer: d.root(v), Node: n, Index: index, Value: w.value, Input: in, Kind: w.kind,
		Shared: len(d.origCons[v]) > 1 || d.root(v) != v, list: list,
	}
}

// constant returns the numbers of an original constant of one dimension.
func (d *detector) constant(v string) ([]int64, bool) {
	v = d.root(v)
	t := d.origInit[v]
	if n := d.origProd[v]; is(n, "Constant") {
		switch a := n.Attr("value"); {
		case a != nil:
			t = a.Tensor
		case n.Attr("value_ints") != nil:
			return n.Ints("value_ints"), true
		}
	}
	if t == nil || len(t.Dims) != 1 {
		return nil, false
	}
	list, err := t.Int64s()
	return list, err == nil
}

// root follows Identity nodes of the original model up.
func (d *detector) root(v string) string {
	for is(d.origProd[v], "Identity") {
		v = d.origProd[v].Inputs[0]
	}
	return v
}

// through returns the original producer of v, past Identity and Cast.
func (d *detector) through(v string) *onnx.Node {
	n := d.origProd[v]
	for is(n, "Identity", "Cast") {
		n = d.origProd[n.Inputs[0]]
	}
	return n
}

// resolve follows the names that fusion removed to those the inference knows.
func (d *detector) resolve(v string) string {
	for {
		to, ok := d.f.alias[v]
		if !ok {
			return v
		}
		v = to
	}
}
