package exec

import (
	"fmt"
	"math"
	"slices"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// skipLayerNorm is com.microsoft's LN(input + skip + bias).
func skipLayerNorm(c *call) error {
	x := c.in[0]
	if len(x.Shape) == 0 {
		return fmt.Errorf("the input is a scalar")
	}
	add := addOp()
	if err := add.apply(c, x, c.in[1], false); err != nil {
		return err
	}
	sum := c.out[0]
	if b := c.arg(4); b != nil {
		if err := add.apply(c, sum, b, false); err != nil {
			return err
		}
		c.mem.release(sum)
		sum = c.out[0]
	}
	if !sameShape(sum.Shape, x.Shape) {
		return fmt.Errorf("skip of shape %v and bias do not fit %v", c.in[1].Shape, x.Shape)
	}
	inner := *c
	inner.in = []*Tensor{sum}
	if err := inner.layerNorm(len(x.Shape)-1, nil, c.arg(2), c.arg(3), c.node.Float("epsilon", 1e-12), 1); err != nil {
		return err
	}
	if c.wants(3) {
		c.out[3] = sum
	} else {
		c.mem.release(sum)
	}
	return nil
}

// embedLayerNorm is com.microsoft's LN(word[ids] + position + segment[types]).
func embedLayerNorm(c *call) error {
	idShape := c.in[0].Shape
	word, pos, seg := c.arg(2), c.arg(3), c.arg(4)
	if word == nil || pos == nil || len(word.Shape) != 2 || len(pos.Shape) != 2 || word.Shape[1] != pos.Shape[1] ||
		word.Type != onnx.Float || pos.Type != onnx.Float || len(idShape) != 2 {
		return fmt.Errorf("ids and float word and position tables must be matrices of one width")
	}
	h := word.Shape[1]
	rows := c.in[0].Len()
	ids, err := c.indices(0, word.Shape[0])
	if err != nil {
		return err
	}
	sum, err := c.new(onnx.Float, idShape[0], idShape[1], h)
	if err != nil {
		return err
	}
	kernel.GatherRows(sum.F32, word.F32, h, ids)
	at := make([]int64, rows)
	for i := range at {
		at[i] = int64(i % idShape[1])
	}
	if c.arg(8) != nil {
		given, err := c.indices(8, pos.Shape[0])
		if err != nil {
			return err
		}
		if len(given) != rows && len(given) != idShape[1] {
			return fmt.Errorf("position ids of shape %v for ids of shape %v", c.in[8].Shape, idShape)
		}
		for i := range at {
			at[i] = given[i%len(given)]
		}
	} else if idShape[1] > pos.Shape[0] {
		return fmt.Errorf("length %d is more than the %d positions", idShape[1], pos.Shape[0])
	}
	if err := c.addRows(sum, pos, at); err != nil {
		return err
	}
	if c.arg(1) != nil && seg != nil {
		if len(seg.Shape) != 2 || seg.Shape[1] != h || seg.Type != onnx.Float || c.in[1].Len() != rows {
			return fmt.Errorf("segment ids %v and table %v do not fit", c.in[1].Shape, seg.Shape)
		}
		types, err := c.indices(1, seg.Shape[0])
		if err != nil {
			return err
		}
		if err := c.addRows(sum, seg, types); err != nil {
			return err
		}
	}
	inner := *c
	inner.in = []*Tensor{sum}
	// No statistics: outputs 1 and 2 are the mask index and the sum.
	if err := inner.layerNorm(2, nil, c.arg(5), c.arg(6), c.node.Float("epsilon", 1e-12), len(c.node.Outputs)); err != nil {
		return err
	}
	if c.wants(2) {
		c.out[2] = sum
	} else {
		c.mem.release(sum)
	}
	if !c.wants(1) {
		return nil
	}
	return c.maskIndex(7, idShape)
}

// maskIndex counts the ones of every row of mask input i into output 1.
func (c *call) maskIndex(i int, shape []int) error {
	out, err := c.output(1, onnx.Int32, shape[0])
	if err != nil {
		return err
	}
	clear(out.I32)
	if c.arg(i) == nil {
		return nil
	}
	mask, err := c.ints(i)
	if err != nil {
		return err
	}
	if len(mask) != product(shape) {
		return fmt.Errorf("the mask has shape %v; %v is needed", c.in[i].Shape, shape)
	}
	for j, m := range mask {
		if m == 1 {
			out.I32[j/shape[1]]++
		}
	}
	return nil
}

// addRows adds table[ids] to the rows of sum.
func (c *call) addRows(sum, table *Tensor, ids []int64) error {
	rows, err := c.new(onnx.Float, sum.Shape...)
	if err != nil {
		return err
	}
	defer c.mem.release(rows)
	kernel.GatherRows(rows.F32, table.F32, table.Shape[1], ids)
	kernel.Add(sum.F32, sum.F32, rows.F32)
	return nil
}

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
	mask, err := c.attentionMask(sh)
	if err != nil {
		return err
	}
	kernel.Attention(out.F32, qkv.F32, qkv.F32[h:], qkv.F32[2*h:], mask, sh, nil)
	return nil
}

// attentionMask adds up mask_index (input 3), causality and attention_bias (input 5).
func (c *call) attentionMask(sh kernel.AttentionShape) (kernel.Bias, error) {
	causal := c.node.Int("unidirectional", 0) != 0
	extra, err := attentionBias(c.arg(5), sh)
	if err != nil {
		return kernel.Bias{}, err
	}
	if c.arg(3) == nil && !causal {
		return extra, nil
	}
	keep := func(b, i, j int) bool { return true }
	if m := c.arg(3); m != nil {
		v, err := c.ints(3)
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

// biasAct is an activation of x + bias (BiasGelu, FastGelu), the bias optional.
func biasAct(act kernel.Act) func(*call) error {
	return func(c *call) error {
		x, err := c.floats(0)
		if err != nil {
			return err
		}
		shape := c.in[0].Shape
		if c.arg(1) == nil || len(shape) == 0 {
			return activate(c, act)
		}
		n := shape[len(shape)-1]
		bias, err := c.bias(1, n)
		if err != nil {
			return err
		}
		out, err := c.output(0, onnx.Float, shape...)
		if err != nil {
			return err
		}
		copy(out.F32, x)
		if len(x) > 0 {
			kernel.BiasAct(out.F32, len(x)/n, n, bias, act)
		}
		return nil
	}
}

// quickGelu is x·sigmoid(alpha·x).
func quickGelu(x, alpha float64) float64 { return x * sigmoid(alpha*x) }

func rsqrt(d int) float32 { return float32(1 / math.Sqrt(float64(d))) }
