package onnx

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/litekit/lite/internal/onnxpb"
)

// maxDepth bounds how deep graphs may nest in attributes.
const maxDepth = 64

// errExternal is wrapped by the error for weights that lie in another file.
var errExternal = errors.New("its data lies in another file; open the model with onnx.Open from its directory")

// Decode reads a model from the bytes of an ONNX file. Weights and other byte
// slices of the model are parts of data, which must not change afterwards.
// Weights kept in other files are an error: [Open] resolves them.
func Decode(data []byte) (*Model, error) {
	m, err := decode(data, nil)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// decoder reads one model.
type decoder struct {
	// external finds the bytes of a tensor kept in another file, nil if there is no directory.
	external func(location string, offset, length int64) ([]byte, error)
	depth    int
}

// decode returns with an error what was read before it.
func decode(data []byte, external func(string, int64, int64) ([]byte, error)) (*Model, error) {
	d := &decoder{external: external}
	m := &Model{}
	if err := d.model(m, data); err != nil {
		if f := (*onnxpb.FieldError)(nil); errors.As(err, &f) {
			return m, fmt.Errorf("onnx: byte %d of %d: %w", offset(data, f.Rest), len(data), err)
		}
		return m, fmt.Errorf("onnx: %w", err)
	}
	if m.Graph == nil {
		return m, errors.New("onnx: the data holds no graph; it is empty, cut short, or not an ONNX model")
	}
	return m, nil
}

// offset is where part, which is not empty, lies in data.
func offset(data, part []byte) int {
	return int(uintptr(unsafe.Pointer(unsafe.SliceData(part))) - uintptr(unsafe.Pointer(unsafe.SliceData(data))))
}

// model reads into m. Of a graph that is cut short it reads what there is, so
// that one can look at it.
func (d *decoder) model(m *Model, data []byte) error {
	for f, err := range onnxpb.Fields(data) {
		if cut := (*onnxpb.FieldError)(nil); errors.As(err, &cut) && cut.Num == 7 && m.Graph == nil {
			m.Graph = &Graph{}
			if inner := d.graph(m.Graph, cut.Part()); inner != nil {
				err = fmt.Errorf("field 7 is cut short: %w", inner)
			}
		}
		if err != nil {
			return fmt.Errorf("model: %w", err)
		}
		switch f.Num {
		case 1:
			m.IRVersion, err = f.Int64()
		case 2:
			m.Producer, err = f.Text()
		case 3:
			m.ProducerVersion, err = f.Text()
		case 4:
			m.Domain, err = f.Text()
		case 5:
			m.Version, err = f.Int64()
		case 6:
			m.Doc, err = f.Text()
		case 7:
			if m.Graph == nil {
				m.Graph = &Graph{}
			}
			err = message(f, func(b []byte) error { return d.graph(m.Graph, b) })
		case 8:
			m.Opsets, err = list(m.Opsets, f, opset)
		case 14:
			m.Metadata, err = list(m.Metadata, f, property)
		case 25:
			m.Functions, err = list(m.Functions, f, d.function)
		default:
			m.Unknown = append(m.Unknown, f.Raw...)
		}
		if err != nil {
			return fmt.Errorf("model: %w", err)
		}
	}
	return nil
}

// message hands the bytes of a message field to read.
func message(f onnxpb.Field, read func([]byte) error) error {
	b, err := f.Bytes()
	if err != nil {
		return err
	}
	return read(b)
}

// list appends the message that field f holds.
func list[T any](to []T, f onnxpb.Field, read func([]byte) (T, error)) ([]T, error) {
	b, err := f.Bytes()
	if err != nil {
		return to, err
	}
	v, err := read(b)
	if err != nil {
		return to, err
	}
	return append(to, v), nil
}

// one reads a message field that may stand only once.
func one[T any](to **T, f onnxpb.Field, read func([]byte) (*T, error)) error {
	if *to != nil {
		return fmt.Errorf("field %d is given twice; the file is damaged or not ONNX", f.Num)
	}
	b, err := f.Bytes()
	if err != nil {
		return err
	}
	*to, err = read(b)
	return err
}

func texts(to []string, f onnxpb.Field) ([]string, error) {
	s, err := f.Text()
	return append(to, s), err
}

func opset(data []byte) (Opset, error) {
	var o Opset
	for f, err := range onnxpb.Fields(data) {
		if err != nil {
			return o, fmt.Errorf("opset import: %w", err)
		}
		switch f.Num {
		case 1:
			o.Domain, err = f.Text()
		case 2:
			o.Version, err = f.Int64()
		default:
			o.Unknown = append(o.Unknown, f.Raw...)
		}
		if err != nil {
			return o, fmt.Errorf("opset import: %w", err)
		}
	}
	return o, nil
}

func property(data []byte) (Property, error) {
	var p Property
	for f, err := range onnxpb.Fields(data) {
		if err != nil {
			return p, fmt.Errorf("metadata: %w", err)
		}
		switch f.Num {
		case 1:
			p.Key, err = f.Text()
		case 2:
			p.Value, err = f.Text()
		default:
			p.Unknown = append(p.Unknown, f.Raw...)
		}
		if err != nil {
			return p, fmt.Errorf("metadata: %w", err)
		}
	}
	return p, nil
}

// graph reads into g, so that a graph given in parts is merged as protobuf rules.
func (d *decoder) graph(g *Graph, data []byte) error {
	if d.depth++; d.depth > maxDepth {
		return fmt.Errorf("graph: nested more than %d deep", maxDepth)
	}
	defer func() { d.depth-- }()
	for f, err := range onnxpb.Fields(data) {
		if err != nil {
			return fmt.Errorf("graph %q: %w", g.Name, err)
		}
		switch f.Num {
		case 1:
			g.Nodes, err = list(g.Nodes, f, d.node)
		case 2:
			g.Name, err = f.Text()
		case 5:
			g.Initializers, err = list(g.Initializers, f, d.tensor)
		case 10:
			g.Doc, err = f.Text()
		case 11:
			g.Inputs, err = list(g.Inputs, f, valueInfo)
		case 12:
			g.Outputs, err = list(g.Outputs, f, valueInfo)
		case 13:
			g.Values, err = list(g.Values, f, valueInfo)
		case 15:
			g.Sparse, err = list(g.Sparse, f, d.sparse)
		case 16:
			g.Metadata, err = list(g.Metadata, f, property)
		default:
			g.Unknown = append(g.Unknown, f.Raw...)
		}
		if err != nil {
			return fmt.Errorf("graph %q: %w", g.Name, err)
		}
	}
	return nil
}

func (d *decoder) node(data []byte) (*Node, error) {
	n := &Node{}
	for f, err := range onnxpb.Fields(data) {
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", n.Label(), err)
		}
		switch f.Num {
		case 1:
			n.Inputs, err = texts(n.Inputs, f)
		case 2:
			n.Outputs, err = texts(n.Outputs, f)
		case 3:
			n.Name, err = f.Text()
		case 4:
			n.Op, err = f.Text()
		case 5:
			n.Attrs, err = list(n.Attrs, f, d.attribute)
		case 6:
			n.Doc, err = f.Text()
		case 7:
			n.Domain, err = f.Text()
		case 8:
			n.Overload, err = f.Text()
		case 9:
			n.Metadata, err = list(n.Metadata, f, property)
		default:
			n.Unknown = append(n.Unknown, f.Raw...)
		}
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", n.Label(), err)
		}
	}
	return n, nil
}

