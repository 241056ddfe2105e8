package tokenizer_test

import (
	"os"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus/tokenizer"
	"github.com/litekit/lite/internal/shared"
)

// BenchmarkEncode reports tokens a second on one core, on English text.
func BenchmarkEncode(b *testing.B) {
	data, err := os.ReadFile(shared.Path(b, "data/text/wikitext2-valid.txt"))
	if err != nil {
		b.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		lines = append(lines, line)
	}
	part := func(yield func(string) bool) { strings.Lines(string(data[:len(data)/4]))(yield) }
	for kind, open := range map[string]func() (*tokenizer.Tokenizer, error){
		"WordPiece": func() (*tokenizer.Tokenizer, error) { return tokenizer.Open(shared.Path(b, "tokenizer/uncased-en")) },
		"BPE":       func() (*tokenizer.Tokenizer, error) { return tokenizer.TrainBPE(part, 8000, tokenizer.TrainOptions{}) },
		"Unigram": func() (*tokenizer.Tokenizer, error) {
			return tokenizer.TrainUnigram(part, 8000, tokenizer.TrainOptions{Alphabet: 400})
		},
	} {
		b.Run(kind, func(b *testing.B) {
			tok, err := open()
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(data)))
			tokens := 0
			var pieces []tokenizer.Piece
			b.ResetTimer()
			for range b.N {
				for _, line := range lines {
					pieces = tok.Pieces(line, pieces[:0])
					tokens += len(pieces)
				}
			}
			b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
