package student

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/litekit/lite/onnx"
)

// projectionPrefix begins the names of all that [WithProjections] adds.
const projectionPrefix = "lite.projection."

// Projection is a learned linear map without bias from values inside a student to
// the width of the teacher's, for losses that compare the two. It lives in
// training only: [WithoutProjections] removes it.
type Projection struct {
	// Name is one matrix; values may share it.
	Name string
	// Value is the student's value [B,S,In], or with Whole [B,In].
	Value   string
	In, Out int
	Whole   bool
}

// Output is the name of the projected value, an output of the graph.
func (p Projection) Output() string { return projectionPrefix + p.Name + "/" + p.Value }

// weight is the name of the matrix.
func (p Projection) weight() string { return projectionPrefix + p.Name + ".weight" }

// WithProjections returns m with a product over the value of each projection, as
// further outputs [B,S,Out] or [B,Out]. The matrices, [In,Out], are drawn from (seed, name)
// with the deviation 1/√In, which keeps the size of what they read.
//
// Errors: a value that the model does not compute, a matrix of two sizes, and a
// model that has such outputs already.
func WithProjections(m *onnx.Model, list []Projection, seed uint64) (*onnx.Model, error) {
	if len(list) == 0 {
		return m, nil
	}
	c := m.Clone()
	made := c.Graph.Producers()
	for _, p := range list {
		out := p.Output()
		switch {
		case made[p.Value] == nil:
			return nil, fmt.Errorf("student: no node computes the value %q that is to be projected", p.Value)
		case p.In < 1 || p.Out < 1:
			return nil, fmt.Errorf("student: a projection of %q from %d to %d values; both must be positive", p.Value, p.In, p.Out)
		case c.Graph.IsOutput(out):
			return nil, fmt.Errorf("student: the model has an output %q already, as training adds them; remove it first", out)
		}
		switch w := c.Graph.Initializer(p.weight()); {
		case w == nil:
			c.Graph.Initializers = append(c.Graph.Initializers, freshWeights(seed, p.weight(), 1/math.Sqrt(float64(p.In)), int64(p.In), int64(p.Out)))
		case !slices.Equal(w.Dims, []int64{int64(p.In), int64(p.Out)}):
			return nil, fmt.Errorf("student: the projection %s is [%d,%d] for %q and %v for another value", p.Name, p.In, p.Out, p.Value, w.Dims)
		}
		c.Graph.Nodes = append(c.Graph.Nodes, onnx.NewNode("MatMul", "/"+out, []string{p.Value, p.weight()}, []string{out}))
		dims := []any{"batch", "sequence", p.Out}
		if p.Whole {
			dims = []any{"batch", p.Out}
		}
		c.Graph.Outputs = append(c.Graph.Outputs, valueInfo(out, onnx.Float, dims...))
	}
	return c, nil
}

// WithoutProjections returns m without what [WithProjections] added; m itself
// where there is nothing.
func WithoutProjections(m *onnx.Model) *onnx.Model {
	ours := func(name string) bool { return strings.HasPrefix(name, projectionPrefix) }
	if !slices.ContainsFunc(m.Graph.Outputs, func(v *onnx.ValueInfo) bool { return ours(v.Name) }) {
		return m
	}
	c := m.Clone()
	g := c.Graph
	g.Outputs = slices.DeleteFunc(g.Outputs, func(v *onnx.ValueInfo) bool { return ours(v.Name) })
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n *onnx.Node) bool { return len(n.Outputs) == 1 && ours(n.Outputs[0]) })
	g.Initializers = slices.DeleteFunc(g.Initializers, func(t *onnx.Tensor) bool { return ours(t.Name) })
	return c
}
