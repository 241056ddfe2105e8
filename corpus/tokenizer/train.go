package tokenizer

import (
	"cmp"
	"container/heap"
	"errors"
	"iter"
	"maps"
	"runtime"
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/litekit/lite/internal/misfit"
)

// TrainOptions says how a vocabulary is learned. The zero value is
// usable.
type TrainOptions struct {
	// Lowercase makes the tokenizer lower-case texts and strip accents.
	Lowercase bool
	// MinFrequency is how often a character or a pair of pieces must occur to
	// enter the vocabulary; 0 = 2.
	MinFrequency int
	// Alphabet is the number of single characters at most, the most frequent
	// ones; 0 = as many as the vocabulary holds.
	Alphabet int
	// Special tokens that follow the usual ones ([PAD], [UNK], [CLS], [SEP] and
	// [MASK]; <s>, <pad>, </s>, <unk> and <mask>).
	Special []string
}

// TrainWordPiece learns a WordPiece vocabulary of at most size entries: special
// tokens first, then the characters, then pieces in the order in which they are
// merged. Texts are cleaned and split as the tokenizer will do it, so a Chinese
// character is always a word of its own. The pair of neighbouring pieces that
// occurs most often is merged again and again (Sennrich et al., arXiv
// 1508.07909), with "##" before pieces inside a word; this is what Hugging
// Face's WordPiece trainer does, not the likelihood criterion of the original.
// Equal counts go by the age of the pieces, so the result depends on the texts
// only. It has fewer entries when no pair occurs MinFrequency times any more.
func TrainWordPiece(texts iter.Seq[string], size int, opts TrainOptions) (*Tokenizer, error) {
	vocab, err := opts.start(specialTokens, size)
	if err != nil {
		return nil, err
	}
	base := bertNormalizer{clean: true, chinese: true, strip: opts.Lowercase, lower: opts.Lowercase}
	words, counts := countWords(texts, normalizers{base}, preTokenizers{bertPreTokenizer{}}, defaultMaxChars)
	if len(words) == 0 {
		return nil, errors.New("tokenizer: training: the texts have no words")
	}
	m := newMerger(vocab, opts.MinFrequency, "##")
	m.alphabet(words, counts, size, opts.Alphabet)
	m.load(words, counts)
	m.run(size)
	t, err := NewWordPiece(m.vocab, opts.Lowercase)
	if err != nil || len(opts.Special) == 0 {
		return t, err
	}
	return t.withSpecial(opts.Special)
}

// start fills defaults in and returns the special tokens that a vocabulary of
// size entries begins with.
func (o *TrainOptions) start(usual []string, size int) ([]string, error) {
	vocab := append(slices.Clone(usual), o.Special...)
	if o.MinFrequency == 0 {
		o.MinFrequency = 2
	}
	if o.MinFrequency < 1 || o.Alphabet < 0 {
		return nil, misfit.Errorf("tokenizer: training: MinFrequency is %d and Alphabet %d; they must be positive", o.MinFrequency, o.Alphabet)
	}
	if size <= len(vocab) || size > maxVocab {
		return nil, misfit.Errorf("tokenizer: training: size %d; it must be more than the %d special tokens and at most %d", size, len(vocab), maxVocab)
	}
	for i, s := range vocab {
		if s == "" || slices.Contains(vocab[:i], s) {
			return nil, misfit.Errorf("tokenizer: training: special token %q is empty or repeated", s)
		}
	}
	return vocab, nil
}

// withSpecial returns t with further special tokens, which are vocabulary
// entries already.
func (t *Tokenizer) withSpecial(tokens []string) (*Tokenizer, error) {
	d := *t.doc
	d.added = slices.Clone(d.added)
	for _, s := range tokens {
		d.added = append(d.added, AddedToken{ID: t.ids[s], Content: s, Special: true})
	}
	return build(&d, config{})
}

// countWords returns the distinct words of the texts in byte order and how
// often each occurs. Blocks of texts are counted in parallel; sums do not
// depend on the order.
func countWords(texts iter.Seq[string], ns normalizers, pre preTokenizers, maxChars int) ([]string, []int64) {
	blocks := make(chan []string, 4)
	total := map[string]int64{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			mine := map[string]int64{}
			var p pretext
			for block := range blocks {
				for _, text := range block {
					p.t.reset()
					p.t.load(text, 0, len(text))
					ns.run(&p.t, &p.tmp)
					p.cuts, p.first = append(p.cuts[:0], cut{0, int32(len(p.t.b))}), true
					if len(p.t.b) == 0 {
						continue
					}
					pre.split(&p)
					for _, c := range p.cuts {
						if w := p.t.b[c.lo:c.hi]; utf8.RuneCount(w) <= maxChars {
							mine[string(w)]++
						}
					}
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for w, k := range mine {
				total[w] += k
			}
		})
	}
	var block []string
	bytes := 0
	for text := range texts {
		block = append(block, text)
		if bytes += len(text); bytes > 1<<16 {
			blocks <- block
			block, bytes = nil, 0
		}
	}
	blocks <- block
	close(blocks)
	wg.Wait()
	words := slices.Sorted(maps.Keys(total))
	counts := make([]int64, len(words))
	for i, w := range words {
		counts[i] = total[w]
	}
	return words, counts
}

// defaultMaxChars is BERT's limit: longer words are unknown.
const defaultMaxChars = 100

// merger holds the words as pieces, and the pairs of neighbours among them.
type merger struct {
	min    int64
	prefix string // of pieces inside a word
	merges [][2]string
	vocab  []string
	ids    map[string]int32
	words  [][]int32
	count  []int64
	pairs  map[uint64]*pairInfo
	queue  pairQueue
}

