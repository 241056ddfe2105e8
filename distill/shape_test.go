package distill_test

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/internal/modeltest"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

func shapeOf(t testing.TB, m *onnx.Model) student.Shape {
	t.Helper()
	s, err := student.Measure(m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every loss, a run that is stopped, and any number of threads: students with
// factorised embeddings and their own decoder train like others.
func TestFactorisedStudentsTrain(t *testing.T) {
	defer kernel.SetThreads(kernel.Threads())
	m := fresh(t, "1x16x2,embedding=10,decoder=untied", student.MaskedLM(), 1)
	c := everything(t)
	c.Loss, c.Task = c.Loss[2:], nil
	c.Teacher = nil
	c.LayerDecay, c.EMA = 0.9, 0.9
	kernel.SetThreads(1)
	want, _ := run(t, m, c)
	kernel.SetThreads(2)
	c.Checkpoint = filepath.Join(t.TempDir(), "run.checkpoint")
	ctx, stopped := stopAfter(c, 3)
	if _, _, err := distill.Run(ctx, m, stopped); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	out, report := run(t, m, c)
	if report.Resumed != 3 || out.Hash() != want.Hash() {
		t.Errorf("resumed from step %d; the same bytes: %v", report.Resumed, out.Hash() == want.Hash())
	}
	if shapeOf(t, out) != shapeOf(t, m) || out.Hash() == m.Hash() {
		t.Errorf("trained to %v", shapeOf(t, out))
	}
	plan, err := distill.Plan(context.Background(), m, c)
	if err != nil {
		t.Fatal(err)
	}
	s := shapeOf(t, m)
	v, e, h := int64(s.Vocab), int64(s.Embedding), int64(s.Hidden)
	mlm := h*e + 3*e + v*e + v
	pos, ner := int64(17), int64(0)
	for _, head := range []student.Kind{student.KindNER} {
		ner += int64(len(headLabels(t, c, m, head)))
	}
	if want := s.Params() + mlm + (pos+ner)*(e+1) + h*h + h + 2*(h+1); plan.Parameters != want {
		t.Errorf("the plan counts %d parameters, want %d", plan.Parameters, want)
	}
}

// headLabels are the classes of a head that training adds.
func headLabels(t testing.TB, c distill.Config, m *onnx.Model, kind student.Kind) []string {
	t.Helper()
	c.KeepHeads, c.Steps, c.Checkpoint, c.LayerDecay, c.EMA = true, 1, "", 0, 0
	out, _ := run(t, m, c)
	heads, err := student.HeadsOf(out.Config)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(heads, func(h student.Head) bool { return h.Kind == kind })
	if i < 0 {
		t.Fatalf("no %s head in %v", kind, heads)
	}
	return heads[i].Labels
}

// Losses that look at a batch more than once, and scores of heads and neurons, where
// student and teacher have factorised embeddings; layers computed again change no bit.
func TestNoiseUnderFactorisedStudents(t *testing.T) {
	m := fresh(t, "2x16x2,embedding=10,decoder=untied", student.MaskedLM(), 1)
	c := noisy(t)
	c.Teacher, c.Steps = fresh(t, "2x32x2,embedding=40,decoder=untied", student.MaskedLM(), 7), 3
	want, report := run(t, m, c)
	for _, l := range report.Losses {
		if !(l.Value >= 0) || math.IsInf(l.Value, 0) {
			t.Errorf("%s is %v", l.Name, l.Value)
		}
	}
	c.Recompute = true
	if again, _ := run(t, m, c); again.Hash() != want.Hash() {
		t.Error("layers that are computed again give other bytes")
	}
	c = everything(t)
	c.Loss = c.Loss[:2]
	imp, err := distill.Importance(context.Background(), classifier(t, "2x16x2,embedding=10", 1), c, 2)
	if err != nil {
		t.Fatal(err)
	}
	if s := imp.Taylor(); len(s.Heads) != 2 || !(s.Heads[0][0] > 0) || len(s.Neurons[1]) != 64 {
		t.Errorf("scores %+v", s.Heads)
	}
}

// The losses inside fall, and the projection of the embedding loss is of E values.
func TestLossesInsideFactorisedStudents(t *testing.T) {
	c := inside(t, distill.EmbeddingMSE{}, distill.HiddenMSE{}, distill.MiniLMv2{}, distill.AttentionMSE{})
	c.LearningRate, c.Steps = 1e-2, 12
	c.Teacher = classifier(t, "4x32x2,embedding=12", 7)
	m := classifier(t, "2x16x2,embedding=6", 3)
	before := c
	before.LearningRate, before.Steps = 0, 1
	_, first := run(t, m, before)
	_, last := run(t, m, c)
	for i, l := range first.Losses {
		if !(last.Losses[i].Value < l.Value) {
			t.Errorf("%s went from %v to %v", l.Name, l.Value, last.Losses[i].Value)
		}
	}
}

// An untied decoder starts as the teacher's table and goes its own way, also where
// training goes on with the model that was written.
func TestUntiedDecodersStayUntied(t *testing.T) {
	base := fresh(t, "2x16x2", student.MaskedLM(), 1)
	m, report, err := distill.NewStudent(base, distill.Student{Shape: student.Shape{Decoder: student.Untied}}, 2)
	if err != nil || report == nil || len(report.Fresh) > 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	c := everything(t)
	c.Teacher, c.Task = nil, nil
	c.Loss = distill.Sum{distill.Scale(1, distill.Denoise{})}
	c.Steps = 0
	for round := range 3 {
		word, decoder := tables(t, m)
		if equal := slices.Equal(word, decoder); equal != (round == 0) {
			t.Fatalf("round %d: the decoder is the table: %v", round, equal)
		}
		c.Steps = 2
		out, _ := run(t, m, c)
		if s := shapeOf(t, out); s.Decoder != student.Untied {
			t.Fatalf("round %d: %v", round, s)
		}
		dir := filepath.Join(t.TempDir(), "model")
		if err := out.Save(dir); err != nil {
			t.Fatal(err)
		}
		if m, err = onnx.Open(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// tables are the word embeddings and the decoder, [V,E].
func tables(t testing.TB, m *onnx.Model) (word, decoder []float32) {
	t.Helper()
	w, s, err := student.Weights(m)
	if err != nil {
		t.Fatal(err)
	}
	if word, err = w["bert.embeddings.word_embeddings.weight"].Floats(); err != nil {
		t.Fatal(err)
	}
	own, err := w["cls.predictions.decoder.weight"].Floats()
	if err != nil {
		t.Fatal(err)
	}
	for i := range own {
		decoder = append(decoder, own[i%s.EmbeddingWidth()*s.Vocab+i/s.EmbeddingWidth()])
	}
	return word, decoder
}

// What a shape does not say is the teacher's where the hidden size is, and what it
// says holds.
func TestShapesUnderFactorisedTeachers(t *testing.T) {
	plain, factored := fresh(t, "2x32x2", student.MaskedLM(), 1), fresh(t, "2x32x2,embedding=12,decoder=untied", student.MaskedLM(), 1)
	for _, c := range []struct {
		teacher          *onnx.Model
		shape            student.Shape
		narrow           bool
		embedding        int
		decoder          string
		factored, copied bool // some parameters are
	}{
		{plain, student.Shape{Layers: 1, Embedding: 8}, false, 8, "", true, true},
		{plain, student.Shape{Layers: 1, Embedding: 32}, false, 0, "", false, true},
		{plain, student.Shape{Layers: 1, Hidden: 16}, false, 0, "", false, false},
		{plain, student.Shape{Layers: 1, Hidden: 16, Embedding: 8}, false, 8, "", false, false},
		{plain, student.Shape{Layers: 1, Hidden: 16, Embedding: 8}, true, 8, "", true, true},
		{plain, student.Shape{Layers: 1, Hidden: 16, Embedding: 32}, false, 32, "", false, true},
		{plain, student.Shape{Layers: 5, Hidden: 16, Embedding: 32}, false, 32, "", false, false},
		{factored, student.Shape{Layers: 1}, false, 12, student.Untied, false, true},
		{factored, student.Shape{Layers: 1, Decoder: student.Tied}, false, 12, "", false, true},
		{factored, student.Shape{Layers: 1, Embedding: 32, Decoder: student.Tied}, false, 0, "", false, true},
		{factored, student.Shape{Layers: 1, Embedding: 6}, false, 6, student.Untied, true, true},
		{factored, student.Shape{Layers: 1, Hidden: 16}, false, 0, "", false, false},
		{factored, student.Shape{Layers: 1, Hidden: 16, Embedding: 12}, true, 12, "", false, true},
	} {
		m, report, err := distill.NewStudent(c.teacher, distill.Student{Shape: c.shape, Narrow: c.narrow}, 4)
		if err != nil {
			t.Fatalf("%v: %v", c.shape, err)
		}
		if s := shapeOf(t, m); s.Embedding != c.embedding || s.Decoder != c.decoder {
			t.Errorf("%v of %v: %v", c.shape, shapeOf(t, c.teacher), s)
		}
		if (report != nil && len(report.Copied)+len(report.Factored)+len(report.Narrowed) > 0) != c.copied || (report != nil && len(report.Factored) > 0) != c.factored {
			t.Errorf("%v of %v: %+v", c.shape, shapeOf(t, c.teacher), report)
		}
		if err := m.Check(); err != nil {
			t.Error(err)
		}
	}
	_, _, err := distill.NewStudent(plain, distill.Student{Shape: student.Shape{Layers: 1, Hidden: 16, Embedding: 32}, Layers: student.First}, 4)
	if err == nil || !strings.Contains(err.Error(), "hidden size 16") {
		t.Errorf("layers of another width: %v", err)
	}
}

// A student with the embeddings of a real model in fewer values begins with most
// of what that knows.
func TestFactoringOfATrainedModel(t *testing.T) {
	src := modeltest.Open(t, "models", "sst2-bert-L2-H128")
	m, report, err := distill.NewStudent(src, distill.Student{Shape: student.Shape{Layers: 2, Embedding: 64}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if !(report.Energy > 0.5 && report.Energy < 1) || len(report.Fresh) > 0 {
		t.Errorf("%v of the energy, fresh %v", report.Energy, report.Fresh)
	}
	in := modeltest.Inputs(30522, 16, 20, 20)
	a, b := modeltest.Run(t, src, in)["logits"].F32, modeltest.Run(t, m, in)["logits"].F32
	same := 0
	for i := 0; i < len(a); i += 2 {
		if (a[i] > a[i+1]) == (b[i] > b[i+1]) {
			same++
		}
	}
	if same < 12 {
		t.Errorf("%d of 16 answers are the source's", same)
	}
	t.Logf("%.3f of the energy, %d of 16 answers", report.Energy, same)
}
