package distill_test

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/internal/synth"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/prune"
	"github.com/litekit/lite/student"
)

func docs(t testing.TB, seed uint64, n int) corpus.Corpus {
	t.Helper()
	return corpus.FromExamples(synth.Documents(synth.Default(seed, n)), synth.Topics())
}

func tokenizer(t testing.TB) *corpus.Tokenizer {
	t.Helper()
	tok, err := corpus.NewWordPiece(synth.Vocabulary(), true)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// fresh is an untrained classifier of the synthetic topics, or another head.
func fresh(t testing.TB, shape string, head student.Head, seed uint64) *onnx.Model {
	t.Helper()
	s, err := student.ParseShape(shape)
	if err != nil {
		t.Fatal(err)
	}
	m, err := distill.NewModel(s, head, tokenizer(t), seed)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func classifier(t testing.TB, shape string, seed uint64) *onnx.Model {
	return fresh(t, shape, student.Classification(synth.Topics()), seed)
}

// everything is a configuration with every loss on.
func everything(t testing.TB) distill.Config {
	c := distill.Default()
	c.Teacher = classifier(t, "2x32x2", 7)
	c.Task, c.Text = docs(t, 1, 40), docs(t, 2, 30)
	c.Loss = distill.Sum{
		distill.Scale(1, distill.SoftLabels{Temperature: 2}), distill.Scale(0.5, distill.HardLabels{Smoothing: 0.1}),
		distill.Scale(1, distill.Denoise{}), distill.Scale(0.2, distill.POS{}),
		{Loss: distill.NER{}, Weight: 0.2, Ramp: 0.5}, distill.Scale(0.5, distill.SOP{}),
	}
	c.Steps, c.Batch, c.MaxLength, c.LearningRate, c.Seed = 8, 8, 64, 2e-3, 3
	return c
}

func run(t testing.TB, m *onnx.Model, c distill.Config) (*onnx.Model, *distill.Report) {
	t.Helper()
	out, report, err := distill.Run(context.Background(), m, c)
	if err != nil {
		t.Fatal(err)
	}
	return out, report
}

func TestSameBytesAtEveryThreadCount(t *testing.T) {
	defer kernel.SetThreads(kernel.Threads())
	m := classifier(t, "1x16x2", 1)
	before := m.Hash()
	var want string
	for _, threads := range []int{1, 2, 3} {
		kernel.SetThreads(threads)
		out, report := run(t, m, everything(t))
		if want == "" {
			want = out.Hash()
		} else if out.Hash() != want {
			t.Errorf("%d threads give other bytes than 1", threads)
		}
		if len(report.Losses) != 6 || report.Steps != 8 {
			t.Errorf("report %+v", report)
		}
	}
	if m.Hash() != before || want == before {
		t.Error("the input changed, or training changed nothing")
	}
}

// stopAfter interrupts a run once it has done n steps.
func stopAfter(c distill.Config, n int) (context.Context, distill.Config) {
	ctx, cancel := context.WithCancel(context.Background())
	done := 0
	c.Progress = func(distill.Progress) {
		if done++; done == n {
			cancel()
		}
	}
	return ctx, c
}

func TestResumeEqualsNeverHavingStopped(t *testing.T) {
	m := classifier(t, "1x16x2", 1)
	c := everything(t)
	c.Accumulate = 2
	whole, wholeReport := run(t, m, c)
	c.Checkpoint = filepath.Join(t.TempDir(), "run.checkpoint")
	c.Cache = t.TempDir()
	for _, n := range []int{1, 2, 4} {
		ctx, c := stopAfter(c, n)
		_, _, err := distill.Run(ctx, m, c)
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "same command") {
			t.Fatalf("interrupted run: %v", err)
		}
	}
	out, report := run(t, m, c)
	if report.Resumed != 7 {
		t.Errorf("resumed from step %d, want 7", report.Resumed)
	}
	if out.Hash() != whole.Hash() {
		t.Error("a run stopped three times ends in other bytes")
	}
	if !slices.Equal(report.Losses, wholeReport.Losses) {
		t.Errorf("losses %v after resuming, %v without a stop", report.Losses, wholeReport.Losses)
	}
	if err := distill.RemoveCheckpoint(c.Checkpoint); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.Checkpoint); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("checkpoint still there: %v", err)
	}
}

