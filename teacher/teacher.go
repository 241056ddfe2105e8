// Package teacher runs a frozen model for what a student learns of it:
//
//   - a sequence classifier's logits for each example, also of pairs [B,C];
//   - the score of a regression model [B,1];
//   - a token classifier's logits for each selected token [R,C];
//   - a masked language model's for each selected position [R,V];
//   - the vector of a model without a head, pooled from its hidden states [B,H].
//
// [TaskOf] tells which a model is. Its answers can be kept on disk, whole, as
// float16, or of each row the K most probable classes: see [Form]. A cache is a
// directory with one folder for each set of labels, named by a hash of model,
// tokenizer, data and options (see [Source]); within it every batch is found by
// a hash of its very tokens. So another model, tokenizer or text never meets an
// old value, and everything that is read is checked. Any number of programs may
// read a set while one adds to it; one that is killed loses the batch it was
// writing.
//
// [NewAnnotator] makes a token classifier an annotator of raw text.
//
// Shapes: B batch, S sequence, C classes, R selected rows, V vocabulary, H hidden.
package teacher

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
)

// Options says how a teacher is run. The zero value is usable.
type Options struct {
	// Cache is a directory that keeps the teacher's answers; empty keeps nothing.
	Cache string
	// Form is how they are kept. A lossy form applies without a cache too.
	Form Form
	// Source says what the batches are made of.
	Source Source
	// Wait lets Logits wait until another teacher that adds to the same answers
	// is done, which is an error otherwise.
	Wait bool
	// Warn, if not nil, is told once that the cache's disk is full; the teacher
	// then goes on without keeping more. If it is nil, a full disk is an error.
	Warn func(error)
	// Notice, if not nil, is told what else there is to know: that the cache has
	// similar answers which do not fit and why, or that another teacher is waited for.
	Notice func(string)
	// Beside are the hashes ([onnx.Model.Hash]) of other models whose answers to the
	// same texts stand in the cache by right: Notice does not speak of them.
	Beside []string
	// Taps names values inside the graph that [Teacher.Values] returns.
	Taps []string
}

// Teacher is a frozen model. It is safe for concurrent use.
type Teacher struct {
	model   *onnx.Model
	task    onnx.Task
	output  string
	pooling Pooling // of an embedding whose output is hidden states
	pool    bool
	form    Form
	set     Set
	width   atomic.Int64 // 0 while unknown
	source  string       // where width comes from, for errors
	store   *store
	warn    func(error)
	full    atomic.Bool // the cache takes no more
	taps    []string

	once    sync.Once // makes what runs the model
	session *exec.Session
	inputs  []string
	failure error

	found, computed atomic.Int64
}

// New prepares a model as teacher. Its config.json decides what its output
// "logits" (else its first output) means; without one, an output of rank 2 is
// a classifier's and one of rank 3 a masked language model's. Where there is a
// cache, what runs the model is made when the first answer is not in it.
//
// Errors: a task that is not known, an input that a batch has nothing for,
// nodes that cannot be run, and a cache file that is damaged (a [CorruptError]).
func New(m *onnx.Model, opts Options) (*Teacher, error) {
	if m == nil || m.Graph == nil || len(m.Graph.Outputs) == 0 {
		return nil, fmt.Errorf("teacher: the model has no outputs")
	}
	t, err := prepare(m, opts)
	if err != nil {
		return nil, err
	}
	if err := t.form.check(t.task); err != nil {
		return nil, err
	}
	width, source := widthOf(m, t.task, t.output)
	t.width.Store(int64(width))
	t.source = source
	if opts.Cache == "" {
		return t, t.start()
	}
	return t, t.openCache(opts)
}

// prepare finds what the model's answer is.
func prepare(m *onnx.Model, opts Options) (*Teacher, error) {
	t := &Teacher{model: m, output: primary(m), task: TaskOf(m), form: opts.Form, warn: opts.Warn, taps: slices.Clone(opts.Taps)}
	switch t.task {
	case onnx.Unknown:
		return nil, fmt.Errorf("teacher: what output %q means is not known; config.json beside the model needs \"architectures\" with …ForSequenceClassification, …ForTokenClassification, …ForMaskedLM or …Model", t.output)
	case onnx.Embedding:
		return t, t.setPooling()
	}
	return t, nil
}

