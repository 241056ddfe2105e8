package onnx

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/litekit/lite/internal/onnxpb"
)

func (d *decoder) attribute(data []byte) (*Attribute, error) {
	a := &Attribute{}
	guess := AttrUndefined
	for f, err := range onnxpb.Fields(data) {
		if err != nil {
			return nil, fmt.Errorf("attribute %q: %w", a.Name, err)
		}
		var kind AttrType
		switch f.Num {
		case 1:
			a.Name, err = f.Text()
		case 13:
			a.Doc, err = f.Text()
		case 20:
			var v int64
			v, err = f.Int64()
			a.Type = AttrType(v)
		case 21:
			a.RefName, err = f.Text()
		default:
			kind, err = d.attributeValue(a, f)
		}
		if err != nil {
			return nil, fmt.Errorf("attribute %q: %w", a.Name, err)
		}
		if guess == AttrUndefined {
			guess = kind
		}
	}
	// Files of IR version 1 have no type: the value tells.
	if a.Type == AttrUndefined {
		a.Type = guess
	}
	return a, nil
}

// attributeValue reads a value field and returns the attribute type that the field belongs to.
func (d *decoder) attributeValue(a *Attribute, f onnxpb.Field) (AttrType, error) {
	var err error
	switch f.Num {
	case 2:
		var v uint32
		v, err = f.Fixed32()
		a.Float = math.Float32frombits(v)
		return AttrFloat, err
	case 3:
		a.Int, err = f.Int64()
		return AttrInt, err
	case 4:
		a.String, err = f.Bytes()
		return AttrString, err
	case 5:
		return AttrTensor, one(&a.Tensor, f, d.tensor)
	case 6:
		if a.Graph == nil {
			a.Graph = &Graph{}
		}
		return AttrGraph, message(f, func(b []byte) error { return d.graph(a.Graph, b) })
	case 7:
		var raw []byte
		raw, err = f.AppendFixed32(nil)
		for ; len(raw) >= 4; raw = raw[4:] {
			a.Floats = append(a.Floats, math.Float32frombits(binary.LittleEndian.Uint32(raw)))
		}
		return AttrFloats, err
	case 8:
		return AttrInts, f.Varints(func(v uint64) { a.Ints = append(a.Ints, int64(v)) })
	case 9:
		var b []byte
		b, err = f.Bytes()
		a.Strings = append(a.Strings, b)
		return AttrStrings, err
	case 10:
		a.Tensors, err = list(a.Tensors, f, d.tensor)
		return AttrTensors, err
	case 11:
		a.Graphs, err = list(a.Graphs, f, func(b []byte) (*Graph, error) {
			g := &Graph{}
			return g, d.graph(g, b)
		})
		return AttrGraphs, err
	case 14, 15:
		var b []byte
		b, err = f.Bytes()
		a.Types = append(a.Types, b)
		if f.Num == 14 {
			if len(a.Types) > 1 {
				return AttrTypeProto, fmt.Errorf("field 14 stands beside another type; the file is damaged or not ONNX")
			}
			return AttrTypeProto, err
		}
		return AttrTypeProtos, err
	case 22:
		return AttrSparseTensor, one(&a.Sparse, f, d.sparse)
	case 23:
		a.Sparses, err = list(a.Sparses, f, d.sparse)
		return AttrSparseTensors, err
	}
	a.Unknown = append(a.Unknown, f.Raw...)
	return AttrUndefined, nil
}

func (d *decoder) sparse(data []byte) (*SparseTensor, error) {
	s := &SparseTensor{}
	for f, err := range onnxpb.Fields(data) {
		if err != nil {
			return nil, fmt.Errorf("sparse tensor: %w", err)
		}
		switch f.Num {
		case 1:
			err = one(&s.Values, f, d.tensor)
		case 2:
			err = one(&s.Indices, f, d.tensor)
		case 3:
			err = f.Varints(func(v uint64) { s.Dims = append(s.Dims, int64(v)) })
		default:
			s.Unknown = append(s.Unknown, f.Raw...)
		}
		if err != nil {
			return nil, fmt.Errorf("sparse tensor: %w", err)
		}
	}
	if s.Values == nil || s.Indices == nil {
		return nil, fmt.Errorf("sparse tensor: values or indices are missing; the file is damaged")
	}
	if _, err := elements(s.Dims); err != nil {
		return nil, fmt.Errorf("sparse tensor %q: %w", s.Values.Name, err)
	}
	return s, nil
}