func TestCheckpointOfAnotherRunOrDamaged(t *testing.T) {
	m := classifier(t, "1x16x2", 1)
	c := everything(t)
	c.Checkpoint = t.TempDir()
	ctx, stopped := stopAfter(c, 2)
	if _, _, err := distill.Run(ctx, m, stopped); err == nil {
		t.Fatal("the run was not stopped")
	}
	path := filepath.Join(c.Checkpoint, "state.ckpt")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, c distill.Config, m *onnx.Model) {
		t.Helper()
		var bad *distill.CheckpointError
		if _, _, err := distill.Run(context.Background(), m, c); !errors.As(err, &bad) {
			t.Errorf("%s: error %v, want a CheckpointError", what, err)
		}
	}
	other := c
	other.LearningRate *= 2
	refused("another learning rate", other, m)
	other = c
	other.Task = docs(t, 1, 39)
	refused("other data", other, m)
	other = c
	other.Teacher = classifier(t, "2x32x2", 8)
	refused("another teacher", other, m)
	refused("another student", c, classifier(t, "1x16x2", 2))
	for _, at := range []int{0, 9, 40, len(good) / 2, len(good) - 1} {
		bad := slices.Clone(good)
		bad[at] ^= 1
		os.WriteFile(path, bad, 0o666)
		refused("a flipped bit", c, m)
	}
	for _, n := range []int{0, 5, 100, len(good) - 1} {
		os.WriteFile(path, good[:n], 0o666)
		refused("a torn file", c, m)
	}
	os.WriteFile(path, good, 0o666)
	if _, report := run(t, m, c); report.Resumed != 2 {
		t.Errorf("the good checkpoint resumed from %d", report.Resumed)
	}
}

// A student that is a copy of its teacher has no distillation loss (METHODS 6).
func TestCopyOfTheTeacherHasNothingToLearn(t *testing.T) {
	for _, head := range []student.Head{student.Classification(synth.Topics()), student.MaskedLM()} {
		teacher := fresh(t, "2x32x2", head, 7)
		m, transfer, err := distill.NewStudent(teacher, distill.Student{}, 99)
		if err != nil {
			t.Fatal(err)
		}
		if len(transfer.Fresh) != 0 {
			t.Errorf("%s: not copied: %v", head.Kind, transfer.Fresh)
		}
		c := distill.Default()
		c.Teacher, c.Task, c.Text = teacher, docs(t, 1, 20), docs(t, 1, 20)
		c.Loss = distill.Sum{distill.Scale(1, distill.SoftLabels{Temperature: 3, Tokens: head.Kind == student.KindMaskedLM})}
		c.Steps, c.Batch, c.LearningRate, c.Dropout = 1, 8, 0, 0
		_, report := run(t, m, c)
		if l := report.Losses[0].Value; l < -1e-6 || l > 1e-6 {
			t.Errorf("%s: distillation loss of a copy is %v", head.Kind, l)
		}
	}
}

func TestRateZeroLeavesTheWeights(t *testing.T) {
	m := classifier(t, "1x16x2", 1)
	c := everything(t)
	c.LearningRate = 0
	c.Loss = c.Loss[:2] // no fresh heads
	out, _ := run(t, m, c)
	if out.Hash() != m.Hash() {
		t.Error("a learning rate of 0 changed the model")
	}
}

func TestTrainingLowersEveryLoss(t *testing.T) {
	m := classifier(t, "1x32x2", 1)
	c := everything(t)
	c.Task, c.Text = docs(t, 1, 16), docs(t, 1, 16)
	c.Batch, c.Dropout, c.Steps = 16, 0, 60
	lesson := c
	lesson.Loss = distill.Sum{distill.Scale(1, distill.HardLabels{})}
	c.Teacher, _ = run(t, c.Teacher, lesson) // an untrained one has nothing to teach
	c.Steps = 1
	_, first := run(t, m, c)
	c.Steps = 150
	_, last := run(t, m, c)
	for i, l := range last.Losses {
		if !(l.Value < 0.95*first.Losses[i].Value) {
			t.Errorf("%s went from %v to %v", l.Name, first.Losses[i].Value, l.Value)
		}
	}
}

func TestHeadsComeAndGo(t *testing.T) {
	m := classifier(t, "1x16x2", 1)
	c := everything(t)
	c.Steps = 1
	out, _ := run(t, m, c)
	if len(out.Graph.Outputs) != 1 || out.Graph.Outputs[0].Name != "logits" {
		t.Errorf("outputs %v; only logits stays", out.Graph.Outputs)
	}
	c.KeepHeads = true
	out, _ = run(t, m, c)
	var names []string
	for _, o := range out.Graph.Outputs {
		names = append(names, o.Name)
	}
	if want := []string{"logits", "mlm_logits", "pos_logits", "ner_logits", "sop_logits"}; !slices.Equal(names, want) {
		t.Errorf("outputs %v, want %v", names, want)
	}
	if err := out.Check(); err != nil {
		t.Error(err)
	}
	// A model with those heads goes on training under them.
	again, _ := run(t, out, c)
	if again.Hash() == out.Hash() {
		t.Error("continued training changed nothing")
	}
}

