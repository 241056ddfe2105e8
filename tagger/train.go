package tagger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/corpus/tokenizer"
)

// Options says how a tagger is learned.
type Options struct {
	// Epochs is how often the training data is gone through; 0 = 8.
	Epochs int
	// MinCount is how often a feature must occur to have weights; 0 = 2.
	MinCount int
	// Seed decides the order of the sentences.
	Seed uint64
	// Words is how words are found in raw text: Learned, Rules or Dictionary;
	// "" = Learned where the training data has words that touch each other, else
	// Rules.
	Words string
	// Hints "zh" makes the words and tags of corpus.Chinese features, NoHints
	// does not; "" is "zh" where most characters of the training data are Chinese.
	Hints string
	// Progress is told of each epoch, from one goroutine at a time; nil nobody.
	Progress func(Progress)
}

// Default returns the usual options.
func Default() Options { return Options{Epochs: 8, MinCount: 2, Seed: 1} }

// Progress is an epoch that is done.
type Progress struct {
	Stage         string  // words, pos or ner
	Epoch, Epochs int     // from 1, of so many
	Scored        bool    // whether there was data to score it on
	Dev           float64 // F1 of words, accuracy of pos, F1 of ner
}

func (o Options) check() (Options, error) {
	if o.Epochs == 0 {
		o.Epochs = Default().Epochs
	}
	if o.MinCount == 0 {
		o.MinCount = Default().MinCount
	}
	switch {
	case o.Epochs < 1 || o.Epochs > 1000:
		return o, fmt.Errorf("tagger: %d epochs; give a number from 1 to 1000", o.Epochs)
	case o.MinCount < 1:
		return o, fmt.Errorf("tagger: features that occur %d times; give a number of at least 1", o.MinCount)
	case o.Hints != "" && o.Hints != "zh" && o.Hints != NoHints:
		return o, fmt.Errorf("tagger: hints of %q; choose zh, the dictionary there is, or %s", o.Hints, NoHints)
	case !slices.Contains([]string{"", Learned, Rules, Dictionary}, o.Words):
		return o, fmt.Errorf("tagger: words by %q; choose %s, %s or %s", o.Words, Learned, Rules, Dictionary)
	}
	if progress := o.Progress; progress != nil {
		var mu sync.Mutex
		o.Progress = func(p Progress) {
			mu.Lock()
			defer mu.Unlock()
			progress(p)
		}
	}
	return o, nil
}

// Train learns a tagger from the examples of train that have words. With dev,
// which may be nil, each of its models is the one of the epoch that is best
// there. The result depends on the data and the options only.
//
// Errors: no annotated example, tags that are not universal parts of speech or
// BIO, more than 64 of one kind, a context that is done.
func Train(ctx context.Context, train, dev corpus.Corpus, opts Options) (*Tagger, error) {
	opts, err := opts.check()
	if err != nil {
		return nil, err
	}
	if train == nil {
		return nil, errors.New("tagger: there is no training data")
	}
	t := &Tagger{header: header{Words: opts.Words, Hints: opts.Hints, Epochs: opts.Epochs, Seed: opts.Seed}}
	t.prepare()
	if err := t.chooseHints(train); err != nil {
		return nil, err
	}
	data, err := t.read(train)
	if err != nil {
		return nil, fmt.Errorf("tagger: training data: %w", err)
	}
	if t.header.Examples = len(data); len(data) == 0 {
		return nil, errNothing
	}
	var held []text
	if dev != nil {
		if held, err = t.read(dev); err != nil {
			return nil, fmt.Errorf("tagger: dev data: %w", err)
		}
		if len(held) == 0 {
			return nil, fmt.Errorf("dev data: %w", errNothing)
		}
	}
	if err := t.survey(data); err != nil {
		return nil, err
	}
	return t, t.learn(ctx, data, held, opts)
}

// NoHints is the value of Options.Hints for no dictionary.
const NoHints = "none"

