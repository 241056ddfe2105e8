package distill

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// Evaluation is a value of [Config.Evaluate] while training.
type Evaluation struct {
	// Step counts from 1.
	Step int `json:"step"`
	// Value is what was measured; null in JSON where it is not a finite number.
	Value eval.Float `json:"value"`
}

// watch is what the evaluations were so far; it is part of a checkpoint, so that a
// run that goes on decides as one that never stopped.
type watch struct {
	All []Evaluation `json:"all"`
	// Best is the index of the best of All. Before the first it is −1.
	Best int `json:"best"`
}

// evalEvery is the number of steps between evaluations: an epoch where none is set.
func (t *trainer) evalEvery() int {
	if n := t.cfg.EvalEvery; n > 0 {
		return n
	}
	return max(1, t.streams[0].perEpoch()/t.cfg.Accumulate)
}

// pending tells whether the step that was done last is to be evaluated and was
// not: also the last one of a run is.
func (t *trainer) pending() bool {
	if !t.cfg.measures() || t.step == 0 || t.step%t.evalEvery() != 0 && t.step != t.steps {
		return false
	}
	n := len(t.watch.All)
	return n == 0 || t.watch.All[n-1].Step < t.step
}

// exhausted tells whether the last evaluations were in vain, so that training stops.
func (t *trainer) exhausted() bool {
	return t.cfg.Patience > 0 && len(t.watch.All)-1-t.watch.Best >= t.cfg.Patience
}

// evaluate measures the model as it would be handed out now, and keeps its
// weights where it is the best so far.
func (t *trainer) evaluate(ctx context.Context) error {
	value, err := t.measure(ctx)
	if err != nil {
		return fmt.Errorf("distill: evaluation after step %d: %w", t.step, err)
	}
	t.tidy()
	e := Evaluation{t.step, eval.Float(value)}
	t.watch.All = append(t.watch.All, e)
	better := t.watch.Best < 0 || t.better(value, float64(t.watch.All[t.watch.Best].Value))
	if better {
		t.watch.Best = len(t.watch.All) - 1
		t.keepBest()
	}
	t.log.evaluation(e, t.cfg.Metric, better)
	if t.cfg.Evaluated != nil {
		t.cfg.Evaluated(e, better)
	}
	return nil
}

// measure is what Config.Evaluate or DevLoss says of the model as it would be handed out.
func (t *trainer) measure(ctx context.Context) (float64, error) {
	if t.cfg.DevLoss != nil {
		return t.devLoss(ctx)
	}
	m, err := t.result(t.mean)
	if err != nil {
		return 0, err
	}
	return t.cfg.Evaluate(ctx, m)
}

// better tells whether a value is better than another. What is not finite never
// is, and anything finite is better than that.
func (t *trainer) better(a, b float64) bool {
	finite := func(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
	switch {
	case !finite(a) || !finite(b):
		return finite(a)
	case t.cfg.LowerIsBetter:
		return a < b
	}
	return a > b
}

// keepBest copies the weights, or their averages.
func (t *trainer) keepBest() {
	if t.best == nil {
		t.best = make([][]float32, len(t.params))
	}
	for i, p := range t.params {
		from := p.Value
		if t.mean != nil {
			from = t.mean[i]
		}
		t.best[i] = append(t.best[i][:0], from...)
	}
}

// chosen are the weights of the result: the best ones, else the averages, else
// nil for those of the last step.
func (t *trainer) chosen() [][]float32 {
	if t.best != nil {
		return t.best
	}
	return t.mean
}

// result is the model with those weights, nil for the current ones, and without the
// heads that do not stay.
func (t *trainer) result(values [][]float32) (out *onnx.Model, err error) {
	if err := t.with(values, func() (err error) { out, err = t.program.Model(); return err }); err != nil {
		return nil, fmt.Errorf("distill: %w", err)
	}
	out = student.WithoutProjections(out)
	if !t.cfg.KeepHeads && len(t.heads.list) > 1 {
		if out, err = student.Keep(out, t.heads.primary); err != nil {
			return nil, fmt.Errorf("distill: %w", err)
		}
	}
	return out, nil
}

// evaluations fills the report.
func (t *trainer) evaluations(r *Report) {
	r.Evaluations = slices.Clone(t.watch.All)
	if t.watch.Best >= 0 {
		r.Best = &r.Evaluations[t.watch.Best]
	}
}
