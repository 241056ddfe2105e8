package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/onnx"
)

// linguisticTable: each linguistic objective beside masked language modelling
// alone, and beside itself with labels that say nothing. All rows of a seed go
// on, for as many steps, from one masked language model, which has learned to
// look at the words around: from random weights so few steps learn little more
// than how frequent the words are. What each encoder has learned is asked by
// tasks with few gold labels, one for each objective and the usual one.
func (l *language) linguisticTable() (table, error) {
	probes, err := l.probes()
	if err != nil {
		return table{}, err
	}
	mlm := distill.Scale(1, distill.Denoise{})
	pos := distill.Scale(0.3, distill.POS{Positions: distill.AllWords})
	ner := distill.Scale(0.3, distill.NER{Positions: distill.AllWords})
	sop := distill.Scale(1, distill.SOP{})
	random := distill.Sum{mlm, distill.Scale(1, randomOrder{}), distill.Scale(1e-6, distill.SOP{})}
	t := table{
		id: "3",
		title: fmt.Sprintf("Table 3, %s: %s masked language models of %d steps, gone on with for %d steps",
			languageNames[l.name], sizes(l.pretrained()), startSteps*l.steps, l.goOnSteps()),
	}
	for _, p := range probes {
		t.columns = append(t.columns, p.column)
	}
	t.columns = append(t.columns, perplexity)
	add := func(name, control string, p pretraining) {
		p.steps, p.batch = l.goOnSteps(), goOnBatch
		t.variants = append(t.variants, variant{name: name, control: control, run: l.goOn(p, probes)})
	}
	add("mlm", "", pretraining{loss: distill.Sum{mlm}})
	add("mlm + pos", "mlm + pos, shuffled tags", pretraining{loss: distill.Sum{mlm, pos}})
	add("mlm + pos, shuffled tags", "", pretraining{loss: distill.Sum{mlm, pos}, shuffled: true})
	if l.hasNames {
		add("mlm + ner", "mlm + ner, shuffled tags", pretraining{loss: distill.Sum{mlm, ner}})
		add("mlm + ner, shuffled tags", "", pretraining{loss: distill.Sum{mlm, ner}, shuffled: true})
	}
	add("mlm + sop", "mlm + sop, random order", pretraining{loss: distill.Sum{mlm, sop}})
	add("mlm + sop, random order", "", pretraining{loss: random})
	t.variants = append(t.variants,
		variant{name: "not gone on with", run: l.asItIs(probes)},
		variant{name: "no pre-training", run: func(ctx context.Context, dir string, seed uint64) (map[string]float64, error) {
			return l.ask(ctx, nil, probes, dir, seed)
		}},
		variant{name: "a constant guess", run: l.guess(probes)})
	return t, nil
}

// The models that the rows of table 3 start from are trained for so many times
// -steps, at a higher rate, and the rows for half of -steps; their batches are
// half of table 4's, for more steps in as much time.
const (
	startSteps = 3
	startRate  = 3e-3
	goOnBatch  = 16
)

func (l *language) goOnSteps() int { return max(1, l.steps/2) }

// start gives the masked language model that all rows of a seed go on from; the
// first one trains it.
func (l *language) start(ctx context.Context, seed uint64) (*onnx.Model, error) {
	dir := filepath.Join(l.out, "table-3", l.name, "start", strconv.FormatUint(seed, 10))
	p := pretraining{loss: distill.Sum{distill.Scale(1, distill.Denoise{})}, steps: startSteps * l.steps, rate: startRate, batch: goOnBatch}
	return l.pretrain(ctx, p, l.fresh(seed), dir, seed)
}

// goOn trains the common start for some steps more and asks what it knows.
func (l *language) goOn(p pretraining, probes []probe) func(context.Context, string, uint64) (map[string]float64, error) {
	return func(ctx context.Context, dir string, seed uint64) (map[string]float64, error) {
		m, err := l.start(ctx, seed)
		if err != nil {
			return nil, err
		}
		// Not the batches that the start has begun with.
		m, err = l.pretrain(ctx, p, func() (*onnx.Model, error) { return m, nil }, dir, seed+1000)
		if err != nil {
			return nil, err
		}
		figures, err := l.askAll(ctx, m, probes, dir, seed)
		if err != nil {
			return nil, err
		}
		return figures, os.RemoveAll(filepath.Join(dir, "mlm"))
	}
}

// asItIs asks the common start.
func (l *language) asItIs(probes []probe) func(context.Context, string, uint64) (map[string]float64, error) {
	return func(ctx context.Context, dir string, seed uint64) (map[string]float64, error) {
		m, err := l.start(ctx, seed)
		if err != nil {
			return nil, err
		}
		return l.askAll(ctx, m, probes, dir, seed)
	}
}

// askAll asks every probe and measures the perplexity.
func (l *language) askAll(ctx context.Context, m *onnx.Model, probes []probe, dir string, seed uint64) (map[string]float64, error) {
	s, err := l.perplexityOf(ctx, m)
	if err != nil {
		return nil, err
	}
	figures, err := l.ask(ctx, m, probes, dir, seed)
	if err != nil {
		return nil, err
	}
	figures[perplexity.name] = float64(s.Value)
	return figures, nil
}

// ask fine-tunes the encoder of m, random weights if it is nil, on each probe.
func (l *language) ask(ctx context.Context, m *onnx.Model, probes []probe, dir string, seed uint64) (map[string]float64, error) {
	figures := map[string]float64{}
	for _, p := range probes {
		start, err := l.startFrom(m, p.head, seed)
		if err != nil {
			return nil, err
		}
		dir := filepath.Join(dir, fileName(p.column.name))
		c := l.config(dir, seed)
		c.Loss, c.Task, c.Batch, c.Epochs, c.LearningRate = distill.Sum{distill.Scale(1, distill.HardLabels{})}, p.train, p.batch, p.epochs, p.rate
		tuned, _, err := distill.Run(ctx, start, c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.column.name, err)
		}
		s, err := l.score(ctx, tuned, p.test)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.column.name, err)
		}
		figures[p.column.name] = float64(s.Value)
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
	}
	return figures, nil
}

// guess is what the most frequent class scores, and of masked tokens their
// frequencies.
func (l *language) guess(probes []probe) func(context.Context, string, uint64) (map[string]float64, error) {
	return func(ctx context.Context, _ string, seed uint64) (map[string]float64, error) {
		figures := map[string]float64{}
		keep := func(name string, s *eval.Score, err error) error {
			if err == nil && s.Baseline != nil {
				figures[name] = float64(*s.Baseline)
			}
			return err
		}
		for _, p := range probes {
			m, err := l.startFrom(nil, p.head, seed)
			if err != nil {
				return nil, err
			}
			s, err := l.score(ctx, m, p.test)
			if err := keep(p.column.name, s, err); err != nil {
				return nil, err
			}
		}
		m, err := l.fresh(seed)()
		if err != nil {
			return nil, err
		}
		s, err := l.perplexityOf(ctx, m)
		return figures, keep(perplexity.name, s, err)
	}
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
