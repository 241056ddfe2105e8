package exec

import (
	"fmt"
	"math"
	"slices"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// float runs an element function of real numbers, in float64 arithmetic.
func float(f func(float64) float64) func(*call) error {
	narrow := func(v float32) float32 { return float32(f(float64(v))) }
	return func(c *call) error {
		x := c.in[0]
		switch x.Type {
		case onnx.Float:
			return each1(c, narrow)
		case onnx.Double:
			return each1(c, f)
		}
		return errType(x.Type)
	}
}

// each1 maps every element of input 0, whose type is T.
func each1[T number](c *call, f func(T) T) error {
	x := data[T](c.in[0])
	out, err := c.like(0)
	if err != nil {
		return err
	}
	t := borrow[mapTask[T]]()
	*t = mapTask[T]{y: data[T](out), x: x, f: f, done: c.mem.done}
	kernel.Run(len(x), grain/4, t)
	giveBack(t)
	return nil
}

// mapTask applies f to every element until done is closed.
type mapTask[T any] struct {
	y, x []T
	f    func(T) T
	done <-chan struct{}
}

func (t *mapTask[T]) Run(lo, hi int) {
	if closed(t.done) {
		return
	}
	for i := lo; i < hi; i++ {
		t.y[i] = t.f(t.x[i])
	}
}

// eachWide maps every element of input 0, a small signed or unsigned integer
// below 64 bits that is held in I64.
func eachWide(c *call, f func(int64) int64) error {
	if t := c.in[0].Type; !wideInt(t) || t == onnx.Uint64 {
		return errType(t)
	}
	if err := each1(c, f); err != nil {
		return err
	}
	c.out[0].wrap()
	return nil
}

// activation runs a kernel's activation on float32 and f on float64.
func activation(act kernel.Act, f func(float64) float64) func(*call) error {
	wide := float(f)
	return func(c *call) error {
		if c.in[0].Type != onnx.Float {
			return wide(c)
		}
		return activate(c, act)
	}
}

func activate(c *call, act kernel.Act) error {
	x, err := c.floats(0)
	if err != nil {
		return err
	}
	out, err := c.output(0, onnx.Float, c.in[0].Shape...)
	if err != nil {
		return err
	}
	kernel.Activate(act, out.F32, x)
	return nil
}

func gelu(c *call) error {
	a := c.node.Attr("approximate")
	if a == nil {
		return geluExactly(c)
	}
	switch string(a.String) {
	case "none":
		return geluExactly(c)
	case "tanh":
		return geluByTanh(c)
	default:
		return fmt.Errorf("attribute approximate is %q; none or tanh is needed", a.String)
	}
}

var (
	geluExactly = activation(kernel.ActGelu, func(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) })
	geluByTanh  = activation(kernel.ActGeluTanh, geluTanh)
)

func geluTanh(x float64) float64 {
	return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
}

func relu(c *call) error {
	switch c.in[0].Type {
	case onnx.Float:
		return each1(c, func(x float32) float32 { return max(x, 0) })
	case onnx.Double:
		return each1(c, func(x float64) float64 { return max(x, 0) })
	case onnx.Int64:
		return each1(c, func(x int64) int64 { return max(x, 0) })
	case onnx.Int32:
		return each1(c, func(x int32) int32 { return max(x, 0) })
	case onnx.Int8:
		return each1(c, func(x int8) int8 { return max(x, 0) })
	}
	return eachWide(c, func(x int64) int64 { return max(x, 0) })
}

func negate(c *call) error {
	switch c.in[0].Type {
	case onnx.Float:
		return each1(c, func(x float32) float32 { return -x })
	case onnx.Double:
		return each1(c, func(x float64) float64 { return -x })
	case onnx.Int64:
		return each1(c, func(x int64) int64 { return -x })
	case onnx.Int32:
		return each1(c, func(x int32) int32 { return -x })
	case onnx.Int8:
		return each1(c, func(x int8) int8 { return -x })
	}
	return eachWide(c, func(x int64) int64 { return -x })
}

func absInt[T int64 | int32 | int8](x T) T {
	if x < 0 {
		return -x
	}
	return x
}

func absolute(c *call) error {
	switch c.in[0].Type {
	case onnx.Float, onnx.Double:
		return float(math.Abs)(c)
	case onnx.Int64:
		return each1(c, absInt[int64])
	case onnx.Int32:
		return each1(c, absInt[int32])
	case onnx.Int8:
		return each1(c, absInt[int8])
	case onnx.Uint8, onnx.Uint64:
		return identity(c)
	}
	return eachWide(c, absInt[int64])
}

