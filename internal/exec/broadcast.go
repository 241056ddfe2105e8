package exec

import (
	"fmt"

	"github.com/litekit/lite/internal/kernel"
)

// broadcast walks operands of different shapes together (numpy rules).
type broadcast struct {
	shape []int // of the result, as given
	// Collapsed: the loop dimensions and, per operand, the strides.
	dims    []int
	strides [][]int
}

// broadcastShape is the shape that all shapes broadcast to.
func broadcastShape(shapes ...[]int) ([]int, error) {
	rank := 0
	for _, s := range shapes {
		rank = max(rank, len(s))
	}
	out := make([]int, rank)
	for i := range out {
		out[i] = 1
	}
	for _, s := range shapes {
		for i, d := range s {
			o := &out[rank-len(s)+i]
			if d == *o || d == 1 {
				continue
			}
			if *o != 1 {
				return nil, fmt.Errorf("shapes %v do not broadcast together", shapes)
			}
			*o = d
		}
	}
	return out, nil
}

// broadcastStrides are the strides with which shape is read as the larger out.
func broadcastStrides(shape, out []int) []int {
	s := make([]int, len(out))
	own := strides(shape)
	off := len(out) - len(shape)
	for i, d := range shape {
		if d != 1 {
			s[off+i] = own[i]
		}
	}
	return s
}

func newBroadcast(shapes ...[]int) (*broadcast, error) {
	out, err := broadcastShape(shapes...)
	if err != nil {
		return nil, err
	}
	b := &broadcast{shape: out, strides: make([][]int, len(shapes))}
	full := make([][]int, len(shapes))
	for i, s := range shapes {
		full[i] = broadcastStrides(s, out)
	}
	for d, size := range out {
		if size == 1 {
			continue
		}
		k := len(b.dims) - 1
		merge := k >= 0
		for i := range full {
			merge = merge && b.strides[i][k] == size*full[i][d]
		}
		if merge {
			b.dims[k] *= size
		} else {
			b.dims = append(b.dims, size)
		}
		for i := range full {
			if merge {
				b.strides[i][k] = full[i][d]
			} else {
				b.strides[i] = append(b.strides[i], full[i][d])
			}
		}
	}
	if len(b.dims) == 0 {
		b.dims = []int{1}
		for i := range b.strides {
			b.strides[i] = []int{0}
		}
	}
	return b, nil
}

// rows calls f for every run of the innermost dimension: the position in the
// result, the length, and each operand's position. The operands' innermost
// strides (0 or 1) are b.inner(i). Runs are spread over threads; pos is reused.
func (b *broadcast) rows(f func(at, n int, pos []int)) {
	last := len(b.dims) - 1
	inner := b.dims[last]
	total := product(b.dims)
	if total == 0 {
		return
	}
	if last == 0 {
		kernel.Parallel(inner, grain, func(lo, hi int) {
			pos := make([]int, len(b.strides))
			for i := range pos {
				pos[i] = lo * b.strides[i][0]
			}
			f(lo, hi-lo, pos)
		})
		return
	}
	kernel.Parallel(total/inner, max(1, grain/inner), func(lo, hi int) {
		index := make([]int, last)
		pos := make([]int, len(b.strides))
		rest := lo
		for d := last - 1; d >= 0; d-- {
			index[d] = rest % b.dims[d]
			rest /= b.dims[d]
			for i := range pos {
				pos[i] += index[d] * b.strides[i][d]
			}
		}
		for r := lo; r < hi; r++ {
			f(r*inner, inner, pos)
			for d := last - 1; d >= 0; d-- {
				index[d]++
				carry := index[d] == b.dims[d]
				for i := range pos {
					pos[i] += b.strides[i][d]
					if carry {
						pos[i] -= index[d] * b.strides[i][d]
					}
				}
				if !carry {
					break
				}
				index[d] = 0
			}
		}
	})
}

// inner is the stride of operand i along the innermost dimension, 0 or 1.
func (b *broadcast) inner(i int) int { return b.strides[i][len(b.dims)-1] }
