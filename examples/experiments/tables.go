package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// table returns one by its number.
func (l *language) table(id string) (table, error) {
	switch id {
	case "1":
		return l.teacherTable(), nil
	case "2":
		return l.innerTable(), nil
	case "3":
		if err := l.learnTokens(); err != nil {
			return table{}, err
		}
		return l.linguisticTable()
	case "4":
		if err := l.learnTokens(); err != nil {
			return table{}, err
		}
		return l.denoisingTable()
	}
	return table{}, fmt.Errorf("there is no such table; the tables are 1 to 4")
}

var languageNames = map[string]string{"en": "English (SST-2)", "zh": "Chinese (ChnSentiCorp)"}

// sizes writes a shape as layers × hidden size.
func sizes(s student.Shape) string { return fmt.Sprintf("%d×%d", s.Layers, s.Hidden) }

// accuracy is measured on the dev part of the task.
var accuracy = column{"accuracy", "%.4f"}

// teacherTable: the student under the teacher beside the same student alone.
func (l *language) teacherTable() table {
	kd := distill.Scale(1, distill.SoftLabels{Temperature: 2})
	ce := func(weight float64) distill.Term { return distill.Scale(weight, distill.HardLabels{}) }
	few := fmt.Sprintf("%d labels", l.few)
	return table{
		id: "1", title: fmt.Sprintf("Table 1, %s: %s students with and without the teacher", languageNames[l.name], sizes(l.small)),
		columns: []column{accuracy},
		variants: []variant{
			{name: "all labels, alone", run: l.student(distill.Sum{ce(1)}, 0)},
			{name: "all labels, teacher", run: l.student(distill.Sum{kd, ce(1)}, 0)},
			{name: "no labels, teacher", run: l.student(distill.Sum{kd}, 0)},
			{name: few + ", alone", run: l.student(distill.Sum{ce(1)}, l.few)},
			{name: few + ", teacher", run: l.student(distill.Sum{kd, ce(0.1)}, l.few)},
			{name: "the teacher", run: func(ctx context.Context, _ string, _ uint64) (map[string]float64, error) {
				return l.measure(ctx, l.teacher)
			}},
		},
	}
}

// epochs of the task in table 1.
func (l *language) epochs() int {
	if l.name == "en" {
		return 2
	}
	return 5
}

// student trains a fresh student on the task, with labels for the first few
// examples only if that is not 0. Alone it sees those examples again and again,
// for as many steps as it would see all.
func (l *language) student(loss distill.Sum, few int) func(context.Context, string, uint64) (map[string]float64, error) {
	return func(ctx context.Context, dir string, seed uint64) (map[string]float64, error) {
		c := l.config(dir, seed)
		c.Loss, c.Task, c.Cache = loss, l.task, filepath.Join(l.out, "cache")
		c.Steps = l.epochs() * l.task.Len() / c.Batch
		taught := false
		for _, t := range loss {
			_, ok := t.Loss.(distill.Taught)
			taught = taught || ok
		}
		if few > 0 {
			c.Task = corpus.Take(l.task, few)
			if taught {
				var err error
				if c.Task, err = corpus.Concat(c.Task, corpus.Unlabeled(corpus.Skip(l.task, few))); err != nil {
					return nil, err
				}
			}
		}
		if taught {
			c.Teacher = l.teacher
		}
		m, _, err := distill.NewStudent(l.teacher, distill.Student{Shape: l.small, Fresh: true}, seed)
		if err != nil {
			return nil, err
		}
		return l.train(ctx, m, c)
	}
}

// config is what all trainings have in common.
func (l *language) config(dir string, seed uint64) distill.Config {
	c := distill.Default()
	c.Batch, c.MaxLength, c.LearningRate, c.Seed = 64, l.length, 1e-3, seed
	if l.name == "zh" {
		c.Batch = 32
	}
	c.Checkpoint = filepath.Join(dir, "checkpoint")
	return c
}

// train trains a classifier and measures it on the dev part.
func (l *language) train(ctx context.Context, m *onnx.Model, c distill.Config) (map[string]float64, error) {
	m, _, err := distill.Run(ctx, m, c)
	if err != nil {
		return nil, err
	}
	figures, err := l.measure(ctx, m)
	if err != nil {
		return nil, err
	}
	return figures, distill.RemoveCheckpoint(c.Checkpoint)
}

func (l *language) measure(ctx context.Context, m *onnx.Model) (map[string]float64, error) {
	s, err := l.score(ctx, m, l.dev)
	if err != nil {
		return nil, err
	}
	return map[string]float64{accuracy.name: float64(s.Value)}, nil
}

// score is the task's own metric of a model's primary head.
func (l *language) score(ctx context.Context, m *onnx.Model, test corpus.Corpus) (*eval.Score, error) {
	r, err := eval.Run(ctx, m, test, eval.Options{MaxLength: l.length})
	if err != nil {
		return nil, err
	}
	return r.Primary(), nil
}
