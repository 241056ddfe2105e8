// Package tagger learns to find the words of a text with their parts of speech
// and entities from annotated text, for any language: CoNLL-U, BIO or what else
// package corpus reads. A [Tagger] is a corpus.Annotator, small, fast and in
// pure Go.
//
//	train, err := corpus.Open([]string{"train.conllu"}, corpus.Options{})
//	t, err := tagger.Train(ctx, train, nil, tagger.Default())
//	err = t.Save("english.tagger")
//	words, err := t.Annotate("Anna lives in Paris.")
//
// # Method
//
// Three averaged perceptrons (Collins, EMNLP 2002) over hashed features, each
// deciding from left to right: where words end inside a run without white space,
// the universal part of speech of each word, and its BIO entity tag, where I-X
// may only follow B-X or I-X. Features are the forms, shapes, affixes and
// neighbours of words, the characters of Chinese ones, the two tags before, and
// the tags that a word had in the training data; words that were frequent and
// always had one tag keep it. Where the training data has only one of the
// annotations, only that is learned.
//
// With Options.Hints "zh" the words and tags of corpus.Chinese, which come from
// a dictionary, are further features: the perceptron learns where to trust it.
//
// # File
//
// A saved tagger is "litetg01", a header in JSON with its length before it
// (uvarint), the models, the lexicon, and the SHA-256 of all before. Each of the
// models that the header names (words, pos, ner) is a number of features and for
// each, ascending: the difference of its hash (32 bits) to that of the one
// before, a number of weights, and for each the difference of its label to the
// one before and its value in 1/64. The lexicon is a number of words and for
// each: the difference of its hash, a set of tags as bits, and 1 + the tag that
// it always has, 0 for none. Numbers are uvarints, values zigzag varints.
package tagger

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/litekit/lite/corpus"
)

// Ways of finding words.
const (
	Learned    = "learned" // by a perceptron, from the training data
	Rules      = "rules"   // white space and marks; a Chinese character is a word
	Dictionary = "zh"      // as corpus.Chinese does it
)

// Tagger finds words, parts of speech and entities. It is immutable and safe
// for concurrent use.
type Tagger struct {
	header     header
	words      *model // nil unless header.Words is Learned
	pos, ner   *model // nil where the training data had none
	lexicon    lexicon
	dictionary func() (corpus.Annotator, error)
	scratch    sync.Pool
}

// header is what a file says of itself.
type header struct {
	Words string   `json:"words"`           // one of Learned, Rules, Dictionary
	Hints string   `json:"hints,omitempty"` // language of the dictionary that gives features
	POS   []string `json:"pos,omitempty"`
	NER   []string `json:"ner,omitempty"`
	// What it learned from, for people.
	Examples int    `json:"examples"`
	Tokens   int    `json:"tokens"`
	Epochs   int    `json:"epochs"`
	Seed     uint64 `json:"seed"`
}

func (t *Tagger) prepare() {
	t.dictionary = corpus.Chinese
	t.scratch.New = func() any { return new(scratch) }
}

// POSTags returns the parts of speech that it gives; none if it learned none.
func (t *Tagger) POSTags() []string { return slices.Clone(t.header.POS) }

// NERTags returns the BIO tags that it gives; none if it learned none.
func (t *Tagger) NERTags() []string { return slices.Clone(t.header.NER) }

// Words returns how words are found: Learned, Rules or Dictionary.
func (t *Tagger) Words() string { return t.header.Words }

// Hints returns the language of the dictionary whose words are features; "" none.
func (t *Tagger) Hints() string { return t.header.Hints }

// Features returns the number of features of all models.
func (t *Tagger) Features() (n int) {
	for _, m := range []*model{t.words, t.pos, t.ner} {
		if m != nil {
			n += len(m.hashes)
		}
	}
	return n
}

// Annotate finds the words of text with their tags.
func (t *Tagger) Annotate(text string) ([]corpus.Word, error) {
	others, err := t.others(text)
	if err != nil {
		return nil, err
	}
	spans := t.split(text, others)
	words := make([]corpus.Word, len(spans))
	for i, s := range spans {
		words[i].Span = s
	}
	t.tag(text, words, nil, others)
	return words, nil
}

