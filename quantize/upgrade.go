package quantize

import (
	"fmt"
	"slices"

	"github.com/litekit/lite/onnx"
)

// unchanged lists the operators whose meaning, attributes and inputs are the
// same in opsets 11, 12 and 13 for the types that encoders use.
var unchanged = []string{
	"Abs", "Add", "And", "ArgMax", "ArgMin", "Cast", "Ceil", "Clip", "Concat", "Constant", "ConstantOfShape", "CumSum",
	"DequantizeLinear", "Div", "DynamicQuantizeLinear", "Einsum", "Equal", "Erf", "Exp", "Expand", "EyeLike", "Flatten", "Floor",
	"Gather", "GatherElements", "GatherND", "Gemm", "Greater", "GreaterOrEqual", "Identity", "IsInf", "IsNaN", "LeakyRelu", "Less",
	"LessOrEqual", "Log", "MatMul", "MatMulInteger", "Max", "Mean", "Min", "Mod", "Mul", "Neg", "NonZero", "Not", "OneHot", "Or",
	"Pad", "Pow", "QuantizeLinear", "Range", "Reciprocal", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSumSquare", "ReduceL2",
	"Relu", "Reshape", "Round", "ScatterElements", "ScatterND", "Shape", "Sigmoid", "Sign", "Size", "Slice", "Softplus", "Sqrt",
	"Sub", "Sum", "Tanh", "Tile", "TopK", "Transpose", "Trilu", "Where", "Xor",
}

// upgrade returns m at opset 13, which per-channel DequantizeLinear needs. It
// knows the changes that opsets 12 and 13 made to the operators of encoders:
// axes of Squeeze, Unsqueeze and ReduceSum and the sizes of Split became
// inputs, Dropout's ratio became an input, and Softmax lost its flattening of
// the axes after its own. What it cannot carry over exactly is an error.
func upgrade(m *onnx.Model) (*onnx.Model, error) {
	from := opset(m)
	if from >= 13 {
		return m, nil
	}
	out := m.Clone()
	for i, o := range out.Opsets {
		if o.Domain == "" || o.Domain == "ai.onnx" {
			out.Opsets[i].Version = 13
		}
	}
	// IR version 7 came with opset 12 and 13.
	out.IRVersion = max(out.IRVersion, 7)
	u := &upgrader{graph: out.Graph, used: usedNames(out.Graph), ranks: newRanks(m.Graph)}
	for _, n := range out.Graph.Nodes {
		if n.Domain != "" && n.Domain != "ai.onnx" {
			continue
		}
		if err := u.node(n); err != nil {
			return nil, fmt.Errorf("quantize: node %s: %w, so the model cannot be raised from opset %d to 13; export it again with opset_version=13 or later, or use dynamic mode", n.Label(), err, from)
		}
	}
	return out, nil
}

type upgrader struct {
	graph *onnx.Graph
	used  map[string]bool
	ranks *ranks
}

func (u *upgrader) node(n *onnx.Node) error {
	switch n.Op {
	case "Squeeze", "Unsqueeze", "ReduceSum":
		u.toInput(n, "axes")
	case "Split":
		u.toInput(n, "split")
	case "Dropout":
		// At inference it is the identity for any ratio.
		n.Attrs = slices.DeleteFunc(n.Attrs, func(a *onnx.Attribute) bool { return a.Name == "ratio" })
	case "Softmax", "LogSoftmax", "Hardmax":
		return u.softmax(n)
	case "BatchNormalization", "LayerNormalization":
		return fmt.Errorf("%s is not carried over", n.Op)
	default:
		if slices.ContainsFunc(n.Attrs, func(a *onnx.Attribute) bool { return a.Graph != nil || len(a.Graphs) > 0 }) {
			return fmt.Errorf("%s holds a subgraph", n.Op)
		}
		if !slices.Contains(unchanged, n.Op) {
			return fmt.Errorf("the changes to %s are not known here", n.Op)
		}
	}
	return nil
}

// toInput turns the integer list attribute into the node's second input.
func (u *upgrader) toInput(n *onnx.Node, attr string) {
	v := n.Ints(attr)
	if v == nil {
		return
	}
	n.Attrs = slices.DeleteFunc(n.Attrs, func(a *onnx.Attribute) bool { return a.Name == attr })
	name := n.Label() + "_" + attr
	for i := 1; u.used[name]; i++ {
		name = fmt.Sprintf("%s_%s_%d", n.Label(), attr, i)
	}
	u.used[name] = true
	u.graph.Initializers = append(u.graph.Initializers, onnx.NewInt64s(name, v, int64(len(v))))
	n.Inputs = []string{n.Inputs[0], name}
}

