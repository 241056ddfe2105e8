// Package teacher runs a frozen model for its logits: a classifier's for each
// example, or a masked language model's for each masked position. Logits can
// be kept on disk; the cache key covers the model and the very tokens, so that
// another model, tokenizer or text never meets an old value.
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

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
)

// Options says how a teacher is run.
type Options struct {
	// Cache is the directory of the logit cache; empty keeps nothing.
	Cache string
}

// Teacher is a frozen model. It is not safe for concurrent use when it has a cache.
type Teacher struct {
	session *exec.Session
	task    onnx.Task
	output  string
	width   int
	hash    string
	inputs  []string
	store   *store
}

// New prepares a model as teacher. Its config.json decides what its first
// output means; without one, an output of rank 2 is a classifier's and one of
// rank 3 a masked language model's.
func New(m *onnx.Model, opts Options) (*Teacher, error) {
	if len(m.Graph.Outputs) == 0 {
		return nil, fmt.Errorf("teacher: the model has no outputs")
	}
	t := &Teacher{output: primary(m), task: taskOf(m), hash: m.Hash()}
	var rows []string
	switch t.task {
	case onnx.SequenceClassification:
	case onnx.MaskedLM:
		rows = []string{t.output}
	default:
		return nil, fmt.Errorf("teacher: task of the model is unknown or not supported as a teacher (%v): config.json needs \"architectures\" with …ForSequenceClassification or …ForMaskedLM", t.task)
	}
	var err error
	if t.session, err = exec.New(m, exec.Options{Rows: rows}); err != nil {
		return nil, fmt.Errorf("teacher: %w", err)
	}
	for _, in := range t.session.Inputs() {
		t.inputs = append(t.inputs, in.Name)
	}
	if opts.Cache != "" {
		name := fmt.Sprintf("logits-%.16s.log", t.hash)
		if t.store, err = openStore(filepath.Join(opts.Cache, name)); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// taskOf reads the task from config.json, else from the rank of the output.
func taskOf(m *onnx.Model) onnx.Task {
	if m.Config != nil {
		if task := m.Config.Task(); task != onnx.Unknown {
			return task
		}
	}
	for _, o := range m.Graph.Outputs {
		if o.Name == primary(m) && o.HasShape {
			switch len(o.Dims) {
			case 2:
				return onnx.SequenceClassification
			case 3:
				return onnx.MaskedLM
			}
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

// Task is what the logits are: SequenceClassification ([B,C]) or MaskedLM ([R,V]).
func (t *Teacher) Task() onnx.Task { return t.task }

// Width is C or V, known after the first call of Logits.
func (t *Teacher) Width() int { return t.width }

// Logits returns [B,C] for a classifier, [R,V] for a masked language model.
// The slice belongs to the caller.
func (t *Teacher) Logits(ctx context.Context, b *corpus.Batch) ([]float32, error) {
	var key [32]byte
	if t.store != nil {
		key = t.key(b)
		v, ok, err := t.store.get(key)
		if err != nil {
			return nil, err
		}
		if ok && len(v) > 0 {
			t.width = len(v) / t.rows(b)
			return v, nil
		}
	}
	out, err := t.session.Run(ctx, Feed(b, t.inputs), t.output)
	if err != nil {
		return nil, fmt.Errorf("teacher: %w", err)
	}
	v := out[t.output].F32
	if n := t.rows(b); n == 0 || len(v)%n != 0 {
		return nil, fmt.Errorf("teacher: output %s has shape %v for %d rows", t.output, out[t.output].Shape, n)
	}
	t.width = len(v) / t.rows(b)
	if t.store != nil {
		if err := t.store.put(key, v); err != nil {
			return nil, err
		}
	}
	return v, nil
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
	return t.store.sync()
}

// Close releases the cache.
func (t *Teacher) Close() error {
	if t.store == nil {
		return nil
	}
	return t.store.close()
}

// key covers everything the logits depend on: the model and the batch as fed.
func (t *Teacher) key(b *corpus.Batch) [32]byte {
	h := sha256.New()
	h.Write([]byte(t.hash + "\x00" + string(t.task) + "\x00" + t.output + "\x00"))
	var buf []byte
	for _, part := range [][]int64{{int64(b.B), int64(b.S)}, b.IDs, b.Mask, b.Types, b.Rows} {
		buf = binary.LittleEndian.AppendUint64(buf[:0], uint64(len(part)))
		for _, x := range part {
			buf = binary.LittleEndian.AppendUint64(buf, uint64(x))
		}
		h.Write(buf)
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