// Tag returns words, which must be in order, not overlapping and inside text,
// with the tags that the tagger gives; what it does not give stays as it is.
// sentences bounds what belongs together; nil lets corpus.SplitSentences find
// it.
func (t *Tagger) Tag(text string, words []corpus.Word, sentences []corpus.Span) ([]corpus.Word, error) {
	after := 0
	for i, w := range words {
		if w.Start < after || w.End < w.Start || w.End > len(text) {
			return nil, fmt.Errorf("tagger: word %d covers bytes %d to %d, out of order or outside the text of %d bytes", i, w.Start, w.End, len(text))
		}
		after = w.End
	}
	others, err := t.others(text)
	if err != nil {
		return nil, err
	}
	words = slices.Clone(words)
	t.tag(text, words, sentences, others)
	return words, nil
}

// others returns the words of the dictionary, where the tagger uses them.
func (t *Tagger) others(text string) ([]corpus.Word, error) {
	if t.header.Hints == "" && t.header.Words != Dictionary {
		return nil, nil
	}
	a, err := t.dictionary()
	if err != nil {
		return nil, err
	}
	words, err := a.Annotate(text)
	if words == nil && err == nil {
		words = []corpus.Word{}
	}
	return words, err
}

// split finds the words of text.
func (t *Tagger) split(text string, others []corpus.Word) (out []corpus.Span) {
	switch t.header.Words {
	case Rules:
		return splitByRules(text)
	case Dictionary:
		for _, w := range others {
			out = append(out, w.Span)
		}
		return out
	}
	w := t.scratch.Get().(*scratch)
	defer t.scratch.Put(w)
	chunks(text, func(start, end int) {
		c := newChunk(text[start:end])
		if t.header.Hints != "" {
			c.hints = breaksAt(c, start, spansOf(others))
		}
		out = c.spans(start, t.words.decode(c, nil, w), out)
	})
	return out
}

// tag gives words their tags.
func (t *Tagger) tag(text string, words []corpus.Word, sentences []corpus.Span, others []corpus.Word) {
	w := t.scratch.Get().(*scratch)
	defer t.scratch.Put(w)
	eachSentence(text, words, sentences, func(words []corpus.Word) {
		s := t.lexicon.sentence(text, words, others, t.header.Hints != "")
		if t.pos != nil {
			for i, l := range t.pos.decode(s.words, s.fixed, w) {
				words[i].POS = t.header.POS[l]
			}
		}
		if t.ner != nil {
			for i, l := range t.ner.decode(s.words, nil, w) {
				words[i].Entity = t.header.NER[l]
			}
		}
	})
}

// prepared is a sentence with what the lexicon decides of it.
type prepared struct {
	words sentence
	only  []int16
}

func (p *prepared) fixed(i int) int16 { return p.only[i] }

// sentence reads the words of one sentence.
func (x lexicon) sentence(text string, words, others []corpus.Word, hints bool) *prepared {
	p := &prepared{make(sentence, len(words)), make([]int16, len(words))}
	for i, w := range words {
		p.words[i] = newToken(text[w.Start:w.End])
		p.only[i] = -1
		if k, ok := x[p.words[i].form]; ok {
			p.only[i] = k.only
		}
	}
	x.look(p.words)
	if hints {
		hinted(p.words, spansOf(words), others)
	}
	return p
}

func spansOf(words []corpus.Word) []corpus.Span {
	out := make([]corpus.Span, len(words))
	for i, w := range words {
		out[i] = w.Span
	}
	return out
}

// eachSentence calls yield with the words of each sentence. Words outside all
// sentences go with the sentence before them.
func eachSentence(text string, words []corpus.Word, sentences []corpus.Span, yield func([]corpus.Word)) {
	if sentences == nil {
		sentences = corpus.SplitSentences(text)
	}
	from, k := 0, 0
	for i := range words {
		next := k
		for next+1 < len(sentences) && sentences[next+1].Start <= words[i].Start {
			next++
		}
		if next != k && i > from {
			yield(words[from:i])
			from = i
		}
		k = next
	}
	if from < len(words) {
		yield(words[from:])
	}
}

// breaksAt tells after which characters of the chunk at byte base a word ends.
func breaksAt(c *chunk, base int, words []corpus.Span) []bool {
	out := make([]bool, c.len())
	k, _ := slices.BinarySearchFunc(words, base, func(w corpus.Span, at int) int { return w.End - at })
	for i := range out {
		at := base + c.ends[i]
		for k < len(words) && words[k].End < at {
			k++
		}
		out[i] = k < len(words) && (words[k].End == at || words[k].Start == at) || k+1 < len(words) && words[k].End <= at && words[k+1].Start == at
	}
	return out
}

// errNothing is of text that teaches nothing.
var errNothing = errors.New("tagger: no example has words with parts of speech or entities; give CoNLL-U, BIO or other annotated files")
