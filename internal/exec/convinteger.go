package exec

import (
	"fmt"
	"slices"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// integerConvOps are the convolutions of quantized models.
func integerConvOps() map[string]operator {
	return map[string]operator{
		"ConvInteger": {run: convInteger, inputs: 2}, "QLinearConv": {run: qLinearConv, inputs: 8},
	}
}

func convInteger(c *call) error {
	acc, err := c.integerConv(c.in[0], c.arg(2), c.in[1], c.arg(3))
	c.out[0] = acc
	return err
}

// integerConv is int32 Conv(x − xz, w − wz), exact but for overflow of int32:
// for each image and group, the weights times the taps in columns.
func (c *call) integerConv(x, xz, weights, wz *Tensor) (*Tensor, error) {
	if len(x.Shape) < 3 || len(weights.Shape) != len(x.Shape) {
		return nil, fmt.Errorf("an input of shape %v and weights of shape %v do not fit", x.Shape, weights.Shape)
	}
	n, ch, m := x.Shape[0], x.Shape[1], weights.Shape[0]
	g, err := c.groups(ch)
	if err != nil {
		return nil, err
	}
	if m%g != 0 || weights.Shape[1]*g != ch {
		return nil, fmt.Errorf("weights of shape %v do not fit %d channels in %d groups", weights.Shape, ch, g)
	}
	w, err := c.newWindow(x.Shape[2:], weights.Shape[2:])
	if err != nil {
		return nil, err
	}
	if err := w.slide(c, false); err != nil {
		return nil, err
	}
	src, err := signed(x)
	if err != nil {
		return nil, err
	}
	zero, err := signedZero(x, xz)
	if err != nil {
		return nil, err
	}
	q, qz, err := unsignedRows(weights, wz)
	if err != nil {
		return nil, err
	}
	acc, err := c.made(onnx.Int32, slices.Concat([]int{n, m}, w.spatialOut())...)
	if err != nil || acc.Len() == 0 {
		return acc, err
	}
	cg, mg, k, p := ch/g, m/g, ch/g*w.kernelSize, w.outVolume
	if k == 0 {
		clear(acc.I32)
		return acc, nil
	}
	col, err := c.new(onnx.Int8, k, p)
	if err != nil {
		return nil, err
	}
	defer c.mem.release(col)
	for i := 0; i < n*g && !c.stopped(); i++ {
		for j := range cg {
			unfold(w, col.I8[j*w.kernelSize*p:(j+1)*w.kernelSize*p], src[(i*cg+j)*w.inSize:(i*cg+j+1)*w.inSize], zero)
		}
		packed := kernel.PackInt8(k, p, col.I8)
		first := i % g * mg
		for r, rows := 0, 0; r < mg; r += rows { // rows of one zero point
			z := qz[first+r]
			for rows = 1; r+rows < mg && qz[first+r+rows] == z; rows++ {
			}
			gemmInt8(c.mem.done, rows, q[(first+r)*k:(first+r+rows)*k], z, packed, []int8{zero}, acc.I32[(i*mg+r)*p:(i*mg+r+rows)*p])
		}
	}
	return acc, nil
}

// signedZero is the zero point of an input shifted as signed shifts it.
func signedZero(x, z *Tensor) (int8, error) {
	if z == nil {
		if x.Type == onnx.Uint8 {
			return -128, nil
		}
		return 0, nil
	}
	if z.Type != x.Type || z.Len() != 1 {
		return 0, fmt.Errorf("the input is %s and its zero point %s %v; one of the same type is needed", typeName(x.Type), typeName(z.Type), z.Shape)
	}
	v, err := signed(z)
	if err != nil {
		return 0, err
	}
	return v[0], nil
}

// unsignedRows returns 8-bit weights as uint8, signed ones plus 128, and the
// zero point of each row.
func unsignedRows(w, z *Tensor) (q, zeros []uint8, err error) {
	v, err := signed(w)
	if err != nil {
		return nil, nil, err
	}
	q = make([]uint8, len(v))
	for i, s := range v {
		q[i] = uint8(s) ^ 0x80
	}
	zeros = make([]uint8, w.Shape[0])
	if z == nil {
		if w.Type == onnx.Int8 {
			fill(zeros, 0x80)
		}
		return q, zeros, nil
	}
	if z.Type != w.Type || z.Len() != 1 && z.Len() != len(zeros) {
		return nil, nil, fmt.Errorf("the weight is %s and its zero point %s %v; 1 or %d of the same type are needed", typeName(w.Type), typeName(z.Type), z.Shape, len(zeros))
	}
	zv, err := signed(z)
	if err != nil {
		return nil, nil, err
	}
	for i := range zeros {
		zeros[i] = uint8(zv[min(i, len(zv)-1)]) ^ 0x80
	}
	return q, zeros, nil
}

// qLinearConv is Conv of quantized values, with an int32 bias in units of
// x's scale times w's, requantized to y's scale.
func qLinearConv(c *call) error {
	xs, ws, ys, yz, bias := c.in[1], c.in[4], c.in[6], c.in[7], c.arg(8)
	for _, s := range []*Tensor{xs, ws, ys} {
		if s.Type != onnx.Float {
			return fmt.Errorf("a scale is %s; float is needed: %w", typeName(s.Type), ErrType)
		}
	}
	acc, err := c.integerConv(c.in[0], c.in[2], c.in[3], c.in[5])
	if err != nil {
		return err
	}
	defer c.mem.release(acc)
	m := acc.Shape[1]
	if xs.Len() != 1 || ys.Len() != 1 || yz.Len() != 1 || ws.Len() != 1 && ws.Len() != m {
		return fmt.Errorf("scales of shapes %v, %v and %v do not fit %d channels", xs.Shape, ws.Shape, ys.Shape, m)
	}
	if bias != nil && (bias.Type != onnx.Int32 || bias.Len() != m) {
		return fmt.Errorf("the bias is %s %v; %d int32 are needed", typeName(bias.Type), bias.Shape, m)
	}
	if yz.Type != onnx.Uint8 && yz.Type != onnx.Int8 {
		return errType(yz.Type)
	}
	z, err := c.zeroPoints(yz, 1)
	if err != nil {
		return err
	}
	out, err := c.output(0, yz.Type, acc.Shape...)
	if err != nil || out.Len() == 0 {
		return err
	}
	p := product(acc.Shape[2:])
	c.parallel(len(acc.I32)/p, max(1, grain/p), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			k, b := r%m, int32(0)
			if bias != nil {
				b = bias.I32[k]
			}
			scale := xs.F32[0] * ws.F32[min(k, ws.Len()-1)] / ys.F32[0]
			for i := r * p; i < (r+1)*p; i++ {
				out.requantize(i, float64(float32(acc.I32[i]+b)*scale), z[0])
			}
		}
	})
	return nil
}
