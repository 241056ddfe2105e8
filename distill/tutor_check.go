package distill

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/teacher"
)

// checkTeachers refuses teachers without a share, and shares without a teacher.
func (c *Config) checkTeachers() error {
	n := len(c.MoreTeachers)
	if n > 0 && c.Teacher == nil {
		return errors.New("distill: there are further teachers but no first one; set Teacher")
	}
	if slices.Contains(c.MoreTeachers, nil) {
		return errors.New("distill: one of the further teachers is missing")
	}
	if w := c.TeacherWeights; w != nil {
		if len(w) != n+1 || c.Teacher == nil {
			return fmt.Errorf("distill: %d weights for %d teachers; give one for each", len(w), n+min(1, n+1))
		}
		heard := 0.0
		for _, x := range w {
			if !(x >= 0) || math.IsInf(x, 0) {
				return fmt.Errorf("distill: the weight %v of a teacher is not a number ≥ 0; give it a share of the soft labels, or 0 where it gives none", x)
			}
			heard += x
		}
		if heard == 0 {
			return errors.New("distill: every teacher has weight 0; give one a share, or leave the soft labels out")
		}
	}
	if c.Form.TopK < 0 {
		return fmt.Errorf("distill: the %d most probable classes cannot be kept; give a number above 0, or 0 for all", c.Form.TopK)
	}
	if c.Form.TopK > 0 && c.Form.Half {
		return fmt.Errorf("distill: labels are kept either whole, as float16, or of the most probable classes; the form %+v is none of these", c.Form)
	}
	return nil
}

// checkWidth compares the width of a teacher's rows, where it is known, with
// what its config.json, the student and the other teachers say.
func (c *Config) checkWidth(u *tutor, s *stream, h *heads) error {
	width := u.teacher.Width()
	if width == 0 {
		return nil
	}
	if cfg := u.model.Config; cfg != nil && (u.teacher.Task() == onnx.SequenceClassification || u.teacher.Task() == onnx.TokenClassification) {
		if n := len(cfg.ID2Label); n > 0 && n != width {
			return fmt.Errorf("distill: the teacher gives %d logits, but its config.json names %d classes; correct id2label", width, n)
		}
	}
	if s.width != 0 && s.width != width {
		return unfit("one teacher gives rows of %d numbers and another of %d, which have no mean; give teachers of one size", s.width, width)
	}
	if h.kind != student.KindEmbedding && s.view == Clean && h.width > 0 && h.width != width {
		return unfit("the teacher gives %d numbers and the student's output %q has %d; give a student whose head is like the teacher's", width, h.primary, h.width)
	}
	if h.kind == student.KindEmbedding && s.view == Clean && h.width > 0 && h.width != width {
		return unfit("the teacher's vectors have %d numbers and the student's %d, which cannot be compared; give the student's head that width", width, h.width)
	}
	if len(h.list) > 0 && s.view == Clean {
		if n := len(h.list[0].Labels); n != 0 && n != width {
			return unfit("the teacher has %d classes and the student %d", width, n)
		}
	}
	s.width = width
	return nil
}

// checkKinds refuses teachers of another task than the losses on their labels are
// for, before any text is read.
func (c *Config) checkKinds(h *heads) error {
	models, shares := c.teachers()
	for _, v := range []View{Clean, Masked} {
		s := &stream{view: v, terms: c.Loss.of(v)}
		for i, m := range models {
			if !s.taught() || shares[i] == 0 {
				continue
			}
			if err := s.checkKind(h, teacher.TaskOf(m)); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkKind refuses a teacher of a task whose labels are not what the losses read.
func (s *stream) checkKind(h *heads, task onnx.Task) error {
	want := taskOf(h.kind)
	switch {
	case task == onnx.Unknown:
		return nil // teacher.New says what is wrong
	case s.view == Masked && task != onnx.MaskedLM:
		return unfit("soft labels of masked tokens need a masked-LM teacher, and this one is of the task %s; give a masked-LM teacher, or a student of the teacher's task", task)
	case s.view == Masked:
		return nil
	case task != want:
		return unfit("the labels of whole texts need a teacher and a student of one task; the teacher is of the task %s, the student's primary head is %s", task, h.kind)
	}
	return s.checkRows(task)
}

// checkTask refuses a teacher whose labels are of other tokens or classes than
// the student's, and returns the order of its classes.
func (c *Config) checkTask(s *stream, h *heads, m *onnx.Model, own, tok *corpus.Tokenizer) ([]int, error) {
	task := teacher.TaskOf(m)
	if task != onnx.Unknown && (s.view == Masked || s.tokens) {
		if err := commonTokens(own, tok); err != nil {
			return nil, err
		}
	}
	if task == onnx.Unknown || s.view == Masked || m.Config == nil || len(h.list) == 0 || task == onnx.Regression {
		return nil, nil
	}
	return matchClasses(m.Config.ID2Label, h.list[0].Labels)
}

// taskOf is the task of a teacher for a student with that primary head.
func taskOf(k student.Kind) onnx.Task {
	switch k {
	case student.KindClassification:
		return onnx.SequenceClassification
	case student.KindPOS, student.KindNER:
		return onnx.TokenClassification
	case student.KindRegression:
		return onnx.Regression
	case student.KindEmbedding:
		return onnx.Embedding
	}
	return onnx.Unknown
}

// checkRows refuses losses that read other rows than a teacher of that task gives.
func (s *stream) checkRows(task onnx.Task) error {
	for _, t := range s.terms {
		var want []onnx.Task
		switch t.Loss.(type) {
		case SoftScores:
			want = []onnx.Task{onnx.Regression}
		case VectorCosine, VectorMSE:
			want = []onnx.Task{onnx.Embedding}
		case SoftLabels:
			want = []onnx.Task{onnx.SequenceClassification, onnx.TokenClassification, onnx.MaskedLM}
		}
		if want != nil && !slices.Contains(want, task) {
			return unfit("the loss %T is for teachers of the task %v, and this one's is %s; SoftLabels compares distributions, SoftScores scores, VectorCosine and VectorMSE vectors", t.Loss, want[0], task)
		}
	}
	return nil
}

// matchClasses finds the teacher's class for each of the student's by name; nil
// where they are in the same order, or one of them does not name any.
func matchClasses(theirs, ours []string) ([]int, error) {
	if len(theirs) == 0 || len(ours) == 0 || slices.Equal(theirs, ours) {
		return nil, nil
	}
	order := make([]int, len(ours))
	var missing []string
	for i, l := range ours {
		if order[i] = slices.Index(theirs, l); order[i] < 0 {
			missing = append(missing, l)
		}
	}
	if len(theirs) != len(ours) || len(missing) > 0 {
		return nil, unfit("the teacher's classes are %q and the student's %q; make id2label name the same classes in both config.json, in any order", theirs, ours)
	}
	return order, nil
}

// commonTokens refuses a teacher whose logits do not speak of the student's tokens.
func commonTokens(own, tok *corpus.Tokenizer) error {
	if !sameTokens(own, tok) {
		return unfit("teacher and student have different vocabularies (%d and %d tokens), so their token logits cannot be compared; give the student the teacher's tokenizer (labels of whole texts need no common one)", own.VocabSize(), tok.VocabSize())
	}
	return nil
}
