package exec

import (
	"fmt"
	"math"

	"github.com/litekit/lite/onnx"
)

func attentionOps() map[string]operator {
	return map[string]operator{
		"Attention":       {run: byReal(standardAttention[float32], standardAttention[float64]), inputs: 3},
		"RotaryEmbedding": {run: byReal(rotary[float32], rotary[float64]), inputs: 3},
	}
}

// headed is a tensor seen as [batch, heads, length, size], whether it was
// given so or as [batch, length, heads·size].
type headed struct {
	batch, heads, length, size int
	perBatch, perHead, perRow  int // strides
}

// asHeads reads a tensor as heads; a 3-D one has the number from an attribute.
func asHeads(what string, t *Tensor, attr string, heads int64) (headed, error) {
	s := t.Shape
	switch len(s) {
	case 4:
		return headed{s[0], s[1], s[2], s[3], s[1] * s[2] * s[3], s[2] * s[3], s[3]}, nil
	case 3:
		if heads < 1 || heads > int64(max(1, s[2])) || s[2]%int(heads) != 0 {
			return headed{}, fmt.Errorf("attribute %s is %d; it must divide the width of the %s of shape %v", attr, heads, what, s)
		}
		size := s[2] / int(heads)
		return headed{s[0], int(heads), s[1], size, s[1] * s[2], size, s[2]}, nil
	}
	return headed{}, fmt.Errorf("the %s has shape %v; three or four dimensions are needed", what, s)
}

// scaledAttention is what one call of standardAttention works with.
type scaledAttention[T real] struct {
	q, k, v            headed
	qd, kd, vd, y, raw []T
	mask               func(b, h, i int, row []float64) // adds the mask; nil for none
	past               int
	causal             bool
	nonpad             []int64
	scale, softcap     float64
	mode               int64
}

// standardAttention is Attention of ai.onnx (opset 23 and 24): queries, keys
// and values as [B, heads, length, size] or [B, length, heads·size], with
// fewer heads of keys than of queries, which are repeated in turn as the
// function body of the standard tiles them (head h reads h mod heads), a boolean or additive mask,
// past keys and values that are put before the present ones, causality (query i sees keys to i, counted from the first past one), a cap
// on the scores, and the scores as the fourth output in one of four stages.
// From opset 24, input 6 says how many keys of each batch row are no padding
// and the mask may be shorter than the keys; the rest is masked. The steps are
// in the order of the standard's function body: mask, cap, softmax.
func standardAttention[T real](c *call) error {
	a := &scaledAttention[T]{causal: c.node.Int("is_causal", 0) != 0, mode: c.node.Int("qk_matmul_output_mode", 0),
		softcap: float64(c.node.Float("softcap", 0))}
	var err error
	for _, p := range []struct {
		what, attr string
		i          int
		h          *headed
		d          *[]T
	}{{"query", "q_num_heads", 0, &a.q, &a.qd}, {"key", "kv_num_heads", 1, &a.k, &a.kd}, {"value", "kv_num_heads", 2, &a.v, &a.vd}} {
		if *p.d, err = typed[T](c, p.i); err != nil {
			return err
		}
		if *p.h, err = asHeads(p.what, c.in[p.i], p.attr, c.node.Int(p.attr, 0)); err != nil {
			return err
		}
	}
	bad := a.k.heads == 0 || a.q.heads%max(1, a.k.heads) != 0 || a.k.heads != a.v.heads || a.q.size != a.k.size ||
		a.k.length != a.v.length || a.q.batch != a.k.batch || a.k.batch != a.v.batch
	if bad {
		return fmt.Errorf("a query of shape %v, a key of %v and a value of %v do not fit", c.in[0].Shape, c.in[1].Shape, c.in[2].Shape)
	}
	if a.mode < 0 || a.mode > 3 {
		return fmt.Errorf("attribute qk_matmul_output_mode is %d; 0 to 3 is needed", a.mode)
	}
	a.scale = 1 / math.Sqrt(float64(a.q.size))
	if s := c.node.Attr("scale"); s != nil {
		a.scale = float64(s.Float)
	}
	if err := a.prepend(c); err != nil {
		return err
	}
	if err := a.masks(c); err != nil {
		return err
	}
	return a.run(c)
}

