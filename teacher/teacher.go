// Package teacher runs a frozen model for its logits: a classifier's for each
// example, or a masked language model's for each masked position. Logits can
// be kept on disk; the cache key covers the model and the very tokens, so that
// another model, tokenizer or text never meets an old value.
//
// [NewAnnotator] makes a token classifier an annotator of raw text.
//
// Shapes: B batch, S sequence, C classes, R selected rows, V vocabulary.
package teacher

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
)

// Options says how a teacher is run.
type Options struct {
	// Cache is the directory of the logit cache; empty keeps nothing. Each
	// model has its own file there, which one teacher at a time can use.
	Cache string
	// Warn, if not nil, is told once that the cache's disk is full; the teacher
	// then goes on without keeping more. If it is nil, a full disk is an error.
	Warn func(error)
	// Taps names values inside the graph that [Teacher.Values] returns.
	Taps []string
}

// Teacher is a frozen model. It is safe for concurrent use.
type Teacher struct {
	session *exec.Session
	task    onnx.Task
	output  string
	width   atomic.Int64 // 0 while unknown
	source  string       // where width comes from, for errors
	hash    string
	inputs  []string
	store   *store
	warn    func(error)
	full    atomic.Bool // the cache takes no more
	taps    []string
}

// New prepares a model as teacher. Its config.json decides what its output
// "logits" (else its first output) means; without one, an output of rank 2 is
// a classifier's and one of rank 3 a masked language model's.
//
// Errors: a task that is neither, an input that a batch has nothing for,
// nodes that cannot be run, and a cache file that is damaged (a
// [CorruptError]) or in use.
func New(m *onnx.Model, opts Options) (*Teacher, error) {
	if m == nil || m.Graph == nil || len(m.Graph.Outputs) == 0 {
		return nil, fmt.Errorf("teacher: the model has no outputs")
	}
	t := &Teacher{output: primary(m), task: TaskOf(m), warn: opts.Warn, taps: slices.Clone(opts.Taps)}
	var rows []string
	switch t.task {
	case onnx.SequenceClassification:
	case onnx.MaskedLM:
		rows = []string{t.output}
	case onnx.TokenClassification:
		return nil, fmt.Errorf("teacher: the model labels tokens; a teacher is a …ForSequenceClassification or …ForMaskedLM (a token classifier can annotate the data instead)")
	default:
		return nil, fmt.Errorf("teacher: what output %q means is not known; config.json beside the model needs \"architectures\" with …ForSequenceClassification or …ForMaskedLM", t.output)
	}
	tapped, err := tap(m, opts.Taps)
	if err != nil {
		return nil, err
	}
	if t.session, t.inputs, err = open(tapped, rows); err != nil {
		return nil, err
	}
	width, source := widthOf(m, t.task, t.output)
	t.width.Store(int64(width))
	t.source = source
	if opts.Cache != "" {
		t.hash = m.Hash()
		name := fmt.Sprintf("logits-%.16s.log", t.hash)
		if t.store, err = openStore(filepath.Join(opts.Cache, name)); err != nil {
			if err = t.keepsNoMore(err); err != nil {
				return nil, err
			}
			t.store = nil
		}
	}
	return t, nil
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

// TaskOf reads the task from config.json, else from the rank of the output;
// Unknown where neither tells.
func TaskOf(m *onnx.Model) onnx.Task {
	if m == nil || m.Graph == nil || len(m.Graph.Outputs) == 0 {
		return onnx.Unknown
	}
	if m.Config != nil {
		if task := m.Config.Task(); task != onnx.Unknown {
			return task
		}
	}
	if o := declared(m, primary(m)); o != nil && o.HasShape {
		switch len(o.Dims) {
		case 2:
			return onnx.SequenceClassification
		case 3:
			return onnx.MaskedLM
		}
	}
	return onnx.Unknown
}

// primary is the output called logits, or the first one.
func primary(m *onnx.Model) string {
	if m.Graph.IsOutput("logits") {
		return "logits"
	}
	return m.Graph.Outputs[0].Name
}

// declared is the graph's declaration of an output.
func declared(m *onnx.Model, name string) *onnx.ValueInfo {
	for _, o := range m.Graph.Outputs {
		if o.Name == name {
			return o
		}
	}
	return nil
}

// widthOf is the size of the logits' last dimension as the graph declares it,
// else as config.json says; 0 where neither does.
func widthOf(m *onnx.Model, task onnx.Task, output string) (width int, source string) {
	if o := declared(m, output); o != nil && o.HasShape && len(o.Dims) > 0 {
		if d := o.Dims[len(o.Dims)-1]; d.Known && d.Size > 0 {
			return int(d.Size), "the graph declares"
		}
	}
	if m.Config == nil {
		return 0, ""
	}
	if task == onnx.MaskedLM {
		return m.Config.VocabSize, "config.json (vocab_size) says"
	}
	return len(m.Config.ID2Label), "config.json (id2label) says"
}

// MaxLength is the longest sequence that the model's config.json allows, def
// where it says nothing.
func MaxLength(m *onnx.Model, def int) int {
	if m.Config == nil || m.Config.MaxPositionEmbeddings <= 0 {
		return def
	}
	n := m.Config.MaxPositionEmbeddings
	if offset := strings.Contains(m.Config.ModelType, "roberta") || m.Config.ModelType == "camembert" || m.Config.ModelType == "mpnet"; offset && n > 2 {
		n -= 2 // its position ids start after the padding id
	}
	return n
}

// Task is what the logits are: SequenceClassification ([B,C]) or MaskedLM ([R,V]).
func (t *Teacher) Task() onnx.Task { return t.task }

// Width is C or V. It is known from the start where the graph or config.json
// says it, otherwise after the first call of Logits, and 0 until then.
func (t *Teacher) Width() int { return int(t.width.Load()) }

// Logits returns [B,C] for a classifier, [R,V] at b.Rows for a masked language
// model, without computing them where the cache has them. The slice belongs to
// the caller. The same batch always gives the same bits; the same example
// among others may differ in the last ones.
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
		v, ok, err := t.store.get(key)
		if err != nil {
			return nil, err
		}
		if ok {
			return v, t.check(len(v), n, nil)
		}
	}
	out, err := t.session.Run(ctx, Feed(b, t.inputs), t.output)
	if err != nil {
		return nil, fmt.Errorf("teacher: %w", err)
	}
	v := out[t.output].F32
	if err := t.checkLogits(b, v, out[t.output].Shape); err != nil {
		return nil, err
	}
	if t.store != nil && !t.full.Load() {
		if err := t.keepsNoMore(t.store.put(key, v)); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// checkLogits refuses logits of another width than was promised, and those that
// are not finite.
func (t *Teacher) checkLogits(b *corpus.Batch, v []float32, shape []int) error {
	n := t.rows(b)
	if err := t.check(len(v), n, shape); err != nil {
		return err
	}
	if i := notFinite(v); i >= 0 {
		return fmt.Errorf("teacher: logit %d of row %d in the batch with the examples %v is %v; the teacher's weights are damaged, or its numbers overflow", i%(len(v)/n), i/(len(v)/n), examples(b), v[i])
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
	if t.task == onnx.MaskedLM {
		return b.R
	}
	return b.B
}

// Sync makes the logits cached so far survive a crash.
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
	_, _ = h.Write([]byte(t.hash + "\x00" + string(t.task) + "\x00" + t.output + "\x00")) // a hash does not fail
	var rows []int64
	if t.task == onnx.MaskedLM {
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
