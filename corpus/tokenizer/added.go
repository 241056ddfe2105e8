package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// AddedToken is matched in the text before the model sees it.
type AddedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // not inside a word
	LStrip     bool   `json:"lstrip"`      // takes the white space before it
	RStrip     bool   `json:"rstrip"`      // and after it
	Normalized bool   `json:"normalized"`  // matched in the normalized text
	Special    bool   `json:"special"`
}

// finder finds added tokens, leftmost and longest first.
type finder struct {
	trie   *trie // nil when there are none
	first  [256]bool
	tokens []AddedToken
}

// add puts a token in, with the form in which it is looked for.
func (f *finder) add(form string, a AddedToken) {
	if form == "" {
		return
	}
	if f.trie == nil {
		f.trie = newTrie(64)
	}
	f.trie.add(form, int32(len(f.tokens)))
	f.first[form[0]] = true
	f.tokens = append(f.tokens, a)
}

// next finds the first token in s at or after from; id is −1 if there is none.
// The range covers the white space that the token takes.
func (f *finder) next(s string, from int) (lo, hi int, id int32) {
	if f.trie == nil {
		return 0, 0, -1
	}
	for i := from; i < len(s); i++ {
		if !f.first[s[i]] {
			continue
		}
		best, end := int32(-1), i
		for node, k := int32(0), i; k < len(s); k++ {
			if node = f.trie.step(node, s[k]); node < 0 {
				break
			}
			if x := f.trie.id[node]; x >= 0 {
				best, end = x, k+1
			}
		}
		if best < 0 {
			continue
		}
		a := &f.tokens[best]
		lo, hi = i, end
		if a.SingleWord && (endsWord(s[:lo]) || startsWord(s[hi:])) {
			i = hi - 1
			continue
		}
		if a.LStrip {
			lo = from + len(strings.TrimRightFunc(s[from:lo], unicode.IsSpace))
		}
		if a.RStrip {
			hi = len(s) - len(strings.TrimLeftFunc(s[hi:], unicode.IsSpace))
		}
		return lo, hi, a.ID
	}
	return 0, 0, -1
}

func endsWord(s string) bool {
	r, w := utf8.DecodeLastRuneInString(s)
	return w > 0 && isWordOrJoiner(r)
}

func startsWord(s string) bool {
	r, w := utf8.DecodeRuneInString(s)
	return w > 0 && isWordOrJoiner(r)
}
