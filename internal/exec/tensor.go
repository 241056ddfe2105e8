package exec

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/litekit/lite/onnx"
)

// Tensor is a value: a shape and its elements in row-major order, in the one
// slice that Type names. A nil or empty Shape is a scalar (one element).
// Types without a slice of that name are held in a wider one: the small and
// unsigned integers in I64 (uint64 bit by bit), float8 and float4 in F32.
type Tensor struct {
	Type  onnx.DataType
	Shape []int

	F32  []float32
	F64  []float64
	I64  []int64
	I32  []int32
	U8   []uint8
	I8   []int8
	Bool []bool

	mem *block // the arena's buffer, nil for inputs, constants and results
}

// Floats returns a float32 tensor over data, which is not copied.
func Floats(data []float32, shape ...int) *Tensor {
	return &Tensor{Type: onnx.Float, Shape: shape, F32: data}
}

// Int64s returns an int64 tensor over data, which is not copied.
func Int64s(data []int64, shape ...int) *Tensor {
	return &Tensor{Type: onnx.Int64, Shape: shape, I64: data}
}

// Len is the number of elements that the shape declares.
func (t *Tensor) Len() int { return product(t.Shape) }

// Clone returns a copy that shares nothing with t.
func (t *Tensor) Clone() *Tensor {
	return &Tensor{
		Type: t.Type, Shape: slices.Clone(t.Shape),
		F32: slices.Clone(t.F32), F64: slices.Clone(t.F64), I64: slices.Clone(t.I64), I32: slices.Clone(t.I32),
		U8: slices.Clone(t.U8), I8: slices.Clone(t.I8), Bool: slices.Clone(t.Bool),
	}
}

// dataLen is the number of elements held.
func (t *Tensor) dataLen() int {
	switch storage(t.Type) {
	case onnx.Float:
		return len(t.F32)
	case onnx.Double:
		return len(t.F64)
	case onnx.Int64:
		return len(t.I64)
	case onnx.Int32:
		return len(t.I32)
	case onnx.Uint8:
		return len(t.U8)
	case onnx.Int8:
		return len(t.I8)
	case onnx.Bool:
		return len(t.Bool)
	}
	return 0
}

// FromONNX converts a constant. The elements may alias t.Raw and must not be
// written. Float16 and bfloat16 become float32; types without a field here
// are an [UnsupportedError].
func FromONNX(t *onnx.Tensor) (*Tensor, error) {
	out := &Tensor{Type: widen(t.Type), Shape: make([]int, len(t.Dims))}
	for i, d := range t.Dims {
		if d < 0 || d > math.MaxInt32*64 {
			return nil, fmt.Errorf("exec: tensor %q: dimension %d of shape %v", t.Name, d, t.Dims)
		}
		out.Shape[i] = int(d)
	}
	n, ok := elements(out.Shape)
	if !supported(t.Type) {
		return nil, &UnsupportedError{Items: []string{fmt.Sprintf("tensor %q of type %s", t.Name, typeName(t.Type))}}
	}
	if !ok || n > math.MaxInt/64 || len(t.Raw) != (n*t.Type.Bits()+7)/8 {
		return nil, fmt.Errorf("exec: tensor %q: %d bytes do not hold shape %v of %s", t.Name, len(t.Raw), t.Dims, typeName(t.Type))
	}
	switch t.Type {
	case onnx.Float, onnx.Float16, onnx.BFloat16:
		f, err := t.Floats()
		if err != nil {
			return nil, fmt.Errorf("exec: %w", err)
		}
		out.F32 = f
	case onnx.Double:
		out.F64 = make([]float64, n)
		for i := range out.F64 {
			out.F64[i] = math.Float64frombits(binary.LittleEndian.Uint64(t.Raw[8*i:]))
		}
	case onnx.Int64:
		out.I64 = make([]int64, n)
		for i := range out.I64 {
			out.I64[i] = int64(binary.LittleEndian.Uint64(t.Raw[8*i:]))
		}
	case onnx.Int32:
		out.I32 = make([]int32, n)
		for i := range out.I32 {
			out.I32[i] = int32(binary.LittleEndian.Uint32(t.Raw[4*i:]))
		}
	case onnx.Uint8:
		out.U8 = t.Raw
	case onnx.Int8:
		out.I8 = make([]int8, n)
		for i, b := range t.Raw {
			out.I8[i] = int8(b)
		}
	case onnx.Bool:
		out.Bool = make([]bool, n)
		for i, b := range t.Raw {
			out.Bool[i] = b != 0
		}
	default:
		rareElements(t, n, out)
	}
	return out, nil
}

// number is what arithmetic is defined on.
type number interface {
	float32 | float64 | int64 | int32 | uint8 | int8
}

// data returns the slice of t whose elements are T; the caller knows t.Type.
func data[T number | bool](t *Tensor) []T {
	var zero T
	var s any
	switch any(zero).(type) {
	case float32:
		s = t.F32
	case float64:
		s = t.F64
	case int64:
		s = t.I64
	case int32:
		s = t.I32
	case uint8:
		s = t.U8
	case int8:
		s = t.I8
	case bool:
		s = t.Bool
	}
	return s.([]T)
}

// widen is the type that values declared as t have here.
func widen(t onnx.DataType) onnx.DataType {
	if t == onnx.Float16 || t == onnx.BFloat16 {
		return onnx.Float
	}
	return t
}

// supported reports whether values of the type can be held.
func supported(t onnx.DataType) bool {
	switch storage(t) {
	case onnx.Float, onnx.Double, onnx.Int64, onnx.Int32, onnx.Uint8, onnx.Int8, onnx.Bool:
		return true
	}
	return false
}

// typeName is the name ONNX gives the element type.
func typeName(t onnx.DataType) string {
	names := [...]string{"undefined", "float", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool",
		"float16", "double", "uint32", "uint64", "complex64", "complex128", "bfloat16",
		"float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "uint4", "int4", "float4e2m1", "float8e8m0", "uint2", "int2"}
	if t < 0 || int(t) >= len(names) {
		return fmt.Sprintf("type %d", int32(t))
	}
	return names[t]
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// elements is product, false where a dimension is negative or the number does not fit.
func elements(shape []int) (int, bool) {
	n, zero := 1, false
	for _, d := range shape {
		if d < 0 {
			return 0, false
		}
		if d == 0 {
			zero = true
			continue
		}
		if n > math.MaxInt/64/d {
			return 0, false
		}
		n *= d
	}
	if zero {
		return 0, true
	}
	return n, true
}

// strides are those of a contiguous tensor.
func strides(shape []int) []int { return ownStrides(make([]int, len(shape)), shape) }

// strides is the same in a slice that lasts as long as the run.
func (c *call) strides(shape []int) []int { return ownStrides(c.newShape(len(shape)), shape) }

func ownStrides(s, shape []int) []int {
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = n
		n *= shape[i]
	}
	return s
}