// prepend puts the past keys and values (inputs 4 and 5) before the present
// ones; outputs 1 and 2 are all of them.
func (a *scaledAttention[T]) prepend(c *call) error {
	if (c.arg(4) == nil) != (c.arg(5) == nil) {
		return fmt.Errorf("past_key and past_value go together; one is missing")
	}
	for i, p := range []struct {
		h *headed
		d *[]T
	}{{&a.k, &a.kd}, {&a.v, &a.vd}} {
		h, past := p.h, 0
		old, err := typed[T](c, 4+i)
		if err != nil {
			return err
		}
		if t := c.arg(4 + i); t != nil {
			if len(t.Shape) != 4 || t.Shape[0] != h.batch || t.Shape[1] != h.heads || t.Shape[3] != h.size {
				return fmt.Errorf("a past of shape %v does not fit %d rows of %d heads of size %d", t.Shape, h.batch, h.heads, h.size)
			}
			past = t.Shape[2]
		}
		if i == 1 && past != a.past {
			return fmt.Errorf("past_key has %d positions and past_value %d", a.past, past)
		}
		a.past = past
		if past == 0 && !c.wants(1+i) {
			continue
		}
		all, err := c.output(1+i, c.in[0].Type, h.batch, h.heads, past+h.length, h.size)
		if err != nil {
			return err
		}
		dst := data[T](all)
		for bh := range h.batch * h.heads {
			to := dst[bh*(past+h.length)*h.size:]
			copy(to[:past*h.size], old[min(len(old), bh*past*h.size):])
			from := (*p.d)[min(len(*p.d), bh/h.heads*h.perBatch+bh%h.heads*h.perHead):]
			for r := range h.length {
				copy(to[(past+r)*h.size:(past+r+1)*h.size], from[r*h.perRow:])
			}
		}
		*p.d = dst
		*h, _ = asHeads("", all, "", 0)
	}
	return nil
}

// masks reads the mask (input 3) and the number of keys that are no padding (input 6).
func (a *scaledAttention[T]) masks(c *call) error {
	if c.arg(6) != nil {
		n, err := c.ints(6)
		if err != nil {
			return err
		}
		if len(n) != a.q.batch {
			return fmt.Errorf("nonpad_kv_seqlen has shape %v; one number for each of %d rows is needed", c.in[6].Shape, a.q.batch)
		}
		a.nonpad = n
	}
	m := c.arg(3)
	if m == nil {
		return nil
	}
	if len(m.Shape) < 1 || len(m.Shape) > 4 {
		return fmt.Errorf("the mask has shape %v; two to four dimensions are needed", m.Shape)
	}
	width := m.Shape[len(m.Shape)-1]
	want := []int{a.q.batch, a.q.heads, a.q.length, a.k.length}
	if c.opset >= 24 && width < a.k.length {
		want[3] = width
	}
	full, err := broadcastShape(m.Shape, want)
	if err != nil || !sameShape(full, want) {
		return fmt.Errorf("a mask of shape %v does not broadcast to %v", m.Shape, want)
	}
	st := broadcastStrides(m.Shape, want)
	var at func(j int) float64
	switch {
	case m.Type == onnx.Bool:
		at = func(j int) float64 {
			if m.Bool[j] {
				return 0
			}
			return math.Inf(-1)
		}
	default:
		d, err := typed[T](c, 3)
		if err != nil {
			return err
		}
		at = func(j int) float64 { return float64(d[j]) }
	}
	a.mask = func(b, h, i int, row []float64) {
		base := b*st[0] + h*st[1] + i*st[2]
		for j := range row {
			if j >= want[3] {
				row[j] = math.Inf(-1)
				continue
			}
			row[j] += at(base + j*st[3])
		}
	}
	return nil
}

// run computes output 0, in the form of the query, and the scores.
func (a *scaledAttention[T]) run(c *call) error {
	shape := []int{a.q.batch, a.q.heads, a.q.length, a.v.size}
	if len(c.in[0].Shape) == 3 {
		shape = []int{a.q.batch, a.q.length, a.q.heads * a.v.size}
	}
	out, err := c.output(0, c.in[0].Type, shape...)
	if err != nil {
		return err
	}
	a.y = data[T](out)
	yh, err := asHeads("output", out, "q_num_heads", int64(a.q.heads))
	if err != nil {
		return err
	}
	if c.wants(3) {
		raw, err := c.output(3, c.in[0].Type, a.q.batch, a.q.heads, a.q.length, a.k.length)
		if err != nil {
			return err
		}
		a.raw = data[T](raw)
	}
	rows := a.q.batch * a.q.heads * a.q.length
	c.parallel(rows, max(1, grain/max(1, a.k.length*(a.q.size+a.v.size))), func(lo, hi int) {
		row, sum := make([]float64, a.k.length), make([]float64, a.v.size)
		for r := lo; r < hi; r++ {
			b, h, i := r/a.q.length/a.q.heads, r/a.q.length%a.q.heads, r%a.q.length
			a.attend(row, sum, b, h, i)
			y := a.y[b*yh.perBatch+h*yh.perHead+i*yh.perRow:]
			for d, v := range sum {
				y[d] = T(v)
			}
		}
	})
	return nil
}

