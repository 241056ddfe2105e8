package corpus

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// SplitSentences finds the sentences of raw text: they end at . ! ? … followed
// by white space or the end, at 。！？；, and at line ends; closing quotes and
// brackets stay with the sentence they close. Spans exclude surrounding white
// space, are in order and cover every other character. Abbreviations are not
// recognised.
func SplitSentences(text string) []Span {
	var out []Span
	start := 0
	end := func(at int) {
		s := text[start:at]
		lo := start + len(s) - len(strings.TrimLeftFunc(s, unicode.IsSpace))
		hi := start + len(strings.TrimRightFunc(s, unicode.IsSpace))
		if lo < hi {
			out = append(out, Span{Start: lo, End: hi})
		}
		start = at
	}
	for i := 0; i < len(text); {
		r, w := utf8.DecodeRuneInString(text[i:])
		i += w
		if r == '\n' || r == '\r' || r == '\u2028' || r == '\u2029' {
			end(i)
			continue
		}
		wide, narrow := isWideStop(r), isNarrowStop(r)
		if !wide && !narrow {
			continue
		}
		for i < len(text) { // further stops and closing marks
			r, w := utf8.DecodeRuneInString(text[i:])
			switch {
			case isWideStop(r):
				wide = true
			case !isNarrowStop(r) && !isClosing(r):
				w = 0
			}
			if w == 0 {
				break
			}
			i += w
		}
		next, _ := utf8.DecodeRuneInString(text[i:])
		if wide || i == len(text) || unicode.IsSpace(next) {
			end(i)
		}
	}
	end(len(text))
	return out
}

func isWideStop(r rune) bool { return strings.ContainsRune("。！？；｡", r) }

func isNarrowStop(r rune) bool { return r == '.' || r == '!' || r == '?' || r == '…' }

func isClosing(r rune) bool {
	return r == '"' || r == '\'' || unicode.In(r, unicode.Pe, unicode.Pf)
}
