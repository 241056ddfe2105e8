package fuse

import (
	"fmt"
	"slices"
	"strings"

	"github.com/litekit/lite/onnx"
)

// RowsInput is the graph input that [SelectRows] adds: int64 [R], flat positions b·S+s.
const RowsInput = "rows"

// SelectRows returns a fused model whose listed outputs, [B,S,·], are computed for
// the rows of the new input [RowsInput] only and are [R,·]. The selection moves up
// through the nodes that treat each row by itself (Linear, LayerNorm, Gelu,
// activations, arithmetic with constants, scalars or values selected too) to the
// last values that anything else needs; one GatherRows reads each of those. Several
// outputs share what they have in common.
//
// QLinear is treated as such a node: its input is then quantized by the range of
// the selected rows instead of all, so its result differs in the last bits of the
// quantization.
//
// m is not changed. It is an error if a name is not an output of m, if m has a value
// called "rows", or if an output is known not to have three axes.
func SelectRows(m *onnx.Model, outputs []string) (*onnx.Model, error) {
	if m == nil || m.Graph == nil {
		return nil, fmt.Errorf("fuse: the model has no graph; open it with onnx.Open or build one")
	}
	if len(outputs) == 0 {
		return m.Clone(), nil
	}
	g, err := newGraph(m)
	if err != nil {
		return nil, err
	}
	if g.taken[RowsInput] {
		return nil, fmt.Errorf("fuse: the model already has a value %q; rename it before selecting rows", RowsInput)
	}
	g.infer = g.m.InferNodes(g.nodes())
	s := &selection{g: g, listed: map[string]bool{}, gathered: map[string]string{}}
	for _, o := range outputs {
		if err := s.check(o); err != nil {
			return nil, err
		}
		s.listed[o] = true
	}
	g.m.Graph.Inputs = append(g.m.Graph.Inputs, &onnx.ValueInfo{
		Name: RowsInput, Type: onnx.Int64, HasShape: true, Dims: []onnx.Dim{{Param: RowsInput}},
	})
	s.grow()
	s.rewrite(outputs)
	s.declare()
	g.m.Graph.Nodes = g.nodes()
	declareDomain(g.m)
	return g.m, nil
}

// selection is the region of nodes that are computed for selected rows only.
type selection struct {
	g        *graph
	listed   map[string]bool
	region   map[*onnx.Node]bool
	gathered map[string]string // value → its selected rows
}

func (s *selection) check(o string) error {
	if !s.g.outs[o] {
		var names []string
		for _, v := range s.g.m.Graph.Outputs {
			names = append(names, v.Name)
		}
		return fmt.Errorf("fuse: %q is not an output of the model; it has %s", o, strings.Join(names, ", "))
	}
	if s.g.prod[o] == nil {
		return fmt.Errorf("fuse: output %q is computed by no node, so it has no rows to select", o)
	}
	if r := s.g.rank(o); r >= 0 && r != 3 {
		return fmt.Errorf("fuse: output %q has %d axes; rows are selected from [B,S,·]", o, r)
	}
	return nil
}

// grow finds the largest region: row-wise nodes that lead to the outputs and whose
// results nothing outside needs.
func (s *selection) grow() {
	g := s.g
	s.region = map[*onnx.Node]bool{}
	var visit func(v string)
	visit = func(v string) {
		n := g.prod[v]
		if n == nil || s.region[n] {
			return
		}
		in, ok := s.rowInputs(n)
		if !ok {
			return
		}
		s.region[n] = true
		for _, i := range in {
			visit(n.Inputs[i])
		}
	}
	for _, o := range g.m.Graph.Outputs {
		if s.listed[o.Name] {
			visit(o.Name)
		}
	}
	for changed := true; changed; {
		changed = false
		for _, n := range g.nodes() {
			if !s.region[n] || s.inside(n) {
				continue
			}
			delete(s.region, n)
			changed = true
		}
	}
}

// inside reports whether everything that reads n's result is in the region.
func (s *selection) inside(n *onnx.Node) bool {
	o := n.Outputs[0]
	if s.g.outs[o] && !s.listed[o] {
		return false
	}
	for _, c := range s.g.cons[o].nodes() {
		if !s.region[c] {
			return false
		}
		// A region node that reads the value in another place than a row operand needs all of it.
		in, _ := s.rowInputs(c)
		for i, v := range c.Inputs {
			if v == o && !slices.Contains(in, i) {
				return false
			}
		}
	}
	return true
}

