package synonym

import (
	"fmt"
	"math"
	"regexp"
	"slices"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/kernel"
)

// Neighbour is a row of an embedding matrix that is near another one.
type Neighbour struct {
	ID     int32
	Cosine float32
}

// before tells which of two neighbours is the nearer one; equal ones go by id.
func (n Neighbour) before(o Neighbour) bool {
	return n.Cosine > o.Cosine || n.Cosine == o.Cosine && n.ID < o.ID
}

// blockRows is how many rows are compared with all others at a time.
const blockRows = 128

// Neighbours returns for each row of emb [vocab,dim] the at most topK other
// rows whose cosine with it is at least minCosine, nearest first. Rows without
// length, or with values that are not finite, have no neighbours and are none.
// The result does not depend on the number of threads.
//
// Errors: emb that is not vocab·dim long, topK below 1, minCosine outside −1…1.
func Neighbours(emb []float32, vocab, dim int, topK int, minCosine float64) ([][]Neighbour, error) {
	switch {
	case vocab < 1 || dim < 1 || len(emb) != vocab*dim:
		return nil, fmt.Errorf("synonym: %d values are not a matrix of %d × %d", len(emb), vocab, dim)
	case topK < 1:
		return nil, fmt.Errorf("synonym: the %d nearest neighbours are asked for; ask for at least 1", topK)
	case !(minCosine >= -1 && minCosine <= 1):
		return nil, fmt.Errorf("synonym: a least cosine of %v; give a number from −1 to 1", minCosine)
	}
	unit, usable := normalize(emb, vocab, dim)
	out := make([][]Neighbour, vocab)
	least := float32(minCosine)
	kernel.Parallel(vocab, blockRows, func(lo, hi int) {
		cos := make([]float32, (hi-lo)*vocab)
		kernel.Gemm(false, true, hi-lo, vocab, dim, 1, unit[lo*dim:hi*dim], dim, unit, dim, 0, cos, vocab)
		for i := lo; i < hi; i++ {
			if usable[i] {
				out[i] = nearest(cos[(i-lo)*vocab:(i-lo+1)*vocab], i, usable, topK, least)
			}
		}
	})
	return out, nil
}

// normalize returns the rows of emb at length 1, zeros for those that cannot be.
func normalize(emb []float32, vocab, dim int) (unit []float32, usable []bool) {
	unit, usable = make([]float32, len(emb)), make([]bool, vocab)
	kernel.Parallel(vocab, 1024, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			row, sum := emb[i*dim:(i+1)*dim], 0.0
			for _, x := range row {
				sum += float64(x) * float64(x)
			}
			if norm := math.Sqrt(sum); norm > 0 && !math.IsInf(norm, 0) { // false for NaN
				usable[i] = true
				for k, x := range row {
					unit[i*dim+k] = float32(float64(x) / norm)
				}
			}
		}
	})
	return unit, usable
}

// nearest picks the neighbours of row i from its cosines with all rows.
func nearest(cos []float32, i int, usable []bool, topK int, least float32) (best []Neighbour) {
	for j, c := range cos {
		if c < least || j == i || !usable[j] {
			continue
		}
		n := Neighbour{int32(j), c}
		if len(best) == topK && !n.before(best[topK-1]) {
			continue
		}
		at := len(best)
		for at > 0 && n.before(best[at-1]) {
			at--
		}
		if len(best) == topK {
			best = best[:topK-1]
		}
		best = slices.Insert(best, at, n)
	}
	return best
}

// Options says which neighbours are synonyms.
type Options struct {
	TopK      int     // synonyms of a word at most; 0 = 8
	MinCosine float64 // least cosine of their embeddings, −1 to 1; 0 means 0
	// Keep tells which tokens may stand in the table; nil = all. Special tokens,
	// unused ones and those of bytes never do.
	Keep func(id int64) bool
}

// Default returns the usual options: the 8 nearest with a cosine of 0.6.
func Default() Options { return Options{TopK: 8, MinCosine: 0.6} }

// unused are entries of vocabularies that stand for nothing: BERT's [unused1],
// <unused1>, RoBERTa's madeupword0000, T5's <extra_id_0>, and single bytes.
var unused = regexp.MustCompile(`^(\[unused\d+\]|<unused_?\d+>|madeupword\d+|<extra_id_\d+>|<0x[0-9A-Fa-f]{2}>)$`)

// FromEmbeddings makes a table of the word embeddings emb [V,dim] of the model
// that tok belongs to: of each token those whose embeddings are nearest by
// cosine. Rows beyond the tokenizer's vocabulary are passed over. The result
// depends on its arguments only.
func FromEmbeddings(emb []float32, dim int, tok *corpus.Tokenizer, opts Options) (*Table, error) {
	if tok == nil || dim < 1 || len(emb)%dim != 0 {
		return nil, fmt.Errorf("synonym: a table needs a tokenizer and whole rows of embeddings, not %d values of %d each", len(emb), dim)
	}
	if opts.TopK == 0 {
		opts.TopK = Default().TopK
	}
	var ids []int64
	var rows []float32
	for id := range int64(min(tok.VocabSize(), len(emb)/dim)) {
		word := tok.Token(id)
		if writable(word) != "" || tok.IsSpecial(id) || id == tok.UnkID() || unused.MatchString(word) || opts.Keep != nil && !opts.Keep(id) {
			continue
		}
		ids = append(ids, id)
		rows = append(rows, emb[int(id)*dim:(int(id)+1)*dim]...)
	}
	if len(ids) < 2 {
		return nil, fmt.Errorf("synonym: %d tokens of the vocabulary may stand in the table; synonyms need two", len(ids))
	}
	near, err := Neighbours(rows, len(ids), dim, opts.TopK, opts.MinCosine)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, len(ids))
	for i, list := range near {
		entries[i].Word = tok.Token(ids[i])
		for _, n := range list {
			entries[i].Synonyms = append(entries[i].Synonyms, tok.Token(ids[n.ID]))
		}
	}
	return New(entries)
}
