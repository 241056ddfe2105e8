package exec

import (
	"fmt"
	"math"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// softmax is Softmax or LogSoftmax. Before opset 13 the dimensions from axis
// on are one row; from 13 the rows run along axis.
func softmax(log bool) func(*call) error {
	return func(c *call) error {
		x := c.in[0]
		def := int64(-1)
		if c.opset < 13 {
			def = 1
		}
		d, err := axis(c.node.Int("axis", def), len(x.Shape))
		if err != nil {
			return err
		}
		out, err := c.output(0, x.Type, x.Shape...)
		if err != nil {
			return err
		}
		l := lanesOf(x.Shape, d)
		if c.opset < 13 {
			l = lanes{count: product(x.Shape[:d]), n: product(x.Shape[d:]), step: 1}
		}
		switch {
		case out.Len() == 0:
		case x.Type == onnx.Float && l.step == 1 && log:
			kernel.LogSoftmaxRows(out.F32, x.F32, l.count, l.n)
		case x.Type == onnx.Float && l.step == 1:
			kernel.SoftmaxRows(out.F32, x.F32, l.count, l.n)
		case x.Type == onnx.Float:
			softmaxLanes(out.F32, x.F32, l, log)
		case x.Type == onnx.Double:
			softmaxLanes(out.F64, x.F64, l, log)
		default:
			return errType(x.Type)
		}
		return nil
	}
}

func softmaxLanes[T float32 | float64](dst, src []T, l lanes, log bool) {
	t := borrow[softmaxTask[T]]()
	*t = softmaxTask[T]{dst: dst, src: src, l: l, log: log}
	kernel.Run(l.count, max(1, grain/8/l.n), t)
	giveBack(t)
}

type softmaxTask[T float32 | float64] struct {
	dst, src []T
	l        lanes
	log      bool
}

func (t *softmaxTask[T]) Run(lo, hi int) {
	dst, src, l := t.dst, t.src, t.l
	for i := lo; i < hi; i++ {
		at := l.start(i)
		top := math.Inf(-1)
		for j := range l.n {
			top = max(top, float64(src[at+j*l.step]))
		}
		sum := 0.0
		for j := range l.n {
			sum += math.Exp(float64(src[at+j*l.step]) - top)
		}
		for j := range l.n {
			v := float64(src[at+j*l.step]) - top
			if t.log {
				v -= math.Log(sum)
			} else {
				v = math.Exp(v) / sum
			}
			dst[at+j*l.step] = T(v)
		}
	}
}

// layerNormalization is the standard operator (opset 17).
func layerNormalization(c *call) error {
	x := c.in[0]
	d, err := axis(c.node.Int("axis", -1), len(x.Shape))
	if err != nil {
		return err
	}
	return c.layerNorm(d, nil, c.arg(1), c.arg(2), c.node.Float("epsilon", 1e-5), 1)
}

// layerNorm normalises input 0 (plus residual) over the dimensions from d on.
// The mean and the reciprocal deviation are outputs stats and stats+1 where those have names.
func (c *call) layerNorm(d int, residual []float32, gamma, beta *Tensor, eps float32, stats int) error {
	x, err := c.floats(0)
	if err != nil {
		return err
	}
	shape := c.in[0].Shape
	rows, n := product(shape[:d]), product(shape[d:])
	g, err := c.vector("scale", gamma, shape[d:], n, 1)
	if err != nil {
		return err
	}
	b, err := c.vector("bias", beta, shape[d:], n, 0)
	if err != nil {
		return err
	}
	out, err := c.output(0, onnx.Float, shape...)
	if err != nil {
		return err
	}
	var stat [2][]float32
	if c.wants(stats) || c.wants(stats+1) {
		small := c.mem.shape(shape)
		for i := d; i < len(small); i++ {
			small[i] = 1
		}
		for i := range stat {
			t, err := c.new(onnx.Float, small...)
			if err != nil {
				return err
			}
			stat[i] = t.F32
			if c.wants(stats + i) {
				c.out[stats+i] = t
			} else {
				defer c.mem.release(t)
			}
		}
	}
	if rows*n > 0 {
		kernel.LayerNorm(out.F32, x, residual, g, b, rows, n, eps, nil, stat[0], stat[1])
	}
	return nil
}

// vector returns a weight of n elements, spread where it broadcasts to shape; def fills an omitted one.
func (c *call) vector(what string, t *Tensor, shape []int, n int, def float32) ([]float32, error) {
	if t == nil {
		v, err := c.temp(onnx.Float, n)
		if err != nil {
			return nil, err
		}
		fill(v.F32, def)
		return v.F32, nil
	}
	if t.Type != onnx.Float {
		return nil, fmt.Errorf("the %s is %s; only float is supported: %w", what, typeName(t.Type), ErrType)
	}
	if t.Len() == n {
		return t.F32, nil
	}
	full, err := c.broadcastShape(t.Shape, shape)
	if err != nil || !sameShape(full, shape) {
		return nil, fmt.Errorf("the %s has shape %v; %v is needed", what, t.Shape, shape)
	}
	v, err := c.temp(onnx.Float, n)
	if err != nil {
		return nil, err
	}
	copyStrided(v, 0, t, 0, shape, c.broadcastStrides(t.Shape, shape))
	return v.F32, nil
}
