package tokenizer

// model cuts a pre-token into tokens.
type model interface {
	// tokenize appends the tokens of the word w, which is not empty. memo is
	// scratch space of the caller's.
	tokenize(w []byte, out []token, memo *memo) []token
}

// token is a piece of a word: the bytes [lo,hi) of it.
type token struct{ id, lo, hi int32 }

// Bounds of the cache of words: its entries, and the length of one.
const (
	maxCached     = 1 << 15
	maxCachedWord = 48
)

// memo is what one goroutine needs to tokenize: a bounded cache of words, as
// text repeats them, and buffers.
type memo struct {
	words map[string][2]int32 // range of arena
	arena []token
	bpe   bpeState
	best  []unigramBest
}

// tokenize appends the tokens of w, from the cache where it has them. When the
// cache is full it starts anew.
func (m *memo) tokenize(by model, w []byte, out []token) []token {
	if r, ok := m.words[string(w)]; ok {
		return append(out, m.arena[r[0]:r[1]]...)
	}
	n := len(out)
	out = by.tokenize(w, out, m)
	if len(w) <= maxCachedWord {
		if m.words == nil || len(m.words) >= maxCached {
			m.words, m.arena = make(map[string][2]int32, 1024), m.arena[:0]
		}
		lo := int32(len(m.arena))
		m.arena = append(m.arena, out[n:]...)
		m.words[string(w)] = [2]int32{lo, int32(len(m.arena))}
	}
	return out
}

// wordLevel looks whole words up.
type wordLevel struct {
	ids map[string]int32
	unk int32 // −1: unknown words give no token
}

func (m *wordLevel) tokenize(w []byte, out []token, _ *memo) []token {
	id, ok := m.ids[string(w)]
	if !ok {
		id = m.unk
	}
	if id < 0 {
		return out
	}
	return append(out, token{id, 0, int32(len(w))})
}
