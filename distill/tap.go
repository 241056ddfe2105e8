package distill

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
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
// Logits of tokens are refused: they are computed at few tokens, where
// SoftLabels compares them.
type Tap struct {
	Student, Teacher string
	// From is the teacher whose value is read: 0 is Config.Teacher, 1 the first
	// of MoreTeachers.
	From int
	// On is the view whose texts are compared.
	On View
}

// ParseTap reads "STUDENT=TEACHER", or one name for both. "@2" behind it is the
// number of the teacher, from 1, where it is not the first.
func ParseTap(s string) (Tap, error) {
	names, from := s, 0
	if head, number, ok := cutLast(s, "@"); ok {
		if n, err := strconv.Atoi(number); err == nil {
			if n < 1 {
				return Tap{}, fmt.Errorf("distill: tap %q: teachers count from 1", s)
			}
			names, from = head, n-1
		}
	}
	ours, theirs, pair := strings.Cut(names, "=")
	if !pair {
		theirs = ours
	}
	if ours == "" || theirs == "" {
		return Tap{}, fmt.Errorf("distill: tap %q: write the name of a value, or STUDENT=TEACHER, and @2 behind it for the second teacher", s)
	}
	return Tap{Student: ours, Teacher: theirs, From: from}, nil
}

// cutLast cuts s around the last separator.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// Name is "tap:" and the teacher's value; beyond the first teacher its number
// follows, as in "tap:logits@2".
func (l Tap) Name() string { return nameOf("tap:"+l.Teacher, l.From) }

func (l Tap) from() int { return l.From }

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
	if p, err = p.Of(l.From); err != nil {
		return m, 0, err
	}
	m = match{student: l.Student, teacher: l.Teacher, from: l.From}
	var shapes [2][]int
	for i, v := range []struct {
		model     *onnx.Model
		who, name string
		selected  []string
	}{{p.student, "the student", l.Student, p.rows}, {p.teachers[l.From], p.who(), l.Teacher, selected(p.teachers[l.From])}} {
		if err := teacher.CheckValues(v.model, []string{v.name}); err != nil {
			return m, 0, fmt.Errorf("%s: %w", v.who, err)
		}
		if slices.Contains(v.selected, v.name) {
			return m, 0, fmt.Errorf("%q is what %s predicts for tokens, which is computed at the tokens that are learned from only, not at all of a text; soft labels compare it there: --soft-labels mse is this distance, or tap a value below it", v.name, v.who)
		}
		if shapes[i], err = valueShape(v.model, v.name); err != nil {
			return m, 0, fmt.Errorf("%s: %w", v.who, err)
		}
	}
	if len(shapes[0]) != len(shapes[1]) {
		return m, 0, fmt.Errorf("%q of the student has %d axes and %q of %s %d; they must be of one kind, so tap others", l.Student, len(shapes[0]), l.Teacher, p.who(), len(shapes[1]))
	}
	rank = len(shapes[0])
	m.in, m.out, m.whole = shapes[0][rank-1], shapes[1][rank-1], rank == 2
	return m, rank, nil
}

// selected are the outputs that a teacher of tokens computes at selected rows.
func selected(m *onnx.Model) []string {
	h, err := readHeads(m)
	if err != nil || !perToken(h.kind) {
		return nil
	}
	return []string{h.primary}
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
		return nil, fmt.Errorf("the shape of %q is not known before a run, so it cannot be compared; tap another value (lite inspect --shapes)", name)
	case v.Type != onnx.Float:
		return nil, fmt.Errorf("%q is %v; values that are compared are float32", name, v.Type)
	case len(v.Dims) != 2 && len(v.Dims) != 3:
		return nil, fmt.Errorf("%q has %d axes; values that are compared are [batch, width] or [batch, sequence, width], so tap what it is made of, or made into", name, len(v.Dims))
	case !v.Dims[len(v.Dims)-1].Known:
		return nil, fmt.Errorf("the width of %q is not known before a run, so it cannot be compared; tap another value (lite inspect --shapes)", name)
	}
	if err := checkAxes(m, v); err != nil {
		return nil, err
	}
	shape := make([]int, len(v.Dims))
	for i, d := range v.Dims {
		shape[i] = int(d.Size)
	}
	return shape, nil
}

// checkAxes refuses a value whose first axes are known not to be batch and sequence.
func checkAxes(m *onnx.Model, v *onnx.ValueInfo) error {
	i := slices.IndexFunc(m.Graph.Inputs, func(in *onnx.ValueInfo) bool { return len(in.Dims) == 2 && m.Graph.Initializer(in.Name) == nil })
	if i < 0 {
		return nil
	}
	for axis, in := range m.Graph.Inputs[i].Dims[:len(v.Dims)-1] {
		what, other := "batch", m.Graph.Inputs[i].Dims[1-axis]
		if axis == 1 {
			what = "sequence"
		}
		d := v.Dims[axis]
		switch {
		case d.Known && !in.Known:
			return fmt.Errorf("axis %d of %q is always %d, and not the %s; values that are compared are [batch, width] or [batch, sequence, width]", axis, v.Name, d.Size, what)
		case d.Param != "" && d.Param == other.Param && d.Param != in.Param:
			return fmt.Errorf("axis %d of %q is %s, and not the %s; values that are compared are [batch, width] or [batch, sequence, width]", axis, v.Name, d.Param, what)
		}
	}
	return nil
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
