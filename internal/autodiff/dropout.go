package autodiff

import "github.com/litekit/lite/internal/kernel"

// dropout zeroes each element with probability p and divides the others by
// 1−p (Srivastava et al. 2014, inverted form). The mask is not stored: it
// follows from (seed, step, node, position), and backward makes it again.
type dropout struct {
	node uint64
	p    float32
}

func (q *Pass) dropout(label string, node uint64, p float32, x *value) (*value, error) {
	return q.add(q.newOp("Dropout", label, &dropout{node: node, p: p}, x), x.shape...)
}

func (c *dropout) overwrites(int) bool { return true }

func (c *dropout) forward(o *forward) error {
	kernel.Dropout(o.out.f32(), o.in[0].f32(), c.p, c.key(o.pass))
	return nil
}

func (c *dropout) backward(b *backward) error {
	kernel.Dropout(b.over(0), b.dy(), c.p, c.key(b.pass))
	return nil
}

func (c *dropout) key(q *Pass) uint64 { return mix(mix(mix(q.seed)^q.tick) ^ c.node) }

// mix is the finalizer of SplitMix64 (Steele et al. 2014): neighbouring seeds
// and steps get unrelated keys.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
