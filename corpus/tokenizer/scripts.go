package tokenizer

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"unicode"
)

// scriptAny is the script of a space and of characters without one.
const scriptAny = 0

// scriptRange is a run of characters of one script.
type scriptRange struct {
	lo, hi rune
	script int
}

// scriptRanges are all scripts of Unicode in the order of the characters.
var scriptRanges = sync.OnceValue(func() []scriptRange {
	var out []scriptRange
	for i, name := range slices.Sorted(maps.Keys(unicode.Scripts)) {
		id := i + 1
		add := func(lo, hi, stride rune) {
			if stride == 1 {
				out = append(out, scriptRange{lo, hi, id})
				return
			}
			for r := lo; r <= hi; r += stride {
				out = append(out, scriptRange{r, r, id})
			}
		}
		t := unicode.Scripts[name]
		for _, r := range t.R16 {
			add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
		for _, r := range t.R32 {
			add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
	}
	slices.SortFunc(out, func(a, b scriptRange) int { return cmp.Compare(a.lo, b.lo) })
	return out
})

var scriptHan = sync.OnceValue(func() int { return rawScript('中') })

// scriptOf numbers the script of a character.
func scriptOf(r rune) int {
	switch {
	case r == ' ':
		return scriptAny
	case r == 'ー', unicode.In(r, unicode.Hiragana, unicode.Katakana):
		return scriptHan()
	}
	return rawScript(r)
}

func rawScript(r rune) int {
	all := scriptRanges()
	i, found := slices.BinarySearchFunc(all, r, func(x scriptRange, r rune) int { return cmp.Compare(x.lo, r) })
	if !found {
		i--
	}
	if i >= 0 && r <= all[i].hi {
		return all[i].script
	}
	return scriptAny
}
