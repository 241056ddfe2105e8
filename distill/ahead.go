package distill

import (
	"context"
	"runtime"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/teacher"
)

// question is a batch on which a teacher is heard beside the step before: there is
// one at a time, of the stream that is asked next. What it answers depends on the
// batch alone, so that training has the same bytes without it.
type question struct {
	stream *stream
	k      int
	stop   context.CancelFunc
	alone  func() // all workers are the teacher's from here on
	done   chan struct{}
	moment *Moment
	err    error
}

// overlaps tells whether teachers are heard beside the student's steps. On two
// threads nothing is gained: both are at work as it is.
func (t *trainer) overlaps() bool {
	return !t.cfg.cramped && min(kernel.Threads(), runtime.GOMAXPROCS(0)) > 2
}

// hears reports whether a teacher says something at every step: its labels of
// masked text, from the model or the cache, or values inside it.
func (s *stream) hears() bool {
	return s.looksInside() || s.view == Masked && len(s.tutors) > 0
}

// answered is batch k of a stream at this step, with what the teacher says of it. In
// training the next one is asked for meanwhile; an error of that is one of its own
// step.
func (t *trainer) answered(ctx context.Context, s *stream, k int) (*Moment, error) {
	if !t.training || s.only != nil || !s.hears() || !t.overlaps() {
		return t.hear(ctx, s, t.step, k)
	}
	var m *Moment
	var err error
	if q := t.ahead; q != nil && q.stream == s && q.k == k {
		t.ahead = nil
		q.alone()
		<-q.done
		q.stop()
		m, err = q.moment, q.err
	} else {
		t.forget()
		m, err = t.hear(ctx, s, t.step, k)
	}
	if err == nil {
		t.askAhead(ctx, s, k)
	}
	return m, err
}

// hear takes batch k of a stream and asks the teacher.
func (t *trainer) hear(ctx context.Context, s *stream, step, k int) (*Moment, error) {
	b, err := s.batch(k)
	if err != nil {
		return nil, err
	}
	m := t.moment(s, b, step, k)
	return m, atText(s.ask(ctx, m), s.source, k)
}

// askAhead begins with the question that follows batch k of a stream, unless the
// run ends there.
func (t *trainer) askAhead(ctx context.Context, s *stream, k int) {
	after := false
	for _, next := range t.streams {
		if after && next.hears() {
			t.begin(ctx, next, k)
			return
		}
		after = after || next == s
	}
	if k++; k >= t.steps*t.cfg.Accumulate {
		return
	}
	for _, next := range t.streams {
		if next.hears() {
			t.begin(ctx, next, k)
			return
		}
	}
}

// begin asks for batch k of a stream in a goroutine.
func (t *trainer) begin(ctx context.Context, s *stream, k int) {
	ctx, stop := context.WithCancel(ctx)
	q := &question{stream: s, k: k, stop: stop, alone: kernel.Beside(), done: make(chan struct{})}
	t.ahead = q
	step := k / t.cfg.Accumulate
	go func() {
		defer close(q.done)
		defer q.alone()
		q.moment, q.err = t.hear(ctx, s, step, k)
	}()
}

// forget drops what is asked ahead. Afterwards nobody else uses the streams.
func (t *trainer) forget() {
	if q := t.ahead; q != nil {
		t.ahead = nil
		q.stop()
		q.alone()
		<-q.done
	}
}

// learnWidth notes the width of a teacher's rows where it was not known before its
// first answer.
func (s *stream) learnWidth(t *teacher.Teacher) {
	if s.width == 0 {
		s.width = t.Width()
	}
}

// answerBytes is what the teacher's answers to a batch take.
func (m *Moment) answerBytes() int64 {
	n := len(m.soft)
	if k := len(m.stream.tutors); k > 1 && n > 0 {
		n *= k + 1 // the rows of each, and their mean
	}
	for _, values := range m.inner {
		for _, v := range values {
			n += len(v.Data)
		}
	}
	return 4 * int64(n)
}
