// Package synth writes a labelled corpus from a seed: multi-sentence documents
// in English and Chinese with gold parts of speech (UPOS), entities (BIO over
// PER, LOC, ORG), sentence boundaries and a topic.
//
// The text is simple but not trivial. A document mixes words of its topic with
// words of a second topic and of none; several words belong to two topics;
// surnames are places and parts of organisations; some names are built from
// syllables that no list holds; a few labels are wrong. Sentence order shows
// in who is introduced first, in connectives and in years that grow.
package synth

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/litekit/lite/corpus"
)

// Options says what to write. The zero value of a rate means none.
type Options struct {
	Seed      uint64
	Documents int
	// Chinese is the share of Chinese documents, 0 to 1.
	Chinese float64
	// Focus is the share of content words drawn from the document's topic,
	// 0 to 1; half of the others come from one other topic, half from none.
	Focus float64
	// LabelNoise is the share of documents whose label is drawn at random.
	LabelNoise float64
}

// Default is the corpus of `lite demo`.
func Default(seed uint64, documents int) Options {
	return Options{Seed: seed, Documents: documents, Chinese: 0.4, Focus: 0.62, LabelNoise: 0.02}
}

// Topics returns the topic names in label order.
func Topics() []string { return append([]string(nil), topics...) }

// Documents writes the corpus. Document i depends on (Seed, i) only, so a
// longer corpus begins with a shorter one.
func Documents(o Options) []corpus.Example {
	en, zh := english(), chinese()
	out := make([]corpus.Example, o.Documents)
	for i := range out {
		rng := rand.New(rand.NewPCG(o.Seed, uint64(i)))
		w := &writer{rng: rng, lex: en, focus: o.Focus}
		if rng.Float64() < o.Chinese {
			w.lex, w.chinese = zh, true
		}
		label := rng.IntN(len(topics))
		w.topic = label
		w.other = (label + 1 + rng.IntN(len(topics)-1)) % len(topics)
		w.document()
		if rng.Float64() < o.LabelNoise {
			label = rng.IntN(len(topics))
		}
		out[i] = corpus.Example{
			Text: w.text.String(), Label: label, Target: topics[label],
			Sentences: w.sentences, Words: w.words,
		}
	}
	return out
}

// Vocabulary is a WordPiece vocabulary for the corpus: special tokens, the
// English words, every character alone and as a continuation, and the
// syllables of names.
func Vocabulary() []string {
	vocab := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
	seen := map[string]bool{}
	add := func(s string) {
		if s != "" && !seen[s] {
			seen[s] = true
			vocab = append(vocab, s)
		}
	}
	for c := 'a'; c <= 'z'; c++ {
		add(string(c))
		add("##" + string(c))
	}
	for c := '0'; c <= '9'; c++ {
		add(string(c))
		add("##" + string(c))
	}
	for y := firstYear; y < firstYear+40; y++ {
		add(strconv.Itoa(y))
	}
	for _, c := range ".,。，%" {
		add(string(c))
	}
	en, zh := english(), chinese()
	for _, s := range en.syllables {
		add(s)
		add("##" + s)
	}
	for _, list := range append(en.lists(), functionWords()...) {
		for _, word := range list {
			for _, part := range strings.Fields(word) {
				add(strings.ToLower(part))
			}
		}
	}
	for _, list := range append(zh.lists(), functionWords()...) {
		for _, word := range list {
			for _, c := range word {
				if unicode.Is(unicode.Han, c) {
					add(string(c))
				}
			}
		}
	}
	return vocab
}

func (l *lexicon) lists() [][]string {
	out := [][]string{l.nouns, l.verbs, l.adjectives, l.firstNames, l.lastNames, l.places, l.orgStems, l.orgSuffixes, l.syllables}
	for _, t := range l.topics {
		out = append(out, t.nouns, t.verbs, t.adjectives)
	}
	return out
}

// writer builds one document word by word.
type writer struct {
	rng          *rand.Rand
	lex          *lexicon
	chinese      bool
	topic, other int
	focus        float64

	text      strings.Builder
	words     []corpus.Word
	sentences []corpus.Span
	glue      bool // the next word follows without a space
}

// word appends one word with its tags; English words are separated by spaces.
func (w *writer) word(s, pos, entity string) {
	if w.text.Len() > 0 && !w.chinese && !w.glue && pos != "PUNCT" {
		w.text.WriteByte(' ')
	}
	w.glue = false
	start := w.text.Len()
	w.text.WriteString(s)
	w.words = append(w.words, corpus.Word{Span: corpus.Span{Start: start, End: w.text.Len()}, POS: pos, Entity: entity})
}

// plain appends a word outside any entity.
func (w *writer) plain(s, pos string) { w.word(s, pos, "O") }

// name appends the words of one entity.
func (w *writer) name(kind string, parts ...string) {
	for i, p := range parts {
		tag := "I-" + kind
		if i == 0 {
			tag = "B-" + kind
		}
		w.word(p, "PROPN", tag)
	}
}

func (w *writer) pick(list []string) string { return list[w.rng.IntN(len(list))] }

// zipf picks early words often and late words seldom (probability ∝ 1/(rank+2)).
func (w *writer) zipf(list []string) string {
	n := float64(len(list))
	r := math.Pow((n+2)/2, w.rng.Float64())*2 - 2
	return list[min(int(r), len(list)-1)]
}

// content picks a topical word of the kind that field selects: of the
// document's topic, of its second topic, or of no topic.
func (w *writer) content(field func(topicWords) []string, shared []string) string {
	switch x := w.rng.Float64(); {
	case x < w.focus:
		return w.zipf(field(w.lex.topics[w.topic]))
	case x < w.focus+(1-w.focus)/2:
		return w.zipf(field(w.lex.topics[w.other]))
	}
	return w.zipf(shared)
}

func (w *writer) aNoun() string {
	return w.content(func(t topicWords) []string { return t.nouns }, w.lex.nouns)
}

func (w *writer) anAdjective() string {
	return w.content(func(t topicWords) []string { return t.adjectives }, w.lex.adjectives)
}

func (w *writer) noun() { w.plain(w.aNoun(), "NOUN") }

func (w *writer) adjective() { w.plain(w.anAdjective(), "ADJ") }

func (w *writer) verb() {
	w.plain(w.content(func(t topicWords) []string { return t.verbs }, w.lex.verbs), "VERB")
}

// invented is a name from syllables, capitalised in English.
func (w *writer) invented() string {
	s := w.pick(w.lex.syllables) + w.pick(w.lex.syllables)
	if w.chinese {
		return s
	}
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}
