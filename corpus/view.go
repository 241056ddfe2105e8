package corpus

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/litekit/lite/corpus/tokenizer"
)

// ViewOptions says how examples become batches. The zero value is usable.
type ViewOptions struct {
	BatchSize   int    // sequences in a batch; 0 = 32
	MaxLength   int    // tokens in a sequence, special ones included; 0 = 128
	PadMultiple int    // S is padded to a multiple of this; 0 = 8
	RowMultiple int    // R is padded to a multiple of this; 0 = 16
	Window      int    // batches that are sorted by length together; 0 = 50, −1 = no sorting
	Seed        uint64 // of order, masks and segment swaps
	// FullBatches fills the short last batch with padding rows (special tokens
	// only, Index −1), so that every batch has BatchSize rows.
	FullBatches bool
	// TokenLabels makes a task view fill Rows, POS and NER for every token of
	// the text (MLM stays −1): token classification.
	TokenLabels bool

	// For denoise views:

	Mask MaskOptions
	// RowsAll selects every token for POS and NER instead of the masked ones
	// only; MLM is −1 on the rows that are not masked.
	RowsAll bool
	// SentencePairs cuts each segment into two, swapped in half of the cases,
	// for sentence-order prediction.
	SentencePairs bool

	POSTags []string // nil = UPOS()
	NERTags []string // nil = NERTags of the corpus
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
	lengths    []int32
	plans      *plans
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
		return nil, err
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

func (v *View) fill(add func(*store, Example, int) error) (*View, error) {
	if v.corpus.Len() == 0 {
		return nil, errors.New("corpus: the corpus is empty; there is nothing to make batches of")
	}
	var err error
	if v.store, err = buildStore(v.corpus, add); err != nil {
		return nil, err
	}
	if len(v.store.seqs) == 0 {
		return nil, errors.New("corpus: no example has a token that can be masked; check the text column and the tokenizer's vocabulary")
	}
	v.lengths = make([]int32, len(v.store.seqs))
	for n := range v.lengths {
		v.lengths[n] = int32(v.length(n))
	}
	return v, nil
}

// Sequential returns the same data without shuffling, the same batches in every
// epoch: windows of batches are in file order, and each is sorted by length
// (exact file order with Window −1); Batch.Index tells which example is where.
// Masks are still drawn by epoch.
func (v *View) Sequential() *View {
	s := *v
	s.sequential, s.plans = true, &plans{}
	return &s
}

// Len returns the number of sequences in an epoch.
func (v *View) Len() int { return len(v.store.seqs) }

// Tokens returns the number of real tokens in an epoch, special ones included.
func (v *View) Tokens() int {
	n := 0
	for _, l := range v.lengths {
		n += int(l)
	}
	return n
}

// TokenCounts returns how often each of the first n token ids occurs in the
// texts of the view [n], special tokens that frame them left out.
func (v *View) TokenCounts(n int) []int {
	counts := make([]int, n)
	for _, id := range v.store.ids {
		if int(id) < n {
			counts[id]++
		}
	}
	return counts
}

// Batches returns the number of batches in an epoch, the same in every epoch.
func (v *View) Batches(epoch int) int {
	return (len(v.store.seqs) + v.opts.BatchSize - 1) / v.opts.BatchSize
}

// POSTags returns the tag set that Batch.POS indexes.
func (v *View) POSTags() []string { return slices.Clone(v.opts.POSTags) }

// NERTags returns the tag set that Batch.NER indexes; empty when the corpus has
// no entities.
func (v *View) NERTags() []string { return slices.Clone(v.opts.NERTags) }

// Labels returns the class names that Batch.Labels indexes.
func (v *View) Labels() []string { return v.corpus.Labels() }

// Options returns the options with defaults filled in.
func (v *View) Options() ViewOptions { return v.opts }

// plans remembers the order of the last two epochs asked for.
type plans struct {
	mu    sync.Mutex
	epoch [2]int
	order [2][]int32
	turn  int
}

// plan returns the sequence numbers of an epoch in batch order.
func (v *View) plan(epoch int) []int32 {
	if v.sequential {
		epoch = 0
	}
	p := v.plans
	p.mu.Lock()
	defer p.mu.Unlock()
	for k := range p.order {
		if p.order[k] != nil && p.epoch[k] == epoch {
			return p.order[k]
		}
	}
	order := v.order(epoch)
	p.epoch[p.turn], p.order[p.turn] = epoch, order
	p.turn ^= 1
	return order
}

// order shuffles the sequences, sorts each window by length, and shuffles the
// full batches; a short batch stays last.
func (v *View) order(epoch int) []int32 {
	order := make([]int32, len(v.store.seqs))
	for i := range order {
		order[i] = int32(i)
	}
	if !v.sequential {
		shuffle(stream(v.opts.Seed, purposeOrder, epoch, 0), order)
	}
	size := v.opts.BatchSize
	if v.opts.Window > 0 {
		for w := range slices.Chunk(order, size*v.opts.Window) {
			slices.SortStableFunc(w, func(a, b int32) int { return int(v.lengths[a]) - int(v.lengths[b]) })
		}
	}
	if v.sequential {
		return order
	}
	full := len(order) / size
	batches := make([]int32, full)
	for i := range batches {
		batches[i] = int32(i)
	}
	shuffle(stream(v.opts.Seed, purposeBatches, epoch, 0), batches)
	out := make([]int32, 0, len(order))
	for _, b := range batches {
		out = append(out, order[int(b)*size:(int(b)+1)*size]...)
	}
	return append(out, order[full*size:]...)
}

func shuffle(r *rand.Rand, s []int32) {
	r.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
}

func roundUp(n, multiple int) int { return (n + multiple - 1) / multiple * multiple }

// Batch makes batch i of an epoch, 0 ≤ i < Batches(epoch).
func (v *View) Batch(epoch, i int) (*Batch, error) {
	if epoch < 0 || i < 0 || i >= v.Batches(epoch) {
		return nil, fmt.Errorf("corpus: batch %d of epoch %d does not exist; an epoch has %d batches", i, epoch, v.Batches(epoch))
	}
	order := v.plan(epoch)
	lo := i * v.opts.BatchSize
	seqs := order[lo:min(lo+v.opts.BatchSize, len(order))]
	b := &Batch{B: len(seqs)}
	if v.opts.FullBatches {
		b.B = v.opts.BatchSize
	}
	for _, n := range seqs {
		b.S = max(b.S, int(v.lengths[n]))
	}
	// S may exceed MaxLength by the rounding only where MaxLength is not a
	// multiple; a model's position table must not be overrun.
	b.S = max(b.S, min(roundUp(b.S, v.opts.PadMultiple), v.opts.MaxLength))
	v.alloc(b)
	w := writer{v: v, b: b, epoch: epoch}
	for row := range b.B {
		if row < len(seqs) {
			w.sequence(row, int(seqs[row]))
		} else {
			w.padding(row)
		}
	}
	w.padRows()
	return b, nil
}

func (v *View) alloc(b *Batch) {
	n := b.B * b.S
	b.Index, b.Labels, b.Order = make([]int, b.B), make([]int32, b.B), make([]int32, b.B)
	b.IDs, b.Mask, b.Types = make([]int64, n), make([]int64, n), make([]int64, n)
	for i := range b.IDs {
		b.IDs[i] = v.tok.PadID()
	}
}

// writer fills one batch.
type writer struct {
	v      *View
	b      *Batch
	epoch  int
	ids    []int32 // the tokens of one sequence, and what belongs to them
	flags  []uint8
	at     []int32 // flat position of each
	source []int32 // place in the store
	chosen []bool
}

// template lays out the special tokens of tpl and the tokens of the segments.
func (w *writer) template(row int, tpl []tokenizer.Part, first, second [2]int32) {
	s := w.v.store
	w.ids, w.flags, w.at, w.source = w.ids[:0], w.flags[:0], w.at[:0], w.source[:0]
	p := row * w.b.S
	put := func(id int32, kind int64) {
		w.b.IDs[p], w.b.Mask[p], w.b.Types[p] = int64(id), 1, kind
		p++
	}
	for _, part := range tpl {
		for _, id := range part.IDs {
			put(id, part.Type)
		}
		seg := first
		if part.Seq == 1 {
			seg = second
		} else if part.Seq < 0 {
			continue
		}
		for k := seg[0]; k < seg[1]; k++ {
			w.ids = append(w.ids, s.ids[k])
			w.flags = append(w.flags, s.flags[k])
			w.at = append(w.at, int32(p))
			w.source = append(w.source, k)
			if k == seg[0] {
				w.flags[len(w.flags)-1] |= groupStart
			}
			put(s.ids[k], part.Type)
		}
	}
}

func (w *writer) padding(row int) {
	w.template(row, w.v.tok.Template(false), [2]int32{}, [2]int32{})
	w.b.Index[row], w.b.Labels[row], w.b.Order[row] = -1, -1, -1
}

func (w *writer) sequence(row, n int) {
	v := w.v
	q := v.store.seqs[n]
	first, second, pair, order := v.layout(n, w.epoch)
	tpl := v.tok.Template(pair)
	w.template(row, tpl, first, second)
	w.b.Index[row], w.b.Labels[row], w.b.Order[row] = int(q.example), q.label, order
	switch {
	case v.denoise:
		w.mask(n)
	case v.opts.TokenLabels:
		for i, k := range w.source {
			if q.lo <= k && k < q.mid {
				w.target(i, -1)
			}
		}
	}
}

func (w *writer) mask(n int) {
	m := &w.v.masker
	r := stream(w.v.opts.Seed, purposeMask, w.epoch, n)
	w.chosen = append(w.chosen[:0], make([]bool, len(w.ids))...)
	m.targets(r, w.ids, w.flags, w.chosen)
	for i, id := range w.ids {
		switch {
		case w.chosen[i]:
			w.b.IDs[w.at[i]] = int64(m.damage(r, id))
			w.target(i, id)
		case w.v.opts.RowsAll && m.maskable(id):
			w.target(i, -1)
		}
	}
}

// target appends one selected row.
func (w *writer) target(i int, mlm int32) {
	b, s := w.b, w.v.store
	pos, ner := int32(-1), int32(-1)
	if s.pos != nil {
		pos, ner = int32(s.pos[w.source[i]]), int32(s.ner[w.source[i]])
	}
	b.Rows = append(b.Rows, int64(w.at[i]))
	b.MLM, b.POS, b.NER = append(b.MLM, mlm), append(b.POS, pos), append(b.NER, ner)
}

// padRows brings R to a multiple of RowMultiple.
func (w *writer) padRows() {
	b := w.b
	if len(b.Rows) > 0 {
		for len(b.Rows)%w.v.opts.RowMultiple != 0 {
			b.Rows = append(b.Rows, b.Rows[0])
			b.MLM, b.POS, b.NER = append(b.MLM, -1), append(b.POS, -1), append(b.NER, -1)
		}
	}
	b.R = len(b.Rows)
}
