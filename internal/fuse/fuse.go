package fuse

import (
	"fmt"

	"github.com/litekit/lite/onnx"
)

// Domain is the operator domain of fused nodes; DomainVersion is its opset version.
const (
	Domain        = "lite"
	DomainVersion = 1
)

// The fused operators.
const (
	OpLinear     = "Linear"
	OpLayerNorm  = "LayerNorm"
	OpAttention  = "Attention"
	OpGelu       = "Gelu"
	OpGatherRows = "GatherRows"
	OpQLinear    = "QLinear"
)

// The values of the attribute act of Linear and QLinear; the empty string is no activation.
const (
	ActNone     = ""
	ActGelu     = "gelu"
	ActGeluTanh = "gelu_tanh"
	ActRelu     = "relu"
	ActTanh     = "tanh"
)

// Fused is a model in fused operators.
type Fused struct {
	Model *onnx.Model
	// Origin maps every node of Model to the nodes of the original model that
	// it stands for, in graph order; a node that was kept maps to itself in the
	// original. Nodes that were added map to nothing.
	Origin map[*onnx.Node][]*onnx.Node

	parts map[*onnx.Node]parts
	infer *onnx.Inference
	alias map[string]string
}

// parts names the original nodes of a fused node that graph surgery must reach.
type parts struct {
	matmul, add *onnx.Node   // Linear, QLinear
	rows        bool         // Linear, QLinear: between two Reshapes, to rows and back
	splits      []*onnx.Node // Attention: the Reshape of Q, K, V in that order
	merge       *onnx.Node   // Attention: the Reshape that joins the heads
}

// Fuse returns m in fused operators: constants are initializers, shape arithmetic
// is folded as far as it is known, and the patterns of the package documentation
// are single nodes of domain "lite". m is not changed; tensors are shared.
//
// An intermediate value that is an output of the graph, or that something outside
// the pattern reads, keeps its pattern unfused. A model without any pattern comes
// back cleaned but otherwise as it was. The error is that of a graph that cannot
// be read: no graph at all, or nodes out of order.
func Fuse(m *onnx.Model) (*Fused, error) {
	if m == nil || m.Graph == nil {
		return nil, fmt.Errorf("fuse: the model has no graph; open it with onnx.Open or build one")
	}
	g, err := newGraph(m)
	if err != nil {
		return nil, err
	}
	g.clean()
	g.infer = g.m.InferNodes(g.nodes())
	g.dropCasts()
	g.dropExpands()
	g.fold()
	g.fixReshapes()
	g.rehomeShapes()
	g.sweep()

	g.fuseLayerNorms()
	g.fuseGelus()
	g.fuseLinears()
	g.fuseQLinears()
	g.fuseActivations()
	g.unwrapReshapes()
	g.fuseAttentions()
	g.fuseResiduals()
	g.sweep()
	return g.finish(), nil
}

// finish writes the nodes back into the model and declares the lite domain.
func (g *graph) finish() *Fused {
	gr := g.m.Graph
	gr.Nodes = g.nodes()
	used := false
	origin := make(map[*onnx.Node][]*onnx.Node, len(gr.Nodes))
	for _, n := range gr.Nodes {
		origin[n] = g.origin[n]
		used = used || n.Domain == Domain
	}
	gr.Prune()
	if used {
		declareDomain(g.m)
	}
	return &Fused{Model: g.m, Origin: origin, parts: g.parts, infer: g.infer, alias: g.alias}
}

// declareDomain imports the lite operator set.
func declareDomain(m *onnx.Model) {
	for _, o := range m.Opsets {
		if o.Domain == Domain {
			return
		}
	}
	m.Opsets = append(m.Opsets, onnx.Opset{Domain: Domain, Version: DomainVersion})
}
