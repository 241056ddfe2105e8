package distill_test

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// pooledValue is what the classifier of models of lite's own reads, [B,H].
const pooledValue = "/bert/pooler/Tanh_output_0"

// innerOf lists the losses on values inside one of several teachers.
func innerOf(v distill.View, from int) []distill.Loss {
	return []distill.Loss{
		distill.HiddenMSE{On: v, From: from}, distill.EmbeddingMSE{On: v, From: from}, distill.HiddenCosine{On: v, From: from},
		distill.PKD{Layers: "0:1", On: v, From: from}, distill.AttentionMSE{On: v, From: from}, distill.AttentionKL{Layers: "1:2", On: v, From: from},
		distill.MiniLM{On: v, From: from}, distill.MiniLMv2{On: v, From: from}, distill.Tap{Student: hiddenValue, Teacher: hiddenValue, On: v, From: from},
	}
}

// twoTeachers is a configuration with losses on values inside two teachers of
// different widths and depths.
func twoTeachers(t testing.TB, loss ...distill.Loss) distill.Config {
	c := inside(t, loss...)
	c.MoreTeachers = []*onnx.Model{classifier(t, "3x24x2", 9)}
	return c
}

// The second teacher teaches what it would as the only one, beside another or not.
func TestInsideOfTheSecondTeacher(t *testing.T) {
	m := classifier(t, "2x16x2", 1)
	for _, v := range []distill.View{distill.Clean, distill.Masked} {
		first, second := innerOf(v, 0), innerOf(v, 1)
		c := twoTeachers(t, slices.Concat(first, second)...)
		_, both := run(t, m, c)
		alone := inside(t, first...)
		alone.Teacher = c.MoreTeachers[0]
		_, one := run(t, m, alone)
		for i, l := range one.Losses {
			got := both.Losses[len(first)+i]
			if got.Name != l.Name+"@2" {
				t.Errorf("%s of the second teacher is called %s", l.Name, got.Name)
			}
			// Learned projections are drawn by their names, so theirs differ.
			if !strings.Contains("hidden embedding cosine pkd tap:"+hiddenValue, l.Name) && math.Abs(got.Value-l.Value) > 1e-7 {
				t.Errorf("view %d: %s is %v, and %v under the second teacher alone", v, got.Name, got.Value, l.Value)
			}
			if got.Value == both.Losses[i].Value {
				t.Errorf("view %d: %s is %v of both teachers", v, l.Name, got.Value)
			}
		}
	}
}

// A copy of the second teacher has nothing to learn of it.
func TestCopyOfTheSecondTeacher(t *testing.T) {
	c := inside(t, distill.HiddenMSE{From: 1}, distill.AttentionMSE{From: 1}, distill.MiniLMv2{From: 1}, distill.Tap{Student: pooledValue, Teacher: pooledValue, From: 1})
	c.MoreTeachers = []*onnx.Model{classifier(t, "2x16x2", 1)}
	_, report := run(t, c.MoreTeachers[0], c)
	for _, l := range report.Losses {
		if math.Abs(l.Value) > 1e-6 {
			t.Errorf("%s of a copy is %v", l.Name, l.Value)
		}
	}
}

// Gradients are the slopes of the losses, those of projections to either width
// too.
func TestGradientsOfTwoTeachers(t *testing.T) {
	m := classifier(t, "2x16x2", 1)
	tap := distill.Tap{Student: pooledValue, Teacher: pooledValue, From: 1} // [B,16] to [B,24]
	for _, loss := range [][]distill.Loss{
		{distill.HiddenMSE{}, distill.HiddenMSE{From: 1}},
		{distill.AttentionMSE{From: 1}, distill.EmbeddingMSE{From: 1}},
		{distill.MiniLMv2{}, distill.MiniLMv2{From: 1}, tap},
	} {
		checkGradient(t, m, twoTeachers(t, loss...))
	}
}

