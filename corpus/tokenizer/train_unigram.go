package tokenizer

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/litekit/lite/internal/ordered"
)

// Settings of Unigram training, those of sentencepiece.
const (
	seedPieceChars = 16   // longest piece
	seedFactor     = 25   // pieces at the start for each one wanted
	shrink         = 0.75 // of the pieces stay in one round
	emSteps        = 2    // in one round
	leastExpected  = 0.5  // a piece that is expected less often goes
	maxTrainWords  = 1 << 18
)

// TrainUnigram learns a Unigram vocabulary of at most size entries (Kudo, arXiv
// 1804.10959), as XLM-R and ALBERT have it: it begins with the frequent
// substrings of words, estimates their probabilities by expectation
// maximization, and takes away those whose loss costs least, until size is
// reached. Characters that occur MinFrequency times always stay; what else
// occurs is unknown. Texts are normalized by NMT's rules and NFKC, spaces become
// ▁, and texts are wrapped in <s> … </s>. The result depends on the texts only.
func TrainUnigram(texts iter.Seq[string], size int, opts TrainOptions) (*Tokenizer, error) {
	vocab, err := opts.start(robertaTokens, size)
	if err != nil {
		return nil, err
	}
	norm := []ordered.Raw{ordered.Object(ordered.Pair("type", "Nmt")), ordered.Object(ordered.Pair("type", "NFKC"))}
	if opts.Lowercase {
		norm = append(norm, ordered.Object(ordered.Pair("type", "Lowercase")))
	}
	norm = append(norm, ordered.Object(ordered.Pair("type", "Replace"), ordered.Pair("pattern", ordered.Object(ordered.Pair("Regex", " {2,}"))), ordered.Pair("content", " ")))
	meta := json.RawMessage(`{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true}`)
	d := &document{
		normalizer:   json.RawMessage(ordered.Object(ordered.Pair("type", "Sequence"), ordered.Pair("normalizers", ordered.List(norm...)))),
		preTokenizer: meta, decod: meta,
		model: modelSpec{kind: kindUnigram, unkID: slices.Index(vocab, "<unk>"), maxChars: defaultMaxChars},
	}
	ns, err := readNormalizer(d.normalizer, "normalizer", 0)
	if err != nil {
		return nil, err
	}
	pre, err := readPreTokenizer(d.preTokenizer, "pre_tokenizer", 0)
	if err != nil {
		return nil, err
	}
	words, counts := countWords(texts, ns, pre, defaultMaxChars)
	if len(words) == 0 {
		return nil, errors.New("tokenizer: training: the texts have no words")
	}
	words, counts = mostFrequent(words, counts, maxTrainWords)
	u := &unigramTrainer{words: words, counts: counts, vocab: vocab}
	if err := u.train(size-len(vocab), opts); err != nil {
		return nil, err
	}
	d.model.tokens = slices.Clone(vocab)
	d.model.scores = make([]float64, len(vocab))
	for _, p := range u.pieces {
		d.model.tokens, d.model.scores = append(d.model.tokens, p.s), append(d.model.scores, p.score)
	}
	d.special(vocab)
	p := post{}
	p.roberta(0, 2)
	d.post = json.RawMessage(writeTemplate(p.single, p.pair, func(id int32) string { return vocab[id] }))
	return build(d, config{})
}

// mostFrequent keeps n words, in their order.
func mostFrequent(words []string, counts []int64, n int) ([]string, []int64) {
	if len(words) <= n {
		return words, counts
	}
	order := make([]int, len(words))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(counts[b], counts[a]) })
	order = order[:n]
	slices.Sort(order)
	w, c := make([]string, n), make([]int64, n)
	for i, k := range order {
		w[i], c[i] = words[k], counts[k]
	}
	return w, c
}

// scoredPiece is a piece and its log probability.
type scoredPiece struct {
	s     string
	score float64
	keep  bool // a single character that must stay
}

type unigramTrainer struct {
	words  []string
	counts []int64
	vocab  []string // special tokens
	pieces []scoredPiece
}

func (u *unigramTrainer) train(size int, opts TrainOptions) error {
	if err := u.seed(size, opts); err != nil {
		return err
	}
	target := max(size*11/10, size)
	for {
		for range emSteps {
			u.estimate()
		}
		if len(u.pieces) <= target {
			break
		}
		before := len(u.pieces)
		u.prune(target)
		if len(u.pieces) == before {
			break
		}
	}
	slices.SortStableFunc(u.pieces, func(a, b scoredPiece) int {
		return cmp.Or(-cmp.Compare(b2i(a.keep), b2i(b.keep)), cmp.Compare(b.score, a.score), cmp.Compare(a.s, b.s))
	})
	u.pieces = u.pieces[:min(size, len(u.pieces))]
	slices.SortStableFunc(u.pieces, func(a, b scoredPiece) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.s, b.s))
	})
	return nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// seed begins with the characters, and the substrings of words that cover most.
func (u *unigramTrainer) seed(size int, opts TrainOptions) error {
	chars := map[rune]int64{}
	freq := map[string]int64{}
	for i, w := range u.words {
		var ends []int
		for at, r := range w {
			chars[r] += u.counts[i]
			ends = append(ends, at)
		}
		ends = append(ends, len(w))
		for a := range len(ends) - 1 {
			for b := a + 2; b < len(ends) && b-a <= seedPieceChars; b++ {
				freq[w[ends[a]:ends[b]]] += u.counts[i]
			}
		}
	}
	order := slices.SortedFunc(maps.Keys(chars), func(a, b rune) int {
		return cmp.Or(cmp.Compare(chars[b], chars[a]), cmp.Compare(a, b))
	})
	for i, r := range order {
		if opts.Alphabet > 0 && i >= opts.Alphabet || chars[r] < int64(opts.MinFrequency) {
			break
		}
		u.pieces = append(u.pieces, scoredPiece{string(r), float64(chars[r]), true})
	}
	if len(u.pieces) > size {
		return fmt.Errorf("tokenizer: training: the texts have %d characters, and the vocabulary has room for %d; make it larger or set Alphabet", len(u.pieces), size)
	}
	var subs []scoredPiece
	for s, n := range freq {
		if n >= int64(opts.MinFrequency) {
			subs = append(subs, scoredPiece{s, float64(n) * float64(utf8.RuneCountInString(s)), false})
		}
	}
	slices.SortFunc(subs, func(a, b scoredPiece) int { return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.s, b.s)) })
	u.pieces = append(u.pieces, subs[:min(len(subs), max(size*seedFactor, 1000))]...)
	sum := 0.0
	for _, p := range u.pieces {
		sum += p.score
	}
	for i := range u.pieces {
		u.pieces[i].score = math.Log(u.pieces[i].score / sum)
	}
	return nil
}

// model is a Unigram model of the pieces; the id behind them is unknown.
func (u *unigramTrainer) model() *unigram {
	tokens, scores := make([]string, len(u.pieces)+1), make([]float64, len(u.pieces)+1)
	for i, p := range u.pieces {
		tokens[i], scores[i] = p.s, p.score
	}
	return newUnigram(tokens, scores, int32(len(u.pieces)), false, nil)
}

// digamma is the derivative of log Γ, for x > 0.
func digamma(x float64) float64 {
	sum := 0.0
	for ; x < 7; x++ {
		sum -= 1 / x
	}
	x -= 0.5
	y := 1 / (x * x)
	return sum + math.Log(x) + y*(1.0/24-y*(7.0/960-y*(31.0/8064-y*127.0/30720)))
}
