package fuse

import (
	"slices"

	"github.com/litekit/lite/onnx"
)

// same reports whether two values have the same shape of known rank, in every run.
func (g *graph) same(a, b string) bool {
	x, ok := g.infer.Shape(a)
	y, ok2 := g.infer.Shape(b)
	return ok && ok2 && slices.Equal(x, y)
}

// rank is the number of dimensions of a value, -1 where it is not known.
func (g *graph) rank(v string) int {
	if s, ok := g.infer.Shape(v); ok {
		return len(s)
	}
	return -1
}

// one is the element of an integer value of a single element.
func (g *graph) one(v string) (onnx.Size, bool) {
	if e, ok := g.infer.Elements(v); ok && len(e) == 1 {
		return e[0], true
	}
	return onnx.Size{}, false
}

// mayBe reports whether a length can be n.
func mayBe(s onnx.Size, n int64) bool {
	k, known := s.Number()
	return !known || k == n
}

// numbers returns the elements where all are known.
func numbers(v []onnx.Size) ([]int64, bool) {
	out := make([]int64, len(v))
	for i, s := range v {
		n, known := s.Number()
		if !known {
			return nil, false
		}
		out[i] = n
	}
	return out, true
}

// known is the constant that a value is known to be, or nil.
func (g *graph) known(v string) *onnx.Tensor {
	s, ok := g.infer.Shape(v)
	if !ok {
		return nil
	}
	dims, ok := numbers(s)
	if !ok {
		return nil
	}
	if e, ok := g.infer.Elements(v); ok && g.infer.Type(v) == onnx.Int64 {
		if x, ok := numbers(e); ok {
			return onnx.NewInt64s(v, x, dims...)
		}
	}
	if e, ok := g.infer.Floats(v); ok && g.infer.Type(v) == onnx.Float {
		return onnx.NewFloats(v, e, dims...)
	}
	return nil
}
