package exec

import (
	"encoding/binary"
	"math"

	"github.com/litekit/lite/onnx"
)

// The element types that few models use have no slice of their own. Integers
// of 2, 4 and 16 bits and unsigned ones of 32 are held in I64, and float8,
// float4 and their scales in F32, each element with the value it has in its
// own type; Tensor.Type keeps that type. Uint64 is held in I64 bit by bit, so
// that 2⁶³ and above are negative there. An operator computes in the wide
// type and then calls wrap.

// storage is the type whose slice holds the elements of a tensor of type t.
func storage(t onnx.DataType) onnx.DataType {
	switch t {
	case onnx.Uint16, onnx.Int16, onnx.Uint32, onnx.Uint64, onnx.Uint4, onnx.Int4, onnx.Uint2, onnx.Int2:
		return onnx.Int64
	case onnx.Float16, onnx.BFloat16, onnx.Float8E4M3FN, onnx.Float8E4M3FNUZ, onnx.Float8E5M2, onnx.Float8E5M2FNUZ,
		onnx.Float4E2M1, onnx.Float8E8M0:
		return onnx.Float
	}
	return t
}

// wideInt reports whether t is an integer that is held in I64 but is not int64.
func wideInt(t onnx.DataType) bool { return t != onnx.Int64 && storage(t) == onnx.Int64 }

// bitsOf are the number of bits of an integer type and whether it is signed.
func bitsOf(t onnx.DataType) (bits uint, signed bool) {
	switch t {
	case onnx.Int64, onnx.Int32, onnx.Int16, onnx.Int8, onnx.Int4, onnx.Int2:
		signed = true
	}
	return uint(t.Bits()), signed
}

// bounds are the least and greatest values of an integer type as held; those
// of uint64 are its bit patterns read as int64.
func bounds(t onnx.DataType) (lo, hi int64) {
	bits, signed := bitsOf(t)
	switch {
	case bits == 0 || bits == 64:
		return math.MinInt64, math.MaxInt64
	case signed:
		return -1 << (bits - 1), 1<<(bits-1) - 1
	}
	return 0, 1<<bits - 1
}

// wrap brings the elements of a tensor whose integers are held wider back into
// its type, modulo 2^bits.
func (t *Tensor) wrap() {
	if !wideInt(t.Type) || t.Type == onnx.Uint64 {
		return
	}
	bits, signed := bitsOf(t.Type)
	for i, v := range t.I64 {
		t.I64[i] = wrapInt(v, bits, signed)
	}
}

func wrapInt(v int64, bits uint, signed bool) int64 {
	v <<= 64 - bits
	if signed {
		return v >> (64 - bits)
	}
	return int64(uint64(v) >> (64 - bits))
}

// as returns t seen as the type that holds its elements, for operators that
// are the same on both. Where order matters to the operator, use ordered.
func (t *Tensor) as(to onnx.DataType) *Tensor {
	v := *t
	v.Type, v.mem = to, nil
	return &v
}

// ordered returns t as an int64 tensor whose elements compare as those of t do.
func (t *Tensor) ordered() *Tensor {
	v := t.as(onnx.Int64)
	v.I64 = t.orderedInts()
	return v
}

// orderedInts are the elements of t, held in I64, as int64 that compare as they do.
func (t *Tensor) orderedInts() []int64 {
	if t.Type != onnx.Uint64 {
		return t.I64
	}
	return flipSign(t.I64)
}

// flipSign maps the bits of uint64 to int64 in the same order, and back.
func flipSign(src []int64) []int64 {
	out := make([]int64, len(src))
	for i, v := range src {
		out[i] = v ^ math.MinInt64
	}
	return out
}

// rareElements decodes n elements of a type without a slice of its own.
func rareElements(t *onnx.Tensor, n int, out *Tensor) {
	bits := int(uint(t.Type.Bits()))
	at := func(i int) uint64 {
		switch bits {
		case 64:
			return binary.LittleEndian.Uint64(t.Raw[8*i:])
		case 32:
			return uint64(binary.LittleEndian.Uint32(t.Raw[4*i:]))
		case 16:
			return uint64(binary.LittleEndian.Uint16(t.Raw[2*i:]))
		}
		return uint64(t.Raw[i*bits/8]) >> (i * bits % 8) & (1<<bits - 1)
	}
	if storage(t.Type) == onnx.Int64 {
		b, signed := bitsOf(t.Type)
		out.I64 = make([]int64, n)
		for i := range out.I64 {
			out.I64[i] = wrapInt(int64(at(i)), b, signed)
		}
		return
	}
	f := smallFloats[t.Type]
	out.F32 = make([]float32, n)
	for i := range out.F32 {
		out.F32[i] = f.value(uint8(at(i)))
	}
}

