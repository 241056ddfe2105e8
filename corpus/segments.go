package corpus

import "github.com/litekit/lite/corpus/tokenizer"

// addTask appends the one sequence of an example for the task view; where
// tokens are labelled, a text that is too long becomes several.
func (v *View) addTask(s *store, e Example, i int) error {
	q := sequence{example: int32(i), label: int32(e.Label), pair: e.Pair != ""}
	switch {
	case !v.opts.TokenLabels:
		return v.addWhole(s, e, q, nil)
	case q.pair:
		return v.addWhole(s, e, q, e.Words)
	}
	return v.addCut(s, e, q, v.tok.Template(false), func(sequence) bool { return true })
}

// addWhole appends an example as one sequence, cut to the maximum length.
func (v *View) addWhole(s *store, e Example, q sequence, words []Word) error {
	a := v.tok.Pieces(e.Text, nil)
	var b []tokenizer.Piece
	if q.pair {
		b = v.tok.Pieces(e.Pair, nil)
	}
	na, nb := tokenizer.Fit(len(a), len(b), v.opts.MaxLength, tokenizer.Overhead(v.tok.Template(q.pair)))
	var err error
	if q.lo, q.mid, err = s.text(v.tok.Keep(a, na), words, nil, v.tagger); err != nil {
		return err
	}
	if _, q.hi, err = s.text(v.tok.Keep(b, nb), nil, nil, v.tagger); err != nil {
		return err
	}
	s.seqs = append(s.seqs, q)
	return nil
}

// addSegments cuts an example into segments for the denoise view: consecutive
// sentences are packed up to the maximum length, a longer sentence is cut, and
// nothing crosses the example.
func (v *View) addSegments(s *store, e Example, i int) error {
	q := sequence{example: int32(i), label: int32(e.Label)}
	if e.Pair != "" {
		q.pair = true
		n := len(s.seqs)
		if err := v.addWhole(s, e, q, e.Words); err != nil {
			return err
		}
		if last := s.seqs[n]; !v.hasMaskable(s, last.lo, last.hi) {
			s.seqs = s.seqs[:n]
		}
		return nil
	}
	tpl := v.tok.Template(v.opts.SentencePairs)
	return v.addCut(s, e, q, tpl, func(q sequence) bool { return v.hasMaskable(s, q.lo, q.hi) })
}

// addCut appends the segments of an example's text that are wanted, each as
// long as tpl has room for.
func (v *View) addCut(s *store, e Example, q sequence, tpl []tokenizer.Part, want func(sequence) bool) error {
	sentences := e.Sentences
	if sentences == nil {
		sentences = SplitSentences(e.Text)
	}
	lo, hi, err := s.text(v.tok.Pieces(e.Text, nil), e.Words, sentences, v.tagger)
	if err != nil {
		return err
	}
	room := int32(v.opts.MaxLength - tokenizer.Overhead(tpl))
	for lo < hi {
		end := v.cut(s, lo, hi, room)
		q.lo, q.mid, q.hi = lo, end, end
		q.split = v.denoise && v.opts.SentencePairs && nextSentence(s, lo, end) < end
		if want(q) {
			s.seqs = append(s.seqs, q)
		}
		lo = end
	}
	return nil
}

// cut returns the end of the segment that starts at lo: the last sentence start
// within room, else a word start, else lo+room.
func (v *View) cut(s *store, lo, hi, room int32) int32 {
	if hi-lo <= room {
		return hi
	}
	for _, flag := range []uint8{sentenceStart, groupStart} {
		for k := lo + room; k > lo; k-- {
			if s.flags[k]&flag != 0 {
				return k
			}
		}
	}
	return lo + room
}

// nextSentence returns the first sentence start after lo, or hi.
func nextSentence(s *store, lo, hi int32) int32 {
	for k := lo + 1; k < hi; k++ {
		if s.flags[k]&sentenceStart != 0 {
			return k
		}
	}
	return hi
}

func (v *View) hasMaskable(s *store, lo, hi int32) bool {
	for _, id := range s.ids[lo:hi] {
		if v.masker.maskable(id) {
			return true
		}
	}
	return false
}

// layout resolves the segments of a sequence for one epoch: their ranges in
// reading order and the order label. Split segments (Lan et al., ALBERT, arXiv
// 1909.11942, section 3.1) are cut at a random sentence start and swapped in
// half of the cases.
func (v *View) layout(n, epoch int) (first, second [2]int32, pair bool, order int32) {
	q := v.store.seqs[n]
	if !q.split {
		return [2]int32{q.lo, q.mid}, [2]int32{q.mid, q.hi}, q.pair, -1
	}
	r := stream(v.opts.Seed, purposeSplit, epoch, n)
	var starts []int32
	for k := nextSentence(v.store, q.lo, q.hi); k < q.hi; k = nextSentence(v.store, k, q.hi) {
		starts = append(starts, k)
	}
	mid := starts[r.IntN(len(starts))]
	first, second = [2]int32{q.lo, mid}, [2]int32{mid, q.hi}
	if r.Uint64()&1 == 1 {
		return second, first, true, 1
	}
	return first, second, true, 0
}

// length returns the number of tokens of sequence n, special ones included.
func (v *View) length(n int) int {
	q := v.store.seqs[n]
	return int(q.hi-q.lo) + tokenizer.Overhead(v.tok.Template(q.pair || q.split))
}
