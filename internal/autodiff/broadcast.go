package autodiff

import (
	"fmt"
	"slices"

	"github.com/litekit/lite/internal/kernel"
)

// spread says how an operand is read as a larger shape: element i of the large
// shape is element at(i) of the operand.
type spread struct {
	size  int     // elements of the large shape
	n     int     // elements of the operand
	index []int32 // nil where at(i) = i mod n
}

// newSpread prepares reading shape as to, by ONNX's (NumPy's) broadcasting.
func newSpread(shape, to []int) (spread, error) {
	s := spread{size: volume(to), n: volume(shape)}
	strides, err := broadcastStrides(shape, to)
	if err != nil {
		return s, err
	}
	trimmed := shape
	for len(trimmed) > 0 && trimmed[0] == 1 {
		trimmed = trimmed[1:]
	}
	if len(trimmed) <= len(to) && slices.Equal(trimmed, to[len(to)-len(trimmed):]) {
		return s, nil
	}
	s.index = make([]int32, s.size)
	walk(to, strides, func(i, j int) { s.index[i] = int32(j) })
	return s, nil
}

// walk visits the elements of a shape in order with their offset under strides.
func walk(shape, strides []int, f func(i, off int)) {
	at := make([]int, len(shape))
	off := 0
	for i := range volume(shape) {
		f(i, off)
		for d := len(shape) - 1; d >= 0; d-- {
			at[d]++
			off += strides[d]
			if at[d] < shape[d] {
				break
			}
			off -= at[d] * strides[d]
			at[d] = 0
		}
	}
}

func (s *spread) same() bool { return s.index == nil && s.n == s.size }

func (s *spread) at(i int) int {
	switch {
	case s.index != nil:
		return int(s.index[i])
	case s.n == s.size:
		return i
	}
	return i % s.n
}

// sum adds a gradient of the large shape to the operand's, or with first
// replaces it.
func (s *spread) sum(dst, grad []float32, first bool) {
	beta := float32(1)
	if first {
		beta = 0
	}
	switch {
	case s.same() && first:
		copy(dst, grad)
	case s.same():
		kernel.Axpy(1, grad, dst)
	case s.index == nil && s.n > 0:
		kernel.ColSum(dst, grad, s.size/s.n, s.n, beta)
	default:
		acc := make([]float64, s.n)
		for i, j := range s.index {
			acc[j] += float64(grad[i])
		}
		for j, v := range acc {
			dst[j] = beta*dst[j] + float32(v)
		}
	}
}

// broadcastShape is the shape of an elementwise operation.
func broadcastShape(a, b []int) ([]int, error) {
	out := make([]int, max(len(a), len(b)))
	for i := range out {
		x, y := 1, 1
		if j := i - (len(out) - len(a)); j >= 0 {
			x = a[j]
		}
		if j := i - (len(out) - len(b)); j >= 0 {
			y = b[j]
		}
		switch {
		case x == y || y == 1:
			out[i] = x
		case x == 1:
			out[i] = y
		default:
			return nil, fmt.Errorf("shapes %v and %v do not broadcast", a, b)
		}
	}
	return out, nil
}
