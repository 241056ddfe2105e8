package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// scratch is the working space of one goroutine.
type scratch struct {
	p     pretext
	out   []Piece
	other []Piece
	toks  []token
	memo  memo
	names []string // what unknown pieces are, see Piece.name
}

// Pieces appends the tokens of text to to, without special tokens around them.
func (t *Tokenizer) Pieces(text string, to []Piece) []Piece {
	s := t.pool.Get().(*scratch)
	defer t.pool.Put(s)
	n := len(to)
	s.names = s.names[:0]
	to = append(to, t.run(s, text)...)
	for i := n; i < len(to); i++ {
		p := &to[i]
		p.name = 0
		span := Trim(text, Span{int(p.Start), int(p.End)})
		p.Start, p.End = int32(span.Start), int32(span.End)
	}
	return to
}

// Trim takes the white space off the ends of a span, unless it is all there is.
func Trim(text string, s Span) Span {
	if s.Start >= s.End || !spaceAt(text, s.Start) && !spaceBefore(text, s.End) {
		return s
	}
	part := text[s.Start:s.End]
	left := len(part) - len(strings.TrimLeftFunc(part, unicode.IsSpace))
	if left == len(part) {
		return s
	}
	right := len(strings.TrimRightFunc(part, unicode.IsSpace))
	return Span{s.Start + left, s.Start + right}
}

func spaceAt(text string, at int) bool {
	if c := text[at]; c < utf8.RuneSelf {
		return asciiKind[c] == kindSpace
	}
	r, _ := utf8.DecodeRuneInString(text[at:])
	return unicode.IsSpace(r)
}

func spaceBefore(text string, at int) bool {
	if c := text[at-1]; c < utf8.RuneSelf {
		return asciiKind[c] == kindSpace
	}
	r, _ := utf8.DecodeLastRuneInString(text[:at])
	return unicode.IsSpace(r)
}

// run tokenizes into s.out, which stays valid until s is used again.
func (t *Tokenizer) run(s *scratch, text string) []Piece {
	s.out = s.out[:0]
	word := int32(0)
	for from := 0; from < len(text); {
		lo, hi, id := t.raw.next(text, from)
		if id < 0 {
			t.section(s, text, from, len(text), word)
			break
		}
		word = t.section(s, text, from, lo, word)
		s.out = append(s.out, Piece{ID: id, Start: int32(lo), End: int32(hi), Word: word})
		word++
		from = hi
	}
	if t.refine {
		refineWords(text, s.out)
	}
	return s.out
}

// section normalizes text[lo:hi] and tokenizes it; added tokens that are
// matched in normalized text are cut out first. word numbers the first word.
func (t *Tokenizer) section(s *scratch, text string, lo, hi int, word int32) int32 {
	if lo >= hi {
		return word
	}
	p := &s.p
	p.t.reset()
	p.t.load(text, lo, hi)
	t.norm.run(&p.t, &p.tmp)
	if t.cooked.trie == nil {
		return t.words(s, cut{0, int32(len(p.t.b))}, lo == 0, word)
	}
	whole := cloneText(p.t)
	b := string(whole.b)
	for from := 0; from < len(b); {
		lo2, hi2, id := t.cooked.next(b, from)
		end := lo2
		if id < 0 {
			end = len(b)
		}
		if from < end {
			p.t.reset()
			p.t.copy(&whole, from, end)
			word = t.words(s, cut{0, int32(end - from)}, lo == 0 && from == 0, word)
		}
		if id < 0 {
			break
		}
		if lo2 < hi2 {
			s.out = append(s.out, Piece{ID: id, Start: whole.start[lo2], End: whole.end[hi2-1], Word: word})
			word++
		}
		from = hi2
	}
	return word
}

// cloneText copies a text, so that the buffer can be used again.
func cloneText(t text) text {
	return text{append([]byte(nil), t.b...), append([]int32(nil), t.start...), append([]int32(nil), t.end...)}
}

// words cuts a normalized section into pre-tokens and those into tokens.
func (t *Tokenizer) words(s *scratch, c cut, first bool, word int32) int32 {
	p := &s.p
	if c.lo == c.hi {
		return word
	}
	p.cuts, p.first = append(p.cuts[:0], c), first
	for _, pre := range t.pre {
		pre.split(p)
		p.first = p.first && len(p.cuts) == 1
	}
	for _, c := range p.cuts {
		if c.lo == c.hi {
			continue
		}
		s.toks = s.memo.tokenize(t.model, p.t.b[c.lo:c.hi], s.toks[:0])
		for _, x := range s.toks {
			piece := Piece{ID: x.id, Start: p.t.start[c.lo+x.lo], End: p.t.end[c.lo+x.hi-1], Word: word}
			if x.id == t.surface {
				s.names = append(s.names, string(p.t.b[c.lo+x.lo:c.lo+x.hi]))
				piece.name = int32(len(s.names))
			}
			s.out = append(s.out, piece)
		}
		word++
	}
	return word
}

// Kinds of characters that words are told apart by.
const (
	wordOther = iota
	wordPunct
	wordHan
	wordSpace
)

func wordKind(r rune) int {
	switch {
	case unicode.IsSpace(r):
		return wordSpace
	case IsPunct(r):
		return wordPunct
	case IsChinese(r):
		return wordHan
	}
	return wordOther
}

// refineWords numbers words anew where pre-tokens are longer than words.
func refineWords(text string, ps []Piece) {
	word, pre := int32(-1), int32(-1)
	kind, end := wordSpace, 0 // of the last character before, and where it ends
	for i := range ps {
		p := &ps[i]
		span := Trim(text, Span{int(p.Start), int(p.End)})
		r, _ := utf8.DecodeRuneInString(text[span.Start:])
		first := wordKind(r)
		starts := p.Word != pre
		// A part of the same character goes on with the word, and so does what
		// follows a mark that stands for white space alone.
		if !starts && span.Start >= end && kind != wordSpace {
			starts = first == wordHan || first != kind || spaceBefore(text, span.Start)
		}
		if starts {
			word++
		}
		r, _ = utf8.DecodeLastRuneInString(text[:span.End])
		kind, end = wordKind(r), int(p.End)
		pre, p.Word = p.Word, word
	}
}
