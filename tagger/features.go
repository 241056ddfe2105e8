package tagger

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/corpus/tokenizer"
)

// A feature is a hash of 32 bits of its template and its content. Two features
// with one hash share their weights; among some 10^5 that is rare and harmless.

// mix is the finalizer of MurmurHash3 (Appleby, public domain).
func mix(h uint32) uint32 {
	h ^= h >> 16
	h *= 0x85ebca6b
	h ^= h >> 13
	h *= 0xc2b2ae35
	return h ^ h>>16
}

// feat is the feature of a template with the contents given.
func feat(template uint32, contents ...uint32) uint32 {
	h := template * 0x9e3779b1
	for _, c := range contents {
		h = mix(h^c) + 0x9e3779b9
	}
	return mix(h)
}

// FNV-1a, for strings.
const (
	fnvOffset = 2166136261
	fnvPrime  = 16777619
)

func hash(s string) uint32 {
	h := uint32(fnvOffset)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * fnvPrime
	}
	return h
}

func hashRune(h uint32, r rune) uint32 {
	for ; r > 0; r >>= 8 {
		h = (h ^ uint32(r&0xff)) * fnvPrime
	}
	return (h ^ 0xff) * fnvPrime
}

// class is the kind of a character.
func class(r rune) uint32 {
	switch {
	case r >= '0' && r <= '9':
		return 'd'
	case r >= 'a' && r <= 'z':
		return 'x'
	case r >= 'A' && r <= 'Z':
		return 'X'
	case r < 0x80:
		return uint32(r) // each ASCII mark is a kind of its own
	case tokenizer.IsChinese(r):
		return 'H'
	case unicode.IsUpper(r):
		return 'X'
	case unicode.IsDigit(r):
		return 'd'
	case unicode.IsLetter(r), unicode.IsMark(r):
		return 'x'
	case unicode.IsPunct(r):
		return 'p'
	case unicode.IsSymbol(r):
		return 's'
	}
	return 'o'
}

// Affixes are looked at up to these lengths, in characters.
const (
	prefixes = 4
	suffixes = 5
)

// token is what features see of a word, as hashes; 0 where there is nothing.
type token struct {
	form, lower, shape uint32
	prefix             [prefixes]uint32
	suffix             [suffixes]uint32
	chars              []uint32 // of a word with Chinese characters, at most 6
	length             uint32   // in characters, at most 12
	marks              uint32   // bits: digit, hyphen, capital first, all capitals, other marks
	seen               uint32   // the set of tags it had in the training data; 0 unknown
	hint               uint32   // what another annotator says of it
}

// newToken reads a word.
func newToken(form string) token {
	t := token{form: hash(form)}
	var runes [32]rune
	n, upper, letters := 0, 0, 0
	han := false
	var last uint32
	shape, lower := uint32(fnvOffset), uint32(fnvOffset)
	for i, r := range form {
		c := class(r)
		if c != last {
			shape = (shape ^ c) * fnvPrime
		}
		last = c
		switch c {
		case 'd':
			t.marks |= 1
		case '-':
			t.marks |= 2
		case 'X':
			upper++
			letters++
			if i == 0 {
				t.marks |= 4
			}
		case 'x':
			letters++
		case 'H':
			han = true
		default:
			t.marks |= 16
		}
		l := unicode.ToLower(r)
		lower = hashRune(lower, l)
		if n < len(runes) {
			runes[n] = l
		} else { // a long word keeps its end
			copy(runes[16:], runes[17:])
			runes[len(runes)-1] = l
		}
		n++
	}
	if upper > 1 && upper == letters {
		t.marks |= 8
	}
	t.lower, t.shape, t.length = lower, shape, uint32(min(n, 12))
	kept := runes[:min(n, len(runes))]
	t.affixes(kept)
	if han {
		for _, r := range kept[:min(len(kept), 6)] {
			t.chars = append(t.chars, hashRune(fnvOffset, r))
		}
	}
	return t
}

// affixes fills in the beginnings and ends of a word in lower case.
func (t *token) affixes(word []rune) {
	h := uint32(fnvOffset)
	for k := 0; k < min(prefixes, len(word)); k++ {
		h = hashRune(h, word[k])
		t.prefix[k] = h
	}
	h = fnvOffset
	for k := 0; k < min(suffixes, len(word)); k++ {
		h = hashRune(h, word[len(word)-1-k])
		t.suffix[k] = h
	}
}

// sentence is a sequence of words to tag.
type sentence []token

func (s sentence) len() int { return len(s) }

// outside stands for what is before and after a sentence.
var outside = token{form: 1, lower: 1, shape: 1, hint: 1}

func (s sentence) at(i int) *token {
	if i < 0 || i >= len(s) {
		return &outside
	}
	return &s[i]
}

