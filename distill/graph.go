package distill

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/teacher"
)

// Graph is the differentiable graph of one batch shape, as losses see it. Each
// method names a value of the student, or an input that the trainer feeds at
// every step.
type Graph struct {
	owner   *trainer
	pass    *autodiff.Pass
	b, s, r int
	term    int // whose loss is being built, by index of Config.Loss
	reports []reported
	heads   *heads
	masked  bool // whether this is the masked view
	tokens  bool // whether the primary output has a row for each selected token
	spread  bool // whether tags stand at every token, [B·S], rather than at the rows
	width   int  // C or V of the teacher; 0 without one
	// teachers is how many there are.
	teachers int
	pair     *Pair
	inner    []map[string][]int // shapes of the tapped values of each teacher
	floats   map[string]func(*Moment) ([]float32, error)
	ints     map[string]func(*Moment) ([]int32, error)
	held     map[string]int // numbers that a step holds beside the pass: its inputs, and copies
}

// Moment is what the inputs of a step are made from. A result may depend on
// nothing else, or a run that was stopped could not go on as if it had not been.
type Moment struct {
	// Batch is the one that is run.
	Batch *corpus.Batch
	// Step counts from 0 to Steps − 1.
	Step, Steps int

	owner    *trainer
	number   int // of the batch, over all epochs
	stream   *stream
	soft     []float32                  // the teacher's logits, where a loss reads them
	inner    []map[string]teacher.Value // values inside each teacher, where a loss reads them
	pos, ner []int32                    // [B·S] tags at every token, where they are learned there
	seen     seen
}

// Reporter is a loss that tells further numbers besides its value, such as the
// share of the labels it left out. They stand behind the value in [Progress],
// [Report] and the log, averaged as it is.
type Reporter interface {
	Loss
	// Reports are their names.
	Reports() []string
}

// reported is a number that a loss sets at every step.
type reported struct {
	index int // in the values of a step
	value *float64
}

// Report returns a number of [Reporter.Reports] of the loss being built. What it
// holds after a step, or after an input of the loss was fed, is reported.
func (g *Graph) Report(name string) *float64 {
	value := new(float64)
	g.reports = append(g.reports, reported{g.owner.place(g.term, name), value})
	return value
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

// Floats returns an input of that shape, which feed makes at every step. The
// name belongs to one input in the sum of all losses: where it is asked for
// again, the first feed counts.
func (g *Graph) Floats(name string, feed func(*Moment) ([]float32, error), shape ...int) *gorgonia.Node {
	if g.floats[name] == nil {
		g.floats[name] = feed
		g.hold(name, shape...)
	}
	return g.pass.Floats(name, shape...)
}

// Ints is Floats for int32, such as classes, −1 where there is none.
func (g *Graph) Ints(name string, feed func(*Moment) ([]int32, error), shape ...int) *gorgonia.Node {
	if g.ints[name] == nil {
		g.ints[name] = feed
		g.hold(name, shape...)
	}
	return g.pass.Ints(name, shape...)
}

// hold counts numbers of 4 bytes that a step keeps beside what the pass computes.
func (g *Graph) hold(name string, shape ...int) {
	n := 1
	for _, d := range shape {
		n *= d
	}
	g.held[name] = n
}

// heldBytes is what a step holds of them.
func (g *Graph) heldBytes() (total int64) {
	for _, n := range g.held {
		total += 4 * int64(n)
	}
	return total
}

// Teacher returns the teacher's logits: [B,C], or [R,V] on the masked view; of
// a token classifier [R,C]. Scores are [B,1], vectors [B,H].
func (g *Graph) Teacher() (*gorgonia.Node, error) {
	if g.width == 0 {
		return nil, fmt.Errorf("distill: this loss needs a teacher")
	}
	if n := g.teachers; n > 1 { // their rows are mixed
		g.hold("rows of each teacher", n, g.Rows(), g.width)
	}
	return g.Floats("teacher", func(m *Moment) ([]float32, error) { return m.soft, nil }, g.Rows(), g.width), nil
}

// RowWeights is 1 on rows that count and 0 on padding: [Rows].
func (g *Graph) RowWeights() *gorgonia.Node {
	return g.Floats("row_weights", func(m *Moment) ([]float32, error) { return m.stream.rowWeights(m.Batch), nil }, g.Rows())
}

// Rows is how many rows of logits the primary output has: B, or R on the masked
// view and under a head that labels tokens.
func (g *Graph) Rows() int {
	if g.masked || g.tokens {
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

// POS is the part of speech of words, −1 where unknown: [R] at the masked
// positions, or [B·S] where the losses on tags read all ([Positions]).
func (g *Graph) POS() *gorgonia.Node {
	if g.spread {
		return g.Ints("pos", func(m *Moment) ([]int32, error) { return m.pos, nil }, g.b*g.s)
	}
	return g.labels("pos", g.r, func(b *corpus.Batch) []int32 { return b.POS })
}

// NER is the entity tag of words, where [Graph.POS] has the part of speech.
func (g *Graph) NER() *gorgonia.Node {
	if g.spread {
		return g.Ints("ner", func(m *Moment) ([]int32, error) { return m.ner, nil }, g.b*g.s)
	}
	return g.labels("ner", g.r, func(b *corpus.Batch) []int32 { return b.NER })
}

// Order is [B]: 0 for two segments in order, 1 swapped, −1 for one segment.
func (g *Graph) Order() *gorgonia.Node {
	return g.labels("order", g.b, func(b *corpus.Batch) []int32 { return b.Order })
}

// Next is [B]: 0 where the second segment follows the first, 1 where it is of
// another document, −1 for one segment.
func (g *Graph) Next() *gorgonia.Node {
	return g.labels("next", g.b, func(b *corpus.Batch) []int32 { return b.Next })
}

func (g *Graph) labels(name string, n int, of func(*corpus.Batch) []int32) *gorgonia.Node {
	return g.Ints(name, func(m *Moment) ([]int32, error) { return of(m.Batch), nil }, n)
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
