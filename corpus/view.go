package corpus

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/litekit/lite/corpus/tokenizer"
	"github.com/litekit/lite/internal/misfit"
)

// ViewOptions says how examples become batches. The zero value is usable.
type ViewOptions struct {
	BatchSize   int // sequences in a batch; 0 = 32
	MaxLength   int // tokens in a sequence, special ones included; 0 = 128
	PadMultiple int // S is padded to a multiple of this; 0 = 8
	RowMultiple int // R is padded to a multiple of this; 0 = 16
	Window      int // batches that are sorted by length together; 0 = 50, −1 = no sorting
	// BatchTokens, if not 0, is a budget that replaces BatchSize and Window:
	// sequences of one padded length are a bucket, and a batch has as many of a
	// bucket as B·S ≤ BatchTokens allows; what is left of a bucket goes with the
	// next longer one. At least MaxLength.
	BatchTokens int
	Seed        uint64 // of order, masks and segment swaps
	// FullBatches fills the short last batch with padding rows (special tokens
	// only, Index −1), so that every batch has BatchSize rows; under a
	// token budget every batch, to as many rows as it allows.
	FullBatches bool
	// TokenLabels makes a task view fill Rows, POS and NER for every token of
	// the text (MLM stays −1): token classification.
	TokenLabels bool

	// For denoise views:

	Mask MaskOptions
	// RowsAll selects every token for POS and NER instead of the masked ones
	// only; MLM is −1 on the rows that are not masked.
	RowsAll bool
	// FirstPieces leaves POS and NER to the first token of each word; they are −1
	// on the others.
	FirstPieces bool
	// SentencePairs cuts each segment into two, swapped in half of the cases,
	// for sentence-order prediction (Batch.Order).
	SentencePairs bool
	// NextSentence cuts each segment into two and replaces the second one, in
	// half of the cases, by sentences of another document that fill its room,
	// for next-sentence prediction (Batch.Next). It excludes SentencePairs and
	// needs two documents.
	NextSentence bool

	POSTags []string // nil = UPOS()
	NERTags []string // nil = NERTags of the corpus

	// Memory is how many bytes of tokens are held, 0 = 64 MiB; when there are
	// more, all go to temporary files, and 2 bytes of each sequence stay.
	Memory int64
}

func (o ViewOptions) check(t *Tokenizer) (ViewOptions, error) {
	for _, f := range []struct {
		name string
		p    *int
		def  int
	}{{"BatchSize", &o.BatchSize, 32}, {"MaxLength", &o.MaxLength, 128}, {"PadMultiple", &o.PadMultiple, 8}, {"RowMultiple", &o.RowMultiple, 16}, {"Window", &o.Window, 50}} {
		if *f.p == 0 {
			*f.p = f.def
		}
		if *f.p < 1 && !(f.name == "Window" && *f.p == -1) {
			return o, fmt.Errorf("corpus: %s is %d; it must be positive", f.name, *f.p)
		}
	}
	if o.SentencePairs && o.NextSentence {
		return o, errors.New("corpus: SentencePairs and NextSentence exclude each other; make a view for each")
	}
	if o.MaxLength > math.MaxUint16 {
		return o, fmt.Errorf("corpus: MaxLength is %d; at most %d are supported", o.MaxLength, math.MaxUint16)
	}
	if o.BatchTokens != 0 && o.BatchTokens < o.MaxLength {
		return o, fmt.Errorf("corpus: BatchTokens is %d; one sequence of %d tokens (MaxLength) must fit, so give at least that", o.BatchTokens, o.MaxLength)
	}
	if o.Memory < 0 {
		return o, fmt.Errorf("corpus: Memory is %d bytes; it cannot be negative", o.Memory)
	}
	if o.Memory == 0 {
		o.Memory = defaultHeld
	}
	if need := tokenizer.Overhead(t.Template(true)) + 2; o.MaxLength < need {
		return o, fmt.Errorf("corpus: MaxLength is %d; special tokens and one token of each text need %d", o.MaxLength, need)
	}
	var err error
	o.Mask, err = o.Mask.check()
	return o, err
}

// View is a corpus as batches. It is a pure function of (options, epoch,
// index): batches can be asked for in any order and from any goroutine. The
// corpus is tokenized once, when the view is made.
type View struct {
	corpus     Corpus
	tok        *Tokenizer
	opts       ViewOptions
	denoise    bool
	sequential bool
	store      *store
	masker     masker
	tagger     tagger
	plans      *plans
	packing    *packing // nil without a token budget
}

// NewTaskView makes batches of clean examples with their labels: one sequence
// for each example, cut to MaxLength, pairs longest text first. With TokenLabels
// a text that is too long becomes several sequences, cut between sentences
// where it can be, so that no labelled token is lost.
func NewTaskView(c Corpus, tok *Tokenizer, opts ViewOptions) (*View, error) {
	v, err := newView(c, tok, opts, false)
	if err != nil {
		return nil, err
	}
	return v.fill(v.addTask)
}

