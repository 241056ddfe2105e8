package eval

import (
	"fmt"
	"math"

	"github.com/litekit/lite/student"
)

// bootstrapDraws is the number of resamples of an interval.
const bootstrapDraws = 1000

// finish turns the metrics into scores. A head that nothing was scored of is
// skipped, which is an error for the one that comparisons use.
func (r *runner) finish() error {
	res := r.result
	for _, s := range r.done {
		if s.count == 0 {
			if s.lead {
				return fmt.Errorf("eval: nothing of the data could be scored for the %s head (%s); give other data, or leave the head out", s.kind, nothing[s.kind])
			}
			res.Skipped = append(res.Skipped, fmt.Sprintf("%s: nothing could be scored (%s)", s.kind, nothing[s.kind]))
			continue
		}
		if s.lead {
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
			if i, ok := m.(intervaler); ok {
				score.Interval = known(i.interval(r.opts.Seed))
			}
			res.Scores = append(res.Scores, score)
		}
	}
	return nil
}

// nothing says why a head may have no rows.
var nothing = map[student.Kind]string{
	student.KindClassification: "no example has a label",
	student.KindMaskedLM:       "no text has a token that can be masked",
	student.KindPOS:            "no word within MaxLength has a part-of-speech tag",
	student.KindNER:            "no word within MaxLength has an entity tag",
	student.KindSentenceOrder:  "no text has two sentences",
	student.KindNextSentence:   "no text has two sentences",
	student.KindRegression:     "no example has a score",
	student.KindEmbedding:      "no example has a text",
}

// intervaler is a metric that knows its 95% confidence interval.
type intervaler interface {
	interval(seed uint64) Interval
}

// known is nil for an interval without bounds.
func known(i Interval) *Interval {
	if math.IsNaN(float64(i.Low)) || math.IsNaN(float64(i.High)) {
		return nil
	}
	return &i
}

func (a *accuracy) interval(uint64) Interval { return Wilson(a.right, a.n) }

func (f *macroF1) interval(seed uint64) Interval {
	return f.bootstrap(seed, func(c confusion) float64 { return (&macroF1{confusion: c}).Value() })
}

func (m *matthews) interval(seed uint64) Interval {
	return m.bootstrap(seed, func(c confusion) float64 { return (&matthews{confusion: c}).Value() })
}

// bootstrap resamples the counted rows, of which only the cell matters.
func (c *confusion) bootstrap(seed uint64, value func(confusion) float64) Interval {
	var cell []int
	for k, n := range c.cells {
		for range n {
			cell = append(cell, k)
		}
	}
	drawn := confusion{}
	drawn.grow(c.classes)
	return Bootstrap(len(cell), bootstrapDraws, seed, func(index []int) float64 {
		clear(drawn.cells)
		for _, i := range index {
			drawn.cells[cell[i]]++
		}
		return value(drawn)
	})
}

func (e *entityF1) interval(seed uint64) Interval {
	e.flush()
	return Bootstrap(len(e.sequences), bootstrapDraws, seed, func(index []int) float64 {
		var sum [3]int
		for _, i := range index {
			for k, n := range e.sequences[i] {
				sum[k] += n
			}
		}
		_, _, f1 := prf(sum[0], sum[1], sum[2])
		return f1
	})
}

// interval is exp of the mean ± 1.96 standard errors; without bounds for one row.
func (p *perplexity) interval(uint64) Interval {
	n := float64(p.n)
	mean := p.sum / n
	half := z95 * math.Sqrt(math.Max(0, p.squares/n-mean*mean)/(n-1))
	return Interval{Float(math.Exp(mean - half)), Float(math.Exp(mean + half))}
}

func (c *correlation) interval(seed uint64) Interval {
	return Bootstrap(len(c.x), bootstrapDraws, seed, func(index []int) float64 {
		d := correlation{name: c.name}
		for _, i := range index {
			d.x, d.y = append(d.x, c.x[i]), append(d.y, c.y[i])
		}
		return d.Value()
	})
}
