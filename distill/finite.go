package distill

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/autodiff"
)

// NotFiniteError says where training met a loss or a gradient that is not a finite
// number. No weight has been changed by the step.
type NotFiniteError struct {
	// Step counts from 1.
	Step int
	// Loss names the term that is not finite, or whose gradient is not; empty
	// where no single term and example has such a gradient.
	Loss string
	// Parameter is the first one whose gradient is not finite, by the order of
	// the model; empty where it is the loss itself.
	Parameter string
	// Value is the loss, or the norm of the gradient.
	Value float64
	// Examples are the numbers (from 0) of the batch's examples in the corpus.
	Examples []int
	// Example is the first that alone gives a loss or gradient that is not
	// finite, −1 where none does. Where is the place in the files that it was read
	// from (file and line, row or item; of a long document the sentence), or its
	// number, and Text how it begins there.
	Example     int
	Where, Text string
	// Others are the places of further examples of the same batch that do so.
	Others []string

	batch string // where the batch's examples were read from
}

func (e *NotFiniteError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "distill: step %d: ", e.Step)
	switch {
	case e.Parameter == "" && e.Loss != "":
		fmt.Fprintf(&b, "the loss %s is %v", e.Loss, e.Value)
	case e.Loss != "":
		fmt.Fprintf(&b, "the norm of the gradient of the loss %s is %v, first in the parameter %s", e.Loss, e.Value, e.Parameter)
	case e.Parameter != "":
		fmt.Fprintf(&b, "the gradient's norm is %v, first in the parameter %s", e.Value, e.Parameter)
	default:
		fmt.Fprintf(&b, "the gradient's norm is %v", e.Value)
	}
	switch {
	case e.Example >= 0:
		fmt.Fprintf(&b, "; %s, %q, alone gives one", e.Where, e.Text)
		if n := len(e.Others); n > 0 {
			fmt.Fprintf(&b, ", and so do %d more of the batch: %s", n, strings.Join(e.Others[:min(n, 4)], "; "))
		}
	case e.batch != "":
		fmt.Fprintf(&b, "; no example of the batch does so alone: %s", e.batch)
	}
	b.WriteString("; lower the learning rate, or correct the example")
	return b.String()
}

// badGradient names the first parameter whose gradient is not finite.
func (t *trainer) badGradient(norm float64) *NotFiniteError {
	e := &NotFiniteError{Step: t.step + 1, Value: norm, Example: -1}
	for _, p := range t.params {
		if !finite(p.Grad) {
			e.Parameter = p.Name
			break
		}
	}
	return e
}

func finite(x []float32) bool {
	return !slices.ContainsFunc(x, func(v float32) bool { return math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) })
}

// explainLoss completes an error of batch k of a stream where it is a loss that is
// not finite: other errors stay as they are.
func (t *trainer) explainLoss(ctx context.Context, err error, s *stream, k int) error {
	var term *autodiff.NotFiniteError
	if !errors.As(err, &term) || term.Term >= len(s.terms) {
		return err
	}
	e := &NotFiniteError{Step: t.step + 1, Loss: s.terms[term.Term].Loss.Name(), Value: float64(term.Value), Example: -1}
	t.suspect(ctx, e, s, k)
	return e
}

// explainGradient looks for the example behind a gradient that is not finite in
// the batches of the step.
func (t *trainer) explainGradient(ctx context.Context, e *NotFiniteError) error {
	for micro := range t.cfg.Accumulate {
		for _, s := range t.streams {
			if t.suspect(ctx, e, s, t.step*t.cfg.Accumulate+micro); e.Example >= 0 {
				return e
			}
		}
	}
	return e
}

// suspect runs the examples of a batch one by one and notes those that give a
// loss or a gradient that is not finite. Dropout differs from that of the whole
// batch.
func (t *trainer) suspect(ctx context.Context, e *NotFiniteError, s *stream, k int) {
	t.forget() // the run ends here, and the streams are asked for other batches
	b, err := s.batch(k)
	if err != nil {
		return
	}
	e.Examples = append(e.Examples, slices.DeleteFunc(slices.Clone(b.Index), func(n int) bool { return n < 0 })...)
	if e.batch != "" {
		e.batch += "; "
	}
	e.batch += corpus.Where(s.source.Corpus(), b.Index)
	defer func() { s.only = nil }()
	for i, n := range b.Index {
		one := single(b, i)
		if n < 0 || ctx.Err() != nil || b.R > 0 && one.R == 0 {
			continue
		}
		if e.Example >= 0 && slices.Contains(b.Index[:i], n) {
			continue // told of already
		}
		s.only = one
		t.program.ZeroGrad()
		err := t.accumulate(ctx, s, k)
		var term *autodiff.NotFiniteError
		bad := errors.As(err, &term)
		for _, p := range t.params {
			bad = bad || err == nil && !finite(p.Grad)
		}
		if !bad {
			continue
		}
		p, err := s.source.Place(k, i)
		if err != nil {
			continue
		}
		if e.Example >= 0 {
			e.Others = append(e.Others, p.Where)
			continue
		}
		e.Example, e.Where, e.Text = n, p.Where, p.Excerpt
		if e.Loss == "" {
			e.Loss = t.blame(ctx, s, k)
		}
	}
}

// blame names the first term whose gradient alone is not finite; empty where there
// is none. The stream gives the same batch again.
func (t *trainer) blame(ctx context.Context, s *stream, k int) string {
	terms, indices := s.terms, s.indices
	defer func() {
		s.terms, s.indices = terms, indices
		clear(t.shapes)
	}()
	for i, term := range terms {
		s.terms, s.indices = terms[i:i+1], indices[i:i+1]
		clear(t.shapes) // they are of other terms
		t.program.ZeroGrad()
		if err := t.accumulate(ctx, s, k); err != nil {
			continue
		}
		if slices.ContainsFunc(t.params, func(p *Param) bool { return !finite(p.Grad) }) {
			return term.Loss.Name()
		}
	}
	return ""
}

// single is the batch of row i alone.
func single(b *corpus.Batch, i int) *corpus.Batch {
	row := func(x []int64) []int64 { return x[i*b.S : (i+1)*b.S] }
	out := &corpus.Batch{B: 1, S: b.S, Index: b.Index[i : i+1], IDs: row(b.IDs), Mask: row(b.Mask), Types: row(b.Types)}
	out.Labels, out.Order, out.Next, out.Scores = pick(b.Labels, i), pick(b.Order, i), pick(b.Next, i), pick(b.Scores, i)
	for r, at := range b.Rows {
		if at < int64(i*b.S) || at >= int64((i+1)*b.S) {
			continue
		}
		out.Rows = append(out.Rows, at-int64(i*b.S))
		out.MLM, out.POS, out.NER = append(out.MLM, b.MLM[r]), append(out.POS, b.POS[r]), append(out.NER, b.NER[r])
		out.First = append(out.First, pick(b.First, r)...)
	}
	out.R = len(out.Rows)
	return out
}

// pick is element i of a slice that may be empty.
func pick[T any](x []T, i int) []T {
	if len(x) == 0 {
		return nil
	}
	return x[i : i+1]
}
