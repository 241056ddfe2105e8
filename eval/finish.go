package eval

import (
	"math"

	"github.com/litekit/lite/student"
)

// bootstrapDraws is the number of resamples of an interval.
const bootstrapDraws = 1000

// finish turns the metrics into scores.
func (r *runner) finish() {
	res := r.result
	for _, s := range r.done {
		if s.primary {
			res.Scored = s.count
		}
		for _, m := range s.metrics {
			score := Score{Head: s.kind, Metric: m.Name(), Value: Float(m.Value()), Count: s.count}
			if b, ok := m.(Baseliner); ok {
				name, v := b.Baseline()
				f := Float(v)
				score.BaselineName, score.Baseline = name, &f
			}
			if d, ok := m.(Detailer); ok {
				score.Details = d.Details()
			}
			score.Interval = r.interval(s, score)
			res.Scores = append(res.Scores, score)
		}
	}
	if len(r.done) > 0 && res.Primary() == nil {
		res.Task = r.done[0].kind
	}
}

// interval is Wilson's for accuracies, and for class metrics of the primary
// head a bootstrap over its rows.
func (r *runner) interval(s *scored, score Score) *Interval {
	v := float64(score.Value)
	if s.count == 0 || math.IsNaN(v) {
		return nil
	}
	if score.Metric == "accuracy" {
		i := Wilson(int(math.Round(v*float64(s.count))), s.count)
		return &i
	}
	if !s.primary || s.kind != student.KindClassification || score.Metric != "f1" && score.Metric != "mcc" {
		return nil
	}
	res := r.result
	i := Bootstrap(len(res.Gold), bootstrapDraws, r.opts.Seed, func(index []int) float64 {
		c := confusion{}
		c.grow(res.Classes)
		for _, k := range index {
			c.count(int(res.Gold[k]), int(res.Predictions[k]))
		}
		if score.Metric == "mcc" {
			return (&matthews{confusion: c}).Value()
		}
		return (&macroF1{confusion: c}).Value()
	})
	return &i
}
