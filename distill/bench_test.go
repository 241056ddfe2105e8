package distill_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/student"
)

// BenchmarkPretraining is masked language modelling of random text: one step
// of 32 sequences of 128 tokens.
func BenchmarkPretraining(b *testing.B) {
	vocab := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
	for i := len(vocab); i < 21128; i++ {
		vocab = append(vocab, fmt.Sprint("w", i))
	}
	tok, err := corpus.NewWordPiece(vocab, true)
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	var texts []corpus.Example
	for range 64 {
		var words []string
		for range 126 {
			words = append(words, vocab[5+rng.IntN(len(vocab)-5)])
		}
		texts = append(texts, corpus.Example{Text: strings.Join(words, " "), Label: -1})
	}
	m, err := distill.NewModel(student.Shape{Layers: 4, Hidden: 128, Heads: 2}, student.MaskedLM(), tok, 1)
	if err != nil {
		b.Fatal(err)
	}
	c := distill.Default()
	c.Text = corpus.FromExamples(texts, nil)
	c.Loss = distill.Sum{distill.Scale(1, distill.Denoise{})}
	c.Steps = max(b.N, 1)
	b.ResetTimer()
	_, report := run(b, m, c)
	b.ReportMetric(float64(report.Tokens)/report.Seconds, "tokens/s")
}
