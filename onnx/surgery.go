package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// Initializer returns the weight of that name, or nil.
func (g *Graph) Initializer(name string) *Tensor {
	for _, t := range g.Initializers {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// SetInitializer adds t, or replaces the initializer of the same name in place.
func (g *Graph) SetInitializer(t *Tensor) {
	for i, old := range g.Initializers {
		if old.Name == t.Name {
			g.Initializers[i] = t
			return
		}
	}
	g.Initializers = append(g.Initializers, t)
}

// InitializerMap indexes the weights by name.
func (g *Graph) InitializerMap() map[string]*Tensor {
	m := make(map[string]*Tensor, len(g.Initializers))
	for _, t := range g.Initializers {
		m[t.Name] = t
	}
	return m
}

// Producers maps each value to the node that computes it.
func (g *Graph) Producers() map[string]*Node {
	m := make(map[string]*Node, len(g.Nodes))
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			if o != "" {
				m[o] = n
			}
		}
	}
	return m
}

// Consumers maps each value to the nodes that read it, in graph order; a node
// that reads a value twice is listed once. Nodes of subgraphs count as the
// node that holds them.
func (g *Graph) Consumers() map[string][]*Node {
	m := make(map[string][]*Node)
	for _, n := range g.Nodes {
		for _, name := range n.reads() {
			if l := m[name]; len(l) == 0 || l[len(l)-1] != n {
				m[name] = append(l, n)
			}
		}
	}
	return m
}

// ReplaceInput makes every node, and every graph output, that reads old read new.
// A graph output keeps its name only if a node produces it, so outputs are not renamed
// here: it is an error of the caller to replace a value that is a graph output.
func (g *Graph) ReplaceInput(old, new string) {
	for _, n := range g.Nodes {
		for i, in := range n.Inputs {
			if in == old {
				n.Inputs[i] = new
			}
		}
	}
}

// IsOutput reports whether the value is an output of the graph.
func (g *Graph) IsOutput(name string) bool {
	return slices.ContainsFunc(g.Outputs, func(v *ValueInfo) bool { return v.Name == name })
}

// Prune removes the nodes and initializers that no output needs, and the
// declarations of values that are gone. Inputs stay.
func (g *Graph) Prune() {
	needed := map[string]bool{}
	for _, o := range g.Outputs {
		needed[o.Name] = true
	}
	for i := len(g.Nodes) - 1; i >= 0; i-- {
		n := g.Nodes[i]
		if !slices.ContainsFunc(n.Outputs, func(o string) bool { return o != "" && needed[o] }) {
			g.Nodes[i] = nil
			continue
		}
		for _, in := range n.reads() {
			needed[in] = true
		}
	}
	made := map[string]bool{}
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n *Node) bool { return n == nil })
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			made[o] = true
		}
	}
	g.Initializers = slices.DeleteFunc(g.Initializers, func(t *Tensor) bool { return !needed[t.Name] })
	g.Values = slices.DeleteFunc(g.Values, func(v *ValueInfo) bool { return !made[v.Name] })
}

