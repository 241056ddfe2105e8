package tokenizer

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Truncation says how long texts are cut. Its names are those of tokenizer.json.
type Truncation struct {
	MaxLength int    `json:"max_length"` // special tokens included
	Stride    int    `json:"stride"`     // tokens that a window shares with the one before
	Strategy  string `json:"strategy"`   // LongestFirst (also ""), OnlyFirst, OnlySecond
	Direction string `json:"direction"`  // Right (also ""): the end is cut off; Left
}

// Padding says how encodings of several texts get one length.
type Padding struct {
	Length   int    // fixed length; 0 = that of the longest
	Multiple int    // round the length up; 0 = no
	Left     bool   // pad before the text
	ID, Type int64  // what is put there
	Token    string // the name of ID
}

// Truncation returns the truncation that tokenizer.json asks for.
func (t *Tokenizer) Truncation() (Truncation, bool) {
	if t.truncation == nil {
		return Truncation{}, false
	}
	return *t.truncation, true
}

// Padding returns the padding that tokenizer.json asks for, else one with the
// tokenizer's padding token at the side that tokenizer_config.json names.
func (t *Tokenizer) Padding() Padding {
	if t.padding != nil {
		return *t.padding
	}
	return Padding{ID: max(t.PadID(), 0), Token: t.Token(t.PadID()), Left: t.padLeft}
}

func readTruncation(m json.RawMessage) (*Truncation, error) {
	var tr *Truncation
	if err := decode(m, "truncation", &tr); err != nil || tr == nil {
		return nil, err
	}
	return tr, tr.check()
}

func (tr *Truncation) check() error {
	switch {
	case tr.MaxLength < 0 || tr.Stride < 0:
		return fmt.Errorf("tokenizer: truncation: max_length %d and stride %d must not be negative", tr.MaxLength, tr.Stride)
	case tr.Strategy != "" && tr.Strategy != "LongestFirst" && tr.Strategy != "OnlyFirst" && tr.Strategy != "OnlySecond":
		return fmt.Errorf("tokenizer: truncation: strategy %q is none of LongestFirst, OnlyFirst and OnlySecond", tr.Strategy)
	case tr.Direction != "" && tr.Direction != "Right" && tr.Direction != "Left":
		return fmt.Errorf("tokenizer: truncation: direction %q is neither Right nor Left", tr.Direction)
	}
	return nil
}

func readPadding(m json.RawMessage) (*Padding, error) {
	var j *struct {
		Strategy  json.RawMessage `json:"strategy"`
		Direction string          `json:"direction"`
		Multiple  int             `json:"pad_to_multiple_of"`
		ID        int64           `json:"pad_id"`
		Type      int64           `json:"pad_type_id"`
		Token     string          `json:"pad_token"`
	}
	if err := decode(m, "padding", &j); err != nil || j == nil {
		return nil, err
	}
	p := &Padding{Multiple: j.Multiple, Left: j.Direction == "Left", ID: j.ID, Type: j.Type, Token: j.Token}
	var fixed struct{ Fixed int }
	if json.Unmarshal(j.Strategy, &fixed) == nil {
		p.Length = fixed.Fixed
	}
	if p.Length < 0 || p.Length > maxVocab || p.Multiple < 0 || p.Multiple > maxVocab {
		return nil, fmt.Errorf("tokenizer: padding: length %d and multiple %d must be from 0 to %d", p.Length, p.Multiple, maxVocab)
	}
	return p, nil
}

