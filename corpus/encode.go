package corpus

import (
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Encode tokenizes text and adds the special tokens of a single text.
func (t *Tokenizer) Encode(text string) Encoding { return t.EncodeMax(text, "", 0) }

// EncodePair tokenizes two texts and adds the special tokens of a pair.
func (t *Tokenizer) EncodePair(a, b string) Encoding {
	return t.assemble(t.pair, t.pieces(a), t.pieces(b), 0)
}

// EncodeMax is Encode (b empty) or EncodePair truncated to maxLength tokens,
// special ones included; a pair loses tokens from the end of its longer text
// first. maxLength ≤ 0 means no limit; special tokens are always kept.
func (t *Tokenizer) EncodeMax(a, b string, maxLength int) Encoding {
	if b == "" {
		return t.assemble(t.single, t.pieces(a), nil, maxLength)
	}
	return t.assemble(t.pair, t.pieces(a), t.pieces(b), maxLength)
}

func (t *Tokenizer) assemble(tpl []templatePiece, a, b []piece, maxLength int) Encoding {
	na, nb := fit(len(a), len(b), maxLength, overhead(tpl))
	a, b = a[:na], b[:nb]
	n := overhead(tpl) + na + nb
	e := Encoding{
		IDs: make([]int64, 0, n), Tokens: make([]string, 0, n), Offsets: make([]Span, 0, n),
		Word: make([]int, 0, n), Types: make([]int64, 0, n), Seq: make([]int, 0, n),
	}
	for _, p := range tpl {
		if p.seq < 0 {
			for _, id := range p.ids {
				e.add(t, id, Span{}, -1, p.kind, -1)
			}
			continue
		}
		src := a
		if p.seq == 1 {
			src = b
		}
		for _, x := range src {
			e.add(t, x.id, Span{int(x.start), int(x.end)}, int(x.word), p.kind, p.seq)
		}
	}
	return e
}

func (e *Encoding) add(t *Tokenizer, id int32, s Span, word int, kind int64, seq int) {
	e.IDs = append(e.IDs, int64(id))
	e.Tokens = append(e.Tokens, t.tokens[id])
	e.Offsets = append(e.Offsets, s)
	e.Word = append(e.Word, word)
	e.Types = append(e.Types, kind)
	e.Seq = append(e.Seq, seq)
}

// overhead counts the special tokens of a template.
func overhead(tpl []templatePiece) (n int) {
	for _, p := range tpl {
		n += len(p.ids)
	}
	return n
}

// fit returns how many tokens of two texts of a and b tokens stay within limit,
// cutting the longer one first.
func fit(a, b, limit, special int) (int, int) {
	if limit <= 0 {
		return a, b
	}
	limit = max(limit-special, 0)
	if a+b <= limit {
		return a, b
	}
	short, long := min(a, b), 0
	if short > limit {
		long = short
	} else {
		long = max(short, limit-short)
	}
	if short+long > limit {
		short, long = limit/2, limit/2+limit%2
	}
	if a > b {
		return long, short
	}
	return short, long
}

// pieces tokenizes text without special tokens around it.
func (t *Tokenizer) pieces(text string) []piece {
	s := t.pool.Get().(*scratch)
	out := append([]piece(nil), t.run(s, text)...)
	t.pool.Put(s)
	return out
}

// run tokenizes into s.out, which stays valid until s is used again.
func (t *Tokenizer) run(s *scratch, text string) []piece {
	s.out = s.out[:0]
	word := int32(0)
	from := 0
	for from < len(text) {
		lo, hi, id := t.raw.next(text, from)
		end := lo
		if id < 0 {
			end = len(text)
		}
		word = t.section(s, text, from, end, word)
		if id < 0 {
			break
		}
		s.out = append(s.out, piece{id, int32(lo), int32(hi), word})
		word++
		from = hi
	}
	return s.out
}

// section normalizes text[lo:hi] and tokenizes it; added tokens that are
// matched in normalized text are cut out first.
func (t *Tokenizer) section(s *scratch, text string, lo, hi int, word int32) int32 {
	if lo >= hi {
		return word
	}
	s.b, s.start, s.end = s.b[:0], s.start[:0], s.end[:0]
	t.norm.apply(s, text, lo, hi)
	if len(t.cooked.contents) == 0 {
		return t.words(s, 0, len(s.b), word)
	}
	b := string(s.b)
	for from := 0; from < len(b); {
		lo, hi, id := t.cooked.next(b, from)
		if id < 0 {
			return t.words(s, from, len(b), word)
		}
		word = t.words(s, from, lo, word)
		if lo < hi {
			s.out = append(s.out, piece{id, s.start[lo], s.end[hi-1], word})
			word++
		}
		from = hi
	}
	return word
}

// words splits the normalized bytes [lo,hi) at white space and punctuation.
func (t *Tokenizer) words(s *scratch, lo, hi int, word int32) int32 {
	for {
		start, end, chars := nextWord(s.b[:hi], lo)
		if start == end {
			return word
		}
		t.wordPiece(s, start, end, chars, word)
		word++
		lo = end
	}
}

// nextWord finds the first word at or after at and counts its characters; a
// punctuation mark is a word of its own. start = end when there is none.
func nextWord(b []byte, at int) (start, end, chars int) {
	start = at
	for i := at; i < len(b); {
		c, w := b[i], 1
		var space, punct bool
		if c < utf8.RuneSelf {
			class := asciiClass[c]
			space, punct = class == asciiSpace || c == '\v' || c == '\f', class == asciiPunct
		} else {
			var r rune
			r, w = utf8.DecodeRune(b[i:])
			space, punct = unicode.IsSpace(r), unicode.IsPunct(r)
		}
		switch {
		case !space && !punct:
			i += w
			chars++
		case chars > 0:
			return start, i, chars
		case punct:
			return i, i + w, 1
		default:
			i += w
			start = i
		}
	}
	return start, len(b), chars
}

// wordPiece cuts one word into the longest pieces of the vocabulary from left
// to right; a word with a part that no piece covers is unknown as a whole.
func (t *Tokenizer) wordPiece(s *scratch, lo, hi, chars int, word int32) {
	n := len(s.out)
	if chars <= t.maxChars {
		node := int32(0)
		for at := lo; at < hi; node = t.cont {
			id, end := int32(-1), at
			for i := at; i < hi && node >= 0; i++ {
				if node = t.trie.step(node, s.b[i]); node >= 0 && t.trie.id[node] >= 0 {
					id, end = t.trie.id[node], i+1
				}
			}
			if id < 0 {
				s.out = s.out[:n]
				break
			}
			s.out = append(s.out, piece{id, s.start[at], s.end[end-1], word})
			at = end
		}
	}
	if len(s.out) == n {
		s.out = append(s.out, piece{t.unk, s.start[lo], s.end[hi-1], word})
	}
}

// splitter finds added tokens, leftmost and longest first.
type splitter struct {
	first    [256]bool
	contents []addedToken // longest first
}

func newSplitter(t *Tokenizer, normalized bool) splitter {
	var sp splitter
	for _, a := range t.added {
		if a.Normalized != normalized {
			continue
		}
		if normalized {
			var s scratch
			t.norm.apply(&s, a.Content, 0, len(a.Content))
			a.Content = strings.TrimSpace(string(s.b))
		}
		if a.Content != "" {
			sp.contents = append(sp.contents, a)
			sp.first[a.Content[0]] = true
		}
	}
	sort.SliceStable(sp.contents, func(i, j int) bool { return len(sp.contents[i].Content) > len(sp.contents[j].Content) })
	return sp
}

// next finds the first added token at or after from; id −1 if there is none.
// The range covers the white space that the token strips.
func (sp *splitter) next(text string, from int) (lo, hi int, id int32) {
	if len(sp.contents) == 0 {
		return 0, 0, -1
	}
	for i := from; i < len(text); i++ {
		if !sp.first[text[i]] {
			continue
		}
		for _, a := range sp.contents {
			if !strings.HasPrefix(text[i:], a.Content) {
				continue
			}
			lo, hi = i, i+len(a.Content)
			if a.SingleWord && (wordEnds(text[:lo]) || wordStarts(text[hi:])) {
				continue
			}
			if a.LStrip {
				lo = from + len(strings.TrimRightFunc(text[from:lo], unicode.IsSpace))
			}
			if a.RStrip {
				hi = len(text) - len(strings.TrimLeftFunc(text[hi:], unicode.IsSpace))
			}
			return lo, hi, a.ID
		}
	}
	return 0, 0, -1
}

func wordEnds(s string) bool {
	r, w := utf8.DecodeLastRuneInString(s)
	return w > 0 && isWordRune(r)
}

func wordStarts(s string) bool {
	r, w := utf8.DecodeRuneInString(s)
	return w > 0 && isWordRune(r)
}

func isWordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' }
