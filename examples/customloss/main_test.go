package main

import (
	"context"
	"math"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/internal/synth"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/teacher"
)

// base is a teacher that has learned a little.
func base(t *testing.T, c distill.Config) *onnx.Model {
	tok, err := corpus.NewWordPiece(synth.Vocabulary(), true)
	if err != nil {
		t.Fatal(err)
	}
	m, err := distill.NewModel(student.Shape{Layers: 2, Hidden: 16, Heads: 2}, student.Classification(synth.Topics()), tok, 1)
	if err != nil {
		t.Fatal(err)
	}
	c.Loss = distill.Sum{distill.Scale(1, distill.HardLabels{})}
	if m, _, err = distill.Run(context.Background(), m, c); err != nil {
		t.Fatal(err)
	}
	return m
}

// logits of a model on the first examples of a corpus, [B,C].
func logits(t *testing.T, m *onnx.Model, c corpus.Corpus, n int) []float32 {
	tok, err := corpus.LoadTokenizer(m.Files)
	if err != nil {
		t.Fatal(err)
	}
	v, err := corpus.NewTaskView(corpus.Take(c, n), tok, corpus.ViewOptions{BatchSize: n, MaxLength: 32})
	if err != nil {
		t.Fatal(err)
	}
	b, err := v.Sequential().Batch(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	run, err := teacher.New(m, teacher.Options{})
	if err != nil {
		t.Fatal(err)
	}
	z, err := run.Logits(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// The loss at a rate of 0 is the mean over the examples that there are, and not
// over the rows that fill up the batch; training lowers it.
func TestLogitMSE(t *testing.T) {
	const examples = 6
	c := distill.Default()
	c.Task = corpus.FromExamples(synth.Documents(synth.Default(1, examples)), synth.Topics())
	c.Batch, c.MaxLength, c.Steps, c.Dropout, c.LearningRate = 8, 32, 30, 0, 5e-3
	m := base(t, c)
	c.Steps, c.LearningRate = 1, 0
	same, report, err := train(context.Background(), m, c)
	if err != nil {
		t.Fatal(err)
	}
	a, b := logits(t, m, c.Task, examples), logits(t, same, c.Task, examples)
	want := 0.0
	for i := range a {
		want += float64(a[i]-b[i]) * float64(a[i]-b[i]) / float64(len(a))
	}
	first := report.Losses[0]
	if first.Name != "logit_mse" || math.Abs(first.Value-want) > 1e-5*want {
		t.Errorf("%v, want %v", first, want)
	}
	c.Steps, c.LearningRate = 40, 2e-3
	if _, report, err = train(context.Background(), m, c); err != nil {
		t.Fatal(err)
	}
	if last := report.Losses[0]; last.Value > 0.8*want {
		t.Errorf("from %v to %v in %d steps", want, last.Value, c.Steps)
	}
}
