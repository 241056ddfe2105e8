package corpus

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/litekit/lite/corpus/tokenizer"
)

// Flags of a stored token.
const (
	groupStart    = 1 << iota // first piece of a word (for whole-word masking)
	sentenceStart             // first piece of a sentence
)

// store holds the tokenized corpus: 5 bytes a token, 9 with annotations.
type store struct {
	ids      []int32
	flags    []uint8
	pos, ner []int16 // nil when nothing is annotated
	seqs     []sequence
}

// sequence is one row of a batch before padding: tokens [lo,mid) of the first
// text and [mid,hi) of the second.
type sequence struct {
	example, lo, mid, hi int32
	label                int32
	pair                 bool // the pair template applies
	split                bool // [lo,hi) is to be cut at a sentence start into two segments
}

// blockSize is the number of examples that one worker tokenizes at a time.
const blockSize = 256

// buildStore tokenizes c in parallel blocks and joins them in order.
func buildStore(c Corpus, add func(*store, Example, int) error) (*store, error) {
	blocks := (c.Len() + blockSize - 1) / blockSize
	parts, errs := make([]store, blocks), make([]error, blocks)
	var wg sync.WaitGroup
	gate := make(chan struct{}, runtime.GOMAXPROCS(0))
	for b := range blocks {
		gate <- struct{}{}
		wg.Add(1)
		go func() {
			defer func() { <-gate; wg.Done() }()
			for i := b * blockSize; i < min((b+1)*blockSize, c.Len()) && errs[b] == nil; i++ {
				e, err := c.At(i)
				if err == nil {
					err = add(&parts[b], e, i)
				}
				if err != nil {
					errs[b] = fmt.Errorf("corpus: example %d: %w", i, err)
				}
			}
		}()
	}
	wg.Wait()
	total, seqs, labelled := 0, 0, false
	for b := range parts {
		if errs[b] != nil {
			return nil, errs[b]
		}
		total += len(parts[b].ids)
		seqs += len(parts[b].seqs)
		labelled = labelled || parts[b].pos != nil
	}
	if total > 1<<31-1 {
		return nil, fmt.Errorf("corpus: %d tokens; at most %d fit one view: use Take or split the corpus", total, 1<<31-1)
	}
	out := &store{ids: make([]int32, 0, total), flags: make([]uint8, 0, total), seqs: make([]sequence, 0, seqs)}
	if labelled {
		out.pos, out.ner = make([]int16, 0, total), make([]int16, 0, total)
	}
	for b := range parts {
		out.join(&parts[b], labelled)
		parts[b] = store{}
	}
	return out, nil
}

func (s *store) join(p *store, labelled bool) {
	base := int32(len(s.ids))
	s.ids = append(s.ids, p.ids...)
	s.flags = append(s.flags, p.flags...)
	if labelled {
		p.fillLabels()
		s.pos, s.ner = append(s.pos, p.pos...), append(s.ner, p.ner...)
	}
	for _, q := range p.seqs {
		q.lo, q.mid, q.hi = q.lo+base, q.mid+base, q.hi+base
		s.seqs = append(s.seqs, q)
	}
}

// fillLabels brings the label columns to the length of ids.
func (s *store) fillLabels() {
	for len(s.pos) < len(s.ids) {
		s.pos, s.ner = append(s.pos, -1), append(s.ner, -1)
	}
}

// text appends the tokens of one text with their groups, sentences and labels,
// and returns their range.
func (s *store) text(ps []tokenizer.Piece, words []Word, sentences []Span, tg tagger) (lo, hi int32, err error) {
	lo = int32(len(s.ids))
	var word []int32
	if len(words) > 0 {
		s.fillLabels()
		if s.pos, s.ner, word, err = tg.label(words, ps, s.pos, s.ner, make([]int32, 0, len(ps))); err != nil {
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
		s.ids = append(s.ids, p.ID)
		s.flags = append(s.flags, flag)
	}
	return lo, int32(len(s.ids)), nil
}
