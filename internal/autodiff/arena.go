package autodiff

import (
	"cmp"
	"runtime/debug"
	"slices"
	"weak"
)

// arena is the memory that the activations and adjoints of all passes of a
// program share. A pass lays its buffers out by itself, starting at 0, so the
// arena is as large as the largest pass needs.
type arena struct {
	slab []float32
	// bound are the passes that may hold slices of the slab.
	bound []weak.Pointer[Pass]
}

// largeSlab is the size, in floats, from which an old slab is given back to the
// system before a new one is made. It costs some milliseconds, and happens for
// a few shapes of a run.
const largeSlab = 4 << 20

// grow makes room for n floats. The passes let go of the old slab first, so
// that the old and the new one are never both kept alive.
func (a *arena) grow(n int) {
	if n <= len(a.slab) {
		return
	}
	large := len(a.slab) >= largeSlab
	a.release()
	if large {
		debug.FreeOSMemory() // or the system would hold both for a while
	}
	a.slab = make([]float32, n)
}

// release lets go of the slab.
func (a *arena) release() {
	for _, w := range a.bound {
		if q := w.Value(); q != nil {
			q.unbind()
		}
	}
	a.bound, a.slab = nil, nil
}

// buffer is a piece of the arena, in use from step first to step last of the
// pass, both included.
type buffer struct {
	arena       *arena
	n, off      int
	first, last int
	used        bool
}

// data is the memory of the buffer; nil for a nil buffer.
func (b *buffer) data() []float32 {
	if b == nil {
		return nil
	}
	return b.arena.slab[b.off : b.off+b.n : b.off+b.n]
}

// use extends the buffer's life to a step.
func (b *buffer) use(step int) {
	if !b.used {
		b.used, b.first, b.last = true, step, step
		return
	}
	b.first, b.last = min(b.first, step), max(b.last, step)
}

// align is the granularity of offsets, in floats: one cache line.
const align = 16

// layout assigns offsets so that no two buffers in use at the same step
// overlap, and returns the floats needed. Large buffers are placed first, each
// at the lowest offset that is free during its life (greedy by size).
func layout(bufs []*buffer) int {
	order := slices.DeleteFunc(slices.Clone(bufs), func(b *buffer) bool { return !b.used || b.n == 0 })
	slices.SortStableFunc(order, func(a, b *buffer) int {
		return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.first, b.first))
	})
	placed := make([]*buffer, 0, len(order)) // by offset
	total := 0
	for _, b := range order {
		size := roundUp(b.n)
		off := 0
		for _, p := range placed {
			if p.last < b.first || b.last < p.first {
				continue
			}
			if off+size <= p.off {
				break
			}
			off = max(off, p.off+roundUp(p.n))
		}
		b.off = off
		at, _ := slices.BinarySearchFunc(placed, off, func(p *buffer, off int) int { return cmp.Compare(p.off, off) })
		placed = slices.Insert(placed, at, b)
		total = max(total, off+size)
	}
	return total
}

func roundUp(n int) int { return (n + align - 1) / align * align }
