package distill

import (
	"context"
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/teacher"
)

// Inner is a loss that compares values inside the student with values inside the
// teacher, which is Config.Teacher where there are several. Both read the same
// tokens, so they must have the same vocabulary.
type Inner interface {
	Loss
	// Inner says, once before the training, which values Build will ask for.
	Inner(p *Pair) error
}

// Pair is the student and the teacher, as an [Inner] loss sees them.
type Pair struct {
	models   [2]*onnx.Model // student, teacher
	encoders [2]*teacher.Encoder
	view     View // of the loss that speaks

	ours     []string          // values of the student
	theirs   map[View][]string // values of the teacher, by the view they are read on
	projects []student.Projection
}

// Student describes the student's encoder.
func (p *Pair) Student() (*teacher.Encoder, error) { return p.encoder(0, "student") }

// Teacher describes the teacher's encoder.
func (p *Pair) Teacher() (*teacher.Encoder, error) { return p.encoder(1, "teacher") }

func (p *Pair) encoder(i int, who string) (*teacher.Encoder, error) {
	if p.encoders[i] == nil {
		e, err := teacher.EncoderOf(p.models[i])
		if err != nil {
			return nil, fmt.Errorf("what is inside the %s is not known: %w; name values with a Tap instead", who, err)
		}
		p.encoders[i] = e
	}
	return p.encoders[i], nil
}

// Tap declares values that Build asks [Graph.Inner] and [Graph.TeacherInner] for.
func (p *Pair) Tap(student, teacher string) {
	if !slices.Contains(p.ours, student) {
		p.ours = append(p.ours, student)
	}
	if !slices.Contains(p.theirs[p.view], teacher) {
		p.theirs[p.view] = append(p.theirs[p.view], teacher)
	}
}

// project declares a learned projection.
func (p *Pair) project(q student.Projection) {
	if !slices.Contains(p.projects, q) {
		p.projects = append(p.projects, q)
	}
}

// pair asks the losses what they compare; nil where none is an Inner.
func (c *Config) pair(m *onnx.Model) (*Pair, error) {
	p := &Pair{models: [2]*onnx.Model{m, c.Teacher}, theirs: map[View][]string{}}
	found := false
	for _, t := range c.Loss {
		l, ok := t.Loss.(Inner)
		if !ok || t.Weight == 0 {
			continue
		}
		found, p.view = true, l.View()
		if err := l.Inner(p); err != nil {
			return nil, fmt.Errorf("distill: loss %s: %w", l.Name(), err)
		}
	}
	if !found {
		return nil, nil
	}
	if n := teacher.MaxLength(c.Teacher, c.MaxLength); n < c.MaxLength {
		return nil, fmt.Errorf("distill: maximum length %d exceeds the teacher's %d positions, and values inside the two are compared token by token; shorten it", c.MaxLength, n)
	}
	return p, nil
}

// outputs are the values inside the student that its passes must keep.
func (p *Pair) outputs() []string {
	if p == nil {
		return nil
	}
	return p.ours
}

// projected returns m with the learned projections.
func (p *Pair) projected(m *onnx.Model, seed uint64) (*onnx.Model, error) {
	if p == nil {
		return m, nil
	}
	m, err := student.WithProjections(m, p.projects, seed)
	if err != nil {
		return nil, fmt.Errorf("distill: %w", err)
	}
	return m, nil
}

// taps are the teacher's values that the losses of a view read.
func (p *Pair) taps(v View) []string {
	if p == nil {
		return nil
	}
	return p.theirs[v]
}

// openTaps opens the teacher for a stream's inner values.
func (c *Config) openTaps(s *stream) error {
	if s.view == Masked && s.together() { // it answers both at once
		s.tapped = s.tutors[0].teacher
		return nil
	}
	var err error
	s.tapped, err = teacher.NewTaps(c.Teacher, s.taps)
	return err
}

// checkTokens refuses a teacher that would not see the student's tokens.
func (c *Config) checkTokens(tok *corpus.Tokenizer) error {
	if len(c.Teacher.Files) == 0 {
		return nil
	}
	own, err := teacher.Tokenizer(c.Teacher, c.any())
	if err != nil {
		return fmt.Errorf("distill: the teacher's tokenizer: %w", err)
	}
	if !sameTokens(own, tok) {
		return fmt.Errorf("distill: teacher and student have different vocabularies (%d and %d tokens), so values inside them, which belong to tokens, cannot be compared; give the student the teacher's tokenizer, or leave out all losses but soft and hard labels", own.VocabSize(), tok.VocabSize())
	}
	return nil
}