// A run under two teachers, with soft labels of both and losses inside both, that is
// stopped and goes on ends in the same bytes, at any number of threads.
func TestResumeOfTwoTeachers(t *testing.T) {
	defer kernel.SetThreads(kernel.Threads())
	m := classifier(t, "2x16x2", 1)
	c := everything(t)
	c.Teacher, c.MoreTeachers, c.TeacherWeights = classifier(t, "4x32x2", 7), []*onnx.Model{classifier(t, "3x24x2", 9)}, []float64{0.7, 0.3}
	for i, l := range slices.Concat(innerOf(distill.Clean, 1), innerOf(distill.Masked, 0)[:2], innerOf(distill.Masked, 1)[:2]) {
		c.Loss = append(c.Loss, distill.Scale(0.1*float64(i+1), l))
	}
	whole, wholeReport := run(t, m, c)
	kernel.SetThreads(3)
	c.Checkpoint = filepath.Join(t.TempDir(), "run")
	ctx, stopping := stopAfter(c, 2)
	if _, _, err := distill.Run(ctx, m, stopping); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	other := c
	other.MoreTeachers = []*onnx.Model{classifier(t, "3x24x2", 10)}
	other.TeacherWeights = []float64{1, 0} // its labels do not count: what is inside does
	var bad *distill.CheckpointError
	if _, _, err := distill.Run(t.Context(), m, other); !errors.As(err, &bad) {
		t.Errorf("another second teacher: %v", err)
	}
	out, report := run(t, m, c)
	if out.Hash() != whole.Hash() || report.Resumed != 2 || !slices.Equal(report.Losses, wholeReport.Losses) {
		t.Errorf("resumed from %d; the bytes are equal: %v", report.Resumed, out.Hash() == whole.Hash())
	}
}

// A checkpoint is known by what is read inside a teacher, even where it gives no labels.
func TestCheckpointKnowsTheTeacherInside(t *testing.T) {
	m := classifier(t, "2x32x2", 1)
	c := inside(t, distill.HiddenMSE{})
	c.Steps, c.Checkpoint = 3, filepath.Join(t.TempDir(), "run")
	ctx, stopping := stopAfter(c, 1)
	if _, _, err := distill.Run(ctx, m, stopping); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	c.Teacher = classifier(t, "4x32x2", 8)
	var bad *distill.CheckpointError
	if _, _, err := distill.Run(t.Context(), m, c); !errors.As(err, &bad) {
		t.Errorf("another teacher: %v", err)
	}
}

// A teacher of weight 0 may be of another task: it gives no labels.
func TestTeacherThatGivesNoLabels(t *testing.T) {
	m := classifier(t, "2x16x2", 1)
	c := twoTeachers(t, distill.SoftLabels{Temperature: 2}, distill.HiddenMSE{From: 1})
	c.MoreTeachers[0] = fresh(t, "2x24x2", student.MaskedLM(), 5)
	c.TeacherWeights = []float64{1, 0}
	_, report := run(t, m, c)
	alone := c
	alone.MoreTeachers, alone.TeacherWeights, alone.Loss = nil, nil, c.Loss[:1]
	_, one := run(t, m, alone)
	if report.Losses[0] != one.Losses[0] {
		t.Errorf("the soft labels are %v beside a teacher of weight 0, and %v without it", report.Losses[0], one.Losses[0])
	}
	c.TeacherWeights = []float64{0, 0}
	if _, _, err := distill.Run(t.Context(), m, c); err == nil || !strings.Contains(err.Error(), "every teacher has weight 0") {
		t.Error(err)
	}
}

// A masked LM beside another answers with logits and hidden states in one run, too.
func TestTwoMaskedLMs(t *testing.T) {
	m := fresh(t, "1x32x2", student.MaskedLM(), 8)
	c := inside(t, distill.SoftLabels{Temperature: 2, Tokens: true}, distill.HiddenMSE{On: distill.Masked, From: 1})
	c.Teacher = fresh(t, "2x32x2", student.MaskedLM(), 7)
	c.MoreTeachers = []*onnx.Model{fresh(t, "2x32x2", student.MaskedLM(), 6)}
	eachAsAlone(t, m, c)
}

// What is fed of a second teacher is part of the estimate.
func TestEstimateCountsTheSecondTeacher(t *testing.T) {
	m := classifier(t, "2x16x2", 1)
	memory := func(loss ...distill.Loss) int64 {
		e, err := distill.Plan(t.Context(), m, twoTeachers(t, loss...))
		if err != nil {
			t.Fatal(err)
		}
		return e.Memory
	}
	one, both := memory(distill.AttentionMSE{}), memory(distill.AttentionMSE{}, distill.AttentionMSE{From: 1})
	const layers, values, width, tokens = 2, 2, 24, 8 * 24 // at least, of queries and keys
	if both-one < 4*layers*values*width*tokens {
		t.Errorf("the estimate is %d bytes with one teacher and %d with two", one, both)
	}
}