// Windows encodes a text (b empty), or a pair, cut as tr says. The first result
// is the encoding, the others are windows over what was cut off; where both
// texts of a pair are cut, every window of one meets every window of the other.
//
// Errors: a strategy that cannot make the texts short enough, a stride that is
// not below the room for the text.
func (t *Tokenizer) Windows(a, b string, tr Truncation) ([]Encoding, error) {
	if err := tr.check(); err != nil {
		return nil, err
	}
	pair := b != ""
	s := t.pool.Get().(*scratch)
	defer t.pool.Put(s)
	s.names = s.names[:0]
	pa := slices.Clone(t.run(s, a))
	var pb []Piece
	if pair {
		pb = slices.Clone(t.run(s, b))
	}
	ka, kb := len(pa), len(pb)
	if over := Overhead(t.Template(pair)); tr.MaxLength > 0 && ka+kb+over > tr.MaxLength {
		room := tr.MaxLength - over
		gone := ka + kb - max(room, 0)
		switch {
		case tr.Strategy == "OnlyFirst":
			ka -= gone
		case tr.Strategy == "OnlySecond" && !pair:
			return nil, fmt.Errorf("tokenizer: truncation OnlySecond needs a pair of texts")
		case tr.Strategy == "OnlySecond":
			kb -= gone
		default:
			ka, kb = Fit(ka, kb, tr.MaxLength, over)
		}
		if room < 0 || ka <= 0 && len(pa) > 0 && tr.Strategy == "OnlyFirst" || kb <= 0 && tr.Strategy == "OnlySecond" {
			return nil, fmt.Errorf("tokenizer: truncation %s cannot bring %d and %d tokens to %d; allow more or cut both texts", tr.Strategy, len(pa), len(pb), tr.MaxLength)
		}
	}
	wa, err := windows(pa, ka, tr)
	if err != nil {
		return nil, err
	}
	wb, err := windows(pb, kb, tr)
	if err != nil {
		return nil, err
	}
	out := []Encoding{t.assemble(s, pair, wa[0], wb[0], a, b)}
	for _, x := range wa[1:] {
		for _, y := range wb {
			out = append(out, t.assemble(s, pair, x, y, a, b))
		}
	}
	for _, y := range wb[1:] {
		out = append(out, t.assemble(s, pair, wa[0], y, a, b))
	}
	return out, nil
}

// windows cuts ps into runs of n that share stride pieces.
func windows(ps []Piece, n int, tr Truncation) ([][]Piece, error) {
	if n >= len(ps) {
		return [][]Piece{ps}, nil
	}
	if n <= 0 {
		return [][]Piece{nil, ps}, nil
	}
	if tr.Stride >= n {
		return nil, fmt.Errorf("tokenizer: truncation: stride %d; it must be below the %d tokens of a window", tr.Stride, n)
	}
	var out [][]Piece
	step := n - tr.Stride
	if tr.Direction == "Left" {
		for hi := len(ps); ; hi -= step {
			lo := max(hi-n, 0)
			out = append(out, ps[lo:hi])
			if lo == 0 {
				return out, nil
			}
		}
	}
	for lo := 0; ; lo += step {
		hi := min(lo+n, len(ps))
		out = append(out, ps[lo:hi])
		if hi == len(ps) {
			return out, nil
		}
	}
}

// Pad brings encodings to one length and returns their attention masks, 1 on
// tokens and 0 on padding.
func (p Padding) Pad(es []Encoding) [][]int64 {
	n := p.Length
	if n == 0 {
		for i := range es {
			n = max(n, es[i].Len())
		}
	}
	if p.Multiple > 0 {
		n = (n + p.Multiple - 1) / p.Multiple * p.Multiple
	}
	masks := make([][]int64, len(es))
	for i := range es {
		e := &es[i]
		old := e.Len()
		masks[i] = make([]int64, max(n, old))
		at := 0
		if p.Left {
			at = len(masks[i]) - old
		}
		for k := range old {
			masks[i][at+k] = 1
		}
		e.IDs, e.Types = padded(e.IDs, n, at, p.ID), padded(e.Types, n, at, p.Type)
		e.Tokens, e.Offsets = padded(e.Tokens, n, at, p.Token), padded(e.Offsets, n, at, Span{})
		e.Word, e.Seq = padded(e.Word, n, at, -1), padded(e.Seq, n, at, -1)
	}
	return masks
}

func padded[T any](s []T, n, at int, fill T) []T {
	if len(s) >= n {
		return s
	}
	out := make([]T, n)
	for i := range out {
		out[i] = fill
	}
	copy(out[at:], s)
	return out
}
