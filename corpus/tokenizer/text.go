package tokenizer

import "unicode/utf8"

// Span is a half-open range of byte offsets [Start, End) into a text.
type Span struct{ Start, End int }

// Len returns the number of bytes covered.
func (s Span) Len() int { return s.End - s.Start }

// Overlaps reports whether the two spans share at least one byte.
func (s Span) Overlaps(o Span) bool { return s.Start < o.End && o.Start < s.End }

// text is a section of text on its way through the pipeline: its bytes, and for
// each of them the bytes of the original that it came from. The bytes are
// always valid UTF-8, except where a byte-level model reads them as they are.
type text struct {
	b          []byte
	start, end []int32
}

func (t *text) reset() { t.b, t.start, t.end = t.b[:0], t.start[:0], t.end[:0] }

func (t *text) byte(c byte, start, end int32) {
	t.b = append(t.b, c)
	t.start = append(t.start, start)
	t.end = append(t.end, end)
}

func (t *text) rune(r rune, start, end int32) {
	if r >= 0 && r < utf8.RuneSelf {
		t.byte(byte(r), start, end)
		return
	}
	n := len(t.b)
	t.b = utf8.AppendRune(t.b, r)
	for range len(t.b) - n {
		t.start = append(t.start, start)
		t.end = append(t.end, end)
	}
}

// put appends s, all of it standing for the same bytes of the original.
func (t *text) put(s string, start, end int32) {
	t.b = append(t.b, s...)
	for range len(s) {
		t.start = append(t.start, start)
		t.end = append(t.end, end)
	}
}

// copy appends the bytes [lo,hi) of from.
func (t *text) copy(from *text, lo, hi int) {
	t.b = append(t.b, from.b[lo:hi]...)
	t.start = append(t.start, from.start[lo:hi]...)
	t.end = append(t.end, from.end[lo:hi]...)
}

// load appends s[lo:hi]; a byte that is not UTF-8 becomes U+FFFD.
func (t *text) load(s string, lo, hi int) {
	for i := lo; i < hi; {
		if c := s[i]; c < utf8.RuneSelf {
			t.byte(c, int32(i), int32(i+1))
			i++
			continue
		}
		r, w := utf8.DecodeRuneInString(s[i:hi])
		t.rune(r, int32(i), int32(i+w))
		i += w
	}
}

// change is one character of a transformed text: how many characters of the
// text before it replaces. by = 0 replaces one, by > 0 is an additional
// character after the one before, by < 0 replaces one and removes −by after it.
type change struct {
	r  rune
	by int
}

// transform appends to out what the changes make of the bytes [lo,hi) of t; the
// first skip characters are removed. An additional character stands for what
// the byte before the current place stands for.
func (t *text) transform(out *text, lo, hi int, changes []change, skip int) {
	at := lo
	next := func() {
		if at < hi {
			_, w := utf8.DecodeRune(t.b[at:hi])
			at += w
		}
	}
	for range skip {
		next()
	}
	for _, c := range changes {
		switch {
		case c.by > 0 && at > lo:
			out.rune(c.r, t.start[at-1], t.end[at-1])
		case c.by > 0 || at >= hi:
			var start int32
			if lo < len(t.start) {
				start = t.start[lo]
			}
			out.rune(c.r, start, start)
		default:
			out.rune(c.r, t.start[at], t.end[at])
		}
		if c.by <= 0 {
			for range 1 - c.by {
				next()
			}
		}
	}
}
