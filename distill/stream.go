package distill

import (
	"fmt"
	"slices"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/teacher"
)

// stream hands out the batches of one view, epoch after epoch, each with the
// teacher's logits where a loss wants them. What batch k is depends on the
// seed and k alone.
type stream struct {
	view    View
	terms   Sum
	indices []int // of the terms within Config.Loss
	source  *corpus.View

	tokens bool               // clean rows are tokens, not texts
	run    int                // batches of the whole run
	sample bool               // only some texts are labelled, see listen
	tutors []*tutor           // the teachers, where a loss reads them
	width  int                // of their rows; 0 without a teacher
	taps   [][]string         // values inside each teacher that losses read
	tapped []*teacher.Teacher // give them; nil where there are none

	ahead  *corpus.Prefetch // nil before the first batch
	next   int              // the batch that it gives
	trial  bool             // measures, see devLoss
	only   *corpus.Batch    // given in place of every batch: see suspect
	padded bool             // a loss reads more than packed passes compute
	tags   Positions        // where POS and NER are learned
}

const (
	// rowMultiple rounds R up, so that batches share few shapes.
	rowMultiple = 32
	// labelBatch is the number of texts that the teacher labels at a time.
	labelBatch = 32
)

// prefetched is how many batches are made while one is in use.
const prefetched = 2

// newStream prepares a view; nil if no loss reads it.
func (c *Config) newStream(view View, h *heads, tok *corpus.Tokenizer) (*stream, error) {
	s := &stream{view: view, terms: c.Loss.of(view), tags: MaskedWords}
	if len(s.terms) == 0 {
		return nil, nil
	}
	for i, t := range c.Loss {
		if t.Loss.View() == view && t.Weight > 0 {
			s.indices = append(s.indices, i)
		}
	}
	opts := corpus.ViewOptions{
		BatchSize: c.Batch, BatchTokens: c.BatchTokens, MaxLength: c.MaxLength, RowMultiple: rowMultiple, Seed: c.Seed, FullBatches: true,
		POSTags: h.labels(student.KindPOS, c.POSTags), NERTags: h.labels(student.KindNER, c.NERTags),
	}
	var err error
	if view == Clean {
		opts.TokenLabels = perToken(h.kind)
		s.tokens = opts.TokenLabels
		if err := s.checkTags(c.Task, h.kind); err != nil {
			return nil, err
		}
		var data corpus.Corpus
		if data, err = matchLabels(c.Task, h); err != nil {
			return nil, err
		}
		s.source, err = corpus.NewTaskView(data, tok, opts)
	} else {
		if err := s.checkTags(c.text(), h.kind); err != nil {
			return nil, err
		}
		for _, t := range s.terms {
			switch l := t.Loss.(type) {
			case Denoise:
				opts.Mask = l.masks()
			case SOP:
				opts.SentencePairs = true
			case NSP:
				opts.NextSentence = true
			}
		}
		s.tags = c.tagPositions()
		opts.RowsAll, opts.FirstPieces = s.tags != MaskedWords, s.tags == FirstPieces
		s.source, err = corpus.NewDenoiseView(c.text(), tok, opts)
	}
	if err != nil {
		return nil, fmt.Errorf("distill: %w", err)
	}
	return s, nil
}

// checkTags refuses to learn tags from text that has none.
func (s *stream) checkTags(data corpus.Corpus, primary student.Kind) error {
	for _, t := range s.terms {
		var kind student.Kind
		switch t.Loss.(type) {
		case POS:
			kind = student.KindPOS
		case NER:
			kind = student.KindNER
		case HardLabels:
			kind = primary
		}
		if (kind != student.KindPOS && kind != student.KindNER) || t.Weight == 0 {
			continue
		}
		found, err := tagged(data, kind)
		if err != nil {
			return fmt.Errorf("distill: %w", err)
		}
		if !found {
			return unfit("the loss %s learns %s tags, but no word of the data has one; annotate it first, or leave the loss out", t.Loss.Name(), kind)
		}
	}
	return nil
}

// tagged reports whether any word has a part of speech, or an entity tag.
func tagged(data corpus.Corpus, kind student.Kind) (bool, error) {
	for i := range data.Len() {
		e, err := data.At(i)
		if err != nil {
			return false, err
		}
		if kind == student.KindNER && e.Tokens != nil && slices.ContainsFunc(e.Tokens.Tags, func(tag string) bool { return tag != "" }) {
			return true, nil
		}
		for _, w := range e.Words {
			if kind == student.KindPOS && w.POS != "" || kind == student.KindNER && w.Entity != "" {
				return true, nil
			}
		}
	}
	return false, nil
}

// matchLabels numbers the corpus's labels as the model does.
func matchLabels(data corpus.Corpus, h *heads) (corpus.Corpus, error) {
	if h.kind != student.KindClassification || len(data.Labels()) == 0 || len(h.list[0].Labels) == 0 {
		return data, nil
	}
	if slices.Equal(data.Labels(), h.list[0].Labels) {
		return data, nil
	}
	out, err := corpus.WithLabels(data, h.list[0].Labels)
	if err != nil {
		return nil, fmt.Errorf("distill: %w", err)
	}
	return out, nil
}

// taught reports whether one of the stream's losses reads the teacher.
func (s *stream) taught() bool {
	return slices.ContainsFunc(s.terms, func(t Term) bool { _, ok := t.Loss.(Taught); return ok })
}

// perEpoch is the number of batches of an epoch.
func (s *stream) perEpoch() int { return s.source.Batches(0) }

// batch returns batch k, counted over all epochs.
func (s *stream) batch(k int) (*corpus.Batch, error) {
	if s.only != nil {
		return s.only, nil
	}
	if s.ahead == nil || k != s.next {
		s.ahead.Close()
		s.ahead = s.source.Prefetch(k, prefetched)
	}
	s.next = k + 1
	return s.ahead.Next()
}

// rowsOf is how many rows the losses on the primary output have.
func (s *stream) rowsOf(b *corpus.Batch) int {
	if s.view == Masked || s.tokens {
		return b.R
	}
	return b.B
}

// rowWeights tells rows that count from padding.
func (s *stream) rowWeights(b *corpus.Batch) []float32 {
	n, real := b.B, func(i int) bool { return b.Index[i] >= 0 }
	switch {
	case s.view == Masked:
		n, real = b.R, func(i int) bool { return b.MLM[i] >= 0 }
	case s.tokens:
		n, real = b.R, func(i int) bool { return realRow(b, i) }
	}
	w := make([]float32, n)
	for i := range w {
		if real(i) {
			w[i] = 1
		}
	}
	return w
}

// softWeights are rowWeights for soft labels at those positions: under a token
// classifier the first tokens of words, unless all are asked for.
func (s *stream) softWeights(b *corpus.Batch, at Positions) []float32 {
	w := s.rowWeights(b)
	if s.tokens && at != AllWords {
		for i, first := range b.First {
			if !first {
				w[i] = 0
			}
		}
	}
	return w
}
