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
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/teacher"
)

// tutor is a teacher as one stream hears it. Whole texts are labelled before
// training, masked ones batch by batch.
type tutor struct {
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

// checkTeachers refuses teachers without a share, and shares without a teacher.
func (c *Config) checkTeachers() error {
	n := len(c.MoreTeachers)
	if n > 0 && c.Teacher == nil {
		return errors.New("distill: there are further teachers but no first one; set Teacher")
	}
	if slices.Contains(c.MoreTeachers, nil) {
		return errors.New("distill: one of the further teachers is missing")
	}
	if w := c.TeacherWeights; w != nil {
		if len(w) != n+1 || c.Teacher == nil {
			return fmt.Errorf("distill: %d weights for %d teachers; give one for each", len(w), n+min(1, n+1))
		}
		for _, x := range w {
			if !(x > 0) || math.IsInf(x, 0) {
				return fmt.Errorf("distill: the weight %v of a teacher is not a number above 0; leave that teacher out, or give it a share", x)
			}
		}
	}
	if c.Form.TopK < 0 || c.Form.TopK > 0 && c.Form.Half {
		return fmt.Errorf("distill: labels are kept either whole, as float16, or of the most probable classes; the form %+v is none of these", c.Form)
	}
	return nil
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
	if len(models) > 1 {
		if _, err := s.temperature(0, 1); err != nil {
			return err
		}
	}
	for i, m := range models {
		u, err := c.newTutor(s, h, tok, files, m, batches)
		if err != nil {
			return err
		}
		u.share = shares[i]
		s.tutors = append(s.tutors, u)
	}
	if s.view == Masked && s.together() {
		s.tutors[0].opts.Taps = s.taps
	}
	return nil
}

// together tells whether one run of the teacher can give its rows and the
// values inside it: there is one teacher, whose rows are computed as they are
// needed and taken as they are.
func (s *stream) together() bool {
	return len(s.tutors) == 1 && s.tutors[0].opts.Cache == "" && s.tutors[0].opts.Form == (teacher.Form{})
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
		return fmt.Errorf("distill: the teacher takes at most %d tokens, and sequences are up to %d; lower the maximum length", most, c.MaxLength)
	}
	u.view = s.source.Sequential()
	u.batches = u.view.Batches(0)
	u.opts.Source.View = fmt.Sprintf("tokens of whole texts, at most %d, %d sequences or %d tokens to a batch", c.MaxLength, c.Batch, c.BatchTokens)
	u.opts.Source.Batches = u.batches
	return c.keepAs(u, c.Task)
}

