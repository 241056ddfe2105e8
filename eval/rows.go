package eval

import (
	"fmt"
	"slices"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/corpus/tokenizer"
	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// firstPieces leaves of the batch's tags only those of the first piece of each
// word, so that a word counts once however many pieces the tokenizer makes of
// it, and entities are compared word by word as conlleval does.
func (r *runner) firstPieces(b *corpus.Batch) error {
	row, first := -1, []bool(nil)
	for i, at := range b.Rows {
		if b.POS[i] < 0 && b.NER[i] < 0 {
			continue
		}
		if k := int(at) / b.S; k != row {
			e, err := r.data.At(b.Index[k])
			if err != nil {
				return err
			}
			if row = k; e.Tokens != nil {
				first = slices.Repeat([]bool{true}, b.S) // its tags stand at the tokens that count
			} else {
				first = firstOfWords(e.Text, r.tok.EncodeMax(e.Text, e.Pair, r.opts.MaxLength), e.Words)
			}
		}
		if at := int(at) % b.S; at >= len(first) || !first[at] {
			b.POS[i], b.NER[i] = -1, -1
		}
	}
	return nil
}

// firstOfWords tells the tokens that are the first of a word.
func firstOfWords(text string, e corpus.Encoding, words []corpus.Word) []bool {
	out := make([]bool, e.Len())
	k, last := 0, -1
	for i, o := range e.Offsets {
		if e.Seq[i] != 0 {
			continue
		}
		o = tokenizer.Trim(text, o) // tokens of sentencepiece cover the space before them
		for k < len(words) && words[k].End <= o.Start {
			k++
		}
		if k < len(words) && words[k].Start < o.End && k != last {
			out[i], last = true, k
		}
	}
	return out
}

// gold is the label of each row of the head's output, −1 where it is not scored;
// for a number to predict 0 where there is one.
func (s *scored) gold(b *corpus.Batch) []int32 {
	switch s.kind {
	case student.KindSentenceOrder:
		return b.Order
	case student.KindNextSentence:
		return b.Next
	case student.KindMaskedLM:
		return b.MLM
	case student.KindPOS:
		return b.POS
	case student.KindNER:
		return b.NER
	}
	out := make([]int32, b.B)
	for i := range out {
		out[i] = -1
		if s.regression {
			if b.Scores != nil && b.Scores[i] == b.Scores[i] {
				out[i] = 0
			}
		} else if k := b.Labels[i]; k >= 0 && int(k) < len(s.classes) {
			out[i] = s.classes[k]
		}
	}
	return out
}

// rows pairs the head's scores with the batch's labels. Sequences are numbered
// on from before.
func (s *scored) rows(b *corpus.Batch, t *exec.Tensor, before int) (Rows, []uint64, error) {
	gold := s.gold(b)
	n := len(gold)
	if t.Type != onnx.Float || n == 0 || len(t.F32)%n != 0 || len(t.Shape) == 0 {
		return Rows{}, nil, fmt.Errorf("output %s has shape %v of %v, which is not a score vector for each of %d rows; is the config's \"architectures\" right?", s.output, t.Shape, t.Type, n)
	}
	if s.regression && len(t.F32) != n {
		return Rows{}, nil, fmt.Errorf("output %s gives %d numbers for each of %d texts, and a regression model one; is the config's \"problem_type\" right?", s.output, len(t.F32)/n, n)
	}
	r := Rows{Logits: t.F32, Classes: len(t.F32) / n, Gold: gold}
	if r.Classes != t.Shape[len(t.Shape)-1] {
		return Rows{}, nil, fmt.Errorf("output %s has shape %v where %d rows of scores are expected; is the config's \"architectures\" right?", s.output, t.Shape, n)
	}
	if s.known > 0 && s.known != r.Classes {
		return Rows{}, nil, fmt.Errorf("output %s has %d classes, but config.json names %d labels for the %s head", s.output, r.Classes, s.known, s.kind)
	}
	if g := slices.Max(gold); s.known == 0 && int(g) >= r.Classes {
		return Rows{}, nil, fmt.Errorf("the data has label %d, but output %s has only %d classes", g, s.output, r.Classes)
	}
	if s.regression {
		r.Target = b.Scores
	}
	keys := make([]uint64, n)
	if !s.token() {
		for i := range n {
			keys[i] = uint64(b.Index[i]) << 16
		}
		return r, keys, nil
	}
	r.Group = make([]int, n)
	for i := range n {
		row := int(b.Rows[i]) / b.S
		r.Group[i] = before + row
		keys[i] = uint64(b.Index[row])<<16 | uint64(int(b.Rows[i])%b.S)
	}
	return r, keys, nil
}

// keep remembers the primary head's predictions.
func (res *Result) keep(r Rows, keys []uint64) {
	res.Classes = r.Classes
	r.each(func(i int, row []float32, gold int) {
		res.Predictions = append(res.Predictions, int32(Argmax(row)))
		res.Gold = append(res.Gold, int32(gold))
		res.Keys = append(res.Keys, keys[i])
		if r.Classes <= 64 {
			res.Logits = append(res.Logits, row...)
		}
	})
}
