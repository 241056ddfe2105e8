package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// byteRunes is GPT-2's alphabet: a printable character for each byte. Printable
// bytes stand for themselves, the others for the characters from U+0100 on.
var byteRunes = func() (m [256]rune) {
	next := rune(256)
	for b := range 256 {
		if b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE {
			m[b] = rune(b)
			continue
		}
		m[b] = next
		next++
	}
	return m
}()

// runeBytes is its inverse.
var runeBytes = func() map[rune]byte {
	m := make(map[rune]byte, 256)
	for b, r := range byteRunes {
		m[r] = byte(b)
	}
	return m
}()

// rawBytes undoes the alphabet; ok is false where s has other characters.
func rawBytes(s string) (out []byte, ok bool) {
	for _, r := range s {
		b, ok := runeBytes[r]
		if !ok {
			return nil, false
		}
		out = append(out, b)
	}
	return out, true
}

// toByteRunes appends the bytes [lo,hi) of in as characters of the alphabet.
func toByteRunes(in, out *text, lo, hi int) {
	for i := lo; i < hi; i++ {
		out.rune(byteRunes[in.b[i]], in.start[i], in.end[i])
	}
}

// byteLevelNormalizer writes every byte as a character.
type byteLevelNormalizer struct{}

func (byteLevelNormalizer) normalize(in, out *text) { toByteRunes(in, out, 0, len(in.b)) }

// byteLevel cuts as GPT-2 does and writes every byte as a character, or leaves
// that to a model that reads bytes.
type byteLevel struct {
	prefixSpace bool // a space before a pre-token that has none
	cuts        bool // use GPT-2's pattern
	raw         bool // the model reads bytes
}

func (m byteLevel) split(p *pretext) {
	if m.prefixSpace {
		p.rewrite(func(_ int, c cut, in, out *text) {
			if in.b[c.lo] != ' ' {
				out.byte(' ', in.start[c.lo], in.end[c.lo])
			}
			out.copy(in, int(c.lo), int(c.hi))
		})
	}
	if m.cuts {
		p.each(func(b []byte, emit func(lo, hi int)) {
			for lo := 0; lo < len(b); {
				hi := gpt2Word(b, lo)
				emit(lo, hi)
				lo = hi
			}
		})
	}
	if !m.raw {
		p.rewrite(func(_ int, c cut, in, out *text) { toByteRunes(in, out, int(c.lo), int(c.hi)) })
	}
}

// Kinds of characters that GPT-2's pattern tells apart.
const (
	kindOther = iota
	kindLetter
	kindNumber
	kindSpace
)

var asciiKind = func() (k [utf8.RuneSelf]uint8) {
	for c := range k {
		switch r := rune(c); {
		case unicode.IsLetter(r):
			k[c] = kindLetter
		case r >= '0' && r <= '9':
			k[c] = kindNumber
		case unicode.IsSpace(r):
			k[c] = kindSpace
		}
	}
	return k
}()

func kindAt(b []byte, i int) (kind uint8, width int) {
	if c := b[i]; c < utf8.RuneSelf {
		return asciiKind[c], 1
	}
	r, w := utf8.DecodeRune(b[i:])
	switch {
	case unicode.IsLetter(r):
		return kindLetter, w
	case unicode.Is(unicode.N, r):
		return kindNumber, w
	case unicode.IsSpace(r):
		return kindSpace, w
	}
	return kindOther, w
}

// gpt2Word returns the end of the word that begins at b[at:]: what
// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ matches.
func gpt2Word(b []byte, at int) int {
	if n := contraction(b[at:]); n > 0 {
		return at + n
	}
	i := at
	kind, w := kindAt(b, i)
	if b[i] == ' ' && i+1 < len(b) {
		if k, wide := kindAt(b, i+1); k != kindSpace {
			kind, w = k, wide
			i++
		}
	}
	last := i // start of the run's last character
	for i += w; i < len(b); i += w {
		var k uint8
		if k, w = kindAt(b, i); k != kind {
			break
		}
		last = i
	}
	if kind == kindSpace && i < len(b) && last > at {
		return last // the last space belongs to what follows
	}
	return i
}

func contraction(b []byte) int {
	if len(b) < 2 || b[0] != '\'' {
		return 0
	}
	switch b[1] {
	case 's', 't', 'm', 'd':
		return 2
	case 'r', 'v':
		if len(b) > 2 && b[2] == 'e' {
			return 3
		}
	case 'l':
		if len(b) > 2 && b[2] == 'l' {
			return 3
		}
	}
	return 0
}
