package fuse

import (
	"slices"

	"github.com/litekit/lite/onnx"
)

// dim is a length: a number, or a symbol (sym > 0) of unknown value.
// Two equal symbols are equal numbers at run time.
type dim struct {
	sym int
	n   int64
}

func known(n int64) dim { return dim{n: n} }

// is reports whether d is known and equal to n.
func (d dim) is(n int64) bool { return d.sym == 0 && d.n == n }

// place is an axis of a graph input.
type place struct {
	input string
	axis  int
}

type expr struct {
	op   string
	a, b dim
}

// inference holds what is known before running: types, symbolic shapes, and the
// elements of small integer and float values.
type inference struct {
	types  map[string]onnx.DataType
	shape  map[string][]dim     // present where the rank is known
	ints   map[string][]dim     // elements of integer values of rank 0 or 1
	floats map[string][]float32 // elements of known small float values
	home   map[int]place        // symbol → the graph input that shows it
	opset  int64
	syms   int
	named  map[string]dim
	exprs  map[expr]dim
}

// The largest constants whose elements are followed.
const (
	maxInts   = 64
	maxFloats = 16
)

// infer walks the nodes in order. What it cannot tell is absent from the maps.
//
// Two assumptions are made, both of which a run that breaks them would fail on
// anyway: dimensions declared with the same symbol are equal, and a Slice [0:s] of
// a constant has s elements.
func infer(m *onnx.Model, nodes []*onnx.Node) *inference {
	f := &inference{
		types: map[string]onnx.DataType{}, shape: map[string][]dim{}, ints: map[string][]dim{},
		floats: map[string][]float32{}, home: map[int]place{}, opset: opsetOf(m),
		named: map[string]dim{}, exprs: map[expr]dim{},
	}
	for _, v := range m.Graph.Inputs {
		f.declare(v)
	}
	for _, t := range m.Graph.Initializers {
		f.constant(t)
	}
	for _, n := range nodes {
		f.node(n)
	}
	return f
}

// declare takes over the type and shape of a graph input.
func (f *inference) declare(v *onnx.ValueInfo) {
	if v.Type != onnx.Undefined {
		f.types[v.Name] = v.Type
	}
	if !v.HasShape {
		return
	}
	dims := make([]dim, len(v.Dims))
	for i, d := range v.Dims {
		switch {
		case d.Known:
			dims[i] = known(d.Size)
			continue
		case d.Param != "":
			if s, ok := f.named[d.Param]; ok {
				dims[i] = s
				continue
			}
			dims[i] = f.fresh()
			f.named[d.Param] = dims[i]
		default:
			dims[i] = f.fresh()
		}
		f.home[dims[i].sym] = place{v.Name, i}
	}
	f.shape[v.Name] = dims
}

// constant takes over an initializer.
func (f *inference) constant(t *onnx.Tensor) {
	f.types[t.Name] = t.Type
	f.shape[t.Name] = knownDims(t.Dims)
	if slices.ContainsFunc(t.Dims, func(d int64) bool { return d < 0 }) {
		return
	}
	switch t.Type {
	case onnx.Int64, onnx.Int32, onnx.Bool:
		if len(t.Dims) <= 1 && t.Len() <= maxInts {
			if v, err := t.Int64s(); err == nil {
				f.ints[t.Name] = knownDims(v)
			}
		}
	case onnx.Float, onnx.Float16, onnx.Double, onnx.BFloat16:
		if t.Len() <= maxFloats {
			if v, err := t.Floats(); err == nil {
				f.floats[t.Name] = v
			}
		}
	}
}

func knownDims(v []int64) []dim {
	out := make([]dim, len(v))
	for i, n := range v {
		out[i] = known(n)
	}
	return out
}

// numbers returns the elements where all are known.
func numbers(v []dim) ([]int64, bool) {
	out := make([]int64, len(v))
	for i, d := range v {
		if d.sym != 0 {
			return nil, false
		}
		out[i] = d.n
	}
	return out, true
}

// fresh is a new symbol.
func (f *inference) fresh() dim {
	f.syms++
	return dim{sym: f.syms}
}

// of is the symbol of an expression: the same operands give the same symbol.
func (f *inference) of(op string, a, b dim) dim {
	k := expr{op, a, b}
	if d, ok := f.exprs[k]; ok {
		return d
	}
	d := f.fresh()
	f.exprs[k] = d
	return d
}