// emit appends the features of word i that do not depend on tags.
func (s sentence) emit(i int, to []uint32) []uint32 {
	w, a, b, y, z := &s[i], s.at(i-1), s.at(i-2), s.at(i+1), s.at(i+2)
	first := uint32(0)
	if i == 0 {
		first = 1
	}
	to = append(to,
		feat(1), feat(2, w.form), feat(3, w.lower), feat(4, w.shape), feat(5, w.marks, first), feat(6, w.length, w.shape),
		feat(7, a.lower), feat(8, b.lower), feat(9, y.lower), feat(10, z.lower),
		feat(11, a.lower, w.lower), feat(12, w.lower, y.lower), feat(13, a.lower, y.lower), feat(14, b.lower, a.lower), feat(15, y.lower, z.lower),
		feat(16, a.suffix[2]), feat(17, y.suffix[2]), feat(18, a.shape, w.shape), feat(19, w.shape, y.shape), feat(20, a.suffix[1], w.suffix[1]), feat(21, w.suffix[1], y.suffix[1]),
		feat(22, a.shape, w.shape, y.shape),
	)
	for k, h := range w.prefix {
		if h != 0 {
			to = append(to, feat(30+uint32(k), h))
		}
	}
	for k, h := range w.suffix {
		if h != 0 {
			to = append(to, feat(40+uint32(k), h))
		}
	}
	to = append(to, feat(45, w.suffix[2], w.marks, first))
	for _, c := range w.chars {
		to = append(to, feat(50, c))
	}
	if len(w.chars) > 0 {
		to = append(to, feat(51, w.prefix[0], w.suffix[0]), feat(52, a.suffix[0], w.prefix[0]), feat(53, w.suffix[0], y.prefix[0]), feat(54, w.length, w.suffix[0]), feat(55, a.suffix[0]), feat(56, y.prefix[0]))
	}
	to = append(to, feat(60, w.seen), feat(61, a.seen), feat(62, y.seen), feat(63, w.seen, y.seen), feat(64, y.seen, z.seen), feat(65, a.seen, w.seen, y.seen))
	if w.hint != 0 {
		to = append(to, feat(70, w.hint), feat(71, a.hint), feat(72, y.hint), feat(73, w.hint, w.suffix[0]), feat(74, a.hint, w.hint), feat(75, w.hint, y.hint), feat(76, w.hint, w.seen), feat(77, a.hint, w.hint, y.hint))
	}
	return to
}

// context appends the features of word i that depend on the tags before it.
func (s sentence) context(i int, tags []int16, to []uint32) []uint32 {
	one, two := uint32(0xffff), uint32(0xffff)
	if i > 0 {
		one = uint32(tags[i-1])
	}
	if i > 1 {
		two = uint32(tags[i-2])
	}
	w, a, y := &s[i], s.at(i-1), s.at(i+1)
	return append(to,
		feat(80, one), feat(81, two), feat(82, two, one), feat(83, one, w.lower), feat(84, one, y.lower), feat(85, one, w.suffix[2]),
		feat(86, one, w.shape), feat(87, two, one, w.lower), feat(88, one, a.lower), feat(89, one, w.seen), feat(90, one, w.seen, y.seen), feat(91, one, w.hint, y.hint), feat(92, one, y.suffix[1]))
}

// lexicon says which tags words had in the training data.
type lexicon map[uint32]known

// known is what was seen of a word.
type known struct {
	tags uint64 // bits of the tags
	only int16  // the one tag that a frequent word has; −1 to be decided
}

// see notes what is known of a word.
func (t *token) see(k known) { t.seen = mix(uint32(k.tags)^mix(uint32(k.tags>>32))) | 1 }

// look fills in what the lexicon knows.
func (x lexicon) look(s sentence) {
	for i := range s {
		if k, ok := x[s[i].form]; ok {
			s[i].see(k)
		}
	}
}

// hinted notes for each word what another annotator's words say of its span.
func hinted(s sentence, words []corpus.Span, others []corpus.Word) {
	k := 0
	for i, w := range words {
		for k < len(others) && others[k].End <= w.Start {
			k++
		}
		h := uint32(2)
		if k < len(others) && others[k].Start < w.End {
			o := others[k]
			h = hash(o.POS)*31 ^ hash(o.Entity)
			switch {
			case o.Span == w:
			case o.Start <= w.Start && w.End <= o.End: // a part of a longer one
				h = h*31 + 3
			default: // several shorter ones: the last tells most
				for j := k; j < len(others) && others[j].Start < w.End; j++ {
					o = others[j]
				}
				h = (hash(o.POS)*31^hash(o.Entity))*31 + 5
			}
		}
		s[i].hint = h | 1<<31
	}
}

