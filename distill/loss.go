package distill

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/student"
)

// View says which form of the text a loss reads.
type View int

const (
	// Clean text, as it will be met in use.
	Clean View = iota
	// Masked text, packed into segments; its losses read the selected rows.
	Masked
)

// Loss is one objective. Build adds it to the graph of one batch shape and
// returns a scalar, a mean over what it is computed from.
type Loss interface {
	// Name is the stable name in reports and checkpoints, such as "kd".
	Name() string
	// View says which form of the text Build finds in its graph.
	View() View
	// Build adds the loss to g, once for each batch shape. The node is a scalar
	// of float32.
	Build(g *Graph) (*gorgonia.Node, error)
}

// Taught is a loss that reads the teacher's logits, [Graph.Teacher]. The
// method does nothing; a loss without it finds no teacher.
type Taught interface {
	Loss
	// Taught is never called.
	Taught()
}

// Term is a loss and its share in the sum.
type Term struct {
	Loss   Loss
	Weight float64
	// Ramp is the share of the steps over which the weight rises from 0 in a
	// line (LERT); 0 means full weight from the start.
	Ramp float64
}

// Sum is what training minimises: Σ weight·loss.
type Sum []Term

// Scale gives a loss a constant weight.
func Scale(weight float64, loss Loss) Term { return Term{Loss: loss, Weight: weight} }

// weight is the term's share at a step.
func (t Term) weight(step, steps int) float64 {
	if ramp := t.Ramp * float64(steps); ramp > 0 && float64(step) < ramp {
		return t.Weight * float64(step) / ramp
	}
	return t.Weight
}

// of returns the terms on one view.
func (s Sum) of(v View) Sum {
	var out Sum
	for _, t := range s {
		if t.Loss.View() == v && t.Weight > 0 {
			out = append(out, t)
		}
	}
	return out
}

// Graph is the differentiable graph of one batch shape, as losses see it. Each
// method names a value of the student, or an input that the trainer feeds from
// the batch.
type Graph struct {
	pass   *autodiff.Pass
	b, r   int
	heads  *heads
	masked bool // whether this is the masked view
	width  int  // C or V of the teacher; 0 without one
	inputs map[string]*gorgonia.Node
	ints   map[string]func(*corpus.Batch) []int32
}

// Student returns an output: "" the primary one, else by name. On the masked
// view outputs per token are [R,·], the selected rows.
func (g *Graph) Student(output string) (*gorgonia.Node, error) {
	if output == "" {
		output = g.heads.primary
	}
	return g.pass.Output(output)
}

// head returns the output of a kind of head.
func (g *Graph) head(kind student.Kind) (*gorgonia.Node, error) {
	output, ok := g.heads.output[kind]
	if !ok {
		return nil, fmt.Errorf("distill: the student has no %s head", kind)
	}
	return g.pass.Output(output)
}

// Teacher returns the teacher's logits: [B,C], or [R,V] on the masked view.
func (g *Graph) Teacher() (*gorgonia.Node, error) {
	if g.width == 0 {
		return nil, fmt.Errorf("distill: this loss needs a teacher")
	}
	return g.input(feedTeacher, func() *gorgonia.Node { return g.pass.Floats(feedTeacher, g.rows(), g.width) }), nil
}

// RowWeights is 1 on rows that count and 0 on padding: [B], or [R] on the masked view.
func (g *Graph) RowWeights() *gorgonia.Node {
	return g.input(feedWeights, func() *gorgonia.Node { return g.pass.Floats(feedWeights, g.rows()) })
}

// The names of the fed values that do not come from the batch as they are.
const (
	feedTeacher = "teacher"
	feedWeights = "row_weights"
)

// rows is how many rows of logits the primary output has.
func (g *Graph) rows() int {
	if g.masked {
		return g.r
	}
	return g.b
}

// Labels is [B]: the classes, −1 where there is none.
func (g *Graph) Labels() *gorgonia.Node {
	return g.labels("labels", g.b, func(b *corpus.Batch) []int32 { return b.Labels })
}

// Tokens is [R]: the token behind each mask, −1 on padding rows.
func (g *Graph) Tokens() *gorgonia.Node {
	return g.labels("tokens", g.r, func(b *corpus.Batch) []int32 { return b.MLM })
}

// POS is [R]: the part of speech of the masked word, −1 where unknown.
func (g *Graph) POS() *gorgonia.Node {
	return g.labels("pos", g.r, func(b *corpus.Batch) []int32 { return b.POS })
}

// NER is [R]: the entity tag of the masked word, −1 where unknown.
func (g *Graph) NER() *gorgonia.Node {
	return g.labels("ner", g.r, func(b *corpus.Batch) []int32 { return b.NER })
}

// Order is [B]: 0 for two segments in order, 1 swapped, −1 for one segment.
func (g *Graph) Order() *gorgonia.Node {
	return g.labels("order", g.b, func(b *corpus.Batch) []int32 { return b.Order })
}

func (g *Graph) labels(name string, n int, of func(*corpus.Batch) []int32) *gorgonia.Node {
	g.ints[name] = of
	return g.input(name, func() *gorgonia.Node { return g.pass.Ints(name, n) })
}

// input makes each fed node once, however many losses read it.
func (g *Graph) input(name string, make func() *gorgonia.Node) *gorgonia.Node {
	if n, ok := g.inputs[name]; ok {
		return n
	}
	n := make()
	g.inputs[name] = n
	return n
}

// targets are the labels of the primary head on the clean view.
func (g *Graph) targets() *gorgonia.Node {
	switch g.heads.kind {
	case student.KindPOS:
		return g.POS()
	case student.KindNER:
		return g.NER()
	}
	return g.Labels()
}
