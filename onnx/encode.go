package onnx

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math"

	"github.com/litekit/lite/internal/onnxpb"
)

// maxMessage is the most bytes that protobuf readers accept in one message.
const maxMessage = math.MaxInt32

// Encode returns the model as the bytes of an ONNX file. The same model always
// gives the same bytes. A model of more than 2 GiB is an error: [Model.Save]
// keeps its weights in a second file.
func (m *Model) Encode() ([]byte, error) {
	msg := (&encoder{}).model(m)
	if msg.Size() > maxMessage {
		return nil, fmt.Errorf("onnx: the model takes %d bytes and one file holds at most %d; use Save, which keeps the weights in a second file", msg.Size(), maxMessage)
	}
	return msg.Encode(), nil
}

// WriteTo writes the bytes of Encode to w without holding them in memory.
func (m *Model) WriteTo(w io.Writer) (int64, error) {
	msg := (&encoder{}).model(m)
	if msg.Size() > maxMessage {
		return 0, fmt.Errorf("onnx: the model takes %d bytes and one file holds at most %d; use Save, which keeps the weights in a second file", msg.Size(), maxMessage)
	}
	return msg.WriteTo(w)
}

// Hash identifies what the model computes: the SHA-256, in hexadecimal, of its
// encoded graph, weights, functions and operator sets. Producer, metadata,
// configuration and tokenizer do not count.
func (m *Model) Hash() string {
	h := sha256.New()
	msg := (&encoder{}).model(&Model{IRVersion: m.IRVersion, Opsets: m.Opsets, Graph: m.Graph, Functions: m.Functions})
	_, _ = msg.WriteTo(h) // a hash never fails
	return hex.EncodeToString(h.Sum(nil))
}

// encoder writes one model.
type encoder struct {
	// external places the bytes of a tensor in another file, or returns nil
	// to keep them in the model.
	external func(t *Tensor) []Property
}

func (e *encoder) model(m *Model) *onnxpb.Message {
	var out onnxpb.Message
	out.Int(1, m.IRVersion)
	text(&out, 2, m.Producer)
	text(&out, 3, m.ProducerVersion)
	text(&out, 4, m.Domain)
	if m.Version != 0 {
		out.Int(5, m.Version)
	}
	text(&out, 6, m.Doc)
	if m.Graph != nil {
		out.Message(7, e.graph(m.Graph))
	}
	opsets(&out, 8, m.Opsets)
	properties(&out, 14, m.Metadata)
	for _, f := range m.Functions {
		out.Message(25, e.function(f))
	}
	out.Raw(m.Unknown)
	return &out
}

// text writes a string that is not empty.
func text(out *onnxpb.Message, num int32, s string) {
	if s != "" {
		out.String(num, s)
	}
}

func names(out *onnxpb.Message, num int32, list []string) {
	for _, s := range list {
		out.String(num, s)
	}
}

func opsets(out *onnxpb.Message, num int32, list []Opset) {
	for _, o := range list {
		var m onnxpb.Message
		text(&m, 1, o.Domain)
		m.Int(2, o.Version)
		m.Raw(o.Unknown)
		out.Message(num, &m)
	}
}

func properties(out *onnxpb.Message, num int32, list []Property) {
	for _, p := range list {
		var m onnxpb.Message
		m.String(1, p.Key)
		m.String(2, p.Value)
		m.Raw(p.Unknown)
		out.Message(num, &m)
	}
}

func (e *encoder) graph(g *Graph) *onnxpb.Message {
	var out onnxpb.Message
	for _, n := range g.Nodes {
		out.Message(1, e.node(n))
	}
	text(&out, 2, g.Name)
	for _, t := range g.Initializers {
		out.Message(5, e.tensor(t, true))
	}
	text(&out, 10, g.Doc)
	for _, v := range g.Inputs {
		out.Message(11, encodeValue(v))
	}
	for _, v := range g.Outputs {
		out.Message(12, encodeValue(v))
	}
	for _, v := range g.Values {
		out.Message(13, encodeValue(v))
	}
	for _, s := range g.Sparse {
		out.Message(15, e.sparse(s))
	}
	properties(&out, 16, g.Metadata)
	out.Raw(g.Unknown)
	return &out
}

func (e *encoder) node(n *Node) *onnxpb.Message {
	var out onnxpb.Message
	names(&out, 1, n.Inputs)
	names(&out, 2, n.Outputs)
	text(&out, 3, n.Name)
	text(&out, 4, n.Op)
	for _, a := range n.Attrs {
		out.Message(5, e.attribute(a))
	}
	text(&out, 6, n.Doc)
	text(&out, 7, n.Domain)
	text(&out, 8, n.Overload)
	properties(&out, 9, n.Metadata)
	out.Raw(n.Unknown)
	return &out
}

