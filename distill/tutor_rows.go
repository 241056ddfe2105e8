package distill

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/teacher"
)

// label fills soft with the teacher's rows for all it is to label.
func (c *Config) label(ctx context.Context, s *stream, u *tutor, batches int) error {
	if s.tokens {
		u.rows = map[[16]byte]int{}
	}
	start := time.Now()
	for i := range batches {
		b, err := u.view.Batch(0, i)
		if err != nil {
			return fmt.Errorf("distill: labelling: %w", err)
		}
		z, err := u.teacher.Logits(ctx, b)
		if ctx.Err() != nil {
			return errors.Join(c.unlabelled(ctx.Err(), i, batches), u.teacher.Sync())
		}
		if err != nil {
			return errors.Join(atText(err, u.view, i), u.teacher.Sync())
		}
		width := u.teacher.Width()
		z = u.inOrder(z, width)
		if s.tokens {
			u.addTokens(b, z, width)
		} else {
			if u.soft == nil {
				u.soft = make([]float32, c.Task.Len()*width)
			}
			u.addTexts(b, z, width)
		}
		if c.Labelling != nil {
			c.Labelling(i+1, batches)
		}
		u.done++
		if u.each = time.Since(start) / time.Duration(u.done); i == 0 && batches > 1 {
			start, u.done = time.Now(), 0 // the first also prepares the model
		}
	}
	return u.teacher.Sync()
}

// atText adds to the error of a teacher that a number of batch k is not finite
// where the text was read from.
func atText(err error, v *corpus.View, k int) error {
	var bad *teacher.NotFiniteError
	if !errors.As(err, &bad) {
		return err
	}
	p, lost := v.Place(k, bad.Row)
	if lost != nil || p.Example < 0 {
		return err
	}
	return fmt.Errorf("distill: %s, %q: %w", p.Where, p.Excerpt, err)
}

// inOrder puts the classes of rows into the student's order.
func (u *tutor) inOrder(z []float32, width int) []float32 {
	if u.order == nil {
		return z
	}
	out := make([]float32, len(z))
	for at := 0; at < len(z); at += width {
		for k, from := range u.order {
			out[at+k] = z[at+from]
		}
	}
	return out
}

// addTexts keeps the rows of whole texts by the number of the example.
func (u *tutor) addTexts(b *corpus.Batch, z []float32, width int) {
	for row, at := range b.Index {
		if at < 0 {
			continue
		}
		if u.wanted != nil {
			at = u.wanted[at]
		}
		copy(u.soft[at*width:(at+1)*width], z[row*width:])
	}
}

// addTokens keeps the rows of tokens by the sequence that they are of.
func (u *tutor) addTokens(b *corpus.Batch, z []float32, width int) {
	for _, q := range sequences(b) {
		if _, ok := u.rows[q.key]; !ok {
			u.rows[q.key] = len(u.soft) / width
			u.soft = append(u.soft, z[q.first*width:(q.first+q.n)*width]...)
		}
	}
}

// sequenceRows are the selected rows of one sequence of a batch.
type sequenceRows struct {
	key      [16]byte // of its tokens and which of them are selected
	first, n int
}

// sequences lists the sequences of a batch that have rows.
func sequences(b *corpus.Batch) []sequenceRows {
	var out []sequenceRows
	for i := 0; i < b.R && realRow(b, i); {
		q := int(b.Rows[i]) / b.S
		n := i
		for n < b.R && realRow(b, n) && int(b.Rows[n])/b.S == q {
			n++
		}
		h := sha256.New()
		for at := q * b.S; at < (q+1)*b.S && b.Mask[at] != 0; at++ {
			fmt.Fprintf(h, "%d %d ", b.IDs[at], b.Types[at])
		}
		for _, at := range b.Rows[i:n] {
			fmt.Fprintf(h, "%d,", int(at)-q*b.S)
		}
		out = append(out, sequenceRows{[16]byte(h.Sum(nil)), i, n - i})
		i = n
	}
	return out
}

// realRow tells a selected row from the copies of the first one that fill R up.
func realRow(b *corpus.Batch, i int) bool { return i == 0 || b.Rows[i] > b.Rows[i-1] }

