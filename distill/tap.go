package distill

import (
	"errors"
	"fmt"
	"strings"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/teacher"
)

// Tap is the distance of any value inside the student from any inside the teacher,
// by their names in the graphs: the MSE, mean over tokens for values [B,S,·] and
// over examples for values [B,·], and over the last axis. Where the widths differ,
// the student's value goes through a learned matrix that is not part of the result.
type Tap struct {
	Student, Teacher string
	// On is the view whose texts are compared.
	On View
}

// ParseTap reads "STUDENT=TEACHER", or one name for both.
func ParseTap(s string) (Tap, error) {
	ours, theirs, pair := strings.Cut(s, "=")
	if !pair {
		theirs = ours
	}
	if ours == "" || theirs == "" {
		return Tap{}, fmt.Errorf("distill: tap %q: write the name of a value, or STUDENT=TEACHER", s)
	}
	return Tap{Student: ours, Teacher: theirs}, nil
}

// Name is "tap:" and the teacher's value.
func (l Tap) Name() string { return "tap:" + l.Teacher }

// View is On.
func (l Tap) View() View { return l.On }

// Inner implements [Inner].
func (l Tap) Inner(p *Pair) error {
	m, _, err := l.match(p)
	if err == nil {
		declare(p, l.Name(), []match{m})
	}
	return err
}

// match tells the widths of the two values and how many axes they have.
func (l Tap) match(p *Pair) (m match, rank int, err error) {
	m = match{student: l.Student, teacher: l.Teacher}
	var shapes [2][]int
	for i, name := range []string{l.Student, l.Teacher} {
		who := []string{"the student", "the teacher"}[i]
		if err := teacher.CheckValues(p.models[i], []string{name}); err != nil {
			return m, 0, fmt.Errorf("%s: %w", who, err)
		}
		if shapes[i], err = valueShape(p.models[i], name); err != nil {
			return m, 0, fmt.Errorf("%s: %w", who, err)
		}
	}
	if len(shapes[0]) != len(shapes[1]) {
		return m, 0, fmt.Errorf("%q of the student has %d axes and %q of the teacher %d; they must be of one kind", l.Student, len(shapes[0]), l.Teacher, len(shapes[1]))
	}
	rank = len(shapes[0])
	m.in, m.out = shapes[0][rank-1], shapes[1][rank-1]
	return m, rank, nil
}

// valueShape is the shape of a value, whose last length must be known.
func valueShape(m *onnx.Model, name string) ([]int, error) {
	f, err := m.Infer(nil)
	if err != nil {
		return nil, err
	}
	v, ok := f.Value(name)
	switch {
	case !ok || !v.HasShape:
		return nil, fmt.Errorf("the shape of %q is not known before a run, so it cannot be compared", name)
	case v.Type != onnx.Float:
		return nil, fmt.Errorf("%q is %v; values that are compared are float32", name, v.Type)
	case len(v.Dims) != 2 && len(v.Dims) != 3:
		return nil, fmt.Errorf("%q has %d axes; values that are compared are [batch, width] or [batch, sequence, width]", name, len(v.Dims))
	case !v.Dims[len(v.Dims)-1].Known:
		return nil, fmt.Errorf("the width of %q is not known before a run, so it cannot be compared", name)
	}
	shape := make([]int, len(v.Dims))
	for i, d := range v.Dims {
		shape[i] = int(d.Size)
	}
	return shape, nil
}

// Build implements [Loss].
func (l Tap) Build(g *Graph) (*gorgonia.Node, error) {
	m, rank, err := l.match(g.pair)
	if err != nil {
		return nil, err
	}
	weight := g.TokenWeights()
	if rank == 2 {
		weight = g.ExampleWeights()
	}
	return compare(g, l.Name(), []match{m}, weight, 1, autodiff.MSE)
}

// check implements checker.
func (l Tap) check() error {
	if l.Student == "" || l.Teacher == "" {
		return errors.New("distill: a tap without a name; name a value of the student and one of the teacher")
	}
	return nil
}

var _ = []Inner{HiddenMSE{}, EmbeddingMSE{}, HiddenCosine{}, PKD{}, AttentionMSE{}, AttentionKL{}, MiniLM{}, MiniLMv2{}, Tap{}}
