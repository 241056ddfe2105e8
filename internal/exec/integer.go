package exec

import (
	"fmt"
	"slices"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// weights8 is a packed 8-bit matrix and its zero points, shifted to int8.
type weights8 struct {
	packed *kernel.PackedInt8
	zero   []int8 // nil, one, or one per column
	k, n   int
}

// packWeights8 packs an int8 or uint8 matrix [k,n] ([n,k] with trans). Unsigned weights
// are shifted by 128 together with their zero points, which changes no product.
func packWeights8(w, zero *Tensor, trans bool) (*weights8, error) {
	if len(w.Shape) != 2 {
		return nil, fmt.Errorf("the weight has shape %v; a matrix is needed", w.Shape)
	}
	if zero != nil && zero.Type != w.Type {
		return nil, fmt.Errorf("the weight is %s and its zero point %s", typeName(w.Type), typeName(zero.Type))
	}
	k, n := w.Shape[0], w.Shape[1]
	src, err := signed(w)
	if err != nil {
		return nil, err
	}
	if trans {
		k, n = n, k
		t := make([]int8, len(src))
		for i := range n {
			for j := range k {
				t[j*n+i] = src[i*k+j]
			}
		}
		src = t
	}
	out := &weights8{k: k, n: n}
	if zero != nil {
		if zero.Len() != 1 && zero.Len() != n {
			return nil, fmt.Errorf("the weight's zero point has shape %v; 1 or %d elements are needed", zero.Shape, n)
		}
		z, err := signed(zero)
		if err != nil {
			return nil, err
		}
		out.zero = slices.Clone(z)
	} else if w.Type == onnx.Uint8 {
		out.zero = []int8{-128}
	}
	if !slices.ContainsFunc(out.zero, func(z int8) bool { return z != 0 }) {
		out.zero = nil // symmetric: no correction to compute
	}
	out.packed = kernel.PackInt8(k, n, src)
	return out, nil
}

// signed returns the elements of an 8-bit tensor as int8, unsigned ones minus 128.
func signed(t *Tensor) ([]int8, error) {
	switch t.Type {
	case onnx.Int8:
		return t.I8, nil
	case onnx.Uint8:
		out := make([]int8, len(t.U8))
		for i, v := range t.U8 {
			out[i] = int8(v ^ 0x80)
		}
		return out, nil
	}
	return nil, errType(t.Type)
}

// unsigned returns an 8-bit tensor and its zero point as uint8, signed ones plus 128.
// scratch, where not nil, is the caller's to release.
func (c *call) unsigned(x, zero *Tensor) (q []uint8, z uint8, scratch *Tensor, err error) {
	if zero != nil && (zero.Type != x.Type || zero.Len() != 1) {
		return nil, 0, nil, fmt.Errorf("the input is %s and its zero point %s %v; one of the same type is needed", typeName(x.Type), typeName(zero.Type), zero.Shape)
	}
	switch x.Type {
	case onnx.Uint8:
		if zero != nil {
			z = zero.U8[0]
		}
		return x.U8, z, nil, nil
	case onnx.Int8:
		z = 0x80
		if zero != nil {
			z = uint8(zero.I8[0]) ^ 0x80
		}
		if scratch, err = c.new(onnx.Uint8, x.Shape...); err != nil {
			return nil, 0, nil, err
		}
		for i, v := range x.I8 {
			scratch.U8[i] = uint8(v) ^ 0x80
		}
		return scratch.U8, z, scratch, nil
	}
	return nil, 0, nil, errType(x.Type)
}

// prepare8 packs constant weight w and zero point z (input numbers).
func prepare8(w, z int, trans string) func(*compiler, *step) (any, error) {
	return func(p *compiler, st *step) (any, error) {
		return p.pack8(st, w, z, trans != "" && st.node.Int(trans, 0) != 0)
	}
}

// pack8 packs weight w and zero point z of a step (input numbers), nil where they
// are no constants.
func (p *compiler) pack8(st *step, w, z int, trans bool) (any, error) {
	weight, ok := p.constant(st, w)
	zero, okz := p.constant(st, z)
	if !ok || !okz || weight == nil || len(weight.Shape) != 2 {
		return nil, nil
	}
	packed, err := p.once(st, w, "int8", trans, func() (any, error) { return packWeights8(weight, zero, trans) }, z)
	if err != nil {
		return nil, err
	}
	p.take(st, w)
	return packed, nil
}

// weights returns the prepacked weight, or packs inputs w and z now.
func (c *call) weights(w, z int, trans bool) (*weights8, error) {
	if p, ok := c.prep.(*weights8); ok {
		return p, nil
	}
	return packWeights8(c.in[w], c.arg(z), trans)
}

// integerProduct computes int32 X·W for X of any rank and a weight matrix:
// inputs x and its zero point, w and its zero point, by number.
func (c *call) integerProduct(x, xz, w, wz int, trans bool) (acc *Tensor, n int, err error) {
	weights, err := c.weights(w, wz, trans)
	if err != nil {
		return nil, 0, err
	}
	m, shape, err := c.rowsOf(c.in[x].Shape, weights.k, weights.n)
	if err != nil {
		return nil, 0, err
	}
	q, z, scratch, err := c.unsigned(c.in[x], c.arg(xz))
	if err != nil {
		return nil, 0, err
	}
	defer c.mem.release(scratch)
	if acc, err = c.new(onnx.Int32, shape...); err != nil {
		return nil, 0, err
	}
	switch {
	case m == 0 || weights.n == 0:
	case weights.k == 0:
		clear(acc.I32)
	default:
		gemmInt8(c.mem.done, m, q, z, weights.packed, weights.zero, acc.I32)
	}
	return acc, weights.n, nil
}

// integerLinear is the lowered form of QLinear and of quantize–dequantize
// products: inputs Xq, x scale, x zero?, Wq, w scale, w zero?, bias?. It is
// y = act((Xq − xz)·(Wq − wz)·xs·ws + bias), where ws and bias go by column.
func integerLinear(c *call) error {
	act, err := actOf(c.node)
	if err != nil {
		return err
	}
	w, err := c.weights(3, 5, c.node.Int("trans_b", 0) != 0)
	if err != nil {
		return err
	}
	m, shape, err := c.rowsOf(c.in[0].Shape, w.k, w.n)
	if err != nil {
		return err
	}
	bias, err := c.bias(6, w.n)
	if err != nil {
		return err
	}
	q, z, scratch, err := c.unsigned(c.in[0], c.arg(2))
	if err != nil {
		return err
	}
	defer c.mem.release(scratch)
	scale, err := c.columnScale(c.arg(1), c.arg(4), w.n)
	if err != nil {
		return err
	}
	defer c.mem.release(scale)
	out, err := c.output(0, onnx.Float, shape...)
	if err != nil || out.Len() == 0 {
		return err
	}
	parts(c.mem.done, m, rowsAt(w.n*w.k), func(lo, hi int) {
		kernel.GemmInt8Float(hi-lo, q[lo*w.k:hi*w.k], z, w.packed, w.zero, scale.F32, bias, act, out.F32[lo*w.n:hi*w.n])
	})
	return nil
}

// columnScale is xs·ws for every column; the caller releases it.
func (c *call) columnScale(xs, ws *Tensor, n int) (*Tensor, error) {
	if xs == nil || ws == nil || xs.Type != onnx.Float || ws.Type != onnx.Float || xs.Len() != 1 || ws.Len() != 1 && ws.Len() != n {
		return nil, fmt.Errorf("the scales do not fit a result of %d columns; a float scalar and 1 or %d floats are needed", n, n)
	}
	scale, err := c.new(onnx.Float, n)
	if err != nil {
		return nil, err
	}
	if s := xs.F32[0]; ws.Len() == n {
		for i, w := range ws.F32[:n] {
			scale.F32[i] = s * w
		}
	} else {
		fill(scale.F32, s*ws.F32[0])
	}
	return scale, nil
}

// matMulInteger is exact int32 (A − za)·(B − zb).
func matMulInteger(c *call) error {
	if len(c.in[1].Shape) == 2 && (c.arg(2) == nil || c.in[2].Len() == 1) {
		acc, _, err := c.integerProduct(0, 2, 1, 3, false)
		c.out[0] = acc
		return err
	}
	return matMulIntegerPlain(c)
}

// matMulIntegerPlain serves batched right-hand sides and zero points per row.
func matMulIntegerPlain(c *call) error {
	p, err := c.matmulShape(c.in[0].Shape, c.in[1].Shape, false, false)
	if err != nil {
		return err
	}
	var ab [2]*Tensor
	for i := range ab {
		wide, err := c.cast(c.in[i], onnx.Int32)
		if err != nil {
			return err
		}
		defer c.mem.release(wide)
		z := c.arg(2 + i)
		if z == nil {
			ab[i] = wide
			continue
		}
		zw, err := c.cast(z, onnx.Int32)
		if err != nil {
			return err
		}
		defer c.mem.release(zw)
		shape := zw.Shape
		if i == 0 && len(shape) == 1 && shape[0] > 1 {
			shape = []int{shape[0], 1} // per row of A
		}
		view := &Tensor{Type: onnx.Int32, Shape: shape, I32: zw.I32}
		sub := subOp()
		if err := sub.apply(c, wide, view, false); err != nil {
			return err
		}
		ab[i] = c.out[0]
		defer c.mem.release(ab[i])
		if !sameShape(ab[i].Shape, c.in[i].Shape) {
			return fmt.Errorf("the zero point of shape %v does not fit %v", z.Shape, c.in[i].Shape)
		}
	}
	out, err := c.output(0, onnx.Int32, p.shape...)
	if err != nil {
		return err
	}
	return multiplyPlain(c.mem.done, p, false, ab[0].I32, ab[1].I32, out.I32)
}

// qLinearMatMul is (A − za)·sa × (B − zb)·sb, requantized to y's scale.
func qLinearMatMul(c *call) error {
	ys, yz := c.in[6], c.arg(7)
	sa, sb := c.in[1], c.in[4]
	for _, s := range []*Tensor{sa, sb, ys} {
		if s == nil || s.Type != onnx.Float {
			return fmt.Errorf("the scales must be float: %w", ErrType)
		}
	}
	if done, err := c.fusedQLinearMatMul(); done || err != nil {
		return err
	}
	inner := *c
	inner.in = []*Tensor{c.in[0], c.in[3], c.in[2], c.in[5]}
	inner.out = make([]*Tensor, 1)
	if err := matMulInteger(&inner); err != nil {
		return err
	}
	acc := inner.out[0]
	defer c.mem.release(acc)
	if sa.Len() != 1 || ys.Len() != 1 || yz == nil || yz.Len() != 1 {
		return fmt.Errorf("scales and zero points of A and Y must be scalars: %w", ErrType)
	}
	if len(acc.Shape) == 0 || sb.Len() != 1 && sb.Len() != acc.Shape[len(acc.Shape)-1] {
		return fmt.Errorf("the scale of B has shape %v; the result %v", sb.Shape, acc.Shape)
	}
	out, err := c.output(0, yz.Type, acc.Shape...)
	if err != nil {
		return err
	}
	z, err := c.zeroPoints(yz, 1)
	if err != nil {
		return err
	}
	if yz.Type != onnx.Uint8 && yz.Type != onnx.Int8 {
		return errType(yz.Type)
	}
	for i, v := range acc.I32 {
		out.requantize(i, float64(float32(v)*(sa.F32[0]*sb.F32[i%sb.Len()]/ys.F32[0])), z[0])
	}
	return nil
}

// fusedQLinearMatMul makes the product by a weight matrix to uint8 in one go; it
// reports whether it did.
func (c *call) fusedQLinearMatMul() (bool, error) {
	a, b, sa, sb, ys, yz := c.in[0], c.in[3], c.in[1], c.in[4], c.in[6], c.arg(7)
	if len(b.Shape) != 2 || c.in[2] != nil && c.in[2].Len() != 1 || yz == nil || yz.Type != onnx.Uint8 ||
		sa.Len() != 1 || ys.Len() != 1 || yz.Len() != 1 || sb.Len() != 1 && sb.Len() != b.Shape[1] {
		return false, nil
	}
	w, err := c.weights(3, 5, false)
	if err != nil {
		return false, err
	}
	m, shape, err := c.rowsOf(a.Shape, w.k, w.n)
	if err != nil {
		return false, err
	}
	q, z, scratch, err := c.unsigned(a, c.in[2])
	if err != nil {
		return false, err
	}
	defer c.mem.release(scratch)
	scale, err := c.new(onnx.Float, w.n)
	if err != nil {
		return false, err
	}
	defer c.mem.release(scale)
	for i := range scale.F32 {
		scale.F32[i] = sa.F32[0] * sb.F32[i%sb.Len()] / ys.F32[0]
	}
	out, err := c.output(0, onnx.Uint8, shape...)
	if err != nil {
		return false, err
	}
	parts(c.mem.done, m, rowsAt(w.n*w.k), func(lo, hi int) {
		kernel.GemmInt8U8(hi-lo, q[lo*w.k:hi*w.k], z, w.packed, w.zero, scale.F32, nil, kernel.ActNone, yz.U8[0], out.U8[lo*w.n:hi*w.n])
	})
	return true, nil
}
