package exec

import (
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// elems moves the elements of a tensor without knowing their type.
type elems interface {
	// blit copies n elements: dst[at+i] = src[from+i·stride].
	blit(at int, src elems, from, n, stride int)
}

type slab[T any] []T

func (d slab[T]) blit(at int, src elems, from, n, stride int) {
	s := src.(slab[T])
	switch stride {
	case 1:
		copy(d[at:at+n], s[from:from+n])
	case 0:
		v := s[from]
		for i := range d[at : at+n] {
			d[at+i] = v
		}
	default:
		dst := d[at : at+n]
		for i := range dst {
			dst[i] = s[from]
			from += stride
		}
	}
}

// elems returns the tensor's elements for copying.
func (t *Tensor) elems() elems {
	switch storage(t.Type) {
	case onnx.Float:
		return slab[float32](t.F32)
	case onnx.Double:
		return slab[float64](t.F64)
	case onnx.Int64:
		return slab[int64](t.I64)
	case onnx.Int32:
		return slab[int32](t.I32)
	case onnx.Uint8:
		return slab[uint8](t.U8)
	case onnx.Int8:
		return slab[int8](t.I8)
	default:
		return slab[bool](t.Bool)
	}
}

// grain is how many elements of light work are worth a thread.
const grain = 1 << 14

// copyStrided fills dst, contiguous from position at, with the elements of src
// at from + Σ index·stride for every index of shape. Strides may be zero or negative.
func copyStrided(dst elems, at int, src elems, from int, shape, stride []int) {
	shape, stride = collapse(shape, stride)
	n := product(shape)
	if n == 0 {
		return
	}
	last := len(shape) - 1
	if last < 0 {
		dst.blit(at, src, from, 1, 1)
		return
	}
	inner, step := shape[last], stride[last]
	rows := n / inner
	kernel.Parallel(rows, max(1, grain/inner), func(lo, hi int) {
		index := make([]int, last)
		pos := from
		rest := lo
		for i := last - 1; i >= 0; i-- {
			index[i] = rest % shape[i]
			rest /= shape[i]
			pos += index[i] * stride[i]
		}
		for r := lo; r < hi; r++ {
			dst.blit(at+r*inner, src, pos, inner, step)
			for i := last - 1; i >= 0; i-- {
				index[i]++
				pos += stride[i]
				if index[i] < shape[i] {
					break
				}
				pos -= index[i] * stride[i]
				index[i] = 0
			}
		}
	})
}

// collapse drops dimensions of one and merges neighbours that are contiguous to each other.
func collapse(shape, stride []int) ([]int, []int) {
	s, t := make([]int, 0, len(shape)), make([]int, 0, len(shape))
	for i, d := range shape {
		if d == 1 {
			continue
		}
		if k := len(s) - 1; k >= 0 && t[k] == d*stride[i] {
			s[k] *= d
			t[k] = stride[i]
			continue
		}
		s, t = append(s, d), append(t, stride[i])
	}
	return s, t
}
