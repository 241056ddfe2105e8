package eval

import (
	"fmt"
	"math"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/kernel"
)

// pairs reports whether the data is pairs with scores: then embeddings are
// scored by the similarity of the two texts.
func (r *runner) pairs() (bool, error) {
	return some(r.data, func(e corpus.Example) bool { return e.Score != nil && e.Pair != "" })
}

// errNoPairs is what a metric of similarity says of other data.
func errNoPairs(metric string) error {
	return fmt.Errorf("eval: metric %s of an embedding compares two texts with their score, and the data has no pairs with scores", metric)
}

// vectorMetrics are the usual ones of an embedding on this data.
func (r *runner) vectorMetrics() (names []string, err error) {
	pairs, err := r.pairs()
	if err != nil {
		return nil, err
	}
	if pairs {
		names = append(names, "spearman", "pearson")
	}
	if !pairs || r.opts.Reference != nil || r.opts.itself {
		names = append(names, "cosine")
	}
	return names, nil
}

// vectorTexts is what the embedding reads: all first texts and then, of pairs
// with scores, all second ones. Other pairs are one text each.
func (r *runner) vectorTexts() (corpus.Corpus, error) {
	pairs, err := r.pairs()
	if !pairs || err != nil {
		return corpus.Unlabeled(r.data), err
	}
	n := r.data.Len()
	out := make([]corpus.Example, 2*n)
	for i := range n {
		e, err := r.data.At(i)
		if err != nil {
			return nil, fmt.Errorf("eval: %w", err)
		}
		out[i] = corpus.Example{Text: e.Text, Label: -1, Origin: e.Origin}
		out[n+i] = corpus.Example{Text: e.Pair, Label: -1, Origin: e.Origin}
	}
	return corpus.FromExamples(out, nil), nil
}

// embed computes the vectors of all texts and scores them.
func (r *runner) embed(p *pass) error {
	var all []float32
	width, batches := 0, p.view.Batches(0)
	for i := range batches {
		b, err := p.view.Batch(0, i)
		if err != nil {
			return fmt.Errorf("eval: %w", err)
		}
		v, err := p.vectors.Logits(r.ctx, b)
		if err != nil {
			return fmt.Errorf("eval: batch %d: %w", i, err)
		}
		if all == nil {
			width = p.vectors.Width()
			all = make([]float32, p.view.Len()*width)
		}
		for row, n := range b.Index {
			if n >= 0 {
				copy(all[n*width:(n+1)*width], v[row*width:])
			}
		}
		if r.opts.Progress != nil {
			r.opts.Progress(p.name, i+1, batches)
		}
	}
	r.result.Vectors, r.result.Classes = all, width
	for _, s := range p.heads {
		if err := r.scoreVectors(s, all, width); err != nil {
			return err
		}
	}
	return nil
}

// scoreVectors lets the metrics of an embedding see its vectors.
func (r *runner) scoreVectors(s *scored, all []float32, width int) error {
	n := r.data.Len()
	for _, m := range s.metrics {
		if m.Name() == "cosine" {
			ref := r.opts.Reference
			switch {
			case ref == nil && r.opts.itself:
				ref = r.result
			case ref == nil:
				return fmt.Errorf("eval: an embedding is measured by its cosine with another model's; compare it with its teacher, or give pairs with scores")
			case ref.Classes != width || len(ref.Vectors) != len(all):
				return fmt.Errorf("eval: vectors of %d numbers cannot be compared by cosine with the first model's of %d", width, ref.Classes)
			}
			s.count = n
			m.Add(Rows{Logits: all, Classes: width, Gold: make([]int32, len(all)/width), Reference: ref.Vectors})
			continue
		}
		rows := Rows{Logits: make([]float32, n), Classes: 1, Gold: make([]int32, n), Target: make([]float32, n)}
		if len(all) != 2*n*width {
			return errNoPairs(m.Name())
		}
		s.count = 0
		for i := range n {
			e, err := r.data.At(i)
			if err != nil {
				return fmt.Errorf("eval: %w", err)
			}
			if e.Score == nil {
				rows.Gold[i] = -1
				continue
			}
			s.count++
			rows.Target[i] = float32(*e.Score)
			rows.Logits[i] = float32(kernel.Cosine(all[i*width:(i+1)*width], all[(n+i)*width:(n+i+1)*width]))
		}
		m.Add(rows)
	}
	return nil
}

// meanCosine is the mean over rows of cos(row, reference).
type meanCosine struct {
	values []float64
}

// MeanCosine is the mean cosine of the angle between a model's vectors and
// another's of the same texts (Rows.Reference).
func MeanCosine([]string) Metric { return &meanCosine{} }

func (m *meanCosine) Name() string { return "cosine" }

func (m *meanCosine) Add(r Rows) {
	if r.Reference == nil {
		return
	}
	r.each(func(i int, row []float32, _ int) {
		m.values = append(m.values, kernel.Cosine(row, r.Reference[i*r.Classes:(i+1)*r.Classes]))
	})
}

func (m *meanCosine) Value() float64 {
	if len(m.values) == 0 {
		return math.NaN()
	}
	sum := 0.0
	for _, v := range m.values {
		sum += v
	}
	return sum / float64(len(m.values))
}

func (m *meanCosine) interval(seed uint64) Interval {
	return Bootstrap(len(m.values), bootstrapDraws, seed, func(index []int) float64 {
		sum := 0.0
		for _, i := range index {
			sum += m.values[i]
		}
		return sum / float64(len(index))
	})
}
