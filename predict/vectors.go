package predict

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/student"
)

// Rated is a number for a text or a pair of texts.
type Rated struct {
	Text  string  `json:"text"`
	Pair  string  `json:"pair,omitempty"`
	Score float64 `json:"score"` // what the model gives, or the cosine
}

// Rate answers with the number that a regression model gives, as it is: no
// sigmoid is applied.
func (p *Predictor) Rate(ctx context.Context, texts []Text) ([]Rated, error) {
	out := make([]Rated, 0, len(texts))
	err := p.each(ctx, "Rate", texts, func(b *batch, texts []Text) error {
		if b.n != 1 {
			return fmt.Errorf("predict: output %s has %d numbers for a text, and a regression model has one; is \"problem_type\" in config.json right?", p.output, b.n)
		}
		for i, t := range texts {
			x := float64(b.logits[i])
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return fmt.Errorf("predict: the model gives %v for %.60q; its weights are damaged, or its numbers overflow", x, t.Text)
			}
			out = append(out, Rated{t.Text, t.Pair, x})
		}
		return nil
	}, student.KindRegression)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Embedded is the vector of a text.
type Embedded struct {
	Text   string    `json:"text"`
	Vector []float32 `json:"vector"` // [H]
}

// Embed answers with the vectors [H] of an embedding model: its output
// sentence_embedding, else its hidden states pooled as sentence-transformers'
// files say, the mean of all tokens where there are none. A vector is of one
// text, so pairs are an error; see [Predictor.Compare].
func (p *Predictor) Embed(ctx context.Context, texts []Text) ([]Embedded, error) {
	for i, t := range texts {
		if t.Pair != "" {
			return nil, fmt.Errorf("predict: text %d is a pair, and a vector is of one text; Compare gives the cosine of the two", i+1)
		}
	}
	return p.embed(ctx, "Embed", texts)
}

func (p *Predictor) embed(ctx context.Context, method string, texts []Text) ([]Embedded, error) {
	out := make([]Embedded, 0, len(texts))
	err := p.each(ctx, method, texts, func(b *batch, texts []Text) error {
		for i, t := range texts {
			out = append(out, Embedded{t.Text, slices.Clone(b.row(i))})
		}
		return nil
	}, student.KindEmbedding)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Compare answers pairs with the cosine of their two vectors, from −1 to 1; it
// is 0 where one of them is zero. A text that is no pair is an error.
func (p *Predictor) Compare(ctx context.Context, pairs []Text) ([]Rated, error) {
	texts := make([]Text, 0, 2*len(pairs))
	for i, t := range pairs {
		if t.Pair == "" {
			return nil, fmt.Errorf("predict: text %d has no second text to be compared with", i+1)
		}
		texts = append(texts, Text{Text: t.Text, Tokens: t.Tokens}, Text{Text: t.Pair})
	}
	vectors, err := p.embed(ctx, "Compare", texts)
	if err != nil {
		return nil, err
	}
	out := make([]Rated, len(pairs))
	for i, t := range pairs {
		out[i] = Rated{t.Text, t.Pair, kernel.Cosine(vectors[2*i].Vector, vectors[2*i+1].Vector)}
	}
	return out, nil
}
