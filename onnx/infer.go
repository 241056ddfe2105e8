package onnx

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/litekit/lite/internal/misfit"
)

// Inference is what is known of the values of a model before it runs: element
// types, shapes and the elements of small values. It is made by [Model.Infer].
//
// A length is a number, a symbol of the inputs ("batch"), an expression of
// symbols ("batch*sequence", "floor((frames - 1)/2) + 1") or unknown. Declared
// symbols of one name are taken to be equal, and where two lengths are broadcast
// against each other and one is a number above 1, it is taken for the result: a
// run in which that is not so fails anyway.
//
// It is not safe for concurrent use.
type Inference struct {
	*space
}

// Infer finds the types and shapes of all values of a model. sizes gives symbols
// of its inputs a number ("batch": 1), so that all that follows from them is
// numbers too; nil leaves them symbols. An input's length without a name is
// called by input and axis: "pixels.2".
//
// Operators of ai.onnx 7 to 24 and those of com.microsoft that the executor runs
// are known; bodies of If, Loop and Scan and functions of the model are followed.
// What cannot be told stays unknown and is no error, nor are contradictions: those
// are what [Model.Check] reports. Time and memory are bounded, however deep
// functions call each other; what is beyond the bounds stays unknown.
//
// The error is that of a model without a graph, or of sizes that name no symbol
// or are negative.
func (m *Model) Infer(sizes map[string]int64) (*Inference, error) {
	if m == nil || m.Graph == nil {
		return nil, fmt.Errorf("onnx: the model has no graph; decode or build one")
	}
	w := newWalk(m, sizes)
	s := w.root(m)
	s.declared = true
	s.enter(m.Graph, nil)
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		if !w.used[name] {
			return nil, misfit.Errorf("onnx: no input of the model has the symbol %q; it has %s", name, strings.Join(w.symbols(), ", "))
		}
		if sizes[name] < 0 {
			return nil, misfit.Errorf("onnx: the size of %q is %d; sizes count from 0", name, sizes[name])
		}
	}
	s.run(m.Graph.Nodes)
	s.finish(m.Graph)
	return &Inference{s}, nil
}

// InferNodes is [Model.Infer] for programs that rewrite a graph: the nodes are
// those given, in that order, bodies are not followed, declarations of values
// between nodes are not believed, and [Inference.Add] and [Inference.AddTensor] follow what is added.
func (m *Model) InferNodes(nodes []*Node) *Inference {
	w := newWalk(m, nil)
	w.flat = true
	s := w.root(m)
	s.enter(m.Graph, nil)
	s.run(nodes)
	return &Inference{s}
}

// Add infers the outputs of a node whose inputs are known by now.
func (f *Inference) Add(n *Node) { f.node(n) }

// AddTensor makes a constant known under its name.
func (f *Inference) AddTensor(t *Tensor) { f.set(t.Name, tensorFact(t)) }

// Type is the element type of a value, Undefined where it is not known or not a tensor.
func (f *Inference) Type(name string) DataType { return f.of(name).typ }

// Shape returns the lengths of a value; not ok where its rank is not known.
// The slice must not be changed.
func (f *Inference) Shape(name string) (dims []Size, ok bool) {
	v := f.of(name)
	return v.dims, v.ranked
}

// Elements returns the elements of a small integer or bool value, row-major.
func (f *Inference) Elements(name string) (elements []Size, ok bool) {
	v := f.of(name)
	return v.ints, v.ints != nil
}

// Floats returns the elements of a float value that is known: constants of few
// elements, and what is computed of single numbers in float32.
func (f *Inference) Floats(name string) (elements []float32, ok bool) {
	v := f.of(name)
	return v.floats, v.floats != nil
}

// Axis returns an axis of a graph input that has this length, where it is one
// symbol that an input shows.
func (f *Inference) Axis(s Size) (input string, axis int, ok bool) {
	if s.sym == 0 {
		return "", 0, false
	}
	h := f.z.expr(s).home
	return h.input, h.axis, h.input != ""
}

// Broadcast combines shapes by ONNX's multidirectional rule; not ok where they cannot fit.
func (f *Inference) Broadcast(shapes ...[]Size) ([]Size, bool) { return f.z.broadcastAll(shapes...) }

// Text writes a length: "12", "batch*sequence"; "?" stands for what has no name.
func (f *Inference) Text(s Size) string {
	text, _ := f.z.text(s)
	return text
}

// Value is what is known of a value of the graph in the form of a declaration:
// known lengths are numbers, expressions of named symbols their text in Param,
// others neither. ok is false where nothing is known of it, not even that it is there.
func (f *Inference) Value(name string) (v *ValueInfo, ok bool) {
	x, ok := f.facts[name]
	if !ok {
		return nil, false
	}
	v = &ValueInfo{Name: name, Type: x.typ, HasShape: x.ranked}
	for _, d := range x.dims {
		n, known := d.Number()
		dim := Dim{Size: n, Known: known}
		if !known {
			if text, complete := f.z.text(d); complete {
				dim.Param = text
			}
			dim.Size = 0
		}
		v.Dims = append(v.Dims, dim)
	}
	return v, true
}

// Names lists the values of the graph (not those inside bodies): inputs,
// constants and results of nodes, sorted.
func (f *Inference) Names() []string { return slices.Sorted(maps.Keys(f.facts)) }

// Body is the inference inside a graph attribute (a branch of If, the body of Loop
// or Scan) of the model, nil where it was not reached.
func (f *Inference) Body(g *Graph) *Inference {
	if s := f.w.bodies[g]; s != nil {
		return &Inference{s}
	}
	return nil
}

// Symbols lists the symbols of the model's inputs, by the names that sizes of
// [Model.Infer] can give numbers.
func (f *Inference) Symbols() []string { return f.w.symbols() }
