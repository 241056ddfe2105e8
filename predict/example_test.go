package predict_test

import (
	"context"
	"fmt"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/predict"
	"github.com/litekit/lite/student"
)

// A service makes one Predictor and asks it from any number of goroutines.
func Example() {
	// In use: onnx.Open("small"), a directory with model, config.json and tokenizer.
	m, err := student.New(student.Shape{Layers: 1, Hidden: 8, Heads: 2, Vocab: len(words)}, []student.Head{student.Classification([]string{"negative", "positive"})}, 1)
	if err != nil {
		panic(err)
	}
	m.Graph.SetInitializer(onnx.NewFloats("classifier.bias", []float32{0, 9}, 2)) // an optimist
	tok, err := corpus.NewWordPiece(words, true)
	if err != nil {
		panic(err)
	}
	m.Files = tok.Files()

	p, err := predict.New(m, predict.Options{Top: 1})
	if err != nil {
		panic(err)
	}
	answers, err := p.Classify(context.Background(), predict.Texts("the film was good", "bad"))
	if err != nil {
		panic(err)
	}
	for _, a := range answers {
		fmt.Printf("%s: %s %.1f\n", a.Text, a.Labels[0].Label, a.Labels[0].Score)
	}
	// Output:
	// the film was good: positive 1.0
	// bad: positive 1.0
}

// Any graph runs on tensors: no config.json, no tokenizer.
func ExampleNewGraph() {
	m, err := student.New(student.Shape{Layers: 1, Hidden: 8, Heads: 2, Vocab: len(words)}, []student.Head{student.NER([]string{"O", "B-PER", "I-PER"})}, 1)
	if err != nil {
		panic(err)
	}
	g, err := predict.NewGraph(m) // once; then from any goroutine
	if err != nil {
		panic(err)
	}
	out, err := g.Run(context.Background(), map[string]*predict.Tensor{
		"input_ids":      predict.Int64s([]int64{2, 5, 6, 3}, 1, 4),
		"attention_mask": predict.Int64s([]int64{1, 1, 1, 1}, 1, 4),
		"token_type_ids": predict.Int64s([]int64{0, 0, 0, 0}, 1, 4),
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(out["logits"].Shape, len(out["logits"].F32))
	// Output: [1 4 3] 12
}