// isSpace tells what separates words and belongs to none.
func isSpace(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

// chunks calls yield with the bounds of each run of text without white space.
func chunks(text string, yield func(start, end int)) {
	for at := 0; at < len(text); {
		n := strings.IndexFunc(text[at:], func(r rune) bool { return !isSpace(r) })
		if n < 0 {
			return
		}
		start := at + n
		end := len(text)
		if n := strings.IndexFunc(text[start:], isSpace); n >= 0 {
			end = start + n
		}
		yield(start, end)
		at = end
	}
}

// chunk is a run of text without white space, as the splitter sees it: step k
// decides whether a word ends between the characters k and k+1.
type chunk struct {
	ends  []int    // byte after each character
	hash  []uint32 // of each character, lower-case
	class []uint32
	hints []bool // whether another annotator ends a word after character k
}

func newChunk(text string) *chunk {
	n := utf8.RuneCountInString(text)
	c := &chunk{ends: make([]int, 0, n), hash: make([]uint32, 0, n), class: make([]uint32, 0, n)}
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRuneInString(text[at:])
		at += size
		c.ends = append(c.ends, at)
		c.hash, c.class = append(c.hash, hashRune(fnvOffset, unicode.ToLower(r))), append(c.class, class(r))
	}
	return c
}

func (c *chunk) len() int { return max(0, len(c.ends)-1) }

func (c *chunk) at(i int) (hash, class uint32) {
	if i < 0 || i >= len(c.hash) {
		return 1, 1
	}
	return c.hash[i], c.class[i]
}

// emit appends the features of a place in a chunk.
func (c *chunk) emit(i int, to []uint32) []uint32 {
	h1, c1 := c.at(i)
	h2, c2 := c.at(i - 1)
	h3, c3 := c.at(i - 2)
	n1, d1 := c.at(i + 1)
	n2, d2 := c.at(i + 2)
	n3, d3 := c.at(i + 3)
	to = append(to,
		feat(101), feat(102, h1), feat(103, n1), feat(104, h2), feat(105, n2), feat(106, h1, n1), feat(107, h2, h1), feat(108, n1, n2),
		feat(109, h3, h2, h1), feat(110, h2, h1, n1), feat(111, h1, n1, n2), feat(112, n1, n2, n3), feat(113, h2, h1, n1, n2),
		feat(114, c1, d1), feat(115, c2, c1, d1), feat(116, c1, d1, d2), feat(117, c3, c2, c1, d1, d2, d3), feat(118, h2, n1), feat(119, h1, n2))
	left, right := i+1, len(c.ends)-1-i
	if left <= 8 { // the whole chunk before the place, and after it
		h := uint32(fnvOffset)
		for _, x := range c.hash[:left] {
			h = (h ^ x) * fnvPrime
		}
		to = append(to, feat(120, h), feat(121, h, n1))
	}
	if right <= 8 {
		h := uint32(fnvOffset)
		for _, x := range c.hash[i+1:] {
			h = (h ^ x) * fnvPrime
		}
		to = append(to, feat(122, h), feat(123, h, h1), feat(124, h, c1))
	}
	to = append(to, feat(125, uint32(min(left, 4)), c1, d1), feat(126, uint32(min(right, 4)), c1, d1))
	if c.hints != nil {
		hint := func(i int) uint32 {
			if i < 0 || i >= len(c.hints) || c.hints[i] {
				return 1
			}
			return 0
		}
		a, b, d := hint(i-1), hint(i), hint(i+1)
		e := hint(i+2) | hint(i-2)<<1
		to = append(to, feat(130, b), feat(131, a, b, d), feat(132, a, b, d, e), feat(133, b, h1, n1), feat(134, b, h1), feat(135, b, n1), feat(136, a, b, d, h1, n1))
	}
	return to
}

// longest is how far back the word before a place is looked at.
const longest = 12

// context appends the features that depend on where the last word ended.
func (c *chunk) context(i int, breaks []int16, to []uint32) []uint32 {
	start := i
	for start > 0 && i-start < longest && breaks[start-1] == 0 {
		start--
	}
	h, k := uint32(fnvOffset), uint32(fnvOffset)
	for j := start; j <= i; j++ {
		h = (h ^ c.hash[j]) * fnvPrime
		if j == start || c.class[j] != c.class[j-1] {
			k = (k ^ c.class[j]) * fnvPrime
		}
	}
	n1, d1 := c.at(i + 1)
	n2, _ := c.at(i + 2)
	n := uint32(i - start + 1)
	hint := uint32(0)
	if c.hints != nil && i < len(c.hints) && c.hints[i] {
		hint = 1
	}
	return append(to, feat(150, h), feat(151, h, n1), feat(152, n, c.class[i], d1), feat(153, k, d1), feat(154, n, c.hash[i]), feat(155, h, n1, n2), feat(156, h, hint), feat(157, n, c.hash[i], n1))
}

// spans cuts the chunk that starts at byte base where breaks says.
func (c *chunk) spans(base int, breaks []int16, to []corpus.Span) []corpus.Span {
	start := base
	for i, end := range c.ends {
		if i == len(c.ends)-1 || breaks[i] != 0 {
			to = append(to, corpus.Span{Start: start, End: base + end})
			start = base + end
		}
	}
	return to
}
