package tokenizer

import (
	"fmt"
	"unicode/utf8"
)

// bpe merges the neighbours whose pair stands earliest in a list, again and
// again (Sennrich et al., arXiv 1508.07909).
type bpe struct {
	ids            map[string]int32
	merges         map[uint64]merged
	unk            int32 // −1: what is unknown gives no token
	prefix, suffix string
	fuseUnk        bool
	ignoreMerges   bool        // a word of the vocabulary is one token
	fallback       *[256]int32 // ids of <0x00> … <0xFF>, −1 absent; nil = off
	raw            bool        // symbols are bytes, and ids has bytes as keys
}

// merged is what a pair becomes, and its place in the list.
type merged struct{ rank, id int32 }

func pairKey(a, b int32) uint64 { return uint64(uint32(a))<<32 | uint64(uint32(b)) }

// fallbackIDs finds the tokens of bytes.
func fallbackIDs(ids map[string]int32) *[256]int32 {
	var out [256]int32
	for b := range out {
		out[b] = -1
		if id, ok := ids[fmt.Sprintf("<0x%02X>", b)]; ok {
			out[b] = id
		}
	}
	return &out
}

// allBytes reports whether each byte of s has a token.
func allBytes[S []byte | string](ids *[256]int32, s S) bool {
	for i := range len(s) {
		if ids[s[i]] < 0 {
			return false
		}
	}
	return true
}

// symbol is a piece of a word in a list that merging makes shorter.
type symbol struct {
	id, lo, hi int32
	prev, next int32 // −1 at the ends; next −2 when it was merged away
}

// candidate is a pair that may be merged.
type candidate struct {
	rank, at int32
	id       int32
}

func (c candidate) before(o candidate) bool {
	return c.rank < o.rank || c.rank == o.rank && c.at < o.at
}

// bpeState is the scratch space of one goroutine.
type bpeState struct {
	syms []symbol
	heap []candidate
}

func (s *bpeState) push(c candidate) {
	h := append(s.heap, c)
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if !h[i].before(h[up]) {
			break
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
	s.heap = h
}

func (s *bpeState) pop() candidate {
	h := s.heap
	top, n := h[0], len(h)-1
	h[0] = h[n]
	h = h[:n]
	for i := 0; ; {
		k := 2*i + 1
		if k >= n {
			break
		}
		if k+1 < n && h[k+1].before(h[k]) {
			k++
		}
		if !h[k].before(h[i]) {
			break
		}
		h[i], h[k] = h[k], h[i]
		i = k
	}
	s.heap = h
	return top
}

func (m *bpe) tokenize(w []byte, out []token, memo *memo) []token {
	if m.ignoreMerges {
		if id, ok := m.ids[string(w)]; ok {
			return append(out, token{id, 0, int32(len(w))})
		}
	}
	s := &memo.bpe
	s.syms, s.heap = s.syms[:0], s.heap[:0]
	m.symbols(s, w)
	for i := range s.syms {
		s.syms[i].prev, s.syms[i].next = int32(i-1), int32(i+1)
	}
	if n := len(s.syms); n > 0 {
		s.syms[n-1].next = -1
	}
	for i := range len(s.syms) - 1 {
		m.offer(s, int32(i))
	}
	for len(s.heap) > 0 {
		m.merge(s, s.pop())
	}
	for _, x := range s.syms {
		if x.next != -2 {
			out = append(out, token{x.id, x.lo, x.hi})
		}
	}
	return out
}

// offer puts the pair that begins at i on the heap.
func (m *bpe) offer(s *bpeState, i int32) {
	if x, ok := m.merges[pairKey(s.syms[i].id, s.syms[s.syms[i].next].id)]; ok {
		s.push(candidate{x.rank, i, x.id})
	}
}

func (m *bpe) merge(s *bpeState, c candidate) {
	x := &s.syms[c.at]
	if x.next < 0 {
		return
	}
	y := &s.syms[x.next]
	if got, ok := m.merges[pairKey(x.id, y.id)]; !ok || got.id != c.id {
		return // one of the two is not what it was
	}
	x.id, x.hi, x.next = c.id, y.hi, y.next
	y.next = -2
	if x.next >= 0 {
		s.syms[x.next].prev = c.at
		m.offer(s, c.at)
	}
	if x.prev >= 0 {
		m.offer(s, x.prev)
	}
}

// symbols cuts w into characters, or bytes, of the vocabulary.
func (m *bpe) symbols(s *bpeState, w []byte) {
	unk := symbol{id: -1} // unknown characters that wait for being joined
	flush := func() {
		if unk.id >= 0 {
			s.syms = append(s.syms, unk)
			unk.id = -1
		}
	}
	for at := 0; at < len(w); {
		width := 1
		if !m.raw {
			_, width = utf8.DecodeRune(w[at:])
		}
		lo, hi := int32(at), int32(at+width)
		at += width
		id, name, ok := m.symbol(w, lo, hi)
		switch {
		case ok:
			flush()
			s.syms = append(s.syms, symbol{id: id, lo: lo, hi: hi})
		case m.fallback != nil && allBytes(m.fallback, name):
			flush()
			for _, b := range []byte(name) {
				s.syms = append(s.syms, symbol{id: m.fallback[b], lo: lo, hi: hi})
			}
		case m.unk < 0:
		case unk.id >= 0 && m.fuseUnk:
			unk.hi = hi
		default:
			flush()
			unk = symbol{id: m.unk, lo: lo, hi: hi}
		}
	}
	flush()
}

// symbol looks one character up, with the prefix of characters inside a word
// and the suffix of the last.
func (m *bpe) symbol(w []byte, lo, hi int32) (id int32, name string, ok bool) {
	inside, last := lo > 0 && m.prefix != "", int(hi) == len(w) && m.suffix != ""
	if !inside && !last {
		id, ok = m.ids[string(w[lo:hi])]
		if !ok {
			name = string(w[lo:hi])
		}
		return id, name, ok
	}
	name = string(w[lo:hi])
	if inside {
		name = m.prefix + name
	}
	if last {
		name += m.suffix
	}
	id, ok = m.ids[name]
	return id, name, ok
}
