package main

import (
	"context"
	"fmt"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/student"
)

// innerTable: where the student starts, and what it learns from inside the
// teacher, with few texts.
func (l *language) innerTable() table {
	kd := distill.Scale(1, distill.SoftLabels{Temperature: 2})
	tiny := distill.Sum{kd, distill.Scale(1, distill.EmbeddingMSE{}), distill.Scale(1, distill.HiddenMSE{}), distill.Scale(1, distill.AttentionMSE{})}
	with := func(l distill.Loss) distill.Sum { return distill.Sum{kd, distill.Scale(1, l)} }
	t := table{
		id: "2",
		title: fmt.Sprintf("Table 2, %s: students of the teacher's width and %d of its layers, under the teacher on %d texts",
			languageNames[l.name], l.half.Layers, l.few),
		columns: []column{accuracy},
	}
	for _, fresh := range []bool{true, false} {
		start := map[bool]string{true: "fresh", false: "teacher's layers"}[fresh]
		add := func(name string, loss distill.Sum) {
			t.variants = append(t.variants, variant{name: start + ", " + name, run: l.inner(loss, fresh)})
		}
		add("logits", distill.Sum{kd})
		add("+ cosine (DistilBERT)", with(distill.HiddenCosine{}))
		if l.half.Layers > 1 { // it learns from the layers below the last
			add("+ PKD", with(distill.PKD{}))
		}
		add("+ TinyBERT", tiny)
		add("+ MiniLM v2", with(distill.MiniLMv2{}))
	}
	return t
}

// inner trains a student of half the layers on few texts, ten times each.
func (l *language) inner(loss distill.Sum, fresh bool) func(context.Context, string, uint64) (map[string]float64, error) {
	return func(ctx context.Context, dir string, seed uint64) (map[string]float64, error) {
		c := l.config(dir, seed)
		c.Loss, c.Teacher, c.Task, c.Epochs, c.LearningRate = loss, l.teacher, corpus.Take(l.task, l.few), 10, 5e-4
		m, _, err := distill.NewStudent(l.teacher, distill.Student{Shape: l.half, Fresh: fresh, Layers: student.Spread}, seed)
		if err != nil {
			return nil, err
		}
		return l.train(ctx, m, c)
	}
}
