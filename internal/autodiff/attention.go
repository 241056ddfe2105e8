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
	temp  [3]*buffer // gradients that nothing wants
}

// attention adds scaled dot-product attention; bias may be nil and must be data.
func (q *Pass) attention(label string, query, key, val, bias *value, heads int, scale float32) (*value, error) {
	for _, v := range []*value{query, key, val} {
		if v.rank() != 3 || heads < 1 || v.shape[2]%heads != 0 || v.shape[2] != query.shape[2] || v.shape[0] != query.shape[0] {
			return nil, fmt.Errorf("autodiff: node %s: attention over %v, %v, %v with %d heads; want three values [B,S,heads·d]", label, query.shape, key.shape, val.shape, heads)
		}
	}
	if key.shape[1] != val.shape[1] {
		return nil, fmt.Errorf("autodiff: node %s: %d keys and %d values", label, key.shape[1], val.shape[1])
	}
	h := query.shape[2]
	c := &attention{shape: kernel.AttentionShape{
		B: query.shape[0], A: heads, Sq: query.shape[1], Sk: key.shape[1], D: h / heads,
		Scale: scale, LDQ: h, LDK: h, LDV: h, LDO: h,
	}}
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
	o := q.newOp("Attention", label, c, in...)
	c.lse = o.save(q, c.shape.B*heads*c.shape.Sq)
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
	kernel.Attention(o.out.f32(), o.in[0].f32(), o.in[1].f32(), o.in[2].f32(), c.biasOf(o), c.shape, c.lse.data())
	return nil
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
	kernel.AttentionGrad(d[0], d[1], d[2], b.dy(), b.o.out.f32(), in[0].f32(), in[1].f32(), in[2].f32(), c.biasOf(b.o), c.lse.data(), c.shape)
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