// softmax accepts what normalises over the last axis only, where the old and
// the new meaning agree.
func (u *upgrader) softmax(n *onnx.Node) error {
	axis := n.Int("axis", 1)
	if axis != -1 {
		rank := u.ranks.of(n.Inputs[0])
		if rank < 0 {
			return fmt.Errorf("%s has axis %d and its input's rank is not known", n.Op, axis)
		}
		if axis != int64(rank-1) {
			return fmt.Errorf("%s over axis %d of %d flattens the axes after it", n.Op, axis, rank)
		}
	}
	n.Attrs = slices.DeleteFunc(n.Attrs, func(a *onnx.Attribute) bool { return a.Name == "axis" })
	n.Attrs = append(n.Attrs, onnx.IntAttr("axis", -1))
	return nil
}

// ranks infers how many dimensions values have, −1 where it cannot tell.
type ranks struct {
	producers map[string]*onnx.Node
	inits     map[string]*onnx.Tensor
	known     map[string]int
}

func newRanks(g *onnx.Graph) *ranks {
	r := &ranks{producers: g.Producers(), inits: g.InitializerMap(), known: map[string]int{}}
	for _, list := range [][]*onnx.ValueInfo{g.Values, g.Inputs, g.Outputs} {
		for _, v := range list {
			if v.HasShape {
				r.known[v.Name] = len(v.Dims)
			}
		}
	}
	return r
}

func (r *ranks) of(name string) int {
	if k, ok := r.known[name]; ok {
		return k
	}
	r.known[name] = -1 // against cycles
	k := r.infer(name)
	r.known[name] = k
	return k
}

func (r *ranks) infer(name string) int {
	if t := r.inits[name]; t != nil {
		return len(t.Dims)
	}
	n := r.producers[name]
	if n == nil {
		return -1
	}
	switch n.Op {
	case "Constant":
		if a := n.Attr("value"); a != nil && a.Tensor != nil {
			return len(a.Tensor.Dims)
		}
	case "Shape", "NonZero":
		return map[string]int{"Shape": 1, "NonZero": 2}[n.Op]
	case "Transpose", "Identity", "Cast", "Softmax", "LogSoftmax", "Relu", "Tanh", "Erf", "Sqrt", "Exp", "Neg", "Not", "Clip",
		"Sigmoid", "Dropout", "Concat", "Slice":
		return r.of(n.Inputs[0])
	case "Add", "Sub", "Mul", "Div", "Pow", "Where", "MatMul", "Equal", "Less", "Greater", "And", "Or":
		k := -1
		for _, in := range n.Inputs {
			v := r.of(in)
			if v < 0 {
				return -1
			}
			k = max(k, v)
		}
		return k
	case "Gemm":
		return 2
	case "Unsqueeze":
		if v := r.of(n.Inputs[0]); v >= 0 && len(n.Ints("axes")) > 0 {
			return v + len(n.Ints("axes"))
		}
	case "Gather":
		d, i := r.of(n.Inputs[0]), r.of(n.Inputs[1])
		if d >= 0 && i >= 0 {
			return d + i - 1
		}
	case "Reshape":
		return r.length(n.Inputs[1])
	case "Expand":
		if v, l := r.of(n.Inputs[0]), r.length(n.Inputs[1]); v >= 0 && l >= 0 {
			return max(v, l)
		}
	}
	return -1
}

// length is the number of elements of a shape vector, −1 if not known.
func (r *ranks) length(name string) int {
	if t := r.inits[name]; t != nil {
		return t.Len()
	}
	n := r.producers[name]
	if n == nil {
		return -1
	}
	switch n.Op {
	case "Constant":
		if a := n.Attr("value"); a != nil && a.Tensor != nil {
			return a.Tensor.Len()
		}
	case "Shape":
		return r.of(n.Inputs[0])
	case "Concat":
		sum := 0
		for _, in := range n.Inputs {
			l := r.length(in)
			if l < 0 {
				return -1
			}
			sum += l
		}
		return sum
	case "Unsqueeze":
		if r.of(n.Inputs[0]) == 0 {
			return 1
		}
	case "Identity", "Cast":
		return r.length(n.Inputs[0])
	case "Gather":
		if r.of(n.Inputs[1]) == 0 {
			return -1
		}
		return r.length(n.Inputs[1])
	}
	return -1
}
