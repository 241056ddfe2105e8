package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"gorgonia.org/gorgonia"

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
		return l.linguisticTable(), l.learnTokens()
	case "4":
		if err := l.learnTokens(); err != nil {
			return table{}, err
		}
		return l.denoisingTable()
	}
	return table{}, fmt.Errorf("there is no such table; the tables are 1 to 4")
}

var languageNames = map[string]string{"en": "English (SST-2)", "zh": "Chinese (ChnSentiCorp)"}

// accuracy is measured on the dev part of the task.
var accuracy = column{"accuracy", "%.4f"}

// teacherTable: the student under the teacher beside the same student alone.
func (l *language) teacherTable() table {
	kd := distill.Scale(1, distill.SoftLabels{Temperature: 2})
	ce := func(weight float64) distill.Term { return distill.Scale(weight, distill.HardLabels{}) }
	few := fmt.Sprintf("%d labels", l.few)
	return table{
		id: "1", title: fmt.Sprintf("Table 1, %s: %v students with and without the teacher", languageNames[l.name], l.small),
		columns: []column{accuracy},
		variants: []variant{
			{"all labels, alone", l.student(distill.Sum{ce(1)}, 0)},
			{"all labels, teacher", l.student(distill.Sum{kd, ce(1)}, 0)},
			{"no labels, teacher", l.student(distill.Sum{kd}, 0)},
			{few + ", alone", l.student(distill.Sum{ce(1)}, l.few)},
			{few + ", teacher", l.student(distill.Sum{kd, ce(0.1)}, l.few)},
			{"the teacher", func(ctx context.Context, _ string, _ uint64) (map[string]float64, error) {
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
	r, err := eval.Run(ctx, m, l.dev, eval.Options{MaxLength: l.length})
	if err != nil {
		return nil, err
	}
	return map[string]float64{"accuracy": float64(r.Primary().Value)}, nil
}

// pretraining is a masked-LM training whose encoder then learns the task from
// few labels.
type pretraining struct {
	loss     distill.Sum
	steps    float64 // times the usual number; 0 is 1
	shuffled bool    // tags say nothing
}

// perplexity is measured on the text that is held out.
var perplexity = column{"perplexity", "%.1f"}

// linguisticTable: each linguistic objective beside masked language modelling
// alone, and beside itself with labels that say nothing.
func (l *language) linguisticTable() table {
	mlm := distill.Scale(1, distill.Denoise{})
	pos := distill.Scale(0.3, distill.POS{})
	ner := distill.Scale(0.3, distill.NER{})
	sop := distill.Scale(1, distill.SOP{})
	t := table{
		id:      "3",
		title:   fmt.Sprintf("Table 3, %s: %v pre-trained for %d steps, then %d labels", languageNames[l.name], l.pretrained(), l.steps, l.few),
		columns: []column{accuracy, perplexity},
	}
	add := func(name string, p pretraining) { t.variants = append(t.variants, variant{name, l.pretrain(p)}) }
	add("mlm", pretraining{loss: distill.Sum{mlm}})
	add("mlm + pos", pretraining{loss: distill.Sum{mlm, pos}})
	add("mlm + pos, shuffled tags", pretraining{loss: distill.Sum{mlm, pos}, shuffled: true})
	if l.hasNames {
		add("mlm + ner", pretraining{loss: distill.Sum{mlm, ner}})
		add("mlm + ner, shuffled tags", pretraining{loss: distill.Sum{mlm, ner}, shuffled: true})
	}
	add("mlm + sop", pretraining{loss: distill.Sum{mlm, sop}})
	add("mlm + sop, random order", pretraining{loss: distill.Sum{mlm, distill.Scale(1, randomOrder{}), distill.Scale(1e-6, distill.SOP{})}})
	all := distill.Sum{mlm, pos, sop}
	if l.hasNames {
		all = append(all, ner)
	}
	add("all", pretraining{loss: all})
	t.variants = append(t.variants, variant{"no pre-training", func(ctx context.Context, dir string, seed uint64) (map[string]float64, error) {
		m, err := distill.NewModel(l.pretrained(), student.Classification(l.task.Labels()), l.tok, seed)
		if err != nil {
			return nil, err
		}
		return l.fineTune(ctx, m, dir, seed)
	}})
	return t
}

// pretrained is the shape of the models of tables 3 and 4.
func (l *language) pretrained() student.Shape { return student.Shape{Layers: 2, Hidden: 64, Heads: 4} }

func (l *language) pretrain(p pretraining) func(context.Context, string, uint64) (map[string]float64, error) {
	return func(ctx context.Context, dir string, seed uint64) (map[string]float64, error) {
		m, figures, err := l.pretrainedModel(ctx, p, dir, seed)
		if err != nil {
			return nil, err
		}
		// Its encoder starts a classifier of the same shape.
		start, _, err := distill.NewStudent(nil, distill.Student{
			From: m, Shape: l.pretrained(), Head: student.Classification(l.task.Labels())}, seed)
		if err != nil {
			return nil, err
		}
		tuned, err := l.fineTune(ctx, start, dir, seed)
		if err != nil {
			return nil, err
		}
		figures["accuracy"] = tuned["accuracy"]
		return figures, nil
	}
}

// pretrainedModel trains a masked language model from scratch, or opens the one
// that a stopped program has trained.
func (l *language) pretrainedModel(ctx context.Context, p pretraining, dir string, seed uint64) (*onnx.Model, map[string]float64, error) {
	path := filepath.Join(dir, "mlm")
	m, err := onnx.Open(path)
	if err != nil {
		c := l.config(dir, seed)
		c.Loss, c.Text, c.Batch, c.MaxLength, c.Dropout = p.loss, l.text, 32, 64, 0.05
		c.Steps = l.steps
		if p.steps > 0 {
			c.Steps = int(p.steps * float64(l.steps))
		}
		if p.shuffled {
			if c.Text, err = shuffledTags(l.text, seed); err != nil {
				return nil, nil, err
			}
		}
		if m, err = distill.NewModel(l.pretrained(), student.MaskedLM(), l.tok, seed); err != nil {
			return nil, nil, err
		}
		if m, _, err = distill.Run(ctx, m, c); err != nil {
			return nil, nil, err
		}
		if err := m.SaveAs(path, "model.onnx"); err != nil {
			return nil, nil, err
		}
		if err := distill.RemoveCheckpoint(c.Checkpoint); err != nil {
			return nil, nil, err
		}
	}
	r, err := eval.Run(ctx, m, l.held, eval.Options{Metrics: []string{"perplexity"}})
	if err != nil {
		return nil, nil, err
	}
	return m, map[string]float64{"perplexity": float64(r.Primary().Value)}, nil
}

// fineTune trains a classifier on few labels and measures it.
func (l *language) fineTune(ctx context.Context, m *onnx.Model, dir string, seed uint64) (map[string]float64, error) {
	c := l.config(filepath.Join(dir, "tune"), seed)
	c.Loss, c.Task, c.Epochs, c.LearningRate = distill.Sum{distill.Scale(1, distill.HardLabels{})}, corpus.Take(l.task, l.few), 5, 5e-4
	figures, err := l.train(ctx, m, c)
	if err != nil {
		return nil, err
	}
	return figures, os.RemoveAll(filepath.Join(dir, "mlm"))
}

// randomOrder is [distill.SOP] with labels that say nothing.
type randomOrder struct{}

// Name is what reports call the loss.
func (randomOrder) Name() string { return "random_order" }

// View is that of the segments.
func (randomOrder) View() distill.View { return distill.Masked }

// Build adds the loss: the cross-entropy of labels drawn by the step and the row.
func (randomOrder) Build(g *distill.Graph) (*gorgonia.Node, error) {
	logits, err := g.Student("sop_logits") // [B,2]
	if err != nil {
		return nil, err
	}
	target := g.Floats("random_order", func(m *distill.Moment) ([]float32, error) {
		draw := rand.New(rand.NewPCG(uint64(m.Step), 0x6f72646572))
		one := make([]float32, 2*m.Batch.B)
		for row, order := range m.Batch.Order {
			if drawn := draw.IntN(2); order >= 0 {
				one[2*row+drawn] = 1
			}
		}
		return one, nil
	}, logits.Shape()...)
	p, err := gorgonia.SoftMax(logits)
	if err != nil {
		return nil, err
	}
	if p, err = gorgonia.Log(p); err != nil {
		return nil, err
	}
	if p, err = gorgonia.HadamardProd(p, target); err != nil {
		return nil, err
	}
	if p, err = gorgonia.Mean(p); err != nil { // over 2·B elements, B of which are 0
		return nil, err
	}
	return gorgonia.Mul(p, gorgonia.NewConstant(float32(-2)))
}

// permutation of n numbers.
func permutation(n int, seed uint64) []int { return rand.New(rand.NewPCG(seed, 0x7461)).Perm(n) }
