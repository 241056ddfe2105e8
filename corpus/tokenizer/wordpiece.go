package tokenizer

import "unicode/utf8"

// wordPiece cuts a word into the longest pieces of the vocabulary from left to
// right (Wu et al., arXiv 1609.08144); a word with a part that no piece covers
// is unknown as a whole.
type wordPiece struct {
	trie     *trie
	cont     int32 // trie node after the continuation prefix, −1 if no such piece
	unk      int32
	maxChars int
}

func (m *wordPiece) tokenize(w []byte, out []token, _ *memo) []token {
	n := len(out)
	if len(w) <= m.maxChars || utf8.RuneCount(w) <= m.maxChars {
		node := int32(0)
		for at := 0; at < len(w); node = m.cont {
			id, end := int32(-1), at
			for i := at; i < len(w) && node >= 0; i++ {
				if node = m.trie.step(node, w[i]); node >= 0 && m.trie.id[node] >= 0 {
					id, end = m.trie.id[node], i+1
				}
			}
			if id < 0 {
				out = out[:n]
				break
			}
			out = append(out, token{id, int32(at), int32(end)})
			at = end
		}
	}
	if len(out) == n {
		out = append(out, token{m.unk, 0, int32(len(w))})
	}
	return out
}
