package tokenizer

import (
	"fmt"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// runeSet is a set of characters: ASCII by a bit each, the others by a
// predicate.
type runeSet struct {
	ascii [2]uint64
	wide  func(r rune) bool
}

// newRuneSet makes a set of a predicate.
func newRuneSet(has func(r rune) bool) *runeSet {
	s := &runeSet{wide: has}
	for r := rune(0); r < utf8.RuneSelf; r++ {
		if has(r) {
			s.ascii[r>>6] |= 1 << (r & 63)
		}
	}
	return s
}

// folded adds the characters that differ in case only.
func folded(has func(r rune) bool) func(r rune) bool {
	return func(r rune) bool {
		if has(r) {
			return true
		}
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			if has(f) {
				return true
			}
		}
		return false
	}
}

func negated(has func(r rune) bool) func(r rune) bool {
	return func(r rune) bool { return !has(r) }
}

// Classes that a backslash and a letter name.
var escapes = map[rune]func(r rune) bool{
	'd': unicode.IsDigit,
	'w': isWord,
	's': isSpace,
	'h': func(r rune) bool { return r >= '0' && r <= '9' || r >= 'a' && r <= 'f' || r >= 'A' && r <= 'F' },
}

// Classes that have a name beside those of Unicode's tables.
var namedSets = map[string]func(r rune) bool{
	"any":        func(rune) bool { return true },
	"alnum":      func(r rune) bool { return isAlphabetic(r) || unicode.IsDigit(r) },
	"alpha":      isAlphabetic,
	"alphabetic": isAlphabetic,
	"ascii":      func(r rune) bool { return r < utf8.RuneSelf },
	"blank":      func(r rune) bool { return r == '\t' || unicode.Is(unicode.Zs, r) },
	"cntrl":      unicode.IsControl,
	"digit":      unicode.IsDigit,
	"graph":      func(r rune) bool { return !unicode.IsSpace(r) && !unicode.In(r, unicode.Cc, unicode.Cs) },
	"lower":      func(r rune) bool { return unicode.IsLower(r) || unicode.Is(unicode.Other_Lowercase, r) },
	"lowercase":  func(r rune) bool { return unicode.IsLower(r) || unicode.Is(unicode.Other_Lowercase, r) },
	"print":      func(r rune) bool { return !unicode.In(r, unicode.Cc, unicode.Cs) },
	"punct":      func(r rune) bool { return unicode.IsPunct(r) || r < utf8.RuneSelf && asciiClass[r] == asciiPunct },
	"space":      isSpace,
	"whitespace": isSpace,
	"upper":      func(r rune) bool { return unicode.IsUpper(r) || unicode.Is(unicode.Other_Uppercase, r) },
	"uppercase":  func(r rune) bool { return unicode.IsUpper(r) || unicode.Is(unicode.Other_Uppercase, r) },
	"xdigit":     escapes['h'],
	"word":       isWord,
}

func isAlphabetic(r rune) bool {
	return unicode.IsLetter(r) || unicode.In(r, unicode.Nl, unicode.Other_Alphabetic)
}

// tables are Unicode's categories, scripts and properties by plain name.
var tables = sync.OnceValue(func() map[string]*unicode.RangeTable {
	m := map[string]*unicode.RangeTable{}
	for _, set := range []map[string]*unicode.RangeTable{unicode.Properties, unicode.Scripts, unicode.Categories} {
		for name, t := range set {
			m[plainName(name)] = t
		}
	}
	for name, category := range unicode.CategoryAliases {
		if t, ok := unicode.Categories[category]; ok {
			m[plainName(name)] = t
		}
	}
	return m
})

func plainName(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(s))
}

// property is the class \p{name}.
func property(name string) (func(r rune) bool, error) {
	plain := plainName(name)
	for _, prefix := range []string{"script=", "sc=", "generalcategory=", "gc="} {
		plain = strings.TrimPrefix(plain, prefix)
	}
	if has, ok := namedSets[plain]; ok {
		return has, nil
	}
	if t, ok := tables()[plain]; ok {
		return func(r rune) bool { return unicode.Is(t, r) }, nil
	}
	return nil, fmt.Errorf(`\p{%s} is not a class that is known`, name)
}