func (d *decoder) function(data []byte) (*Function, error) {
	fn := &Function{}
	for f, err := range onnxpb.Fields(data) {
		if err != nil {
			return nil, fmt.Errorf("function %q: %w", fn.Name, err)
		}
		switch f.Num {
		case 1:
			fn.Name, err = f.Text()
		case 4:
			fn.Inputs, err = texts(fn.Inputs, f)
		case 5:
			fn.Outputs, err = texts(fn.Outputs, f)
		case 6:
			fn.Attrs, err = texts(fn.Attrs, f)
		case 7:
			fn.Nodes, err = list(fn.Nodes, f, d.node)
		case 8:
			fn.Doc, err = f.Text()
		case 9:
			fn.Opsets, err = list(fn.Opsets, f, opset)
		case 10:
			fn.Domain, err = f.Text()
		case 11:
			fn.Defaults, err = list(fn.Defaults, f, d.attribute)
		case 12:
			fn.Values, err = list(fn.Values, f, valueInfo)
		case 13:
			fn.Overload, err = f.Text()
		case 14:
			fn.Metadata, err = list(fn.Metadata, f, property)
		default:
			fn.Unknown = append(fn.Unknown, f.Raw...)
		}
		if err != nil {
			return nil, fmt.Errorf("function %q: %w", fn.Name, err)
		}
	}
	return fn, nil
}