// arith evaluates an elementwise integer operation.
func (f *inference) arith(op string, a, b dim) dim {
	if a.sym == 0 && b.sym == 0 {
		if v, ok := arith(op, a.n, b.n); ok {
			return known(v)
		}
	}
	switch {
	case op == "Mul" && a.is(1), op == "Add" && a.is(0):
		return b
	case (op == "Mul" || op == "Div") && b.is(1), (op == "Add" || op == "Sub") && b.is(0):
		return a
	case op == "Sub" && a == b:
		return known(0)
	case op == "Equal" && a == b:
		return known(1)
	case op == "Equal" && (f.isLength(a) && b.sym == 0 && b.n < 0 || f.isLength(b) && a.sym == 0 && a.n < 0):
		return known(0)
	}
	if (op == "Mul" || op == "Add" || op == "Equal" || op == "Max" || op == "Min") && (b.sym < a.sym || b.sym == a.sym && b.n < a.n) {
		a, b = b, a
	}
	return f.of(op, a, b)
}

// isLength reports whether the symbol is an axis of a graph input, hence not negative.
func (f *inference) isLength(d dim) bool { _, ok := f.home[d.sym]; return d.sym != 0 && ok }

func arith(op string, a, b int64) (int64, bool) {
	switch op {
	case "Add":
		return a + b, true
	case "Sub":
		return a - b, true
	case "Mul":
		return a * b, true
	case "Div":
		if b == 0 {
			return 0, false
		}
		return a / b, true
	case "Mod":
		if b == 0 {
			return 0, false
		}
		r := a % b
		if r != 0 && (r < 0) != (b < 0) {
			r += b
		}
		return r, true
	case "Min":
		return min(a, b), true
	case "Max":
		return max(a, b), true
	case "Equal":
		return truth(a == b), true
	case "Less":
		return truth(a < b), true
	case "Greater":
		return truth(a > b), true
	case "LessOrEqual":
		return truth(a <= b), true
	case "GreaterOrEqual":
		return truth(a >= b), true
	case "And":
		return truth(a != 0 && b != 0), true
	case "Or":
		return truth(a != 0 || b != 0), true
	}
	return 0, false
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// broadcast combines two shapes by ONNX's multidirectional rule.
func (f *inference) broadcast(a, b []dim) []dim {
	if len(a) < len(b) {
		a, b = b, a
	}
	out := slices.Clone(a)
	off := len(a) - len(b)
	for i, y := range b {
		x := a[off+i]
		switch {
		case x == y || y.is(1):
		case x.is(1):
			out[off+i] = y
		case x.sym == 0: // a length over 1 wins over a symbol
		case y.sym == 0:
			out[off+i] = y
		default:
			if y.sym < x.sym {
				x, y = y, x
			}
			out[off+i] = f.of("broadcast", x, y)
		}
	}
	return out
}

// product is the number of elements, a symbol where a length is one.
func (f *inference) product(d []dim) dim {
	num, syms := factor(d)
	return f.join(num, syms)
}

// factor splits a product into its number and its sorted symbols.
func factor(d []dim) (int64, []int) {
	num, syms := int64(1), []int(nil)
	for _, x := range d {
		if x.sym == 0 {
			num *= x.n
		} else {
			syms = append(syms, x.sym)
		}
	}
	slices.Sort(syms)
	return num, syms
}

// join is the length num·Π syms.
func (f *inference) join(num int64, syms []int) dim {
	out := known(num)
	for _, s := range syms {
		out = f.arith("Mul", out, dim{sym: s})
	}
	return out
}

// quotient is Π a / Π b where symbols cancel and the division is exact.
func (f *inference) quotient(a, b []dim) (dim, bool) {
	an, as := factor(a)
	bn, bs := factor(b)
	for _, s := range bs {
		i := slices.Index(as, s)
		if i < 0 {
			return dim{}, false
		}
		as = slices.Delete(as, i, i+1)
	}
	if bn == 0 || an%bn != 0 {
		return dim{}, false
	}
	return f.join(an/bn, as), true
}

// same reports whether two values have the same known-rank shape, symbol by symbol.
func (f *inference) same(a, b string) bool {
	x, ok := f.shape[a]
	y, ok2 := f.shape[b]
	return ok && ok2 && slices.Equal(x, y)
}

// rank is the number of dimensions of a value, -1 where it is not known.
func (f *inference) rank(v string) int {
	if s, ok := f.shape[v]; ok {
		return len(s)
	}
	return -1
}
