package exec

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// cast converts a tensor to another type; the result is the caller's to
// release. Integers wrap around, small floats saturate.
func (c *call) cast(x *Tensor, to onnx.DataType) (*Tensor, error) {
	if x.Type == to {
		v := c.mem.header(x)
		if v.mem != nil {
			v.mem.refs++
		}
		return v, nil
	}
	out, err := c.new(to, x.Shape...)
	if err != nil {
		return nil, err
	}
	if err := castInto(out, x); err != nil {
		return nil, err
	}
	return out, nil
}

func castInto(out, x *Tensor) error {
	if x.Type == onnx.Uint64 && storage(out.Type) != onnx.Int64 {
		return convertFrom(out, unsigned64(x.I64))
	}
	switch storage(x.Type) {
	case onnx.Float:
		return convertFrom(out, x.F32)
	case onnx.Double:
		return convertFrom(out, x.F64)
	case onnx.Int64:
		return convertFrom(out, x.I64)
	case onnx.Int32:
		return convertFrom(out, x.I32)
	case onnx.Uint8:
		return convertFrom(out, x.U8)
	case onnx.Int8:
		return convertFrom(out, x.I8)
	}
	return convertFrom(out, bytesOf(x.Bool))
}

// bytesOf reads bools as the bytes 0 and 1 that they are.
func bytesOf(b []bool) []uint8 {
	return unsafe.Slice((*uint8)(unsafe.Pointer(unsafe.SliceData(b))), len(b))
}

// unsigned64 reads the bits of uint64 as real numbers, which hold their upper 53 bits.
func unsigned64(src []int64) []float64 {
	out := make([]float64, len(src))
	for i, v := range src {
		out[i] = float64(uint64(v))
	}
	return out
}

func convertFrom[S number](out *Tensor, src []S) error {
	switch out.Type {
	case onnx.Float:
		convert(out.F32, src)
	case onnx.Double:
		convert(out.F64, src)
	case onnx.Int64:
		convert(out.I64, src)
	case onnx.Int32:
		convert(out.I32, src)
	case onnx.Uint8:
		convertSmall(out.U8, src)
	case onnx.Int8:
		convertSmall(out.I8, src)
	case onnx.Bool:
		for i, v := range src {
			out.Bool[i] = v != 0
		}
	case onnx.Uint64:
		for i, v := range src {
			if float64(v) >= 0x1p63 {
				out.I64[i] = int64(uint64(v))
			} else {
				out.I64[i] = int64(v)
			}
		}
	default:
		return convertRare(out, src)
	}
	return nil
}

// convertRare converts to the types that are held in a wider one.
func convertRare[S number](out *Tensor, src []S) error {
	switch {
	case wideInt(out.Type):
		for i, v := range src {
			out.I64[i] = int64(v)
		}
		out.wrap()
	case storage(out.Type) == onnx.Float:
		for i, v := range src {
			out.F32[i] = float32(v)
		}
		roundFloats(out, out.F32, "up", true)
	default:
		return errType(out.Type)
	}
	return nil
}

// roundFloats fills out, whose type is a small float, with src rounded to it.
func roundFloats(out *Tensor, src []float32, mode string, saturate bool) {
	f, ok := smallFloats[out.Type]
	if !ok {
		return
	}
	for i, v := range src {
		if out.Type == onnx.Float8E8M0 {
			out.F32[i] = powerOfTwo(v, mode, saturate)
		} else {
			out.F32[i] = f.nearest(v, saturate)
		}
	}
}

func convert[D, S number](dst []D, src []S) {
	t := borrow[convertTask[D, S]]()
	t.dst, t.src = dst, src
	kernel.Run(len(src), grain, t)
	giveBack(t)
}

type convertTask[D, S number] struct {
	dst []D
	src []S
}

func (t *convertTask[D, S]) Run(lo, hi int) {
	for i := lo; i < hi; i++ {
		t.dst[i] = D(t.src[i])
	}
}

// convertSmall goes through int64, so that a float wraps the same way on every machine.
func convertSmall[D, S number](dst []D, src []S) {
	for i, v := range src {
		dst[i] = D(int64(v))
	}
}

func castNode(c *call) error { return castTo(c, onnx.DataType(c.node.Int("to", 0))) }

func castTo(c *call, to onnx.DataType) error {
	if !supported(to) {
		return errType(to)
	}
	narrow := narrower(to)
	if narrow == nil && smallFloats[to].max == 0 {
		out, err := c.cast(c.in[0], to)
		c.out[0] = out
		return err
	}
	wide, err := c.cast(c.in[0], onnx.Float)
	if err != nil {
		return err
	}
	defer c.mem.release(wide)
	out, err := c.output(0, widen(to), wide.Shape...)
	if err != nil {
		return err
	}
	if narrow == nil {
		mode, err := c.word("round_mode", "up", "down", "nearest")
		if err != nil {
			return err
		}
		roundFloats(out, wide.F32, mode, c.node.Int("saturate", 1) != 0)
		return nil
	}
	for i, v := range wide.F32 {
		out.F32[i] = narrow(v)
	}
	return nil
}

// narrower rounds a float32 to what float16 or bfloat16 can hold; nil for other types.
func narrower(to onnx.DataType) func(float32) float32 {
	switch to {
	case onnx.Float16:
		return func(v float32) float32 { return onnx.Float16ToFloat32(onnx.Float32ToFloat16(v)) }
	case onnx.BFloat16:
		return func(v float32) float32 { return onnx.BFloat16ToFloat32(onnx.Float32ToBFloat16(v)) }
	}
	return nil
}

func castLike(c *call) error { return castTo(c, c.in[1].Type) }

// bitCast reads the elements' bits as another type of the same size.
func bitCast(c *call) error {
	x, to := c.in[0], onnx.DataType(c.node.Int("to", 0))
	if !supported(to) || narrower(to) != nil || smallFloats[to].max != 0 || smallFloats[x.Type].max != 0 || to == onnx.Bool || x.Type == onnx.Bool {
		return errType(to)
	}
	if to.Bits() != x.Type.Bits() {
		return fmt.Errorf("%s cannot be read as %s, which has another size", typeName(x.Type), typeName(to))
	}
	bits := make([]int64, x.Len())
	for i := range bits {
		switch storage(x.Type) {
		case onnx.Float:
			bits[i] = int64(math.Float32bits(x.F32[i]))
		case onnx.Double:
			bits[i] = int64(math.Float64bits(x.F64[i]))
		case onnx.Int64:
			bits[i] = x.I64[i]
		case onnx.Int32:
			bits[i] = int64(x.I32[i])
		case onnx.Uint8:
			bits[i] = int64(x.U8[i])
		case onnx.Int8:
			bits[i] = int64(x.I8[i])
		}
	}
	out, err := c.output(0, to, x.Shape...)
	if err != nil {
		return err
	}
	switch to {
	case onnx.Float:
		for i, v := range bits {
			out.F32[i] = math.Float32frombits(uint32(v))
		}
	case onnx.Double:
		for i, v := range bits {
			out.F64[i] = math.Float64frombits(uint64(v))
		}
	default:
		return convertFrom(out, bits)
	}
	return nil
}
