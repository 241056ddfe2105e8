package tokenizer

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// normalizer rewrites a section of text. It reads in and appends to out.
type normalizer interface{ normalize(in, out *text) }

// eachRune is a normalizer that treats one character at a time: f appends what
// becomes of the character r.
type eachRune func(out *text, r rune, start, end int32)

func (f eachRune) normalize(in, out *text) {
	for i := 0; i < len(in.b); {
		r, w := rune(in.b[i]), 1
		if r >= utf8.RuneSelf {
			r, w = utf8.DecodeRune(in.b[i:])
		}
		f(out, r, in.start[i], in.end[i])
		i += w
	}
}

// lowercase is the normalizer Lowercase.
type lowercase struct{}

func (lowercase) normalize(in, out *text) {
	for i := 0; i < len(in.b); {
		if c := in.b[i]; c < utf8.RuneSelf {
			if c >= 'A' && c <= 'Z' {
				c += 'a' - 'A'
			}
			out.byte(c, in.start[i], in.end[i])
			i++
			continue
		}
		r, w := utf8.DecodeRune(in.b[i:])
		lower(out, in.b, r, i, in.start[i], in.end[i])
		i += w
	}
}

// stripAccents drops all marks; the text is usually decomposed before.
func stripAccents(out *text, r rune, start, end int32) {
	if r < 0x300 || !unicode.Is(unicode.M, r) {
		out.rune(r, start, end)
	}
}

// nmt drops control characters and makes odd white space plain, as
// sentencepiece's NMT rules do.
func nmt(out *text, r rune, start, end int32) {
	switch {
	case r >= 1 && r <= 8, r == 0x0B, r >= 0x0E && r <= 0x1F, r == 0x7F, r == 0x8F, r == 0x9F:
		return
	case r == '\t', r == '\n', r == '\f', r == '\r', r == 0x1680, r >= 0x200B && r <= 0x200F, r == 0x2028, r == 0x2029, r == 0x2581, r == 0xFEFF, r == 0xFFFD:
		r = ' '
	}
	out.rune(r, start, end)
}

// strip removes white space at the ends.
type strip struct{ left, right bool }

func (n strip) normalize(in, out *text) {
	lo, hi := 0, len(in.b)
	if n.left {
		lo = hi - len(bytes.TrimLeftFunc(in.b, unicode.IsSpace))
	}
	if n.right {
		hi = lo + len(bytes.TrimRightFunc(in.b[lo:], unicode.IsSpace))
	}
	out.copy(in, lo, hi)
}

// prepend puts a string before a text that is not empty; it stands for the
// text's first character.
type prepend string

func (n prepend) normalize(in, out *text) {
	if len(in.b) > 0 {
		out.put(string(n), in.start[0], in.end[0])
	}
	out.copy(in, 0, len(in.b))
}

// replace puts content for every match of a pattern; it stands for the last
// character of the match.
type replace struct {
	pattern pattern
	content string
}

func (n replace) normalize(in, out *text) {
	last := 0
	eachMatch(n.pattern, in.b, func(lo, hi int) {
		out.copy(in, last, lo)
		if hi > 0 {
			out.put(n.content, in.start[hi-1], in.end[hi-1])
		} else if len(in.b) > 0 {
			out.put(n.content, in.start[0], in.start[0])
		}
		last = hi
	})
	out.copy(in, last, len(in.b))
}

// normalizers applies one after the other.
type normalizers []normalizer

// run normalizes t in place, with tmp as the second buffer.
func (ns normalizers) run(t, tmp *text) {
	for _, n := range ns {
		tmp.reset()
		n.normalize(t, tmp)
		*t, *tmp = *tmp, *t
	}
}

// pattern finds the first match at or after from, which may be empty; lo is
// −1 where there is none.
type pattern interface {
	find(b []byte, from int) (lo, hi int)
}

// eachMatch visits the matches in order. An empty match counts unless the one
// before ends there.
func eachMatch(p pattern, b []byte, visit func(lo, hi int)) {
	for at, last := 0, -1; at <= len(b); {
		lo, hi := p.find(b, at)
		switch {
		case lo < 0:
			return
		case lo < hi || hi != last:
			visit(lo, hi)
			at, last = hi, hi
		case hi == len(b):
			return
		default:
			_, w := utf8.DecodeRune(b[hi:])
			at = hi + w
		}
	}
}

// literal is a pattern that is a plain string.
type literal string

func (p literal) find(b []byte, from int) (lo, hi int) {
	if p == "" {
		return -1, -1
	}
	k := bytes.Index(b[from:], []byte(p))
	if k < 0 {
		return -1, -1
	}
	return from + k, from + k + len(p)
}

// class is a pattern that matches one character.
type class func(r rune) bool

func (p class) find(b []byte, from int) (lo, hi int) {
	for i := from; i < len(b); {
		r, w := utf8.DecodeRune(b[i:])
		if p(r) {
			return i, i + w
		}
		i += w
	}
	return -1, -1
}
