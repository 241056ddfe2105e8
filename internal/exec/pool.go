package exec

import (
	"fmt"
	"math"
	"slices"

	"github.com/litekit/lite/onnx"
)

func poolOps() map[string]operator {
	return map[string]operator{
		"MaxPool":           {run: maxPool, inputs: 1},
		"AveragePool":       {run: byReal(averagePool[float32, float64], averagePool[float64, float64]), inputs: 1},
		"LpPool":            {run: byReal(lpPool[float32], lpPool[float64]), inputs: 1},
		"MaxUnpool":         {run: byReal(maxUnpool[float32], maxUnpool[float64]), inputs: 2},
		"GlobalAveragePool": {run: byReal(globalPool[float32](averageOf), globalPool[float64](averageOf)), inputs: 1},
		"GlobalMaxPool":     {run: byReal(globalPool[float32](maximumOf), globalPool[float64](maximumOf)), inputs: 1},
		"GlobalLpPool":      {run: byReal(globalPool[float32](normOf), globalPool[float64](normOf)), inputs: 1},
	}
}

// pooling makes the window and the output 0 of a pooling operator.
func (c *call) pooling() (*sliding, *Tensor, error) {
	x := c.in[0]
	if err := c.needRank(0, 3); err != nil {
		return nil, nil, err
	}
	if c.node.Ints("kernel_shape") == nil {
		return nil, nil, fmt.Errorf("attribute kernel_shape is missing")
	}
	w, err := c.newWindow(x.Shape[2:], nil)
	if err != nil {
		return nil, nil, err
	}
	if err := w.slide(c, c.node.Int("ceil_mode", 0) != 0); err != nil {
		return nil, nil, err
	}
	out, err := c.invent(0, x.Type, slices.Concat(x.Shape[:2], w.spatialOut())...)
	return w, out, err
}

// taps are the elements of a channel that lie under the window.
type taps struct {
	w             *sliding
	start, lo, hi [3]int // as [sliding.taps] gives them
}

// visit calls f with the place of each in the channel.
func (t *taps) visit(f func(from int)) {
	w := t.w
	for kz := t.lo[0]; kz < t.hi[0]; kz++ {
		z := t.start[0] + kz*w.dilation[0]
		for ky := t.lo[1]; ky < t.hi[1]; ky++ {
			row := (z*w.in[1] + t.start[1] + ky*w.dilation[1]) * w.in[2]
			for kx := t.lo[2]; kx < t.hi[2]; kx++ {
				f(row + t.start[2] + kx*w.dilation[2])
			}
		}
	}
}

// each calls f for every output position of a channel with the taps that fall
// inside the input. It ends early when the run is to end: a channel may be a
// whole image.
func (c *call) each(w *sliding, f func(at int, t *taps)) {
	t := &taps{w: w}
	at, work := 0, lookAfter
	for z := range w.out[0] {
		t.start[0], t.lo[0], t.hi[0] = w.taps(0, z)
		for y := range w.out[1] {
			t.start[1], t.lo[1], t.hi[1] = w.taps(1, y)
			for x := range w.out[2] {
				if work -= w.kernelSize; work < 0 {
					if work = lookAfter; c.stopped() {
						return
					}
				}
				t.start[2], t.lo[2], t.hi[2] = w.taps(2, x)
				f(at, t)
				at++
			}
		}
	}
}

// perChannel spreads the channels of a pooling over threads.
func (c *call) perChannel(w *sliding, count int, f func(channel int)) {
	c.parallel(count, max(1, grain/max(1, w.outVolume)), func(lo, hi int) {
		for i := lo; i < hi && !c.stopped(); i++ {
			f(i)
		}
	})
}