func TestSumReads(t *testing.T) {
	s := distill.Sum{distill.Scale(1, distill.HiddenMSE{From: 2}), distill.Scale(0, distill.PKD{From: 1}), distill.Scale(1, distill.SoftLabels{})}
	for i, want := range []bool{false, false, true, false} {
		if s.Reads(i) != want {
			t.Errorf("teacher %d is read: %v", i, !want)
		}
	}
}

func TestParseTap(t *testing.T) {
	for text, want := range map[string]distill.Tap{
		"a": {Student: "a", Teacher: "a"}, "a=b": {Student: "a", Teacher: "b"}, "a=b@2": {Student: "a", Teacher: "b", From: 1},
		"a@3": {Student: "a", Teacher: "a", From: 2}, "x@y": {Student: "x@y", Teacher: "x@y"}, "a@2=b:0@1": {Student: "a@2", Teacher: "b:0"},
	} {
		if got, err := distill.ParseTap(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, wrong := range []string{"", "=a", "a=", "a@0", "@2", "a@-1"} {
		if tap, err := distill.ParseTap(wrong); err == nil {
			t.Errorf("tap %q was accepted: %+v", wrong, tap)
		}
	}
}

// What does not fit the models is refused before a teacher is asked, by name and
// with a remedy, and is a misfit, not a failure.
func TestMisfits(t *testing.T) {
	m, lm := classifier(t, "2x32x2", 1), fresh(t, "2x32x2", student.MaskedLM(), 1)
	tagger := fresh(t, "2x32x2", student.NER([]string{"O", "B-PER", "I-PER"}), 1)
	tap := func(s, u string) distill.Loss { return distill.Tap{Student: s, Teacher: u} }
	masked := func(s, u string) distill.Loss { return distill.Tap{Student: s, Teacher: u, On: distill.Masked} }
	for name, c := range map[string]struct {
		m, teacher *onnx.Model
		loss       distill.Loss
		want       []string
	}{
		"logits on masked text":  {lm, lm, masked("logits", "logits"), []string{`"logits"`, "the student", "--soft-labels mse"}},
		"logits of a masked LM":  {m, lm, tap(hiddenValue, "logits"), []string{`"logits"`, "the teacher", "--soft-labels mse"}},
		"logits of a tagger":     {tagger, tagger, tap("logits", "logits"), []string{"--soft-labels mse"}},
		"no such value":          {m, m, tap("logit", "logits"), []string{"the student", `"logit"`, "logits", "lite inspect --shapes"}},
		"integers":               {m, m, tap("/bert/embeddings/Slice_output_0", "logits"), []string{"the student", "int64", "float32"}},
		"no batch":               {m, m, tap("/bert/embeddings/position_embeddings/Gather_output_0", hiddenValue), []string{"axis 0", "always 1", "batch"}},
		"four axes":              {m, m, tap("/bert/encoder/layer.0/attention/self/MatMul_output_0", hiddenValue), []string{"4 axes", "[batch, sequence, width]"}},
		"two kinds":              {m, m, tap(hiddenValue, "logits"), []string{"3 axes", "2;", "tap others"}},
		"a layer beyond":         {m, m, distill.HiddenMSE{Layers: "0:7"}, []string{"loss hidden", "no layer 7", "0 to 1"}},
		"a teacher beyond":       {m, m, distill.MiniLMv2{Layer: 9}, []string{"loss minilm2", "no layer 9"}},
		"heads":                  {classifier(t, "2x32x4", 1), m, distill.AttentionKL{}, []string{"loss attention_kl", "4 attention heads in layer 0", "--alpha-minilm"}},
		"relation heads":         {m, m, distill.MiniLMv2{Heads: 5}, []string{"5 relation heads", "32 of the student"}},
		"another kind of labels": {m, lm, distill.SoftLabels{}, []string{"one task"}},
		"tokens of a classifier": {m, m, distill.SoftLabels{Tokens: true}, []string{"masked-LM teacher"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := inside(t, c.loss)
			cfg.Teacher = c.teacher
			cfg.Labelling = func(int, int) { t.Error("the teacher was asked") }
			_, _, err := distill.Run(t.Context(), c.m, cfg)
			var misfit *distill.MisfitError
			if !errors.As(err, &misfit) {
				t.Fatalf("%v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v; want %q", err, want)
				}
			}
		})
	}
	c := inside(t, distill.HiddenMSE{From: 1})
	if _, _, err := distill.Run(t.Context(), m, c); err == nil || !strings.Contains(err.Error(), "hidden@2 reads values inside teacher 2") {
		t.Error(err)
	}
	c = inside(t, distill.SoftLabels{Tokens: true})
	c.Teacher = lm.Clone()
	c.Teacher.Config.MaxPositionEmbeddings = 32
	if _, _, err := distill.Run(t.Context(), lm, c); err == nil || !strings.Contains(err.Error(), "--max-length 32") {
		t.Error(err)
	}
	// A graph that is no encoder has no layers, and says what to do.
	c = inside(t, distill.HiddenMSE{})
	c.Teacher = bagOfWords(t, m)
	if _, _, err := distill.Run(t.Context(), m, c); err == nil || !strings.Contains(err.Error(), "what is inside the teacher is not known") || !strings.Contains(err.Error(), "--tap") {
		t.Error(err)
	}
}

// bagOfWords is a classifier without an encoder: the mean of embeddings.
func bagOfWords(t *testing.T, like *onnx.Model) *onnx.Model {
	t.Helper()
	m := like.Clone()
	table := m.Graph.Initializer("bert.embeddings.word_embeddings.weight")
	if table == nil {
		t.Fatal("no table of embeddings")
	}
	labels := int(lastOf(m.Graph.Outputs[0].Dims).Size)
	m.Graph.Nodes = []*onnx.Node{
		onnx.NewNode("Gather", "gather", []string{table.Name, "input_ids"}, []string{"vectors"}),
		onnx.NewNode("ReduceMean", "mean", []string{"vectors"}, []string{"mean"}, onnx.IntsAttr("axes", 1), onnx.IntAttr("keepdims", 0)),
		onnx.NewNode("MatMul", "out", []string{"mean", "w"}, []string{"logits"}),
	}
	w := make([]float32, int(table.Dims[1])*labels)
	m.Graph.Initializers = []*onnx.Tensor{table, onnx.NewFloats("w", w, table.Dims[1], int64(labels))}
	return m
}

func lastOf(d []onnx.Dim) onnx.Dim { return d[len(d)-1] }

// Under a token classifier soft labels are of the first token of each word, as
// tags are read there; what the teacher says elsewhere counts where all are asked for.
func TestSoftLabelsOfFirstPieces(t *testing.T) {
	tags := tasks["tags"].head.Labels
	m, from := fresh(t, "1x16x2", student.NER(tags), 1), fresh(t, "2x32x2", student.NER(tags), 7)
	value := func(l distill.SoftLabels, examples corpus.Corpus) float64 {
		c := taught(t, from, l)
		c.Task = examples
		_, report := run(t, m, c)
		return report.Losses[0].Value
	}
	text := "anna bobanna paris" // bob+anna: two pieces where the vocabulary has no such word
	e := corpus.Example{Text: text, Label: -1}
	data := corpus.FromExamples(slices.Repeat([]corpus.Example{e}, 8), nil)
	first, all := value(distill.SoftLabels{}, data), value(distill.SoftLabels{Positions: distill.AllWords}, data)
	if first == all {
		t.Errorf("the loss is %v at first pieces and at all", first)
	}
	if named := value(distill.SoftLabels{Positions: distill.FirstPieces}, data); named != first {
		t.Errorf("the loss is %v by default and %v at first pieces", first, named)
	}
	// Words that the annotation joins are one: fewer tokens count.
	e.Words = []corpus.Word{{Span: corpus.Span{Start: 0, End: len(text)}, POS: "NOUN", Entity: "O"}}
	joined := corpus.FromExamples(slices.Repeat([]corpus.Example{e}, 8), nil)
	if got := value(distill.SoftLabels{}, joined); got == first {
		t.Errorf("the loss is %v, annotated as one word or not", got)
	}
	if got := value(distill.SoftLabels{Positions: distill.AllWords}, joined); got != all {
		t.Errorf("the loss of all tokens is %v annotated, and %v raw", got, all)
	}
	for _, p := range distill.SoftForms() {
		checkGradient(t, m, taught(t, from, distill.SoftLabels{Form: p, Temperature: 2, Confidence: distill.ByEntropy}))
	}
	for l, want := range map[distill.SoftLabels]string{
		{Positions: distill.MaskedWords}:               "none of first-subword, all",
		{Positions: distill.FirstPieces, Tokens: true}: "token classifiers",
	} {
		c := taught(t, from, l)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", l, err)
		}
	}
}
