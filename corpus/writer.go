package corpus

import (
	"fmt"
	"math"

	"github.com/litekit/lite/corpus/tokenizer"
)

func roundUp(n, multiple int) int { return (n + multiple - 1) / multiple * multiple }

// Batch makes batch i of an epoch, 0 ≤ i < Batches(epoch).
func (v *View) Batch(epoch, i int) (*Batch, error) {
	if epoch < 0 || i < 0 || i >= v.Batches(epoch) {
		return nil, fmt.Errorf("corpus: batch %d of epoch %d does not exist; an epoch has %d batches", i, epoch, v.Batches(epoch))
	}
	seqs := v.plan(epoch).batch(i)
	b := &Batch{B: len(seqs)}
	for _, n := range seqs {
		b.S = max(b.S, int(v.store.lengths[n]))
	}
	b.S = v.padded(b.S)
	switch {
	case v.opts.FullBatches && v.packing != nil:
		b.B = max(b.B, v.opts.BatchTokens/b.S)
	case v.opts.FullBatches:
		b.B = v.opts.BatchSize
	}
	v.alloc(b)
	w := writer{v: v, b: b, epoch: epoch}
	for row := range b.B {
		if row < len(seqs) {
			if err := w.sequence(row, int(seqs[row])); err != nil {
				return nil, err
			}
		} else {
			w.padding(row)
		}
	}
	w.padRows()
	return b, nil
}

func (v *View) alloc(b *Batch) {
	n := b.B * b.S
	b.Index, b.Labels, b.Order, b.Next = make([]int, b.B), make([]int32, b.B), make([]int32, b.B), make([]int32, b.B)
	if v.store.scored {
		b.Scores = make([]float32, b.B)
	}
	b.IDs, b.Mask, b.Types = make([]int64, n), make([]int64, n), make([]int64, n)
	for i := range b.IDs {
		b.IDs[i] = v.tok.PadID()
	}
}

// writer fills one batch.
type writer struct {
	v       *View
	b       *Batch
	epoch   int
	windows [2]reader // tokens of a sequence, and of another one
	best    reader
	starts  []int

	ids    []int32 // of one sequence, special tokens around it left out
	flags  []uint8
	at     []int32   // flat position of each
	chosen []int32   // number of the masked unit, 0 none
	segs   [2]tokens // its segments, which stand in ids in a row
	from   [2]int    // where each starts in ids
}

// raw lays out tokens as they were read.
func (w *writer) raw(row int, all tokens) {
	w.template(row, rawTemplate, all, tokens{})
	for i, flag := range w.flags {
		if flag&secondType != 0 {
			w.b.Types[w.at[i]] = 1
		}
	}
}

// rawTemplate is the text alone.
var rawTemplate = []tokenizer.Part{{Seq: 0}}

// template lays out the special tokens of tpl and the tokens of the segments.
func (w *writer) template(row int, tpl []tokenizer.Part, first, second tokens) {
	w.ids, w.flags, w.at = w.ids[:0], w.flags[:0], w.at[:0]
	w.segs, w.from = [2]tokens{first, second}, [2]int{}
	p := row * w.b.S
	put := func(id int32, kind int64) {
		w.b.IDs[p], w.b.Mask[p], w.b.Types[p] = int64(id), 1, kind
		p++
	}
	for _, part := range tpl {
		for _, id := range part.IDs {
			put(id, part.Type)
		}
		if part.Seq < 0 {
			continue
		}
		seg := &w.segs[part.Seq]
		w.from[part.Seq] = len(w.ids)
		for k, id := range seg.ids {
			w.at = append(w.at, int32(p))
			put(id, part.Type)
			flag := seg.flags[k]
			if k == 0 {
				flag |= groupStart
			}
			w.ids, w.flags = append(w.ids, id), append(w.flags, flag)
		}
	}
}

