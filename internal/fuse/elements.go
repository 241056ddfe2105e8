package fuse

import (
	"math"

	"github.com/litekit/lite/onnx"
)

// elements follows the elements of small values: the arithmetic that exporters
// write on shapes, and scalar constants of float expressions.
func (f *inference) elements(n *onnx.Node) {
	if n.Domain != "" && n.Domain != "ai.onnx" {
		return
	}
	out := n.Outputs[0]
	if out == "" {
		return
	}
	if s, ok := f.shape[out]; !ok || len(s) > 1 {
		if n.Op != "Split" {
			f.floatElements(n)
		}
		return
	}
	if v, ok := f.intElements(n); ok && len(v) <= maxInts && f.fits(out, len(v)) {
		f.ints[out] = v
		if len(f.shape[out]) == 1 {
			f.shape[out] = []dim{known(int64(len(v)))}
		}
		return
	}
	f.floatElements(n)
}

// fits reports whether a value of the inferred rank can have count elements.
func (f *inference) fits(v string, count int) bool {
	s := f.shape[v]
	return len(s) == 0 && count == 1 || len(s) == 1 && (s[0].sym != 0 || s[0].n == int64(count))
}

func (f *inference) isInt(v string) bool {
	t := f.types[v]
	return t == onnx.Int64 || t == onnx.Int32 || t == onnx.Bool
}

// intElements evaluates an integer node of rank 0 or 1.
func (f *inference) intElements(n *onnx.Node) ([]dim, bool) {
	if !f.isInt(n.Outputs[0]) {
		return nil, false
	}
	x, have := f.ints[input(n, 0)]
	switch n.Op {
	case "Shape":
		s, ok := f.shape[input(n, 0)]
		if !ok {
			return nil, false
		}
		lo, hi := shapeRange(n, len(s))
		return s[lo:hi], true
	case "Size":
		s, ok := f.shape[input(n, 0)]
		return []dim{f.product(s)}, ok
	case "Cast":
		if fl, ok := f.floats[input(n, 0)]; ok && f.types[n.Outputs[0]] != onnx.Bool {
			out := make([]dim, len(fl))
			for i, v := range fl {
				if math.IsNaN(float64(v)) || math.Abs(float64(v)) > 1<<53 {
					return nil, false
				}
				out[i] = known(int64(v))
			}
			return out, true
		}
		if f.types[n.Outputs[0]] == onnx.Bool && f.types[input(n, 0)] != onnx.Bool {
			return nil, false
		}
		return x, have
	case "Identity", "Squeeze", "Unsqueeze", "Reshape", "Flatten":
		return x, have
	case "Gather":
		return f.gathered(n, x, have)
	case "Concat":
		var out []dim
		for i := range n.Inputs {
			e, ok := f.ints[input(n, i)]
			if !ok {
				return nil, false
			}
			out = append(out, e...)
		}
		return out, true
	case "Slice":
		return f.slicedElements(n, x, have)
	case "ConstantOfShape":
		return f.filled(n)
	case "Expand":
		s, ok := numbers(f.ints[input(n, 1)])
		if have && ok && len(x) == 1 && len(s) == 1 && s[0] >= 1 && s[0] <= maxInts {
			return repeat(x[0], int(s[0])), true
		}
		return nil, false
	case "ReduceProd":
		return []dim{f.product(x)}, have
	case "Neg":
		return f.zip(n, func(d []dim) dim { return f.arith("Sub", known(0), d[0]) })
	case "Not":
		return f.zip(n, func(d []dim) dim { return f.arith("Equal", d[0], known(0)) })
	case "Add", "Sub", "Mul", "Div", "Mod", "Min", "Max", "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "And", "Or":
		if len(n.Inputs) != 2 || n.Op == "Mod" && n.Int("fmod", 0) != 0 {
			return nil, false
		}
		return f.zip(n, func(d []dim) dim { return f.arith(n.Op, d[0], d[1]) })
	case "Where":
		if len(n.Inputs) != 3 {
			return nil, false
		}
		return f.zip(n, func(d []dim) dim {
			switch {
			case d[1] == d[2]:
				return d[1]
			case d[0].sym != 0:
				return f.fresh()
			case d[0].n != 0:
				return d[1]
			}
			return d[2]
		})
	}
	return nil, false
}

func repeat(d dim, n int) []dim {
	out := make([]dim, n)
	for i := range out {
		out[i] = d
	}
	return out
}

