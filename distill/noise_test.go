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
	"github.com/litekit/lite/internal/synth"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/synonym"
)

// pairs is a table in which all words of the synthetic vocabulary that keep
// accepts are synonyms of all others.
func pairs(t testing.TB, keep func(word string) bool) *synonym.IDs {
	t.Helper()
	var words []string
	for _, w := range synth.Vocabulary() {
		if !strings.HasPrefix(w, "[") && !strings.HasPrefix(w, "#") && keep(w) {
			words = append(words, w)
		}
	}
	var entries []synonym.Entry
	for _, w := range words {
		entries = append(entries, synonym.Entry{Word: w, Synonyms: words})
	}
	table, err := synonym.New(entries)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := table.IDs(tokenizer(t))
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func all(string) bool { return true }

// noisy is a configuration with every loss that needs more than one look at a
// batch, and learned weights.
func noisy(t testing.TB) distill.Config {
	c := distill.Default()
	c.Teacher = fresh(t, "2x32x2", student.MaskedLM(), 7)
	c.Text = docs(t, 2, 30)
	c.Loss = distill.Sum{
		distill.Scale(1, distill.SoftLabels{Form: distill.JS, Temperature: 4, TemperatureEnd: 1, Path: distill.Cosine, Confidence: distill.ByEntropy, Tokens: true}),
		distill.Scale(1, distill.Denoise{Weighted: true, Synonyms: pairs(t, func(w string) bool { return len(w)%2 == 0 })}),
		distill.Scale(1, distill.InstanceRegularization{}), distill.Scale(0.5, distill.SoftNegatives{Top: 5}),
		{Loss: distill.POS{Positions: distill.AllWords}, Weight: 0.2, Ramp: 0.5},
		{Loss: distill.NER{Positions: distill.AllWords}, Weight: 0.2}, distill.Scale(0.5, distill.NSP{}),
	}
	c.LearnWeights = true
	c.Steps, c.Batch, c.MaxLength, c.LearningRate, c.Seed = 6, 8, 64, 2e-3, 3
	return c
}

func names(l []distill.NamedLoss) (out []string) {
	for _, x := range l {
		out = append(out, x.Name)
	}
	return out
}

func TestNoiseAtEveryThreadCount(t *testing.T) {
	defer kernel.SetThreads(kernel.Threads())
	m := fresh(t, "1x16x2", student.MaskedLM(), 1)
	var want string
	for _, threads := range []int{1, 3} {
		kernel.SetThreads(threads)
		out, report := run(t, m, noisy(t))
		if want == "" {
			want = out.Hash()
		} else if out.Hash() != want {
			t.Errorf("%d threads give other bytes than 1", threads)
		}
		if got := names(report.Losses); !slices.Equal(got, []string{"kd", "mlm", "corrected", "damage", "ir", "restored", "negatives", "pos", "ner", "nsp"}) {
			t.Errorf("losses %v", got)
		}
		if len(report.LearnedWeights) != 7 || len(out.Graph.Outputs) != 1 {
			t.Errorf("learned weights %v, outputs %v", report.LearnedWeights, out.Graph.Outputs)
		}
		for _, l := range report.Losses {
			if !(l.Value >= 0) || math.IsInf(l.Value, 0) {
				t.Errorf("%s is %v", l.Name, l.Value)
			}
		}
	}
}

func TestNoiseResumes(t *testing.T) {
	m := fresh(t, "1x16x2", student.MaskedLM(), 1)
	c := noisy(t)
	c.Accumulate, c.EMA = 2, 0.9
	whole, wholeReport := run(t, m, c)
	c.Checkpoint = filepath.Join(t.TempDir(), "run.checkpoint")
	for _, n := range []int{1, 3} {
		ctx, c := stopAfter(c, n)
		if _, _, err := distill.Run(ctx, m, c); !errors.Is(err, context.Canceled) {
			t.Fatalf("interrupted run: %v", err)
		}
	}
	out, report := run(t, m, c)
	if report.Resumed != 4 || out.Hash() != whole.Hash() {
		t.Errorf("resumed from step %d to other bytes: %v", report.Resumed, out.Hash() != whole.Hash())
	}
	if !slices.Equal(report.Losses, wholeReport.Losses) || !slices.Equal(report.LearnedWeights, wholeReport.LearnedWeights) {
		t.Errorf("after resuming %v %v, without a stop %v %v", report.Losses, report.LearnedWeights, wholeReport.Losses, wholeReport.LearnedWeights)
	}
	c.Loss[1].Loss = distill.Denoise{Weighted: true, Synonyms: pairs(t, all)}
	var bad *distill.CheckpointError
	if _, _, err := distill.Run(context.Background(), m, c); !errors.As(err, &bad) {
		t.Errorf("another table of synonyms: error %v, want a CheckpointError", err)
	}
}

// Every form of soft labels lowers itself.
func TestSoftFormsLowerThemselves(t *testing.T) {
	teacher := fresh(t, "1x32x2", student.MaskedLM(), 7)
	c := distill.Default()
	c.Text, c.Loss = docs(t, 1, 16), distill.Sum{distill.Scale(1, distill.Denoise{})}
	c.Steps, c.Batch, c.LearningRate, c.Dropout = 40, 16, 2e-3, 0
	c.Teacher, _ = run(t, teacher, c)
	m := fresh(t, "1x32x2", student.MaskedLM(), 1)
	for _, form := range distill.SoftForms() {
		c.Loss = distill.Sum{distill.Scale(1, distill.SoftLabels{Form: form, Temperature: 2, TemperatureEnd: 1.9, Beta: 1, Confidence: distill.ByProbability, Tokens: true})}
		c.Steps = 1
		_, first := run(t, m, c)
		c.Steps = 40
		_, last := run(t, m, c)
		if a, b := first.Losses[0].Value, last.Losses[0].Value; !(b < 0.9*a) {
			t.Errorf("%s went from %v to %v", form, a, b)
		}
	}
}

func TestTagsAndSegmentsLowerThemselves(t *testing.T) {
	c := distill.Default()
	c.Text = docs(t, 1, 16)
	c.Loss = distill.Sum{
		distill.Scale(1, distill.POS{Positions: distill.FirstPieces}), distill.Scale(1, distill.NER{Positions: distill.FirstPieces}),
		distill.Scale(1, distill.NSP{}),
	}
	c.Batch, c.LearningRate, c.Dropout, c.Steps = 16, 2e-3, 0, 1
	m := fresh(t, "1x32x2", student.MaskedLM(), 1)
	_, first := run(t, m, c)
	c.Steps = 150
	_, last := run(t, m, c)
	for i, l := range last.Losses {
		if !(l.Value < 0.95*first.Losses[i].Value) {
			t.Errorf("%s went from %v to %v", l.Name, first.Losses[i].Value, l.Value)
		}
	}
}

// Losses beside the masked language model lower themselves, against a run in
// which they have next to no weight.
func TestNoiseLossesLowerThemselves(t *testing.T) {
	m := fresh(t, "1x32x2", student.MaskedLM(), 1)
	for _, l := range []distill.Loss{distill.InstanceRegularization{}, distill.InstanceRegularization{Form: distill.Guided}, distill.SoftNegatives{}} {
		value := func(weight float64) float64 {
			c := distill.Default()
			c.Text = docs(t, 1, 16)
			c.Loss = distill.Sum{distill.Scale(1, distill.Denoise{Mask: 0.3}), distill.Scale(weight, l)}
			c.Steps, c.Batch, c.LearningRate, c.Dropout = 30, 16, 2e-3, 0
			_, report := run(t, m, c)
			return report.Losses[1].Value
		}
		if with, without := value(20), value(1e-9); !(with < 0.9*without) {
			t.Errorf("%+v: %v with the loss and %v without", l, with, without)
		}
	}
}

// Text that masking leaves as it is has not been damaged.
func TestUndamagedText(t *testing.T) {
	c := distill.Default()
	c.Text = docs(t, 1, 16)
	c.Loss = distill.Sum{distill.Scale(1, distill.Denoise{Random: 1e-12, Weighted: true}), distill.Scale(1, distill.InstanceRegularization{Form: distill.Guided})}
	c.Steps, c.Batch, c.Dropout = 1, 8, 0
	_, report := run(t, fresh(t, "1x16x2", student.MaskedLM(), 1), c)
	for _, l := range report.Losses {
		if (l.Name == "damage" || l.Name == "ir") != (l.Value < 1e-6) {
			t.Errorf("%s is %v", l.Name, l.Value)
		}
	}
}

// Where all words are synonyms, every wrong guess is excused, and only the right
// ones are left to learn from.
func TestEveryWordASynonym(t *testing.T) {
	m := fresh(t, "1x16x2", student.MaskedLM(), 1)
	c := distill.Default()
	c.Text, c.Steps, c.Dropout, c.LearningRate = docs(t, 1, 40), 1, 0, 0
	value := func(l distill.Denoise) []distill.NamedLoss {
		c.Loss = distill.Sum{distill.Scale(1, l)}
		_, report := run(t, m, c)
		return report.Losses
	}
	plain, none, every := value(distill.Denoise{}), value(distill.Denoise{Synonyms: pairs(t, func(w string) bool { return len(w) > 9 })}), value(distill.Denoise{Synonyms: pairs(t, all)})
	if plain[0] != none[0] || none[1].Value != 0 {
		t.Errorf("plain %v; with synonyms that nobody guesses %v", plain, none)
	}
	if !(every[1].Value > 0.3 && every[1].Value <= 1) || !(every[0].Value < plain[0].Value) {
		t.Errorf("plain %v; with all words as synonyms %v", plain, every)
	}
}

// The first gradient of the logarithm of a weight is w·(1 − L), and the weights
// move against the losses.
func TestLearnedWeights(t *testing.T) {
	m := classifier(t, "1x16x2", 1)
	c := everything(t)
	c.LearnWeights, c.Dropout, c.ClipNorm, c.Steps, c.Warmup = true, 0, 0, 1, 0
	c.Loss[4].Ramp = 0
	var grad []float32
	c.Hook = func(_ int, params []*distill.Param) { grad = slices.Clone(params[len(params)-1].Grad) }
	out, report := run(t, m, c)
	for i, l := range report.Losses {
		w := c.Loss[i].Weight
		if want := w * (1 - l.Value); math.Abs(float64(grad[i])-want) > 1e-5 {
			t.Errorf("%s is %v with the gradient %v, want %v", l.Name, l.Value, grad[i], want)
		}
		if learned := report.LearnedWeights[i]; (learned.Value < 1) != (l.Value > 1) || learned.Name != l.Name {
			t.Errorf("%s is %v and learned the weight %v", l.Name, l.Value, learned)
		}
	}
	c.LearnWeights, c.Hook = false, nil
	plain, _ := run(t, m, c)
	if plain.Hash() != out.Hash() {
		t.Error("the first step, where all weights are 1, differs from that without learned weights")
	}
}

func TestLossesThatDoNotGoTogether(t *testing.T) {
	m := fresh(t, "1x16x2", student.MaskedLM(), 1)
	for want, sum := range map[string]distill.Sum{
		"leave one of them out":   {distill.Scale(1, distill.SOP{}), distill.Scale(1, distill.NSP{})},
		"beside mlm":              {distill.Scale(1, distill.InstanceRegularization{})},
		"negatives stands beside": {distill.Scale(1, distill.SoftNegatives{})},
		"different positions":     {distill.Scale(1, distill.POS{Positions: distill.AllWords}), distill.Scale(1, distill.NER{})},
		`"most" of pos`:           {distill.Scale(1, distill.POS{Positions: "most"})},
		"Denoise.Weighted":        {distill.Scale(1, distill.Denoise{}), distill.Scale(1, distill.InstanceRegularization{Form: "weighted"})},
		"likeliest tokens":        {distill.Scale(1, distill.Denoise{}), distill.Scale(1, distill.SoftNegatives{Top: -1})},
	} {
		c := distill.Default()
		c.Text, c.Loss, c.Steps = docs(t, 1, 16), sum, 1
		if _, _, err := distill.Run(context.Background(), m, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
	c := distill.Default()
	c.Text, c.Loss, c.Steps = docs(t, 1, 16), distill.Sum{distill.Scale(1, distill.POS{Positions: distill.AllWords})}, 1
	if _, _, err := distill.Run(context.Background(), fresh(t, "1x16x2", student.POS([]string{"NOUN", "VERB"}), 1), c); err == nil || !strings.Contains(err.Error(), "tagger") {
		t.Errorf("all positions beside a tagger: error %v", err)
	}
}

func TestSoftLabelSettings(t *testing.T) {
	for want, l := range map[string]distill.SoftLabels{
		"form":       {Form: "l1"},
		"path":       {Path: "square", TemperatureEnd: 2},
		"constant":   {Path: distill.Constant, Temperature: 1, TemperatureEnd: 2},
		"-1":         {TemperatureEnd: -1},
		"DKD":        {Form: distill.DKD, Alpha: -1},
		"confidence": {Confidence: "sure"},
	} {
		c := everything(t)
		c.Loss = distill.Sum{distill.Scale(1, l)}
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v", l, err)
		}
	}
}
