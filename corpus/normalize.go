package corpus

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalizer holds the options of Hugging Face's BertNormalizer.
type normalizer struct{ clean, chinese, strip, lower bool }

// scratch holds the normalized text of one section and, for each of its bytes,
// the original bytes it came from.
type scratch struct {
	b          []byte
	start, end []int32
	out        []piece
}

// piece is one token before special tokens are added.
type piece struct{ id, start, end, word int32 }

func (s *scratch) byte(c byte, start, end int) {
	s.b = append(s.b, c)
	s.start = append(s.start, int32(start))
	s.end = append(s.end, int32(end))
}

func (s *scratch) rune(r rune, start, end int) {
	if r < utf8.RuneSelf {
		s.byte(byte(r), start, end)
		return
	}
	n := len(s.b)
	s.b = utf8.AppendRune(s.b, r)
	for range len(s.b) - n {
		s.start = append(s.start, int32(start))
		s.end = append(s.end, int32(end))
	}
}

// Classes of ASCII characters.
const (
	asciiWord = iota
	asciiSpace
	asciiPunct
	asciiControl
)

var asciiClass = func() (c [utf8.RuneSelf]uint8) {
	for i := range c {
		switch {
		case i == ' ' || i == '\t' || i == '\n' || i == '\r':
			c[i] = asciiSpace
		case i < ' ' || i == 0x7f:
			c[i] = asciiControl
		case i < '0' || i > '9' && i < 'A' || i > 'Z' && i < 'a' || i > 'z':
			c[i] = asciiPunct
		}
	}
	return c
}()

// apply appends the normalized form of text[lo:hi] to s.
func (n normalizer) apply(s *scratch, text string, lo, hi int) {
	for i := lo; i < hi; {
		c := text[i]
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
			s.byte(c, i, i+1)
			i++
			continue
		}
		r, w := utf8.DecodeRuneInString(text[i:hi])
		n.rune(s, text[lo:hi], r, i-lo, i, i+w)
		i += w
	}
}

// rune handles one character outside ASCII; at is its offset in section.
func (n normalizer) rune(s *scratch, section string, r rune, at, start, end int) {
	if n.clean {
		if r == utf8.RuneError || isControl(r) {
			return
		}
		if unicode.IsSpace(r) {
			s.byte(' ', start, end)
			return
		}
	}
	if n.chinese && isChinese(r) {
		s.byte(' ', start, start)
		n.fold(s, section, r, at, start, end)
		s.byte(' ', end, end)
		return
	}
	n.fold(s, section, r, at, start, end)
}

// fold lower-cases and strips accents.
func (n normalizer) fold(s *scratch, section string, r rune, at, start, end int) {
	switch {
	case !n.lower:
		n.bare(s, r, start, end)
	case r == 'Σ' && finalSigma(section, at):
		n.bare(s, 'ς', start, end)
	case r == 'İ': // the one unconditional lower-case mapping to two characters
		n.bare(s, 'i', start, end)
		n.bare(s, '\u0307', start, end)
	default:
		n.bare(s, unicode.ToLower(r), start, end)
	}
}

// Hangul syllables are decomposed by arithmetic (Unicode 3.12).
const (
	hangulBase, hangulEnd = 0xAC00, 0xD7A4
	jamoL, jamoV, jamoT   = 0x1100, 0x1161, 0x11A7
	jamoVCount            = 21
	jamoTCount            = 28
)

// bare decomposes canonically and drops non-spacing marks.
func (n normalizer) bare(s *scratch, r rune, start, end int) {
	if !n.strip || r < 0xC0 || r >= 0x4E00 && r < 0xA000 {
		s.rune(r, start, end)
		return
	}
	if r >= hangulBase && r < hangulEnd {
		k := r - hangulBase
		s.rune(jamoL+k/(jamoVCount*jamoTCount), start, end)
		s.rune(jamoV+k%(jamoVCount*jamoTCount)/jamoTCount, start, end)
		if t := k % jamoTCount; t > 0 {
			s.rune(jamoT+t, start, end)
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
			s.rune(x, start, end)
		}
		d = d[w:]
	}
}

// isControl is the clean-up rule: control, format, private use, surrogates.
func isControl(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs)
}

// isChinese tells the blocks that BERT splits into single characters.
func isChinese(r rune) bool {
	switch {
	case r < 0x3400:
		return false
	case r < 0x10000:
		return r >= 0x4E00 && r <= 0x9FFF || r <= 0x4DBF || r >= 0xF900 && r <= 0xFAFF
	}
	return r >= 0x20000 && r <= 0x2A6DF || r >= 0x2A700 && r <= 0x2B73F || r >= 0x2B740 && r <= 0x2B81F ||
		r >= 0x2B820 && r <= 0x2CEAF || r >= 0x2F800 && r <= 0x2FA1F
}

// finalSigma is Unicode's Final_Sigma condition for the Σ at text[at:].
func finalSigma(text string, at int) bool {
	before := false
	for i := at; i > 0; {
		r, w := utf8.DecodeLastRuneInString(text[:i])
		i -= w
		if !caseIgnorable(r) {
			before = isCased(r)
			break
		}
	}
	if !before {
		return false
	}
	for i := at + len("Σ"); i < len(text); {
		r, w := utf8.DecodeRuneInString(text[i:])
		i += w
		if !caseIgnorable(r) {
			return !isCased(r)
		}
	}
	return true
}

func isCased(r rune) bool {
	return unicode.IsUpper(r) || unicode.IsLower(r) || unicode.IsTitle(r) || unicode.Is(unicode.Other_Lowercase, r) || unicode.Is(unicode.Other_Uppercase, r)
}

func caseIgnorable(r rune) bool {
	switch r {
	case '\'', '.', ':', '^', '`', '\u00b7', '\u2018', '\u2019', '\u2024', '\u2027':
		return true
	}
	return unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk)
}

// isPunct is BERT's: every ASCII symbol, and Unicode category P.
func isPunct(r rune) bool {
	if r < utf8.RuneSelf {
		return asciiClass[r] == asciiPunct
	}
	return unicode.IsPunct(r)
}
