package inspect

import "github.com/litekit/lite/onnx"

// headSize is the width of a head of the first attention in a graph whose encoder
// was not recognised, such as one between QuantizeLinear and DequantizeLinear: what
// the projection of the queries gives, by the number of heads. Hidden size by heads
// would be wrong where heads were pruned. It is 0 where the graph does not tell.
func headSize(g *onnx.Graph, heads int) int {
	if heads < 1 {
		return 0
	}
	w := widths{made: g.Producers(), weights: g.InitializerMap()}
	for _, n := range g.Nodes {
		if n.Op != "Softmax" || len(n.Inputs) == 0 {
			continue
		}
		scores := w.back(n.Inputs[0], func(n *onnx.Node) bool { return w.product(n) && w.columns(n) == 0 })
		if scores == nil {
			continue
		}
		query := w.back(scores.Inputs[0], func(n *onnx.Node) bool { return w.columns(n) > 0 })
		if query == nil {
			continue
		}
		if all := w.columns(query); all%heads == 0 {
			return all / heads
		}
		return 0
	}
	return 0
}

// widths reads the widths of linear layers.
type widths struct {
	made    map[string]*onnx.Node
	weights map[string]*onnx.Tensor
}

// back returns the nearest node before v that is wanted, the first input first, and
// does not look behind another product.
func (w *widths) back(v string, wanted func(*onnx.Node) bool) *onnx.Node {
	queue := []string{v}
	for i := 0; i < len(queue) && i < 64; i++ {
		n := w.made[queue[i]]
		switch {
		case n == nil:
		case wanted(n):
			return n
		case !w.product(n):
			queue = append(queue, n.Inputs...)
		}
	}
	return nil
}

func (w *widths) product(n *onnx.Node) bool {
	switch n.Op {
	case "MatMul", "Gemm", "MatMulInteger", "QLinearMatMul":
		return len(n.Inputs) > 1
	}
	return false
}

// columns is the number of values that the linear layer of a product gives, 0 where
// it is none.
func (w *widths) columns(n *onnx.Node) int {
	if !w.product(n) {
		return 0
	}
	at := 1
	if n.Op == "QLinearMatMul" {
		at = 3
	}
	if at >= len(n.Inputs) {
		return 0
	}
	v := n.Inputs[at]
	axis := 1
	if n.Op == "Gemm" && n.Int("transB", 0) == 1 {
		axis = 0
	}
	for range 4 {
		if t := w.weights[v]; t != nil {
			if len(t.Dims) != 2 {
				return 0
			}
			return int(t.Dims[axis])
		}
		p := w.made[v]
		if p == nil || len(p.Inputs) == 0 {
			return 0
		}
		switch p.Op {
		case "Transpose":
			axis = 1 - axis
		case "DequantizeLinear", "Cast", "Identity":
		default:
			return 0
		}
		v = p.Inputs[0]
	}
	return 0
}
