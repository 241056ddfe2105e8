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
	"github.com/litekit/lite/internal/synth"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// hiddenValue is the first layer's output in models of lite's own.
const hiddenValue = "/bert/encoder/layer.0/output/LayerNorm/LayerNormalization_output_0"

// inner lists the losses on values inside teacher and student, on a view.
func inner(v distill.View) []distill.Loss {
	return []distill.Loss{
		distill.HiddenMSE{On: v}, distill.EmbeddingMSE{On: v}, distill.HiddenCosine{On: v}, distill.PKD{Layers: "0:1", On: v},
		distill.AttentionMSE{On: v}, distill.AttentionKL{Layers: "1:3", On: v}, distill.MiniLM{On: v}, distill.MiniLMv2{On: v},
		distill.MiniLMv2{Heads: 1, Layer: 2, On: v}, distill.Tap{Student: hiddenValue, Teacher: hiddenValue, On: v},
	}
}

// inside is a configuration with one loss on values inside the models.
func inside(t testing.TB, loss ...distill.Loss) distill.Config {
	c := distill.Default()
	c.Teacher = classifier(t, "4x32x2", 7)
	c.Task, c.Text = docs(t, 1, 20), docs(t, 1, 20)
	for _, l := range loss {
		c.Loss = append(c.Loss, distill.Scale(1, l))
	}
	c.Steps, c.Batch, c.MaxLength, c.LearningRate, c.Dropout, c.Seed = 1, 8, 48, 0, 0, 3
	return c
}

// A student that is a copy of its teacher has nothing to learn (METHODS 6), on
// either view, with padding in the batches.
func TestCopiesAgreeInside(t *testing.T) {
	for _, view := range []distill.View{distill.Clean, distill.Masked} {
		c := inside(t, inner(view)...)
		for i, l := range c.Loss {
			switch p := l.Loss.(type) {
			case distill.PKD:
				p.Layers = "uniform"
				c.Loss[i].Loss = p
			case distill.AttentionKL:
				p.Layers = "3:3,0:0"
				c.Loss[i].Loss = p
			case distill.MiniLMv2:
				p.Layer = 0
				c.Loss[i].Loss = p
			}
		}
		_, report := run(t, c.Teacher, c)
		for _, l := range report.Losses {
			if !(math.Abs(l.Value) < 1e-5) {
				t.Errorf("view %d: %s of a copy is %v", view, l.Name, l.Value)
			}
		}
		_, report = run(t, classifier(t, "4x32x2", 8), c)
		for _, l := range report.Losses {
			if !(l.Value > 1e-6) {
				t.Errorf("view %d: %s of another model is %v", view, l.Name, l.Value)
			}
		}
	}
}

// Every loss falls when it is trained alone, on both views, for a student of
// another depth and width; what was learned to compare the widths is gone after.
func TestLossesInsideFall(t *testing.T) {
	for _, view := range []distill.View{distill.Clean, distill.Masked} {
		for _, l := range inner(view) {
			m := classifier(t, "2x16x2", 1)
			c := inside(t, l)
			_, first := run(t, m, c)
			c.Steps, c.LearningRate = 30, 1e-2
			out, last := run(t, m, c)
			if a, b := first.Losses[0].Value, last.Losses[0].Value; !(b < 0.9*a) {
				t.Errorf("view %d: %s went from %v to %v", view, l.Name(), a, b)
			}
			if len(out.Graph.Outputs) != 1 || len(out.Graph.Initializers) != len(m.Graph.Initializers) || len(out.Graph.Nodes) != len(m.Graph.Nodes) {
				t.Errorf("%s: the result has outputs %v, %d weights of %d", l.Name(), out.Graph.Outputs, len(out.Graph.Initializers), len(m.Graph.Initializers))
			}
			if err := out.Check(); err != nil {
				t.Error(err)
			}
		}
	}
}

