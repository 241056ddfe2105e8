package distill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/teacher"
)

// tutor is a teacher as one stream hears it. Whole texts are labelled before
// training, masked ones batch by batch.
type tutor struct {
	number  int // 0 is Config.Teacher
	model   *onnx.Model
	teacher *teacher.Teacher
	opts    teacher.Options
	share   float64
	order   []int // the teacher's class for each of the student's; nil: the same

	view    *corpus.View // what is labelled
	batches int          // of the view; in training on masked text, as many as it reads
	wanted  []int        // the examples of the view, nil for all

	soft []float32        // [rows, width]; nil where batches are asked for one by one
	rows map[[16]byte]int // the first row of each sequence, where rows are tokens

	shared bool // the teacher is another stream's

	done  int           // batches that were labelled
	lines int           // rows of the whole view, about as many where they are tokens
	each  time.Duration // for one of them
}

// String is everything that the labels depend on.
func (u *tutor) String() string {
	return fmt.Sprintf("%s %s %v %v %s %d", u.opts.Source.Model, u.opts.Form, u.share, u.order, u.opts.Source.View, len(u.wanted))
}

// teachers lists the teachers with their shares.
func (c *Config) teachers() ([]*onnx.Model, []float64) {
	if c.Teacher == nil {
		return nil, nil
	}
	models := append([]*onnx.Model{c.Teacher}, c.MoreTeachers...)
	shares, total := make([]float64, len(models)), 0.0
	for i := range shares {
		shares[i] = 1
		if c.TeacherWeights != nil {
			shares[i] = c.TeacherWeights[i]
		}
		total += shares[i]
	}
	for i := range shares {
		shares[i] /= total
	}
	return models, shares
}

// engage prepares the teachers that a stream's losses read: all that can be
// wrong is found, and which labels are used is decided, but nothing is labelled.
// files are those of the student's tokenizer.
func (c *Config) engage(s *stream, h *heads, tok *corpus.Tokenizer, files map[string][]byte, batches int) error {
	s.run = batches
	if !s.taught() {
		return nil
	}
	models, shares := c.teachers()
	for i, m := range models {
		if shares[i] == 0 {
			continue // it is there for what losses read inside it
		}
		u, err := c.newTutor(s, h, tok, files, m, batches)
		if err != nil {
			return err
		}
		u.number, u.share = i, shares[i]
		for k, other := range models {
			if k != i {
				u.opts.Beside = append(u.opts.Beside, other.Hash())
			}
		}
		if s.together(u) {
			u.opts.Taps = s.tapsOf(i)
		}
		s.tutors = append(s.tutors, u)
	}
	if len(s.tutors) > 1 {
		if _, err := s.temperature(0, 1); err != nil {
			return err
		}
	}
	return nil
}

// together tells whether one run of a teacher can give its rows and the values
// inside it: its rows are computed as they are needed and taken as they are.
func (s *stream) together(u *tutor) bool {
	return s.view == Masked && u.opts.Cache == "" && u.opts.Form == (teacher.Form{}) && len(s.tapsOf(u.number)) > 0
}

// newTutor prepares one teacher.
func (c *Config) newTutor(s *stream, h *heads, tok *corpus.Tokenizer, files map[string][]byte, m *onnx.Model, batches int) (*tutor, error) {
	u := &tutor{model: m, opts: teacher.Options{Form: c.Form, Wait: true, Warn: c.warn, Notice: c.Notice}}
	own := tok
	var err error
	if len(m.Files) > 0 {
		if own, err = teacher.Tokenizer(m, c.any()); err != nil {
			return nil, fmt.Errorf("distill: the teacher's tokenizer: %w", err)
		}
	}
	if u.order, err = c.checkTask(s, h, m, own, tok); err != nil {
		return nil, err
	}
	u.opts.Source.Model = m.Hash()
	u.opts.Source.Tokenizer = teacher.HashFiles(files)
	switch {
	case s.view == Masked:
		err = c.hearMasked(u, s, batches)
	case s.tokens:
		err = c.hearTokens(u, s, m)
	default:
		if len(m.Files) > 0 {
			u.opts.Source.Tokenizer = teacher.HashFiles(m.Files)
		}
		err = c.hearTexts(u, s, own, batches)
	}
	return u, err
}

