package tagger

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/litekit/lite/corpus"
)

// clitics are the English endings that treebanks count as words of their own.
var clitics = []string{"n't", "'s", "'m", "'d", "'re", "'ve", "'ll", "n’t", "’s", "’m", "’d", "’re", "’ve", "’ll"}

// splitByRules finds words where the training data was split already: at white
// space and around marks. Marks between letters or digits (3.5, AT&T, well-known)
// stay in the word; English clitics and Chinese characters are words.
func splitByRules(text string) (out []corpus.Span) {
	chunks(text, func(start, end int) {
		for at := start; at < end; {
			stop := wordEnd(text[:end], at)
			if slices.Contains(clitics, strings.ToLower(text[at:end])) {
				stop = end // split off already
			}
			out = appendWord(out, text, at, stop)
			at = stop
		}
	})
	return out
}

func isWord(r rune) bool {
	c := class(r)
	return c == 'x' || c == 'X' || c == 'd' || c == 'o' && r != utf8.RuneError
}

// wordEnd returns where the word that starts at byte at ends.
func wordEnd(text string, at int) int {
	first, n := utf8.DecodeRuneInString(text[at:])
	at += n
	if !isWord(first) {
		for class(first) != 'H' && at < len(text) { // "..." and "--" are one mark
			r, n := utf8.DecodeRuneInString(text[at:])
			if r != first || first == utf8.RuneError {
				break
			}
			at += n
		}
		return at
	}
	for at < len(text) {
		r, n := utf8.DecodeRuneInString(text[at:])
		if isWord(r) {
			at += n
			continue
		}
		next, _ := utf8.DecodeRuneInString(text[at+n:])
		if !strings.ContainsRune(".,'’&-_@/:", r) || at+n == len(text) || !isWord(next) {
			break
		}
		at += n
	}
	return at
}

// appendWord adds a word, without its clitic and then that.
func appendWord(out []corpus.Span, text string, start, end int) []corpus.Span {
	form := strings.ToLower(text[start:end])
	if len(form) == end-start {
		if i := slices.IndexFunc(clitics, func(c string) bool { return len(c) < len(form) && strings.HasSuffix(form, c) }); i >= 0 {
			cut := end - len(clitics[i])
			return append(out, corpus.Span{Start: start, End: cut}, corpus.Span{Start: cut, End: end})
		}
	}
	return append(out, corpus.Span{Start: start, End: end})
}
