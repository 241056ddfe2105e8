package exec

import (
	"fmt"
	"math"
	"slices"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// microsoftQuantOps are com.microsoft's operators on quantized values. Those
// named QLinear dequantize, compute in float and quantize, but for sums and products.
func microsoftQuantOps() map[string]operator {
	ops := map[string]operator{
		"QLinearConcat": {run: qLinearConcat, inputs: 5}, "QLinearWhere": {run: qLinearWhere, inputs: 9},
		"QLinearConv": {run: eitherLayout(qLinearConv), inputs: 8}, "QGemm": {run: qGemm, inputs: 6},
		"MatMulNBits": {run: matMulNBits, prepare: prepareNBits, inputs: 3}, "GemmFastGelu": {run: gemmFastGelu, prepare: prepareMatMul, inputs: 2},
	}
	ops["QAttention"] = operator{run: qAttention, refuse: attentionAttrs, inputs: 5}
	ops["QLinearAveragePool"] = operator{run: eitherLayout(qLinearAveragePool), inputs: 2}
	ops["QLinearAdd"] = operator{run: qLinearSum, inputs: 2}
	ops["QLinearMul"] = operator{run: qLinearProduct, inputs: 2}
	for name, run := range map[string]func(*call) error{
		"QLinearSigmoid": float(sigmoid), "QLinearLeakyRelu": withAlpha("alpha", 0.01, leakyRelu), "QLinearSoftmax": qSoftmax,
		"QLinearGlobalAveragePool": eitherLayout(globalPool[float32](averageOf)),
	} {
		ops[name] = operator{run: qLinear(run), inputs: 2}
	}
	return ops
}

// eitherLayout runs an operator on [N, C, d…], or with the attribute
// channels_last on [N, d…, C].
func eitherLayout(run func(*call) error) func(*call) error {
	other := channelsLast(run)
	return func(c *call) error {
		if c.node.Int("channels_last", 0) != 0 {
			return other(c)
		}
		return run(c)
	}
}

// inner makes a call of another operator on tensors of this one; nothing is
// computed in place.
func (c *call) inner(node *onnx.Node, in ...*Tensor) *call {
	inner := c.mem.call(len(in), ownOutputs)
	inner.ctx, inner.node, inner.opset = c.ctx, node, c.opset
	copy(inner.in, in)
	return inner
}

// dequantized is (x − zero)·scale, the caller's to release.
func (c *call) dequantized(x, scale, zero *Tensor, axis int64) (*Tensor, error) {
	if x == nil || scale == nil {
		return nil, fmt.Errorf("a quantized operand or its scale is missing")
	}
	d := c.inner(onnx.NewNode("DequantizeLinear", "", nil, nil, onnx.IntAttr("axis", axis)), x, scale, zero)
	err := dequantizeLinear(d)
	return d.out[0], err
}

// quantized sets output 0 to y by scale and zero point; t is the type without one.
func (c *call) quantized(y, scale, zero *Tensor, t onnx.DataType) error {
	if scale == nil || scale.Len() != 1 {
		return fmt.Errorf("the scale of the result is not one number")
	}
	if zero == nil {
		zero = zeroOf(t)
	}
	q := c.inner(onnx.NewNode("QuantizeLinear", "", nil, nil), y, scale, zero)
	err := quantizeLinear(q)
	c.out[0] = q.out[0]
	return err
}

// quantizedRun runs an operator on float operands and quantizes its result.
func (c *call) quantizedRun(run func(*call) error, operands []*Tensor, scale, zero *Tensor, t onnx.DataType) error {
	in := c.inner(c.node, operands...)
	if err := run(in); err != nil {
		return err
	}
	defer c.mem.release(in.out[0])
	return c.quantized(in.out[0], scale, zero, t)
}

// qLinear has as inputs the operand with its scale and zero point, then those
// of the result.
func qLinear(run func(*call) error) func(*call) error {
	return func(c *call) error {
		x, err := c.dequantized(c.in[0], c.in[1], c.arg(2), 1)
		if err != nil {
			return err
		}
		defer c.mem.release(x)
		return c.quantizedRun(run, []*Tensor{x}, c.arg(3), c.arg(4), c.in[0].Type)
	}
}

// qSoftmax has the opset whose Softmax is meant as an attribute.
func qSoftmax(c *call) error {
	c.opset = c.node.Int("opset", 13)
	return softmax(false)(c)
}

// qLinearConcat has the result's scale and zero point first.
func qLinearConcat(c *call) error {
	if len(c.in)%3 != 2 {
		return fmt.Errorf("%d inputs; two and three for each operand are needed", len(c.in))
	}
	var in []*Tensor
	for i := 2; i < len(c.in); i += 3 {
		x, err := c.dequantized(c.in[i], c.in[i+1], c.in[i+2], 1)
		if err != nil {
			return err
		}
		defer c.mem.release(x)
		in = append(in, x)
	}
	return c.quantizedRun(concat, in, c.in[0], c.in[1], c.in[2].Type)
}

func qLinearWhere(c *call) error {
	in := []*Tensor{c.in[0]}
	for _, i := range []int{1, 4} {
		x, err := c.dequantized(c.in[i], c.in[i+1], c.in[i+2], 1)
		if err != nil {
			return err
		}
		defer c.mem.release(x)
		in = append(in, x)
	}
	return c.quantizedRun(where, in, c.in[7], c.in[8], c.in[1].Type)
}

// qGemm is Gemm of quantized matrices with an int32 bias in units of both
// scales; without a scale for the result it stays float.
func qGemm(c *call) error {
	a, err := c.dequantized(c.in[0], c.in[1], c.in[2], 1)
	if err != nil {
		return err
	}
	defer c.mem.release(a)
	b, err := c.dequantized(c.in[3], c.in[4], c.in[5], 1-c.node.Int("transB", 0))
	if err != nil {
		return err
	}
	defer c.mem.release(b)
	in := []*Tensor{a, b}
	if bias := c.arg(6); bias != nil {
		scale := make([]float32, c.in[4].Len())
		for i, s := range c.in[4].F32 {
			scale[i] = s * c.in[1].F32[0] * c.node.Float("alpha", 1)
		}
		d, err := c.dequantized(bias, Floats(scale, c.in[4].Shape...), nil, -1)
		if err != nil {
			return err
		}
		defer c.mem.release(d)
		in = append(in, d)
	}
	if c.arg(7) == nil {
		g := c.inner(c.node, in...)
		err := gemm(g)
		c.out[0] = g.out[0]
		return err
	}
	return c.quantizedRun(gemm, in, c.in[7], c.arg(8), c.in[0].Type)
}

// qAttention is Attention whose input and packed weight are quantized, the
// weight as a whole or by column.
func qAttention(c *call) error {
	x, err := c.dequantized(c.in[0], c.in[3], c.arg(6), 1)
	if err != nil {
		return err
	}
	defer c.mem.release(x)
	w, err := c.dequantized(c.in[1], c.in[4], c.arg(7), 1)
	if err != nil {
		return err
	}
	defer c.mem.release(w)
	in := c.inner(c.node, x, w, c.in[2], c.arg(5), c.arg(8))
	err = packedAttention(in)
	copy(c.out, in.out)
	return err
}

// gemmFastGelu is FastGelu(X·W + bias).
func gemmFastGelu(c *call) error {
	if err := matmul(c); err != nil {
		return err
	}
	out := c.out[0]
	if out.Type != onnx.Float || len(out.Shape) == 0 {
		return errType(out.Type)
	}
	n := out.Shape[len(out.Shape)-1]
	bias, err := c.bias(2, n)
	if err != nil || out.Len() == 0 {
		return err
	}
	kernel.BiasAct(out.F32, out.Len()/n, n, bias, kernel.ActGeluTanh)
	return nil
}

// nBits is the weight of MatMulNBits [N, K]: of 4 bits as it is, else in float.
type nBits struct {
	fours  *kernel.Packed4
	packed *kernel.Packed
	k, n   int
}

// unpackNBits decodes blocks of 2-, 4- or 8-bit numbers along K, each with a
// scale and a zero point (2^(bits−1) without one), the first number in the low bits.
func unpackNBits(node *onnx.Node, b, scales, zeros *Tensor) (*nBits, error) {
	k, n, bits, block := node.Int("K", 0), node.Int("N", 0), node.Int("bits", 4), node.Int("block_size", 0)
	if bits != 2 && bits != 4 && bits != 8 {
		return nil, fmt.Errorf("bits is %d; 2, 4 or 8 is supported: %w", bits, ErrType)
	}
	if k < 1 || n < 1 || block < 1 || block > math.MaxInt32 || block*bits%8 != 0 || k > math.MaxInt32 || n > math.MaxInt32/k {
		return nil, fmt.Errorf("sizes K %d and N %d with block_size %d", k, n, block)
	}
	blocks := (k + block - 1) / block
	blob, zrow := int(block*bits/8), int((blocks*bits+7)/8)
	if b.Type != onnx.Uint8 || int64(b.Len()) != n*blocks*int64(blob) || scales.Type != onnx.Float || int64(scales.Len()) != n*blocks {
		return nil, fmt.Errorf("a weight %s %v with scales %s %v; uint8 [%d %d %d] and as many floats as blocks are needed",
			typeName(b.Type), b.Shape, typeName(scales.Type), scales.Shape, n, blocks, blob)
	}
	zero := func(int, int) float32 { return float32(int(1) << (bits - 1)) }
	at := func(src []uint8, i int) float32 {
		return float32(src[i*int(bits)/8] >> (i * int(bits) % 8) & (1<<bits - 1))
	}
	switch {
	case zeros == nil:
	case zeros.Type == onnx.Uint8 && int64(zeros.Len()) == n*int64(zrow):
		zero = func(r, j int) float32 { return at(zeros.U8[r*zrow:], j) }
	case zeros.Type == onnx.Float && zeros.Len() == scales.Len():
		zero = func(r, j int) float32 { return zeros.F32[r*int(blocks)+j] }
	default:
		return nil, fmt.Errorf("zero points %s %v do not fit %d rows of %d blocks", typeName(zeros.Type), zeros.Shape, n, blocks)
	}
	if bits == 4 {
		var z []float32
		if zeros != nil {
			z = make([]float32, n*blocks)
			for i := range z {
				z[i] = zero(i/int(blocks), i%int(blocks))
			}
		}
		return &nBits{fours: kernel.Pack4(int(k), int(n), int(block), b.U8, scales.F32, z), k: int(k), n: int(n)}, nil
	}
	w := make([]float32, n*k)
	for r := range int(n) {
		for j := range int(blocks) {
			src := b.U8[(r*int(blocks)+j)*blob:][:blob]
			s, z := scales.F32[r*int(blocks)+j], zero(r, j)
			for i := range min(int(block), int(k)-j*int(block)) {
				w[r*int(k)+j*int(block)+i] = (at(src, i) - z) * s
			}
		}
	}
	return &nBits{packed: kernel.Pack(true, int(k), int(n), w, int(k)), k: int(k), n: int(n)}, nil
}

func prepareNBits(p *compiler, st *step) (any, error) {
	var in [3]*Tensor
	for i := range in {
		t, ok := p.constant(st, i+1)
		if !ok {
			return nil, nil
		}
		in[i] = t
	}
	n := st.node
	form := fmt.Sprint("bits ", n.Int("bits", 4), n.Int("block_size", 0), n.Int("K", 0), n.Int("N", 0))
	w, err := p.once(st, 1, form, false, func() (any, error) { return unpackNBits(n, in[0], in[1], in[2]) }, 2, 3)
	if err != nil {
		return nil, err
	}
	p.take(st, 1)
	return w, nil
}

// Bytes is what the packed weight takes.
func (w *nBits) Bytes() int {
	if w.fours != nil {
		return w.fours.Bytes()
	}
	return w.packed.Bytes()
}

func matMulNBits(c *call) error {
	if c.arg(4) != nil {
		return fmt.Errorf("group indices: %w", ErrType)
	}
	w, _ := c.prep.(*nBits)
	if w == nil {
		var err error
		if w, err = unpackNBits(c.node, c.in[1], c.in[2], c.arg(3)); err != nil {
			return err
		}
	}
	x, err := c.floats(0)
	if err != nil {
		return err
	}
	m, shape, err := c.rowsOf(c.in[0].Shape, w.k, w.n)
	if err != nil {
		return err
	}
	bias, err := c.bias(5, w.n)
	if err != nil {
		return err
	}
	out, err := c.output(0, onnx.Float, slices.Clone(shape)...)
	if err != nil || m == 0 {
		return err
	}
	if w.fours != nil {
		parts(c.mem.done, m, rowsAt(w.n*w.k), func(lo, hi int) {
			kernel.GemmPacked4(hi-lo, x[lo*w.k:], w.k, w.fours, bias, kernel.ActNone, out.F32[lo*w.n:], w.n)
		})
	} else {
		gemmPacked(c.mem.done, m, x, w.k, w.packed, bias, kernel.ActNone, out.F32, w.n)
	}
	return nil
}