func (e *encoder) function(f *Function) *onnxpb.Message {
	var out onnxpb.Message
	text(&out, 1, f.Name)
	names(&out, 4, f.Inputs)
	names(&out, 5, f.Outputs)
	names(&out, 6, f.Attrs)
	for _, n := range f.Nodes {
		out.Message(7, e.node(n))
	}
	text(&out, 8, f.Doc)
	opsets(&out, 9, f.Opsets)
	text(&out, 10, f.Domain)
	for _, a := range f.Defaults {
		out.Message(11, e.attribute(a))
	}
	for _, v := range f.Values {
		out.Message(12, encodeValue(v))
	}
	text(&out, 13, f.Overload)
	properties(&out, 14, f.Metadata)
	out.Raw(f.Unknown)
	return &out
}

// attribute writes the value that Type names even if it is zero, and others
// only if they are not, so that nothing that was read is lost.
func (e *encoder) attribute(a *Attribute) *onnxpb.Message {
	var out onnxpb.Message
	own := a.RefName == ""
	text(&out, 1, a.Name)
	if math.Float32bits(a.Float) != 0 || own && a.Type == AttrFloat {
		out.Float(2, a.Float)
	}
	if a.Int != 0 || own && a.Type == AttrInt {
		out.Int(3, a.Int)
	}
	if len(a.String) > 0 || own && a.Type == AttrString {
		out.Bytes(4, a.String)
	}
	if a.Tensor != nil {
		out.Message(5, e.tensor(a.Tensor, false))
	}
	if a.Graph != nil {
		out.Message(6, e.graph(a.Graph))
	}
	for _, v := range a.Floats {
		out.Float(7, v)
	}
	for _, v := range a.Ints {
		out.Int(8, v)
	}
	for _, v := range a.Strings {
		out.Bytes(9, v)
	}
	for _, t := range a.Tensors {
		out.Message(10, e.tensor(t, false))
	}
	for _, g := range a.Graphs {
		out.Message(11, e.graph(g))
	}
	text(&out, 13, a.Doc)
	typeField := int32(15)
	if a.Type == AttrTypeProto {
		typeField = 14
	}
	for _, b := range a.Types {
		out.Bytes(typeField, b)
	}
	if a.Type != AttrUndefined {
		out.Int(20, int64(a.Type))
	}
	text(&out, 21, a.RefName)
	if a.Sparse != nil {
		out.Message(22, e.sparse(a.Sparse))
	}
	for _, s := range a.Sparses {
		out.Message(23, e.sparse(s))
	}
	out.Raw(a.Unknown)
	return &out
}

// tensor writes a constant; only initializers may lie in another file, as
// older readers look for it nowhere else.
func (e *encoder) tensor(t *Tensor, initializer bool) *onnxpb.Message {
	var out onnxpb.Message
	for _, d := range t.Dims {
		out.Int(1, d)
	}
	out.Int(2, int64(t.Type))
	for _, s := range t.Strings {
		out.Bytes(fieldString, s)
	}
	text(&out, 8, t.Name)
	var where []Property
	if initializer && e.external != nil {
		where = e.external(t)
	}
	// ONNX's checker forbids data in a tensor without elements.
	if where == nil && len(t.Raw) > 0 {
		out.Bytes(fieldRaw, t.Raw)
	}
	text(&out, 12, t.Doc)
	if where != nil {
		properties(&out, 13, where)
		out.Int(14, 1)
	}
	properties(&out, 16, t.Metadata)
	out.Raw(t.Unknown)
	return &out
}

func (e *encoder) sparse(s *SparseTensor) *onnxpb.Message {
	var out onnxpb.Message
	if s.Values != nil {
		out.Message(1, e.tensor(s.Values, false))
	}
	if s.Indices != nil {
		out.Message(2, e.tensor(s.Indices, false))
	}
	for _, d := range s.Dims {
		out.Int(3, d)
	}
	out.Raw(s.Unknown)
	return &out
}

func encodeValue(v *ValueInfo) *onnxpb.Message {
	var out onnxpb.Message
	text(&out, 1, v.Name)
	switch {
	case v.Type != Undefined || v.HasShape:
		out.Message(2, encodeType(v))
	case v.Other != nil:
		out.Bytes(2, v.Other)
	}
	text(&out, 3, v.Doc)
	properties(&out, 4, v.Metadata)
	out.Raw(v.Unknown)
	return &out
}

func encodeType(v *ValueInfo) *onnxpb.Message {
	extra := v.extra
	if extra == nil {
		extra = &typeExtra{}
	}
	var out, tensor, shape onnxpb.Message
	tensor.Int(1, int64(v.Type))
	if v.HasShape {
		for _, d := range v.Dims {
			var dim onnxpb.Message
			if d.Known {
				dim.Int(1, d.Size)
			} else {
				text(&dim, 2, d.Param)
			}
			text(&dim, 3, d.Denotation)
			dim.Raw(d.Unknown)
			shape.Message(1, &dim)
		}
		shape.Raw(extra.shape)
		tensor.Message(2, &shape)
	}
	tensor.Raw(extra.tensor)
	out.Message(1, &tensor)
	text(&out, 6, extra.denotation)
	out.Raw(extra.outer)
	return &out
}
