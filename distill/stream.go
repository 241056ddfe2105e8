package distill

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/onnx"
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

	teacher *teacher.Teacher // for masked batches: asked batch by batch
	soft    []float32        // for clean batches: [N,C], filled before training
	width   int              // C or V; 0 without a teacher
	taps    []string         // values inside the teacher that losses read
	tapped  *teacher.Teacher // gives them

	ahead  *corpus.Prefetch // nil before the first batch
	next   int              // the batch that it gives
	only   *corpus.Batch    // given in place of every batch: see suspect
	padded bool             // a loss reads more than packed passes compute
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
	s := &stream{view: view, terms: c.Loss.of(view)}
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
			}
		}
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
			return fmt.Errorf("distill: the loss %s learns %s tags, but no word of the data has one; annotate it first, or leave the loss out", t.Loss.Name(), kind)
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

// listen connects the stream to the teacher: clean text is labelled at once,
// as much of it as that many batches read; masked text as it comes.
func (c *Config) listen(ctx context.Context, s *stream, h *heads, tok *corpus.Tokenizer, batches int) (err error) {
	own := tok
	if len(c.Teacher.Files) > 0 {
		if own, err = corpus.LoadTokenizer(c.Teacher.Files); err != nil {
			return fmt.Errorf("distill: the teacher's tokenizer: %w", err)
		}
	}
	opts := teacher.Options{Warn: c.warn}
	if s.view == Masked {
		opts.Taps = s.taps
	}
	switch task := teacher.TaskOf(c.Teacher); {
	case task != onnx.MaskedLM && task != onnx.SequenceClassification:
		// teacher.New says what is wrong
	case s.view == Masked:
		err = checkMasked(task, own, tok)
	default:
		err = c.checkClasses(task, h)
		opts.Cache = c.cache()
	}
	if err != nil {
		return err
	}
	t, err := teacher.New(c.Teacher, opts)
	if err != nil {
		return err
	}
	if s.view == Masked {
		s.teacher = t
		return nil
	}
	if c.Teacher.Config != nil {
		if n, known := len(c.Teacher.Config.ID2Label), t.Width(); n > 0 && known > 0 && n != known {
			err := fmt.Errorf("distill: the teacher gives %d logits, but its config.json names %d classes; correct id2label", known, n)
			err = errors.Join(err, t.Close())
			if c.Cache == "" && c.Checkpoint != "" { // labels without a use
				err = errors.Join(err, removeAll(c.cache(), "logits-*.log"))
			}
			return err
		}
	}
	wanted, err := s.wanted(batches)
	if err == nil {
		err = c.label(ctx, s, t, own, wanted)
	}
	if n := len(h.list[0].Labels); err == nil && n != 0 && n != s.width {
		err = fmt.Errorf("distill: the teacher has %d classes and the student %d", s.width, n)
	}
	return errors.Join(err, t.Close())
}

// checkMasked refuses a teacher whose logits do not speak of the student's tokens.
func checkMasked(task onnx.Task, own, tok *corpus.Tokenizer) error {
	if task != onnx.MaskedLM {
		return fmt.Errorf("distill: soft labels of tokens need a masked-LM teacher, and this one is a classifier; leave Tokens out")
	}
	if !sameTokens(own, tok) {
		return fmt.Errorf("distill: teacher and student have different vocabularies (%d and %d tokens), so their token logits cannot be compared; give the student the teacher's tokenizer", own.VocabSize(), tok.VocabSize())
	}
	return nil
}

// checkClasses refuses a teacher whose classes are not the student's.
func (c *Config) checkClasses(task onnx.Task, h *heads) error {
	if task != onnx.SequenceClassification || h.kind != student.KindClassification {
		return fmt.Errorf("distill: soft labels of sequences need a classifier as teacher and as student; the teacher is %v, the student's primary head %s", task, h.kind)
	}
	if c.Teacher.Config == nil {
		return nil
	}
	theirs, ours := c.Teacher.Config.ID2Label, h.list[0].Labels
	switch {
	case len(theirs) == 0 || len(ours) == 0:
	case len(theirs) != len(ours):
		return fmt.Errorf("distill: the teacher has %d classes and the student %d", len(theirs), len(ours))
	case !slices.Equal(theirs, ours):
		return fmt.Errorf("distill: the teacher's classes are %q and the student's %q; make id2label agree in both config.json", theirs, ours)
	}
	return nil
}