// NewDenoiseView makes batches of masked segments with their targets. Long
// texts become several segments; a pair (Example.Pair) stays one sequence.
// Segments with nothing to mask are left out.
func NewDenoiseView(c Corpus, tok *Tokenizer, opts ViewOptions) (*View, error) {
	v, err := newView(c, tok, opts, true)
	if err != nil {
		return nil, err
	}
	if tok.MaskID() < 0 {
		return nil, errors.New("corpus: the tokenizer has no [MASK] token, so nothing can be masked; use a tokenizer with one")
	}
	if len(v.masker.fill) == 0 {
		return nil, errors.New("corpus: the vocabulary has special tokens only; nothing can be masked")
	}
	return v.fill(v.addSegments)
}

func newView(c Corpus, tok *Tokenizer, opts ViewOptions, denoise bool) (*View, error) {
	if c == nil || tok == nil {
		return nil, errors.New("corpus: a view needs a corpus and a tokenizer")
	}
	if tok.PadID() < 0 {
		return nil, errors.New("corpus: the tokenizer has no [PAD] token, so sequences cannot be padded; add one to the vocabulary")
	}
	opts, err := opts.check(tok)
	if err != nil {
		return nil, misfit.Of(err)
	}
	if opts.POSTags == nil {
		opts.POSTags = upos
	}
	if opts.NERTags == nil && (denoise || opts.TokenLabels) {
		if opts.NERTags, err = NERTags(c); err != nil {
			return nil, err
		}
	}
	v := &View{corpus: c, tok: tok, opts: opts, denoise: denoise, plans: &plans{}, masker: newMasker(tok, opts.Mask)}
	v.tagger, err = newTagger(opts.POSTags, opts.NERTags)
	return v, err
}

func (v *View) fill(add func(*part, Example, int) error) (*View, error) {
	if v.corpus.Len() == 0 {
		return nil, errors.New("corpus: the corpus is empty; there is nothing to make batches of")
	}
	var err error
	if v.store, err = buildStore(v.corpus, v.opts.Memory, add, v.length); err != nil {
		return nil, err
	}
	n := v.Len()
	if n == 0 {
		return nil, errors.New("corpus: no example has a token that can be masked; check the text column and the tokenizer's vocabulary")
	}
	if v.opts.BatchTokens > 0 {
		v.packing = v.pack()
	}
	if v.denoise && v.opts.NextSentence {
		var w reader
		first, _, err := v.store.load(0, &w)
		if err != nil {
			return nil, err
		}
		last, _, err := v.store.load(n-1, &w)
		if err != nil {
			return nil, err
		}
		if first.example == last.example {
			return nil, errors.New("corpus: the next sentence is told from one of another document, and there is only one; separate documents by blank lines, or leave next-sentence prediction out")
		}
	}
	return v, nil
}

// Sequential returns the same data without shuffling, the same batches in every
// epoch: windows of batches are in file order, and each is sorted by length
// (exact file order with Window −1); Batch.Index tells which example is where.
// Masks are still drawn by epoch. Under a token budget the shortest sequences
// come first.
func (v *View) Sequential() *View {
	s := *v
	s.sequential, s.plans = true, &plans{}
	return &s
}

// Len returns the number of sequences in an epoch.
func (v *View) Len() int { return len(v.store.lengths) }

// Tokens returns the number of real tokens in an epoch, special ones included;
// with NextSentence the most that there can be.
func (v *View) Tokens() int {
	n := 0
	for _, l := range v.store.lengths {
		n += int(l)
	}
	return n
}

// TokenCounts returns how often each of the first n token ids occurs in the
// texts of the view [n], special tokens that frame them left out.
func (v *View) TokenCounts(n int) []int {
	counts := make([]int, n)
	v.store.each(func(ids []int32) {
		for _, id := range ids {
			if int(id) < n && !(v.store.raw && v.tok.IsSpecial(int64(id))) {
				counts[id]++
			}
		}
	})
	return counts
}

// Batches returns the number of batches in an epoch, the same in every epoch.
func (v *View) Batches(epoch int) int {
	if v.packing != nil {
		return len(v.packing.starts) - 1
	}
	return (v.Len() + v.opts.BatchSize - 1) / v.opts.BatchSize
}

// POSTags returns the tag set that Batch.POS indexes.
func (v *View) POSTags() []string { return slices.Clone(v.opts.POSTags) }

// NERTags returns the tag set that Batch.NER indexes; empty when the corpus has
// no entities.
func (v *View) NERTags() []string { return slices.Clone(v.opts.NERTags) }

// Corpus returns what the batches are made of; Batch.Index counts its examples.
func (v *View) Corpus() Corpus { return v.corpus }

// Labels returns the class names that Batch.Labels indexes.
func (v *View) Labels() []string { return v.corpus.Labels() }

// Options returns the options with defaults filled in.
func (v *View) Options() ViewOptions { return v.opts }
