package exec

import (
	"slices"

	"github.com/litekit/lite/onnx"
)

// lowering rewrites products of quantized values into IntegerLinear nodes,
// which run in the int8 kernel:
//
//   - lite.QLinear becomes a DynamicQuantizeLinear, shared by every QLinear of
//     the same value, and an IntegerLinear;
//   - MatMul, Gemm or Linear of DequantizeLinear(QuantizeLinear(X)) and
//     DequantizeLinear(constant 8-bit matrix, per tensor or per column)
//     becomes an IntegerLinear of the quantized values: the same result but
//     for float rounding, since (q − z)·s factors out of the sum;
//   - com.microsoft's DynamicQuantizeMatMul and MatMulIntegerToFloat likewise;
//   - the product of an 8-bit table's rows, cast to float, and of their scales
//     becomes a GatherBytes;
//   - a QuantizeLinear becomes the operator before it where that runs on
//     integers; see quantizedResult.
type lowering struct {
	products  bool
	producers map[string]*onnx.Node
	consumers map[string][]*onnx.Node
	outputs   map[string]bool
	weights   map[string]*onnx.Tensor
	quantized map[string]string // value → prefix of its quantized form
	out       []*onnx.Node
}

// lower rewrites g in place. Without products, only the nodes that have no
// operator of their own are lowered.
func lower(g *onnx.Graph, products bool) {
	l := &lowering{products: products, producers: g.Producers(), consumers: g.Consumers(), outputs: map[string]bool{}, weights: g.InitializerMap(), quantized: map[string]string{}}
	for _, o := range g.Outputs {
		l.outputs[o.Name] = true
	}
	for _, n := range g.Nodes {
		if r := l.node(n); r != nil {
			n = r
		}
		l.out = append(l.out, n)
	}
	g.Nodes = l.out
}

func input(n *onnx.Node, i int) string {
	if i < len(n.Inputs) {
		return n.Inputs[i]
	}
	return ""
}

// node returns what n becomes, nil where it stays.
func (l *lowering) node(n *onnx.Node) *onnx.Node {
	switch {
	case n.Domain == liteDomain && n.Op == "QLinear":
		return l.dynamic(n, [4]int{1, 2, 3, 4})
	case n.Domain == msDomain && n.Op == "DynamicQuantizeMatMul":
		return l.dynamic(n, [4]int{1, 2, 3, 4})
	case n.Domain == msDomain && n.Op == "MatMulIntegerToFloat":
		return integerNode(n, input(n, 0), input(n, 2), input(n, 4), input(n, 1), input(n, 3), input(n, 5), input(n, 6))
	case defaultDomain(n.Domain) && n.Op == "Mul":
		return l.scaledRows(n)
	case n.Domain == liteDomain && n.Op == "Linear":
		return l.static(n, n.Int("trans_b", 0) != 0)
	case (defaultDomain(n.Domain) || n.Domain == msDomain) && n.Op == "QuantizeLinear":
		return l.quantizedResult(n)
	case defaultDomain(n.Domain) && n.Op == "MatMul":
		return l.static(n, false)
	case defaultDomain(n.Domain) && n.Op == "Gemm":
		if n.Int("transA", 0) == 0 && n.Float("alpha", 1) == 1 && n.Float("beta", 1) == 1 && l.vectorBias(input(n, 2)) {
			return l.static(n, n.Int("transB", 0) != 0)
		}
	}
	return nil
}

func defaultDomain(d string) bool { return d == "" || d == "ai.onnx" }

func integerNode(n *onnx.Node, inputs ...string) *onnx.Node {
	out := *n
	out.Domain, out.Op, out.Inputs = ownDomain, "IntegerLinear", inputs
	return &out
}

// dynamic lowers a node whose weight, scale, zero point and bias are the inputs at.
func (l *lowering) dynamic(n *onnx.Node, at [4]int) *onnx.Node {
	x := input(n, 0)
	prefix, ok := l.quantized[x]
	if !ok {
		prefix = x + "/lite.exec"
		l.quantized[x] = prefix
		l.out = append(l.out, onnx.NewNode("DynamicQuantizeLinear", n.Name+"/quantize", []string{x},
			[]string{prefix + ".q", prefix + ".scale", prefix + ".zero"}))
	}
	return integerNode(n, prefix+".q", prefix+".scale", prefix+".zero", input(n, at[0]), input(n, at[1]), input(n, at[2]), input(n, at[3]))
}

