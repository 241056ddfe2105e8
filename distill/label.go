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

// Labels says what one teacher's labels of the data are, and what they take.
type Labels struct {
	// Task and Width are the teacher's; Width is 0 where it is not declared.
	Task  onnx.Task `json:"task"`
	Width int       `json:"width"`
	// Form is how they are kept: full, half, or top- and a number.
	Form string `json:"form"`
	// Batches and Rows are how many there are in all. Rows of masked text are
	// counted in its first epoch, and the others taken to have as many.
	Batches int `json:"batches"`
	Rows    int `json:"rows"`
	// Bytes is what all of them take on disk.
	Bytes int64 `json:"bytes"`
	// Kept is how many of the batches the cache has.
	Kept int `json:"kept"`
	// Computed is how many Label has asked the teacher for.
	Computed int `json:"computed"`
}

// Label fills [Config].Cache with the labels that a run under the same settings
// reads, so that it need not run the teacher: those of Task under a teacher of
// whole texts or of tokens, those of Text (or Task) at the masked positions of
// the run's batches under a masked language model. Of the settings these count:
// MaxLength; under teachers of tokens and masked language models Batch,
// BatchTokens and the tokenizer, which must be the student's; under masked
// language models also Seed, the length of the run, Form and the settings of
// [Denoise] and [SOP] in Loss. What the cache has is not computed again, so that
// a run that is stopped, however it ends, goes on where it was.
//
// plan, if not nil, is told of each teacher's labels before the first is
// computed; its error ends Label and is returned, with what it was told.
//
// Errors: settings that cannot work, and everything that [teacher.New] and
// [teacher.Teacher.Logits] report; a full disk is an error here.
func Label(ctx context.Context, c Config, plan func([]Labels) error) ([]Labels, error) {
	s, err := c.labelled()
	if err != nil {
		return nil, err
	}
	var out []Labels
	for _, u := range s.tutors {
		l, err := u.plan(s)
		if err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	if plan != nil {
		if err := plan(out); err != nil {
			return out, err
		}
	}
	for i, u := range s.tutors {
		u.opts.Warn = nil
		if u.teacher, err = teacher.New(u.model, u.opts); err != nil {
			return out, err
		}
		err = c.fill(ctx, s, u)
		out[i].Width = u.teacher.Width()
		_, out[i].Computed = u.teacher.Counts()
		out[i].Kept = u.teacher.Cached()
		if err = errors.Join(err, u.teacher.Close()); err != nil {
			return out, err
		}
	}
	return out, nil
}

// labelled makes the stream that the teachers label, as a run would have it.
func (c *Config) labelled() (*stream, error) {
	if c.Teacher == nil || c.Cache == "" || c.Task == nil && c.Text == nil {
		return nil, errors.New("distill: labelling needs a teacher, texts and a cache directory")
	}
	task := teacher.TaskOf(c.Teacher)
	kind := kindOf(task)
	if kind == "" {
		_, err := teacher.New(c.Teacher, teacher.Options{}) // says what is wrong
		return nil, errors.Join(err, fmt.Errorf("distill: what the teacher answers is not known"))
	}
	view := Clean
	if task == onnx.MaskedLM {
		view = Masked
	} else if c.Task == nil {
		c.Task = c.Text
	}
	loss := Sum{Scale(1, SoftLabels{Tokens: view == Masked})}
	switch task {
	case onnx.Regression:
		loss = Sum{Scale(1, SoftScores{})}
	case onnx.Embedding:
		loss = Sum{Scale(1, VectorCosine{})}
	}
	for _, t := range c.Loss.of(Masked) {
		switch t.Loss.(type) {
		case Denoise, SOP:
			if view == Masked {
				loss = append(loss, t)
			}
		}
	}
	c.Loss = loss
	if err := c.Validate(); err != nil {
		return nil, err
	}
	tok, err := teacher.Tokenizer(c.Teacher, c.any())
	if err != nil {
		return nil, fmt.Errorf("distill: the teacher's tokenizer: %w", err)
	}
	h := &heads{kind: kind, list: []student.Head{{Kind: kind}}}
	if err := c.checkKinds(h); err != nil {
		return nil, err
	}
	s, err := c.newStream(view, h, tok)
	if err != nil {
		return nil, err
	}
	batches := s.perEpoch()
	if view == Masked {
		batches = c.steps(batches) * c.Accumulate
	}
	if err := c.engage(s, h, tok, c.Teacher.Files, batches); err != nil {
		return nil, err
	}
	for _, u := range s.tutors {
		if u.opts.Cache == "" {
			return nil, unfit("a masked language model's labels are kept in a form that you choose: of the K most probable tokens (Form.TopK, --top-k 64), or all as float16 (Form.Half, --half)")
		}
	}
	return s, nil
}

// kindOf is the head of a student under a teacher of that task.
func kindOf(task onnx.Task) student.Kind {
	for _, k := range []student.Kind{student.KindClassification, student.KindRegression, student.KindEmbedding, student.KindNER} {
		if taskOf(k) == task {
			return k
		}
	}
	if task == onnx.MaskedLM {
		return student.KindMaskedLM
	}
	return ""
}

// plan says what a teacher's labels take.
func (u *tutor) plan(s *stream) (Labels, error) {
	a, err := teacher.Describe(u.model)
	if err != nil {
		return Labels{}, err
	}
	l := Labels{Task: a.Task, Width: a.Width, Form: u.opts.Form.String(), Batches: u.batches, Rows: u.view.Len()}
	if s.view == Masked || s.tokens {
		l.Rows = 0
		some := min(u.batches, u.view.Batches(0))
		for i := range some {
			b, err := u.view.Batch(0, i)
			if err != nil {
				return l, fmt.Errorf("distill: %w", err)
			}
			l.Rows += b.R
		}
		l.Rows = int(int64(l.Rows) * int64(u.batches) / int64(max(1, some)))
	}
	l.Bytes = teacher.CacheSize(u.opts.Form, l.Batches, l.Rows, l.Width)
	forms, err := teacher.Kept(u.model, u.opts)
	if err != nil || !slices.Contains(forms, u.opts.Form) {
		return l, err
	}
	t, err := teacher.New(u.model, u.opts)
	if err != nil {
		return l, err
	}
	l.Kept = min(t.Cached(), l.Batches)
	return l, t.Close()
}

// fill asks a teacher for all its labels.
func (c *Config) fill(ctx context.Context, s *stream, u *tutor) error {
	defer func() { s.ahead.Close() }()
	for i := range u.batches {
		var b *corpus.Batch
		var err error
		if s.view == Masked {
			b, err = s.batch(i)
		} else {
			b, err = u.view.Batch(0, i)
		}
		if err != nil {
			return fmt.Errorf("distill: labelling: %w", err)
		}
		_, err = u.teacher.Logits(ctx, b)
		if ctx.Err() != nil {
			return errors.Join(c.unlabelled(ctx.Err(), i, u.batches), u.teacher.Sync())
		}
		if err != nil {
			return errors.Join(atText(err, u.view, i), u.teacher.Sync())
		}
		if c.Labelling != nil {
			c.Labelling(i+1, u.batches)
		}
	}
	return u.teacher.Sync()
}
