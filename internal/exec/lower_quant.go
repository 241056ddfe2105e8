package exec

import (
	"slices"

	"github.com/litekit/lite/onnx"
)

// Convolutions, sums and products between DequantizeLinear and QuantizeLinear
// become the operators on integers that ONNX Runtime makes of them: the exact
// integer sum rounds to the same step on every machine, where a float sum near
// the middle of two steps goes by its last bit.

// eightBit names an 8-bit value with its scale and zero point.
type eightBit struct {
	value, scale, zero string
	kind               onnx.DataType
}

// inputs are the three as inputs of a QLinear operator.
func (e eightBit) inputs() []string { return []string{e.value, e.scale, e.zero} }

// eightBitOf reads a DequantizeLinear or QuantizeLinear whose zero point is a
// constant of 8 bits; value is its input or its output.
func (l *lowering) eightBitOf(n *onnx.Node, value string) (eightBit, bool) {
	z := l.weights[input(n, 2)]
	if z == nil || z.Type != onnx.Uint8 && z.Type != onnx.Int8 {
		return eightBit{}, false
	}
	return eightBit{value, input(n, 1), input(n, 2), z.Type}, true
}

// operand is the quantized form of an input that one scale serves.
func (l *lowering) operand(name string) (eightBit, bool) {
	d := l.dequantizer(name)
	if d == nil || !l.isScalar(input(d, 1)) {
		return eightBit{}, false
	}
	return l.eightBitOf(d, input(d, 0))
}

// quantizedResult returns what a QuantizeLinear becomes with the operator
// before it, nil where it stays.
func (l *lowering) quantizedResult(q *onnx.Node) *onnx.Node {
	from := input(q, 0)
	op := l.producers[from]
	if !l.products || op == nil || !defaultDomain(op.Domain) || len(op.Outputs) != 1 || l.outputs[from] || len(l.consumers[from]) != 1 ||
		!l.isScalar(input(q, 1)) || q.Int("block_size", 0) != 0 {
		return nil
	}
	y, ok := l.eightBitOf(q, "")
	a, okA := l.operand(input(op, 0))
	if !ok || !okA || a.kind != y.kind {
		return nil
	}
	out := *op
	switch op.Op {
	case "Conv":
		w, bias, ok := l.convWeights(op, a)
		if !ok {
			return nil
		}
		out.Op, out.Inputs = "QLinearConv", slices.Concat(a.inputs(), w.inputs(), []string{y.scale, y.zero})
		if bias != "" {
			out.Inputs = append(out.Inputs, bias)
		}
	case "Add", "Mul":
		b, ok := l.operand(input(op, 1))
		if !ok || b.kind != y.kind {
			return nil
		}
		out.Domain, out.Op, out.Inputs = msDomain, "QLinear"+op.Op, slices.Concat(a.inputs(), b.inputs(), []string{y.scale, y.zero})
	default:
		return nil
	}
	out.Outputs = q.Outputs
	return &out
}

// convWeights are the quantized weights of a Conv, scaled as a whole or by
// channel, and the name of its int32 bias in units of both scales.
func (l *lowering) convWeights(op *onnx.Node, x eightBit) (w eightBit, bias string, ok bool) {
	d := l.dequantizer(input(op, 1))
	if d == nil {
		return w, "", false
	}
	t, s := l.weights[input(d, 0)], l.weights[input(d, 1)]
	if t == nil || s == nil || s.Type != onnx.Float || len(t.Dims) < 3 {
		return w, "", false
	}
	w, ok = l.eightBitOf(d, input(d, 0))
	if !ok || w.kind != t.Type || s.Len() != 1 && (int64(s.Len()) != t.Dims[0] || d.Int("axis", 1) != 0) {
		return w, "", false
	}
	name := input(op, 2)
	if name == "" {
		return w, "", true
	}
	b := l.dequantizer(name)
	if b == nil || !l.biasScale(b, x, s) {
		return w, "", false
	}
	return w, input(b, 0), true
}

// biasScale reports whether a dequantized int32 bias has the product of the
// scales of input and weights, and no zero point.
func (l *lowering) biasScale(b *onnx.Node, x eightBit, weights *onnx.Tensor) bool {
	t, s, xs := l.weights[input(b, 0)], l.weights[input(b, 1)], l.weights[x.scale]
	if t == nil || t.Type != onnx.Int32 || s == nil || xs == nil {
		return false
	}
	if z := l.weights[input(b, 2)]; input(b, 2) != "" && (z == nil || slices.ContainsFunc(z.Raw, func(v byte) bool { return v != 0 })) {
		return false
	}
	got, err := s.Floats()
	unit, errX := xs.Floats()
	by, errW := weights.Floats()
	if err != nil || errX != nil || errW != nil || len(unit) != 1 || len(got) != 1 && len(got) != len(by) {
		return false
	}
	for i, w := range by {
		want := w * unit[0]
		if d := got[min(i, len(got)-1)] - want; d > 1e-5*want || -d > 1e-5*want {
			return false
		}
	}
	return true
}
