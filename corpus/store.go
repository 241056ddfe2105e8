package corpus

import (
	"fmt"
	"math"
	"runtime"

	"github.com/litekit/lite/corpus/tokenizer"
)

// Flags of a stored token.
const (
	groupStart    = 1 << iota // first piece of a word (for whole-word masking)
	sentenceStart             // first piece of a sentence
	secondType                // of the second segment, where ids were read as such
	flagBits      = iota
)

// tokens are pieces of text in a row and what is known of each.
type tokens struct {
	ids      []int32
	flags    []uint8
	pos, ner []int16 // nil when nothing is annotated
}

func (t *tokens) slice(lo, hi int) tokens {
	out := tokens{ids: t.ids[lo:hi], flags: t.flags[lo:hi]}
	if t.pos != nil {
		out.pos, out.ner = t.pos[lo:hi], t.ner[lo:hi]
	}
	return out
}

// sequence is one row of a batch before padding: n tokens from lo on, of which
// the first mid are those of the first text.
type sequence struct {
	lo             int64
	example, label int32
	mid, n         int32
	score          float32 // NaN none
	pair           bool    // the pair template applies
	split          bool    // the tokens are to be cut at a sentence start into two segments
	raw            bool    // the tokens were read as such: no template applies
}

// part is what one worker has tokenized.
type part struct {
	tokens
	seqs []sequence
}

// store holds the tokenized corpus: in memory, 5 bytes a token and 9 with
// annotations, until that is more than a limit; then in a temporary file, of
// which only the length of each sequence stays in memory.
type store struct {
	tokens
	seqs    []sequence
	spill   *spill   // nil in memory
	lengths []uint16 // of the sequences, special tokens included
	scored  bool     // some example has a score
	raw     bool     // some sequence is raw
}

// defaultHeld is what tokens may take before they go to a temporary file.
const defaultHeld = 64 << 20

// blockSize is the number of examples that one worker tokenizes at a time.
const blockSize = 256

// block is a part, or why there is none.
type block struct {
	part
	err error
}

// buildStore tokenizes c in parallel blocks and joins them in order; few blocks
// are under way at once.
func buildStore(c Corpus, limit int64, add func(*part, Example, int) error, length func(sequence) int) (*store, error) {
	blocks := (c.Len() + blockSize - 1) / blockSize
	queue := make(chan chan block, runtime.GOMAXPROCS(0))
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		defer close(queue)
		for b := range blocks {
			done := make(chan block, 1)
			select {
			case queue <- done:
				go func() { done <- tokenize(c, b, add) }()
			case <-stop:
				return
			}
		}
	}()
	j := joiner{limit: limit, length: length, store: &store{lengths: make([]uint16, 0, c.Len())}}
	for done := range queue {
		b := <-done
		if b.err == nil {
			b.err = j.add(b.part)
		}
		if b.err != nil {
			j.drop()
			return nil, b.err
		}
	}
	return j.finish()
}

func tokenize(c Corpus, number int, add func(*part, Example, int) error) (b block) {
	for i := number * blockSize; i < min((number+1)*blockSize, c.Len()); i++ {
		e, err := c.At(i)
		if err == nil {
			err = add(&b.part, e, i)
		}
		if err != nil {
			b.err = fmt.Errorf("corpus: %s: %w", e.Where(i), err)
			return b
		}
	}
	return b
}

// joiner puts parts in a row.
type joiner struct {
	limit, size int64
	held        []part
	store       *store
	length      func(sequence) int
	tokens      int64
	seqs        int
	labelled    bool
}