// smallFloat is a floating-point format of at most 8 bits.
type smallFloat struct {
	exp, mant int // bits of the exponent and the mantissa
	bias      int
	max       float64
	inf       bool // has infinities
	zeroNaN   bool // the pattern of −0 is the only NaN (the FNUZ types)
	noNaN     bool
}

// smallFloats are the formats of FP8 Formats for Deep Learning (Micikevicius
// et al. 2022), their FNUZ variants (Noune et al. 2022) and the OCP MX formats.
var smallFloats = map[onnx.DataType]smallFloat{
	onnx.Float8E4M3FN:   {exp: 4, mant: 3, bias: 7, max: 448},
	onnx.Float8E4M3FNUZ: {exp: 4, mant: 3, bias: 8, max: 240, zeroNaN: true},
	onnx.Float8E5M2:     {exp: 5, mant: 2, bias: 15, max: 57344, inf: true},
	onnx.Float8E5M2FNUZ: {exp: 5, mant: 2, bias: 16, max: 57344, zeroNaN: true},
	onnx.Float4E2M1:     {exp: 2, mant: 1, bias: 1, max: 6, noNaN: true},
	onnx.Float8E8M0:     {exp: 8, bias: 127, max: 0x1p127},
}

// value decodes one element.
func (f smallFloat) value(b uint8) float32 {
	if f.exp == 8 { // only powers of two, no sign and no zero
		if b == 255 {
			return float32(math.NaN())
		}
		return float32(math.Ldexp(1, int(b)-f.bias))
	}
	sign := 1.0
	if b>>(f.exp+f.mant)&1 != 0 {
		sign = -1
	}
	e, m := int(b>>f.mant)&(1<<f.exp-1), int(b)&(1<<f.mant-1)
	full := 1<<f.exp - 1
	switch {
	case f.zeroNaN && sign < 0 && e == 0 && m == 0:
		return float32(math.NaN())
	case f.inf && e == full && m == 0:
		return float32(math.Inf(int(sign)))
	case f.inf && e == full, !f.zeroNaN && !f.noNaN && !f.inf && e == full && m == 1<<f.mant-1:
		return float32(math.NaN())
	case e == 0:
		return float32(math.Copysign(math.Ldexp(float64(m), 1-f.bias-f.mant), sign))
	}
	return float32(math.Copysign(math.Ldexp(float64(1<<f.mant+m), e-f.bias-f.mant), sign))
}

// nearest rounds v to the format, half to even. What is too large becomes the
// largest value with saturate, else infinity or NaN.
func (f smallFloat) nearest(v float32, saturate bool) float32 {
	x := float64(v)
	nan := float32(math.NaN())
	switch {
	case x != x && !f.noNaN:
		return nan
	case x != x: // no NaN to keep; the reference implementation has −0
		return float32(math.Copysign(0, -1))
	case f.zeroNaN && math.IsInf(x, 0) && !saturate:
		return nan
	case x == 0 && f.zeroNaN:
		return 0
	case x == 0:
		return v
	}
	if !math.IsInf(x, 0) {
		_, e := math.Frexp(x)
		quantum := math.Ldexp(1, max(e-1, 1-f.bias)-f.mant)
		x = math.RoundToEven(x/quantum) * quantum
	}
	if math.Abs(x) > f.max {
		switch {
		case saturate || f.noNaN:
			x = math.Copysign(f.max, x)
		case f.inf:
			x = math.Copysign(math.Inf(1), x)
		default:
			return nan
		}
	}
	if x == 0 && f.zeroNaN {
		x = 0
	}
	return float32(x)
}

// powerOfTwo rounds v to float8e8m0: up, down or to the nearest power of two.
func powerOfTwo(v float32, mode string, saturate bool) float32 {
	x := math.Abs(float64(v))
	if x != x || math.IsInf(x, 0) && !saturate {
		return float32(math.NaN())
	}
	if math.IsInf(x, 0) {
		return 0x1p127
	}
	m, e := math.Frexp(max(x, 0x1p-127)) // x = m·2^e with ½ ≤ m < 1
	e--
	if mode == "up" && m > 0.5 || mode == "nearest" && m >= 0.75 {
		e++
	}
	if e > 127 {
		if !saturate {
			return float32(math.NaN())
		}
		e = 127
	}
	return float32(math.Ldexp(1, e))
}
