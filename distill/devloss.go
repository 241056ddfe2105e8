package distill

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/teacher"
)

// LossMetric is the name of what [Config.DevLoss] measures.
const LossMetric = "loss"

// measures tells whether the model is measured while it is trained.
func (c *Config) measures() bool { return c.Evaluate != nil || c.DevLoss != nil }

// trial reads the examples of Config.DevLoss as training reads its own.
type trial struct {
	cfg     Config
	streams []*stream // beside those of the trainer
}

// openTrial makes the streams of the loss on Config.DevLoss.
func (t *trainer) openTrial() error {
	if t.cfg.DevLoss == nil {
		return nil
	}
	t.trial.cfg = *t.cfg
	c := &t.trial.cfg
	c.Task, c.Text = c.DevLoss, c.DevLoss
	for _, main := range t.streams {
		s, err := c.newStream(main.view, t.heads, t.tok)
		if err == nil {
			err = s.measurable(t.heads)
		}
		if err == nil {
			s.taps, s.trial = main.taps, true
			err = c.engage(s, t.heads, t.tok, t.model.Files, s.perEpoch())
		}
		if err != nil {
			return fmt.Errorf("the loss on the dev data: %w", err)
		}
		t.trial.streams = append(t.trial.streams, s)
	}
	return nil
}

// measurable refuses examples that lack what hard losses compare with.
func (s *stream) measurable(h *heads) error {
	for _, term := range s.terms {
		switch term.Loss.(type) {
		case HardLabels:
			if h.kind == student.KindClassification && len(s.source.Labels()) == 0 {
				return errors.New("distill: the examples have no labels; give labelled ones, or choose another metric")
			}
		case Scores:
			b, err := s.source.Batch(0, 0)
			if err != nil {
				return err
			}
			if b.Scores == nil {
				return errors.New("distill: the examples have no scores; give scored ones, or choose another metric")
			}
		}
	}
	return nil
}

// listenTrial lets the teachers label the examples, at most so many batches of
// them. Teachers that are asked batch by batch are those of the training.
func (t *trainer) listenTrial(ctx context.Context, batches int) error {
	for i, s := range t.trial.streams {
		main := t.streams[i]
		s.tapped = main.tapped
		if s.view == Masked && !s.keeps() {
			for k, u := range s.tutors {
				u.teacher, u.shared = main.tutors[k].teacher, true
			}
			continue
		}
		if err := t.trial.cfg.listen(ctx, s, t.heads, min(batches, s.perEpoch())); err != nil {
			return err
		}
	}
	return nil
}

// keeps tells whether a teacher's answers go to a cache.
func (s *stream) keeps() bool {
	for _, u := range s.tutors {
		if u.opts.Cache != "" || u.opts.Form != (teacher.Form{}) {
			return true
		}
	}
	return false
}

// exchange swaps the parameters with their averages, number by number, as passes
// hold on to the slices.
func (t *trainer) exchange() {
	for i, mean := range t.mean {
		value := t.params[i].Value
		kernel.Parallel(len(mean), 1<<15, func(lo, hi int) {
			for j := lo; j < hi; j++ {
				mean[j], value[j] = value[j], mean[j]
			}
		})
	}
}

// devLoss is the weighted sum of the losses on the examples of Config.DevLoss:
// without dropout, at the weights that the losses have when their ramps are over,
// with the same masks each time. Batches count by their rows. NaN stands for a loss
// that is not finite.
func (t *trainer) devLoss(ctx context.Context) (total float64, err error) {
	t.forget()
	t.exchange()
	defer t.exchange()
	for _, s := range t.trial.streams {
		sums, rows := make([]float64, len(s.terms)), 0.0
		for k := range s.perEpoch() {
			if err := ctx.Err(); err != nil {
				return 0, err
			}
			n, values, err := t.trialBatch(ctx, s, k)
			var bad *autodiff.NotFiniteError
			if errors.As(err, &bad) {
				return math.NaN(), nil
			}
			if err != nil {
				return 0, err
			}
			rows += n
			for i, v := range values {
				sums[i] += n * float64(v)
			}
		}
		for i, term := range s.terms {
			total += term.Weight * sums[i] / max(1, rows)
		}
	}
	return total, nil
}

// trialBatch runs batch k of a stream forward and returns its rows that count and
// the losses.
func (t *trainer) trialBatch(ctx context.Context, s *stream, k int) (rows float64, values []float32, err error) {
	m, err := t.hear(ctx, s, t.steps-1, k)
	if err != nil {
		return 0, nil, err
	}
	g, err := t.compile(s, m)
	if err != nil {
		return 0, nil, err
	}
	feed, err := t.feed(g, m, k)
	if err != nil {
		return 0, nil, err
	}
	if values, err = g.pass.Run(feed); err != nil {
		return 0, nil, fmt.Errorf("distill: the loss on the dev data: %w", atRow(err, s, m.Batch, k))
	}
	for _, w := range s.rowWeights(m.Batch) {
		rows += float64(w)
	}
	return rows, values, nil
}

// atRow adds to an error of batch k of a stream where its example was read from,
// if it is of one row, or where those of the batch were.
func atRow(err error, s *stream, b *corpus.Batch, k int) error {
	var at *autodiff.RowError
	if errors.As(err, &at) && s.only == nil {
		row := at.Row // of the batch
		if s.rowsOf(b) == b.R && b.R != b.B && row < b.R {
			row = int(b.Rows[row]) / b.S
		}
		if p, lost := s.source.Place(k, row); lost == nil && p.Example >= 0 {
			return fmt.Errorf("%s, %q: %w", p.Where, p.Excerpt, err)
		}
	}
	return fmt.Errorf("in a batch of %s: %w", corpus.Where(s.source.Corpus(), b.Index), err)
}
