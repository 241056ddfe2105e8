package corpus

import (
	"math"

	"github.com/litekit/lite/corpus/tokenizer"
)

// sequenceOf is the sequence of example i, without tokens so far.
func sequenceOf(e *Example, i int) sequence {
	q := sequence{example: int32(i), label: int32(e.Label), pair: e.Pair != "", score: float32(math.NaN())}
	if e.Score != nil {
		q.score = float32(*e.Score)
	}
	return q
}

// addTask appends the one sequence of an example for the task view; where
// tokens are labelled, a text that is too long becomes several.
func (v *View) addTask(p *part, e Example, i int) error {
	q := sequenceOf(&e, i)
	switch {
	case e.Tokens != nil:
		return v.addIDs(p, e.Tokens, q)
	case !v.tok.ReadsText():
		return errBlind
	case !v.opts.TokenLabels:
		return v.addWhole(p, e, q, nil)
	case q.pair:
		return v.addWhole(p, e, q, e.Words)
	}
	return v.addCut(p, e, q, v.tok.Template(false), func([]int32) bool { return true })
}

// addWhole appends an example as one sequence, cut to the maximum length.
func (v *View) addWhole(p *part, e Example, q sequence, words []Word) error {
	a := v.tok.Pieces(e.Text, nil)
	var b []tokenizer.Piece
	if q.pair {
		b = v.tok.Pieces(e.Pair, nil)
	}
	na, nb := tokenizer.Fit(len(a), len(b), v.opts.MaxLength, tokenizer.Overhead(v.tok.Template(q.pair)))
	lo, mid, err := p.text(v.tok.Keep(a, na), words, nil, v.tagger)
	if err != nil {
		return err
	}
	_, hi, err := p.text(v.tok.Keep(b, nb), nil, nil, v.tagger)
	if err != nil {
		return err
	}
	q.lo, q.mid, q.n = int64(lo), int32(mid-lo), int32(hi-lo)
	p.seqs = append(p.seqs, q)
	return nil
}

// addSegments cuts an example into segments for the denoise view: consecutive
// sentences are packed up to the maximum length, a longer sentence is cut, and
// nothing crosses the example.
func (v *View) addSegments(p *part, e Example, i int) error {
	q := sequenceOf(&e, i)
	if e.Tokens != nil {
		return v.addIDs(p, e.Tokens, q)
	}
	if !v.tok.ReadsText() {
		return errBlind
	}
	if q.pair {
		n := len(p.seqs)
		if err := v.addWhole(p, e, q, e.Words); err != nil {
			return err
		}
		if !v.hasMaskable(p.ids[p.seqs[n].lo:]) {
			p.seqs = p.seqs[:n]
		}
		return nil
	}
	return v.addCut(p, e, q, v.tok.Template(v.twoSegments()), v.hasMaskable)
}

// twoSegments tells whether a denoise view cuts its segments in two.
func (v *View) twoSegments() bool { return v.opts.SentencePairs || v.opts.NextSentence }

// addCut appends the segments of an example's text that are wanted, each as
// long as tpl has room for.
func (v *View) addCut(p *part, e Example, q sequence, tpl []tokenizer.Part, want func(ids []int32) bool) error {
	sentences := e.Sentences
	if sentences == nil {
		sentences = SplitSentences(e.Text)
	}
	lo, hi, err := p.text(v.tok.Pieces(e.Text, nil), e.Words, sentences, v.tagger)
	if err != nil {
		return err
	}
	room := v.opts.MaxLength - tokenizer.Overhead(tpl)
	for lo < hi {
		end := lo + cut(p.flags[lo:hi], room)
		q.lo, q.mid, q.n = int64(lo), int32(end-lo), int32(end-lo)
		q.split = v.denoise && v.twoSegments() && nextSentence(p.flags[lo:end], 0) < end-lo
		if want(p.ids[lo:end]) {
			p.seqs = append(p.seqs, q)
		}
		lo = end
	}
	return nil
}

// cut returns how many of the tokens make the first segment: up to the last
// sentence start within room, else a word start, else room.
func cut(flags []uint8, room int) int {
	if len(flags) <= room {
		return len(flags)
	}
	for _, flag := range []uint8{sentenceStart, groupStart} {
		for k := room; k > 0; k-- {
			if flags[k]&flag != 0 {
				return k
			}
		}
	}
	return room
}

// nextSentence returns the first sentence start after lo, or the end.
func nextSentence(flags []uint8, lo int) int {
	for k := lo + 1; k < len(flags); k++ {
		if flags[k]&sentenceStart != 0 {
			return k
		}
	}
	return len(flags)
}

func (v *View) hasMaskable(ids []int32) bool {
	for _, id := range ids {
		if v.masker.maskable(id) {
			return true
		}
	}
	return false
}

// length returns the number of tokens of a sequence, special ones included.
func (v *View) length(q sequence) int {
	if q.raw {
		return int(q.n)
	}
	return int(q.n) + tokenizer.Overhead(v.tok.Template(q.pair || q.split))
}
