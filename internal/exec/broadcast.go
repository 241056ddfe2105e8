package exec

import (
	"fmt"
	"slices"

	"github.com/litekit/lite/internal/kernel"
)

// broadcast walks up to three operands of different shapes together (numpy rules).
type broadcast struct {
	shape []int // of the result, as given
	// Collapsed: the loop dimensions and, per operand, the strides.
	dims     []int
	strides  [3][]int
	operands int
}

// broadcastShape is the shape that all shapes broadcast to.
func broadcastShape(shapes ...[]int) ([]int, error) {
	return broadcastInto(make([]int, rankOf(shapes...)), shapes...)
}

// broadcastShape is the same in a shape that lasts as long as the run.
func (c *call) broadcastShape(shapes ...[]int) ([]int, error) {
	return broadcastInto(c.newShape(rankOf(shapes...)), shapes...)
}

func rankOf(shapes ...[]int) int {
	rank := 0
	for _, s := range shapes {
		rank = max(rank, len(s))
	}
	return rank
}

func broadcastInto(out []int, shapes ...[]int) ([]int, error) {
	for i := range out {
		out[i] = 1
	}
	for _, s := range shapes {
		for i, d := range s {
			o := &out[len(out)-len(s)+i]
			if d == *o || d == 1 {
				continue
			}
			if *o != 1 {
				return nil, errBroadcast(shapes)
			}
			*o = d
		}
	}
	return out, nil
}

// errBroadcast copies the shapes, so that those that fit need not be on the heap.
func errBroadcast(shapes [][]int) error {
	list := make([][]int, len(shapes))
	for i, s := range shapes {
		list[i] = slices.Clone(s)
	}
	return fmt.Errorf("shapes %v do not broadcast together", list)
}

// broadcastStrides are the strides with which shape is read as the larger out.
func broadcastStrides(shape, out []int) []int {
	return stridesInto(make([]int, len(out)), shape)
}

// broadcastStrides is the same in a slice that lasts as long as the run.
func (c *call) broadcastStrides(shape, out []int) []int {
	return stridesInto(c.newShape(len(out)), shape)
}

// stridesInto fills out, zero as yet, with the strides of the shape, whose
// dimensions are its last ones; dimensions of one are not moved along.
func stridesInto(out, shape []int) []int {
	off, n := len(out)-len(shape), 1
	for i := len(shape) - 1; i >= 0; i-- {
		if shape[i] != 1 {
			out[off+i] = n
		}
		n *= shape[i]
	}
	return out
}

// broadcast resolves the shapes of two or three operands.
func (c *call) broadcast(shapes ...[]int) (*broadcast, error) {
	out, err := c.broadcastShape(shapes...)
	if err != nil {
		return nil, err
	}
	b := c.mem.loops.next()
	b.shape, b.operands, b.dims = out, len(shapes), c.newShape(max(1, len(out)))[:0]
	var full [3][]int
	for i, s := range shapes {
		full[i] = c.broadcastStrides(s, out)
		b.strides[i] = c.newShape(max(1, len(out)))[:0]
	}
	for d, size := range out {
		if size == 1 {
			continue
		}
		k := len(b.dims) - 1
		merge := k >= 0
		for i := range shapes {
			merge = merge && b.strides[i][k] == size*full[i][d]
		}
		if merge {
			b.dims[k] *= size
		} else {
			b.dims = append(b.dims, size)
		}
		for i := range shapes {
			if merge {
				b.strides[i][k] = full[i][d]
			} else {
				b.strides[i] = append(b.strides[i], full[i][d])
			}
		}
	}
	if len(b.dims) == 0 {
		b.dims = append(b.dims, 1)
		for i := range shapes {
			b.strides[i] = append(b.strides[i], 0)
		}
	}
	return b, nil
}

// inner is the stride of operand i along the innermost dimension, 0 or 1.
func (b *broadcast) inner(i int) int { return b.strides[i][len(b.dims)-1] }

// run spreads t over threads: its Run is given positions of the result where
// there is one loop, else runs of the innermost dimension.
func (b *broadcast) run(t kernel.Task) {
	last := len(b.dims) - 1
	inner, total := b.dims[last], product(b.dims)
	switch {
	case total == 0:
	case last == 0:
		kernel.Run(inner, grain, t)
	default:
		kernel.Run(total/inner, max(1, grain/inner), t)
	}
}

// runs steps through the runs of the innermost dimension.
type runs struct {
	pos   [3]int // of each operand
	index [maxLoop]int
	next  int
}

// seek goes to run r.
func (b *broadcast) seek(at *runs, r int) {
	at.pos, at.next = [3]int{}, r+1
	for d := len(b.dims) - 2; d >= 0; d-- {
		k := r % b.dims[d]
		r /= b.dims[d]
		if d < maxLoop {
			at.index[d] = k
		}
		for i := range b.operands {
			at.pos[i] += k * b.strides[i][d]
		}
	}
}

// step goes to the next run.
func (b *broadcast) step(at *runs) {
	if len(b.dims) > maxLoop {
		b.seek(at, at.next)
		return
	}
	at.next++
	for d := len(b.dims) - 2; d >= 0; d-- {
		at.index[d]++
		carry := at.index[d] == b.dims[d]
		for i := range b.operands {
			at.pos[i] += b.strides[i][d]
			if carry {
				at.pos[i] -= at.index[d] * b.strides[i][d]
			}
		}
		if !carry {
			return
		}
		at.index[d] = 0
	}
}

// walkTask applies a run of a binary operation to every run of a broadcast.
type walkTask[T, R any] struct {
	b    *broadcast
	f    row[T, R]
	dst  []R
	x, y []T
}

func (t *walkTask[T, R]) Run(lo, hi int) {
	b, last := t.b, len(t.b.dims)-1
	sx, sy := b.inner(0), b.inner(1)
	if last == 0 {
		t.f(t.dst[lo:hi], t.x[lo*sx:], t.y[lo*sy:], sx, sy)
		return
	}
	n := b.dims[last]
	var at runs
	b.seek(&at, lo)
	for r := lo; r < hi; r++ {
		t.f(t.dst[r*n:(r+1)*n], t.x[at.pos[0]:], t.y[at.pos[1]:], sx, sy)
		b.step(&at)
	}
}

// walk computes a binary operation on broadcast operands.
func walk[T, R any](b *broadcast, f row[T, R], dst []R, x, y []T) {
	t := borrow[walkTask[T, R]]()
	t.b, t.f, t.dst, t.x, t.y = b, f, dst, x, y
	b.run(t)
	giveBack(t)
}
