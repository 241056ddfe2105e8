package exec

import (
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// blit copies n elements between tensors of one storage type:
// t[at+i] = src[from+i·stride].
func (t *Tensor) blit(at int, src *Tensor, from, n, stride int) {
	switch storage(t.Type) {
	case onnx.Float:
		blit(t.F32[at:at+n], src.F32, from, stride)
	case onnx.Double:
		blit(t.F64[at:at+n], src.F64, from, stride)
	case onnx.Int64:
		blit(t.I64[at:at+n], src.I64, from, stride)
	case onnx.Int32:
		blit(t.I32[at:at+n], src.I32, from, stride)
	case onnx.Uint8:
		blit(t.U8[at:at+n], src.U8, from, stride)
	case onnx.Int8:
		blit(t.I8[at:at+n], src.I8, from, stride)
	default:
		blit(t.Bool[at:at+n], src.Bool, from, stride)
	}
}

func blit[T any](dst, src []T, from, stride int) {
	switch stride {
	case 1:
		copy(dst, src[from:from+len(dst)])
	case 0:
		v := src[from]
		for i := range dst {
			dst[i] = v
		}
	default:
		for i := range dst {
			dst[i] = src[from]
			from += stride
		}
	}
}

// grain is how many elements of light work are worth a thread.
const grain = 1 << 14

// copyTask copies rows of elements; see copyStrided.
type copyTask struct {
	dst, src      *Tensor
	at, from      int
	shape, stride []int // collapsed, at least one dimension
	room          [2 * maxLoop]int
}

// maxLoop is how many loops, after collapsing, need no memory of their own.
const maxLoop = 8

// copyStrided fills dst, contiguous from position at, with the elements of src
// at from + Σ index·stride for every index of shape. Strides may be zero or negative.
func copyStrided(dst *Tensor, at int, src *Tensor, from int, shape, stride []int) {
	t := borrow[copyTask]()
	defer giveBack(t)
	t.dst, t.src, t.at, t.from = dst, src, at, from
	t.shape, t.stride = collapseInto(t.room[:0:maxLoop], t.room[maxLoop:maxLoop], shape, stride)
	n := product(t.shape)
	if n == 0 {
		return
	}
	last := len(t.shape) - 1
	if last < 0 {
		dst.blit(at, src, from, 1, 1)
		return
	}
	inner := t.shape[last]
	kernel.Run(n/inner, max(1, grain/inner), t)
}

// Run copies rows lo to hi of the innermost dimension.
func (t *copyTask) Run(lo, hi int) {
	last := len(t.shape) - 1
	inner, step := t.shape[last], t.stride[last]
	var room [maxLoop]int
	index := room[:]
	if last > maxLoop {
		index = make([]int, last)
	}
	pos, rest := t.from, lo
	for i := last - 1; i >= 0; i-- {
		index[i] = rest % t.shape[i]
		rest /= t.shape[i]
		pos += index[i] * t.stride[i]
	}
	for r := lo; r < hi; r++ {
		t.dst.blit(t.at+r*inner, t.src, pos, inner, step)
		for i := last - 1; i >= 0; i-- {
			index[i]++
			pos += t.stride[i]
			if index[i] < t.shape[i] {
				break
			}
			pos -= index[i] * t.stride[i]
			index[i] = 0
		}
	}
}

// collapseInto drops dimensions of one and merges neighbours that are contiguous
// to each other; it appends to s and t, which are empty.
func collapseInto(s, t, shape, stride []int) ([]int, []int) {
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
