package tagger_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/tagger"
)

// A tagger is learned from annotated text, and then annotates any text.
func Example() {
	// In use: corpus.Open([]string{"train.conllu"}, corpus.Options{}).
	train, err := corpus.Read(strings.NewReader(strings.Repeat("Anna B-PER\nsees O\nNew B-LOC\nOslo I-LOC\n. O\n\n", 20)), "train.bio", corpus.Options{Format: corpus.BIO})
	if err != nil {
		panic(err)
	}
	t, err := tagger.Train(context.Background(), train, nil, tagger.Default())
	if err != nil {
		panic(err)
	}
	const text = "Anna sees New Oslo."
	words, err := t.Annotate(text)
	if err != nil {
		panic(err)
	}
	for _, w := range words {
		fmt.Println(text[w.Start:w.End], w.Entity)
	}
	// Output:
	// Anna B-PER
	// sees O
	// New B-LOC
	// Oslo I-LOC
	// . O
}