// rowInputs lists the inputs of a row-wise node that hold rows; not ok where the node
// is not row-wise. The other inputs are constants that fit every row.
func (s *selection) rowInputs(n *onnx.Node) ([]int, bool) {
	g := s.g
	if len(n.Outputs) != 1 {
		return nil, false
	}
	switch {
	case isLite(n, OpLinear, OpQLinear, OpGelu),
		is(n, "Relu", "Tanh", "Sigmoid", "Erf", "Sqrt", "Exp", "Log", "Neg", "Abs", "Cast", "Clip", "Reciprocal", "LeakyRelu", "Elu", "Softplus", "Identity"):
		return []int{0}, g.rank(n.Inputs[0]) == 3
	case is(n, "Softmax", "LogSoftmax"):
		axis := n.Int("axis", map[bool]int64{true: -1, false: 1}[g.opset >= 13])
		return []int{0}, g.rank(n.Inputs[0]) == 3 && (axis == -1 || axis == 2)
	case isLite(n, OpLayerNorm):
		if input(n, 3) == "" {
			return []int{0}, g.rank(n.Inputs[0]) == 3
		}
		return []int{0, 3}, g.rank(n.Inputs[0]) == 3 && g.same(n.Inputs[0], n.Inputs[3])
	case is(n, "Add", "Sub", "Mul", "Div", "Pow"):
		return s.binaryRows(n)
	}
	return nil, false
}

// binaryRows tells the operands of an elementwise node apart: values [B,S,·], and
// constants of at most one axis.
func (s *selection) binaryRows(n *onnx.Node) ([]int, bool) {
	g := s.g
	out, ok := g.infer.Shape(n.Outputs[0])
	if !ok || len(out) != 3 {
		return nil, false
	}
	var rows []int
	for i, v := range n.Inputs {
		x, ok := g.infer.Shape(v)
		switch {
		case !ok:
			return nil, false
		case len(x) <= 1 && s.g.prod[v] == nil:
		case len(x) == 3 && x[0] == out[0] && x[1] == out[1]:
			rows = append(rows, i)
		default:
			return nil, false
		}
	}
	return rows, len(rows) > 0
}

// rewrite puts GatherRows where the region reads values from outside, and at
// outputs that could not be moved into it.
func (s *selection) rewrite(outputs []string) {
	g := s.g
	for _, n := range g.nodes() {
		if !s.region[n] {
			continue
		}
		in, _ := s.rowInputs(n)
		for _, i := range in {
			if p := g.prod[n.Inputs[i]]; p == nil || !s.region[p] && !isLite(p, OpGatherRows) {
				g.setInput(n, i, s.rows(n.Inputs[i], n))
			}
		}
		if is(n, "Softmax", "LogSoftmax") {
			g.dropAttr(n, "axis")
			n.Attrs = append(n.Attrs, onnx.IntAttr("axis", -1))
		}
	}
	for _, o := range outputs {
		p := g.prod[o]
		if s.region[p] || isLite(p, OpGatherRows) && p.Outputs[0] == o && input(p, 1) == RowsInput {
			continue
		}
		full := g.unique(o + "_full")
		g.rename(p, o, full)
		g.insert(g.pos[p], newLite(OpGatherRows, o+"_rows", []string{full, RowsInput}, o))
	}
}

// rows returns the selected rows of v, gathered just before the first reader.
func (s *selection) rows(v string, reader *onnx.Node) string {
	if name := s.gathered[v]; name != "" {
		return name
	}
	g := s.g
	name := g.unique(v + "_rows")
	n := newLite(OpGatherRows, name, []string{v, RowsInput}, name)
	i := g.pos[reader]
	g.insert(i, n)
	k := slices.Index(g.slots[i], reader)
	g.slots[i] = slices.Insert(g.slots[i][:len(g.slots[i])-1], k, n)
	s.gathered[v] = name
	return name
}

// declare gives the selected outputs their shape and forgets the declared shapes of
// values inside the region.
func (s *selection) declare() {
	gr := s.g.m.Graph
	for _, o := range gr.Outputs {
		if !s.listed[o.Name] {
			continue
		}
		last := onnx.Dim{}
		if len(o.Dims) == 3 {
			last = o.Dims[2]
		}
		o.HasShape, o.Dims = true, []onnx.Dim{{Param: RowsInput}, last}
	}
	gr.Values = slices.DeleteFunc(gr.Values, func(v *onnx.ValueInfo) bool {
		p := s.g.prod[v.Name]
		return p == nil || s.region[p]
	})
}
