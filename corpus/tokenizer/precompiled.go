package tokenizer

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// precompiled is sentencepiece's character map: a double-array trie of strings
// and a pool of what replaces them.
type precompiled struct {
	units []uint32
	pool  []byte
}

// decodeCharsmap reads the base64 form of tokenizer.json.
func decodeCharsmap(s string) (*precompiled, error) {
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("precompiled_charsmap is not base64: %w", err)
	}
	return newCharsmap(raw)
}

// newCharsmap reads the form of sentencepiece models: the trie's size in bytes,
// the trie, the pool.
func newCharsmap(raw []byte) (*precompiled, error) {
	if len(raw) == 0 {
		return &precompiled{}, nil
	}
	if len(raw) < 4 {
		return nil, errors.New("precompiled_charsmap is cut off")
	}
	n := int64(binary.LittleEndian.Uint32(raw))
	if n%4 != 0 || 4+n > int64(len(raw)) {
		return nil, fmt.Errorf("precompiled_charsmap has a trie of %d bytes in %d", n, len(raw))
	}
	p := &precompiled{units: make([]uint32, n/4), pool: raw[4+n:]}
	for i := range p.units {
		p.units[i] = binary.LittleEndian.Uint32(raw[4+4*i:])
	}
	if !utf8.Valid(p.pool) {
		return nil, errors.New("precompiled_charsmap has replacements that are not UTF-8")
	}
	return p, nil
}

// The fields of a unit (the layout of darts-clone).
func unitOffset(u uint32) uint32 { return (u >> 10) << ((u & (1 << 9)) >> 6) }
func unitLabel(u uint32) uint32  { return u & (1<<31 | 0xff) }
func unitLeaf(u uint32) bool     { return u>>8&1 == 1 }

// lookup returns what replaces the shortest key at the start of s. Hugging
// Face takes the shortest and applies it to all of s, and so do we.
func (p *precompiled) lookup(s []byte) (string, bool) {
	if len(p.units) == 0 {
		return "", false
	}
	at := unitOffset(p.units[0])
	for _, c := range s {
		if c == 0 {
			return "", false
		}
		at ^= uint32(c)
		if at >= uint32(len(p.units)) || unitLabel(p.units[at]) != uint32(c) {
			return "", false
		}
		u := p.units[at]
		at ^= unitOffset(u)
		if !unitLeaf(u) {
			continue
		}
		if at >= uint32(len(p.units)) {
			return "", false
		}
		value := p.units[at] & (1<<31 - 1)
		if value >= uint32(len(p.pool)) {
			return "", false
		}
		to := p.pool[value:]
		if n := bytes.IndexByte(to, 0); n >= 0 {
			to = to[:n]
		}
		return string(to), utf8.Valid(to)
	}
	return "", false
}

func (p *precompiled) normalize(in, out *text) {
	var changes []change
	for i := 0; i < len(in.b); {
		n := grapheme(in.b[i:])
		g := in.b[i : i+n]
		i += n
		if len(g) < 6 {
			if to, ok := p.lookup(g); ok {
				changes = replaced(changes, utf8.RuneCount(g), to)
				continue
			}
		}
		for len(g) > 0 {
			r, w := utf8.DecodeRune(g)
			if to, ok := p.lookup(g[:w]); ok {
				changes = replaced(changes, 1, to)
			} else {
				changes = append(changes, change{r, 0})
			}
			g = g[w:]
		}
	}
	skip := 0
	for len(changes) > 0 && changes[0].r < 0 {
		skip -= changes[0].by
		changes = changes[1:]
	}
	in.transform(out, 0, len(in.b), changes, skip)
}

// replaced appends the changes that put to for n characters. Where nothing is
// left of them the character before takes note; at the very start a change with
// a negative character does.
func replaced(changes []change, n int, to string) []change {
	k := 0
	for _, r := range to {
		by := 0
		if k >= n {
			by = 1
		}
		changes = append(changes, change{r, by})
		k++
	}
	if gone := n - k; gone > 0 {
		if k == 0 && (len(changes) == 0 || changes[len(changes)-1].r < 0) {
			return append(changes, change{-1, -gone})
		}
		last := &changes[len(changes)-1]
		if last.by > 0 { // an additional character replaces nothing: it now does
			last.by = -gone + 1
		} else {
			last.by -= gone
		}
	}
	return changes
}
