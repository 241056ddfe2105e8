package autodiff

import "github.com/litekit/lite/internal/kernel"

// packedGather makes the rows [N,n] of a packed pass from rows of X: for the
// token at (b,s) that at b·strides[0] + s·strides[1], or with ids, a second
// input, the one that the id there names. The rows after the tokens are 0.
type packedGather struct {
	pack     *packed
	n, limit int
	strides  [2]int
	ids      []int64
}

func (c *packedGather) forward(o *forward) error {
	k := c.pack
	ids := c.ids[:k.tokens()]
	for r, at := range k.rows {
		ids[r] = at/int64(k.seq)*int64(c.strides[0]) + at%int64(k.seq)*int64(c.strides[1])
	}
	if len(o.in) > 1 {
		var err error
		for r, at := range ids {
			if ids[r], err = o.in[1].index(int(at), c.limit); err != nil {
				return err
			}
		}
	}
	y := o.out.f32()
	kernel.GatherRows(y[:len(ids)*c.n], o.in[0].f32(), c.n, ids)
	clear(y[len(ids)*c.n:])
	return nil
}

func (c *packedGather) backward(b *backward) error {
	dx := b.into(0)
	if b.to[0].first {
		clear(dx)
	}
	ids := c.ids[:c.pack.tokens()]
	if len(b.o.in) > 1 {
		b.o.in[0].param.touch(ids)
	}
	kernel.ScatterAddRows(dx, b.dy()[:len(ids)*c.n], c.n, ids)
	return nil
}

// takeRows takes rows of a packed value: those at the flat positions of a second
// input, or without one the first of every sequence. A position of padding gives
// zeros and has no gradient.
type takeRows struct {
	pack      *packed
	n         int
	positions int
	ids       []int64
}

func (c *takeRows) forward(o *forward) error {
	k := c.pack
	if len(o.in) == 1 {
		for b := range c.ids {
			c.ids[b] = int64(k.offsets[b])
		}
	} else {
		for i := range c.ids {
			at, err := o.in[1].index(i, c.positions)
			if err != nil {
				return err
			}
			c.ids[i] = k.rowOf(at)
		}
	}
	x, y := o.in[0].f32(), o.out.f32()
	c.runs(func(lo, hi int, padding bool) {
		if part := y[lo*c.n : hi*c.n]; padding {
			clear(part)
		} else {
			kernel.GatherRows(part, x, c.n, c.ids[lo:hi])
		}
	})
	return nil
}

func (c *takeRows) backward(b *backward) error {
	dx, dy := b.into(0), b.dy()
	if b.to[0].first {
		clear(dx)
	}
	c.runs(func(lo, hi int, padding bool) {
		if !padding {
			kernel.ScatterAddRows(dx, dy[lo*c.n:hi*c.n], c.n, c.ids[lo:hi])
		}
	})
	return nil
}

// runs calls f for the longest runs of rows that are all tokens, or all padding.
func (c *takeRows) runs(f func(lo, hi int, padding bool)) {
	for lo := 0; lo < len(c.ids); {
		hi := lo + 1
		for hi < len(c.ids) && (c.ids[hi] < 0) == (c.ids[lo] < 0) {
			hi++
		}
		f(lo, hi, c.ids[lo] < 0)
		lo = hi
	}
}
