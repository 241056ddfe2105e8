package tokenizer

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// preTokenizer cuts a section into pre-tokens, within which the model works.
type preTokenizer interface{ split(p *pretext) }

// cut is a range of bytes of a pretext.
type cut struct{ lo, hi int32 }

// pretext is a normalized section of text as its pre-tokens.
type pretext struct {
	t    text
	cuts []cut
	// first is set while the whole section is one pre-token that begins at the
	// text's start.
	first bool

	tmp     text
	tmpCuts []cut
	matches []segment
}

// each replaces every pre-token by those that f emits, in order; empty ones are
// dropped. f gets a pre-token's bytes and emits ranges of them.
func (p *pretext) each(f func(b []byte, emit func(lo, hi int))) {
	out := p.tmpCuts[:0]
	base := int32(0)
	emit := func(lo, hi int) {
		if lo < hi {
			out = append(out, cut{base + int32(lo), base + int32(hi)})
		}
	}
	for _, c := range p.cuts {
		base = c.lo
		f(p.t.b[c.lo:c.hi], emit)
	}
	p.cuts, p.tmpCuts = out, p.cuts
}

// rewrite replaces the text of every pre-token by what f appends to out.
func (p *pretext) rewrite(f func(i int, c cut, in, out *text)) {
	p.tmp.reset()
	for i, c := range p.cuts {
		lo := int32(len(p.tmp.b))
		f(i, c, &p.t, &p.tmp)
		p.cuts[i] = cut{lo, int32(len(p.tmp.b))}
	}
	p.t, p.tmp = p.tmp, p.t
}

// preTokenizers applies one after the other.
type preTokenizers []preTokenizer

func (s preTokenizers) split(p *pretext) {
	for _, x := range s {
		x.split(p)
	}
}

// behaviour says what becomes of the matches of a pattern that cuts.
type behaviour int

const (
	removed behaviour = iota
	isolated
	mergedWithPrevious
	mergedWithNext
	contiguous
)

var behaviours = map[string]behaviour{
	"Removed": removed, "Isolated": isolated, "MergedWithPrevious": mergedWithPrevious,
	"MergedWithNext": mergedWithNext, "Contiguous": contiguous,
}

// segment is a match of a pattern, or what lies between matches.
type segment struct {
	lo, hi int
	match  bool
}

// splitter cuts at the matches of a pattern.
type splitter struct {
	pattern pattern
	how     behaviour
	invert  bool // what lies between matches counts as match
}

func (s splitter) split(p *pretext) {
	p.each(func(b []byte, emit func(lo, hi int)) {
		p.matches = p.matches[:0]
		last := 0
		between := func(lo, hi int) {
			if lo < hi {
				p.matches = append(p.matches, segment{lo, hi, s.invert})
			}
		}
		eachMatch(s.pattern, b, func(lo, hi int) {
			between(last, lo)
			p.matches = append(p.matches, segment{lo, hi, !s.invert})
			last = hi
		})
		between(last, len(b))
		s.how.join(p.matches, emit)
	})
}

// join emits the segments as the behaviour says.
func (h behaviour) join(segs []segment, emit func(lo, hi int)) {
	for i := 0; i < len(segs); {
		g := segs[i]
		i++
		switch h {
		case removed:
			if g.match {
				continue
			}
		case mergedWithPrevious: // a match joins what is before it, but not another match
			if !g.match && i < len(segs) && segs[i].match {
				g.hi = segs[i].hi
				i++
			}
		case mergedWithNext: // of several matches the last joins what is after it
			if g.match && i < len(segs) && !segs[i].match {
				g.hi = segs[i].hi
				i++
			}
		case contiguous:
			for i < len(segs) && segs[i].match == g.match {
				g.hi = segs[i].hi
				i++
			}
		}
		emit(g.lo, g.hi)
	}
}

// The pre-tokenizers that cut at single characters.
var (
	whitespaceSplit = splitter{pattern: class(isSpace), how: removed}
	// isNumeric is Unicode category N.
	isNumeric = func(r rune) bool { return unicode.Is(unicode.N, r) }
)

// whitespace is the pre-tokenizer Whitespace: the matches of \w+|[^\w\s]+.
type whitespace struct{}

func (whitespace) split(p *pretext) {
	kind := func(r rune) int {
		switch {
		case isWordOrJoiner(r):
			return 1
		case isSpace(r):
			return 0
		}
		return 2
	}
	p.each(func(b []byte, emit func(lo, hi int)) {
		for i := 0; i < len(b); {
			r, w := utf8.DecodeRune(b[i:])
			k, lo := kind(r), i
			for i += w; i < len(b); i += w {
				if r, w = utf8.DecodeRune(b[i:]); kind(r) != k {
					break
				}
			}
			if k != 0 {
				emit(lo, i)
			}
		}
	})
}

// metaspace makes spaces visible, as sentencepiece does.
type metaspace struct {
	mark   string // the replacement
	always bool   // a mark before every pre-token that lacks it
	first  bool   // the same before the one that begins the text only
	cuts   bool   // cut before every mark
}

func (m metaspace) split(p *pretext) {
	p.rewrite(func(i int, c cut, in, out *text) {
		at := int(c.lo)
		b := in.b[c.lo:c.hi]
		begins := p.first && i == 0 || !p.first && in.start[c.lo] == 0
		if (m.always || m.first && begins) && !bytes.HasPrefix(b, []byte(m.mark)) && b[0] != ' ' {
			// The mark stands for the first character, and so does that one.
			out.put(m.mark, in.start[at], in.end[at])
		}
		for _, x := range b {
			if x == ' ' {
				out.put(m.mark, in.start[at], in.end[at])
			} else {
				out.byte(x, in.start[at], in.end[at])
			}
			at++
		}
	})
	if m.cuts {
		splitter{pattern: literal(m.mark), how: mergedWithNext}.split(p)
	}
}

// scripts cuts where the script changes, as sentencepiece does: kana counts as
// Han, and a space belongs to what is before it.
type scripts struct{}

func (scripts) split(p *pretext) {
	p.each(func(b []byte, emit func(lo, hi int)) {
		last, from := -1, -1 // script before; start of the pre-token
		anyBefore := false
		for i := 0; i < len(b); {
			r, w := utf8.DecodeRune(b[i:])
			s := scriptOf(r)
			if s != scriptAny && !anyBefore && s != last {
				if from >= 0 {
					emit(from, i)
				}
				from = i
			}
			if s != scriptAny {
				last = s
			}
			i += w
		}
		if from >= 0 {
			emit(from, len(b))
		}
	})
}
