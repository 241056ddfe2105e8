package inspect

import (
	"fmt"
	"slices"
	"strings"

	"github.com/litekit/lite/onnx"
)

// Quantized counts the nodes that compute with quantized weights in one way.
type Quantized struct {
	// Scheme is "dynamic" (activations quantized by the range of each run),
	// "qdq" (float operators between QuantizeLinear and DequantizeLinear),
	// "qoperator" (QLinear… operators) or "weight-only".
	Scheme string `json:"scheme"`
	// Bits is of the weights, Type theirs; MatMulNBits packs its own in uint8.
	Bits int    `json:"bits"`
	Type string `json:"type"`
	// Granularity is "tensor", "channel", "block of N", or "unknown" where the
	// scales are not constant.
	Granularity string `json:"granularity"`
	Nodes       int    `json:"nodes"`
}

// quantOp says where an operator has its quantized weight and the scale of it.
type quantOp struct {
	scheme        string
	weight, scale int // inputs; scale < 0 where nodes after it scale
}

var quantOps = map[string]quantOp{
	"MatMulInteger":                       {"dynamic", 1, -1},
	"ConvInteger":                         {"dynamic", 1, -1},
	"com.microsoft.MatMulIntegerToFloat":  {"dynamic", 1, 3},
	"com.microsoft.DynamicQuantizeMatMul": {"dynamic", 1, 2},
	"com.microsoft.DynamicQuantizeLSTM":   {"dynamic", 1, 8},
	"com.microsoft.QAttention":            {"dynamic", 1, 4},
	"QLinearMatMul":                       {"qoperator", 3, 4},
	"QLinearConv":                         {"qoperator", 3, 4},
	"com.microsoft.QLinearConv":           {"qoperator", 3, 4},
	"com.microsoft.QGemm":                 {"qoperator", 3, 4},
	"com.microsoft.MatMulNBits":           {"weight-only", 1, 2},
	"com.microsoft.MatMulBnb4":            {"weight-only", 1, 2},
	"com.microsoft.GatherBlockQuantized":  {"weight-only", 0, 2},
}

// schemes lists the ways in which a graph's weights are quantized.
func schemes(g *onnx.Graph) []Quantized {
	q := quantReader{made: g.Producers(), readers: g.Consumers(), consts: map[string]*onnx.Tensor{}}
	for _, t := range constants(g) {
		q.consts[t.Name] = t
	}
	out := []Quantized{}
	add := func(found Quantized) {
		i := slices.IndexFunc(out, func(o Quantized) bool {
			o.Nodes = 0
			return o == found
		})
		if i < 0 {
			i, out = len(out), append(out, found)
		}
		out[i].Nodes++
	}
	for _, n := range g.Nodes {
		if op, ok := quantOps[operator(n)]; ok {
			if found, ok := q.node(n, op); ok {
				add(found)
			}
		} else if strings.HasSuffix(operator(n), "DequantizeLinear") {
			if found, ok := q.dequantized(n); ok {
				add(found)
			}
		}
	}
	return out
}

type quantReader struct {
	made    map[string]*onnx.Node
	readers map[string][]*onnx.Node
	consts  map[string]*onnx.Tensor
}

func input(n *onnx.Node, i int) string {
	if i < 0 || i >= len(n.Inputs) {
		return ""
	}
	return n.Inputs[i]
}

// constant is the tensor behind a name, through nodes that only move it or take
// rows of it, as of an embedding table.
func (q quantReader) constant(name string) *onnx.Tensor {
	for range 4 {
		if t := q.consts[name]; t != nil {
			return t
		}
		n := q.made[name]
		if n == nil || !passing[n.Op] && n.Op != "Gather" || n.Op == "DequantizeLinear" || n.Op == "Cast" {
			return nil
		}
		name = input(n, 0)
	}
	return nil
}

// node reads an operator that takes a quantized weight; false if the weight is
// no constant, so that two activations are multiplied.
func (q quantReader) node(n *onnx.Node, op quantOp) (Quantized, bool) {
	w := q.constant(input(n, op.weight))
	if w == nil {
		return Quantized{}, false
	}
	found := Quantized{Scheme: op.scheme, Bits: w.Type.Bits(), Type: w.Type.String()}
	switch {
	case operator(n) == "com.microsoft.QAttention" && q.made[input(n, 3)] == nil:
		found.Scheme = "qoperator" // the scale of its input is a constant
	case operator(n) == "com.microsoft.MatMulBnb4":
		found.Bits = 4
	case op.scheme == "weight-only":
		found.Bits = int(n.Int("bits", 4))
	}
	if b := n.Int("block_size", 0); b > 0 {
		found.Granularity = fmt.Sprintf("block of %d", b)
		return found, true
	}
	scale := q.constant(input(n, op.scale))
	if op.scale < 0 {
		scale = q.scaleAfter(n)
	}
	found.Granularity = granularity(scale)
	return found, true
}

// scaleAfter finds the weight's scale behind an integer product: in
// Cast(product)·(activation's scale · weight's scale), in either order.
func (q quantReader) scaleAfter(n *onnx.Node) *onnx.Tensor {
	value := n.Outputs[0]
	for range 8 {
		readers := q.readers[value]
		if len(readers) == 0 {
			return nil
		}
		next := readers[0]
		if next.Op == "Mul" {
			for _, in := range next.Inputs {
				if in == value {
					continue
				}
				if t := q.constant(in); t != nil {
					return t
				}
				if by := q.made[in]; by != nil && by.Op == "Mul" {
					for _, s := range by.Inputs {
						if t := q.constant(s); t != nil {
							return t
						}
					}
				}
			}
		}
		if len(next.Outputs) == 0 {
			return nil
		}
		value = next.Outputs[0]
	}
	return nil
}

// dequantized reads a DequantizeLinear of a constant: QDQ where an operator that
// reads it has an activation that is dequantized too, else weight-only. Biases, in
// int32, are no schemes of their own.
func (q quantReader) dequantized(n *onnx.Node) (Quantized, bool) {
	w := q.constant(input(n, 0))
	if w == nil || w.Type.Bits() > 8 || len(n.Outputs) == 0 {
		return Quantized{}, false
	}
	found := Quantized{Scheme: "weight-only", Bits: w.Type.Bits(), Type: w.Type.String()}
	for _, r := range q.readers[q.moved(n.Outputs[0])] {
		for _, in := range r.Inputs {
			by := q.made[in]
			if by != nil && by != n && strings.HasSuffix(by.Op, "DequantizeLinear") && q.constant(input(by, 0)) == nil {
				found.Scheme = "qdq"
			}
		}
	}
	if b := n.Int("block_size", 0); b > 0 {
		found.Granularity = fmt.Sprintf("block of %d", b)
	} else {
		found.Granularity = granularity(q.constant(input(n, 1)))
	}
	return found, true
}

// moved follows a value through nodes that only move it.
func (q quantReader) moved(name string) string {
	for range 4 {
		r := q.readers[name]
		if len(r) != 1 || !passing[r[0].Op] || input(r[0], 0) != name || len(r[0].Outputs) == 0 {
			return name
		}
		name = r[0].Outputs[0]
	}
	return name
}

func granularity(scale *onnx.Tensor) string {
	switch {
	case scale == nil:
		return "unknown"
	case scale.Len() == 1:
		return "tensor"
	}
	return "channel"
}