// Kept lists the forms in which a cache has answers of m to what opts.Source
// says, the most exact one first. opts.Form is not read.
func Kept(m *onnx.Model, opts Options) ([]Form, error) {
	if m == nil || m.Graph == nil || len(m.Graph.Outputs) == 0 {
		return nil, nil
	}
	t, err := prepare(m, opts)
	if err != nil {
		return nil, err
	}
	sets, err := Sets(opts.Cache)
	if err != nil || len(sets) == 0 {
		return nil, err
	}
	want := t.describe(opts)
	var out []Form
	for _, s := range sets {
		f, ok := parseForm(s.Form)
		if want.Form = s.Form; ok && s == want {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b Form) int { return a.rank() - b.rank() })
	return out, nil
}

// setPooling finds the vector of a model without a head, or the hidden states
// that it is made of.
func (t *Teacher) setPooling() (err error) {
	for _, name := range []string{vectorOutput, "last_hidden_state", "token_embeddings"} {
		if t.model.Graph.IsOutput(name) {
			t.output = name
			break
		}
	}
	if t.output == vectorOutput {
		return nil
	}
	o := declared(t.model, t.output)
	if t.pool = !o.HasShape || len(o.Dims) == 3; t.pool {
		t.pooling, err = PoolingOf(t.model)
	}
	return err
}

// vectorOutput is the output of models whose graph pools.
const vectorOutput = "sentence_embedding"

// start makes what runs the model, once.
func (t *Teacher) start() error {
	t.once.Do(func() {
		m, err := tap(t.model, t.taps)
		if err != nil {
			t.failure = err
			return
		}
		var rows []string
		if t.perToken() {
			rows = []string{t.output}
		}
		t.session, t.inputs, t.failure = open(m, rows)
	})
	return t.failure
}

// describe makes the description of the answers.
func (t *Teacher) describe(opts Options) Set {
	output := t.output
	if t.pool {
		output += ", pooled by " + t.pooling.Mode
		if t.pooling.Normalize {
			output += ", normalized"
		}
	}
	if opts.Source.Model == "" {
		opts.Source.Model = t.model.Hash()
	}
	return Set{Version: setVersion, Task: string(t.task), Output: output, Form: t.form.String(), Source: opts.Source}
}

// openCache opens the set of answers.
func (t *Teacher) openCache(opts Options) error {
	t.set = t.describe(opts)
	if opts.Notice != nil {
		if _, err := readSet(t.set.path(opts.Cache)); err != nil {
			if s := t.set.others(opts.Cache, opts.Beside); s != "" {
				opts.Notice(s)
			}
		}
	}
	store, err := openStore(opts.Cache, t.set, t.form)
	if err != nil {
		return t.keepsNoMore(err)
	}
	t.store = store
	t.store.wait = opts.Wait
	if opts.Notice != nil {
		t.store.notice = opts.Notice
	}
	return nil
}

// feeds are the inputs that a batch can fill.
var feeds = []string{"input_ids", "attention_mask", "token_type_ids", "rows"}

// open makes a session and lists its inputs, which must be ones that Feed fills.
func open(m *onnx.Model, rows []string) (*exec.Session, []string, error) {
	s, err := exec.New(m, exec.Options{Rows: rows, SkipPadding: true})
	if err != nil {
		return nil, nil, fmt.Errorf("teacher: %w", err)
	}
	var inputs []string
	for _, in := range s.Inputs() {
		if !slices.Contains(feeds, in.Name) {
			return nil, nil, fmt.Errorf("teacher: the model has an input %q; only input_ids, attention_mask and token_type_ids can be fed: export it without that input", in.Name)
		}
		inputs = append(inputs, in.Name)
	}
	return s, inputs, nil
}