// attend computes the output of one query into sum; row is room for its scores.
func (a *scaledAttention[T]) attend(row, sum []float64, b, h, i int) {
	group := h % a.k.heads
	q := a.qd[b*a.q.perBatch+h*a.q.perHead+i*a.q.perRow:][:a.q.size]
	for j := range row {
		k := a.kd[b*a.k.perBatch+group*a.k.perHead+j*a.k.perRow:][:a.k.size]
		dot := 0.0
		for d, v := range q {
			dot += float64(v) * float64(k[d])
		}
		row[j] = dot * a.scale
	}
	keep := func(stage int64) {
		if a.raw != nil && a.mode == stage {
			to := a.raw[((b*a.q.heads+h)*a.q.length+i)*len(row):]
			for j, v := range row {
				to[j] = T(v)
			}
		}
	}
	keep(0)
	if a.mask != nil {
		a.mask(b, h, i, row)
	}
	for j := range row {
		if a.causal && j > i || a.nonpad != nil && int64(j) >= a.nonpad[b] {
			row[j] = math.Inf(-1)
		}
	}
	keep(1)
	if a.softcap > 0 {
		for j, v := range row {
			row[j] = a.softcap * math.Tanh(v/a.softcap)
		}
	}
	keep(2)
	softmaxLanes(row, row, lanes{count: 1, n: len(row), step: 1}, false)
	keep(3)
	clear(sum)
	for j, p := range row {
		if p == 0 {
			continue
		}
		v := a.vd[b*a.v.perBatch+group*a.v.perHead+j*a.v.perRow:][:a.v.size]
		for d, x := range v {
			sum[d] += p * float64(x)
		}
	}
}

// rotary is RotaryEmbedding (opset 23): the first rotary_embedding_dim of each
// head (all by default) are turned by the angles whose cosines and sines are
// inputs 1 and 2: [positions, dim/2] read at the position_ids (input 3, [B,
// length]), or without those [B, length, dim/2]; their rows may be longer than is read. Pairs are the two halves, or
// with interleaved neighbours. The input is [B, heads, length, size], or
// [B, length, heads·size] with num_heads.
func rotary[T real](c *call) error {
	x := c.in[0]
	h, err := asHeads("input", x, "num_heads", c.node.Int("num_heads", 0))
	if err != nil {
		return err
	}
	dim := h.size
	if v := c.node.Int("rotary_embedding_dim", 0); v != 0 {
		if v < 0 || v > int64(h.size) {
			return fmt.Errorf("attribute rotary_embedding_dim is %d for heads of size %d", v, h.size)
		}
		dim = int(v)
	}
	half := dim / 2
	if dim%2 != 0 {
		return fmt.Errorf("%d rotated dimensions; an even number is needed", dim)
	}
	rows, err := c.rotaryRows(h, half)
	if err != nil {
		return err
	}
	cos, err := typed[T](c, 1)
	if err != nil {
		return err
	}
	sin, err := typed[T](c, 2)
	if err != nil {
		return err
	}
	out, err := c.output(0, x.Type, x.Shape...)
	if err != nil {
		return err
	}
	src, dst := data[T](x), data[T](out)
	near, step, width := half, 1, c.in[1].Shape[len(c.in[1].Shape)-1]
	if c.node.Int("interleaved", 0) != 0 {
		near, step = 1, 2
	}
	c.parallel(h.batch*h.heads*h.length, max(1, grain/4/max(1, h.size)), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			b, hd, i := r/h.length/h.heads, r/h.length%h.heads, r%h.length
			at := b*h.perBatch + hd*h.perHead + i*h.perRow
			x, y := src[at:at+h.size], dst[at:at+h.size]
			row := rows(b, i)
			copy(y[dim:], x[dim:])
			for j := range half {
				co, si := cos[row*width+j], sin[row*width+j]
				p, q := x[j*step], x[j*step+near]
				y[j*step], y[j*step+near] = co*p-si*q, si*p+co*q
			}
		}
	})
	return nil
}

// rotaryRows checks the caches and tells which of their rows is for position i of batch row b.
func (c *call) rotaryRows(h headed, half int) (func(b, i int) int, error) {
	cos, sin := c.in[1], c.in[2]
	bad := fmt.Errorf("caches of shapes %v and %v do not fit %d rows of %d positions and %d angles", cos.Shape, sin.Shape, h.batch, h.length, half)
	if !sameShape(cos.Shape, sin.Shape) || len(cos.Shape) < 2 || cos.Shape[len(cos.Shape)-1] < half {
		return nil, bad
	}
	if c.arg(3) == nil {
		if !sameShape(cos.Shape[:len(cos.Shape)-1], []int{h.batch, h.length}) {
			return nil, bad
		}
		return func(b, i int) int { return b*h.length + i }, nil
	}
	if len(cos.Shape) != 2 || !sameShape(c.in[3].Shape, []int{h.batch, h.length}) {
		return nil, fmt.Errorf("position_ids of shape %v with caches of shape %v; [%d %d] and two dimensions are needed", c.in[3].Shape, cos.Shape, h.batch, h.length)
	}
	ids, err := c.ints(3)
	if err != nil {
		return nil, err
	}
	for _, p := range ids {
		if p < 0 || p >= int64(cos.Shape[0]) {
			return nil, fmt.Errorf("position %d is outside caches of %d positions", p, cos.Shape[0])
		}
	}
	return func(b, i int) int { return int(ids[b*h.length+i]) }, nil
}