// sameTokens tells whether two tokenizers have the same vocabulary.
func sameTokens(a, b *corpus.Tokenizer) bool {
	same := a.VocabSize() == b.VocabSize()
	for i := int64(0); same && i < int64(a.VocabSize()); i++ {
		same = a.Token(i) == b.Token(i)
	}
	return same
}

// ask fills a moment with what the teacher says of its batch.
func (s *stream) ask(ctx context.Context, m *Moment) (err error) {
	switch {
	case s.tapped != nil && s.view == Masked && s.together() && m.Batch.R > 0:
		m.soft, m.inner, err = s.tapped.LogitsAndValues(ctx, m.Batch)
		s.learnWidth(s.tapped)
		return err
	case s.taught(): // the teacher's width is known afterwards
		if m.soft, err = s.logits(ctx, m); err != nil {
			return err
		}
	}
	if s.tapped != nil {
		m.inner, err = s.tapped.Values(ctx, m.Batch)
	}
	return err
}

// shapesOf are the shapes of the teacher's values.
func shapesOf(m *Moment) map[string][]int {
	out := make(map[string][]int, len(m.inner))
	for name, v := range m.inner {
		out[name] = v.Shape
	}
	return out
}

// Inner returns a value inside the student that was declared by [Pair.Tap], such
// as hidden states [B,S,H].
func (g *Graph) Inner(name string) (*gorgonia.Node, error) { return g.pass.Output(name) }

// TeacherInner returns a value inside the teacher that was declared by [Pair.Tap].
func (g *Graph) TeacherInner(name string) (*gorgonia.Node, error) {
	shape, ok := g.inner[name]
	if !ok {
		return nil, fmt.Errorf("distill: the value %q of the teacher was not declared with Pair.Tap", name)
	}
	return g.Floats("teacher:"+name, func(m *Moment) ([]float32, error) { return m.inner[name].Data, nil }, shape...), nil
}

// TokenWeights is [B,S,1]: 1 on tokens of the examples, special ones included, and
// 0 on padding.
func (g *Graph) TokenWeights() *gorgonia.Node {
	return g.Floats("token_weights", func(m *Moment) ([]float32, error) { return tokenWeights(m.Batch, false), nil }, g.b, g.s, 1)
}

// FirstWeights is [B,S,1]: 1 on the first token of each example, 0 elsewhere.
func (g *Graph) FirstWeights() *gorgonia.Node {
	return g.Floats("first_weights", func(m *Moment) ([]float32, error) { return tokenWeights(m.Batch, true), nil }, g.b, g.s, 1)
}

// ExampleWeights is [B]: 1 on examples and 0 on rows that fill up a batch.
func (g *Graph) ExampleWeights() *gorgonia.Node {
	return g.Floats("example_weights", func(m *Moment) ([]float32, error) {
		w := make([]float32, m.Batch.B)
		for i, n := range m.Batch.Index {
			if n >= 0 {
				w[i] = 1
			}
		}
		return w, nil
	}, g.b)
}

// tokenWeights tells the tokens that count, or the first ones only, from others.
func tokenWeights(b *corpus.Batch, first bool) []float32 {
	w := make([]float32, b.B*b.S)
	for i, n := range b.Index {
		if n < 0 {
			continue
		}
		for j := range b.S {
			if b.Mask[i*b.S+j] != 0 && (j == 0 || !first) {
				w[i*b.S+j] = 1
			}
		}
	}
	return w
}

// match is a value of the student that is to become one of the teacher, with
// their widths.
type match struct {
	student, teacher string
	in, out          int
}

// projection is what makes the widths agree; the losses of a name share its matrix.
func (m match) projection(loss string) student.Projection {
	return student.Projection{Name: loss, Value: m.student, In: m.in, Out: m.out}
}

// declare tells p of matches, with a learned projection where widths differ.
func declare(p *Pair, loss string, matches []match) {
	for _, m := range matches {
		p.Tap(m.student, m.teacher)
		if m.in != m.out {
			p.project(m.projection(loss))
		}
	}
}

// compare adds up a row-wise loss over matches.
func compare(g *Graph, loss string, matches []match, weight *gorgonia.Node, factor float32,
	row func(x, target, weight *gorgonia.Node) (*gorgonia.Node, error)) (*gorgonia.Node, error) {
	terms := make([]*gorgonia.Node, len(matches))
	for i, m := range matches {
		name := m.student
		if m.in != m.out {
			name = m.projection(loss).Output()
		}
		x, err := g.pass.Tokens(name)
		if err != nil {
			return nil, err
		}
		t, err := g.TeacherInner(m.teacher)
		if err != nil {
			return nil, err
		}
		if terms[i], err = row(x, t, weight); err != nil {
			return nil, err
		}
	}
	return autodiff.Sum(factor, terms...)
}
