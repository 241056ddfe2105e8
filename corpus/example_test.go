package corpus_test

import (
	"fmt"
	"strings"

	"github.com/litekit/lite/corpus"
)

// A table becomes examples, a tokenizer and a view make batches of them: ids,
// mask and labels as a classifier is trained on. Texts of like lengths come
// together, and lengths are rounded up to a multiple of eight.
func Example() {
	// In use: corpus.Open([]string{"train.tsv"}, corpus.Options{}).
	c, err := corpus.Read(strings.NewReader("text\tlabel\na good film\tgood\nbad\tbad\n"), "train.tsv", corpus.Options{})
	if err != nil {
		panic(err)
	}
	// In use: corpus.OpenTokenizer("bert-base").
	tok, err := corpus.NewWordPiece([]string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "good", "bad", "film"}, true)
	if err != nil {
		panic(err)
	}
	view, err := corpus.NewTaskView(c, tok, corpus.ViewOptions{BatchSize: 2})
	if err != nil {
		panic(err)
	}
	b, err := view.Sequential().Batch(0, 0)
	if err != nil {
		panic(err)
	}
	fmt.Println(c.Labels(), b.Labels)
	for i := range b.B {
		fmt.Println(b.IDs[i*b.S:(i+1)*b.S], b.Mask[i*b.S:(i+1)*b.S])
	}
	// Output:
	// [bad good] [0 1]
	// [2 7 3 0 0 0 0 0] [1 1 1 0 0 0 0 0]
	// [2 5 6 8 3 0 0 0] [1 1 1 1 1 0 0 0]
}

// Every annotated format gives words with their tags; written as JSONL they can
// be read by spaCy, and by Read again.
func ExampleWriteJSONL() {
	c, err := corpus.Read(strings.NewReader("Anna B-PER\nsees O\nNew B-LOC\nYork I-LOC\n"), "train.bio", corpus.Options{Format: corpus.BIO})
	if err != nil {
		panic(err)
	}
	var b strings.Builder
	if err := corpus.WriteJSONL(&b, corpus.Take(c, 1)); err != nil {
		panic(err)
	}
	fmt.Println(b.String())
	// Output:
	// {"text":"Anna sees New York","ents":[{"start":0,"end":4,"label":"PER"},{"start":10,"end":18,"label":"LOC"}],"tokens":[{"id":0,"start":0,"end":4},{"id":1,"start":5,"end":9},{"id":2,"start":10,"end":13},{"id":3,"start":14,"end":18}]}
}
