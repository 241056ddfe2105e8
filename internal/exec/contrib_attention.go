package exec

import (
	"fmt"
	"math"
	"slices"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// stretch is a run of positions of keys, values or queries: heads laid out in
// data as their strides say.
type stretch struct {
	headed
	data []float32
}

// rowsOfHeads is a stretch laid out as [batch, length, heads·size] with rows of ld.
func rowsOfHeads(data []float32, batch, length, heads, size, ld int) stretch {
	return stretch{headed{batch, heads, length, size, length * ld, size, ld}, data}
}

// headsFirst is a stretch laid out as [batch, heads, length, size].
func headsFirst(data []float32, batch, heads, length, size int) stretch {
	return stretch{headed{batch, heads, length, size, heads * length * size, length * size, size}, data}
}

// dense reports whether the kernel can read the stretch where it is, as rows of perRow.
func (s stretch) dense(width int) bool {
	return s.size == width && s.perHead == s.size && s.perBatch == s.length*s.perRow
}

// joined lays the stretches end to end as rows of heads·width, zeros behind
// heads that are narrower. scratch, where not nil, is the caller's to release.
func (c *call) joined(width int, parts ...stretch) (data []float32, ld int, scratch *Tensor, err error) {
	if len(parts) == 1 && parts[0].dense(width) {
		return parts[0].data, parts[0].perRow, nil, nil
	}
	p, total := parts[0], 0
	for _, s := range parts {
		total += s.length
	}
	ld = p.heads * width
	if scratch, err = c.new(onnx.Float, p.batch, total, ld); err != nil {
		return nil, 0, nil, err
	}
	if p.size < width {
		clear(scratch.F32)
	}
	at := 0
	for _, s := range parts {
		for b := range s.batch {
			for a := range s.heads {
				for i := range s.length {
					src := s.data[b*s.perBatch+a*s.perHead+i*s.perRow:][:s.size]
					copy(scratch.F32[(b*total+at+i)*ld+a*width:], src)
				}
			}
		}
		at += s.length
	}
	return scratch.F32, ld, scratch, nil
}

// stack copies the stretches end to end to dst as [batch, heads, length, size].
func stack(dst []float32, parts ...stretch) {
	at := 0
	for bh := range parts[0].batch * parts[0].heads {
		for _, s := range parts {
			b, a := bh/s.heads, bh%s.heads
			for i := range s.length {
				at += copy(dst[at:], s.data[b*s.perBatch+a*s.perHead+i*s.perRow:][:s.size])
			}
		}
	}
}

// headAttention is com.microsoft's attention on queries, keys and values that
// are already projected; the first of two stretches of keys are the past.
type headAttention struct {
	q            stretch
	k, v         []stretch
	mask, bias   int // input numbers
	causal       bool
	scale        float32
	past, length int // keys before and in all
}

// attend computes output 0 [batch, length, heads·size of V].
func (c *call) attend(h headAttention) error {
	q, last := h.q, h.v[len(h.v)-1]
	out, err := c.output(0, onnx.Float, q.batch, q.length, q.heads*last.size)
	if err != nil || out.Len() == 0 {
		return err
	}
	if h.length == 0 || q.size == 0 {
		clear(out.F32)
		return nil
	}
	width := max(q.size, last.size)
	sh := kernel.AttentionShape{B: q.batch, A: q.heads, Sq: q.length, Sk: h.length, D: width, Scale: h.scale, LDO: q.heads * width}
	if sh.Scale == 0 {
		sh.Scale = rsqrt(q.size)
	}
	var data [3][]float32
	for i, p := range []struct {
		parts []stretch
		ld    *int
	}{{[]stretch{q}, &sh.LDQ}, {h.k, &sh.LDK}, {h.v, &sh.LDV}} {
		var scratch *Tensor
		if data[i], *p.ld, scratch, err = c.joined(width, p.parts...); err != nil {
			return err
		}
		defer c.mem.release(scratch)
	}
	mask, err := c.attentionMask(h, sh)
	if err != nil {
		return err
	}
	if width == last.size {
		attendFloats(c.mem.done, out.F32, data[0], data[1], data[2], mask, sh)
		return nil
	}
	wide, err := c.new(onnx.Float, q.batch, q.length, q.heads*width)
	if err != nil {
		return err
	}
	defer c.mem.release(wide)
	attendFloats(c.mem.done, wide.F32, data[0], data[1], data[2], mask, sh)
	for i := range q.batch * q.length * q.heads {
		copy(out.F32[i*last.size:(i+1)*last.size], wide.F32[i*width:])
	}
	return nil
}

// attentionAttrs refuses what the attention operators have for decoding on other devices.
func attentionAttrs(n *onnx.Node) string {
	switch {
	case n.Int("do_rotary", 0) != 0:
		return "do_rotary"
	case n.Int("past_present_share_buffer", 0) != 0:
		return "past_present_share_buffer"
	}
	for i := 8; n.Op == "MultiHeadAttention" && i < len(n.Inputs); i++ {
		if n.Inputs[i] != "" {
			return fmt.Sprintf("input %d, the cache of a decoder", i)
		}
	}
	if n.Op == "MultiHeadAttention" && len(n.Outputs) > 3 && n.Outputs[3] != "" {
		return "output 3, the scores"
	}
	return ""
}

// packedAttention is com.microsoft's Attention: one product for Q, K and V of
// hidden sizes that may differ, after past keys and values [2, B, heads, P,
// size]; output 1 is those with the present ones.
func packedAttention(c *call) error {
	heads := int(c.node.Int("num_heads", 0))
	x, w := c.in[0], c.in[1]
	if len(x.Shape) != 3 || len(w.Shape) != 2 || x.Type != onnx.Float || w.Type != onnx.Float || w.Shape[0] != x.Shape[2] || heads < 1 {
		return fmt.Errorf("input %v and weight %v do not fit %d heads", x.Shape, w.Shape, heads)
	}
	n := w.Shape[1]
	sizes := []int64{int64(n / 3), int64(n / 3), int64(n / 3)}
	if s := c.node.Ints("qkv_hidden_sizes"); len(s) > 0 {
		sizes = s
	}
	if len(sizes) != 3 || sizes[0] != sizes[1] || slices.Min(sizes) < 0 || slices.Max(sizes) > int64(n) || sizes[0]+sizes[1]+sizes[2] != int64(n) ||
		sizes[0]%int64(heads) != 0 || sizes[2]%int64(heads) != 0 {
		return fmt.Errorf("a weight of shape %v does not hold %v columns for Q, K and V of %d heads", w.Shape, sizes, heads)
	}
	bias, err := c.bias(2, n)
	if err != nil {
		return err
	}
	b, s, h, hv := x.Shape[0], x.Shape[1], int(sizes[0]), int(sizes[2])
	qkv, err := c.new(onnx.Float, b*s, n)
	if err != nil {
		return err
	}
	defer c.mem.release(qkv)
	if qkv.Len() == 0 {
		_, err := c.output(0, onnx.Float, b, s, hv)
		return err
	}
	if packed, ok := c.prep.(*kernel.Packed); ok {
		gemmPacked(c.mem.done, b*s, x.F32, x.Shape[2], packed, bias, kernel.ActNone, qkv.F32, n)
	} else {
		gemmFloats(c.mem.done, false, false, b*s, n, x.Shape[2], 1, x.F32, x.Shape[2], w.F32, n, 0, qkv.F32, n)
		if bias != nil {
			kernel.BiasAct(qkv.F32, b*s, n, bias, kernel.ActNone)
		}
	}
	a := headAttention{q: rowsOfHeads(qkv.F32, b, s, heads, h/heads, n), mask: 3, bias: 5, length: s,
		causal: c.node.Int("unidirectional", 0) != 0, scale: c.node.Float("scale", 0),
		k: []stretch{rowsOfHeads(qkv.F32[h:], b, s, heads, h/heads, n)}, v: []stretch{rowsOfHeads(qkv.F32[2*h:], b, s, heads, hv/heads, n)}}
	if err := c.packedPast(&a); err != nil {
		return err
	}
	return c.attend(a)
}

// packedPast puts past states (input 4) before the keys and values and makes
// the present ones, output 1.
func (c *call) packedPast(a *headAttention) error {
	k, v := a.k[0], a.v[0]
	if t := c.arg(4); t != nil {
		if t.Type != onnx.Float || len(t.Shape) != 5 || k.size != v.size || !sameShape(t.Shape[:3], []int{2, k.batch, k.heads}) || t.Shape[4] != k.size {
			return fmt.Errorf("a past of shape %v does not fit %d rows of %d heads of sizes %d and %d", t.Shape, k.batch, k.heads, k.size, v.size)
		}
		a.past = t.Shape[3]
		half := t.Len() / 2
		a.k = []stretch{headsFirst(t.F32[:half], k.batch, k.heads, a.past, k.size), k}
		a.v = []stretch{headsFirst(t.F32[half:], k.batch, k.heads, a.past, k.size), v}
		a.length += a.past
	}
	if !c.wants(1) {
		return nil
	}
	if k.size != v.size {
		return fmt.Errorf("present states of heads of sizes %d and %d: %w", k.size, v.size, ErrType)
	}
	present, err := c.output(1, onnx.Float, 2, k.batch, k.heads, a.length, k.size)
	if err != nil {
		return err
	}
	stack(present.F32[:present.Len()/2], a.k...)
	stack(present.F32[present.Len()/2:], a.v...)
	return nil
}

// multiHeadAttention is com.microsoft's operator of Q [B, S, H], K [B, L, H]
// and V [B, L, Hv]. K and V may also be [B, heads, L, size] (the states of a
// cross attention) or packed in one [B, L, heads, 2, size], and all three in
// one [B, S, heads, 3, size]. Inputs 6 and 7 are past keys and values
// [B, heads, P, size]; outputs 1 and 2 are those with the present ones.
func multiHeadAttention(c *call) error {
	a := headAttention{mask: 4, bias: 5, causal: c.node.Int("unidirectional", 0) != 0, scale: c.node.Float("scale", 0)}
	k, v, err := c.threeOperands(&a)
	if err != nil {
		return err
	}
	scratch, err := c.addHeadBias(&a.q, &k, &v)
	for _, t := range scratch {
		defer c.mem.release(t)
	}
	if err != nil {
		return err
	}
	a.k, a.v, a.length = []stretch{k}, []stretch{v}, k.length
	past, old := c.arg(6), c.arg(7)
	if (past == nil) != (old == nil) {
		return fmt.Errorf("past_key and past_value go together; one is missing")
	}
	if past != nil {
		for i, s := range []stretch{k, v} {
			t := c.in[6+i]
			if t.Type != onnx.Float || len(t.Shape) != 4 || !sameShape(t.Shape[:2], []int{s.batch, s.heads}) || t.Shape[3] != s.size || t.Shape[2] != past.Shape[2] {
				return fmt.Errorf("a past of shape %v does not fit %d rows of %d heads of size %d", t.Shape, s.batch, s.heads, s.size)
			}
		}
		a.past = past.Shape[2]
		a.k = []stretch{headsFirst(past.F32, k.batch, k.heads, a.past, k.size), k}
		a.v = []stretch{headsFirst(old.F32, v.batch, v.heads, a.past, v.size), v}
		a.length += a.past
	}
	for i, parts := range [][]stretch{a.k, a.v} {
		if !c.wants(1 + i) {
			continue
		}
		present, err := c.output(1+i, onnx.Float, k.batch, k.heads, a.length, parts[0].size)
		if err != nil {
			return err
		}
		stack(present.F32, parts...)
	}
	return c.attend(a)
}

// threeOperands reads inputs 0, 1 and 2 of multiHeadAttention in any of their forms.
func (c *call) threeOperands(a *headAttention) (k, v stretch, err error) {
	heads := int(c.node.Int("num_heads", 0))
	q, kt, vt := c.in[0], c.arg(1), c.arg(2)
	shapes := [3][]int{q.Shape}
	for i, t := range []*Tensor{q, kt, vt} {
		if t != nil && t.Type != onnx.Float {
			return k, v, fmt.Errorf("input %d is %s: %w", i, typeName(t.Type), ErrType)
		}
		if t != nil {
			shapes[i] = t.Shape
		}
	}
	bad := fmt.Errorf("query %v, key %v and value %v do not fit each other and %d heads", shapes[0], shapes[1], shapes[2], heads)
	if heads < 1 {
		return k, v, bad
	}
	packed := func(t *Tensor, n, which int) stretch {
		size := t.Shape[4]
		return stretch{headed{t.Shape[0], heads, t.Shape[1], size, t.Shape[1] * heads * n * size, n * size, heads * n * size}, t.F32[min(which*size, len(t.F32)):]}
	}
	plain := func(t *Tensor) stretch {
		s := t.Shape
		if len(s) == 4 {
			return headsFirst(t.F32, s[0], heads, s[2], s[3])
		}
		return rowsOfHeads(t.F32, s[0], s[1], heads, s[2]/heads, s[2])
	}
	rank := func(t *Tensor, n int) bool { return t != nil && len(t.Shape) == n }
	switch {
	case rank(q, 5) && kt == nil && vt == nil && q.Shape[2] == heads && q.Shape[3] == 3:
		a.q = packed(q, 3, 0)
		return packed(q, 3, 1), packed(q, 3, 2), nil
	case !rank(q, 3) || q.Shape[2]%heads != 0:
		return k, v, bad
	case rank(kt, 5) && vt == nil && kt.Shape[2] == heads && kt.Shape[3] == 2:
		k, v = packed(kt, 2, 0), packed(kt, 2, 1)
	case rank(kt, 4) && rank(vt, 4) && kt.Shape[1] == heads && vt.Shape[1] == heads,
		rank(kt, 3) && rank(vt, 3) && kt.Shape[2]%heads == 0 && vt.Shape[2]%heads == 0:
		k, v = plain(kt), plain(vt)
	default:
		return k, v, bad
	}
	a.q = plain(q)
	if k.size != a.q.size || k.length != v.length || k.batch != a.q.batch || v.batch != k.batch {
		return k, v, bad
	}
	return k, v, nil
}

// addHeadBias adds input 3, the biases of Q, K and V one after the other, to
// copies of them, which the caller releases.
func (c *call) addHeadBias(parts ...*stretch) (scratch []*Tensor, err error) {
	if c.arg(3) == nil {
		return nil, nil
	}
	n := 0
	for _, p := range parts {
		n += p.heads * p.size
	}
	bias, err := c.bias(3, n)
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		h := p.heads * p.size
		t, err := c.new(onnx.Float, p.batch, p.length, h)
		if err != nil {
			return scratch, err
		}
		scratch = append(scratch, t)
		data, _, copied, err := c.joined(p.size, *p)
		if err != nil {
			return scratch, err
		}
		copy(t.F32, data)
		c.mem.release(copied)
		if t.Len() > 0 {
			kernel.BiasAct(t.F32, p.batch*p.length, h, bias[:h], kernel.ActNone)
		}
		bias = bias[h:]
		*p = rowsOfHeads(t.F32, p.batch, p.length, p.heads, p.size, h)
	}
	return scratch, nil
}

