package distill

import (
	"context"
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/teacher"
)

// openTaps opens the teachers for a stream's inner values.
func (c *Config) openTaps(s *stream) error {
	models, _ := c.teachers()
	s.tapped = make([]*teacher.Teacher, len(s.taps))
	for i, names := range s.taps {
		if len(names) == 0 {
			continue
		}
		for _, u := range s.tutors {
			if u.number == i && s.together(u) {
				s.tapped[i] = u.teacher
			}
		}
		if s.tapped[i] != nil {
			continue
		}
		var err error
		if s.tapped[i], err = teacher.NewTaps(models[i], names); err != nil {
			return err
		}
	}
	return nil
}

// looksInside tells whether the stream's losses read values inside a teacher.
func (s *stream) looksInside() bool {
	return slices.ContainsFunc(s.taps, func(names []string) bool { return len(names) > 0 })
}

// tapsOf are the values inside teacher i that the stream's losses read.
func (s *stream) tapsOf(i int) []string {
	if i >= len(s.taps) {
		return nil
	}
	return s.taps[i]
}

// checkTokens refuses teachers that are tapped and would not see the student's tokens.
func (c *Config) checkTokens(p *Pair, tok *corpus.Tokenizer) error {
	if p == nil {
		return nil
	}
	for i, m := range p.teachers {
		if len(p.theirs[i]) == 0 || len(m.Files) == 0 {
			continue
		}
		who := (&Pair{p.insides, i}).who()
		own, err := teacher.Tokenizer(m, c.any())
		if err != nil {
			return fmt.Errorf("distill: the tokenizer of %s: %w", who, err)
		}
		if !sameTokens(own, tok) {
			return unfit("%s and the student have different vocabularies (%d and %d tokens), so values inside them, which belong to tokens, cannot be compared; give the student the teacher's tokenizer, or leave out all losses but soft and hard labels", who, own.VocabSize(), tok.VocabSize())
		}
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

// ask fills a moment with what the teachers say of its batch.
func (s *stream) ask(ctx context.Context, m *Moment) (err error) {
	m.inner = make([]map[string]teacher.Value, len(s.taps))
	if s.taught() { // the teacher's width is known afterwards
		if m.soft, err = s.logits(ctx, m); err != nil {
			return err
		}
	}
	for i, t := range s.tapped {
		if t == nil || m.inner[i] != nil { // it answered both at once
			continue
		}
		if m.inner[i], err = t.Values(ctx, m.Batch); err != nil {
			return err
		}
	}
	return nil
}

// shapesOf are the shapes of the values of each teacher.
func shapesOf(m *Moment) []map[string][]int {
	out := make([]map[string][]int, len(m.inner))
	for i, values := range m.inner {
		out[i] = make(map[string][]int, len(values))
		for name, v := range values {
			out[i][name] = v.Shape
		}
	}
	return out
}

// Inner returns a value inside the student that was declared by [Pair.Tap], such
// as hidden states [B,S,H].
func (g *Graph) Inner(name string) (*gorgonia.Node, error) { return g.pass.Output(name) }

// TeacherInner returns a value inside a teacher that was declared by [Pair.Tap];
// teachers count as in [Pair.Of].
func (g *Graph) TeacherInner(from int, name string) (*gorgonia.Node, error) {
	var shape []int
	if from >= 0 && from < len(g.inner) {
		shape = g.inner[from][name]
	}
	switch n := len(shape); {
	case shape == nil:
		return nil, fmt.Errorf("distill: the value %q of teacher %d was not declared with Pair.Tap", name, from+1)
	case n < 2 || shape[0] != g.b || n > 2 && shape[1] != g.s:
		return nil, unfit("the value %q of teacher %d is %v for %d texts of %d tokens; values that are compared are [batch, width] or [batch, sequence, width], so tap another", name, from+1, shape, g.b, g.s)
	}
	return g.Floats(nameOf("teacher", from)+":"+name, func(m *Moment) ([]float32, error) { return m.inner[from][name].Data, nil }, shape...), nil
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
	from             int  // which teacher
	whole            bool // the values are of whole texts
}

// projection is what makes the widths agree; the losses of a name share its matrix.
func (m match) projection(loss string) student.Projection {
	return student.Projection{Name: loss, Value: m.student, In: m.in, Out: m.out, Whole: m.whole}
}

// declare tells p of matches, with a learned projection where widths differ.
func declare(p *Pair, loss string, matches []match) {
	for _, m := range matches {
		(&Pair{p.insides, m.from}).Tap(m.student, m.teacher)
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
		t, err := g.TeacherInner(m.from, m.teacher)
		if err != nil {
			return nil, err
		}
		if terms[i], err = row(x, t, weight); err != nil {
			return nil, err
		}
	}
	return autodiff.Sum(factor, terms...)
}