func signOf[T float32 | float64 | int64 | int32 | int8](x T) T {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

func sign(c *call) error {
	switch c.in[0].Type {
	case onnx.Float:
		return each1(c, signOf[float32])
	case onnx.Double:
		return each1(c, signOf[float64])
	case onnx.Int64:
		return each1(c, signOf[int64])
	case onnx.Int32:
		return each1(c, signOf[int32])
	case onnx.Int8:
		return each1(c, signOf[int8])
	case onnx.Uint8:
		return each1(c, func(x uint8) uint8 { return min(x, 1) })
	case onnx.Uint64:
		return each1(c, func(x int64) int64 {
			if x != 0 {
				return 1
			}
			return 0
		})
	}
	return eachWide(c, signOf[int64])
}

func sqrt(c *call) error {
	if c.in[0].Type == onnx.Float {
		return each1(c, func(x float32) float32 { return float32(math.Sqrt(float64(x))) })
	}
	return float(math.Sqrt)(c)
}

func reciprocal(c *call) error {
	if c.in[0].Type == onnx.Float {
		return each1(c, func(x float32) float32 { return 1 / x })
	}
	return float(func(x float64) float64 { return 1 / x })(c)
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func mish(x float64) float64 { return x * math.Tanh(softplus(x)) }

// withAlpha runs an activation that one attribute shapes.
func withAlpha(name string, def float32, f func(x, alpha float64) float64) func(*call) error {
	return func(c *call) error {
		alpha := float64(c.node.Float(name, def))
		return float(func(x float64) float64 { return f(x, alpha) })(c)
	}
}

func leakyRelu(x, a float64) float64 {
	if x < 0 {
		return a * x
	}
	return x
}

func elu(x, a float64) float64 {
	if x < 0 {
		return a * math.Expm1(x)
	}
	return x
}

func selu(c *call) error {
	alpha, gamma := float64(c.node.Float("alpha", 1.67326319217681884765625)), float64(c.node.Float("gamma", 1.05070102214813232421875))
	return float(func(x float64) float64 { return gamma * elu(x, alpha) })(c)
}

func hardSigmoid(c *call) error {
	alpha, beta := float64(c.node.Float("alpha", 0.2)), float64(c.node.Float("beta", 0.5))
	return float(func(x float64) float64 { return min(1, max(0, alpha*x+beta)) })(c)
}

func hardSwish(x float64) float64 { return x * min(1, max(0, x/6+0.5)) }

// clip has its bounds as attributes (opset 6) or inputs (11 and later).
func clip(c *call) error {
	switch c.in[0].Type {
	case onnx.Float:
		return clipTo(c, float32(math.Inf(-1)), float32(math.Inf(1)))
	case onnx.Double:
		return clipTo(c, math.Inf(-1), math.Inf(1))
	case onnx.Int64:
		return clipTo[int64](c, math.MinInt64, math.MaxInt64)
	case onnx.Int32:
		return clipTo[int32](c, math.MinInt32, math.MaxInt32)
	case onnx.Uint8:
		return clipTo[uint8](c, 0, math.MaxUint8)
	case onnx.Int8:
		return clipTo[int8](c, math.MinInt8, math.MaxInt8)
	case onnx.Uint64:
		return clipBits(c)
	}
	if !wideInt(c.in[0].Type) {
		return errType(c.in[0].Type)
	}
	lo, hi := bounds(c.in[0].Type)
	return clipTo(c, lo, hi)
}

// clipBits is clip of uint64, in the order of int64.
func clipBits(c *call) error {
	inner := *c
	inner.in = slices.Clone(c.in)
	for i, t := range inner.in[:min(3, len(inner.in))] {
		if t == nil {
			continue
		}
		if t.Type != onnx.Uint64 {
			return fmt.Errorf("bound %d is %s; uint64 is needed", i, typeName(t.Type))
		}
		inner.in[i] = t.ordered()
	}
	inner.out = make([]*Tensor, 1)
	if err := clipTo[int64](&inner, math.MinInt64, math.MaxInt64); err != nil {
		return err
	}
	out := inner.out[0]
	copy(out.I64, flipSign(out.I64))
	out.Type = onnx.Uint64
	c.out[0] = out
	return nil
}

func clipTo[T number](c *call, lo, hi T) error {
	if a := c.node.Attr("min"); a != nil {
		lo = T(a.Float)
	}
	if a := c.node.Attr("max"); a != nil {
		hi = T(a.Float)
	}
	for i, p := range []*T{&lo, &hi} {
		b := c.arg(i + 1)
		if b == nil {
			continue
		}
		if b.Type != c.in[0].Type || b.Len() != 1 {
			return fmt.Errorf("bound %d is %s %v; a scalar %s is needed", i, typeName(b.Type), b.Shape, typeName(c.in[0].Type))
		}
		*p = data[T](b)[0]
	}
	x := data[T](c.in[0])
	out, err := c.like(0)
	if err != nil {
		return err
	}
	t := borrow[clipTask[T]]()
	*t = clipTask[T]{y: data[T](out), x: x, lo: lo, hi: hi}
	kernel.Run(len(x), grain, t)
	giveBack(t)
	return nil
}

type clipTask[T number] struct {
	y, x   []T
	lo, hi T
}

func (t *clipTask[T]) Run(lo, hi int) {
	for i := lo; i < hi; i++ {
		t.y[i] = min(max(t.x[i], t.lo), t.hi)
	}
}

func identity(c *call) error {
	c.view(0, c.in[0], c.in[0].Shape)
	return nil
}

// dropout is the identity at inference; a mask that is asked for is all true.
func dropout(c *call) error {
	if t := c.arg(2); t != nil && t.Type == onnx.Bool && len(t.Bool) == 1 && t.Bool[0] {
		if r := c.arg(1); r == nil || len(r.F32) != 1 || r.F32[0] != 0 {
			return fmt.Errorf("training_mode is true; only inference is supported")
		}
	}
	if c.wants(1) {
		mask, err := c.output(1, onnx.Bool, c.in[0].Shape...)
		if err != nil {
			return err
		}
		fill(mask.Bool, true)
	}
	return identity(c)
}
