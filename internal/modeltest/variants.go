package modeltest

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/litekit/lite/onnx"
)

// Variant is one way in which exporters write an encoder.
type Variant struct {
	Name string
	// Half tells that the graph computes in float16: its answers are less exact,
	// and it is no encoder in float32 that could be changed.
	Half bool
	// Make spells the model in that way. m is an encoder that package fuse knows.
	Make func(t testing.TB, m *onnx.Model) *onnx.Model
}

// Variants lists spellings of one encoder. The operators are those that torch's
// exporter (opset 11, 14, 17 and its newer form for scaled dot-product attention),
// tf2onnx and the float16 converters write.
func Variants() []Variant {
	spelled := func(s spelling) func(testing.TB, *onnx.Model) *onnx.Model {
		return func(t testing.TB, m *onnx.Model) *onnx.Model { return s.respell(t, m) }
	}
	torch11 := spelling{opset: 11, shapes: chain, kTwice: true, axis: 3}
	torch14 := spelling{opset: 14, shapes: batchChain, axis: -1}
	torch17 := spelling{opset: 17, norm: normOp, axis: -1, shapes: chain}
	sdpa := spelling{opset: 17, norm: normOp, axis: -1, shapes: chain, scale: scaleBoth, mask: maskInverted, guard: true}
	with := func(s spelling, change func(*spelling)) spelling { change(&s); return s }
	after := func(s spelling, f func(*onnx.Model)) func(testing.TB, *onnx.Model) *onnx.Model {
		return func(t testing.TB, m *onnx.Model) *onnx.Model {
			m = s.respell(t, m)
			f(m)
			return m
		}
	}
	return []Variant{
		{Name: "torch-11", Make: spelled(torch11)},
		{Name: "torch-14", Make: spelled(torch14)},
		{Name: "torch-17", Make: spelled(torch17)},
		{Name: "torch-17-sdpa", Make: spelled(sdpa)},
		{Name: "opset-18", Make: spelled(with(torch14, func(s *spelling) { s.opset = 18 }))},
		{Name: "opset-20-gelu", Make: spelled(with(torch17, func(s *spelling) { s.opset, s.gelu = 20, geluOp }))},
		{Name: "opset-13-half-first", Make: spelled(with(torch14, func(s *spelling) { s.opset, s.gelu, s.norm = 13, geluHalfFirst, normMul }))},
		{Name: "scaled-query-where", Make: spelled(with(torch11, func(s *spelling) { s.opset, s.scale, s.mask = 12, scaleQuery, maskWhere }))},
		{Name: "where-expanded", Make: spelled(with(torch14, func(s *spelling) { s.mask, s.scale = maskWhereExpanded, scaleQuery }))},
		{Name: "fixed-shapes", Make: spelled(with(torch17, func(s *spelling) { s.shapes = zeros }))},
		{Name: "unfolded-transposes", Make: spelled(with(torch14, func(s *spelling) { s.linear = linearTransposed }))},
		{Name: "gemm-reshaped", Make: spelled(with(torch11, func(s *spelling) { s.linear = linearGemm }))},
		{Name: "constant-nodes", Make: after(torch14, constantNodes)},
		{Name: "initializers-as-inputs", Make: after(torch11, initializersAsInputs)},
		{Name: "float16-weights", Make: after(torch14, func(m *onnx.Model) { narrowWeights(m, onnx.Float16) })},
		{Name: "bfloat16-weights", Make: after(torch17, func(m *onnx.Model) { narrowWeights(m, onnx.BFloat16) })},
		{Name: "float16-graph", Half: true, Make: after(torch17, func(m *onnx.Model) { halve(m, false) })},
		{Name: "float16-graph-float32-output", Half: true, Make: after(torch14, func(m *onnx.Model) { halve(m, true) })},
	}
}

// constantNodes turns every initializer into a Constant node.
func constantNodes(m *onnx.Model) {
	var nodes []*onnx.Node
	for _, t := range m.Graph.Initializers {
		value := *t
		value.Name = ""
		nodes = append(nodes, onnx.NewNode("Constant", "constant "+t.Name, nil, []string{t.Name}, &onnx.Attribute{Name: "value", Type: onnx.AttrTensor, Tensor: &value}))
	}
	m.Graph.Initializers = nil
	m.Graph.Nodes = append(nodes, m.Graph.Nodes...)
}

