package eval_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// guesser is a classifier that always answers with class k.
func guesser(k int) *onnx.Model {
	// In use: onnx.Open("small").
	m, err := student.New(student.Shape{Layers: 1, Hidden: 8, Heads: 2, Vocab: len(vocab)}, []student.Head{student.Classification([]string{"calm", "loud"})}, 1)
	if err != nil {
		panic(err)
	}
	bias := make([]float32, 2)
	bias[k] = 100
	m.Graph.SetInitializer(onnx.NewFloats("classifier.bias", bias, 2))
	tok, err := corpus.NewWordPiece(vocab, true)
	if err != nil {
		panic(err)
	}
	m.Files = tok.Files()
	return m
}

// A model is measured on labelled texts; beside each score stands what the best
// constant guess would have.
func ExampleRun() {
	data, err := corpus.Read(strings.NewReader("text\tlabel\nthe king walks\tcalm\nanna sees paris\tcalm\nthe king\tloud\n"), "dev.tsv", corpus.Options{})
	if err != nil {
		panic(err)
	}
	r, err := eval.Run(context.Background(), guesser(0), data, eval.Options{Metrics: []string{"accuracy", "mcc"}})
	if err != nil {
		panic(err)
	}
	for _, s := range r.Scores {
		fmt.Printf("%s %.2f, %s guess %.2f\n", s.Metric, float64(s.Value), s.BaselineName, float64(*s.Baseline))
	}
	// Output:
	// accuracy 0.67, majority guess 0.67
	// mcc 0.00, majority guess 0.00
}

// A smaller model is compared with the one that it is made of, and refused where
// it lost more than allowed.
func ExampleCompare() {
	data, err := corpus.Read(strings.NewReader("text\tlabel\nthe king walks\tcalm\nanna sees paris\tcalm\nthe king\tloud\n"), "dev.tsv", corpus.Options{})
	if err != nil {
		panic(err)
	}
	table, err := eval.Compare(context.Background(), data, eval.Options{},
		eval.Entry{Name: "large", Model: guesser(0), Bytes: 4000}, eval.Entry{Name: "small", Model: guesser(1), Bytes: 1000})
	if err != nil {
		panic(err)
	}
	fmt.Print(table)
	err = table.Check("small", eval.Relative(0.05))
	fmt.Println(errors.Is(err, eval.ErrBudget))
	// Output:
	// model  accuracy  95% interval    drop  bytes  smaller  agreement      p
	// large    0.6667   0.208–0.939  0.0000   4000    1.00×
	// small    0.3333   0.061–0.792  0.3333   1000    4.00×     0.0000  1.000
	// true
}

// Entities are read from BIO tags as conlleval reads them.
func ExampleEntities() {
	for _, e := range eval.Entities(strings.Fields("B-PER I-PER O B-LOC")) {
		fmt.Println(e.Type, e.Start, e.End)
	}
	// Output:
	// PER 0 2
	// LOC 3 4
}