func TestPrunedWeightsStayZero(t *testing.T) {
	m, err := prune.Config{Unit: prune.Weights, Sparsity: 0.5}.Apply(context.Background(), classifier(t, "1x16x2", 1))
	if err != nil {
		t.Fatal(err)
	}
	want, err := prune.Masks(m)
	if err != nil {
		t.Fatal(err)
	}
	c := everything(t)
	c.Loss = c.Loss[:2]
	if c.Hook, err = distill.KeepZeros(m); err != nil {
		t.Fatal(err)
	}
	out, _ := run(t, m, c)
	got, err := prune.Masks(out)
	if err != nil {
		t.Fatal(err)
	}
	if len(want) == 0 || len(got) != len(want) {
		t.Fatalf("%d masked parameters after training, %d before", len(got), len(want))
	}
	for name, k := range want {
		if got[name].Count() != k.Count() {
			t.Errorf("%s: %d zeros, want %d", name, got[name].Count(), k.Count())
		}
	}
}

// A head that contributes nothing has no importance.
func TestImportanceFindsTheIdleHead(t *testing.T) {
	m := classifier(t, "1x16x2", 1)
	w, _, err := student.Weights(m)
	if err != nil {
		t.Fatal(err)
	}
	out := m.Clone()
	for i, init := range out.Graph.Initializers {
		if init.Name != "bert.encoder.layer.0.attention.output.dense.weight" {
			continue
		}
		v, err := w[init.Name].Floats()
		if err != nil {
			t.Fatal(err)
		}
		v = slices.Clone(v)
		clear(v[8*16:]) // rows of head 1: [in, out]
		out.Graph.Initializers[i] = onnx.NewFloats(init.Name, v, 16, 16)
	}
	c := everything(t)
	c.Loss = c.Loss[:2]
	imp, err := distill.Importance(context.Background(), out, c, 2)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]prune.Scores{"taylor": imp.Taylor(), "fisher": imp.Fisher()} {
		if s.Heads[0][1] != 0 || !(s.Heads[0][0] > 0) || len(s.Neurons[0]) != 64 {
			t.Errorf("%s: scores of the heads %v", name, s.Heads[0])
		}
	}
}

// A fresh decoder starts from the frequencies of the text: its first loss is
// that of the unigram guess, not of the uniform one. A trained one is left alone.
func TestFreshDecoderStartsFromFrequencies(t *testing.T) {
	c := distill.Default()
	c.Text = docs(t, 1, 200)
	c.Loss = distill.Sum{distill.Scale(1, distill.Denoise{})}
	c.Steps, c.LearningRate, c.Dropout = 1, 0, 0
	m := fresh(t, "1x16x2", student.MaskedLM(), 1)
	out, report := run(t, m, c)
	uniform := math.Log(float64(len(synth.Vocabulary())))
	if l := report.Losses[0].Value; l > uniform-1 {
		t.Errorf("the first loss is %v; the uniform guess has %v", l, uniform)
	}
	again, _ := run(t, out, c)
	if again.Hash() != out.Hash() {
		t.Error("the bias of a trained decoder was set anew")
	}
}

// The gradient of a sum of losses on both views is the sum of their gradients.
func TestGradientsOfTheViewsAdd(t *testing.T) {
	c := everything(t)
	c.Steps, c.LearningRate, c.Dropout, c.ClipNorm = 1, 0, 0, 0
	c.Loss[4].Ramp = 0
	m, _ := run(t, classifier(t, "1x16x2", 1), func() distill.Config { c := c; c.KeepHeads = true; return c }())
	gradient := func(terms ...distill.Term) map[string][]float32 {
		c := c
		c.Loss = terms
		out := map[string][]float32{}
		c.Hook = func(_ int, params []*distill.Param) {
			for _, p := range params {
				out[p.Name] = slices.Clone(p.Grad)
			}
		}
		run(t, m, c)
		return out
	}
	whole, clean, masked := gradient(c.Loss...), gradient(c.Loss[:2]...), gradient(c.Loss[2:]...)
	for name, g := range whole {
		for j, x := range g {
			if sum := float64(clean[name][j]) + float64(masked[name][j]); math.Abs(sum-float64(x)) > 1e-6 {
				t.Fatalf("%s[%d]: gradient %v, sum of the views' %v", name, j, x, sum)
			}
		}
	}
}