// logits are the teachers' rows for a batch, of several teachers their mean.
func (s *stream) logits(ctx context.Context, m *Moment) ([]float32, error) {
	all := make([][]float32, len(s.tutors))
	for i, u := range s.tutors {
		z, err := u.logits(ctx, s, m)
		if err != nil {
			return nil, err
		}
		all[i] = z
	}
	if len(all) == 1 {
		return all[0], nil
	}
	t, err := s.temperature(m.Step, m.Steps)
	if err != nil {
		return nil, err
	}
	return s.mean(all, t), nil
}

// logits are this teacher's rows for a batch.
func (u *tutor) logits(ctx context.Context, s *stream, m *Moment) (z []float32, err error) {
	b := m.Batch
	if s.view == Masked {
		if s.together(u) && b.R > 0 {
			z, m.inner[u.number], err = u.teacher.LogitsAndValues(ctx, b)
		} else {
			z, err = u.teacher.Logits(ctx, b)
		}
		s.learnWidth(u.teacher)
		return z, err
	}
	if !s.tokens {
		out := make([]float32, b.B*s.width)
		for i, n := range b.Index {
			if n >= 0 {
				copy(out[i*s.width:(i+1)*s.width], u.soft[n*s.width:])
			}
		}
		return out, nil
	}
	out := make([]float32, b.R*s.width)
	for _, q := range sequences(b) {
		at, ok := u.rows[q.key]
		if !ok && s.sample {
			continue
		}
		if !ok {
			return nil, fmt.Errorf("distill: the teacher has not labelled a sequence of %s", corpus.Where(s.source.Corpus(), b.Index))
		}
		copy(out[q.first*s.width:(q.first+q.n)*s.width], u.soft[at*s.width:])
	}
	return out, nil
}

// mean is the weighted mean of several teachers' rows. Of logits it is that of
// the distributions softened by T: logits T·log p, whose distribution at T is p.
func (s *stream) mean(all [][]float32, temperature float64) []float32 {
	out := make([]float32, len(all[0]))
	if !s.distributions() {
		for i := range out {
			sum := 0.0
			for k, u := range s.tutors {
				sum += u.share * float64(all[k][i])
			}
			out[i] = float32(sum)
		}
		return out
	}
	p := make([]float64, s.width)
	for at := 0; at < len(out); at += s.width {
		clear(p)
		for k, u := range s.tutors {
			addSoftmax(p, all[k][at:at+s.width], temperature, u.share)
		}
		for j, x := range p {
			out[at+j] = float32(temperature * math.Log(max(x, math.SmallestNonzeroFloat32)))
		}
	}
	return out
}

// addSoftmax adds share·softmax(z/T) to p.
func addSoftmax(p []float64, z []float32, temperature, share float64) {
	top, sum := float64(slices.Max(z)), 0.0
	for _, x := range z {
		sum += math.Exp((float64(x) - top) / temperature)
	}
	for j, x := range z {
		p[j] += share * math.Exp((float64(x)-top)/temperature) / sum
	}
}

// distributions tells whether the teachers' rows are logits.
func (s *stream) distributions() bool {
	task := teacher.TaskOf(s.tutors[0].model)
	return task != onnx.Regression && task != onnx.Embedding
}

// tempered is a loss that softens the teacher's distribution.
type tempered interface {
	temperature(step, steps int) float64
}

// temperature is that of the stream's losses, 1 where they have none. Several
// teachers are mixed at one temperature, so that losses may not differ in it.
func (s *stream) temperature(step, steps int) (float64, error) {
	found := 0.0
	for _, t := range s.terms {
		l, ok := t.Loss.(tempered)
		if !ok {
			continue
		}
		switch at := l.temperature(step, steps); {
		case found == 0:
			found = at
		case found != at:
			return 0, unfit("several teachers are mixed at one temperature, and the losses have %v and %v; give them the same", found, at)
		}
	}
	if found == 0 {
		found = 1
	}
	return found, nil
}

// held is how many numbers the rows that are labelled before training are, once
// all of them are.
func (s *stream) held(texts int) int64 {
	if s.view == Masked || s.width == 0 {
		return 0
	}
	rows := int64(texts)
	if s.tokens {
		rows = int64(s.source.Tokens())
	}
	return rows * int64(s.width) * int64(len(s.tutors))
}