// maxPool is MaxPool (opset 1, 8, 10, 11, 12, 22): the largest element under
// the window and, as output 1, its index in the whole input, counted along
// rows or (storage_order 1) columns first. The first of equals counts.
func maxPool(c *call) error {
	w, out, err := c.pooling()
	if err != nil {
		return err
	}
	var where []int64
	if c.wants(1) {
		idx, err := c.output(1, onnx.Int64, out.Shape...)
		if err != nil {
			return err
		}
		where = idx.I64
	}
	columns := c.node.Int("storage_order", 0) != 0
	switch x := c.in[0]; x.Type {
	case onnx.Float, onnx.Float16, onnx.BFloat16:
		largest(c, w, out.F32, x.F32, where, float32(math.Inf(-1)), columns)
	case onnx.Double:
		largest(c, w, out.F64, x.F64, where, math.Inf(-1), columns)
	case onnx.Uint8:
		largest(c, w, out.U8, x.U8, where, 0, columns)
	case onnx.Int8:
		largest(c, w, out.I8, x.I8, where, math.MinInt8, columns)
	default:
		return errType(x.Type)
	}
	return nil
}

func largest[T number](c *call, w *sliding, dst, src []T, where []int64, least T, columns bool) {
	if len(dst) == 0 {
		return
	}
	c.perChannel(w, len(dst)/w.outVolume, func(ch int) {
		x := src[ch*w.inSize : (ch+1)*w.inSize]
		c.each(w, func(at int, t *taps) {
			top, pos := least, -1
			t.visit(func(from int) {
				if v := x[from]; pos < 0 || v > top || v != v {
					top, pos = v, from
				}
			})
			dst[ch*w.outVolume+at] = top
			if where == nil {
				return
			}
			if columns && pos >= 0 {
				px, py, pz := pos%w.in[2], pos/w.in[2]%w.in[1], pos/w.in[2]/w.in[1]
				switch w.rank {
				case 2:
					pos = py + px*w.in[1]
				case 3:
					pos = pz + w.in[0]*(py+w.in[1]*px)
				}
			}
			where[ch*w.outVolume+at] = int64(ch*w.inSize + pos)
		})
	})
}

// averagePool is AveragePool (opset 1, 7, 10, 11, 19, 22): the mean of the
// elements under the window; with count_include_pad the zeros of the pads
// count too, but not what ceil_mode adds beyond them. Sums are of type S.
func averagePool[T, S real](c *call) error {
	w, out, err := c.pooling()
	if err != nil || out.Len() == 0 {
		return err
	}
	src, dst := data[T](c.in[0]), data[T](out)
	padded := c.node.Int("count_include_pad", 0) != 0
	full := *w // the window over the padded input, to count with
	for d := range full.in {
		full.in[d], full.before[d] = w.in[d]+w.before[d]+w.after[d], 0
	}
	counts := make([]int, w.outVolume)
	counter := w
	if padded {
		counter = &full
	}
	counter.counts(counts)
	c.perChannel(w, len(dst)/w.outVolume, func(ch int) {
		x := src[ch*w.inSize : (ch+1)*w.inSize]
		c.each(w, func(at int, t *taps) {
			var sum S
			t.visit(func(from int) { sum += S(x[from]) })
			dst[ch*w.outVolume+at] = T(sum / S(counts[at]))
		})
	})
	return nil
}

// counts is how many taps fall inside the input for each output position.
func (w *sliding) counts(dst []int) {
	at := 0
	var n [3]int
	for z := range w.out[0] {
		_, lo, hi := w.taps(0, z)
		n[0] = hi - lo
		for y := range w.out[1] {
			_, lo, hi := w.taps(1, y)
			n[1] = hi - lo
			for x := range w.out[2] {
				_, lo, hi := w.taps(2, x)
				dst[at] = n[0] * n[1] * (hi - lo)
				at++
			}
		}
	}
}

// power is the attribute p of the Lp operators: an integer, before opset 2 a float.
func (c *call) power() float64 {
	if a := c.node.Attr("p"); a != nil {
		if a.Type == onnx.AttrFloat {
			return float64(a.Float)
		}
		return float64(a.Int)
	}
	return 2
}

