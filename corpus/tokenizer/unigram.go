package tokenizer

import "unicode/utf8"

// unigram finds the cut of a word whose pieces have the highest sum of log
// probabilities (Kudo, arXiv 1804.10959).
type unigram struct {
	trie     *trie
	scores   []float64
	unk      int32
	unkScore float64
	fallback *[256]int32 // ids of <0x00> … <0xFF>; nil = off
}

// unkPenalty is how far below the worst piece an unknown character counts.
const unkPenalty = 10

// unigramBest is the best way to reach a byte of the word.
type unigramBest struct {
	score float64
	from  int32 // −1 not reached
	id    int32
}

func newUnigram(tokens []string, scores []float64, unk int32, fallback bool, ids map[string]int32) *unigram {
	bytes := 0
	for _, s := range tokens {
		bytes += len(s)
	}
	m := &unigram{trie: newTrie(bytes), scores: scores, unk: unk}
	least := 0.0
	for i, s := range tokens {
		if s != "" {
			m.trie.add(s, int32(i))
		}
		if i == 0 || scores[i] < least {
			least = scores[i]
		}
	}
	m.unkScore = least - unkPenalty
	if fallback {
		m.fallback = fallbackIDs(ids)
	}
	return m
}

// lattice fills best for every character boundary of w, leaving one piece out (−1: none).
func (m *unigram) lattice(w []byte, best []unigramBest, not int32) []unigramBest {
	best = best[:0]
	for range len(w) + 1 {
		best = append(best, unigramBest{from: -1})
	}
	best[0].from = 0
	for at := 0; at < len(w); {
		_, width := utf8.DecodeRune(w[at:])
		here := best[at].score
		offer := func(end int, score float64, id int32) {
			if b := &best[end]; b.from < 0 || score > b.score {
				*b = unigramBest{score, int32(at), id}
			}
		}
		single := false
		for node, i := int32(0), at; i < len(w); i++ {
			if node = m.trie.step(node, w[i]); node < 0 {
				break
			}
			if id := m.trie.id[node]; id >= 0 && id != not {
				offer(i+1, here+m.scores[id], id)
				single = single || i+1 == at+width
			}
		}
		if !single {
			offer(at+width, here+m.unkScore, m.unk)
		}
		at += width
	}
	return best
}

func (m *unigram) tokenize(w []byte, out []token, memo *memo) []token {
	memo.best = m.lattice(w, memo.best, -1)
	n := len(out)
	for end := int32(len(w)); end > 0; {
		b := memo.best[end]
		if k := len(out); b.id == m.unk && k > n && out[k-1].id == m.unk {
			out[k-1].lo = b.from // neighbours that are unknown count as one
		} else {
			out = append(out, token{b.id, b.from, end})
		}
		end = b.from
	}
	for i, j := n, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	if m.fallback == nil {
		return out
	}
	return m.bytes(w, out, n)
}

// bytes replaces the unknown tokens from n on by their bytes, where all of them
// have tokens. Each byte stands for the whole of what was unknown.
func (m *unigram) bytes(w []byte, out []token, n int) []token {
	for i := n; i < len(out); i++ {
		x := out[i]
		if x.id != m.unk || !allBytes(m.fallback, w[x.lo:x.hi]) {
			continue
		}
		rest := append([]token(nil), out[i+1:]...)
		out = out[:i]
		for _, b := range w[x.lo:x.hi] {
			out = append(out, token{m.fallback[b], x.lo, x.hi})
		}
		i = len(out) - 1
		out = append(out, rest...)
	}
	return out
}
