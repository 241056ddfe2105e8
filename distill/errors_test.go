package distill_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

func TestConfigurationsThatCannotWork(t *testing.T) {
	for want, change := range map[string]func(*distill.Config){
		"term 1 of the sum":   func(c *distill.Config) { c.Loss[1].Loss = nil },
		"no loss":             func(c *distill.Config) { c.Loss = nil },
		"no corpus":           func(c *distill.Config) { c.Task, c.Text = nil, nil },
		"needs task data":     func(c *distill.Config) { c.Task = nil },
		"0 epochs and 0":      func(c *distill.Config) { c.Epochs, c.Steps = 0, 0 },
		"and -1 steps":        func(c *distill.Config) { c.Steps = -1 },
		"of each make":        func(c *distill.Config) { c.Accumulate = 1 << 40 },
		"run at once":         func(c *distill.Config) { c.Batch = 1 << 50 },
		"checkpoints every":   func(c *distill.Config) { c.CheckpointSteps = -1 },
		"temperature NaN":     func(c *distill.Config) { c.Loss[0].Loss = distill.SoftLabels{Temperature: math.NaN()} },
		"up to but not 1":     func(c *distill.Config) { c.Loss[1].Loss = distill.HardLabels{Smoothing: 1} },
		"none of [adamw":      func(c *distill.Config) { c.Optimizer = "sgd" },
		"layer decay 2":       func(c *distill.Config) { c.LayerDecay = 2 },
		"EMA 1":               func(c *distill.Config) { c.EMA = 1 },
		"Config.Evaluate":     func(c *distill.Config) { c.Patience = 2 },
		"checkpoints to keep": func(c *distill.Config) { c.KeepCheckpoints = -1 },
		"smoothing 2":         func(c *distill.Config) { c.Loss[1].Loss = distill.HardLabels{Smoothing: 2} },
		"mask rate -1":        func(c *distill.Config) { c.Loss[2].Loss = distill.Denoise{Mask: -1} },
		"batch 0":             func(c *distill.Config) { c.Batch = 0 },
		"below 8 tokens":      func(c *distill.Config) { c.MaxLength = 3 },
		"positions":           func(c *distill.Config) { c.MaxLength = 4096 },
		"learning rate":       func(c *distill.Config) { c.LearningRate = math.NaN() },
		"warm-up":             func(c *distill.Config) { c.Warmup = 2 },
		"dropout":             func(c *distill.Config) { c.Dropout = 1 },
		"weight decay":        func(c *distill.Config) { c.WeightDecay = -1 },
		"clipping":            func(c *distill.Config) { c.ClipNorm = math.NaN() },
		"decay \"cubic\"":     func(c *distill.Config) { c.Decay = "cubic" },
		"weight -1 of mlm":    func(c *distill.Config) { c.Loss[2].Weight = -1 },
		"ramp":                func(c *distill.Config) { c.Loss[2].Ramp = 7 },
		"kd needs a teacher":  func(c *distill.Config) { c.Teacher = nil },
		"every loss has":      func(c *distill.Config) { c.Loss = distill.Sum{distill.Scale(0, distill.SOP{})} },
		"masked-LM teacher":   func(c *distill.Config) { c.Loss[0].Loss = distill.SoftLabels{Tokens: true} },
		"different vocab":     func(c *distill.Config) { otherVocabulary(t, c) },
		"teacher's classes":   func(c *distill.Config) { otherLabels(t, c) },
		"needs entities": func(c *distill.Config) {
			c.Text = corpus.FromExamples([]corpus.Example{{Text: "one two three four"}}, nil)
		},
		"pos tags, but no word": func(c *distill.Config) {
			c.Loss = distill.Sum{distill.Scale(1, distill.POS{})}
			c.Text = corpus.FromExamples([]corpus.Example{{Text: "one two three four"}}, nil)
		},
		"label": func(c *distill.Config) {
			c.Task = corpus.FromExamples([]corpus.Example{{Text: "a b", Target: "no such topic"}}, []string{"no such topic"})
		},
		"the corpus is empty": func(c *distill.Config) { c.Task = corpus.FromExamples(nil, nil) },
	} {
		t.Run(want, func(t *testing.T) {
			c := everything(t)
			change(&c)
			_, _, err := distill.Run(context.Background(), classifier(t, "1x16x2", 1), c)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v; want it to speak of %q", err, want)
			}
		})
	}
}

func otherVocabulary(t *testing.T, c *distill.Config) {
	tok, err := corpus.NewWordPiece([]string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"}, true)
	if err != nil {
		t.Fatal(err)
	}
	if c.Teacher, err = distill.NewModel(student.Shape{Layers: 1, Hidden: 16, Heads: 2}, student.MaskedLM(), tok, 1); err != nil {
		t.Fatal(err)
	}
	c.Loss[0].Loss = distill.SoftLabels{Tokens: true}
}

func otherLabels(t *testing.T, c *distill.Config) {
	c.Teacher = fresh(t, "1x16x2", student.Classification([]string{"a", "b", "c", "d", "e", "f"}), 1)
}

func TestDivergenceIsNamed(t *testing.T) {
	c := everything(t)
	c.LearningRate, c.Warmup, c.Steps, c.ClipNorm = 1e30, 0, 20, 0
	_, _, err := distill.Run(context.Background(), classifier(t, "1x16x2", 1), c)
	if err == nil || !strings.Contains(err.Error(), "step ") || !strings.Contains(err.Error(), "learning rate") {
		t.Errorf("error %v; want the step and the remedy", err)
	}
}

func TestModelsThatCannotBeTrained(t *testing.T) {
	c := everything(t)
	plain := classifier(t, "1x16x2", 1)
	bare := plain.Clone()
	bare.Config = nil
	untokenized := plain.Clone()
	untokenized.Files = nil
	for name, m := range map[string]*onnx.Model{"architectures": bare, "tokenizer": untokenized} {
		if _, _, err := distill.Run(context.Background(), m, c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v; want it to speak of %q", err, name)
		}
	}
}

// A model that is not there is an error everywhere.
func TestNoModel(t *testing.T) {
	c := everything(t)
	for name, m := range map[string]*onnx.Model{"nil": nil, "no graph": {}} {
		_, _, run := distill.Run(context.Background(), m, c)
		_, plan := distill.Plan(context.Background(), m, c)
		_, importance := distill.Importance(context.Background(), m, c, 1)
		for what, err := range map[string]error{"Run": run, "Plan": plan, "Importance": importance} {
			if err == nil || !strings.Contains(err.Error(), "no model") {
				t.Errorf("%s of %s: %v", what, name, err)
			}
		}
	}
}
