package exec

import (
	"fmt"
	"slices"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// packedOps are the operators that packing makes.
func packedOps() map[string]operator {
	return map[string]operator{
		"Seen": {run: seenTokens, inputs: 1}, "Pack": {run: packRows, inputs: 3}, "Unpack": {run: unpackRows, inputs: 3},
		"PackedAttention": {run: packedAttentionRows, inputs: 5}, "PackedGatherRows": {run: packedGatherRows, inputs: 4},
		"PackedGather": {run: packedGather, inputs: 4},
	}
}

// hiddenBias is what hides a key: beside a bias of 0 its probability is exactly 0
// unless scores are thousands apart.
const hiddenBias = -5000

// seenTokens reads the bias [B, 1, 1 or S, S] of attention: output 0 is for each
// of the B·S tokens its row among those that are seen, −1 for padding; output 1
// lists those tokens; output 2 has where each sequence begins, and R. All are
// empty where there is no padding, or where the bias is other than 0 for what is
// seen and very low for what is not, the same for every head and query.
func seenTokens(c *call) error {
	t := c.in[0]
	index, rows, offsets := seen(t)
	for i, v := range [][]int{index, rows, offsets} {
		out, err := c.output(i, onnx.Int64, len(v))
		if err != nil {
			return err
		}
		for j, x := range v {
			out.I64[j] = int64(x)
		}
	}
	return nil
}

func seen(t *Tensor) (index, rows, offsets []int) {
	if t.Type != onnx.Float || len(t.Shape) != 4 || t.Shape[1] != 1 {
		return nil, nil, nil
	}
	b, q, s := t.Shape[0], t.Shape[2], t.Shape[3]
	if q != 1 && q != s || b*s == 0 {
		return nil, nil, nil
	}
	index, offsets = make([]int, b*s), make([]int, b+1)
	for i := range b {
		keys := t.F32[i*q*s:][:s]
		for r := 1; r < q; r++ {
			if !slices.Equal(keys, t.F32[(i*q+r)*s:][:s]) {
				return nil, nil, nil
			}
		}
		for j, v := range keys {
			switch at := i*s + j; {
			case v == 0:
				index[at] = len(rows)
				rows = append(rows, at)
			case v <= hiddenBias:
				index[at] = -1
			default:
				return nil, nil, nil
			}
		}
		if offsets[i+1] = len(rows); offsets[i+1] == offsets[i] {
			return nil, nil, nil // nothing but padding: all of it is seen alike
		}
	}
	if len(rows) == b*s {
		return nil, nil, nil
	}
	return index, rows, offsets
}

// packRows takes the rows of X [B, S, n] that are seen.
func packRows(c *call) error {
	x, rows := c.in[0], c.in[1]
	if rows.Len() == 0 {
		c.view(0, x, x.Shape)
		return nil
	}
	n := x.Shape[len(x.Shape)-1]
	out, err := c.output(0, x.Type, rows.Len(), n)
	if err != nil || out.Len() == 0 {
		return err
	}
	if x.Type == onnx.Float {
		kernel.GatherRows(out.F32, x.F32, n, rows.I64)
		return nil
	}
	dst, src := out.elems(), x.elems()
	for i, r := range rows.I64 {
		dst.blit(i*n, src, int(r)*n, n, 1)
	}
	return nil
}

// unpackRows puts the rows of X [R, n] back to [B, S, n]; padding is 0.
func unpackRows(c *call) error {
	x, bias, index := c.in[0], c.in[1], c.in[2]
	if index.Len() == 0 {
		c.view(0, x, x.Shape)
		return nil
	}
	n := x.Shape[1]
	out, err := c.output(0, x.Type, bias.Shape[0], bias.Shape[3], n)
	if err != nil {
		return err
	}
	c.place(out, x, index.I64, n)
	return nil
}

// place sets row i of out to the row of x that index names, to 0 for −1.
func (c *call) place(out, x *Tensor, index []int64, n int) {
	dst, src, zero := out.elems(), x.elems(), zeroOf(x.Type).elems()
	c.parallel(len(index), max(1, grain/max(n, 1)), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			if r := int(index[i]); r >= 0 {
				dst.blit(i*n, src, r*n, n, 1)
			} else {
				dst.blit(i*n, zero, 0, n, 0)
			}
		}
	})
}

// packedAttentionRows is attention of packed queries, keys and values: inputs 0
// to 3 are attention's, input 4 says where each sequence begins.
func packedAttentionRows(c *call) error {
	if c.in[4].Len() == 0 {
		return attention(c)
	}
	q, k, v, heads := c.in[0], c.in[1], c.in[2], int(c.node.Int("heads", 0))
	for i, t := range c.in[:3] {
		if t.Type != onnx.Float || len(t.Shape) != 2 {
			return fmt.Errorf("input %d is %s %v; float rows are needed", i, typeName(t.Type), t.Shape)
		}
	}
	width := q.Shape[1]
	if heads < 1 || width%heads != 0 || !sameShape(q.Shape, k.Shape) || !sameShape(q.Shape, v.Shape) {
		return fmt.Errorf("query %v, key %v and value %v do not fit each other and %d heads", q.Shape, k.Shape, v.Shape, heads)
	}
	out, err := c.output(0, onnx.Float, q.Shape...)
	if err != nil || out.Len() == 0 {
		return err
	}
	offsets := c.newShape(c.in[4].Len())
	longest := 0
	for i, o := range c.in[4].I64 {
		if offsets[i] = int(o); i > 0 {
			longest = max(longest, offsets[i]-offsets[i-1])
		}
	}
	kernel.Attention(out.F32, q.F32, k.F32, v.F32, kernel.Bias{}, kernel.AttentionShape{
		B: len(offsets) - 1, A: heads, Sq: longest, Sk: longest, D: width / heads, Scale: c.node.Float("scale", 1),
		LDQ: width, LDK: width, LDV: width, LDO: width, Offsets: offsets,
	}, nil)
	return nil
}

// packedGatherRows takes rows, by their flat positions b·S + s, of a packed value.
func packedGatherRows(c *call) error {
	x, index := c.in[0], c.in[3]
	if index.Len() == 0 {
		return gatherRows(c)
	}
	ids, err := c.indices(1, index.Len())
	if err != nil {
		return err
	}
	out, err := c.output(0, x.Type, len(ids), x.Shape[1])
	if err != nil {
		return err
	}
	at := make([]int64, len(ids))
	for i, id := range ids {
		at[i] = index.I64[id]
	}
	c.place(out, x, at, x.Shape[1])
	return nil
}

// packedGather is Gather on axis 1 of a packed value.
func packedGather(c *call) error {
	x, bias, index := c.in[0], c.in[2], c.in[3]
	if index.Len() == 0 {
		return gather(c)
	}
	b, s, n := bias.Shape[0], bias.Shape[3], x.Shape[1]
	ids, err := c.indices(1, s)
	if err != nil {
		return err
	}
	shape := append(append([]int{b}, c.in[1].Shape...), n)
	out, err := c.output(0, x.Type, shape...)
	if err != nil {
		return err
	}
	at := make([]int64, 0, b*len(ids))
	for i := range b {
		for _, id := range ids {
			at = append(at, index.I64[i*s+int(id)])
		}
	}
	c.place(out, x, at, n)
	return nil
}