// attentionMask adds up the mask of keys, causality and the additive bias.
func (c *call) attentionMask(h headAttention, sh kernel.AttentionShape) (kernel.Bias, error) {
	extra, err := c.attentionBias(c.arg(h.bias), sh)
	if err != nil {
		return kernel.Bias{}, err
	}
	keep, err := c.keptKeys(h.mask, sh)
	if err != nil {
		return kernel.Bias{}, err
	}
	causal := h.causal && sh.Sq > 1
	if keep == nil && !causal {
		return extra, nil
	}
	heads := 1
	if extra.Data != nil && extra.SA != 0 {
		heads = sh.A
	}
	if n, ok := elements([]int{sh.B, heads, sh.Sq, sh.Sk}); !ok || n > c.mem.limit/4 {
		return kernel.Bias{}, fmt.Errorf("a mask for length %d is over the limit; see Options.MaxBytes", sh.Sk)
	}
	filter := c.node.Float("mask_filter_value", -10000)
	data := make([]float32, 0, sh.B*heads*sh.Sq*sh.Sk)
	for r := range sh.B * heads * sh.Sq {
		b, a, i := r/sh.Sq/heads, r/sh.Sq%heads, r%sh.Sq
		for j := range sh.Sk {
			v := float32(0)
			if causal && j > h.past+i {
				v = -math.MaxFloat32
			} else if keep != nil && !keep(b, i, j) {
				v = filter
			}
			if extra.Data != nil {
				v += extra.Data[b*extra.SB+a*extra.SA+i*extra.SQ+j*extra.SK]
			}
			data = append(data, v)
		}
	}
	out := kernel.Bias{Data: data, SB: heads * sh.Sq * sh.Sk, SA: sh.Sq * sh.Sk, SQ: sh.Sk, SK: 1}
	if heads == 1 {
		out.SA = 0
	}
	return out, nil
}

