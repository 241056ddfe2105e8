package distill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/student"
)

// BenchOptions says what [BenchStep] times.
type BenchOptions struct {
	// Shape of the student, a masked language model.
	Shape student.Shape
	// Batch and Length are B and S.
	Batch, Length int
	// Shortest, if not 0, makes the sequences of mixed lengths, evenly spread
	// from Shortest to Length and padded to Length.
	Shortest int
	// Steps are timed, after one that is not. 0 is 5.
	Steps int
	// Seed of weights, tokens and logits.
	Seed uint64
}

// BenchStep times a step of training as [Run] takes it: masked language modelling
// at 15% of the tokens and soft labels at temperature 2 from given logits, forward,
// backward, and AdamW, without dropout. bench/torch-train.py does the same in PyTorch.
//
// Errors: a shape that is impossible, sizes that are not positive, more tokens
// than positions. When ctx ends its error is returned.
func BenchStep(ctx context.Context, o BenchOptions) (*eval.Speed, error) {
	if o.Steps == 0 {
		o.Steps = 5
	}
	shape := o.Shape.Defaults()
	if o.Batch < 1 || o.Length < 1 || o.Steps < 1 || o.Shortest < 0 || o.Shortest > o.Length {
		return nil, fmt.Errorf("distill: bench: %d steps of %d sequences of %d tokens, the shortest %d; give at least 1 of each, and a shortest that is not over the longest", o.Steps, o.Batch, o.Length, o.Shortest)
	}
	if o.Length > shape.Positions {
		return nil, fmt.Errorf("distill: bench: sequences of %d tokens for %d positions; choose a shorter length", o.Length, shape.Positions)
	}
	if shape.Vocab < 2 {
		return nil, errors.New("distill: bench: the vocabulary must have at least 2 tokens")
	}
	start := time.Now()
	t, err := newBenchTrainer(shape, o)
	if err != nil {
		return nil, err
	}
	b, soft := benchBatch(shape, o)
	s := &stream{view: Masked, width: shape.Vocab, terms: t.cfg.Loss, indices: []int{0, 1}, tags: MaskedWords}
	m := &Moment{Batch: b, stream: s, soft: soft}
	g, err := t.compile(s, m)
	if err != nil {
		return nil, err
	}
	feed, err := t.feed(g, m, 0)
	if err != nil {
		return nil, err
	}
	load := time.Since(start)
	var runs []time.Duration
	for i := range o.Steps + 1 {
		if i == 1 {
			runtime.GC()
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		begin := time.Now()
		t.program.ZeroGrad()
		if _, err := g.pass.Run(feed); err != nil {
			return nil, fmt.Errorf("distill: bench: %w", err)
		}
		if _, err := t.update(); err != nil {
			return nil, err
		}
		if t.step++; i > 0 {
			runs = append(runs, time.Since(begin))
		}
	}
	speed := &eval.Speed{Model: "training step of " + shape.String(), Batch: o.Batch, Seq: o.Length, LoadMS: eval.Float(load.Milliseconds())}
	if o.Shortest > 0 {
		speed.Lengths = fmt.Sprintf("%d-%d", o.Shortest, o.Length)
	}
	tokens := 0
	for _, m := range b.Mask {
		tokens += int(m)
	}
	speed.Times(runs, tokens)
	return speed, nil
}

// newBenchTrainer makes a trainer without data.
func newBenchTrainer(shape student.Shape, o BenchOptions) (*trainer, error) {
	m, err := student.New(shape, []student.Head{student.MaskedLM()}, o.Seed)
	if err != nil {
		return nil, err
	}
	c := Default()
	c.Loss = Sum{Scale(1, Denoise{}), Scale(1, SoftLabels{Temperature: 2, Tokens: true})}
	c.LearningRate, c.Decay, c.ClipNorm, c.Warmup = 1e-4, Constant, 0, 0
	t := &trainer{cfg: &c, model: m, steps: o.Steps + 1, shapes: map[shapeKey]*Graph{}}
	if t.heads, err = readHeads(m); err != nil {
		return nil, err
	}
	if t.program, err = autodiff.New(m, autodiff.Options{Rows: t.heads.rows}); err != nil {
		return nil, fmt.Errorf("distill: bench: %w", err)
	}
	t.params = t.program.Params()
	for _, p := range t.params {
		t.first = append(t.first, make([]float32, len(p.Value)))
		t.second = append(t.second, make([]float32, len(p.Value)))
	}
	return t, nil
}

// benchBatch draws tokens, picks 15% of them, and draws a teacher's logits for those.
func benchBatch(shape student.Shape, o BenchOptions) (*corpus.Batch, []float32) {
	rng := rand.New(rand.NewPCG(o.Seed, 1))
	n := o.Batch * o.Length
	b := &corpus.Batch{B: o.Batch, S: o.Length, IDs: make([]int64, n), Mask: make([]int64, n), Types: make([]int64, n)}
	var real []int
	for i, length := range eval.SpreadLengths(o.Batch, o.Shortest, o.Length) {
		for j := range length {
			at := i*o.Length + j
			b.IDs[at], b.Mask[at] = rng.Int64N(int64(shape.Vocab)), 1
			real = append(real, at)
		}
	}
	rng.Shuffle(len(real), func(i, j int) { real[i], real[j] = real[j], real[i] })
	picked := real[:max(1, len(real)*15/100)]
	slices.Sort(picked)
	for _, at := range picked {
		b.Rows = append(b.Rows, int64(at))
		b.MLM = append(b.MLM, int32(b.IDs[at]))
	}
	b.R = len(picked)
	soft := make([]float32, b.R*shape.Vocab)
	for i := range soft {
		soft[i] = float32(rng.NormFloat64())
	}
	return b, soft
}