// hearTexts lets the teacher label whole texts, tokenized as it wants them:
// as many of them as the batches read. Batches are in the corpus's own order,
// so that the labels do not depend on where a training run stands.
func (c *Config) hearTexts(u *tutor, s *stream, own *corpus.Tokenizer, batches int) error {
	u.opts.Cache = c.cache()
	longest := min(c.MaxLength, teacher.MaxLength(u.model, c.MaxLength))
	use := func(data corpus.Corpus) (kept bool, err error) {
		u.opts.Source.View = fmt.Sprintf("whole texts, at most %d tokens, %d to a batch", longest, labelBatch)
		u.opts.Source.Batches = (data.Len() + labelBatch - 1) / labelBatch
		if u.opts.Cache == "" {
			return false, nil
		}
		if u.opts.Source.Data, err = teacher.HashTexts(data); err != nil {
			return false, fmt.Errorf("distill: %w", err)
		}
		return c.useKept(u)
	}
	data := c.Task
	var err error
	if u.wanted, err = s.wanted(batches); err != nil {
		return err
	}
	if u.wanted != nil {
		if data, err = corpus.Subset(c.Task, u.wanted); err != nil {
			return fmt.Errorf("distill: labelling: %w", err)
		}
		kept, err := use(data)
		if err != nil {
			return err
		}
		if whole, err := c.wholeIsKept(u, kept, use); err != nil {
			return err
		} else if whole {
			u.wanted, data = nil, c.Task
		} else if _, err := use(data); err != nil {
			return err
		}
	} else if _, err = use(data); err != nil {
		return err
	}
	v, err := corpus.NewTaskView(data, own, corpus.ViewOptions{BatchSize: labelBatch, MaxLength: longest})
	if err != nil {
		return fmt.Errorf("distill: labelling: %w", err)
	}
	u.view = v.Sequential()
	u.batches = u.view.Batches(0)
	return nil
}

// wholeIsKept reports whether the cache has the labels of all texts, so that
// those of a part need not be computed.
func (c *Config) wholeIsKept(u *tutor, part bool, use func(corpus.Corpus) (bool, error)) (bool, error) {
	if part || c.Cache == "" {
		return false, nil
	}
	form := u.opts.Form
	kept, err := use(c.Task)
	if !kept || err != nil {
		u.opts.Form = form
		return false, err
	}
	t, err := teacher.New(u.model, u.opts)
	if err != nil {
		return false, err
	}
	complete := t.Cached() >= u.opts.Source.Batches
	if !complete {
		u.opts.Form = form
	}
	return complete, t.Close()
}

// hearTokens lets the teacher label every token of the student's clean sequences.
func (c *Config) hearTokens(u *tutor, s *stream, m *onnx.Model) error {
	u.opts.Cache = c.cache()
	if most := teacher.MaxLength(m, c.MaxLength); most < c.MaxLength {
		return tooLong(most, c.MaxLength)
	}
	u.view = s.source.Sequential()
	u.batches = u.view.Batches(0)
	u.opts.Source.View = fmt.Sprintf("tokens of whole texts, at most %d, %d sequences or %d tokens to a batch", c.MaxLength, c.Batch, c.BatchTokens)
	u.opts.Source.Batches = u.batches
	return c.keepAs(u, c.Task)
}

// tooLong refuses sequences that a teacher which labels tokens cannot read.
func tooLong(most, length int) error {
	return unfit("the teacher takes at most %d tokens, and sequences are up to %d; lower the maximum length (--max-length %d)", most, length, most)
}