// place tells which segment token i is of, and where it stands there.
func (w *writer) place(i int) (seg, k int) {
	if k := i - w.from[1]; k >= 0 && k < len(w.segs[1].ids) {
		return 1, k
	}
	return 0, i - w.from[0]
}

func (w *writer) padding(row int) {
	w.template(row, w.v.tok.Template(false), tokens{}, tokens{})
	if at := row * w.b.S; w.b.Mask[at] == 0 {
		w.b.Mask[at] = 1 // without special tokens a padding token counts: attention needs one
	}
	w.b.Index[row], w.b.Labels[row], w.b.Order[row], w.b.Next[row] = -1, -1, -1, -1
	if w.b.Scores != nil {
		w.b.Scores[row] = float32(math.NaN())
	}
}

func (w *writer) sequence(row, n int) error {
	v := w.v
	q, all, err := v.store.load(n, &w.windows[0])
	if err != nil {
		return err
	}
	l, err := w.layout(n, q, all)
	if err != nil {
		return err
	}
	if q.raw {
		w.raw(row, all)
	} else {
		w.template(row, v.tok.Template(l.pair), l.first, l.second)
	}
	w.b.Index[row], w.b.Labels[row], w.b.Order[row], w.b.Next[row] = int(q.example), q.label, l.order, l.next
	if w.b.Scores != nil {
		w.b.Scores[row] = q.score
	}
	switch {
	case v.denoise:
		w.mask(n)
	case v.opts.TokenLabels:
		for i := range w.ids {
			if seg, _ := w.place(i); seg == 0 && !(q.raw && (w.flags[i]&secondType != 0 || v.tok.IsSpecial(int64(w.ids[i])))) {
				w.target(i, -1)
				w.b.First = append(w.b.First, w.first(i, q.raw))
			}
		}
	}
	return nil
}

// first tells whether token i, the last target, begins a word.
func (w *writer) first(i int, raw bool) bool {
	if seg, _ := w.place(i); raw && w.segs[seg].pos != nil {
		return w.b.NER[len(w.b.NER)-1] >= 0
	}
	return w.flags[i]&groupStart != 0
}

func (w *writer) mask(n int) {
	m := &w.v.masker
	r := stream(w.v.opts.Seed, purposeMask, w.epoch, n)
	w.chosen = append(w.chosen[:0], make([]int32, len(w.ids))...)
	m.targets(r, w.ids, w.flags, w.chosen)
	var f fate
	for i, id := range w.ids {
		switch {
		case w.chosen[i] > 0:
			if m.opts.Unit != MaskSpan || i == 0 || w.chosen[i] != w.chosen[i-1] {
				f = m.fate(r)
			}
			w.b.IDs[w.at[i]] = int64(m.damage(r, id, f))
			w.target(i, id)
		case w.v.opts.RowsAll && m.maskable(id):
			w.target(i, -1)
		}
	}
}

// target appends one selected row.
func (w *writer) target(i int, mlm int32) {
	b := w.b
	pos, ner := int32(-1), int32(-1)
	if seg, k := w.place(i); w.segs[seg].pos != nil && !(w.v.opts.FirstPieces && w.flags[i]&groupStart == 0) {
		pos, ner = int32(w.segs[seg].pos[k]), int32(w.segs[seg].ner[k])
	}
	b.Rows = append(b.Rows, int64(w.at[i]))
	b.MLM, b.POS, b.NER = append(b.MLM, mlm), append(b.POS, pos), append(b.NER, ner)
}

// padRows brings R to a multiple of RowMultiple.
func (w *writer) padRows() {
	b := w.b
	if len(b.Rows) > 0 {
		for len(b.Rows)%w.v.opts.RowMultiple != 0 {
			b.Rows = append(b.Rows, b.Rows[0])
			b.MLM, b.POS, b.NER = append(b.MLM, -1), append(b.POS, -1), append(b.NER, -1)
			if w.v.opts.TokenLabels {
				b.First = append(b.First, false)
			}
		}
	}
	b.R = len(b.Rows)
}