type pairInfo struct {
	count int64
	words []int32 // where the pair occurred; may repeat and be out of date
	last  int32   // last word appended
}

func newMerger(vocab []string, minFrequency int, prefix string) *merger {
	m := &merger{min: int64(minFrequency), prefix: prefix, ids: map[string]int32{}, pairs: map[uint64]*pairInfo{}}
	for _, s := range vocab {
		m.id(s)
	}
	return m
}

// id returns the id of a piece, a new one if it is not in the vocabulary.
func (m *merger) id(s string) int32 {
	id, ok := m.ids[s]
	if !ok {
		id = int32(len(m.vocab))
		m.ids[s] = id
		m.vocab = append(m.vocab, s)
	}
	return id
}

// alphabet adds the characters: the most frequent ones if there are too many,
// in the order of their code points. Characters that may stand inside a word
// enter in both forms, so that words never seen can be spelled.
func (m *merger) alphabet(words []string, counts []int64, size, limit int) {
	freq := map[rune]int64{}
	for i, w := range words {
		for _, r := range w {
			freq[r] += counts[i]
		}
	}
	chars := slices.SortedFunc(maps.Keys(freq), func(a, b rune) int {
		return cmp.Or(cmp.Compare(freq[b], freq[a]), cmp.Compare(a, b))
	})
	room := size - len(m.vocab)
	n := 0
	for n < len(chars) && (limit == 0 || n < limit) && freq[chars[n]] >= m.min {
		forms := 2
		if aloneRune(chars[n]) {
			forms = 1
		}
		if room -= forms; room < 0 {
			break
		}
		n++
	}
	chars = chars[:n]
	slices.Sort(chars)
	for _, r := range chars {
		m.id(string(r))
	}
	for _, r := range chars {
		if !aloneRune(r) {
			m.id("##" + string(r))
		}
	}
}

// aloneRune tells characters that are always a word of their own.
func aloneRune(r rune) bool {
	return IsChinese(r) || unicode.IsPunct(r) || r < utf8.RuneSelf && asciiClass[r] == asciiPunct
}

// load cuts the words into characters; a word with a character outside the
// alphabet teaches nothing.
func (m *merger) load(words []string, counts []int64) {
	for i, w := range words {
		pieces := make([]int32, 0, len(w))
		known := true
		for at, r := range w {
			s := string(r)
			if at > 0 {
				s = m.prefix + s
			}
			id, ok := m.ids[s]
			known = known && ok
			pieces = append(pieces, id)
		}
		if !known || len(pieces) < 2 {
			continue
		}
		n := int32(len(m.words))
		m.words, m.count = append(m.words, pieces), append(m.count, counts[i])
		for k := 1; k < len(pieces); k++ {
			m.add(pairKey(pieces[k-1], pieces[k]), n, counts[i])
		}
	}
	for key, p := range m.pairs {
		m.queue = append(m.queue, pairEntry{p.count, key})
	}
	heap.Init(&m.queue)
}

func (m *merger) add(key uint64, word int32, n int64) {
	p := m.pairs[key]
	if p == nil {
		p = &pairInfo{last: -1}
		m.pairs[key] = p
	}
	p.count += n
	if n > 0 && p.last != word {
		p.words, p.last = append(p.words, word), word
	}
}

// run merges until the vocabulary is full or no pair is frequent enough.
func (m *merger) run(size int) {
	for len(m.vocab) < size && len(m.queue) > 0 {
		e := heap.Pop(&m.queue).(pairEntry)
		p := m.pairs[e.key]
		switch {
		case p == nil || p.count < m.min:
		case p.count != e.count: // it lost occurrences since it was queued
			heap.Push(&m.queue, pairEntry{p.count, e.key})
		default:
			m.merge(e.key, p)
		}
	}
}

func (m *merger) merge(key uint64, p *pairInfo) {
	a, b := int32(key>>32), int32(uint32(key))
	m.merges = append(m.merges, [2]string{m.vocab[a], m.vocab[b]})
	id := m.id(m.vocab[a] + m.vocab[b][len(m.prefix):])
	grown := map[uint64]bool{}
	for _, n := range p.words {
		w, c := m.words[n], m.count[n]
		for i := 0; i+1 < len(w); i++ {
			if w[i] != a || w[i+1] != b {
				continue
			}
			if i > 0 {
				m.add(pairKey(w[i-1], a), n, -c)
				m.add(pairKey(w[i-1], id), n, c)
				grown[pairKey(w[i-1], id)] = true
			}
			if i+2 < len(w) {
				m.add(pairKey(b, w[i+2]), n, -c)
				m.add(pairKey(id, w[i+2]), n, c)
				grown[pairKey(id, w[i+2])] = true
			}
			w[i] = id
			w = append(w[:i+1], w[i+2:]...)
		}
		m.words[n] = w
	}
	delete(m.pairs, key)
	for k := range grown { // the queue has a total order, so this order is free
		if q := m.pairs[k]; q != nil && q.count >= m.min {
			heap.Push(&m.queue, pairEntry{q.count, k})
		}
	}
}

type pairEntry struct {
	count int64
	key   uint64
}

// pairQueue is a heap: the most frequent pair first, then the oldest pieces.
type pairQueue []pairEntry

func (q pairQueue) Len() int { return len(q) }
func (q pairQueue) Less(i, j int) bool {
	return q[i].count > q[j].count || q[i].count == q[j].count && q[i].key < q[j].key
}
func (q pairQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *pairQueue) Push(x any)   { *q = append(*q, x.(pairEntry)) }
func (q *pairQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}