// lpPool is LpPool (opset 1, 2, 11, 18, 22): (Σ |x|^p)^(1/p) under the window.
func lpPool[T real](c *call) error {
	w, out, err := c.pooling()
	if err != nil || out.Len() == 0 {
		return err
	}
	src, dst, p := data[T](c.in[0]), data[T](out), c.power()
	c.perChannel(w, len(dst)/w.outVolume, func(ch int) {
		x := src[ch*w.inSize : (ch+1)*w.inSize]
		c.each(w, func(at int, t *taps) {
			sum := 0.0
			t.visit(func(from int) { sum += math.Pow(math.Abs(float64(x[from])), p) })
			dst[ch*w.outVolume+at] = T(math.Pow(sum, 1/p))
		})
	})
	return nil
}

// maxUnpool is MaxUnpool (opset 9, 11, 22): the elements of input 0 go to the
// indices of input 1 (as MaxPool made them), the rest is zero. Where input 2
// gives a larger shape, the result of the usual one lies in its corner.
func maxUnpool[T real](c *call) error {
	x := c.in[0]
	if err := c.needRank(0, 3); err != nil {
		return err
	}
	idx, err := c.ints(1)
	if err != nil {
		return err
	}
	if len(idx) != x.Len() {
		return fmt.Errorf("indices of shape %v for an input of shape %v", c.in[1].Shape, x.Shape)
	}
	if c.node.Ints("kernel_shape") == nil {
		return fmt.Errorf("attribute kernel_shape is missing")
	}
	w, err := c.newWindow(x.Shape[2:], nil)
	if err != nil {
		return err
	}
	if err := w.unslide(c); err != nil {
		return err
	}
	usual := slices.Concat(x.Shape[:2], w.in[3-w.rank:])
	shape := usual
	if c.arg(2) != nil {
		if shape, err = c.dims(2); err != nil {
			return err
		}
		if len(shape) != len(usual) {
			return fmt.Errorf("an output shape %v for an input of shape %v", shape, x.Shape)
		}
	}
	out, err := c.invent(0, x.Type, shape...)
	if err != nil {
		return err
	}
	src, dst := data[T](x), data[T](out)
	clear(dst)
	to := strides(shape)
	total, _ := elements(usual)
	for i, k := range idx {
		if i%lookAfter == 0 && c.stopped() {
			return nil
		}
		if k < 0 || k >= int64(total) {
			return fmt.Errorf("index %d is outside a value of shape %v", k, usual)
		}
		at, rest := 0, int(k)
		for d := len(usual) - 1; d >= 0; d-- {
			p := rest % usual[d]
			rest /= usual[d]
			if p >= shape[d] {
				return fmt.Errorf("index %d is outside the output shape %v", k, shape)
			}
			at += p * to[d]
		}
		dst[at] = src[i]
	}
	return nil
}

// globalPool reduces every channel to one element. The standard has
// GlobalAveragePool, GlobalMaxPool (opset 1, 22) and GlobalLpPool (1, 2, 22).
func globalPool[T real](f func(c *call, n int, at func(int) float64) float64) func(*call) error {
	return func(c *call) error {
		x := c.in[0]
		if err := c.needRank(0, 3); err != nil {
			return err
		}
		shape := slices.Clone(x.Shape)
		for d := 2; d < len(shape); d++ {
			shape[d] = 1
		}
		out, err := c.output(0, x.Type, shape...)
		if err != nil {
			return err
		}
		n, src, dst := product(x.Shape[2:]), data[T](x), data[T](out)
		c.parallel(len(dst), max(1, grain/max(1, n)), func(lo, hi int) {
			for i := lo; i < hi; i++ {
				row := src[i*n : (i+1)*n]
				dst[i] = T(f(c, n, func(j int) float64 { return float64(row[j]) }))
			}
		})
		return nil
	}
}

func averageOf(_ *call, n int, at func(int) float64) float64 {
	sum := 0.0
	for j := range n {
		sum += at(j)
	}
	return sum / float64(n)
}

func maximumOf(_ *call, n int, at func(int) float64) float64 {
	top := math.Inf(-1)
	for j := range n {
		top = max(top, at(j))
	}
	return top
}

func normOf(c *call, n int, at func(int) float64) float64 {
	p, sum := c.power(), 0.0
	for j := range n {
		sum += math.Pow(math.Abs(at(j)), p)
	}
	return math.Pow(sum, 1/p)
}