// scaledRows lowers Cast(Gather(int8 table [V,n], ids))·Gather(scales [V,1], ids),
// the embedding of a model quantized by rows, or returns nil.
func (l *lowering) scaledRows(n *onnx.Node) *onnx.Node {
	gathered := func(v string) (*onnx.Node, *onnx.Tensor) {
		g := l.producers[v]
		if g == nil || g.Op != "Gather" || !defaultDomain(g.Domain) || g.Int("axis", 0) != 0 {
			return nil, nil
		}
		return g, l.weights[input(g, 0)]
	}
	for i := range 2 {
		cast := l.producers[input(n, i)]
		if cast == nil || cast.Op != "Cast" || !defaultDomain(cast.Domain) || onnx.DataType(cast.Int("to", 0)) != onnx.Float {
			continue
		}
		rows, table := gathered(input(cast, 0))
		by, scales := gathered(input(n, 1-i))
		if table == nil || scales == nil || input(rows, 1) != input(by, 1) || table.Type != onnx.Int8 || scales.Type != onnx.Float ||
			len(table.Dims) != 2 || len(scales.Dims) != 2 || scales.Dims[0] != table.Dims[0] || scales.Dims[1] != 1 {
			continue
		}
		return &onnx.Node{Domain: ownDomain, Op: "GatherBytes", Name: n.Name, Inputs: []string{rows.Inputs[0], by.Inputs[0], rows.Inputs[1]}, Outputs: n.Outputs}
	}
	return nil
}

// static lowers a product of two dequantized values, or returns nil.
func (l *lowering) static(n *onnx.Node, trans bool) *onnx.Node {
	if !l.products {
		return nil
	}
	dx, dw := l.dequantizer(input(n, 0)), l.dequantizer(input(n, 1))
	if dx == nil || dw == nil {
		return nil
	}
	q := l.producers[input(dx, 0)]
	if q == nil || q.Op != "QuantizeLinear" || !l.isScalar(input(dx, 1)) || !l.eightBits(q) {
		return nil
	}
	name, flip := input(dw, 0), false
	if t := l.producers[name]; t != nil && t.Op == "Transpose" && defaultDomain(t.Domain) && (t.Ints("perm") == nil || slices.Equal(t.Ints("perm"), []int64{1, 0})) {
		name, flip = input(t, 0), true // a decoder that reads the embedding table
	}
	w := l.weights[name]
	if w == nil || len(w.Dims) != 2 || w.Type != onnx.Int8 && w.Type != onnx.Uint8 || !l.columnScale(dw, w, trans, flip) {
		return nil
	}
	out := integerNode(n, input(dx, 0), input(dx, 1), input(dx, 2), name, input(dw, 1), input(dw, 2), input(n, 2))
	out.Attrs = nil
	if s := n.Str("act", ""); s != "" {
		out.Attrs = append(out.Attrs, onnx.StringAttr("act", s))
	}
	if trans != flip {
		out.Attrs = append(out.Attrs, onnx.IntAttr("trans_b", 1))
	}
	return out
}

func (l *lowering) dequantizer(value string) *onnx.Node {
	n := l.producers[value]
	if n == nil || n.Op != "DequantizeLinear" || !defaultDomain(n.Domain) && n.Domain != msDomain || n.Int("block_size", 0) != 0 {
		return nil
	}
	return n
}

// eightBits reports whether a QuantizeLinear makes int8 or uint8.
func (l *lowering) eightBits(q *onnx.Node) bool {
	t := onnx.DataType(q.Int("output_dtype", int64(onnx.Uint8)))
	if z := input(q, 2); z != "" {
		w := l.weights[z]
		if w == nil {
			return false
		}
		t = w.Type
	}
	return t == onnx.Uint8 || t == onnx.Int8 || t == onnx.Undefined
}

func (l *lowering) isScalar(name string) bool {
	t := l.weights[name]
	return t != nil && t.Len() == 1 && t.Type == onnx.Float
}

// columnScale reports whether the weight w, transposed before it is dequantized
// where flip is set, is scaled as a whole or per output column.
func (l *lowering) columnScale(dq *onnx.Node, w *onnx.Tensor, trans, flip bool) bool {
	s := l.weights[input(dq, 1)]
	if s == nil || s.Type != onnx.Float {
		return false
	}
	if s.Len() == 1 {
		return true
	}
	column := int64(1)
	if trans {
		column = 0
	}
	a := dq.Int("axis", 1)
	if a < 0 {
		a += 2
	}
	size := w.Dims[column]
	if flip {
		size = w.Dims[1-column]
	}
	return a == column && int64(s.Len()) == size
}

// vectorBias reports whether C of a Gemm is absent or a vector. A dequantized
// int32 vector counts: exporters keep the bias in the accumulator's scale.
func (l *lowering) vectorBias(name string) bool {
	if name == "" {
		return true
	}
	if d := l.dequantizer(name); d != nil {
		name = input(d, 0)
	}
	t := l.weights[name]
	return t != nil && len(t.Dims) == 1
}
