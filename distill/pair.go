package distill

import (
	"fmt"
	"slices"

	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/teacher"
)

// Inner is a loss that compares values inside the student with values inside a
// teacher. Both read the same tokens, so they must have the same vocabulary.
type Inner interface {
	Loss
	// Inner says, once before the training, which values Build will ask for.
	Inner(p *Pair) error
}

// Pair is the student and a teacher, as an [Inner] loss sees them. A loss is given
// the pair with [Config].Teacher; [Pair.Of] gives that with another one.
type Pair struct {
	*insides
	number int // of the teacher
}

// insides is what all pairs of a run share.
type insides struct {
	student  *onnx.Model
	teachers []*onnx.Model
	encoders map[*onnx.Model]*teacher.Encoder
	rows     []string // outputs of the student that training computes at selected rows only
	view     View     // of the loss that speaks

	ours     []string            // values of the student
	theirs   []map[View][]string // values of each teacher, by the view they are read on
	projects []student.Projection
}

// Of is the pair with another teacher: 0 is [Config].Teacher, 1 the first of
// MoreTeachers. The error says that there is no such teacher.
func (p *Pair) Of(teacher int) (*Pair, error) {
	if n := len(p.teachers); teacher < 0 || teacher >= n {
		return nil, fmt.Errorf("it reads values inside teacher %d, and there are teachers 1 to %d; name another, or give more teachers", teacher+1, n)
	}
	return &Pair{p.insides, teacher}, nil
}

// Student describes the student's encoder.
func (p *Pair) Student() (*teacher.Encoder, error) { return p.encoder(p.student, "the student") }

// Teacher describes the teacher's encoder.
func (p *Pair) Teacher() (*teacher.Encoder, error) { return p.encoder(p.teachers[p.number], p.who()) }

// who names the teacher in messages.
func (p *Pair) who() string {
	if len(p.teachers) == 1 {
		return "the teacher"
	}
	return fmt.Sprintf("teacher %d", p.number+1)
}

func (p *Pair) encoder(m *onnx.Model, who string) (*teacher.Encoder, error) {
	if p.encoders[m] == nil {
		e, err := teacher.EncoderOf(m)
		if err != nil {
			return nil, fmt.Errorf("what is inside %s is not known: %w; name values with a Tap instead (--tap)", who, err)
		}
		p.encoders[m] = e
	}
	return p.encoders[m], nil
}

// Tap declares values that Build asks [Graph.Inner] and [Graph.TeacherInner] for.
func (p *Pair) Tap(student, teacher string) {
	if !slices.Contains(p.ours, student) {
		p.ours = append(p.ours, student)
	}
	if theirs := p.theirs[p.number]; !slices.Contains(theirs[p.view], teacher) {
		theirs[p.view] = append(theirs[p.view], teacher)
	}
}

// project declares a learned projection.
func (p *Pair) project(q student.Projection) {
	if !slices.Contains(p.projects, q) {
		p.projects = append(p.projects, q)
	}
}

// from is the place of a loss's teacher: 0 is [Config].Teacher.
type from interface{ from() int }

// Reads tells whether a loss of the sum compares with values inside a teacher: 0
// is [Config].Teacher, 1 the first of MoreTeachers. Of a loss that is not this
// package's the first is assumed.
func (s Sum) Reads(teacher int) bool {
	return slices.ContainsFunc(s, func(t Term) bool {
		if _, ok := t.Loss.(Inner); !ok || t.Weight == 0 {
			return false
		}
		f, ok := t.Loss.(from)
		return !ok && teacher == 0 || ok && f.from() == teacher
	})
}

// nameOf is the name of a loss on the values of a teacher: beyond the first its
// number, from 1, follows.
func nameOf(loss string, teacher int) string {
	if teacher == 0 {
		return loss
	}
	return fmt.Sprintf("%s@%d", loss, teacher+1)
}

// pair asks the losses what they compare; nil where none is an Inner.
func (c *Config) pair(m *onnx.Model) (*Pair, error) {
	models, _ := c.teachers()
	h, err := readHeads(m)
	if err != nil {
		return nil, err
	}
	p := &Pair{insides: &insides{student: m, teachers: models, encoders: map[*onnx.Model]*teacher.Encoder{}, rows: h.rows, theirs: make([]map[View][]string, len(models))}}
	for i := range models {
		p.theirs[i] = map[View][]string{}
	}
	found := false
	for _, t := range c.Loss {
		l, ok := t.Loss.(Inner)
		if !ok || t.Weight == 0 {
			continue
		}
		found, p.view = true, l.View()
		if err := l.Inner(p); err != nil {
			return nil, unfit("loss %s: %w", l.Name(), err)
		}
	}
	if !found {
		return nil, nil
	}
	for i, m := range models {
		if n := teacher.MaxLength(m, c.MaxLength); len(p.theirs[i]) > 0 && n < c.MaxLength {
			return nil, unfit("maximum length %d exceeds the %d positions of %s, and values inside the two are compared token by token; shorten it (--max-length %d)", c.MaxLength, n, (&Pair{p.insides, i}).who(), n)
		}
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

// taps are the values of each teacher that the losses of a view read.
func (p *Pair) taps(v View) [][]string {
	if p == nil {
		return nil
	}
	out := make([][]string, len(p.theirs))
	for i, names := range p.theirs {
		out[i] = names[v]
	}
	return out
}