// A run with a projection, soft labels and heads that is stopped and goes on ends
// in the same bytes, at any number of threads.
func TestResumeWithProjections(t *testing.T) {
	defer kernel.SetThreads(kernel.Threads())
	m := classifier(t, "2x16x2", 1)
	c := everything(t)
	c.KeepHeads = true
	for _, l := range append(inner(distill.Masked)[:2], inner(distill.Clean)...) {
		switch l.(type) {
		case distill.PKD, distill.AttentionKL: // of layers that this teacher lacks
		default:
			c.Loss = append(c.Loss, distill.Scale(0.5, l))
		}
	}
	whole, wholeReport := run(t, m, c)
	if len(whole.Graph.Outputs) != 5 {
		t.Errorf("outputs %v", whole.Graph.Outputs)
	}
	kernel.SetThreads(3)
	c.Checkpoint = filepath.Join(t.TempDir(), "run")
	for _, n := range []int{1, 3} {
		ctx, c := stopAfter(c, n)
		if _, _, err := distill.Run(ctx, m, c); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	out, report := run(t, m, c)
	if out.Hash() != whole.Hash() || report.Resumed != 4 || !slices.Equal(report.Losses, wholeReport.Losses) {
		t.Errorf("resumed from %d; the bytes are equal: %v", report.Resumed, out.Hash() == whole.Hash())
	}
}

// A masked-LM teacher answers with logits and hidden states in one run; both are
// what they are when asked for alone.
func TestLogitsAndHiddenStatesTogether(t *testing.T) {
	lm := fresh(t, "2x32x2", student.MaskedLM(), 7)
	m := fresh(t, "1x32x2", student.MaskedLM(), 8)
	c := inside(t, distill.SoftLabels{Temperature: 2, Tokens: true}, distill.HiddenMSE{On: distill.Masked})
	c.Teacher = lm
	eachAsAlone(t, m, c)
}

// eachAsAlone checks that every loss has the value that it has without the others.
func eachAsAlone(t *testing.T, m *onnx.Model, c distill.Config) {
	t.Helper()
	_, both := run(t, m, c)
	for i, term := range c.Loss {
		alone := c
		alone.Loss = distill.Sum{term}
		if _, report := run(t, m, alone); math.Abs(report.Losses[0].Value-both.Losses[i].Value) > 1e-6 {
			t.Errorf("%s is %v alone and %v together", term.Loss.Name(), report.Losses[0].Value, both.Losses[i].Value)
		}
	}
}

// Values [B,·] can be tapped, whole texts at a time.
func TestTapOfLogits(t *testing.T) {
	tap, err := distill.ParseTap("logits")
	if err != nil {
		t.Fatal(err)
	}
	c := inside(t, tap)
	_, report := run(t, c.Teacher, c)
	_, other := run(t, classifier(t, "1x16x2", 1), c)
	if l := report.Losses[0]; l.Name != "tap:logits" || math.Abs(l.Value) > 1e-8 || other.Losses[0].Value < 1e-6 {
		t.Errorf("%+v of a copy, %+v of another", l, other.Losses[0])
	}
	for _, wrong := range []string{"", "=a", "a="} {
		if _, err := distill.ParseTap(wrong); err == nil {
			t.Errorf("tap %q was accepted", wrong)
		}
	}
}

// Importance scores the student's heads and neurons under such losses too, whatever
// is added to compare the widths.
func TestImportanceUnderLossesInside(t *testing.T) {
	m := classifier(t, "2x16x2", 1)
	c := inside(t, distill.HiddenMSE{}, distill.MiniLMv2{})
	imp, err := distill.Importance(context.Background(), m, c, 2)
	if err != nil {
		t.Fatal(err)
	}
	if s := imp.Taylor(); len(s.Heads) != 2 || !(s.Heads[0][1] > 0) || len(s.Neurons[1]) != 64 {
		t.Errorf("scores %+v", s.Heads)
	}
}

func TestLayerMaps(t *testing.T) {
	for _, c := range []struct {
		layers distill.LayerMap
		want   string // part of the error
	}{
		{"", ""}, {"uniform", ""}, {"first", ""}, {"last", ""}, {"skip", ""}, {"skip(2)", ""}, {"0:3,1:0", ""},
		{"skip(3)", "layer 5"},
		{"skip()", "none of"}, {"skip(0)", "none of"}, {"every", "none of"},
		{"0:4", "no layer 4"}, {"2:0", "no layer 2"}, {"0:1,0:2", "twice"}, {"0:x", "no pair"}, {"0:1,2", "no pair"}, {"-1:0", "no layer -1"},
	} {
		_, _, err := distill.Run(context.Background(), classifier(t, "2x32x2", 1), inside(t, distill.HiddenMSE{Layers: c.layers}))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q: error %v, want %q", c.layers, err, c.want)
		}
	}
}

func TestTeachersThatCannotBeTapped(t *testing.T) {
	m := classifier(t, "2x32x2", 1)
	fails := func(what string, m *onnx.Model, c distill.Config, want string) {
		t.Helper()
		if _, _, err := distill.Run(context.Background(), m, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", what, err, want)
		}
	}
	fails("a deeper student", classifier(t, "6x32x2", 1), inside(t, distill.HiddenMSE{}), "6 layers and the teacher 4")
	fails("pkd of one layer", classifier(t, "1x32x2", 1), inside(t, distill.PKD{}), "--layer-map 0:3")
	c := inside(t, distill.HiddenMSE{})
	c.Teacher = nil
	fails("no teacher", m, c, "there is none")
	c = inside(t, distill.HiddenMSE{})
	tok, err := corpus.NewWordPiece(slices.Concat(synth.Vocabulary(), []string{"more"}), true)
	if err != nil {
		t.Fatal(err)
	}
	if c.Teacher, err = distill.NewModel(student.Shape{Layers: 2, Hidden: 32, Heads: 2}, student.Classification(synth.Topics()), tok, 1); err != nil {
		t.Fatal(err)
	}
	fails("another tokenizer", m, c, "different vocabularies")
	heads := classifier(t, "2x32x4", 1)
	fails("attention of other heads", heads, inside(t, distill.AttentionMSE{}), "4 attention heads in layer 0 and the teacher 2")
	fails("minilm of other heads", heads, inside(t, distill.MiniLM{}), "4 attention heads")
	fails("relation heads", m, inside(t, distill.MiniLMv2{Heads: 3}), "divides both")
	fails("relation layer", m, inside(t, distill.MiniLMv2{Layer: 5}), "only 1 to 4")
	fails("negative heads", m, inside(t, distill.MiniLMv2{Heads: -1}), "negative")
	fails("a tap of no name", m, inside(t, distill.Tap{Student: "x"}), "without a name")
	fails("a tap of the student", m, inside(t, distill.Tap{Student: hiddenValue + "x", Teacher: hiddenValue}), "the student: the graph computes no value")
	fails("a tap of the teacher", m, inside(t, distill.Tap{Student: hiddenValue, Teacher: "layer.0/output"}), hiddenValue)
	fails("taps of two kinds", m, inside(t, distill.Tap{Student: hiddenValue, Teacher: "logits"}), "must be of one kind")
	c = inside(t, distill.HiddenMSE{})
	c.Teacher = c.Teacher.Clone()
	c.Teacher.Config.MaxPositionEmbeddings = 32
	fails("a short teacher", m, c, "32 positions")
}
