package exec

import (
	"fmt"
	"math"
	"slices"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// packedAttention is com.microsoft's Attention: one product for Q, K and V.
func packedAttention(c *call) error {
	heads := int(c.node.Int("num_heads", 0))
	x, w := c.in[0], c.in[1]
	if c.arg(4) != nil || c.wants(1) || c.node.Int("do_rotary", 0) != 0 {
		return fmt.Errorf("past states and rotary embedding: %w", ErrType)
	}
	if len(x.Shape) != 3 || len(w.Shape) != 2 || x.Type != onnx.Float || w.Type != onnx.Float || w.Shape[0] != x.Shape[2] ||
		heads < 1 || w.Shape[1]%(3*heads) != 0 {
		return fmt.Errorf("input %v and weight %v do not fit %d heads", x.Shape, w.Shape, heads)
	}
	h := w.Shape[1] / 3
	if s := c.node.Ints("qkv_hidden_sizes"); s != nil && (len(s) != 3 || slices.ContainsFunc(s, func(v int64) bool { return v != int64(h) })) {
		return fmt.Errorf("qkv_hidden_sizes %v that differ: %w", s, ErrType)
	}
	bias, err := c.bias(2, 3*h)
	if err != nil {
		return err
	}
	b, s, d := x.Shape[0], x.Shape[1], h/heads
	qkv, err := c.new(onnx.Float, b*s, 3*h)
	if err != nil {
		return err
	}
	defer c.mem.release(qkv)
	out, err := c.output(0, onnx.Float, b, s, h)
	if err != nil || out.Len() == 0 {
		return err
	}
	if packed, ok := c.prep.(*kernel.Packed); ok {
		kernel.GemmPacked(b*s, x.F32, x.Shape[2], packed, bias, kernel.ActNone, qkv.F32, 3*h)
	} else {
		kernel.Gemm(false, false, b*s, 3*h, x.Shape[2], 1, x.F32, x.Shape[2], w.F32, 3*h, 0, qkv.F32, 3*h)
		if bias != nil {
			kernel.BiasAct(qkv.F32, b*s, 3*h, bias, kernel.ActNone)
		}
	}
	sh := kernel.AttentionShape{B: b, A: heads, Sq: s, Sk: s, D: d, Scale: c.node.Float("scale", 0), LDQ: 3 * h, LDK: 3 * h, LDV: 3 * h, LDO: h}
	if sh.Scale == 0 {
		sh.Scale = rsqrt(d)
	}
	mask, err := c.attentionMask(3, 5, sh)
	if err != nil {
		return err
	}
	kernel.Attention(out.F32, qkv.F32, qkv.F32[h:], qkv.F32[2*h:], mask, sh, nil)
	return nil
}

// multiHeadAttention is com.microsoft's operator of separate Q, K and V
// [B, S, A·d], without past states.
func multiHeadAttention(c *call) error {
	heads := int(c.node.Int("num_heads", 0))
	for i := 6; i < len(c.in); i++ {
		if c.in[i] != nil {
			return fmt.Errorf("input %d (past states): %w", i, ErrType)
		}
	}
	for i := range 3 {
		if t := c.arg(i); t == nil || len(t.Shape) != 3 || t.Type != onnx.Float {
			return fmt.Errorf("input %d is not a float value of three dimensions: %w", i, ErrType)
		}
	}
	q, k, v := c.in[0].Shape, c.in[1].Shape, c.in[2].Shape
	h := q[2]
	if heads < 1 || h%heads != 0 || !sameShape(k, v) || k[2] != h || k[0] != q[0] {
		return fmt.Errorf("query %v, key %v and value %v do not fit each other and %d heads", q, k, v, heads)
	}
	bias, err := c.bias(3, 3*h)
	if err != nil {
		return err
	}
	var in [3][]float32
	for i := range in {
		in[i] = c.in[i].F32
		if bias == nil {
			continue
		}
		t, err := c.new(onnx.Float, c.in[i].Shape...)
		if err != nil {
			return err
		}
		defer c.mem.release(t)
		copy(t.F32, in[i])
		kernel.BiasAct(t.F32, len(t.F32)/max(h, 1), h, bias[i*h:(i+1)*h], kernel.ActNone)
		in[i] = t.F32
	}
	out, err := c.output(0, onnx.Float, q...)
	if err != nil || out.Len() == 0 {
		return err
	}
	sh := kernel.AttentionShape{B: q[0], A: heads, Sq: q[1], Sk: k[1], D: h / heads, Scale: c.node.Float("scale", 0), LDQ: h, LDK: h, LDV: h, LDO: h}
	if sh.Scale == 0 {
		sh.Scale = rsqrt(sh.D)
	}
	if sh.Sk == 0 {
		clear(out.F32)
		return nil
	}
	mask, err := c.attentionMask(4, 5, sh)
	if err != nil {
		return err
	}
	kernel.Attention(out.F32, in[0], in[1], in[2], mask, sh, nil)
	return nil
}

// attentionMask adds up the mask of keys (input mask), causality and the
// additive bias (input bias).
func (c *call) attentionMask(maskIn, biasIn int, sh kernel.AttentionShape) (kernel.Bias, error) {
	causal := c.node.Int("unidirectional", 0) != 0
	extra, err := attentionBias(c.arg(biasIn), sh)
	if err != nil {
		return kernel.Bias{}, err
	}
	if c.arg(maskIn) == nil && !causal {
		return extra, nil
	}
	keep := func(b, i, j int) bool { return true }
	if m := c.arg(maskIn); m != nil {
		v, err := c.ints(maskIn)
		if err != nil {
			return kernel.Bias{}, err
		}
		switch {
		case sameShape(m.Shape, []int{sh.B}):
			keep = func(b, _, j int) bool { return int64(j) < v[b] }
		case sameShape(m.Shape, []int{sh.B, sh.Sk}):
			keep = func(b, _, j int) bool { return v[b*sh.Sk+j] > 0 }
		case sameShape(m.Shape, []int{sh.B, sh.Sq, sh.Sk}):
			keep = func(b, i, j int) bool { return v[(b*sh.Sq+i)*sh.Sk+j] > 0 }
		default:
			return kernel.Bias{}, fmt.Errorf("mask_index of shape %v: %w", m.Shape, ErrType)
		}
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
	for b := range sh.B {
		for a := range heads {
			for i := range sh.Sq {
				for j := range sh.Sk {
					v := float32(0)
					if extra.Data != nil {
						v = extra.Data[b*extra.SB+a*extra.SA+i*extra.SQ+j*extra.SK]
					}
					if !keep(b, i, j) || causal && j > i {
						v += filter
					}
					data = append(data, v)
				}
			}
		}
	}
	out := kernel.Bias{Data: data, SB: heads * sh.Sq * sh.Sk, SA: sh.Sq * sh.Sk, SQ: sh.Sk, SK: 1}
	if heads == 1 {
		out.SA = 0
	}
	return out, nil
}

func rsqrt(d int) float32 { return float32(1 / math.Sqrt(float64(d))) }
