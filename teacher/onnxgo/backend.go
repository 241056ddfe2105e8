package onnxgo

import (
	"fmt"
	"math"

	onnxgo "github.com/owulveryck/onnx-go"
	"github.com/owulveryck/onnx-go/backend"
	"gonum.org/v1/gonum/graph"
	"gonum.org/v1/gonum/graph/simple"
	"gorgonia.org/tensor"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
)

var _ backend.ComputationBackend = (*Backend)(nil)

// Backend receives one model from onnx-go and runs it. Use a new one for each
// model. It is not safe for concurrent use.
type Backend struct {
	graph *simple.WeightedDirectedGraph
	nodes []*value
	// pending are the inputs of values that no operation is applied to yet, by
	// number of the value. The graph alone would merge an input that a node
	// reads twice.
	pending map[int64]map[int]*value
	ops     []*operation
	opset   int64

	session *exec.Session
	wanted  []*value                 // the outputs of session
	types   map[*value]onnx.DataType // of the inputs when session was made
	names   map[*value]string
	fed     map[string]*exec.Tensor // of the last run
	err     error
}

// operation is a node of the ONNX graph: nil among inputs and outputs is an
// omitted one.
type operation struct {
	name    string
	attrs   []*onnx.Attribute
	inputs  []*value
	outputs []*value
}

// New returns an empty backend for onnx.NewModel of onnx-go.
func New() *Backend {
	return &Backend{
		graph:   simple.NewWeightedDirectedGraph(math.MaxFloat64, -1),
		pending: map[int64]map[int]*value{},
	}
}

// SetOpset names the version of ai.onnx that the model was written for, which
// onnx-go does not pass on; 0 means to conclude it from the graph (see the
// package's documentation).
func (b *Backend) SetOpset(version int64) {
	b.opset, b.session = version, nil
}

// NewNode returns a node with a number of its own, to be added by AddNode. It
// is also an onnx.Namer, an onnx.Documenter and an onnx.DataCarrier of onnx-go.
func (b *Backend) NewNode() graph.Node {
	return &value{b: b, id: b.graph.NewNode().ID()}
}

// AddNode adds a node that NewNode of this backend made. It panics, as the
// interface demands, if the graph has a node of that number.
func (b *Backend) AddNode(n graph.Node) {
	b.graph.AddNode(n)
	if v, ok := n.(*value); ok {
		b.nodes = append(b.nodes, v)
	}
}

// NewWeightedEdge returns an edge from the result of an operation to one of its
// inputs; the weight is the input's index.
func (b *Backend) NewWeightedEdge(from, to graph.Node, weight float64) graph.WeightedEdge {
	return b.graph.NewWeightedEdge(from, to, weight)
}

// SetWeightedEdge adds an edge. Where one value is several inputs of an
// operation, Edge gives the last one, and all are known to Run.
func (b *Backend) SetWeightedEdge(e graph.WeightedEdge) {
	from, ok := e.From().(*value)
	to, ok2 := e.To().(*value)
	if ok && ok2 {
		if b.pending[from.id] == nil {
			b.pending[from.id] = map[int]*value{}
		}
		b.pending[from.id][int(e.Weight())] = to
	}
	// An omitted input and an omitted output are one node of onnx-go; the graph
	// has no loops.
	if e.From().ID() != e.To().ID() {
		b.graph.SetWeightedEdge(e)
	}
}

// Node returns the node of that number, or nil.
func (b *Backend) Node(id int64) graph.Node { return b.graph.Node(id) }

// Nodes returns all nodes.
func (b *Backend) Nodes() graph.Nodes { return b.graph.Nodes() }

// From returns the inputs of the operation whose result has the number.
func (b *Backend) From(id int64) graph.Nodes { return b.graph.From(id) }

// To returns the results of the operations that read the node.
func (b *Backend) To(id int64) graph.Nodes { return b.graph.To(id) }

// HasEdgeBetween reports whether there is an edge in either direction.
func (b *Backend) HasEdgeBetween(x, y int64) bool { return b.graph.HasEdgeBetween(x, y) }

// HasEdgeFromTo reports whether there is an edge from u to v.
func (b *Backend) HasEdgeFromTo(u, v int64) bool { return b.graph.HasEdgeFromTo(u, v) }

