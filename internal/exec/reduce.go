package exec

import (
	"fmt"
	"math"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// reduction is a fold over dimensions, with the accumulator in float64 for
// real numbers and int64 for integers.
type reduction struct {
	real    fold[float64]
	integer fold[int64]
	// start is the integer fold's zero where it depends on the type.
	start func(onnx.DataType) int64
}

// fold is: acc := zero; acc = step(acc, x)…; finish(acc, n). A nil step means
// the reduction is not defined on these numbers, a nil finish the identity.
type fold[A any] struct {
	zero   A
	step   func(acc, x A) A
	finish func(acc A, n int) A
}

func sumReduction() reduction {
	return reduction{real: fold[float64]{step: plus[float64]}, integer: fold[int64]{step: plus[int64]}}
}

func meanReduction() reduction {
	return reduction{
		real:    fold[float64]{step: plus[float64], finish: func(a float64, n int) float64 { return a / float64(n) }},
		integer: fold[int64]{step: plus[int64], finish: func(a int64, n int) int64 { return a / int64(max(n, 1)) }},
	}
}

func prodReduction() reduction {
	return reduction{
		real:    fold[float64]{zero: 1, step: func(a, x float64) float64 { return a * x }},
		integer: fold[int64]{zero: 1, step: func(a, x int64) int64 { return a * x }},
	}
}

func maxReduction() reduction {
	return reduction{
		real:    fold[float64]{zero: math.Inf(-1), step: greatest[float64]},
		integer: fold[int64]{step: greatest[int64]},
		start:   func(t onnx.DataType) int64 { lo, _ := bounds(t); return lo },
	}
}

func minReduction() reduction {
	return reduction{
		real:    fold[float64]{zero: math.Inf(1), step: least[float64]},
		integer: fold[int64]{step: least[int64]},
		start:   func(t onnx.DataType) int64 { _, hi := bounds(t); return hi },
	}
}

func l1Reduction() reduction {
	return reduction{
		real:    fold[float64]{step: func(a, x float64) float64 { return a + math.Abs(x) }},
		integer: fold[int64]{step: func(a, x int64) int64 { return a + absInt(x) }},
	}
}

func squareReduction() reduction {
	return reduction{
		real:    fold[float64]{step: func(a, x float64) float64 { return a + x*x }},
		integer: fold[int64]{step: func(a, x int64) int64 { return a + x*x }},
	}
}

func l2Reduction() reduction {
	r := squareReduction()
	r.real.finish = func(a float64, _ int) float64 { return math.Sqrt(a) }
	r.integer.finish = func(a int64, _ int) int64 { return int64(math.Sqrt(float64(a))) }
	return r
}

func logSumReduction() reduction {
	return reduction{real: fold[float64]{step: plus[float64], finish: func(a float64, _ int) float64 { return math.Log(a) }}}
}

func plus[A int64 | float64](a, x A) A { return a + x }

// over is which dimensions a reduction runs over.
type over struct {
	shape        []int // of the result
	kept, keptAt []int // sizes and strides of the kept dimensions
	red, redAt   []int // and of the reduced ones
	count        int   // elements per result
}

// reduced reads the axes of a reduction: attribute or input, all by default.
func (c *call) reduced(x *Tensor) (*over, bool, error) {
	list, given, err := c.intsOr("axes", 1)
	if err != nil {
		return nil, false, err
	}
	if len(list) == 0 {
		if c.node.Int("noop_with_empty_axes", 0) != 0 {
			return nil, true, nil
		}
		given = false
	}
	ax := c.newShape(len(x.Shape))[:0]
	if given {
		if ax, err = c.axes(list, len(x.Shape)); err != nil {
			return nil, false, err
		}
	} else {
		for i := range x.Shape {
			ax = append(ax, i)
		}
	}
	return c.reduceOver(x.Shape, ax, c.node.Int("keepdims", 1) != 0), false, nil
}

func (c *call) reduceOver(shape, ax []int, keep bool) *over {
	o := c.mem.folds.next()
	o.count = 1
	own, rank := c.strides(shape), len(shape)
	o.shape, o.kept, o.keptAt = c.newShape(rank)[:0], c.newShape(rank)[:0], c.newShape(rank)[:0]
	o.red, o.redAt = c.newShape(rank)[:0], c.newShape(rank)[:0]
	k := 0
	for d, size := range shape {
		if k < len(ax) && ax[k] == d {
			k++
			o.red, o.redAt = append(o.red, size), append(o.redAt, own[d])
			o.count *= size
			if keep {
				o.shape = append(o.shape, 1)
			}
			continue
		}
		o.shape = append(o.shape, size)
		o.kept, o.keptAt = append(o.kept, size), append(o.keptAt, own[d])
	}
	// In place: what is written lies before what is read.
	o.kept, o.keptAt = collapseInto(o.kept[:0], o.keptAt[:0], o.kept, o.keptAt)
	o.red, o.redAt = collapseInto(o.red[:0], o.redAt[:0], o.red, o.redAt)
	return o
}

func reduce(r reduction) func(*call) error {
	return func(c *call) error {
		x := c.in[0]
		o, noop, err := c.reduced(x)
		if err != nil {
			return err
		}
		if noop {
			o = c.reduceOver(x.Shape, nil, false)
		}
		out, err := c.output(0, x.Type, o.shape...)
		if err != nil {
			return err
		}
		ints := r.integer
		if r.start != nil {
			ints.zero = r.start(x.Type)
		}
		switch x.Type {
		case onnx.Float:
			return foldOver(o, r.real, out.F32, x.F32)
		case onnx.Double:
			return foldOver(o, r.real, out.F64, x.F64)
		case onnx.Int64:
			return foldOver(o, ints, out.I64, x.I64)
		case onnx.Int32:
			return foldOver(o, ints, out.I32, x.I32)
		case onnx.Uint8:
			return foldOver(o, ints, out.U8, x.U8)
		case onnx.Int8:
			return foldOver(o, ints, out.I8, x.I8)
		case onnx.Bool:
			return reduceBool(o, ints, out.Bool, x.Bool)
		}
		if !wideInt(x.Type) {
			return errType(x.Type)
		}
		if x.Type == onnx.Uint64 && r.start != nil {
			err = foldOver(o, ints, out.I64, flipSign(x.I64))
			copy(out.I64, flipSign(out.I64))
			return err
		}
		defer out.wrap()
		return foldOver(o, ints, out.I64, x.I64)
	}
}

func foldOver[T number, A int64 | float64](o *over, f fold[A], dst, src []T) error {
	if f.step == nil {
		return fmt.Errorf("not defined on integers: %w", ErrType)
	}
	t := borrow[foldTask[T, A]]()
	*t = foldTask[T, A]{o: o, f: f, dst: dst, src: src}
	kernel.Run(len(dst), max(1, grain/4/max(o.count, 1)), t)
	giveBack(t)
	return nil
}

type foldTask[T number, A int64 | float64] struct {
	o        *over
	f        fold[A]
	dst, src []T
}

func (t *foldTask[T, A]) Run(lo, hi int) {
	o, f := t.o, &t.f
	walkStrided(o.kept, o.keptAt, lo, hi, func(i, base int) {
		acc := f.zero
		walkStrided(o.red, o.redAt, 0, o.count, func(_, at int) { acc = f.step(acc, A(t.src[base+at])) })
		if f.finish != nil {
			acc = f.finish(acc, o.count)
		}
		t.dst[i] = T(acc)
	})
}

// reduceBool is a maximum or minimum of bools, false < true.
func reduceBool(o *over, f fold[int64], dst, src []bool) error {
	bits, out := make([]uint8, len(src)), make([]uint8, len(dst))
	for i, b := range src {
		if b {
			bits[i] = 1
		}
	}
	f.zero = min(max(f.zero, 0), 1)
	err := foldOver(o, f, out, bits)
	for i, v := range out {
		dst[i] = v != 0
	}
	return err
}

// walkStrided calls f(i, offset) for the indices lo ≤ i < hi of a strided shape, in order.
func walkStrided(shape, stride []int, lo, hi int, f func(i, at int)) {
	switch len(shape) {
	case 0:
		if lo < hi {
			f(lo, 0)
		}
		return
	case 1:
		for i := lo; i < hi; i++ {
			f(i, i*stride[0])
		}
		return
	}
	var room [maxLoop]int
	index := room[:]
	if len(shape) > maxLoop {
		index = make([]int, len(shape))
	}
	at, rest := 0, lo
	for d := len(shape) - 1; d >= 0; d-- {
		if shape[d] == 0 {
			return
		}
		index[d] = rest % shape[d]
		rest /= shape[d]
		at += index[d] * stride[d]
	}
	for i := lo; i < hi; i++ {
		f(i, at)
		for d := len(shape) - 1; d >= 0; d-- {
			index[d]++
			at += stride[d]
			if index[d] < shape[d] {
				break
			}
			at -= index[d] * stride[d]
			index[d] = 0
		}
	}
}

// reduceLogSumExp subtracts the maximum before exponentiating.
func reduceLogSumExp(c *call) error {
	x := c.in[0]
	o, noop, err := c.reduced(x)
	if err != nil {
		return err
	}
	if noop {
		return identity(c)
	}
	out, err := c.output(0, x.Type, o.shape...)
	if err != nil {
		return err
	}
	switch x.Type {
	case onnx.Float:
		logSumExp(o, out.F32, x.F32)
	case onnx.Double:
		logSumExp(o, out.F64, x.F64)
	default:
		return errType(x.Type)
	}
	return nil
}

func logSumExp[T float32 | float64](o *over, dst, src []T) {
	walkStrided(o.kept, o.keptAt, 0, len(dst), func(i, base int) {
		top := math.Inf(-1)
		walkStrided(o.red, o.redAt, 0, o.count, func(_, at int) { top = max(top, float64(src[base+at])) })
		if math.IsInf(top, 0) {
			dst[i] = T(top)
			return
		}
		sum := 0.0
		walkStrided(o.red, o.redAt, 0, o.count, func(_, at int) { sum += math.Exp(float64(src[base+at]) - top) })
		dst[i] = T(top + math.Log(sum))
	})
}

// cumSum adds up along one axis.
func cumSum(c *call) error {
	x := c.in[0]
	a, err := c.scalar(1, 0)
	if err != nil {
		return err
	}
	d, err := axis(a, len(x.Shape))
	if err != nil {
		return err
	}
	out, err := c.output(0, x.Type, x.Shape...)
	if err != nil {
		return err
	}
	ex, rev := c.node.Int("exclusive", 0) != 0, c.node.Int("reverse", 0) != 0
	n, inner := x.Shape[d], product(x.Shape[d+1:])
	switch x.Type {
	case onnx.Float:
		scan(out.F32, x.F32, n, inner, ex, rev)
	case onnx.Double:
		scan(out.F64, x.F64, n, inner, ex, rev)
	case onnx.Int64:
		scan(out.I64, x.I64, n, inner, ex, rev)
	case onnx.Int32:
		scan(out.I32, x.I32, n, inner, ex, rev)
	case onnx.Uint32, onnx.Uint64:
		scan(out.I64, x.I64, n, inner, ex, rev)
		out.wrap()
	default:
		return errType(x.Type)
	}
	return nil
}

func scan[T number](dst, src []T, n, inner int, exclusive, reverse bool) {
	for lane := 0; n > 0 && lane < len(src)/n; lane++ {
		at := lane/inner*inner*n + lane%inner
		step := inner
		if reverse {
			at += (n - 1) * inner
			step = -inner
		}
		var acc T
		for i := 0; i < n; i++ {
			x := src[at]
			if exclusive {
				dst[at] = acc
				acc += x
			} else {
				acc += x
				dst[at] = acc
			}
			at += step
		}
	}
}
