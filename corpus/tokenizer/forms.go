package tokenizer

import (
	"slices"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// form is a Unicode normalization form. A composed character stands for the
// first character it was composed of, decomposed ones for the one they came
// from.
type form struct {
	form    norm.Form
	compose bool
}

var forms = map[string]form{
	"NFC": {norm.NFC, true}, "NFD": {norm.NFD, false}, "NFKC": {norm.NFKC, true}, "NFKD": {norm.NFKD, false},
}

func (n form) normalize(in, out *text) {
	for i := 0; i < len(in.b); {
		if k := n.form.QuickSpan(in.b[i:]); k > 0 { // normal as it is, except perhaps its last character
			if i+k == len(in.b) {
				out.copy(in, i, i+k)
				return
			}
			// Back to the last boundary: what follows may combine with it.
			for k > 0 && !n.boundary(in.b[i+k:]) {
				_, w := utf8.DecodeLastRune(in.b[i : i+k])
				k -= w
			}
			out.copy(in, i, i+k)
			i += k
		}
		end := i + 1
		for end < len(in.b) && (!utf8.RuneStart(in.b[end]) || !n.boundary(in.b[end:])) {
			end++
		}
		in.transform(out, i, end, n.changes(in.b[i:end]), 0)
		i = end
	}
}

// boundary reports whether nothing before b can interact with its first
// character.
func (n form) boundary(b []byte) bool { return n.form.Properties(b).BoundaryBefore() }

// decomposed is one character of a decomposition.
type decomposed struct {
	change
	ccc uint8
}

// changes normalizes a segment between boundaries.
func (n form) changes(b []byte) []change {
	full := norm.NFD
	if n.form == norm.NFKC || n.form == norm.NFKD {
		full = norm.NFKD
	}
	var d []decomposed
	for i := 0; i < len(b); {
		_, w := utf8.DecodeRune(b[i:])
		by := 0
		for _, r := range full.String(string(b[i : i+w])) {
			d = append(d, decomposed{change{r, by}, full.PropertiesString(string(r)).CCC()})
			by = 1
		}
		i += w
	}
	for lo := 0; lo < len(d); { // marks in canonical order
		hi := lo + 1
		if d[lo].ccc != 0 {
			for hi < len(d) && d[hi].ccc != 0 {
				hi++
			}
			slices.SortStableFunc(d[lo:hi], func(x, y decomposed) int { return int(x.ccc) - int(y.ccc) })
		}
		lo = hi
	}
	if n.compose {
		d = composeAll(d)
	}
	out := make([]change, len(d))
	for i, x := range d {
		out[i] = x.change
	}
	return out
}

// composeAll joins starters with what follows them, where nothing blocks.
func composeAll(d []decomposed) []decomposed {
	var out []decomposed
	starter, last := -1, -1 // index in out; class of the last character after it
	for _, x := range d {
		if starter >= 0 && (last < int(x.ccc) || last < 0) {
			if r, ok := composePair(out[starter].r, x.r); ok {
				out[starter].r = r
				out[starter].by += x.by - 1
				continue
			}
		}
		if x.ccc == 0 {
			starter, last = len(out), -1
		} else {
			last = int(x.ccc)
		}
		out = append(out, x)
	}
	return out
}

// composePair is the primary composite of two characters.
func composePair(a, b rune) (rune, bool) {
	if a >= jamoL && a < jamoL+jamoLCount && b >= jamoV && b < jamoV+jamoVCount {
		return hangulBase + ((a-jamoL)*jamoVCount+b-jamoV)*jamoTCount, true
	}
	if a >= hangulBase && a < hangulEnd && (a-hangulBase)%jamoTCount == 0 && b > jamoT && b < jamoT+jamoTCount {
		return a + b - jamoT, true
	}
	if b < 0x300 {
		return 0, false
	}
	s := norm.NFC.String(string([]rune{a, b}))
	r, w := utf8.DecodeRuneInString(s)
	return r, w == len(s)
}
