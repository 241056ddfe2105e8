package tokenizer

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// bertNormalizer is BERT's clean-up, spaces around Chinese characters, accent
// stripping and lower-casing in one pass (Devlin et al., arXiv 1810.04805).
type bertNormalizer struct{ clean, chinese, strip, lower bool }

func (n bertNormalizer) normalize(in, out *text) {
	for i := 0; i < len(in.b); {
		c := in.b[i]
		if c < utf8.RuneSelf {
			switch class := asciiClass[c]; {
			case class == asciiSpace && n.clean:
				c = ' '
			case class == asciiControl && n.clean:
				i++
				continue
			case n.lower && c >= 'A' && c <= 'Z':
				c += 'a' - 'A'
			}
			out.byte(c, in.start[i], in.end[i])
			i++
			continue
		}
		r, w := utf8.DecodeRune(in.b[i:])
		n.rune(out, in.b, r, i, in.start[i], in.end[i])
		i += w
	}
}

// rune handles one character outside ASCII, at b[at:].
func (n bertNormalizer) rune(out *text, b []byte, r rune, at int, start, end int32) {
	if n.clean {
		if r == utf8.RuneError || isControl(r) {
			return
		}
		if unicode.IsSpace(r) {
			out.byte(' ', start, end)
			return
		}
	}
	if n.chinese && IsChinese(r) {
		out.byte(' ', start, end)
		n.fold(out, b, r, at, start, end)
		out.byte(' ', start, end)
		return
	}
	n.fold(out, b, r, at, start, end)
}

// fold strips accents and lower-cases.
func (n bertNormalizer) fold(out *text, b []byte, r rune, at int, start, end int32) {
	if !n.lower {
		n.bare(out, r, start, end)
		return
	}
	if !n.strip {
		lower(out, b, r, at, start, end)
		return
	}
	if r == 'Σ' && finalSigma(b, at) {
		n.bare(out, 'ς', start, end)
		return
	}
	if r == 'İ' { // i and a dot, which is stripped
		n.bare(out, 'i', start, end)
		return
	}
	n.bare(out, unicode.ToLower(r), start, end)
}

// bare decomposes canonically and drops non-spacing marks.
func (n bertNormalizer) bare(out *text, r rune, start, end int32) {
	if !n.strip || r < 0xC0 || r >= 0x4E00 && r < 0xA000 {
		out.rune(r, start, end)
		return
	}
	if r >= hangulBase && r < hangulEnd {
		k := r - hangulBase
		out.rune(jamoL+k/(jamoVCount*jamoTCount), start, end)
		out.rune(jamoV+k%(jamoVCount*jamoTCount)/jamoTCount, start, end)
		if t := k % jamoTCount; t > 0 {
			out.rune(jamoT+t, start, end)
		}
		return
	}
	var tmp [utf8.UTFMax]byte
	w := utf8.EncodeRune(tmp[:], r)
	d := norm.NFD.Properties(tmp[:w]).Decomposition()
	if d == nil {
		d = tmp[:w]
	}
	for len(d) > 0 {
		x, w := utf8.DecodeRune(d)
		if !unicode.Is(unicode.Mn, x) {
			out.rune(x, start, end)
		}
		d = d[w:]
	}
}

// bertPreTokenizer cuts at white space, which goes, and around punctuation.
type bertPreTokenizer struct{}

func (bertPreTokenizer) split(p *pretext) {
	p.each(func(b []byte, emit func(lo, hi int)) {
		for at := 0; ; {
			start, end := nextWord(b, at)
			if start == end {
				return
			}
			emit(start, end)
			at = end
		}
	})
}

// nextWord finds the first word at or after at; a punctuation mark is a word of
// its own. start = end when there is none.
func nextWord(b []byte, at int) (start, end int) {
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
		case i > start:
			return start, i
		case punct:
			return i, i + w
		default:
			i += w
			start = i
		}
	}
	return start, len(b)
}
