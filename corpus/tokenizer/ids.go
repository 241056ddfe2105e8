package tokenizer

import (
	"fmt"
	"strconv"
)

// Roles are the ids of the tokens that a model gives a meaning to; −1 absent.
type Roles struct{ Pad, Unk, Cls, Sep, Mask int64 }

// maxIDs bounds the vocabulary of a stand-in.
const maxIDs = 1 << 24

// NewIDs returns a stand-in for a tokenizer that cannot be read, which knows no
// text: it serves corpora of token ids. size is the number of ids; token 17 is
// called "#17". Tokens that have a role are special, so never masked.
func NewIDs(size int, roles Roles) (*Tokenizer, error) {
	if size < 1 || size > maxIDs {
		return nil, fmt.Errorf("tokenizer: a vocabulary of %d ids; it must have from 1 to %d", size, maxIDs)
	}
	vocab := make([]string, size)
	for i := range vocab {
		vocab[i] = "#" + strconv.Itoa(i)
	}
	for i, id := range []int64{roles.Pad, roles.Unk, roles.Cls, roles.Sep, roles.Mask} {
		if id >= int64(size) {
			return nil, fmt.Errorf("tokenizer: the token %s has the id %d, but the vocabulary has %d", specialTokens[i], id, size)
		}
		if id >= 0 {
			vocab[id] = specialTokens[i]
		}
	}
	unknown := roles.Unk < 0 || vocab[roles.Unk] != "[UNK]"
	if unknown { // a WordPiece vocabulary must have one
		vocab = append(vocab, "[UNK]")
	}
	t, err := NewWordPiece(vocab, false)
	if err != nil {
		return nil, err
	}
	if unknown {
		t.tokens, t.special = t.tokens[:size], t.special[:size]
		delete(t.ids, "[UNK]")
	}
	// One token may have two roles, which the names above do not tell.
	t.role = roles32(roles)
	t.blind = true
	return t, nil
}

func roles32(r Roles) roles {
	return roles{pad: int32(r.Pad), unk: int32(r.Unk), cls: int32(r.Cls), sep: int32(r.Sep), mask: int32(r.Mask)}
}

// ReadsText reports whether the tokenizer can read text; see [NewIDs].
func (t *Tokenizer) ReadsText() bool { return !t.blind }
