package onnx

import "fmt"

// Element types of newer ONNX versions, kept as they are.
const (
	Float8E4M3FN   DataType = 17
	Float8E4M3FNUZ DataType = 18
	Float8E5M2     DataType = 19
	Float8E5M2FNUZ DataType = 20
	Uint4          DataType = 21
	Int4           DataType = 22
	Float4E2M1     DataType = 23
	Float8E8M0     DataType = 24
	Uint2          DataType = 25
	Int2           DataType = 26
)

// dataTypes lists name and bits of each type by its number; strings and the
// undefined type have no fixed size.
var dataTypes = [...]struct {
	name string
	bits int
}{
	{"undefined", 0}, {"float32", 32}, {"uint8", 8}, {"int8", 8}, {"uint16", 16},
	{"int16", 16}, {"int32", 32}, {"int64", 64}, {"string", 0}, {"bool", 8},
	{"float16", 16}, {"float64", 64}, {"uint32", 32}, {"uint64", 64},
	{"complex64", 64}, {"complex128", 128}, {"bfloat16", 16},
	{"float8e4m3fn", 8}, {"float8e4m3fnuz", 8}, {"float8e5m2", 8}, {"float8e5m2fnuz", 8},
	{"uint4", 4}, {"int4", 4}, {"float4e2m1", 4}, {"float8e8m0", 8}, {"uint2", 2}, {"int2", 2},
}

// String is the name of the type: float32, int64, bfloat16 …
func (d DataType) String() string {
	if d < 0 || int(d) >= len(dataTypes) {
		return fmt.Sprintf("type(%d)", int32(d))
	}
	return dataTypes[d].name
}

// Bits is the size of one element in bits, 0 for strings and unknown types.
// Elements of less than 8 bits are packed, the first in the low bits.
func (d DataType) Bits() int {
	if d < 0 || int(d) >= len(dataTypes) {
		return 0
	}
	return dataTypes[d].bits
}

// Size is the number of bytes of one element, 0 for strings, for types packed
// into parts of bytes and for unknown types.
func (d DataType) Size() int { return d.Bits() / 8 }
