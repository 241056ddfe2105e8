package predict

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/corpus/tokenizer"
	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/student"
)

// Scored is an answer and its probability under the softmax. A head with one
// output has no probabilities: its Score is the output itself.
type Scored struct {
	Label string  `json:"label"` // of the class, or the token that fits
	Score float64 `json:"score"` // from 0 to 1, of all classes or tokens together 1
}

// Classified is a classifier's answer, the most probable label first.
type Classified struct {
	Text   string   `json:"text"`
	Pair   string   `json:"pair,omitempty"`
	Labels []Scored `json:"labels"` // [C], or Options.Top of them
}

// Classify labels texts. Errors: a head that is no classifier, a text that
// cannot be encoded, a model that does not give C scores for each text, a context
// that is done.
func (p *Predictor) Classify(ctx context.Context, texts []Text) ([]Classified, error) {
	out := make([]Classified, 0, len(texts))
	err := p.each(ctx, "Classify", texts, func(b *batch, texts []Text) error {
		for i, t := range texts {
			out = append(out, Classified{t.Text, t.Pair, best(b.row(i), p.opts.Top, p.label)})
		}
		return nil
	}, student.KindClassification, student.KindSentenceOrder, student.KindNextSentence)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Filled is a masked language model's answer: for each mask of the text, in
// order, the tokens that fit, the most probable first.
type Filled struct {
	Text  string     `json:"text"`
	Masks [][]Scored `json:"masks"`
}

// Fill answers what stands at the masks of texts (see MaskToken). A text
// without one is an error that wraps [ErrNoMask].
func (p *Predictor) Fill(ctx context.Context, texts []Text) ([]Filled, error) {
	top := p.opts.Top
	if top <= 0 {
		top = 5
	}
	token := func(id int) string { return p.tok.Token(int64(id)) }
	out := make([]Filled, 0, len(texts))
	err := p.each(ctx, "Fill", texts, func(b *batch, texts []Text) error {
		from := len(out)
		for _, t := range texts {
			out = append(out, Filled{Text: t.Text})
		}
		for i, at := range b.Rows {
			f := &out[from+int(at)/b.S]
			f.Masks = append(f.Masks, best(b.row(i), top, token))
		}
		return nil
	}, student.KindMaskedLM)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Tagged is a token classifier's answer. Offsets are in characters (Unicode
// code points), as spaCy and Hugging Face count them.
type Tagged struct {
	Text  string    `json:"text"`
	Words []TagWord `json:"words"`
	// Entities are read from BIO tags; empty where the tags are others.
	Entities []Entity `json:"entities,omitempty"`
}

// TagWord is what the tokenizer splits at white space and punctuation (in
// Chinese, a character) with the tag at its first piece.
type TagWord struct {
	Text  string  `json:"text"`
	Start int     `json:"start"`
	End   int     `json:"end"` // exclusive
	Tag   string  `json:"tag"`
	Score float64 `json:"score"` // probability of the tag
}

// Entity is a typed span of the text.
type Entity struct {
	Text  string `json:"text"`
	Start int    `json:"start"`
	End   int    `json:"end"`  // exclusive
	Type  string `json:"type"` // PER of B-PER, I-PER
}

// Tag tags the words of texts; of a pair, those of the first text. Words beyond
// the model's length have no answer.
func (p *Predictor) Tag(ctx context.Context, texts []Text) ([]Tagged, error) {
	out := make([]Tagged, 0, len(texts))
	err := p.each(ctx, "Tag", texts, func(b *batch, texts []Text) error {
		for i, t := range texts {
			if t.Tokens != nil {
				out = append(out, p.idTags(b, i, t.Text))
				continue
			}
			out = append(out, p.tags(b, i, t.Text))
		}
		return nil
	}, student.KindPOS, student.KindNER)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// tags reads the tag of each word of text i at its first piece.
func (p *Predictor) tags(b *batch, i int, text string) Tagged {
	e := &b.encoded[i]
	out := Tagged{Text: text, Words: []TagWord{}}
	var tags []string
	var spans []corpus.Span
	last := -1
	for s := range e.Len() {
		if e.Word[s] < 0 || e.Seq[s] != 0 {
			continue
		}
		span := tokenizer.Trim(text, e.Offsets[s]) // tokens of sentencepiece cover the space before them
		if e.Word[s] == last {
			spans[len(spans)-1].End = max(spans[len(spans)-1].End, span.End)
			continue
		}
		last = e.Word[s]
		top := best(b.row(i*b.S+s), 1, p.label)[0]
		out.Words = append(out.Words, TagWord{Tag: top.Label, Score: top.Score})
		tags, spans = append(tags, top.Label), append(spans, span)
	}
	for w := range out.Words {
		o := &out.Words[w]
		o.Text, o.Start, o.End = characters(text, spans[w].Start, spans[w].End)
	}
	for _, x := range eval.Entities(tags) {
		o := Entity{Type: x.Type}
		o.Text, o.Start, o.End = characters(text, spans[x.Start].Start, spans[x.End-1].End)
		out.Entities = append(out.Entities, o)
	}
	return out
}

// idTags reads the tag of each token that is not special; the words are called
// as the tokens are, and their offsets are numbers of tokens.
func (p *Predictor) idTags(b *batch, i int, text string) Tagged {
	e := &b.encoded[i]
	out := Tagged{Text: text, Words: []TagWord{}}
	var tags []string
	for s := range e.Len() {
		if e.Word[s] < 0 || e.Seq[s] != 0 {
			continue
		}
		top := best(b.row(i*b.S+s), 1, p.label)[0]
		out.Words = append(out.Words, TagWord{Text: e.Tokens[s], Start: s, End: s + 1, Tag: top.Label, Score: top.Score})
		tags = append(tags, top.Label)
	}
	for _, x := range eval.Entities(tags) {
		first, last := out.Words[x.Start], out.Words[x.End-1]
		out.Entities = append(out.Entities, Entity{Text: fmt.Sprintf("%d-%d", first.Start, last.End), Start: first.Start, End: last.End, Type: x.Type})
	}
	return out
}

// characters turns byte offsets into the text between them and offsets in characters.
func characters(text string, from, to int) (part string, start, end int) {
	start = utf8.RuneCountInString(text[:from])
	return text[from:to], start, start + utf8.RuneCountInString(text[from:to])
}

// label names a class.
func (p *Predictor) label(i int) string {
	if i < len(p.labels) {
		return p.labels[i]
	}
	return fmt.Sprintf("LABEL_%d", i)
}

// best returns the most probable answers of a row of logits, all if top is 0;
// equal ones in the order of the classes.
func best(row []float32, top int, name func(int) string) []Scored {
	if len(row) == 1 {
		return []Scored{{name(0), float64(row[0])}}
	}
	greatest, sum := slices.Max(row), 0.0
	order := make([]int, len(row))
	for i, x := range row {
		sum += math.Exp(float64(x - greatest))
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(row[j], row[i]) })
	if top <= 0 || top > len(row) {
		top = len(row)
	}
	out := make([]Scored, top)
	for k := range out {
		out[k] = Scored{name(order[k]), math.Exp(float64(row[order[k]]-greatest)) / sum}
	}
	return out
}
