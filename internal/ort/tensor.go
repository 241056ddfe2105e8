package ort

import (
	"encoding/binary"
	"fmt"
)

// Tensor is an input or an output: a shape and its elements in row-major order
// in exactly one of the slices. An empty Shape is a scalar.
type Tensor struct {
	Shape []int

	F32  []float32
	F64  []float64
	I64  []int64
	I32  []int32
	U8   []uint8
	I8   []int8
	Bool []bool

	F16 []uint16 // the bits of float16
	U16 []uint16
	I16 []int16
	U32 []uint32
	U64 []uint64
	Str []string
}

// Floats returns a float32 tensor over data.
func Floats(data []float32, shape ...int) Tensor { return Tensor{Shape: shape, F32: data} }

// Int64s returns an int64 tensor over data.
func Int64s(data []int64, shape ...int) Tensor { return Tensor{Shape: shape, I64: data} }

// wire is a tensor on its way to or from the script; Data is little-endian.
// Strings are in Text.
type wire struct {
	Type string   `json:"type"`
	Dims []int    `json:"dims"`
	Data []byte   `json:"data,omitempty"`
	Text []string `json:"text,omitempty"`
	// At and Bytes place the elements in a file where there is no Data.
	At    int64 `json:"at,omitempty"`
	Bytes int64 `json:"bytes,omitempty"`
}

// pack returns ONNX Runtime's name of t's type and t's elements.
func (t Tensor) pack() (name string, elements any) {
	switch {
	case t.F32 != nil:
		return "float32", t.F32
	case t.F64 != nil:
		return "float64", t.F64
	case t.I64 != nil:
		return "int64", t.I64
	case t.I32 != nil:
		return "int32", t.I32
	case t.U8 != nil:
		return "uint8", t.U8
	case t.I8 != nil:
		return "int8", t.I8
	case t.Bool != nil:
		return "bool", t.Bool
	case t.F16 != nil:
		return "float16", t.F16
	case t.U16 != nil:
		return "uint16", t.U16
	case t.I16 != nil:
		return "int16", t.I16
	case t.U32 != nil:
		return "uint32", t.U32
	case t.U64 != nil:
		return "uint64", t.U64
	}
	return "", nil
}

func toWire(in map[string]Tensor) (map[string]wire, error) {
	out := make(map[string]wire, len(in))
	for name, t := range in {
		if t.Str != nil {
			out[name] = wire{Type: "string", Dims: append([]int{}, t.Shape...), Text: t.Str}
			continue
		}
		kind, elements := t.pack()
		if elements == nil {
			return nil, fmt.Errorf("input %q has no elements", name)
		}
		data, err := binary.Append(nil, binary.LittleEndian, elements)
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", name, err)
		}
		out[name] = wire{Type: kind, Dims: append([]int{}, t.Shape...), Data: data}
	}
	return out, nil
}

func fromWire(in map[string]wire) (map[string]Tensor, error) {
	out := make(map[string]Tensor, len(in))
	for name, w := range in {
		t, err := w.tensor()
		if err != nil {
			return nil, fmt.Errorf("output %q: %w", name, err)
		}
		out[name] = t
	}
	return out, nil
}

func (w wire) tensor() (t Tensor, err error) {
	n := 1
	for _, d := range w.Dims {
		n *= d
	}
	t.Shape = w.Dims
	var into any
	switch w.Type {
	case "float32":
		t.F32 = make([]float32, n)
		into = t.F32
	case "float64":
		t.F64 = make([]float64, n)
		into = t.F64
	case "int64":
		t.I64 = make([]int64, n)
		into = t.I64
	case "int32":
		t.I32 = make([]int32, n)
		into = t.I32
	case "uint8":
		t.U8 = make([]uint8, n)
		into = t.U8
	case "int8":
		t.I8 = make([]int8, n)
		into = t.I8
	case "bool":
		t.Bool = make([]bool, n)
		into = t.Bool
	case "float16":
		t.F16 = make([]uint16, n)
		into = t.F16
	case "uint16":
		t.U16 = make([]uint16, n)
		into = t.U16
	case "int16":
		t.I16 = make([]int16, n)
		into = t.I16
	case "uint32":
		t.U32 = make([]uint32, n)
		into = t.U32
	case "uint64":
		t.U64 = make([]uint64, n)
		into = t.U64
	case "string":
		t.Str = w.Text
		return t, nil
	default:
		return t, fmt.Errorf("elements of type %s", w.Type)
	}
	read, err := binary.Decode(w.Data, binary.LittleEndian, into)
	if err == nil && read != len(w.Data) {
		err = fmt.Errorf("%d bytes of data for shape %v of %s", len(w.Data), w.Dims, w.Type)
	}
	return t, err
}