// Attr returns the attribute of that name, or nil.
func (n *Node) Attr(name string) *Attribute {
	for _, a := range n.Attrs {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// Int returns an integer attribute, or def where it is absent.
func (n *Node) Int(name string, def int64) int64 {
	if a := n.Attr(name); a != nil {
		return a.Int
	}
	return def
}

// Float returns a float attribute, or def where it is absent.
func (n *Node) Float(name string, def float32) float32 {
	if a := n.Attr(name); a != nil {
		return a.Float
	}
	return def
}

// Str returns a string attribute, or def where it is absent.
func (n *Node) Str(name, def string) string {
	if a := n.Attr(name); a != nil {
		return string(a.String)
	}
	return def
}

// Ints returns an integer list attribute, nil where it is absent.
func (n *Node) Ints(name string) []int64 {
	if a := n.Attr(name); a != nil {
		return a.Ints
	}
	return nil
}

// Label names the node in messages: its name, or its operator and first output.
func (n *Node) Label() string {
	if n.Name != "" {
		return n.Name
	}
	if len(n.Outputs) > 0 {
		return n.Op + "→" + n.Outputs[0]
	}
	return n.Op
}

// NewNode returns a node of the default domain.
func NewNode(op, name string, inputs, outputs []string, attrs ...*Attribute) *Node {
	return &Node{Op: op, Name: name, Inputs: inputs, Outputs: outputs, Attrs: attrs}
}

// IntAttr, FloatAttr, StringAttr and IntsAttr make attributes.
func IntAttr(name string, v int64) *Attribute {
	return &Attribute{Name: name, Type: AttrInt, Int: v}
}

// FloatAttr makes a float attribute.
func FloatAttr(name string, v float32) *Attribute {
	return &Attribute{Name: name, Type: AttrFloat, Float: v}
}

// StringAttr makes a string attribute.
func StringAttr(name, v string) *Attribute {
	return &Attribute{Name: name, Type: AttrString, String: []byte(v)}
}

// IntsAttr makes an integer list attribute.
func IntsAttr(name string, v ...int64) *Attribute {
	return &Attribute{Name: name, Type: AttrInts, Ints: v}
}

// Len is the number of elements that Dims declare (1 for a scalar).
func (t *Tensor) Len() int {
	n := 1
	for _, d := range t.Dims {
		n *= int(d)
	}
	return n
}

// NewFloats returns a float32 tensor; v has the product of dims elements and is copied.
func NewFloats(name string, v []float32, dims ...int64) *Tensor {
	raw := make([]byte, 4*len(v))
	for i, x := range v {
		binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(x))
	}
	return &Tensor{Name: name, Type: Float, Dims: slices.Clone(dims), Raw: raw}
}

// NewInt64s returns an int64 tensor; v is copied. Without dims it is a scalar.
func NewInt64s(name string, v []int64, dims ...int64) *Tensor {
	raw := make([]byte, 8*len(v))
	for i, x := range v {
		binary.LittleEndian.PutUint64(raw[8*i:], uint64(x))
	}
	return &Tensor{Name: name, Type: Int64, Dims: slices.Clone(dims), Raw: raw}
}

// NewInt8s returns an int8 tensor; v is copied.
func NewInt8s(name string, v []int8, dims ...int64) *Tensor {
	raw := make([]byte, len(v))
	for i, x := range v {
		raw[i] = byte(x)
	}
	return &Tensor{Name: name, Type: Int8, Dims: slices.Clone(dims), Raw: raw}
}

// NewUint8s returns a uint8 tensor; v is copied.
func NewUint8s(name string, v []uint8, dims ...int64) *Tensor {
	return &Tensor{Name: name, Type: Uint8, Dims: slices.Clone(dims), Raw: slices.Clone(v)}
}

// Int64s returns the elements of an int64, int32, int8, uint8 or bool tensor.
func (t *Tensor) Int64s() ([]int64, error) {
	n := t.Len()
	if len(t.Raw) != n*t.Type.Size() {
		return nil, fmt.Errorf("onnx: tensor %q: %d bytes do not hold %d elements of %d bytes", t.Name, len(t.Raw), n, t.Type.Size())
	}
	out := make([]int64, n)
	for i := range out {
		switch t.Type {
		case Int64:
			out[i] = int64(binary.LittleEndian.Uint64(t.Raw[8*i:]))
		case Int32:
			out[i] = int64(int32(binary.LittleEndian.Uint32(t.Raw[4*i:])))
		case Int8:
			out[i] = int64(int8(t.Raw[i]))
		case Uint8, Bool:
			out[i] = int64(t.Raw[i])
		default:
			return nil, fmt.Errorf("onnx: tensor %q holds %v, not integers", t.Name, t.Type)
		}
	}
	return out, nil
}
