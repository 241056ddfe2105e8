package onnxgo

import (
	"fmt"
	"maps"
	"slices"

	onnxgo "github.com/owulveryck/onnx-go"
	"gorgonia.org/tensor"

	"github.com/litekit/lite/onnx"
)

// isInput tells inputs from weights, which onnx-go does not: it makes declared
// inputs first, then declared intermediate values and outputs, then the
// weights that are no inputs; a weight that is an input is set twice.
func (b *Backend) isInput(v *value) bool {
	if v.made || v.omitted() || v.sets > 1 {
		return false
	}
	for _, other := range b.nodes {
		if other.made {
			return v.id < other.id
		}
	}
	return true
}

// model makes the model of the graph: inputs that are set, weights, and the
// wanted values as outputs. It notes the types of the inputs.
func (b *Backend) model(wanted []*value, types map[*value]onnx.DataType) (*onnx.Model, error) {
	b.name()
	m := &onnx.Model{IRVersion: 8, Graph: &onnx.Graph{Name: "onnx-go"}}
	g := m.Graph
	for _, v := range b.nodes {
		if v.made || !v.needed {
			continue
		}
		if b.isInput(v) {
			if !v.fed {
				return nil, fmt.Errorf("onnxgo: input %q (number %d) has no value; give it one with SetInput", v.name, v.id)
			}
			x, err := v.read()
			if err != nil {
				return nil, fmt.Errorf("onnxgo: input %q: %w", v.name, err)
			}
			types[v] = x.Type
			g.Inputs = append(g.Inputs, &onnx.ValueInfo{Name: b.names[v], Type: x.Type})
			continue
		}
		if v.tensor == nil {
			return nil, fmt.Errorf("onnxgo: %q is neither an input, a weight nor computed by an operator; the model is damaged", v.name)
		}
		t, err := constant(v.tensor)
		if err != nil {
			return nil, fmt.Errorf("onnxgo: weight %q: %w", v.name, err)
		}
		t.Name = b.names[v]
		g.Initializers = append(g.Initializers, t)
	}
	for _, op := range b.ops {
		n := &onnx.Node{Op: op.name, Domain: domain(op), Attrs: op.attrs}
		for _, v := range op.inputs {
			n.Inputs = append(n.Inputs, b.names[v])
		}
		for _, v := range op.outputs {
			n.Outputs = append(n.Outputs, b.names[v])
		}
		g.Nodes = append(g.Nodes, n)
	}
	for _, v := range wanted {
		g.Outputs = append(g.Outputs, &onnx.ValueInfo{Name: b.names[v]})
	}
	version := b.opset
	if version == 0 {
		version = opset(b.ops)
	}
	m.Opsets = []onnx.Opset{{Version: version}, {Domain: microsoft, Version: 1}}
	return m, nil
}

// name gives the values unique names, their own where possible; nil has "".
func (b *Backend) name() {
	b.names = map[*value]string{nil: ""}
	used := map[string]bool{"": true}
	for _, v := range b.nodes {
		v.needed = false
		if v.omitted() {
			b.names[v] = ""
			continue
		}
		name := v.name
		for used[name] {
			name = fmt.Sprintf("%s#%d", name, v.id)
		}
		used[name] = true
		b.names[v] = name
	}
	for _, op := range b.ops {
		for _, v := range op.inputs {
			if v != nil {
				v.needed = true
			}
		}
	}
}

// leaves are the results that no operation reads: outputs of the graph.
func (b *Backend) leaves() (list []*value) {
	read := map[*value]bool{}
	for _, op := range b.ops {
		for _, v := range op.inputs {
			read[v] = true
		}
	}
	for _, v := range b.nodes {
		if v.made && !read[v] {
			list = append(list, v)
		}
	}
	return list
}

// attributes converts what onnx-go makes of attributes.
func attributes(o onnxgo.Operation) (list []*onnx.Attribute, err error) {
	for _, name := range slices.Sorted(maps.Keys(o.Attributes)) {
		a := &onnx.Attribute{Name: name}
		switch x := o.Attributes[name].(type) {
		case float32:
			a.Type, a.Float = onnx.AttrFloat, x
		case int64:
			a.Type, a.Int = onnx.AttrInt, x
		case string:
			a.Type, a.String = onnx.AttrString, []byte(x)
		case []float32:
			a.Type, a.Floats = onnx.AttrFloats, x
		case []int64:
			a.Type, a.Ints = onnx.AttrInts, x
		case []string:
			a.Type = onnx.AttrStrings
			for _, s := range x {
				a.Strings = append(a.Strings, []byte(s))
			}
		case tensor.Tensor:
			a.Type = onnx.AttrTensor
			if a.Tensor, err = constant(x); err != nil {
				return nil, fmt.Errorf("onnxgo: operator %s, attribute %q: %w", o.Name, name, err)
			}
		default:
			return nil, &onnxgo.ErrNotImplemented{
				Operator: o.Name, AttributeName: name, AttributeValue: x,
				Message: "an attribute without a type; write the model again with a newer exporter",
			}
		}
		list = append(list, a)
	}
	return list, nil
}
