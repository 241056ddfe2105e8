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
	var lists [3][]int64
	if t.Type == onnx.Float && len(t.Shape) == 4 && t.Shape[1] == 1 {
		tokens, batch := t.Shape[0]*t.Shape[3], t.Shape[0]
		room, err := c.temp(onnx.Int64, 2*tokens+batch+1)
		if err != nil {
			return err
		}
		all := room.I64
		lists[0], lists[1], lists[2] = seen(t, all[:tokens], all[tokens:tokens:2*tokens], all[2*tokens:])
	}
	for i, v := range lists {
		out, err := c.output(i, onnx.Int64, len(v))
		if err != nil {
			return err
		}
		copy(out.I64, v)
	}
	return nil
}

// seen fills index [B·S], rows (empty at first) and offsets [B+1] as
// seenTokens says.
func seen(t *Tensor, index, rows, offsets []int64) (_, _, _ []int64) {
	b, q, s := t.Shape[0], t.Shape[2], t.Shape[3]
	if q != 1 && q != s || b*s == 0 {
		return nil, nil, nil
	}
	offsets[0] = 0
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
				index[at] = int64(len(rows))
				rows = append(rows, int64(at))
			case v <= hiddenBias:
				index[at] = -1
			default:
				return nil, nil, nil
			}
		}
		if offsets[i+1] = int64(len(rows)); offsets[i+1] == offsets[i] {
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
	for i, r := range rows.I64 {
		out.blit(i*n, x, int(r)*n, n, 1)
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
	t := borrow[placeTask]()
	*t = placeTask{out: out, x: x, zero: zeroOf(x.Type), index: index, n: n}
	kernel.Run(len(index), max(1, grain/max(n, 1)), t)
	giveBack(t)
}

type placeTask struct {
	out, x, zero *Tensor
	index        []int64
	n            int
}

func (t *placeTask) Run(lo, hi int) {
	for i := lo; i < hi; i++ {
		if r := int(t.index[i]); r >= 0 {
			t.out.blit(i*t.n, t.x, r*t.n, t.n, 1)
		} else {
			t.out.blit(i*t.n, t.zero, 0, t.n, 0)
		}
	}
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
	c.attendPacked(out.F32, q.F32, k.F32, v.F32, kernel.AttentionShape{
		B: len(offsets) - 1, A: heads, Sq: longest, Sk: longest, D: width / heads, Scale: c.node.Float("scale", 1),
		LDQ: width, LDK: width, LDV: width, LDO: width, Offsets: offsets,
	})
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
	at, err := c.temp(onnx.Int64, len(ids))
	if err != nil {
		return err
	}
	for i, id := range ids {
		at.I64[i] = index.I64[id]
	}
	c.place(out, x, at.I64, x.Shape[1])
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
	shape := append(append(append(c.newShape(len(c.in[1].Shape) + 2)[:0], b), c.in[1].Shape...), n)
	out, err := c.output(0, x.Type, shape...)
	if err != nil {
		return err
	}
	at, err := c.temp(onnx.Int64, b*len(ids))
	if err != nil {
		return err
	}
	for i := range b {
		for j, id := range ids {
			at.I64[i*len(ids)+j] = index.I64[i*s+int(id)]
		}
	}
	c.place(out, x, at.I64, n)
	return nil
}
