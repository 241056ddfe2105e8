package autodiff

import (
	"slices"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// maskOf is what the rows that a node adds up were multiplied by, "" where it is no
// such node.
func (k *packing) maskOf(p *Program, n *onnx.Node) string {
	if op := opName(n); op != "ReduceMean" && op != "ReduceSum" || !k.rows[n.Inputs[0]] {
		return ""
	}
	product := p.nodes[n.Inputs[0]]
	if product == nil || opName(product) != "Mul" {
		return ""
	}
	for _, mask := range product.Inputs {
		if p.nodes[mask] != nil && !p.learned[mask] {
			return mask
		}
	}
	return ""
}

// zeroBeyond reports whether a value [B,S,·] is 0 at padding.
func zeroBeyond(t *exec.Tensor, lengths []int, seq int) bool {
	if t == nil || t.Type != onnx.Float || len(t.Shape) != 3 || t.Shape[0] != len(lengths) || t.Shape[1] != seq {
		return false
	}
	n := t.Shape[2]
	for b, l := range lengths {
		if slices.ContainsFunc(t.F32[(b*seq+l)*n:(b+1)*seq*n], func(v float32) bool { return v != 0 }) {
			return false
		}
	}
	return true
}

// lowerPackedPool adds up the rows of every sequence: a sum or mean over positions
// of what is 0 at padding.
func lowerPackedPool(q *Pass, n *onnx.Node) ([]*value, error) {
	x, err := q.float(n, 0)
	if err != nil {
		return nil, err
	}
	axes, err := q.listed(n, 1, "axes")
	if err != nil {
		return nil, err
	}
	if len(axes) != 1 || axes[0] != 1 && axes[0] != -2 {
		return nil, cannotPack(nodeName(n))
	}
	mask := q.program.packing.pools[n]
	q.data.require(mask)
	if !slices.Contains(q.pack.masks, mask) {
		q.pack.masks = append(q.pack.masks, mask)
	}
	c := &poolRows{pack: q.pack, n: x.width(), scale: 1}
	if opName(n) == "ReduceMean" {
		c.scale = 1 / float32(q.S)
	}
	shape := []int{q.B, x.width()}
	if n.Int("keepdims", 1) != 0 {
		shape = []int{q.B, 1, x.width()}
	}
	return one(q.add(q.newOp("PoolRows", nodeName(n), c, x), shape...))
}

// poolRows adds up the rows of each sequence of a packed value, times scale.
type poolRows struct {
	pack  *packed
	n     int
	scale float32
}

func (c *poolRows) forward(o *forward) error {
	x, y := o.in[0].f32(), o.out.f32()
	kernel.Parallel(len(c.pack.lengths), 1, func(lo, hi int) {
		for b := lo; b < hi; b++ {
			sum := y[b*c.n : (b+1)*c.n]
			clear(sum)
			for r := c.pack.offsets[b]; r < c.pack.offsets[b+1]; r++ {
				kernel.Add(sum, sum, x[r*c.n:(r+1)*c.n])
			}
			kernel.Scale(c.scale, sum)
		}
	})
	return nil
}

func (c *poolRows) backward(b *backward) error {
	dx, dy := b.into(0), b.dy()
	if b.to[0].first {
		clear(dx)
	}
	kernel.Parallel(len(c.pack.lengths), 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			for r := c.pack.offsets[i]; r < c.pack.offsets[i+1]; r++ {
				kernel.Axpy(c.scale, dy[i*c.n:(i+1)*c.n], dx[r*c.n:(r+1)*c.n])
			}
		}
	})
	return nil
}