// zip applies fn elementwise, single elements repeated.
func (f *inference) zip(n *onnx.Node, fn func([]dim) dim) ([]dim, bool) {
	args, count := make([][]dim, len(n.Inputs)), 1
	for i := range n.Inputs {
		e, ok := f.ints[input(n, i)]
		if !ok || len(e) == 0 {
			return nil, false
		}
		args[i] = e
		count = max(count, len(e))
	}
	out, at := make([]dim, count), make([]dim, len(args))
	for k := range out {
		for i, e := range args {
			switch len(e) {
			case 1:
				at[i] = e[0]
			case count:
				at[i] = e[k]
			default:
				return nil, false
			}
		}
		out[k] = fn(at)
	}
	return out, true
}

func (f *inference) gathered(n *onnx.Node, x []dim, have bool) ([]dim, bool) {
	idx, ok := numbers(f.ints[input(n, 1)])
	if !have || !ok || f.ints[input(n, 1)] == nil || len(f.shape[input(n, 0)]) != 1 {
		return nil, false
	}
	out := make([]dim, len(idx))
	for i, k := range idx {
		if k < 0 {
			k += int64(len(x))
		}
		if k < 0 || k >= int64(len(x)) {
			return nil, false
		}
		out[i] = x[k]
	}
	return out, true
}

func (f *inference) slicedElements(n *onnx.Node, x []dim, have bool) ([]dim, bool) {
	if !have {
		return nil, false
	}
	s, ok := f.slicing(n, 1)
	if !ok || len(s.axes) != 1 || s.start[0].sym != 0 || s.end[0].sym != 0 || s.step[0] == 0 {
		return nil, false
	}
	lo, hi := clampSlice(int64(len(x)), s.start[0].n, s.end[0].n, s.step[0])
	out := []dim{}
	for i := lo; s.step[0] > 0 && i < hi || s.step[0] < 0 && i > hi; i += s.step[0] {
		out = append(out, x[i])
	}
	return out, true
}

func (f *inference) filled(n *onnx.Node) ([]dim, bool) {
	s, ok := numbers(f.ints[input(n, 0)])
	if !ok || f.ints[input(n, 0)] == nil || len(s) > 1 {
		return nil, false
	}
	count := int64(1)
	if len(s) == 1 {
		count = s[0]
	}
	a := n.Attr("value")
	if count < 0 || count > maxInts || a == nil || a.Tensor == nil {
		return nil, false
	}
	v, err := a.Tensor.Int64s()
	if err != nil || len(v) != 1 {
		return nil, false
	}
	return repeat(known(v[0]), int(count)), true
}

// floatElements evaluates a float32 node of known scalars, rounding as a run would.
func (f *inference) floatElements(n *onnx.Node) {
	out := n.Outputs[0]
	if f.types[out] != onnx.Float {
		return
	}
	var v []float32
	var ok bool
	switch n.Op {
	case "Cast":
		if v, ok = f.floats[input(n, 0)]; !ok {
			var e []int64
			if e, ok = numbers(f.ints[input(n, 0)]); ok && f.ints[input(n, 0)] != nil {
				for _, x := range e {
					v = append(v, float32(x))
				}
			}
		}
	case "Identity", "Squeeze", "Unsqueeze":
		v, ok = f.floats[input(n, 0)]
	case "Sqrt":
		v, ok = f.scalarOp(n, func(a, _ float32) float32 { return float32(math.Sqrt(float64(a))) })
	case "Reciprocal":
		v, ok = f.scalarOp(n, func(a, _ float32) float32 { return 1 / a })
	case "Neg":
		v, ok = f.scalarOp(n, func(a, _ float32) float32 { return -a })
	case "Add":
		v, ok = f.scalarOp(n, func(a, b float32) float32 { return a + b })
	case "Sub":
		v, ok = f.scalarOp(n, func(a, b float32) float32 { return a - b })
	case "Mul":
		v, ok = f.scalarOp(n, func(a, b float32) float32 { return a * b })
	case "Div":
		v, ok = f.scalarOp(n, func(a, b float32) float32 { return a / b })
	}
	if s, haveShape := f.shape[out]; ok && v != nil && haveShape && f.product(s).is(int64(len(v))) {
		f.floats[out] = v
	}
}

// scalarOp applies fn to one or two single elements.
func (f *inference) scalarOp(n *onnx.Node, fn func(a, b float32) float32) ([]float32, bool) {
	var arg [2]float32
	for i := range n.Inputs {
		v, ok := f.floats[input(n, i)]
		if !ok || len(v) != 1 || i > 1 {
			return nil, false
		}
		arg[i] = v[0]
	}
	return []float32{fn(arg[0], arg[1])}, true
}
