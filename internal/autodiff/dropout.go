package autodiff

import "github.com/litekit/lite/internal/kernel"

// dropout zeroes each element with probability p and divides the others by
// 1−p (Srivastava et al. 2014, inverted form). The mask is not stored: it
// follows from (seed, step, node, position), and backward makes it again. In a
// packed pass the position is that in the padded batch.
type dropout struct {
	node uint64
	p    float32
	pack *packed // nil where x is not packed
}

func (q *Pass) dropout(label string, node uint64, p float32, x *value, isRows bool) (*value, error) {
	c := &dropout{node: node, p: p}
	if isRows {
		c.pack = q.pack
	}
	return q.add(q.newOp("Dropout", label, c, x), x.shape...)
}

func (c *dropout) overwrites(int) bool { return true }

func (c *dropout) forward(o *forward) error {
	c.apply(o.out.f32(), o.in[0].f32(), o.pass, o.out.width())
	return nil
}

func (c *dropout) backward(b *backward) error {
	c.apply(b.over(0), b.dy(), b.pass, b.o.out.width())
	return nil
}

// apply drops elements of rows of n.
func (c *dropout) apply(y, x []float32, q *Pass, n int) {
	key := mix(mix(mix(q.seed)^q.tick) ^ c.node)
	k := c.pack
	if k == nil {
		kernel.Dropout(y, x, c.p, key, 0)
		return
	}
	kernel.Parallel(len(k.lengths), max(1, grain/max(1, k.seq*n)), func(lo, hi int) {
		for b := lo; b < hi; b++ {
			i, j := k.offsets[b]*n, k.offsets[b+1]*n
			kernel.Dropout(y[i:j], x[i:j], c.p, key, uint32(b*k.seq*n))
		}
	})
	clear(y[k.tokens()*n:])
}

// mix is the finalizer of SplitMix64 (Steele et al. 2014): neighbouring seeds
// and steps get unrelated keys.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
