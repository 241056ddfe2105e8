package autodiff

import (
	"math/rand/v2"

	"github.com/litekit/lite/internal/kernel"
)

// dropout zeroes each element with probability p and divides the others by
// 1−p (Srivastava et al. 2014, inverted form). The mask is not stored: it
// follows from (seed, step, node, position), and backward makes it again.
// Probabilities are multiples of 1/65536.
type dropout struct {
	node   uint64
	reject uint16 // elements whose 16 random bits are below are dropped
	scale  float32
}

// dropBlock is how many elements one random generator serves.
const dropBlock = 4096

func (q *Pass) dropout(label string, node uint64, p float32, x *value) (*value, error) {
	c := &dropout{node: node, reject: uint16(min(max(p*65536+0.5, 0), 65535))}
	c.scale = 65536 / (65536 - float32(c.reject))
	return q.add(q.newOp("Dropout", label, c, x), x.shape...)
}

func (c *dropout) overwrites(int) bool { return true }

func (c *dropout) forward(o *forward) error {
	c.apply(o.pass, o.out.f32(), o.in[0].f32())
	return nil
}

func (c *dropout) backward(b *backward) error {
	c.apply(b.pass, b.over(0), b.dy())
	return nil
}

func (c *dropout) apply(q *Pass, y, x []float32) {
	key := mix(mix(mix(q.seed)^q.tick) ^ c.node)
	blocks := (len(x) + dropBlock - 1) / dropBlock
	kernel.Parallel(blocks, 2, func(lo, hi int) {
		var g rand.PCG
		for b := lo; b < hi; b++ {
			g.Seed(key, uint64(b))
			from := b * dropBlock
			to := min(from+dropBlock, len(x))
			c.block(&g, y[from:to], x[from:to])
		}
	})
}

func (c *dropout) block(g *rand.PCG, y, x []float32) {
	keep := [2]float32{c.scale, 0}
	for i := 0; i < len(x); i += 4 {
		bits := g.Uint64()
		for j := i; j < min(i+4, len(x)); j++ {
			drop := 0
			if uint16(bits) < c.reject {
				drop = 1
			}
			y[j] = x[j] * keep[drop]
			bits >>= 16
		}
	}
}

// mix is the finalizer of SplitMix64 (Steele et al. 2014): neighbouring seeds
// and steps get unrelated keys.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
