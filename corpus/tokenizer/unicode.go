package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

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

// isControl is BERT's clean-up rule: control, format, private use, surrogates.
func isControl(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs)
}

// IsChinese tells the blocks that BERT splits into single characters.
func IsChinese(r rune) bool {
	switch {
	case r < 0x3400:
		return false
	case r < 0x10000:
		return r >= 0x4E00 && r <= 0x9FFF || r <= 0x4DBF || r >= 0xF900 && r <= 0xFAFF
	}
	return r >= 0x20000 && r <= 0x2A6DF || r >= 0x2A700 && r <= 0x2B73F || r >= 0x2B740 && r <= 0x2B81F ||
		r >= 0x2B820 && r <= 0x2CEAF || r >= 0x2F800 && r <= 0x2FA1F
}

// IsPunct is BERT's rule: every ASCII symbol, and Unicode category P.
func IsPunct(r rune) bool {
	if r < utf8.RuneSelf {
		return asciiClass[r] == asciiPunct
	}
	return unicode.IsPunct(r)
}

// isWord is Oniguruma's \w: letters, marks, decimal digits, connectors.
func isWord(r rune) bool {
	if r < utf8.RuneSelf {
		return asciiClass[r] == asciiWord || r == '_'
	}
	return unicode.IsLetter(r) || unicode.In(r, unicode.M, unicode.Nd, unicode.Pc, unicode.Nl, unicode.Other_Alphabetic)
}

// isWordOrJoiner is \w of Rust's regular expressions.
func isWordOrJoiner(r rune) bool { return isWord(r) || r == 0x200C || r == 0x200D }

// isSpace is the property White_Space.
func isSpace(r rune) bool { return unicode.IsSpace(r) }

// finalSigma is Unicode's Final_Sigma condition for the Σ at b[at:].
func finalSigma(b []byte, at int) bool {
	before := false
	for i := at; i > 0; {
		r, w := utf8.DecodeLastRune(b[:i])
		i -= w
		if !caseIgnorable(r) {
			before = isCased(r)
			break
		}
	}
	if !before {
		return false
	}
	for i := at + len("Σ"); i < len(b); {
		r, w := utf8.DecodeRune(b[i:])
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

// lower writes the lower-case form of the character r at b[at:].
func lower(out *text, b []byte, r rune, at int, start, end int32) {
	switch {
	case r == 'Σ' && finalSigma(b, at):
		out.rune('ς', start, end)
	case r == 'İ': // the one unconditional lower-case mapping to two characters
		out.rune('i', start, end)
		out.rune('\u0307', start, end)
	default:
		out.rune(unicode.ToLower(r), start, end)
	}
}

// Hangul syllables are composed by arithmetic (Unicode 3.12).
const (
	hangulBase, hangulEnd = 0xAC00, 0xD7A4
	jamoL, jamoV, jamoT   = 0x1100, 0x1161, 0x11A7
	jamoLCount            = 19
	jamoVCount            = 21
	jamoTCount            = 28
)

// grapheme returns the length of the first grapheme cluster of b. It knows the
// rules of UAX #29 that a cluster of fewer than six bytes can need: CR LF,
// marks and joiners after a character, prepended marks before one.
func grapheme(b []byte) int {
	r, n := utf8.DecodeRune(b)
	if r == '\r' && len(b) > n && b[n] == '\n' {
		return n + 1
	}
	if breaksAlways(r) {
		return n
	}
	for prepended := unicode.Is(unicode.Prepended_Concatenation_Mark, r); n < len(b); {
		next, w := utf8.DecodeRune(b[n:])
		if !extends(next) && (!prepended || breaksAlways(next)) {
			return n
		}
		prepended = unicode.Is(unicode.Prepended_Concatenation_Mark, next)
		n += w
	}
	return n
}

func breaksAlways(r rune) bool {
	return !extends(r) && unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Cf) && !unicode.Is(unicode.Prepended_Concatenation_Mark, r)
}

func extends(r rune) bool {
	if r < 0x300 {
		return false
	}
	return r == '\u200d' || r == '\u0e33' || r == '\u0eb3' || r >= 0x1F3FB && r <= 0x1F3FF ||
		unicode.In(r, unicode.Mn, unicode.Me, unicode.Mc, unicode.Other_Grapheme_Extend)
}
