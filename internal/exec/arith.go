package exec

import (
	"fmt"
	"math"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// row computes one run of a binary operation; sa and sb are 0 (one element
// for the whole run) or 1.
type row[T, R any] func(dst []R, a, b []T, sa, sb int)

// binaryOp holds an operation's runs for every element type; nil where undefined.
type binaryOp struct {
	f32 row[float32, float32]
	f64 row[float64, float64]
	i64 row[int64, int64]
	i32 row[int32, int32]
	u8  row[uint8, uint8]
	i8  row[int8, int8]
	// u64 is for bit patterns of uint64, nil where i64 serves; ordered says
	// that i64 serves on bits in the order of int64.
	u64     row[int64, int64]
	ordered bool
	// divides makes a zero in an integer right-hand side an error.
	divides bool
}

func addRow[T number](dst, a, b []T, sa, sb int) {
	switch {
	case sa == 1 && sb == 1:
		a, b = a[:len(dst)], b[:len(dst)]
		for i := range dst {
			dst[i] = a[i] + b[i]
		}
	case sa == 1:
		a, y := a[:len(dst)], b[0]
		for i := range dst {
			dst[i] = a[i] + y
		}
	case sb == 1:
		addRow(dst, b, a, 1, 0)
	default:
		fill(dst, a[0]+b[0])
	}
}

// addFloats is addRow in the kernel's vectors.
func addFloats(dst, a, b []float32, sa, sb int) {
	if sa == 1 && sb == 1 {
		kernel.Add(dst, a, b)
		return
	}
	addRow(dst, a, b, sa, sb)
}

func subRow[T number](dst, a, b []T, sa, sb int) {
	switch {
	case sa == 1 && sb == 1:
		a, b = a[:len(dst)], b[:len(dst)]
		for i := range dst {
			dst[i] = a[i] - b[i]
		}
	case sa == 1:
		a, y := a[:len(dst)], b[0]
		for i := range dst {
			dst[i] = a[i] - y
		}
	case sb == 1:
		x, b := a[0], b[:len(dst)]
		for i := range dst {
			dst[i] = x - b[i]
		}
	default:
		fill(dst, a[0]-b[0])
	}
}

func mulRow[T number](dst, a, b []T, sa, sb int) {
	switch {
	case sa == 1 && sb == 1:
		a, b = a[:len(dst)], b[:len(dst)]
		for i := range dst {
			dst[i] = a[i] * b[i]
		}
	case sa == 1:
		a, y := a[:len(dst)], b[0]
		for i := range dst {
			dst[i] = a[i] * y
		}
	case sb == 1:
		mulRow(dst, b, a, 1, 0)
	default:
		fill(dst, a[0]*b[0])
	}
}

func divRow[T number](dst, a, b []T, sa, sb int) {
	switch {
	case sa == 1 && sb == 1:
		a, b = a[:len(dst)], b[:len(dst)]
		for i := range dst {
			dst[i] = a[i] / b[i]
		}
	case sa == 1:
		a, y := a[:len(dst)], b[0]
		for i := range dst {
			dst[i] = a[i] / y
		}
	case sb == 1:
		x, b := a[0], b[:len(dst)]
		for i := range dst {
			dst[i] = x / b[i]
		}
	default:
		fill(dst, a[0]/b[0])
	}
}

func fill[T any](dst []T, v T) {
	for i := range dst {
		dst[i] = v
	}
}

// each makes a run of an element operation.
func each[T, R any](f func(x, y T) R) row[T, R] {
	return func(dst []R, a, b []T, sa, sb int) {
		i, j := 0, 0
		for k := range dst {
			dst[k] = f(a[i], b[j])
			i += sa
			j += sb
		}
	}
}

func least[T number](x, y T) T    { return min(x, y) }
func greatest[T number](x, y T) T { return max(x, y) }

func pow[T number](x, y T) T {
	return T(math.Pow(float64(x), float64(y)))
}

// ipow is exact integer power; a negative exponent truncates to 0 but for ±1.
func ipow[T int64 | int32 | int8 | uint8](x, y T) T {
	if y < 0 {
		switch {
		case x == 1:
			return 1
		case x+1 == 0 && y%2 == 0:
			return 1
		case x+1 == 0:
			return x
		}
		return 0
	}
	r := T(1)
	for ; y > 0; y >>= 1 {
		if y&1 == 1 {
			r *= x
		}
		x *= x
	}
	return r
}

// modulo has the sign of the divisor (Python), fmod = 0.
func modulo[T int64 | int32 | int8 | uint8](x, y T) T {
	r := x % y
	if r != 0 && (r < 0) != (y < 0) {
		r += y
	}
	return r
}

func remainder[T int64 | int32 | int8 | uint8](x, y T) T { return x % y }

func fmod[T float32 | float64](x, y T) T { return T(math.Mod(float64(x), float64(y))) }

func addOp() binaryOp {
	return binaryOp{f32: addFloats, f64: addRow[float64], i64: addRow[int64], i32: addRow[int32], u8: addRow[uint8], i8: addRow[int8]}
}

func subOp() binaryOp {
	return binaryOp{f32: subRow[float32], f64: subRow[float64], i64: subRow[int64], i32: subRow[int32], u8: subRow[uint8], i8: subRow[int8]}
}

func mulOp() binaryOp {
	return binaryOp{f32: mulRow[float32], f64: mulRow[float64], i64: mulRow[int64], i32: mulRow[int32], u8: mulRow[uint8], i8: mulRow[int8]}
}

func divOp() binaryOp {
	return binaryOp{f32: divRow[float32], f64: divRow[float64], i64: divRow[int64], i32: divRow[int32], u8: divRow[uint8], i8: divRow[int8], u64: each(divBits), divides: true}
}

func minOp() binaryOp {
	return binaryOp{f32: each(least[float32]), f64: each(least[float64]), i64: each(least[int64]), i32: each(least[int32]), u8: each(least[uint8]), i8: each(least[int8]), ordered: true}
}

func maxOp() binaryOp {
	return binaryOp{f32: each(greatest[float32]), f64: each(greatest[float64]), i64: each(greatest[int64]), i32: each(greatest[int32]), u8: each(greatest[uint8]), i8: each(greatest[int8]), ordered: true}
}

func powOp() binaryOp {
	return binaryOp{f32: powRow, f64: each(pow[float64]), i64: each(ipow[int64]), i32: each(ipow[int32]), u8: each(ipow[uint8]), i8: each(ipow[int8])}
}

// powRow spares math.Pow for the squares and roots of unfused LayerNorm and GELU.
func powRow(dst, a, b []float32, sa, sb int) {
	if sa == 1 && sb == 0 {
		a = a[:len(dst)]
		switch b[0] {
		case 2:
			for i, x := range a {
				dst[i] = x * x
			}
			return
		case 3:
			for i, x := range a {
				dst[i] = x * x * x
			}
			return
		case 0.5:
			for i, x := range a {
				dst[i] = float32(math.Sqrt(float64(x)))
			}
			return
		}
	}
	each(pow[float32])(dst, a, b, sa, sb)
}

func modOp() binaryOp {
	return binaryOp{i64: each(modulo[int64]), i32: each(modulo[int32]), u8: each(modulo[uint8]), i8: each(modulo[int8]), u64: each(modBits), divides: true}
}

func fmodOp() binaryOp {
	return binaryOp{f32: each(fmod[float32]), f64: each(fmod[float64]), i64: each(remainder[int64]), i32: each(remainder[int32]),
		u8: each(remainder[uint8]), i8: each(remainder[int8]), u64: each(modBits), divides: true}
}

// arithmetic runs a binary operation on two operands of one type.
func arithmetic(op binaryOp) func(*call) error {
	return func(c *call) error {
		return op.apply(c, c.in[0], c.in[1], true)
	}
}

// power lets the exponent have another type than the base (opset 12).
func power(op binaryOp) func(*call) error {
	return func(c *call) error {
		x, y := c.in[0], c.in[1]
		if x.Type == y.Type {
			return op.apply(c, x, y, true)
		}
		// A float exponent of an integer base is computed in float64, then truncated.
		common := y.Type
		if x.Type == onnx.Float || x.Type == onnx.Double {
			common = x.Type
		} else if y.Type == onnx.Float {
			common = onnx.Double
		} else if y.Type != onnx.Double {
			common = onnx.Int64
		}
		cx, err := c.cast(x, common)
		if err != nil {
			return err
		}
		defer c.mem.release(cx)
		cy, err := c.cast(y, common)
		if err != nil {
			return err
		}
		defer c.mem.release(cy)
		if err := op.apply(c, cx, cy, false); err != nil || common == x.Type {
			return err
		}
		wide := c.out[0]
		c.out[0], err = c.cast(wide, x.Type)
		c.mem.release(wide)
		return err
	}
}

// variadic folds an operation over one or more operands (Min, Max, Sum).
func variadic(op binaryOp) func(*call) error {
	return func(c *call) error {
		if len(c.in) == 1 {
			c.view(0, c.in[0], c.in[0].Shape)
			return nil
		}
		acc := c.in[0]
		for i := 1; i < len(c.in); i++ {
			if c.in[i] == nil {
				return fmt.Errorf("input %d is missing", i)
			}
			if err := op.apply(c, acc, c.in[i], false); err != nil {
				return err
			}
			if i > 1 {
				c.mem.release(acc)
			}
			acc = c.out[0]
		}
		return nil
	}
}

func mean(c *call) error {
	if err := variadic(addOp())(c); err != nil {
		return err
	}
	sum, n := c.out[0], float64(len(c.in))
	var err error
	switch sum.Type {
	case onnx.Float:
		if len(c.in) == 1 {
			return nil
		}
		for i := range sum.F32 {
			sum.F32[i] /= float32(n)
		}
	case onnx.Double:
		if len(c.in) == 1 {
			return nil
		}
		for i := range sum.F64 {
			sum.F64[i] /= n
		}
	default:
		err = errType(sum.Type)
	}
	return err
}

func mod(c *call) error {
	if c.node.Int("fmod", 0) != 0 {
		return fmodOp().apply(c, c.in[0], c.in[1], true)
	}
	return modOp().apply(c, c.in[0], c.in[1], true)
}

// apply makes output 0 = x op y. reuse says that x and y are inputs 0 and 1,
// whose buffers may be taken over.
func (op binaryOp) apply(c *call, x, y *Tensor, reuse bool) error {
	if x.Type != y.Type {
		return fmt.Errorf("operands are %s and %s; both must have one type", typeName(x.Type), typeName(y.Type))
	}
	if op.divides && hasZero(y) {
		return fmt.Errorf("division of %s by zero", typeName(y.Type))
	}
	b, err := c.broadcast(x.Shape, y.Shape)
	if err != nil {
		return err
	}
	var out *Tensor
	switch {
	case reuse && c.owned(0) && sameShape(x.Shape, b.shape):
		out, err = c.like(0)
	case reuse && c.owned(1) && sameShape(y.Shape, b.shape):
		c.view(0, y, y.Shape)
		out = c.out[0]
	default:
		out, err = c.output(0, x.Type, b.shape...)
	}
	if err != nil {
		return err
	}
	switch {
	case x.Type == onnx.Float && op.f32 != nil:
		walk(b, op.f32, out.F32, x.F32, y.F32)
	case x.Type == onnx.Double && op.f64 != nil:
		walk(b, op.f64, out.F64, x.F64, y.F64)
	case x.Type == onnx.Int64 && op.i64 != nil:
		walk(b, op.i64, out.I64, x.I64, y.I64)
	case x.Type == onnx.Int32 && op.i32 != nil:
		walk(b, op.i32, out.I32, x.I32, y.I32)
	case x.Type == onnx.Uint8 && op.u8 != nil:
		walk(b, op.u8, out.U8, x.U8, y.U8)
	case x.Type == onnx.Int8 && op.i8 != nil:
		walk(b, op.i8, out.I8, x.I8, y.I8)
	case wideInt(x.Type) && op.i64 != nil:
		op.applyWide(b, out, x, y)
	default:
		return errType(x.Type)
	}
	return nil
}

// applyWide is apply for integers that are held in I64.
func (op binaryOp) applyWide(b *broadcast, out, x, y *Tensor) {
	switch {
	case x.Type != onnx.Uint64:
		walk(b, op.i64, out.I64, x.I64, y.I64)
		out.wrap()
	case op.u64 != nil:
		walk(b, op.u64, out.I64, x.I64, y.I64)
	case op.ordered:
		walk(b, op.i64, out.I64, flipSign(x.I64), flipSign(y.I64))
		copy(out.I64, flipSign(out.I64))
	default: // the same bits, signed or not
		walk(b, op.i64, out.I64, x.I64, y.I64)
	}
}

func divBits(x, y int64) int64 { return int64(uint64(x) / uint64(y)) }
func modBits(x, y int64) int64 { return int64(uint64(x) % uint64(y)) }

func hasZero(t *Tensor) bool {
	switch storage(t.Type) {
	case onnx.Int64:
		return contains(t.I64, 0)
	case onnx.Int32:
		return contains(t.I32, 0)
	case onnx.Uint8:
		return contains(t.U8, 0)
	case onnx.Int8:
		return contains(t.I8, 0)
	}
	return false
}

func contains[T comparable](s []T, v T) bool {
	for _, x := range s {
		if x == v {
			return true
		}
	}
	return false
}
