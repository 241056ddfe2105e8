package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// pretraining is a training on text.
type pretraining struct {
	loss     distill.Sum
	steps    int
	rate     float64 // learning rate; 0 is 1e-3
	batch    int     // 0 is 32
	shuffled bool    // tags say nothing
}

// perplexity is that of masked tokens of the text that is held out.
var perplexity = column{"perplexity", "%.1f"}

// pretrained is the shape of the models of tables 3 and 4.
func (l *language) pretrained() student.Shape { return student.Shape{Layers: 2, Hidden: 64, Heads: 4} }

// pretrain trains on text a masked language model that start gives. It keeps
// the model in dir, for a program that is stopped before it is done with it.
func (l *language) pretrain(ctx context.Context, p pretraining, start func() (*onnx.Model, error), dir string, seed uint64) (*onnx.Model, error) {
	path := filepath.Join(dir, "mlm")
	if m, err := onnx.Open(path); err == nil {
		return m, nil
	}
	c := l.config(dir, seed)
	c.Loss, c.Text, c.Batch, c.MaxLength, c.Dropout, c.Steps = p.loss, l.text, 32, 64, 0.05, p.steps
	if p.batch > 0 {
		c.Batch = p.batch
	}
	if p.rate > 0 {
		c.LearningRate = p.rate
	}
	if p.shuffled {
		var err error
		if c.Text, err = shuffledTags(l.text, seed); err != nil {
			return nil, err
		}
	}
	m, err := start()
	if err != nil {
		return nil, err
	}
	if m, _, err = distill.Run(ctx, m, c); err != nil {
		return nil, err
	}
	if err := m.SaveAs(path, "model.onnx"); err != nil {
		return nil, err
	}
	return m, distill.RemoveCheckpoint(c.Checkpoint)
}

// fresh is a masked language model of random weights.
func (l *language) fresh(seed uint64) func() (*onnx.Model, error) {
	return func() (*onnx.Model, error) {
		return distill.NewModel(l.pretrained(), student.MaskedLM(), l.tok, seed)
	}
}

// perplexityOf measures a masked language model, and how well the frequencies of
// the tokens alone would do.
func (l *language) perplexityOf(ctx context.Context, m *onnx.Model) (*eval.Score, error) {
	r, err := eval.Run(ctx, m, l.held, eval.Options{Metrics: []string{"perplexity"}})
	if err != nil {
		return nil, err
	}
	return r.Primary(), nil
}

// tuned pre-trains from scratch, measures that, and lets the encoder learn the
// task from few labels.
func (l *language) tuned(p pretraining) func(context.Context, string, uint64) (map[string]float64, error) {
	return func(ctx context.Context, dir string, seed uint64) (map[string]float64, error) {
		m, err := l.pretrain(ctx, p, l.fresh(seed), dir, seed)
		if err != nil {
			return nil, err
		}
		s, err := l.perplexityOf(ctx, m)
		if err != nil {
			return nil, err
		}
		start, err := l.startFrom(m, student.Classification(l.task.Labels()), seed)
		if err != nil {
			return nil, err
		}
		c := l.config(filepath.Join(dir, "tune"), seed)
		c.Loss, c.Task, c.Epochs, c.LearningRate = distill.Sum{distill.Scale(1, distill.HardLabels{})}, corpus.Take(l.task, l.few), 5, 5e-4
		figures, err := l.train(ctx, start, c)
		if err != nil {
			return nil, err
		}
		figures[perplexity.name] = float64(s.Value)
		return figures, os.RemoveAll(filepath.Join(dir, "mlm"))
	}
}

// startFrom makes a model with another head of a pre-trained encoder; nil is one
// of random weights.
func (l *language) startFrom(m *onnx.Model, head student.Head, seed uint64) (*onnx.Model, error) {
	if m == nil {
		return distill.NewModel(l.pretrained(), head, l.tok, seed)
	}
	out, _, err := distill.NewStudent(nil, distill.Student{From: m, Shape: l.pretrained(), Head: head}, seed)
	return out, err
}