// Edge returns the edge from u to v, or nil.
func (b *Backend) Edge(u, v int64) graph.Edge { return b.graph.Edge(u, v) }

// WeightedEdge returns the edge from u to v, or nil.
func (b *Backend) WeightedEdge(u, v int64) graph.WeightedEdge { return b.graph.WeightedEdge(u, v) }

// Weight returns the weight of the edge from x to y: the index of the input.
func (b *Backend) Weight(x, y int64) (float64, bool) { return b.graph.Weight(x, y) }

// ApplyOperation makes the nodes the results of an operation whose inputs are
// the nodes that edges lead to. An attribute that onnx-go could not read is an
// error.
func (b *Backend) ApplyOperation(o onnxgo.Operation, results ...graph.Node) error {
	if len(results) == 0 {
		return fmt.Errorf("onnxgo: operator %s has no outputs; the model is damaged", o.Name)
	}
	op := &operation{name: o.Name}
	var err error
	if op.attrs, err = attributes(o); err != nil {
		return err
	}
	for i, r := range results {
		v, ok := r.(*value)
		if !ok || v.b != b {
			return fmt.Errorf("onnxgo: operator %s: output %d is not a node of this backend; make it with NewNode", o.Name, i)
		}
		if i == 0 {
			if op.inputs, err = b.inputs(o.Name, v.id); err != nil {
				return err
			}
		}
	}
	for _, r := range results {
		v := r.(*value)
		delete(b.pending, v.id)
		if v.omitted() {
			v = nil
		} else {
			v.made = true
		}
		op.outputs = append(op.outputs, v)
	}
	b.ops = append(b.ops, op)
	b.session = nil
	return nil
}

// maxInputs bounds the index of an input, which is a weight that the caller chose.
const maxInputs = 1 << 16

// inputs takes the inputs of a result out of pending.
func (b *Backend) inputs(op string, id int64) ([]*value, error) {
	switch op {
	case "Constant", "RandomNormal", "RandomUniform":
		return nil, nil // what onnx-go lets them read is invented
	}
	last := -1
	for i := range b.pending[id] {
		if i < 0 || i >= maxInputs {
			return nil, fmt.Errorf("onnxgo: operator %s: an edge of weight %d; the weight is the index of the input", op, i)
		}
		last = max(last, i)
	}
	list := make([]*value, last+1)
	for i, v := range b.pending[id] {
		if !v.omitted() {
			list[i] = v
		}
	}
	return list, nil
}

// value is a node of onnx-go's graph: an input, a weight or a result.
type value struct {
	b         *Backend
	id        int64
	name, doc string
	named     bool
	made      bool // by an operation
	sets      int  // calls of SetTensor while the model was read
	fed       bool // by SetTensor after that
	tensor    tensor.Tensor
	declared  tensor.Dtype // of an input
	fresh     bool         // tensor is of the last run
	needed    bool         // an operation reads it
}

// ID is the number of the node.
func (v *value) ID() int64 { return v.id }

// SetName names the value; "" is an omitted optional input or output.
func (v *value) SetName(name string) { v.name, v.named = name, true }

// GetName returns the name.
func (v *value) GetName() string { return v.name }

// SetDescription documents the value.
func (v *value) SetDescription(doc string) { v.doc = doc }

// GetDescription returns what SetDescription set.
func (v *value) GetDescription() string { return v.doc }

func (v *value) omitted() bool { return v.named && v.name == "" }

// SetTensor gives an input or a weight its elements, which are not copied: those
// of an input are read at each run, those of a weight when the first run begins.
func (v *value) SetTensor(t tensor.Tensor) error {
	v.tensor = t
	if len(v.b.ops) == 0 {
		if v.sets == 0 && t != nil {
			v.declared = t.Dtype() // onnx-go sets an empty tensor of the declared type
		}
		v.sets++
		return nil
	}
	v.fed = true
	if !v.made && !v.b.isInput(v) {
		v.b.session = nil // another weight
	}
	return nil
}

// GetTensor returns what was set or, of a result after Run, what was computed,
// also of values inside the graph. It is nil where that fails; Backend.Err says
// why.
func (v *value) GetTensor() tensor.Tensor {
	if v.made && !v.fresh && v.b.fed != nil {
		if err := v.b.compute(v); err != nil {
			v.b.err = err
			return nil
		}
	}
	return v.tensor
}
