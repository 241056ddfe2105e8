package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"
)

// littleEndian tells whether this machine keeps numbers as ONNX does.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// Floats returns the elements of a float32, float16, bfloat16 or float64 tensor
// as float32. The slice of a float32 tensor may be its own bytes: it must not be
// written to.
func (t *Tensor) Floats() ([]float32, error) {
	if err := t.checkFloats(); err != nil {
		return nil, err
	}
	n := len(t.Raw) / t.Type.Size()
	if v := t.floatView(0, n); v != nil {
		return v, nil
	}
	out := make([]float32, n)
	t.widen(out, 0)
	return out, nil
}

// FloatsAt is Floats of the len(buf) elements from first on, for reading a large
// tensor piece by piece: it is a view of the tensor's bytes or, where that cannot
// be, buf.
func (t *Tensor) FloatsAt(first int, buf []float32) ([]float32, error) {
	if err := t.checkFloats(); err != nil {
		return nil, err
	}
	if n := len(t.Raw) / t.Type.Size(); first < 0 || first > n || len(buf) > n-first {
		return nil, fmt.Errorf("onnx: tensor %q: elements %d to %d of %d", t.Name, first, first+len(buf), n)
	}
	if v := t.floatView(first, len(buf)); v != nil {
		return v, nil
	}
	t.widen(buf, first)
	return buf, nil
}

func (t *Tensor) checkFloats() error {
	if err := t.checkSize(); err != nil {
		return fmt.Errorf("onnx: tensor %q: %w", t.Name, err)
	}
	switch t.Type {
	case Float, Float16, BFloat16, Double:
		return nil
	}
	return fmt.Errorf("onnx: tensor %q holds %v, not floating-point numbers", t.Name, t.Type)
}

// floatView is n elements where they lie, nil where they must be copied.
func (t *Tensor) floatView(first, n int) []float32 {
	if n == 0 {
		return []float32{}
	}
	if t.Type == Float && littleEndian {
		if p := unsafe.Pointer(&t.Raw[4*first]); uintptr(p)%4 == 0 {
			return unsafe.Slice((*float32)(p), n)[:n:n]
		}
	}
	return nil
}

// widen fills out with the elements from first on.
func (t *Tensor) widen(out []float32, first int) {
	size := t.Type.Size()
	raw := t.Raw[size*first:][:size*len(out)]
	if t.Type == Float && littleEndian {
		copy(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(out))), len(raw)), raw)
		return
	}
	for i := range out {
		b := raw[size*i:]
		switch t.Type {
		case Float:
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b))
		case Double:
			out[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(b)))
		case Float16:
			out[i] = Float16ToFloat32(binary.LittleEndian.Uint16(b))
		case BFloat16:
			out[i] = BFloat16ToFloat32(binary.LittleEndian.Uint16(b))
		}
	}
}

// Forget tells the system that the tensor's bytes will not be read soon. Where
// they are mapped from a file they then take no memory until they are read again;
// elsewhere it does nothing.
func (t *Tensor) Forget() {
	if len(t.Raw) < 1<<16 {
		return
	}
	if _, ok := mappings.find(uintptr(unsafe.Pointer(unsafe.SliceData(t.Raw)))); ok {
		forget(t.Raw)
	}
}

// Float16ToFloat32 widens the bits of an IEEE 754 binary16 number; every value is exact.
func Float16ToFloat32(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp := uint32(h>>10) & 0x1f
	frac := uint32(h) & 0x3ff
	switch {
	case exp == 0x1f: // infinity, NaN
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	case exp == 0: // zero, subnormal: frac · 2⁻²⁴
		f := float32(frac) * (1.0 / (1 << 24))
		return math.Float32frombits(sign | math.Float32bits(f))
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

// Float32ToFloat16 narrows to binary16 bits, rounding to nearest, ties to even;
// what is too large becomes infinity.
func Float32ToFloat16(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b>>16) & 0x8000
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000: // NaN stays NaN
		return sign | 0x7e00
	case b >= 0x477ff000: // 65520 and above round to infinity
		return sign | 0x7c00
	case b < 0x38800000: // below 2⁻¹⁴: subnormal, in units of 2⁻²⁴
		// Adding 0.5 leaves those units in the low bits, rounded by the machine.
		r := math.Float32frombits(b) + 0.5
		return sign | uint16(math.Float32bits(r)-0x3f000000)
	}
	b += 0xfff + (b >> 13 & 1) // half a unit, less where the result is even
	return sign | uint16((b-0x38000000)>>13)
}

// BFloat16ToFloat32 widens the bits of a bfloat16 number; every value is exact.
func BFloat16ToFloat32(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// Float32ToBFloat16 narrows to bfloat16 bits, rounding to nearest, ties to even.
func Float32ToBFloat16(f float32) uint16 {
	b := math.Float32bits(f)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + (b >> 16 & 1)) >> 16)
}
