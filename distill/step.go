package distill

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/autodiff"
)

// oneStep adds the gradients of the step's batches and updates the weights.
func (t *trainer) oneStep(ctx context.Context) (norm float64, err error) {
	t.zeroGrad()
	clear(t.values)
	t.weights = t.shares()
	for micro := range t.cfg.Accumulate {
		k := t.step*t.cfg.Accumulate + micro
		for _, s := range t.streams {
			if err := t.accumulate(ctx, s, k); err != nil {
				return 0, t.explainLoss(ctx, err, s, k)
			}
		}
	}
	if norm, err = t.update(); err != nil {
		var bad *NotFiniteError
		if errors.As(err, &bad) {
			err = t.explainGradient(ctx, bad)
		}
		return 0, err
	}
	t.average()
	t.step++
	return norm, nil
}

// accumulate runs batch k of a stream forward and backward.
func (t *trainer) accumulate(ctx context.Context, s *stream, k int) error {
	m, err := t.answered(ctx, s, k)
	if err != nil {
		return err
	}
	b := m.Batch
	g, err := t.compile(s, m)
	if err != nil {
		return err
	}
	feed, err := t.feed(g, m, k)
	if err != nil {
		return err
	}
	values, err := g.pass.Run(feed)
	if err != nil {
		return fmt.Errorf("distill: step %d: %w", t.step+1, atRow(err, s, b, k))
	}
	for i, v := range values {
		t.values[s.indices[i]] += float64(v) / float64(t.cfg.Accumulate)
		t.learn(s.indices[i], float64(v))
	}
	for _, r := range g.reports {
		t.values[r.index] += *r.value / float64(t.cfg.Accumulate)
	}
	for _, m := range b.Mask {
		t.tokens += m
	}
	return nil
}

// moment is batch k of a stream at a step.
func (t *trainer) moment(s *stream, b *corpus.Batch, step, k int) *Moment {
	m := &Moment{Step: step, Steps: t.steps, owner: t, number: k, stream: s}
	m.Batch, m.pos, m.ner = s.spread(b)
	return m
}

// feed makes what a pass reads at batch k of the stream.
func (t *trainer) feed(g *Graph, m *Moment, k int) (feed autodiff.Feed, err error) {
	b, s := m.Batch, m.stream
	feed = autodiff.Feed{
		Inputs: inputsOf(b),
		Floats: map[string][]float32{}, Ints: map[string][]int32{},
		Seed: t.cfg.Seed<<1 | uint64(s.view), Step: uint64(k),
	}
	for _, name := range slices.Sorted(maps.Keys(g.ints)) {
		if feed.Ints[name], err = g.ints[name](m); err != nil {
			return feed, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(g.floats)) {
		if feed.Floats[name], err = g.floats[name](m); err != nil {
			return feed, err
		}
	}
	shares := t.shares()
	for _, i := range s.indices {
		feed.Weights = append(feed.Weights, float32(shares[i]))
	}
	return feed, nil
}

// shapeKey is what a compiled graph depends on.
type shapeKey struct {
	view    View
	b, s, r int
	tokens  int  // rows of a packed pass, 0 for a padded one
	trial   bool // forward only: see devLoss
}

// computed is how many rows a pass of the shape computes.
func (k shapeKey) computed() int {
	if k.tokens > 0 {
		return k.tokens
	}
	return k.b * k.s
}

// maxShapes bounds the graphs that are kept; batches are few shapes by design.
const maxShapes = 256

// compile returns the graph for a batch, from the cache if it is there.
func (t *trainer) compile(s *stream, m *Moment) (*Graph, error) {
	b := m.Batch
	key := shapeKey{view: s.view, b: b.B, s: b.S, r: b.R, trial: s.trial}
	if !s.padded {
		key.tokens = t.program.Tokens(b.B, b.S, inputsOf(b))
	}
	if g := t.shapes[key]; g != nil {
		return g, nil
	}
	if len(t.shapes) >= maxShapes {
		clear(t.shapes)
	}
	g, err := t.build(s, m, key)
	if key.tokens > 0 && errors.Is(err, autodiff.ErrPadding) {
		s.padded = true // so is every other batch: the losses are the same
		return t.compile(s, m)
	}
	if err != nil {
		return nil, err
	}
	t.shapes[key] = g
	return g, nil
}

// build makes the graph of a shape.
func (t *trainer) build(s *stream, m *Moment, key shapeKey) (g *Graph, err error) {
	var pass *autodiff.Pass
	if key.tokens > 0 {
		pass, err = t.program.NewPackedPass(key.b, key.s, key.r, key.tokens)
	} else {
		pass, err = t.program.NewPass(key.b, key.s, key.r)
	}
	if err != nil {
		return nil, fmt.Errorf("distill: %w", err)
	}
	if key.trial {
		pass.WithoutDropout()
	}
	g = &Graph{owner: t, pass: pass, b: key.b, s: key.s, r: key.r, pair: t.pair, inner: shapesOf(m), heads: t.heads, masked: s.view == Masked, tokens: s.tokens, spread: s.tags != MaskedWords, width: s.width, teachers: len(s.tutors),
		floats: map[string]func(*Moment) ([]float32, error){}, ints: map[string]func(*Moment) ([]int32, error){}, held: map[string]int{}}
	nodes := make([]*gorgonia.Node, len(s.terms))
	for i, term := range s.terms {
		g.term = s.indices[i]
		if nodes[i], err = term.Loss.Build(g); err != nil {
			return nil, fmt.Errorf("distill: loss %s: %w", term.Loss.Name(), err)
		}
	}
	compile := pass.Compile
	if key.trial {
		compile = pass.CompileForward
	}
	if err := compile(nodes); err != nil {
		return nil, fmt.Errorf("distill: %w", err)
	}
	return g, nil
}

// inputsOf are the model's inputs for a batch.
func inputsOf(b *corpus.Batch) map[string][]int64 {
	in := map[string][]int64{"input_ids": b.IDs, "attention_mask": b.Mask, "token_type_ids": b.Types}
	if b.R > 0 {
		in["rows"] = b.Rows
	}
	return in
}
