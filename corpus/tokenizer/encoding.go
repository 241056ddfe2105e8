package tokenizer

// Encoding is a tokenized text. All slices have the same length.
type Encoding struct {
	IDs []int64
	// Tokens are as the vocabulary spells them, "##s" for a later piece. What a
	// Unigram model does not know stands as it is in the normalized text.
	Tokens []string
	// Offsets are bytes of the original text (of the pair's own text for its
	// tokens), {0,0} for special tokens that were put around it. They are the
	// original's: a token of sentencepiece covers the space before it.
	Offsets []Span
	// Word is the number of the word within its text, −1 for special tokens put
	// around it. A word is a pre-token. Where the model's pre-tokens are longer
	// than that, as in sentencepiece and byte-level models, a word also begins
	// after white space, at a Chinese character, and between punctuation and
	// what is not.
	Word  []int
	Types []int64 // token type: 0 first text, 1 second, as the post-processor says
	Seq   []int   // 0 first text, 1 second, −1 special token put around them
}

// Len returns the number of tokens.
func (e *Encoding) Len() int { return len(e.IDs) }

// Piece is one token before special tokens are put around the text. Start and
// End are bytes of the text, without white space at the ends of a token that
// has something else.
type Piece struct {
	ID, Start, End, Word int32
	name                 int32 // of what is unknown: an index into scratch.names, from 1
}

// Part is one item of what surrounds texts: a text (Seq 0 or 1, IDs nil) or
// special tokens (Seq −1).
type Part struct {
	Seq  int
	IDs  []int32
	Type int64
}

// Template returns how a text, or a pair, is put together. The caller must not
// change it.
func (t *Tokenizer) Template(pair bool) []Part {
	if pair {
		return t.post.pair
	}
	return t.post.single
}

// Overhead is the number of special tokens of a template.
func Overhead(parts []Part) (n int) {
	for _, p := range parts {
		n += len(p.IDs)
	}
	return n
}

// Encode tokenizes text and adds the special tokens of a single text.
// Truncation and padding of tokenizer.json are not applied (see Windows, Pad).
func (t *Tokenizer) Encode(text string) Encoding { return t.EncodeMax(text, "", 0) }

// EncodePair tokenizes two texts and adds the special tokens of a pair.
func (t *Tokenizer) EncodePair(a, b string) Encoding { return t.encode(a, b, true, 0) }

// EncodeMax is Encode (b empty) or EncodePair truncated to maxLength tokens,
// special ones included; a pair loses tokens of its longer text first, at the
// side that the tokenizer's configuration names. maxLength ≤ 0 means no limit;
// special tokens are always kept.
func (t *Tokenizer) EncodeMax(a, b string, maxLength int) Encoding {
	return t.encode(a, b, b != "", maxLength)
}

func (t *Tokenizer) encode(a, b string, pair bool, maxLength int) Encoding {
	s := t.pool.Get().(*scratch)
	defer t.pool.Put(s)
	s.names = s.names[:0]
	pa := t.run(s, a)
	na := len(pa)
	var pb []Piece
	if pair {
		// One buffer holds both texts' pieces.
		s.other = append(s.other[:0], pa...)
		pa, pb = s.other, t.run(s, b)
	}
	ka, kb := Fit(na, len(pb), maxLength, Overhead(t.Template(pair)))
	return t.assemble(s, pair, t.Keep(pa, ka), t.Keep(pb, kb), a, b)
}

// Keep returns the n pieces that truncation spares.
func (t *Tokenizer) Keep(ps []Piece, n int) []Piece {
	if t.truncateLeft {
		return ps[len(ps)-n:]
	}
	return ps[:n]
}

func (t *Tokenizer) assemble(s *scratch, pair bool, a, b []Piece, textA, textB string) Encoding {
	parts := t.Template(pair)
	n := Overhead(parts) + len(a) + len(b)
	e := Encoding{
		IDs: make([]int64, 0, n), Tokens: make([]string, 0, n), Offsets: make([]Span, 0, n),
		Word: make([]int, 0, n), Types: make([]int64, 0, n), Seq: make([]int, 0, n),
	}
	for _, p := range parts {
		if p.Seq < 0 {
			for _, id := range p.IDs {
				e.add(t, id, Span{}, -1, p.Type, -1)
			}
			continue
		}
		src, of := a, textA
		if p.Seq == 1 {
			src, of = b, textB
		}
		for i, x := range src {
			span := Span{int(x.Start), int(x.End)}
			if t.post.trim {
				span = t.trimmed(of, span, x.ID, i == 0)
			}
			e.add(t, x.ID, span, int(x.Word), p.Type, p.Seq)
			if x.name > 0 {
				e.Tokens[len(e.Tokens)-1] = s.names[x.name-1]
			}
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

// Fit returns how many tokens of two texts of a and b tokens stay within limit,
// special ones included, cutting the longer one first; limit ≤ 0 is none.
func Fit(a, b, limit, special int) (int, int) {
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
		return min(a, long), min(b, short)
	}
	return min(a, short), min(b, long)
}
