package tokenizer_test

import (
	"fmt"
	"slices"

	"github.com/litekit/lite/corpus/tokenizer"
)

// Tokens know which bytes of the text they stand for.
func Example() {
	// In use: tokenizer.Open("bert-base").
	t, err := tokenizer.NewWordPiece([]string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "walk", "##s", "king"}, true)
	if err != nil {
		panic(err)
	}
	const text = "The king walks"
	e := t.Encode(text)
	for i, token := range e.Tokens {
		fmt.Printf("%d %s %q\n", e.IDs[i], token, text[e.Offsets[i].Start:e.Offsets[i].End])
	}
	fmt.Println(t.Decode(e.IDs, true))
	// Output:
	// 2 [CLS] ""
	// 5 the "The"
	// 8 king "king"
	// 6 walk "walk"
	// 7 ##s "s"
	// 3 [SEP] ""
	// the king walks
}

// A tokenizer is learned from text, and its files are those that Hugging Face's
// libraries read.
func ExampleTrainWordPiece() {
	texts := slices.Values([]string{"low lower lowest", "new newer newest", "low new"})
	t, err := tokenizer.TrainWordPiece(texts, 40, tokenizer.TrainOptions{Lowercase: true})
	if err != nil {
		panic(err)
	}
	_, written := t.Files()["tokenizer.json"]
	fmt.Println(t.Encode("lowest").Tokens, written)
	// Output:
	// [[CLS] lowe ##st [SEP]] true
}