// keptKeys reads a mask of keys: the number of keys of each row [B], the ends
// and the starts of the keys [2·B], the former with two lists of offsets
// [3·B + 2], or ones and zeros [B, T] or [B, S, T]. One column for several
// keys means no mask, as does nil.
func (c *call) keptKeys(in int, sh kernel.AttentionShape) (func(b, i, j int) bool, error) {
	m := c.arg(in)
	if m == nil {
		return nil, nil
	}
	v, err := c.ints(in)
	if err != nil {
		return nil, err
	}
	switch {
	case sameShape(m.Shape, []int{sh.B}), sameShape(m.Shape, []int{3*sh.B + 2}):
		return func(b, _, j int) bool { return int64(j) < v[b] }, nil
	case sameShape(m.Shape, []int{2 * sh.B}):
		return func(b, _, j int) bool { return int64(j) < v[b] && int64(j) >= v[sh.B+b] }, nil
	case sameShape(m.Shape, []int{sh.B, sh.Sk}):
		return func(b, _, j int) bool { return v[b*sh.Sk+j] > 0 }, nil
	case sameShape(m.Shape, []int{sh.B, sh.Sq, sh.Sk}):
		return func(b, i, j int) bool { return v[(b*sh.Sq+i)*sh.Sk+j] > 0 }, nil
	case len(m.Shape) == 2 && m.Shape[1] == 1 && (m.Shape[0] == 1 || m.Shape[0] == sh.B):
		return nil, nil
	}
	return nil, fmt.Errorf("a mask of shape %v for %d rows of %d queries and %d keys: %w", m.Shape, sh.B, sh.Sq, sh.Sk, ErrType)
}

func rsqrt(d int) float32 { return float32(1 / math.Sqrt(float64(d))) }