func (j *joiner) add(p part) error {
	for i := range p.seqs {
		q := &p.seqs[i]
		j.store.lengths = append(j.store.lengths, uint16(j.length(*q)))
		j.store.scored = j.store.scored || !math.IsNaN(float64(q.score))
		j.store.raw = j.store.raw || q.raw
		q.lo += j.tokens
	}
	j.tokens += int64(len(p.ids))
	if j.seqs += len(p.seqs); j.seqs > math.MaxInt32 {
		return fmt.Errorf("corpus: more than %d sequences do not fit one view; use Take or split the corpus", math.MaxInt32)
	}
	if p.pos != nil {
		p.fillLabels()
		j.labelled = true
	}
	if j.store.spill != nil {
		return j.store.spill.write(p)
	}
	j.held = append(j.held, p)
	j.size += int64(5*len(p.ids) + 4*len(p.pos) + 32*len(p.seqs))
	if j.size <= j.limit {
		return nil
	}
	var err error
	if j.store.spill, err = newSpill(j.limit); err != nil {
		return err
	}
	for k := range j.held {
		if err := j.store.spill.write(j.held[k]); err != nil {
			return err
		}
		j.held[k] = part{}
	}
	j.held = nil
	return nil
}

func (j *joiner) drop() {
	if j.store.spill != nil {
		j.store.spill.close()
	}
}

func (j *joiner) finish() (*store, error) {
	s := j.store
	if s.spill != nil {
		return s, s.spill.finish(s)
	}
	s.ids, s.flags, s.seqs = make([]int32, 0, j.tokens), make([]uint8, 0, j.tokens), make([]sequence, 0, j.seqs)
	if j.labelled {
		s.pos, s.ner = make([]int16, 0, j.tokens), make([]int16, 0, j.tokens)
	}
	for k := range j.held {
		p := &j.held[k]
		s.ids, s.flags, s.seqs = append(s.ids, p.ids...), append(s.flags, p.flags...), append(s.seqs, p.seqs...)
		if j.labelled {
			p.fillLabels()
			s.pos, s.ner = append(s.pos, p.pos...), append(s.ner, p.ner...)
		}
		j.held[k] = part{}
	}
	return s, nil
}

// load returns a sequence and its tokens, which are valid until buf is used again.
func (s *store) load(n int, buf *reader) (sequence, tokens, error) {
	if s.spill != nil {
		defer runtime.KeepAlive(s) // the files go with it
		return s.spill.load(n, buf)
	}
	q := s.seqs[n]
	return q, s.slice(int(q.lo), int(q.lo)+int(q.n)), nil
}

// each gives all tokens, some at a time, in order.
func (s *store) each(yield func(ids []int32)) {
	if s.spill == nil {
		yield(s.ids)
		return
	}
	const step = 1 << 16
	var w reader
	for lo := int64(0); lo < s.spill.written; lo += step {
		if s.spill.loadTokens(lo, min(step, s.spill.written-lo), &w) != nil {
			return
		}
		yield(w.ids)
	}
}

// fillLabels brings the label columns to the length of ids.
func (t *tokens) fillLabels() {
	for len(t.pos) < len(t.ids) {
		t.pos, t.ner = append(t.pos, -1), append(t.ner, -1)
	}
}

// text appends the tokens of one text with their groups, sentences and labels,
// and returns their range.
func (t *tokens) text(ps []tokenizer.Piece, words []Word, sentences []Span, tg tagger) (lo, hi int, err error) {
	lo = len(t.ids)
	var word []int32
	if len(words) > 0 {
		t.fillLabels()
		if t.pos, t.ner, word, err = tg.label(words, ps, t.pos, t.ner, make([]int32, 0, len(ps))); err != nil {
			return 0, 0, err
		}
	}
	next := 0
	for i, p := range ps {
		flag := uint8(0)
		if i == 0 || p.Word != ps[i-1].Word {
			flag = groupStart
		}
		if word != nil && i > 0 && word[i] >= 0 {
			flag = 0
			if word[i] != word[i-1] {
				flag = groupStart
			}
		}
		for next < len(sentences) && sentences[next].Start <= int(p.Start) {
			flag |= sentenceStart
			next++
		}
		t.ids = append(t.ids, p.ID)
		t.flags = append(t.flags, flag)
	}
	return lo, len(t.ids), nil
}
