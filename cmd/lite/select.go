package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// selection are the flags of the measurements while a model is trained.
type selection struct {
	every    int // steps; 0 is an epoch
	on       bool
	patience int
	metric   string
}

// register adds the flags.
func (s *selection) register(g group) {
	g.Var(&parsed[int]{target: &s.every, kind: "N", parse: func(text string) (int, error) {
		n, err := parseEvery(text)
		s.on = s.on || err == nil
		return n, err
	}}, "eval-every", "measure on --dev every N steps, or every \"epoch\", and hand out the best model")
	g.IntVar(&s.patience, "patience", 0, "stop after `N` measurements in a row that were no better")
	choiceVar(g.FlagSet, &s.metric, "best-metric", "what tells the best model: a metric, or the losses' own sum on the examples of --dev (default: --metric, or the task's own)", append(metricNames(), distill.LossMetric)...)
}

func parseEvery(text string) (int, error) {
	if text == "epoch" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, errors.New("give a number of steps, or epoch")
	}
	return n, nil
}

// selects tells whether the model is measured while it is trained.
func (s *selection) selects() bool { return s.on || s.patience != 0 || s.metric != "" }

// apply lets the training of m be measured on the examples of --dev.
func (s *selection) apply(c *distill.Config, d *devFlags, m *onnx.Model) error {
	switch {
	case !s.selects():
		return nil
	case d.corpus == nil:
		return misfit.Errorf("--eval-every, --patience and --best-metric need labelled data to measure on; name it with --dev, or take it from --data with --dev-split")
	case s.patience < 0:
		return misfit.Errorf("--patience %d: give a number of measurements", s.patience)
	}
	p := d.app.progress
	c.EvalEvery, c.Patience = s.every, s.patience
	c.Evaluated = func(e distill.Evaluation, best bool) { p.evaluated(c.Metric, e, best) }
	if s.metric == distill.LossMetric {
		c.DevLoss, c.Metric = d.corpus, distill.LossMetric
		return nil
	}
	o, err := s.options(d, m, c.MaxLength)
	if err != nil {
		return err
	}
	if err := eval.Check(m, d.corpus, o); err != nil {
		return asMetricUsage(fmt.Errorf("--dev: %w", err))
	}
	if c.EvaluateID, err = corpusID(d.corpus); err != nil {
		return err
	}
	measure := eval.Evaluator(d.corpus, o)
	if o.Metrics[0] == "cosine" {
		if c.Teacher == nil {
			return misfit.Errorf("--eval-every: the vectors of a model without a head are measured by their cosine with a teacher's, and there is none; give --dev pairs of texts with a score")
		}
		measure = eval.EvaluatorAgainst(c.Teacher, d.corpus, o)
	}
	c.Evaluate = func(ctx context.Context, m *onnx.Model) (float64, error) {
		v, err := measure(ctx, m)
		p.clear()
		return v, err
	}
	c.Metric = o.Metrics[0]
	c.LowerIsBetter = eval.LowerIsBetter(c.Metric)
	return nil
}

// options are those of the measurements: one metric, of the primary head.
func (s *selection) options(d *devFlags, m *onnx.Model, maxLength int) (eval.Options, error) {
	o := d.options(maxLength)
	o.Progress = nil // the training's own stays
	kind := primaryKind(m)
	if s.metric != "" {
		o.Metrics = []string{s.metric}
	}
	fit := eval.MetricsFor(kind)
	if len(fit) == 0 {
		return o, misfit.Errorf("--eval-every: there is no metric of a %s head; take --best-metric loss", kind)
	}
	if len(o.Metrics) == 0 {
		o.Metrics = fit[:1]
		if kind == student.KindEmbedding {
			pairs, err := scoredPairs(d.corpus)
			if err != nil {
				return o, err
			}
			if !pairs {
				o.Metrics = []string{"cosine"}
			}
		}
	}
	if !slices.Contains(fit, o.Metrics[0]) {
		return o, misfit.Errorf("--best-metric: %s does not fit a %s head; choose one of %v", o.Metrics[0], kind, fit)
	}
	return o, nil
}

// scoredPairs tells whether some example is a pair of texts with a score.
func scoredPairs(c corpus.Corpus) (bool, error) {
	for i := range c.Len() {
		e, err := c.At(i)
		if err != nil {
			return false, err
		}
		if e.Pair != "" && e.Score != nil {
			return true, nil
		}
	}
	return false, nil
}

// corpusID is a hash of the examples of a corpus.
func corpusID(c corpus.Corpus) (string, error) {
	h := sha256.New()
	if err := corpus.WriteJSONL(h, c); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