// hearMasked lets the teacher label the student's masked batches, as they come.
func (c *Config) hearMasked(u *tutor, s *stream, batches int) error {
	o := s.source.Options()
	if most := teacher.MaxLength(u.model, c.MaxLength); most < c.MaxLength {
		return tooLong(most, c.MaxLength)
	}
	u.view, u.batches = s.source, batches
	if c.Cache == "" {
		return nil
	}
	u.opts.Source.View = fmt.Sprintf("masked texts, at most %d tokens, %d sequences or %d tokens to a batch, rows in %ds, seed %d, masks %+v, two segments: %v", o.MaxLength, o.BatchSize, o.BatchTokens, o.RowMultiple, o.Seed, o.Mask, o.SentencePairs)
	u.opts.Cache = c.Cache
	err := c.keepAs(u, c.text())
	if u.opts.Form == (teacher.Form{}) {
		if kept, bad := teacher.Kept(u.model, u.opts); bad != nil || len(kept) == 0 {
			u.opts.Cache = "" // whole rows of V logits fill a disk: only where asked for
			return errors.Join(err, bad)
		}
	}
	return err
}

// keepAs names the labels in the cache, and takes the form they are kept in.
func (c *Config) keepAs(u *tutor, data corpus.Corpus) (err error) {
	if u.opts.Cache == "" {
		return nil
	}
	if u.opts.Source.Data, err = teacher.HashTexts(data); err != nil {
		return fmt.Errorf("distill: %w", err)
	}
	_, err = c.useKept(u)
	return err
}

// useKept takes the form in which labels are kept, unless one is asked for.
func (c *Config) useKept(u *tutor) (bool, error) {
	forms, err := teacher.Kept(u.model, u.opts)
	if err != nil || len(forms) == 0 {
		return false, err
	}
	if c.Form != (teacher.Form{}) {
		return slices.Contains(forms, c.Form), nil
	}
	u.opts.Form = forms[0]
	return true, nil
}

// listen opens the teachers of a stream and lets them label what is labelled
// before training.
//
// Fewer batches than those of the run are a sample, for an estimate: then only
// about as many texts are labelled, and the others have rows of zeros.
func (c *Config) listen(ctx context.Context, s *stream, h *heads, batches int) error {
	s.sample = batches < s.run
	for _, u := range s.tutors {
		var err error
		if u.teacher, err = teacher.New(u.model, u.opts); err != nil {
			return err
		}
		if err := c.checkWidth(u, s, h); err != nil {
			return c.discard(u, err)
		}
		if s.view == Masked {
			continue
		}
		n := u.batches
		if s.sample {
			n = min(n, max(1, batches*c.Batch/labelBatch))
		}
		if u.lines = u.view.Len(); s.tokens {
			u.lines = u.view.Tokens()
		}
		err = c.label(ctx, s, u, n)
		if err == nil {
			err = c.checkWidth(u, s, h)
		}
		if err = errors.Join(err, u.teacher.Close()); err != nil {
			return err
		}
		u.teacher, u.view = nil, nil // training needs its memory
	}
	return nil
}

// discard closes a teacher that is of no use, and removes labels that no run
// will read.
func (c *Config) discard(u *tutor, err error) error {
	err = errors.Join(err, u.teacher.Close())
	if c.Cache == "" && c.Checkpoint != "" {
		err = errors.Join(err, teacher.RemoveCache(c.cache()))
	}
	return err
}

// close releases the teachers that are asked during training.
func (s *stream) close() {
	for _, u := range s.tutors {
		if u.teacher != nil && s.view == Masked && !u.shared {
			_ = u.teacher.Close() // the labels of the next run: nothing of this one is lost
		}
	}
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

// unlabelled says what is kept when a run ends before the teacher has labelled everything.
func (c *Config) unlabelled(cause error, done, batches int) error {
	if c.cache() == "" {
		return fmt.Errorf("distill: stopped while the teacher labelled the data, after batch %d of %d, which are lost without a cache or checkpoint directory: %w", done, batches, cause)
	}
	return fmt.Errorf("distill: stopped while the teacher labelled the data, after batch %d of %d; the labels are in %s: run the same command to go on: %w", done, batches, c.cache(), cause)
}
