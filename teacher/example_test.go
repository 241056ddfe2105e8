package teacher_test

import (
	"context"
	"fmt"
	"os"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/teacher"
)

// A teacher labels a batch once; whoever asks again, in this process or a later
// one, is answered from the cache without running the model.
func Example() {
	tok, err := corpus.NewWordPiece([]string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film"}, true)
	if err != nil {
		panic(err)
	}
	// In use: onnx.Open("bert-sst2").
	m, err := student.New(student.Shape{Layers: 1, Hidden: 16, Heads: 2, Vocab: tok.VocabSize()}, []student.Head{student.Classification([]string{"negative", "positive"})}, 1)
	if err != nil {
		panic(err)
	}
	data := corpus.FromExamples([]corpus.Example{{Text: "good film", Label: -1}, {Text: "bad film", Label: -1}}, nil)
	view, err := corpus.NewTaskView(data, tok, corpus.ViewOptions{})
	if err != nil {
		panic(err)
	}
	batch, err := view.Batch(0, 0)
	if err != nil {
		panic(err)
	}
	cache, err := os.MkdirTemp("", "labels")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(cache)

	for range 2 {
		t, err := teacher.New(m, teacher.Options{Cache: cache, Form: teacher.Form{Half: true}})
		if err != nil {
			panic(err)
		}
		logits, err := t.Logits(context.Background(), batch)
		if err != nil {
			panic(err)
		}
		found, computed := t.Counts()
		fmt.Println(t.Task(), len(logits)/t.Width(), "rows of", t.Width(), "- found", found, "computed", computed)
		if err := t.Close(); err != nil {
			panic(err)
		}
	}
	// Output:
	// sequence-classification 2 rows of 2 - found 0 computed 1
	// sequence-classification 2 rows of 2 - found 1 computed 0
}