// initializersAsInputs lists the weights among the inputs, as IR versions below 4 must.
func initializersAsInputs(m *onnx.Model) {
	m.IRVersion = 3
	for _, t := range m.Graph.Initializers {
		v := &onnx.ValueInfo{Name: t.Name, Type: t.Type, HasShape: true}
		for _, d := range t.Dims {
			v.Dims = append(v.Dims, onnx.Dim{Size: d, Known: true})
		}
		m.Graph.Inputs = append(m.Graph.Inputs, v)
	}
}

// narrowed is a float32 tensor in float16 (what is too large clipped, what would
// vanish kept at the least number, as the converters do) or bfloat16.
func narrowed(t *onnx.Tensor, to onnx.DataType) *onnx.Tensor {
	values, err := t.Floats()
	if err != nil {
		panic(err) // a float32 tensor of a model that was opened
	}
	const most, least = 65504, 1.0 / (1 << 24)
	raw := make([]byte, 0, 2*len(values))
	for _, v := range values {
		bits := onnx.Float32ToBFloat16(v)
		if to == onnx.Float16 {
			v = min(max(v, -most), most)
			if v > 0 {
				v = max(v, least)
			}
			bits = onnx.Float32ToFloat16(v)
		}
		raw = binary.LittleEndian.AppendUint16(raw, bits)
	}
	return &onnx.Tensor{Name: t.Name, Type: to, Dims: t.Dims, Raw: raw}
}

// narrowWeights stores the weights narrow and widens each by a Cast.
func narrowWeights(m *onnx.Model, to onnx.DataType) {
	var casts []*onnx.Node
	for i, t := range m.Graph.Initializers {
		if t.Type != onnx.Float || t.Len() < 2 {
			continue
		}
		small := narrowed(t, to)
		small.Name += "_narrow"
		m.Graph.Initializers[i] = small
		casts = append(casts, onnx.NewNode("Cast", "widen "+t.Name, []string{small.Name}, []string{t.Name}, onnx.IntAttr("to", int64(onnx.Float))))
	}
	m.Graph.Nodes = append(casts, m.Graph.Nodes...)
}

// halve makes the whole graph compute in float16; its outputs are float16 or,
// with wide, cast back to float32.
func halve(m *onnx.Model, wide bool) {
	for i, t := range m.Graph.Initializers {
		if t.Type == onnx.Float {
			m.Graph.Initializers[i] = narrowed(t, onnx.Float16)
		}
	}
	for _, n := range m.Graph.Nodes {
		if n.Op == "Cast" && n.Int("to", 0) == int64(onnx.Float) {
			n.Attrs = []*onnx.Attribute{onnx.IntAttr("to", int64(onnx.Float16))}
		}
	}
	m.Graph.Values = nil
	for _, o := range m.Graph.Outputs {
		if !wide {
			o.Type = onnx.Float16
			continue
		}
		half := o.Name + "_half"
		for _, n := range m.Graph.Nodes {
			for i, out := range n.Outputs {
				if out == o.Name {
					n.Outputs[i] = half
				}
			}
		}
		m.Graph.ReplaceInput(o.Name, half)
		m.Graph.Nodes = append(m.Graph.Nodes, onnx.NewNode("Cast", "widen "+o.Name, []string{half}, []string{o.Name}, onnx.IntAttr("to", int64(onnx.Float))))
	}
}

// convertAxes moves the axes of a kept node between attribute and input, where
// the operator set asks for it.
func (r *respeller) convertAxes(n *onnx.Node) *onnx.Node {
	if n.Domain != "" || n.Op != "Unsqueeze" && n.Op != "Squeeze" {
		return n
	}
	axes := n.Ints("axes")
	if len(n.Inputs) > 1 {
		t := r.g.Initializer(n.Inputs[1])
		if t == nil {
			return n
		}
		var err error
		if axes, err = t.Int64s(); err != nil {
			panic(err) // a constant of a model that was fused
		}
	}
	c := n.Clone()
	c.Inputs, c.Attrs = c.Inputs[:1], slices.DeleteFunc(c.Attrs, func(a *onnx.Attribute) bool { return a.Name == "axes" })
	if r.opset < 13 {
		c.Attrs = append(c.Attrs, onnx.IntsAttr("axes", axes...))
	} else {
		c.Inputs = append(c.Inputs, r.ints(axes...))
	}
	return c
}

// name makes a name that no value of the graph has.
func (r *respeller) name(what string) string {
	r.count++
	return fmt.Sprintf("spelled/%s_%d", what, r.count)
}
