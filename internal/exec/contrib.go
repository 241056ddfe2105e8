package exec

import (
	"fmt"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// skipLayerNorm is com.microsoft's LN(input + skip + bias).
func skipLayerNorm(c *call) error {
	x := c.in[0]
	if len(x.Shape) == 0 {
		return fmt.Errorf("the input is a scalar")
	}
	sum, err := c.skipSum(4)
	if err != nil {
		return err
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