// chooseHints settles whether the dictionary is asked.
func (t *Tagger) chooseHints(c corpus.Corpus) error {
	if t.header.Hints == NoHints {
		t.header.Hints = ""
		return nil
	}
	if t.header.Hints != "" {
		return nil
	}
	han, all := 0, 0
	for i := range min(c.Len(), 1000) {
		e, err := c.At(i)
		if err != nil {
			return err
		}
		for _, r := range e.Text {
			all++
			if tokenizer.IsChinese(r) {
				han++
			}
		}
	}
	if 2*han > all {
		t.header.Hints = "zh"
	}
	return nil
}

// text is an example to learn from.
type text struct {
	corpus.Example
	others []corpus.Word // what the dictionary says
}

// read collects the annotated examples.
func (t *Tagger) read(c corpus.Corpus) (out []text, err error) {
	for i := range c.Len() {
		e, err := c.At(i)
		if err != nil {
			return nil, err
		}
		if len(e.Words) == 0 {
			continue
		}
		e.Words = slices.Clone(e.Words) // the corpus is the caller's
		for k := range e.Words {
			w := &e.Words[k]
			if w.POS == "_" {
				w.POS = ""
			}
			if w.POS != "" && !slices.Contains(universal, w.POS) {
				return nil, fmt.Errorf("%s: word %.40q: %q is not a universal part of speech (ADJ, ADP, …)", e.Where(i), e.Text[w.Start:w.End], w.POS)
			}
		}
		x := text{Example: e}
		if x.others, err = t.others(e.Text); err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

var universal = corpus.UPOS()

// touching is the share of the runs without white space that must hold several
// words for the splitter to be learned.
const touching = 0.01

// survey finds the tags of the data and how its words are to be found.
func (t *Tagger) survey(data []text) error {
	pos, ner := map[string]bool{}, map[string]bool{}
	runs, several := 0, 0
	for i := range data {
		e := &data[i]
		for k, w := range e.Words {
			t.header.Tokens++
			if w.POS != "" {
				pos[w.POS] = true
			}
			if w.Entity != "" {
				ner[w.Entity] = true
			}
			if k > 0 && e.Words[k-1].End == w.Start {
				several++
			} else {
				runs++
			}
		}
	}
	t.header.POS = slices.Sorted(maps.Keys(pos))
	if len(ner) > 0 {
		tags, err := corpus.NERTags(memory(data))
		if err != nil {
			return err
		}
		t.header.NER = tags
	}
	if len(t.header.POS) == 0 && len(t.header.NER) == 0 {
		return errNothing
	}
	if len(t.header.NER) > maxLabels {
		return fmt.Errorf("tagger: %d entity tags; at most %d can be learned", len(t.header.NER), maxLabels)
	}
	if t.header.Words == "" {
		t.header.Words = Rules
		if float64(several) > touching*float64(runs) {
			t.header.Words = Learned
		}
	}
	return nil
}

func memory(data []text) corpus.Corpus {
	out := make([]corpus.Example, len(data))
	for i := range data {
		out[i] = data[i].Example
	}
	return corpus.FromExamples(out, nil)
}

// How often a word must occur for the lexicon to know its tags, and to fix the
// one that it always had.
const (
	knownFrom = 1
	fixedFrom = 12
)

// tagCounts are how often words had which part of speech.
type tagCounts map[uint32][]int

func countTags(data []text, pos []string) tagCounts {
	counts := tagCounts{}
	for i := range data {
		for _, w := range data[i].Words {
			if w.POS == "" {
				continue
			}
			h := hash(data[i].Text[w.Start:w.End])
			if counts[h] == nil {
				counts[h] = make([]int, len(pos))
			}
			counts[h][slices.Index(pos, w.POS)]++
		}
	}
	return counts
}

// rareShare is the share of a word's occurrences below which a tag is none of
// its tags.
const rareShare = 0.02

// sumUp is what the lexicon knows of a word that had each tag n times.
func sumUp(n []int) (k known, ok bool) {
	k.only = -1
	total, tags := 0, 0
	for _, c := range n {
		total += c
	}
	for l, c := range n {
		if c > 0 && float64(c) >= rareShare*float64(total) {
			k.tags |= 1 << l
			k.only = int16(l)
			tags++
		}
	}
	if total < fixedFrom || tags > 1 || n[k.only] < total {
		k.only = -1
	}
	return k, total >= knownFrom
}

func (n tagCounts) lexicon() lexicon {
	x := lexicon{}
	for h, list := range n {
		if k, ok := sumUp(list); ok {
			x[h] = k
		}
	}
	return x
}

// without is the lexicon as it would be if a word had not occurred once with
// tag l. What training looks up must not hold the answer: a word that occurs
// once would else always be known.
func (n tagCounts) without(s sentence, tags []int16) {
	for i, l := range tags {
		if l < 0 {
			continue
		}
		rest := slices.Clone(n[s[i].form])
		rest[l]--
		s[i].seen = 0
		if k, ok := sumUp(rest); ok {
			s[i].see(k)
		}
	}
}

// learn trains the models side by side; each depends on data and options only.
func (t *Tagger) learn(ctx context.Context, data, held []text, opts Options) error {
	counts := countTags(data, t.header.POS)
	t.lexicon = counts.lexicon()
	var wg sync.WaitGroup
	errs := make([]error, 3)
	stage := func(i int, name string, to **model, labels []string, items func([]text, tagCounts) []*item, score func(*model, []*item) float64) {
		wg.Go(func() {
			dev := items(held, nil)
			var measure func(*model) float64
			if len(dev) > 0 {
				measure = func(m *model) float64 { return score(m, dev) }
			}
			*to, errs[i] = learn(ctx, name, labels, items(data, counts), opts, measure)
		})
	}
	if t.header.Words == Learned {
		stage(0, "words", &t.words, splitLabels, t.splitItems, splitF1)
	}
	if len(t.header.POS) > 0 {
		stage(1, "pos", &t.pos, t.header.POS, func(d []text, n tagCounts) []*item {
			return t.tagItems(d, n, t.header.POS, func(w corpus.Word) string { return w.POS }, true)
		}, accuracy)
	}
	if len(t.header.NER) > 0 {
		stage(2, "ner", &t.ner, t.header.NER, func(d []text, n tagCounts) []*item {
			return t.tagItems(d, n, t.header.NER, func(w corpus.Word) string { return w.Entity }, false)
		}, func(m *model, dev []*item) float64 { return entityF1(m, dev, t.header.NER) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// splitLabels are those of the splitter: a word goes on, or ends.
var splitLabels = []string{"on", "end"}

// splitItems are the runs without white space with the ends of their words.
func (t *Tagger) splitItems(data []text, _ tagCounts) (out []*item) {
	for i := range data {
		e := &data[i]
		gold, others := spansOf(e.Words), spansOf(e.others)
		chunks(e.Text, func(start, end int) {
			c := newChunk(e.Text[start:end])
			if c.len() == 0 {
				return
			}
			if t.header.Hints != "" {
				c.hints = breaksAt(c, start, others)
			}
			it := &item{seq: c}
			for _, b := range breaksAt(c, start, gold) {
				label := int16(0)
				if b {
					label = 1
				}
				it.gold = append(it.gold, label)
			}
			out = append(out, it)
		})
	}
	return out
}

// tagItems are the sentences with the tags that tag reads; those without any
// are left out.
func (t *Tagger) tagItems(data []text, counts tagCounts, labels []string, tag func(corpus.Word) string, fixed bool) (out []*item) {
	ids := map[string]int16{}
	for l, name := range labels {
		ids[name] = int16(l)
	}
	for i := range data {
		e := &data[i]
		eachSentence(e.Text, e.Words, e.Sentences, func(words []corpus.Word) {
			it := &item{gold: make([]int16, len(words))}
			any := false
			for k, w := range words {
				l, ok := ids[tag(w)]
				if !ok {
					l = -1
				}
				any = any || ok
				it.gold[k] = l
			}
			if !any {
				return
			}
			s := t.lexicon.sentence(e.Text, words, e.others, t.header.Hints != "")
			if counts != nil {
				counts.without(s.words, t.tagsOf(words))
			}
			it.seq = s.words
			if fixed {
				it.fixed = s.fixed
			}
			out = append(out, it)
		})
	}
	return out
}

// tagsOf returns the numbers of the parts of speech of words, −1 unknown.
func (t *Tagger) tagsOf(words []corpus.Word) []int16 {
	out := make([]int16, len(words))
	for i, w := range words {
		out[i] = int16(slices.Index(t.header.POS, w.POS))
	}
	return out
}