// hearMasked lets the teacher label the student's masked batches, as they come.
func (c *Config) hearMasked(u *tutor, s *stream, batches int) error {
	o := s.source.Options()
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

// checkWidth compares the width of a teacher's rows, where it is known, with
// what its config.json, the student and the other teachers say.
func (c *Config) checkWidth(u *tutor, s *stream, h *heads) error {
	width := u.teacher.Width()
	if width == 0 {
		return nil
	}
	if cfg := u.model.Config; cfg != nil && (u.teacher.Task() == onnx.SequenceClassification || u.teacher.Task() == onnx.TokenClassification) {
		if n := len(cfg.ID2Label); n > 0 && n != width {
			return fmt.Errorf("distill: the teacher gives %d logits, but its config.json names %d classes; correct id2label", width, n)
		}
	}
	if s.width != 0 && s.width != width {
		return fmt.Errorf("distill: one teacher gives rows of %d numbers and another of %d, which have no mean; give teachers of one size", s.width, width)
	}
	if h.kind == student.KindEmbedding && s.view == Clean && h.width > 0 && h.width != width {
		return fmt.Errorf("distill: the teacher's vectors have %d numbers and the student's %d, which cannot be compared; give the student's head that width", width, h.width)
	}
	if len(h.list) > 0 && s.view == Clean {
		if n := len(h.list[0].Labels); n != 0 && n != width {
			return fmt.Errorf("distill: the teacher has %d classes and the student %d", width, n)
		}
	}
	s.width = width
	return nil
}

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
			return errors.Join(err, u.teacher.Sync())
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
		z, err := u.logits(ctx, s, m.Batch)
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
func (u *tutor) logits(ctx context.Context, s *stream, b *corpus.Batch) ([]float32, error) {
	if s.view == Masked {
		z, err := u.teacher.Logits(ctx, b)
		if err == nil {
			s.width = u.teacher.Width()
		}
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
			return nil, fmt.Errorf("distill: the teacher has not labelled a sequence of the examples %s", examples(b))
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
			return 0, fmt.Errorf("distill: several teachers are mixed at one temperature, and the losses have %v and %v; give them the same", found, at)
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

// close releases the teachers that are asked during training.
func (s *stream) close() {
	for _, u := range s.tutors {
		if u.teacher != nil && s.view == Masked {
			_ = u.teacher.Close() // the labels of the next run: nothing of this one is lost
		}
	}
}

// checkTask refuses a teacher whose labels are not what the stream's losses
// read, and returns the order of its classes.
func (c *Config) checkTask(s *stream, h *heads, m *onnx.Model, own, tok *corpus.Tokenizer) ([]int, error) {
	task := teacher.TaskOf(m)
	if task == onnx.Unknown {
		return nil, nil // teacher.New says what is wrong
	}
	if s.view == Masked {
		if task != onnx.MaskedLM {
			return nil, fmt.Errorf("distill: soft labels of tokens need a masked-LM teacher, and this one is of the task %s; leave Tokens out", task)
		}
		return nil, commonTokens(own, tok)
	}
	if want := taskOf(h.kind); task != want {
		return nil, fmt.Errorf("distill: the labels of whole texts need a teacher and a student of one task; the teacher is of the task %s, the student's primary head is %s", task, h.kind)
	}
	if err := s.checkRows(task); err != nil {
		return nil, err
	}
	if s.tokens {
		if err := commonTokens(own, tok); err != nil {
			return nil, err
		}
	}
	if m.Config == nil || len(h.list) == 0 || task == onnx.Regression {
		return nil, nil
	}
	return matchClasses(m.Config.ID2Label, h.list[0].Labels)
}

// taskOf is the task of a teacher for a student with that primary head.
func taskOf(k student.Kind) onnx.Task {
	switch k {
	case student.KindClassification:
		return onnx.SequenceClassification
	case student.KindPOS, student.KindNER:
		return onnx.TokenClassification
	case student.KindRegression:
		return onnx.Regression
	case student.KindEmbedding:
		return onnx.Embedding
	}
	return onnx.Unknown
}

// checkRows refuses losses that read other rows than a teacher of that task gives.
func (s *stream) checkRows(task onnx.Task) error {
	for _, t := range s.terms {
		var want []onnx.Task
		switch t.Loss.(type) {
		case SoftScores:
			want = []onnx.Task{onnx.Regression}
		case VectorCosine, VectorMSE:
			want = []onnx.Task{onnx.Embedding}
		case SoftLabels:
			want = []onnx.Task{onnx.SequenceClassification, onnx.TokenClassification, onnx.MaskedLM}
		}
		if want != nil && !slices.Contains(want, task) {
			return fmt.Errorf("distill: the loss %T is for teachers of the task %v, and this one's is %s; SoftLabels compares distributions, SoftScores scores, VectorCosine and VectorMSE vectors", t.Loss, want[0], task)
		}
	}
	return nil
}

// matchClasses finds the teacher's class for each of the student's by name; nil
// where they are in the same order, or one of them does not name any.
func matchClasses(theirs, ours []string) ([]int, error) {
	if len(theirs) == 0 || len(ours) == 0 || slices.Equal(theirs, ours) {
		return nil, nil
	}
	order := make([]int, len(ours))
	var missing []string
	for i, l := range ours {
		if order[i] = slices.Index(theirs, l); order[i] < 0 {
			missing = append(missing, l)
		}
	}
	if len(theirs) != len(ours) || len(missing) > 0 {
		return nil, fmt.Errorf("distill: the teacher's classes are %q and the student's %q; make id2label name the same classes in both config.json, in any order", theirs, ours)
	}
	return order, nil
}

// commonTokens refuses a teacher whose logits do not speak of the student's tokens.
func commonTokens(own, tok *corpus.Tokenizer) error {
	if !sameTokens(own, tok) {
		return fmt.Errorf("distill: teacher and student have different vocabularies (%d and %d tokens), so their token logits cannot be compared; give the student the teacher's tokenizer (labels of whole texts need no common one)", own.VocabSize(), tok.VocabSize())
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

// unlabelled says what is kept when a run ends before the teacher has labelled everything.
func (c *Config) unlabelled(cause error, done, batches int) error {
	if c.cache() == "" {
		return fmt.Errorf("distill: stopped while the teacher labelled the data, after batch %d of %d, which are lost without a cache or checkpoint directory: %w", done, batches, cause)
	}
	return fmt.Errorf("distill: stopped while the teacher labelled the data, after batch %d of %d; the labels are in %s: run the same command to go on: %w", done, batches, c.cache(), cause)
}