// Task is what the answers are; see [TaskOf].
func (t *Teacher) Task() onnx.Task { return t.task }

// perToken reports whether there is a row for each selected token, and not for
// each example.
func (t *Teacher) perToken() bool {
	return t.task == onnx.MaskedLM || t.task == onnx.TokenClassification
}

// Width is C, V or H. It is known from the start where the graph or config.json
// says it, otherwise after the first call of Logits, and 0 until then.
func (t *Teacher) Width() int { return int(t.width.Load()) }

// Set describes the answers in the cache; it is zero without one.
func (t *Teacher) Set() Set { return t.set }

// Counts says how many batches Logits has found in the cache and how many it
// has run the model for.
func (t *Teacher) Counts() (found, computed int) {
	return int(t.found.Load()), int(t.computed.Load())
}

// Cached is the number of batches in the cache.
func (t *Teacher) Cached() int {
	if t.store == nil {
		return 0
	}
	return t.store.len()
}

// CacheSize is what so many batches with so many rows in all take in a cache.
func CacheSize(f Form, batches, rows, width int) int64 {
	return int64(shardHead) + int64(batches)*recordHead + f.Bytes(rows, width)
}

// Logits returns one row for each example [B,·], or of a model that labels
// tokens for each of b.Rows [R,·], without running the model where the cache
// has them. Logits are what classifiers give; the rows of regression models
// hold a score, those of embeddings a vector. The slice belongs to the caller.
// The same batch always gives the same bits; the same example among others may
// differ in the last ones.
func (t *Teacher) Logits(ctx context.Context, b *corpus.Batch) ([]float32, error) {
	n := t.rows(b)
	switch {
	case t.output == "":
		return nil, fmt.Errorf("teacher: it was opened for values inside its graph and has no logits; open it with New")
	case n == 0:
		return nil, nil
	}
	var key [32]byte
	if t.store != nil {
		key = t.key(b)
		if v, ok, err := t.get(key, n); ok || err != nil {
			return v, err
		}
		// Another teacher may have added it since this one looked.
		if !t.full.Load() {
			if err := t.keepsNoMore(t.store.write(ctx)); err != nil {
				return nil, err
			}
			if v, ok, err := t.get(key, n); ok || err != nil {
				return v, err
			}
		}
	}
	v, err := t.run(ctx, b)
	if err != nil {
		return nil, err
	}
	t.computed.Add(1)
	if t.store == nil && !t.form.lossy() {
		return v, nil
	}
	return t.keep(key, v, n)
}

// get looks an answer up.
func (t *Teacher) get(key [32]byte, n int) ([]float32, bool, error) {
	v, ok, err := t.store.get(key)
	if err == nil && ok {
		t.found.Add(1)
		err = t.check(len(v), n, nil)
	}
	return v, ok, err
}

// keep puts an answer into the cache and returns it as it will be read.
func (t *Teacher) keep(key [32]byte, v []float32, n int) ([]float32, error) {
	width := len(v) / n
	data, err := t.form.encode(v, width)
	if err != nil {
		return nil, err
	}
	if t.store != nil && !t.full.Load() {
		if err := t.keepsNoMore(t.store.put(key, n, width, data)); err != nil {
			return nil, err
		}
	}
	if t.form.lossy() {
		v, _ = t.form.decode(data, n, width) // it was just encoded
	}
	return v, nil
}

// run asks the model.
func (t *Teacher) run(ctx context.Context, b *corpus.Batch) ([]float32, error) {
	if err := t.start(); err != nil {
		return nil, err
	}
	out, err := t.session.Run(ctx, Feed(b, t.inputs), t.output)
	if err != nil {
		return nil, fmt.Errorf("teacher: %w", err)
	}
	v, shape := out[t.output].F32, out[t.output].Shape
	if t.pool {
		if len(shape) != 3 || shape[0] != b.B || shape[1] != b.S || shape[2] == 0 {
			return nil, fmt.Errorf("teacher: output %s has shape %v, and hidden states of %d texts of %d tokens are expected; is \"architectures\" in config.json right?", t.output, shape, b.B, b.S)
		}
		v, shape = t.pooling.apply(v, b, shape[2]), []int{b.B, shape[2]}
	}
	return v, t.checkLogits(b, v, shape)
}

