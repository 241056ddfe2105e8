package quantize

import (
	"fmt"
	"slices"

	"github.com/litekit/lite/onnx"
)

// minRows is the least number of rows of a table worth quantizing: fewer (the
// token types) would save less than the added nodes take.
const minRows = 16

// weight is a constant matrix as a node reads it.
type weight struct {
	tensor *onnx.Tensor
	// transposed: the linear layer's [K, N] matrix is the tensor's transpose.
	transposed bool
	// table: the tensor is also an embedding table whose int8 rows can be shared.
	table bool
}

// site is a node that can be quantized.
type site struct {
	node   *onnx.Node // of the source model
	index  int        // its place in the graph
	gather bool
	weight weight
	k, n   int
	input  string // the activation, or the row numbers of a Gather
	bias   string // of a Gemm, "" if none
	alpha  float32
}

// skip is a node that stays float, and why.
type skip struct {
	node  *onnx.Node
	index int
	why   string
}

// graph answers questions about the source model.
type graph struct {
	inits     map[string]*onnx.Tensor
	producers map[string]*onnx.Node
}

// constant follows a value to the tensor it is: an initializer or a Constant,
// through Identity and two-dimensional Transpose. flip is true after an odd
// number of transposes.
func (g *graph) constant(name string) (t *onnx.Tensor, flip bool) {
	for range 16 {
		if t := g.inits[name]; t != nil {
			return t, flip
		}
		n := g.producers[name]
		if n == nil || n.Domain != "" && n.Domain != "ai.onnx" {
			return nil, false
		}
		switch n.Op {
		case "Constant":
			if a := n.Attr("value"); a != nil && a.Tensor != nil {
				return a.Tensor, flip
			}
			return nil, false
		case "Identity":
		case "Transpose":
			if p := n.Ints("perm"); p != nil && !slices.Equal(p, []int64{1, 0}) {
				return nil, false
			}
			flip = !flip
		default:
			return nil, false
		}
		if len(n.Inputs) == 0 {
			return nil, false
		}
		name = n.Inputs[0]
	}
	return nil, false
}

// inspect classifies a node: a site, a skip with its reason, or neither
// (an operator that is not a candidate).
func (g *graph) inspect(n *onnx.Node, index int) (*site, *skip) {
	if n.Domain != "" && n.Domain != "ai.onnx" {
		return nil, nil
	}
	no := func(format string, args ...any) (*site, *skip) {
		return nil, &skip{node: n, index: index, why: fmt.Sprintf(format, args...)}
	}
	switch n.Op {
	case "MatMul", "Gemm":
	case "Gather":
		return g.inspectGather(n, index)
	default:
		return nil, nil
	}
	if len(n.Inputs) < 2 || len(n.Outputs) != 1 {
		return no("it has %d inputs and %d outputs", len(n.Inputs), len(n.Outputs))
	}
	t, flip := g.constant(n.Inputs[1])
	if t == nil {
		if left, _ := g.constant(n.Inputs[0]); left != nil {
			return no("its constant is the left operand")
		}
		return no("both operands are computed")
	}
	if left, _ := g.constant(n.Inputs[0]); left != nil {
		return no("both operands are constant")
	}
	if why := unfit(t); why != "" {
		return no("weight %s: %s", t.Name, why)
	}
	s := &site{node: n, index: index, input: n.Inputs[0], alpha: 1}
	if n.Op == "Gemm" {
		if n.Int("transA", 0) != 0 {
			return no("it transposes its activation (transA)")
		}
		flip = flip != (n.Int("transB", 0) != 0)
		s.alpha = n.Float("alpha", 1)
		if len(n.Inputs) > 2 && n.Inputs[2] != "" {
			if b := n.Float("beta", 1); b != 1 {
				return no("it scales its bias by beta = %g", b)
			}
			s.bias = n.Inputs[2]
		}
	}
	s.weight = weight{tensor: t, transposed: flip}
	s.k, s.n = int(t.Dims[0]), int(t.Dims[1])
	if flip {
		s.k, s.n = s.n, s.k
	}
	return s, nil
}

// inspectGather accepts reading rows of a constant float table; a Gather of
// computed values or integers is not a candidate at all.
func (g *graph) inspectGather(n *onnx.Node, index int) (*site, *skip) {
	if len(n.Inputs) != 2 || len(n.Outputs) != 1 {
		return nil, nil
	}
	t, flip := g.constant(n.Inputs[0])
	if t == nil || t.Type != onnx.Float && t.Type != onnx.Float16 || len(t.Dims) != 2 {
		return nil, nil
	}
	no := func(why string) (*site, *skip) { return nil, &skip{node: n, index: index, why: why} }
	if flip || n.Int("axis", 0) != 0 {
		return no("it does not read rows of its table")
	}
	if t.Dims[0] < minRows {
		return no(fmt.Sprintf("its table has only %d rows", t.Dims[0]))
	}
	if why := unfit(t); why != "" {
		return no(fmt.Sprintf("table %s: %s", t.Name, why))
	}
	return &site{node: n, index: index, gather: true, weight: weight{tensor: t, table: true},
		k: int(t.Dims[0]), n: int(t.Dims[1]), input: n.Inputs[1], alpha: 1}, nil
}

// unfit says why a tensor cannot become int8, "" if it can.
func unfit(t *onnx.Tensor) string {
	if t.Type != onnx.Float {
		return fmt.Sprintf("its elements are %s, not float32; export or convert the model to float32 first", t.Type)
	}
	if len(t.Dims) != 2 {
		return fmt.Sprintf("its shape %v is not a matrix", t.Dims)
	}
	if t.Len() == 0 {
		return fmt.Sprintf("its shape %v is empty", t.Dims)
	}
	defer t.Forget() // it is read again when it is quantized
	at := 0
	for x, err := range pieces(t, 1) {
		if err != nil {
			return err.Error()
		}
		for i, v := range x {
			if v-v != 0 { // NaN, or infinite
				return fmt.Sprintf("element %d is %v", at+i, v)
			}
		}
		at += len(x)
	}
	return ""
}
