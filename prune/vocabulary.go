package prune

import (
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/corpus/tokenizer"
	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/onnx"
)

// VocabularyReport tells what [Vocabulary] took away.
type VocabularyReport struct {
	Before, After int   // tokens
	Saved         int64 // bytes of weights
	// Old holds the old id of each new one.
	Old []int64
}

// Vocabulary returns m with the tokens that occur at least least times in the
// texts: the rows of the word embeddings, of the masked-LM decoder (tied to the
// embeddings or not) and of its bias that the others had are gone, and the
// tokenizer's files have the new ids (see [tokenizer.Tokenizer.Prune] for which
// tokens stay in any case). On the texts themselves the model computes what it
// did. m is not changed.
//
// Errors: a model without encoder or tokenizer, one with quantized embeddings,
// embeddings that are not one row for each token.
func Vocabulary(m *onnx.Model, texts iter.Seq[string], least int) (*onnx.Model, *VocabularyReport, error) {
	if len(m.Files) == 0 {
		return nil, nil, errors.New("prune: the model comes without a tokenizer; open its directory (with tokenizer.json or vocab.txt), not the bare .onnx file")
	}
	tok, err := corpus.LoadTokenizer(m.Files)
	if err != nil {
		return nil, nil, fmt.Errorf("prune: %w", err)
	}
	if err := m.CheckRun(); err != nil {
		return nil, nil, fmt.Errorf("prune: the model cannot run: %w", err)
	}
	enc, err := fuse.Detect(m)
	if err != nil {
		return nil, nil, fmt.Errorf("prune: %w", err)
	}
	counts := make([]int, tok.VocabSize())
	var pieces []tokenizer.Piece
	for text := range texts {
		pieces = tok.Pieces(text, pieces[:0])
		for _, p := range pieces {
			counts[p.ID]++
		}
	}
	small, old, err := tok.Prune(func(id int64) bool { return counts[id] >= max(least, 1) })
	if err != nil {
		return nil, nil, fmt.Errorf("prune: %w", err)
	}
	out := m.Clone()
	v := &vocabulary{m: out, old: old}
	if err := v.rewrite(enc); err != nil {
		return nil, nil, err
	}
	out.Files = small.Files()
	if out.Config != nil {
		out.Config.VocabSize = len(old)
		out.Config.PadTokenID = int(max(small.PadID(), 0))
	}
	return out, &VocabularyReport{Before: v.rows, After: len(old), Saved: v.saved, Old: old}, nil
}

// vocabulary rewrites the tensors of one model.
type vocabulary struct {
	m     *onnx.Model
	old   []int64
	rows  int // V before
	saved int64
}

func (v *vocabulary) rewrite(enc *fuse.Encoder) error {
	word := v.m.Graph.Initializer(enc.Word)
	if word == nil || len(word.Dims) != 2 || !floatType(word.Type) {
		return fmt.Errorf("prune: the word embeddings %q are no float matrix; prune the vocabulary before quantizing", enc.Word)
	}
	v.rows = int(word.Dims[0])
	if last := v.old[len(v.old)-1]; int(last) >= v.rows {
		return fmt.Errorf("prune: the tokenizer has token id %d, but there are only %d embeddings; are they of one model?", last, v.rows)
	}
	if err := v.gather(enc.Word, 0); err != nil {
		return err
	}
	done := map[string]bool{enc.Word: true}
	for _, l := range enc.Head {
		if l.Out != v.rows {
			continue
		}
		if l.Quantized {
			return fmt.Errorf("prune: the masked-LM decoder %q is quantized; prune the vocabulary before quantizing", l.Weight)
		}
		axis := 1
		if l.TransB {
			axis = 0
		}
		for name, axis := range map[string]int{l.Weight: axis, l.Bias: 0} {
			if name == "" || done[name] || v.m.Graph.Initializer(name) == nil {
				continue // tied: a transpose of the embeddings
			}
			done[name] = true
			if err := v.gather(name, axis); err != nil {
				return err
			}
		}
	}
	for i, o := range v.m.Graph.Outputs {
		if n := len(o.Dims); n > 0 && o.Dims[n-1].Known && o.Dims[n-1].Size == int64(v.rows) {
			small := *o
			small.Dims = slices.Clone(o.Dims)
			small.Dims[n-1].Size = int64(len(v.old))
			v.m.Graph.Outputs[i] = &small
		}
	}
	v.m.Graph.Values = nil // shapes of the old vocabulary among them
	return nil
}

func floatType(t onnx.DataType) bool {
	return t == onnx.Float || t == onnx.Float16 || t == onnx.BFloat16 || t == onnx.Double
}

// gather keeps the rows (axis 0) or columns (axis 1) of the tokens that stay.
func (v *vocabulary) gather(name string, axis int) error {
	g := v.m.Graph
	i := slices.IndexFunc(g.Initializers, func(t *onnx.Tensor) bool { return t.Name == name })
	t := g.Initializers[i]
	if axis >= len(t.Dims) || t.Dims[axis] != int64(v.rows) || !floatType(t.Type) {
		return fmt.Errorf("prune: initializer %q has shape %v of %v where %d tokens are expected; prune the vocabulary before quantizing", name, t.Dims, t.Type, v.rows)
	}
	outer, inner := 1, 1
	for _, d := range t.Dims[:axis] {
		outer *= int(d)
	}
	for _, d := range t.Dims[axis+1:] {
		inner *= int(d)
	}
	size := len(t.Raw) / (outer * v.rows * inner) * inner
	raw := make([]byte, 0, outer*len(v.old)*size)
	for o := range outer {
		for _, id := range v.old {
			at := (o*v.rows + int(id)) * size
			raw = append(raw, t.Raw[at:at+size]...)
		}
	}
	small := *t
	small.Dims = slices.Clone(t.Dims)
	small.Dims[axis] = int64(len(v.old))
	small.Raw = raw
	g.Initializers[i] = &small
	v.saved += int64(len(t.Raw) - len(raw))
	return nil
}
