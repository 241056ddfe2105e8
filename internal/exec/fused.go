package exec

import (
	"fmt"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// actOf reads the act attribute of a fused node.
func actOf(n *onnx.Node) (kernel.Act, error) {
	a := n.Attr("act")
	if a == nil {
		return kernel.ActNone, nil
	}
	return actNamed(a.String)
}

func actNamed(name []byte) (kernel.Act, error) {
	switch string(name) {
	case "":
		return kernel.ActNone, nil
	case "gelu":
		return kernel.ActGelu, nil
	case "gelu_tanh":
		return kernel.ActGeluTanh, nil
	case "relu":
		return kernel.ActRelu, nil
	case "tanh":
		return kernel.ActTanh, nil
	default:
		return 0, fmt.Errorf("activation %q is unknown", name)
	}
}

// linear is Y = act(X·W + b); X [..., in], W [in, out] or, with trans_b, [out, in].
func linear(c *call) error {
	act, err := actOf(c.node)
	if err != nil {
		return err
	}
	x, err := c.floats(0)
	if err != nil {
		return err
	}
	w, err := c.floats(1)
	if err != nil {
		return err
	}
	trans := c.node.Int("trans_b", 0) != 0
	ws := c.in[1].Shape
	if len(ws) != 2 {
		return fmt.Errorf("the weight has shape %v; a matrix is needed", ws)
	}
	k, n := ws[0], ws[1]
	if trans {
		k, n = n, k
	}
	m, shape, err := c.rowsOf(c.in[0].Shape, k, n)
	if err != nil {
		return err
	}
	bias, err := c.bias(2, n)
	if err != nil {
		return err
	}
	out, err := c.output(0, onnx.Float, shape...)
	if err != nil {
		return err
	}
	if m == 0 || n == 0 {
		return nil
	}
	if packed, ok := c.prep.(*kernel.Packed); ok {
		gemmPacked(c.mem.done, m, x, k, packed, bias, act, out.F32, n)
		return nil
	}
	gemmFloats(c.mem.done, false, trans, m, n, k, 1, x, k, w, ws[1], 0, out.F32, n)
	if bias != nil || act != kernel.ActNone {
		kernel.BiasAct(out.F32, m, n, bias, act)
	}
	return nil
}

// rowsOf views X [..., in] as a matrix: its rows and the result's shape.
func (c *call) rowsOf(x []int, k, n int) (int, []int, error) {
	if len(x) == 0 || x[len(x)-1] != k {
		return 0, nil, fmt.Errorf("the input has shape %v; its last dimension must be the weight's %d", x, k)
	}
	shape := c.mem.shape(x)
	shape[len(shape)-1] = n
	return product(x[:len(x)-1]), shape, nil
}

// bias returns optional input i, a float vector of n; one element is repeated.
func (c *call) bias(i, n int) ([]float32, error) {
	if c.arg(i) == nil {
		return nil, nil
	}
	b, err := c.floats(i)
	if err != nil {
		return nil, err
	}
	if len(b) == 1 && n > 1 {
		v, err := c.temp(onnx.Float, n)
		if err != nil {
			return nil, err
		}
		fill(v.F32, b[0])
		return v.F32, nil
	}
	if len(b) != n {
		return nil, fmt.Errorf("the bias has shape %v; %d elements are needed", c.in[i].Shape, n)
	}
	return b, nil
}

// fusedLayerNorm is LN(X + residual) over the last axis.
func fusedLayerNorm(c *call) error {
	x := c.in[0]
	if len(x.Shape) == 0 {
		return fmt.Errorf("the input is a scalar")
	}
	r := c.arg(3)
	var residual []float32
	if r != nil {
		if r.Type != onnx.Float {
			return errType(r.Type)
		}
		if !sameShape(r.Shape, x.Shape) {
			sum := addOp()
			if err := sum.apply(c, x, r, false); err != nil {
				return err
			}
			total := c.out[0]
			defer c.mem.release(total)
			inner := c.inner(c.node, total, c.arg(1), c.arg(2))
			err := fusedLayerNorm(inner)
			copy(c.out, inner.out)
			return err
		}
		residual = r.F32
	}
	return c.layerNorm(len(x.Shape)-1, residual, c.arg(1), c.arg(2), c.node.Float("eps", 1e-5), 1)
}

// attention is softmax(Q·Kᵀ·scale + bias)·V for Q, K, V [B, S, A·d].
func attention(c *call) error {
	heads := int(c.node.Int("heads", 0))
	q, k, v := c.in[0], c.in[1], c.in[2]
	for i, t := range c.in[:3] {
		if t == nil || t.Type != onnx.Float || len(t.Shape) != 3 {
			return fmt.Errorf("input %d is not a float value of three dimensions", i)
		}
	}
	width := q.Shape[2]
	if heads < 1 || width%heads != 0 || !sameShape(k.Shape, v.Shape) || k.Shape[2] != width || k.Shape[0] != q.Shape[0] {
		return fmt.Errorf("query %v, key %v and value %v do not fit each other and %d heads", q.Shape, k.Shape, v.Shape, heads)
	}
	sh := kernel.AttentionShape{B: q.Shape[0], A: heads, Sq: q.Shape[1], Sk: k.Shape[1], D: width / heads,
		Scale: c.node.Float("scale", 1), LDQ: width, LDK: width, LDV: width, LDO: width}
	mask, err := c.queryRow(c.arg(3))
	if err != nil {
		return err
	}
	bias, err := c.attentionBias(mask, sh)
	if err != nil {
		return err
	}
	out, err := c.output(0, onnx.Float, q.Shape...)
	if err != nil {
		return err
	}
	if out.Len() == 0 {
		return nil
	}
	if sh.Sk == 0 {
		clear(out.F32)
		return nil
	}
	attendFloats(c.mem.done, out.F32, q.F32, k.F32, v.F32, bias, sh)
	return nil
}

// queryRow takes from a bias [.., Sq, Sk] the row of the one query that
// attribute query_row (see narrowing) names.
func (c *call) queryRow(t *Tensor) (*Tensor, error) {
	a := c.node.Attr("query_row")
	if a == nil || t == nil || len(t.Shape) < 2 || t.Shape[len(t.Shape)-2] == 1 || t.Type != onnx.Float {
		return t, nil
	}
	d := len(t.Shape) - 2
	row, err := axis(a.Int, t.Shape[d])
	if err != nil {
		return nil, fmt.Errorf("position %d of a bias of shape %v", a.Int, t.Shape)
	}
	shape := c.mem.shape(t.Shape)
	shape[d] = 1
	out, err := c.temp(t.Type, shape...)
	if err != nil {
		return nil, err
	}
	copyStrided(out, 0, t, row*t.Shape[d+1], shape, c.strides(t.Shape))
	return out, nil
}

// attentionBias reads an additive bias that broadcasts to [B, A, Sq, Sk].
func (c *call) attentionBias(t *Tensor, sh kernel.AttentionShape) (kernel.Bias, error) {
	if t == nil {
		return kernel.Bias{}, nil
	}
	full := c.newShape(4)
	full[0], full[1], full[2], full[3] = sh.B, sh.A, sh.Sq, sh.Sk
	got, err := c.broadcastShape(t.Shape, full)
	if err != nil || !sameShape(got, full) || t.Type != onnx.Float {
		return kernel.Bias{}, fmt.Errorf("the bias is %s %v; it must be float and broadcast to %v", typeName(t.Type), t.Shape, full)
	}
	s := c.broadcastStrides(t.Shape, full)
	return kernel.Bias{Data: t.F32, SB: s[0], SA: s[1], SQ: s[2], SK: s[3]}, nil
}

// gatherRows takes rows of X [B, S, H], viewed as [B·S, H].
func gatherRows(c *call) error {
	x := c.in[0]
	if len(x.Shape) < 2 || x.Type != onnx.Float {
		return fmt.Errorf("the input is %s %v; float of two or more dimensions is needed", typeName(x.Type), x.Shape)
	}
	n := x.Shape[len(x.Shape)-1]
	ids, err := c.indices(1, product(x.Shape[:len(x.Shape)-1]))
	if err != nil {
		return err
	}
	out, err := c.output(0, onnx.Float, len(ids), n)
	if err != nil {
		return err
	}
	if out.Len() > 0 {
		kernel.GatherRows(out.F32, x.F32, n, ids)
	}
	return nil
}
