package augment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// Kinds of tokens: what can stand where.
const (
	kindNone   = iota // special, part of a word, or without letter and digit
	kindPlain         // a whole word
	kindSpaced        // one that brings the space before it
)

// vocabulary knows which tokens are words, and how they are written.
type vocabulary struct {
	tok   *corpus.Tokenizer
	kinds []uint8  // by id
	forms []string // by id, as in a text
}

func newVocabulary(tok *corpus.Tokenizer) (*vocabulary, error) {
	n := tok.VocabSize()
	v := &vocabulary{tok, make([]uint8, n), make([]string, n)}
	any := false
	for id := range int64(n) {
		token := tok.Token(id)
		if token == "" || tok.IsSpecial(id) || id == tok.UnkID() || strings.HasPrefix(token, "##") || strings.HasPrefix(token, "[unused") || strings.HasPrefix(token, "<") {
			continue
		}
		form := strings.TrimSpace(tok.Decode([]int64{id}, true))
		if !strings.ContainsFunc(form, isWordRune) || strings.ContainsFunc(form, unicode.IsSpace) || strings.ContainsRune(form, utf8.RuneError) {
			continue
		}
		v.forms[id], v.kinds[id], any = form, kindPlain, true
		if strings.HasPrefix(token, "Ġ") || strings.HasPrefix(token, "▁") {
			v.kinds[id] = kindSpaced
		}
	}
	if !any {
		return nil, errors.New("augment: the vocabulary has no whole words; nothing could be replaced")
	}
	return v, nil
}

// kind is that of the token's neighbours too: what may replace it. A piece
// without a kind of its own, such as one that is part of a word, asks for words.
func (v *vocabulary) kind(id int32) uint8 {
	if k := v.kinds[id]; k != kindNone {
		return k
	}
	if t := v.tok.Token(int64(id)); strings.HasPrefix(t, "Ġ") || strings.HasPrefix(t, "▁") {
		return kindSpaced
	}
	return kindPlain
}

// top returns the k tokens of a kind with the largest scores that are written
// otherwise than form, best first; equal ones go by id.
func (v *vocabulary) top(scores []float32, k int, kind uint8, form string) []int32 {
	best := make([]int32, 0, k+1)
	for id := range min(len(scores), len(v.kinds)) {
		s := scores[id]
		if v.kinds[id] != kind || s != s || math.IsInf(float64(s), -1) || len(best) == k && s <= scores[best[k-1]] || strings.EqualFold(v.forms[id], form) {
			continue
		}
		at := len(best)
		for at > 0 && s > scores[best[at-1]] {
			at--
		}
		best = slices.Insert(best, at, int32(id))
		best = best[:min(len(best), k)]
	}
	return best
}

// spell writes a token in place of a word, with its capitals where the
// tokenizer has none.
func (v *vocabulary) spell(id int32, form string) string {
	s := v.forms[id]
	if !v.tok.Lowercase() {
		return s
	}
	first, size := utf8.DecodeRuneInString(form)
	switch {
	case !unicode.IsUpper(first):
		return s
	case len(form) > size && strings.ToUpper(form) == form:
		return strings.ToUpper(s)
	}
	head, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(head)) + s[n:]
}

// maxKnown bounds how many answers are remembered.
const maxKnown = 1 << 17

// nearby finds tokens by their embeddings.
type nearby struct {
	words *vocabulary
	emb   []float32 // [V,dim]
	unit  []float32 // [V,dim] the same at length 1
	dim   int
	mu    sync.Mutex
	known map[string][]int32
}

func newNearby(m *onnx.Model, words *vocabulary) (*nearby, error) {
	emb, dim, err := student.WordEmbeddings(m)
	if err != nil {
		return nil, fmt.Errorf("augment: %w", err)
	}
	v := len(emb) / dim
	if v < len(words.kinds) {
		return nil, fmt.Errorf("augment: the model has embeddings of %d tokens, but its tokenizer has %d; they do not belong together", v, len(words.kinds))
	}
	n := &nearby{words: words, emb: emb, unit: make([]float32, len(emb)), dim: dim, known: map[string][]int32{}}
	for i := range v {
		row, sum := emb[i*dim:(i+1)*dim], 0.0
		for _, x := range row {
			sum += float64(x) * float64(x)
		}
		if sum > 0 {
			scale := float32(1 / math.Sqrt(sum))
			for k, x := range row {
				n.unit[i*dim+k] = x * scale
			}
		}
	}
	return n, nil
}

// of returns the words nearest to a word of several tokens.
func (n *nearby) of(ids []int64, form string, k int) []int32 {
	name := binary.AppendVarint(nil, int64(len(ids)))
	for _, id := range ids {
		name = binary.AppendVarint(name, id)
	}
	name = append(name, form...)
	n.mu.Lock()
	found, ok := n.known[string(name)]
	n.mu.Unlock()
	if ok {
		return found
	}
	mean := make([]float32, n.dim)
	for _, id := range ids {
		for i, x := range n.emb[int(id)*n.dim : (int(id)+1)*n.dim] {
			mean[i] += x
		}
	}
	v := len(n.unit) / n.dim
	scores := make([]float32, v) // the length of the mean changes no order
	kernel.Gemm(false, true, 1, v, n.dim, 1, mean, n.dim, n.unit, n.dim, 0, scores, v)
	found = n.words.top(scores, k, n.words.kind(int32(ids[0])), form)
	n.mu.Lock()
	if len(n.known) == maxKnown {
		clear(n.known)
	}
	n.known[string(name)] = found
	n.mu.Unlock()
	return found
}
