package fuse

import "github.com/litekit/lite/onnx"

// Untie returns a model in which every vector that reaches its readers through an
// Identity node is an initializer of its own, under the name of the Identity's
// output. Torch's exporter merges parameters of equal value and writes such
// nodes, so that the fresh biases of all layers, for instance, are one tensor: whoever
// changes or trains one parameter must untie them first. Matrices stay tied (an
// embedding table shared with a decoder is meant), and so does a vector that several
// nodes read by one name (layers that share all their weights). The bytes are shared
// until one is replaced; m is not changed.
func Untie(m *onnx.Model) *onnx.Model {
	if m == nil || m.Graph == nil {
		return m
	}
	c := m.Clone()
	inits := c.Graph.InitializerMap()
	nodes := c.Graph.Nodes[:0:0]
	for _, n := range c.Graph.Nodes {
		var t *onnx.Tensor
		if is(n, "Identity") && !c.Graph.IsOutput(n.Outputs[0]) {
			t = inits[n.Inputs[0]]
		}
		if t == nil || len(t.Dims) != 1 {
			nodes = append(nodes, n)
			continue
		}
		own := *t
		own.Name = n.Outputs[0]
		inits[own.Name] = &own
		c.Graph.Initializers = append(c.Graph.Initializers, &own)
	}
	c.Graph.Nodes = nodes
	return c
}
