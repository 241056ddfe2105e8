package tagger

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// item is a sequence with its gold labels; −1 is not known and teaches nothing.
type item struct {
	seq   sequence
	gold  []int16
	fixed func(i int) int16 // what prediction will not decide either; nil nothing
	rows  []int32           // of the emitted features of all steps
	ends  []int32           // where those of each step end
}

// perceptron learns a model: the averaged perceptron (Collins, Discriminative
// Training Methods for Hidden Markov Models, EMNLP 2002) with greedy decoding.
// It runs over the training data with its own predictions as the labels before,
// so that it learns to go on after its own mistakes. Sums are of integers and
// exact.
type perceptron struct {
	model  *model
	w      []int32 // [features, labels] current weights
	u      []int64 // Σ of step · update, from which the average follows
	step   int64
	items  []*item
	labels int
}

// newPerceptron collects the features that occur at least least times, those of
// context with the gold labels.
func newPerceptron(labels []string, items []*item, least int) *perceptron {
	counts := map[uint32]int32{}
	var buf []uint32
	for _, it := range items {
		gold := make([]int16, len(it.gold))
		for i, g := range it.gold {
			gold[i] = max(g, 0)
		}
		for i := range it.gold {
			buf = it.seq.context(i, gold, it.seq.emit(i, buf[:0]))
			for _, h := range buf {
				counts[h]++
			}
		}
	}
	m := &model{labels: labels}
	for h, n := range counts {
		if int(n) >= least {
			m.hashes = append(m.hashes, h)
		}
	}
	slices.Sort(m.hashes)
	m.prepare()
	p := &perceptron{model: m, items: items, labels: len(labels)}
	p.w, p.u = make([]int32, len(m.hashes)*len(labels)), make([]int64, len(m.hashes)*len(labels))
	for _, it := range items {
		for i := range it.gold {
			for _, h := range it.seq.emit(i, buf[:0]) {
				if row := m.index.row(h); row >= 0 {
					it.rows = append(it.rows, row)
				}
			}
			it.ends = append(it.ends, int32(len(it.rows)))
		}
	}
	return p
}

// epoch runs once over the items in an order drawn from rng.
func (p *perceptron) epoch(ctx context.Context, rng *rand.Rand) error {
	var w scratch
	rows := make([]int32, 0, 128)
	w.scores = make([]int32, p.labels)
	for n, k := range rng.Perm(len(p.items)) {
		if n%64 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		it := p.items[k]
		w.labels = slices.Grow(w.labels[:0], len(it.gold))[:len(it.gold)]
		from := int32(0)
		for i, gold := range it.gold {
			rows = append(rows[:0], it.rows[from:it.ends[i]]...)
			from = it.ends[i]
			if it.fixed != nil {
				if l := it.fixed(i); l >= 0 {
					w.labels[i] = l
					continue
				}
			}
			w.features = it.seq.context(i, w.labels, w.features[:0])
			for _, h := range w.features {
				if row := p.model.index.row(h); row >= 0 {
					rows = append(rows, row)
				}
			}
			clear(w.scores)
			for _, r := range rows {
				for l, x := range p.w[int(r)*p.labels : (int(r)+1)*p.labels] {
					w.scores[l] += x
				}
			}
			forbidden := p.model.forbid(w.labels, i)
			guess := best(w.scores, forbidden)
			w.labels[i] = guess
			p.step++
			// Inside an entity whose beginning was missed the gold label cannot
			// be chosen any more: no weight is to blame here.
			reachable := gold >= 0 && (forbidden == nil || !forbidden[gold])
			if reachable && gold != guess {
				for _, r := range rows {
					p.update(int(r)*p.labels+int(gold), 1)
					p.update(int(r)*p.labels+int(guess), -1)
				}
			}
		}
	}
	return nil
}

func (p *perceptron) update(at int, by int32) {
	p.w[at] += by
	p.u[at] += p.step * int64(by)
}

// precision is what an averaged weight of 1 becomes in a model.
const precision = 64

// average returns the model of the average of the weights over all steps so
// far. Weights that round to zero, and features without any, are left out.
func (p *perceptron) average() *model {
	m := &model{labels: p.model.labels, first: []int32{0}}
	for row, h := range p.model.hashes {
		n := len(m.weights)
		for l := range p.labels {
			at := row*p.labels + l
			if p.w[at] == 0 && p.u[at] == 0 {
				continue
			}
			avg := float64(p.w[at]) - float64(p.u[at])/float64(p.step+1)
			v := math.Round(avg * precision)
			if v = max(-math.MaxInt16, min(math.MaxInt16, v)); v != 0 {
				m.weights = append(m.weights, weight{int16(l), int16(v)})
			}
		}
		if len(m.weights) > n {
			m.hashes, m.first = append(m.hashes, h), append(m.first, int32(len(m.weights)))
		}
	}
	m.prepare()
	return m
}

// learn trains for a number of epochs. score, where not nil, is asked for the
// quality of the model after each one, and the first best of them is kept.
func learn(ctx context.Context, stage string, labels []string, items []*item, opts Options, score func(*model) float64) (*model, error) {
	p := newPerceptron(labels, items, opts.MinCount)
	var kept *model
	top := math.Inf(-1)
	for e := range opts.Epochs {
		rng := rand.New(rand.NewPCG(opts.Seed, uint64(hash(stage))<<32|uint64(e)))
		if err := p.epoch(ctx, rng); err != nil {
			return nil, fmt.Errorf("tagger: stopped in epoch %d of %s: %w", e+1, stage, err)
		}
		r := Progress{Stage: stage, Epoch: e + 1, Epochs: opts.Epochs}
		if score != nil {
			m := p.average()
			r.Dev, r.Scored = score(m), true
			if r.Dev > top {
				top, kept = r.Dev, m
			}
		}
		if opts.Progress != nil {
			opts.Progress(r)
		}
	}
	if kept == nil {
		kept = p.average()
	}
	return kept, nil
}
