package exec

import (
	"fmt"
	"math"

	"github.com/litekit/lite/onnx"
)

// relation compares two operands of one type.
type relation struct {
	f32  row[float32, bool]
	f64  row[float64, bool]
	i64  row[int64, bool]
	i32  row[int32, bool]
	u8   row[uint8, bool]
	i8   row[int8, bool]
	bool row[bool, bool]
}

func equal[T comparable](x, y T) bool    { return x == y }
func less[T number](x, y T) bool         { return x < y }
func lessEqual[T number](x, y T) bool    { return x <= y }
func greater[T number](x, y T) bool      { return x > y }
func greaterEqual[T number](x, y T) bool { return x >= y }

func equalOp() relation {
	return relation{each(equal[float32]), each(equal[float64]), each(equal[int64]), each(equal[int32]), each(equal[uint8]), each(equal[int8]), each(equal[bool])}
}

func lessOp() relation {
	return relation{each(less[float32]), each(less[float64]), each(less[int64]), each(less[int32]), each(less[uint8]), each(less[int8]), nil}
}

func lessEqualOp() relation {
	return relation{each(lessEqual[float32]), each(lessEqual[float64]), each(lessEqual[int64]), each(lessEqual[int32]), each(lessEqual[uint8]), each(lessEqual[int8]), nil}
}

func greaterOp() relation {
	return relation{each(greater[float32]), each(greater[float64]), each(greater[int64]), each(greater[int32]), each(greater[uint8]), each(greater[int8]), nil}
}

func greaterEqualOp() relation {
	return relation{each(greaterEqual[float32]), each(greaterEqual[float64]), each(greaterEqual[int64]), each(greaterEqual[int32]), each(greaterEqual[uint8]), each(greaterEqual[int8]), nil}
}

func boolOp(f func(x, y bool) bool) relation { return relation{bool: each(f)} }

func compare(op relation) func(*call) error {
	return func(c *call) error {
		x, y := c.in[0], c.in[1]
		if x.Type != y.Type {
			return fmt.Errorf("operands are %s and %s; both must have one type", typeName(x.Type), typeName(y.Type))
		}
		b, err := c.broadcast(x.Shape, y.Shape)
		if err != nil {
			return err
		}
		out, err := c.output(0, onnx.Bool, b.shape...)
		if err != nil {
			return err
		}
		switch {
		case x.Type == onnx.Float && op.f32 != nil:
			walk(b, op.f32, out.Bool, x.F32, y.F32)
		case x.Type == onnx.Double && op.f64 != nil:
			walk(b, op.f64, out.Bool, x.F64, y.F64)
		case x.Type == onnx.Int64 && op.i64 != nil:
			walk(b, op.i64, out.Bool, x.I64, y.I64)
		case x.Type == onnx.Int32 && op.i32 != nil:
			walk(b, op.i32, out.Bool, x.I32, y.I32)
		case x.Type == onnx.Uint8 && op.u8 != nil:
			walk(b, op.u8, out.Bool, x.U8, y.U8)
		case x.Type == onnx.Int8 && op.i8 != nil:
			walk(b, op.i8, out.Bool, x.I8, y.I8)
		case x.Type == onnx.Bool && op.bool != nil:
			walk(b, op.bool, out.Bool, x.Bool, y.Bool)
		case wideInt(x.Type) && op.i64 != nil:
			walk(b, op.i64, out.Bool, x.orderedInts(), y.orderedInts())
		case storage(x.Type) == onnx.Float && op.f32 != nil:
			walk(b, op.f32, out.Bool, x.F32, y.F32)
		default:
			return errType(x.Type)
		}
		return nil
	}
}

func not(c *call) error {
	x := c.in[0]
	if x.Type != onnx.Bool {
		return errType(x.Type)
	}
	out, err := c.like(0)
	if err != nil {
		return err
	}
	for i, v := range x.Bool {
		out.Bool[i] = !v
	}
	return nil
}

// classify makes a bool of every float (IsNaN, IsInf).
func classify(f func(float64) bool) func(*call) error {
	return func(c *call) error {
		x := c.in[0]
		out, err := c.output(0, onnx.Bool, x.Shape...)
		if err != nil {
			return err
		}
		switch x.Type {
		case onnx.Float:
			for i, v := range x.F32 {
				out.Bool[i] = f(float64(v))
			}
		case onnx.Double:
			for i, v := range x.F64 {
				out.Bool[i] = f(v)
			}
		default:
			return errType(x.Type)
		}
		return nil
	}
}

func isInf(c *call) error {
	pos, neg := c.node.Int("detect_positive", 1) != 0, c.node.Int("detect_negative", 1) != 0
	return classify(func(v float64) bool { return pos && math.IsInf(v, 1) || neg && math.IsInf(v, -1) })(c)
}

func where(c *call) error {
	cond, x, y := c.in[0], c.in[1], c.in[2]
	if cond.Type != onnx.Bool {
		return fmt.Errorf("the condition is %s; bool is needed", typeName(cond.Type))
	}
	if x.Type != y.Type {
		return fmt.Errorf("the branches are %s and %s; both must have one type", typeName(x.Type), typeName(y.Type))
	}
	b, err := c.broadcast(cond.Shape, x.Shape, y.Shape)
	if err != nil {
		return err
	}
	out, err := c.output(0, x.Type, b.shape...)
	if err != nil {
		return err
	}
	switch storage(x.Type) {
	case onnx.Float:
		choose(b, out.F32, cond.Bool, x.F32, y.F32)
	case onnx.Double:
		choose(b, out.F64, cond.Bool, x.F64, y.F64)
	case onnx.Int64:
		choose(b, out.I64, cond.Bool, x.I64, y.I64)
	case onnx.Int32:
		choose(b, out.I32, cond.Bool, x.I32, y.I32)
	case onnx.Uint8:
		choose(b, out.U8, cond.Bool, x.U8, y.U8)
	case onnx.Int8:
		choose(b, out.I8, cond.Bool, x.I8, y.I8)
	default:
		choose(b, out.Bool, cond.Bool, x.Bool, y.Bool)
	}
	return nil
}

// chooseTask is Where on the runs of a broadcast.
type chooseTask[T any] struct {
	b    *broadcast
	dst  []T
	cond []bool
	x, y []T
}

func choose[T any](b *broadcast, dst []T, cond []bool, x, y []T) {
	t := borrow[chooseTask[T]]()
	t.b, t.dst, t.cond, t.x, t.y = b, dst, cond, x, y
	b.run(t)
	giveBack(t)
}

func (t *chooseTask[T]) Run(lo, hi int) {
	b, last := t.b, len(t.b.dims)-1
	if last == 0 {
		t.row(t.dst[lo:hi], lo*b.inner(0), lo*b.inner(1), lo*b.inner(2))
		return
	}
	n := b.dims[last]
	var at runs
	b.seek(&at, lo)
	for r := lo; r < hi; r++ {
		t.row(t.dst[r*n:(r+1)*n], at.pos[0], at.pos[1], at.pos[2])
		b.step(&at)
	}
}

// row chooses the elements of one run, which starts at i, j and k in the operands.
func (t *chooseTask[T]) row(dst []T, i, j, k int) {
	sc, sx, sy := t.b.inner(0), t.b.inner(1), t.b.inner(2)
	for e := range dst {
		if t.cond[i] {
			dst[e] = t.x[j]
		} else {
			dst[e] = t.y[k]
		}
		i, j, k = i+sc, j+sx, k+sy
	}
}