// typeExtra holds what a TypeProto has beside the fields of ValueInfo.
type typeExtra struct {
	denotation string
	// fields not known of TypeProto, TypeProto.Tensor and TensorShapeProto
	outer, tensor, shape []byte
}

func valueInfo(data []byte) (*ValueInfo, error) {
	v := &ValueInfo{}
	for f, err := range onnxpb.Fields(data) {
		if err != nil {
			return nil, fmt.Errorf("value %q: %w", v.Name, err)
		}
		switch f.Num {
		case 1:
			v.Name, err = f.Text()
		case 2:
			// Messages given in parts merge by concatenation.
			var b []byte
			b, err = f.Bytes()
			v.Other = append(v.Other, b...)
		case 3:
			v.Doc, err = f.Text()
		case 4:
			v.Metadata, err = list(v.Metadata, f, property)
		default:
			v.Unknown = append(v.Unknown, f.Raw...)
		}
		if err != nil {
			return nil, fmt.Errorf("value %q: %w", v.Name, err)
		}
	}
	if err := v.parseType(); err != nil {
		return nil, fmt.Errorf("value %q: type: %w", v.Name, err)
	}
	return v, nil
}

// parseType moves what Other holds into the fields if it is a tensor type.
func (v *ValueInfo) parseType() error {
	t := *v
	t.Other = nil
	var extra typeExtra
	tensor := false
	for f, err := range onnxpb.Fields(v.Other) {
		if err != nil {
			return err
		}
		switch f.Num {
		case 1:
			tensor = true
			err = message(f, func(b []byte) error { return t.parseTensorType(b, &extra) })
		case 4, 5, 7, 8, 9:
			if tensor {
				return fmt.Errorf("it is a tensor and something else; the file is damaged")
			}
			return nil // stays in Other
		case 6:
			extra.denotation, err = f.Text()
		default:
			extra.outer = append(extra.outer, f.Raw...)
		}
		if err != nil {
			return err
		}
	}
	if t.Type == Undefined && !t.HasShape {
		return nil // nothing known of it: Other keeps it as it is
	}
	if extra.denotation != "" || extra.outer != nil || extra.tensor != nil || extra.shape != nil {
		t.extra = &extra
	}
	*v = t
	return nil
}

func (v *ValueInfo) parseTensorType(data []byte, extra *typeExtra) error {
	for f, err := range onnxpb.Fields(data) {
		if err != nil {
			return err
		}
		switch f.Num {
		case 1:
			var t int64
			t, err = f.Int64()
			v.Type = DataType(t)
		case 2:
			v.HasShape = true
			err = message(f, func(b []byte) error { return v.parseShape(b, extra) })
		default:
			extra.tensor = append(extra.tensor, f.Raw...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (v *ValueInfo) parseShape(data []byte, extra *typeExtra) error {
	for f, err := range onnxpb.Fields(data) {
		if err != nil {
			return err
		}
		if f.Num != 1 {
			extra.shape = append(extra.shape, f.Raw...)
			continue
		}
		if v.Dims, err = list(v.Dims, f, dimension); err != nil {
			return err
		}
	}
	return nil
}

func dimension(data []byte) (Dim, error) {
	var d Dim
	for f, err := range onnxpb.Fields(data) {
		if err != nil {
			return d, err
		}
		switch f.Num { // 1 and 2 are alternatives: the last one counts
		case 1:
			d.Size, err = f.Int64()
			d.Known, d.Param = true, ""
		case 2:
			d.Param, err = f.Text()
			d.Size, d.Known = 0, false
		case 3:
			d.Denotation, err = f.Text()
		default:
			d.Unknown = append(d.Unknown, f.Raw...)
		}
		if err != nil {
			return d, err
		}
	}
	return d, nil
}
