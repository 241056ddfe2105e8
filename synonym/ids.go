package synonym

import (
	"errors"
	"fmt"
	"slices"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/corpus/tokenizer"
)

// IDs is a table over the token ids of one tokenizer. It is immutable and safe
// for concurrent use.
type IDs struct {
	first   []int32 // [V+1]: the synonyms of y are ids[first[y]:first[y+1]]
	ids     []int32 // ascending within a word
	skipped int
}

// IDs numbers the table by tokens of tok. A word stands for the token that is
// spelled like it ("##ing", "Ġgood"), and for the one token that the tokenizer
// makes of it, alone or after a space. What is no single token, or special, is
// passed over (see Skipped): a masked language model predicts tokens one by one.
// It is an error if no pair remains.
func (t *Table) IDs(tok *corpus.Tokenizer) (*IDs, error) {
	if tok == nil {
		return nil, errors.New("synonym: a table of ids needs a tokenizer")
	}
	v := tok.VocabSize()
	of := make([][]int32, v)
	out := &IDs{first: make([]int32, v+1)}
	numbers := map[string][]int32{}
	find := func(word string) []int32 {
		ids, ok := numbers[word]
		if !ok {
			ids = tokensOf(tok, word)
			numbers[word] = ids
		}
		return ids
	}
	for _, e := range t.entries {
		ys := find(e.Word)
		for _, s := range e.Synonyms {
			vs := find(s)
			if len(ys) == 0 || len(vs) == 0 {
				out.skipped++
			}
			for _, y := range ys {
				for _, v := range vs {
					if v != y {
						of[y] = append(of[y], v)
					}
				}
			}
		}
	}
	for y := range of {
		slices.Sort(of[y])
		out.ids = append(out.ids, slices.Compact(of[y])...)
		out.first[y+1] = int32(len(out.ids))
	}
	if len(out.ids) == 0 {
		return nil, fmt.Errorf("synonym: none of the %d pairs of the table are single tokens of the vocabulary; make one for this model with lite synonyms", t.Pairs())
	}
	return out, nil
}

// tokensOf returns the tokens that a word stands for.
func tokensOf(tok *corpus.Tokenizer, word string) (ids []int32) {
	usable := func(id int64) bool { return !tok.IsSpecial(id) && id != tok.UnkID() }
	if id, ok := tok.ID(word); ok && usable(id) {
		ids = append(ids, int32(id))
	}
	var pieces []tokenizer.Piece
	for _, text := range []string{word, " " + word} {
		pieces = tok.Pieces(text, pieces[:0])
		if len(pieces) == 1 && usable(int64(pieces[0].ID)) && !slices.Contains(ids, pieces[0].ID) {
			ids = append(ids, pieces[0].ID)
		}
	}
	return ids
}

// Has reports whether token v is listed as a synonym of token y. Ids outside
// the vocabulary have no synonyms, and no token is one of itself.
func (s *IDs) Has(y, v int32) bool {
	return slices.Contains(s.Of(y), v)
}

// Of returns the synonyms of token y, ascending. The caller must not change
// them.
func (s *IDs) Of(y int32) []int32 {
	if y < 0 || int(y) >= len(s.first)-1 {
		return nil
	}
	return s.ids[s.first[y]:s.first[y+1]]
}

// VocabSize returns the number of ids of the tokenizer that the table is for.
func (s *IDs) VocabSize() int { return len(s.first) - 1 }

// Pairs returns the number of (token, synonym) pairs.
func (s *IDs) Pairs() int { return len(s.ids) }

// Skipped returns the number of pairs of the table that are not pairs of single
// tokens.
func (s *IDs) Skipped() int { return s.skipped }
