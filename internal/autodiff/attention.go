package autodiff

import (
	"fmt"
	"slices"

	"github.com/litekit/lite/internal/kernel"
)

// attention is softmax(Q·Kᵀ·scale + bias)·V per head on [B,S,A·d]. Of the
// probabilities only the logarithms of their sums are kept, [B,A,Sq].
type attention struct {
	shape kernel.AttentionShape
	bias  kernel.Bias
	lse   *buffer
	pack  *packed    // nil where sequences are padded: then B and S are as said
	temp  [3]*buffer // gradients that nothing wants
}

// attention adds scaled dot-product attention; bias may be nil and must be data.
func (q *Pass) attention(label string, query, key, val, bias *value, heads int, scale float32) (*value, error) {
	if q.pack != nil && q.isPacked(query, key, val) {
		return q.packedAttention(label, query, key, val, heads, scale)
	}
	for _, v := range []*value{query, key, val} {
		if v.rank() != 3 || heads < 1 || v.shape[2]%heads != 0 || v.shape[2] != query.shape[2] || v.shape[0] != query.shape[0] {
			return nil, fmt.Errorf("autodiff: node %s: attention over %v, %v, %v with %d heads; want three values [B,S,heads·d]", label, query.shape, key.shape, val.shape, heads)
		}
	}
	if key.shape[1] != val.shape[1] {
		return nil, fmt.Errorf("autodiff: node %s: %d keys and %d values", label, key.shape[1], val.shape[1])
	}
	h := query.shape[2]
	c := newAttention(query.shape[0], query.shape[1], key.shape[1], h, heads, scale)
	in := []*value{query, key, val}
	if bias != nil {
		if bias.grad != nil {
			return nil, fmt.Errorf("autodiff: node %s: the attention bias depends on a parameter, which has no gradient here; freeze it with Options.Frozen", label)
		}
		s := []int{c.shape.B, heads, c.shape.Sq, c.shape.Sk}
		st, err := broadcastStrides(bias.shape, s)
		if err != nil {
			return nil, fmt.Errorf("autodiff: node %s: attention bias: %w", label, err)
		}
		c.bias = kernel.Bias{SB: st[0], SA: st[1], SQ: st[2], SK: st[3]}
		in = append(in, bias)
	}
	return q.addAttention(label, c, in)
}

func newAttention(b, sq, sk, h, heads int, scale float32) *attention {
	return &attention{shape: kernel.AttentionShape{
		B: b, A: heads, Sq: sq, Sk: sk, D: h / heads, Scale: scale, LDQ: h, LDK: h, LDV: h, LDO: h,
	}}
}

// packedAttention is attention on [N,A·d], over the sequences of the run.
func (q *Pass) packedAttention(label string, query, key, val *value, heads int, scale float32) (*value, error) {
	h := query.width()
	if heads < 1 || h%heads != 0 || key.width() != h || val.width() != h {
		return nil, fmt.Errorf("autodiff: node %s: attention over %v, %v, %v with %d heads; want three values of one width, a multiple of the heads", label, query.shape, key.shape, val.shape, heads)
	}
	c := newAttention(q.B, q.S, q.S, h, heads, scale)
	c.pack = q.pack
	return q.addAttention(label, c, []*value{query, key, val})
}

// isPacked reports whether values are rows [N,·] of a packed pass.
func (q *Pass) isPacked(list ...*value) bool {
	return !slices.ContainsFunc(list, func(v *value) bool { return v.rank() != 2 || v.shape[0] != q.pack.n })
}

func (q *Pass) addAttention(label string, c *attention, in []*value) (*value, error) {
	query := in[0]
	o := q.newOp("Attention", label, c, in...)
	c.lse = o.save(q, c.shape.B*c.shape.A*c.shape.Sq)
	for i, v := range in[:3] {
		if v.grad == nil {
			c.temp[i] = q.newBuffer(v.size())
			o.backTemp = append(o.backTemp, c.temp[i])
		}
	}
	out, err := q.add(o, query.shape...)
	o.keep = append(slices.Clone(in), out)
	return out, err
}

func (c *attention) overwrites(int) bool { return true }

func (c *attention) forward(o *forward) error {
	kernel.Attention(o.out.f32(), o.in[0].f32(), o.in[1].f32(), o.in[2].f32(), c.biasOf(o), c.sizes(), c.lse.data())
	c.clearRest(o.out.f32())
	return nil
}

// sizes is the shape of this run.
func (c *attention) sizes() kernel.AttentionShape {
	sh := c.shape
	if c.pack != nil {
		sh.Offsets, sh.Sq, sh.Sk = c.pack.offsets, c.pack.longest, c.pack.longest
	}
	return sh
}

// clearRest zeroes the rows after the tokens, which the kernel leaves alone.
func (c *attention) clearRest(x []float32) {
	if c.pack != nil {
		clear(x[c.pack.tokens()*c.shape.LDO:])
	}
}

func (c *attention) biasOf(o *forward) kernel.Bias {
	bias := c.bias
	if len(o.in) > 3 {
		bias.Data = o.in[3].f32()
	}
	return bias
}

func (c *attention) backward(b *backward) error {
	var d [3][]float32
	for i := range d {
		if d[i] = b.over(i); d[i] == nil {
			d[i] = c.temp[i].data()
		}
	}
	in := b.o.in
	kernel.AttentionGrad(d[0], d[1], d[2], b.dy(), b.o.out.f32(), in[0].f32(), in[1].f32(), in[2].f32(), c.biasOf(b.o), c.lse.data(), c.sizes())
	for _, x := range d {
		c.clearRest(x)
	}
	return nil
}

// broadcastStrides gives the strides, in elements, with which a dense tensor of
// the given shape is read as the larger shape to; 0 repeats an axis.
func broadcastStrides(shape, to []int) ([]int, error) {
	out := make([]int, len(to))
	if len(shape) > len(to) {
		if volume(shape[:len(shape)-len(to)]) != 1 {
			return nil, fmt.Errorf("%v does not broadcast to %v", shape, to)
		}
		shape = shape[len(shape)-len(to):]
	}
	stride := 1
	for i := len(shape) - 1; i >= 0; i-- {
		j := i + len(to) - len(shape)
		switch shape[i] {
		case to[j]:
			out[j] = stride
		case 1:
		default:
			return nil, fmt.Errorf("%v does not broadcast to %v", shape, to)
		}
		stride *= shape[i]
	}
	for j, d := range to {
		if d == 1 {
			out[j] = 0
		}
	}
	return out, nil
}