// checkLogits refuses logits of another width than was promised, and those that
// are not finite.
func (t *Teacher) checkLogits(b *corpus.Batch, v []float32, shape []int) error {
	n := t.rows(b)
	if err := t.check(len(v), n, shape); err != nil {
		return err
	}
	if i := notFinite(v); i >= 0 {
		row := i / (len(v) / n)
		if t.perToken() {
			row = int(b.Rows[row]) / b.S
		}
		return &NotFiniteError{Output: t.output, Row: row, Value: v[i]}
	}
	return nil
}

// keepsNoMore turns the error of a full disk into a warning where one is wanted.
func (t *Teacher) keepsNoMore(err error) error {
	if err == nil || t.warn == nil || !full(err) {
		return err
	}
	if t.full.CompareAndSwap(false, true) {
		t.warn(err)
	}
	return nil
}

// check holds what came out against the width that was promised, and keeps it
// where none was.
func (t *Teacher) check(elements, rows int, shape []int) error {
	if elements == 0 || elements%rows != 0 || shape != nil && len(shape) != 2 {
		return fmt.Errorf("teacher: output %s has shape %v, which is not a vector for each of %d rows; is \"architectures\" in config.json right?", t.output, shape, rows)
	}
	got := int64(elements / rows)
	if t.width.CompareAndSwap(0, got) {
		return nil
	}
	if want := t.width.Load(); got != want {
		return fmt.Errorf("teacher: output %s has %d classes where %s %d; correct the one that is wrong", t.output, got, t.says(), want)
	}
	return nil
}

func (t *Teacher) says() string {
	if t.source == "" {
		return "the batch before had"
	}
	return t.source
}

// rows is how many vectors a batch asks for.
func (t *Teacher) rows(b *corpus.Batch) int {
	if t.perToken() {
		return b.R
	}
	return b.B
}

// Sync makes the answers cached so far survive a crash.
func (t *Teacher) Sync() error {
	if t.store == nil {
		return nil
	}
	return t.keepsNoMore(t.store.sync())
}

// Close syncs and releases the cache. The teacher cannot be used afterwards
// where it has one.
func (t *Teacher) Close() error {
	if t.store == nil {
		return nil
	}
	return t.keepsNoMore(t.store.close())
}

// key covers everything the logits depend on: the model and the batch as fed.
func (t *Teacher) key(b *corpus.Batch) [32]byte {
	h := sha256.New()
	_, _ = h.Write([]byte(t.set.Model + "\x00" + t.set.Task + "\x00" + t.set.Output + "\x00")) // a hash does not fail
	var rows []int64
	if t.perToken() {
		rows = b.Rows
	}
	var buf []byte
	for _, part := range [][]int64{{int64(b.B), int64(b.S)}, b.IDs, b.Mask, b.Types, rows} {
		buf = binary.LittleEndian.AppendUint64(buf[:0], uint64(len(part)))
		for _, x := range part {
			buf = binary.LittleEndian.AppendUint64(buf, uint64(x))
		}
		_, _ = h.Write(buf)
	}
	return [32]byte(h.Sum(nil))
}

// Feed makes the input tensors that a graph with the named inputs wants from a
// batch: input_ids, attention_mask, token_type_ids [B,S] and rows [R].
func Feed(b *corpus.Batch, inputs []string) map[string]*exec.Tensor {
	feed := map[string]*exec.Tensor{}
	add := func(name string, v []int64, shape ...int) {
		if slices.Contains(inputs, name) {
			feed[name] = &exec.Tensor{Type: onnx.Int64, Shape: shape, I64: v}
		}
	}
	add("input_ids", b.IDs, b.B, b.S)
	add("attention_mask", b.Mask, b.B, b.S)
	add("token_type_ids", b.Types, b.B, b.S)
	add("rows", b.Rows, b.R)
	return feed
}
