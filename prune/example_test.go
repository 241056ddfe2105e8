package prune_test

import (
	"context"
	"fmt"

	"github.com/litekit/lite/prune"
	"github.com/litekit/lite/student"
)

// Half of the neurons with the smallest weights are removed: the model has
// fewer parameters, and the one that was given is as it was.
func ExampleConfig_Run() {
	// In use: onnx.Open("bert-sst2").
	m, err := student.New(student.Shape{Layers: 2, Hidden: 16, Heads: 2, FFN: 64, Vocab: 30}, []student.Head{student.Classification([]string{"no", "yes"})}, 1)
	if err != nil {
		panic(err)
	}
	small, report, err := prune.Config{Unit: prune.Neurons, Sparsity: 0.5, NeuronMultiple: 8}.Run(context.Background(), m)
	if err != nil {
		panic(err)
	}
	fmt.Println(report.Layers[0].NeuronsBefore, "neurons of a layer,", report.Layers[0].Neurons, "left")
	fmt.Println(m.Parameters()-small.Parameters(), "parameters fewer") // 2 layers · 32 neurons · (16 in + 1 bias + 16 out)
	// Output:
	// 64 neurons of a layer, 32 left
	// 2112 parameters fewer
}

// Of every four weights along the input two become zero. A trainer that applies
// the masks after each update keeps them so.
func ExampleMasks() {
	m, err := student.New(student.Shape{Layers: 1, Hidden: 16, Heads: 2, FFN: 32, Vocab: 30}, nil, 1)
	if err != nil {
		panic(err)
	}
	sparse, err := prune.Config{Unit: prune.Weights, Pattern: prune.Pattern{N: 2, M: 4}}.Apply(context.Background(), m)
	if err != nil {
		panic(err)
	}
	masks, err := prune.Masks(sparse)
	if err != nil {
		panic(err)
	}
	query := masks["bert.encoder.layer.0.attention.self.query.weight"]
	fmt.Println(query.Count(), "of", query.N)
	// Output:
	// 128 of 256
}