// wanted lists the examples that the first batches read, in order; nil is all.
func (s *stream) wanted(batches int) ([]int, error) {
	if batches >= s.perEpoch() {
		return nil, nil
	}
	out := []int{}
	for k := range batches {
		b, err := s.source.Batch(0, k)
		if err != nil {
			return nil, fmt.Errorf("distill: %w", err)
		}
		for _, n := range b.Index {
			if n >= 0 {
				out = append(out, n)
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

// label fills soft with the teacher's logits for the wanted examples (nil is
// all), tokenized as the teacher wants it. Batches are in the corpus's own
// order, so that the values do not depend on where a training run stands.
func (c *Config) label(ctx context.Context, s *stream, t *teacher.Teacher, tok *corpus.Tokenizer, wanted []int) error {
	data := c.Task
	if wanted != nil {
		var err error
		if data, err = corpus.Subset(data, wanted); err != nil {
			return fmt.Errorf("distill: labelling: %w", err)
		}
	}
	opts := corpus.ViewOptions{BatchSize: labelBatch, MaxLength: min(c.MaxLength, teacher.MaxLength(c.Teacher, c.MaxLength))}
	v, err := corpus.NewTaskView(data, tok, opts)
	if err != nil {
		return fmt.Errorf("distill: labelling: %w", err)
	}
	v = v.Sequential()
	batches := v.Batches(0)
	for i := range batches {
		b, err := v.Batch(0, i)
		if err != nil {
			return fmt.Errorf("distill: labelling: %w", err)
		}
		z, err := t.Logits(ctx, b)
		if ctx.Err() != nil {
			return errors.Join(c.unlabelled(ctx.Err(), i, batches), t.Sync())
		}
		if err != nil {
			return errors.Join(err, t.Sync())
		}
		if s.soft == nil {
			s.width = t.Width()
			s.soft = make([]float32, c.Task.Len()*s.width)
		}
		for row, at := range b.Index {
			if at < 0 {
				continue
			}
			if wanted != nil {
				at = wanted[at]
			}
			copy(s.soft[at*s.width:(at+1)*s.width], z[row*s.width:])
		}
		if c.Labelling != nil {
			c.Labelling(i+1, batches)
		}
	}
	return t.Sync()
}

// unlabelled says what is kept when a run ends before the teacher has labelled everything.
func (c *Config) unlabelled(cause error, done, batches int) error {
	if c.cache() == "" {
		return fmt.Errorf("distill: stopped while the teacher labelled the data, after batch %d of %d, which are lost without a cache or checkpoint directory: %w", done, batches, cause)
	}
	return fmt.Errorf("distill: stopped while the teacher labelled the data, after batch %d of %d; the labels are in %s: run the same command to go on: %w", done, batches, c.cache(), cause)
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

// logits are the teacher's for a batch.
func (s *stream) logits(ctx context.Context, b *corpus.Batch) ([]float32, error) {
	if s.view == Masked {
		z, err := s.teacher.Logits(ctx, b)
		if err != nil {
			return nil, err
		}
		s.width = s.teacher.Width()
		return z, nil
	}
	out := make([]float32, b.B*s.width)
	for i, n := range b.Index {
		if n >= 0 {
			copy(out[i*s.width:(i+1)*s.width], s.soft[n*s.width:])
		}
	}
	return out, nil
}

// rowWeights tells rows that count from padding.
func (s *stream) rowWeights(b *corpus.Batch) []float32 {
	n, real := b.B, func(i int) bool { return b.Index[i] >= 0 }
	if s.view == Masked {
		n, real = b.R, func(i int) bool { return b.MLM[i] >= 0 }
	}
	w := make([]float32, n)
	for i := range w {
		if real(i) {
			w[i] = 1
		}
	}
	return w
}
