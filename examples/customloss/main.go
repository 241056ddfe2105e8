// Command customloss trains a student with a loss that is not part of lite: any
// type with the methods of [distill.Loss] can stand in the sum.
//
//	go run ./examples/customloss -teacher bert-sst2 -data train.tsv -out small
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/onnx"
)

// LogitMSE is the squared distance of the student's logits from the teacher's
// (Ba, Caruana, arXiv 1312.6184, eq. 1), mean over the classes and examples.
type LogitMSE struct{}

// Name is what reports call the loss.
func (LogitMSE) Name() string { return "logit_mse" }

// Taught says that the loss reads the teacher's logits.
func (LogitMSE) Taught() {}

// View says that the loss reads whole texts, not masked ones.
func (LogitMSE) View() distill.View { return distill.Clean }

// Build adds the loss to the graph of one batch shape. B examples, C classes.
func (LogitMSE) Build(g *distill.Graph) (*gorgonia.Node, error) {
	student, err := g.Student("") // [B,C]
	if err != nil {
		return nil, err
	}
	teacher, err := g.Teacher() // [B,C]
	if err != nil {
		return nil, err
	}
	difference, err := gorgonia.Sub(student, teacher)
	if err != nil {
		return nil, err
	}
	square, err := gorgonia.Square(difference)
	if err != nil {
		return nil, err
	}
	rows, err := gorgonia.Mean(square, 1) // [B]
	if err != nil {
		return nil, err
	}
	weights := g.RowWeights() // [B]: 0 on the rows that fill up a batch
	if rows, err = gorgonia.HadamardProd(rows, weights); err != nil {
		return nil, err
	}
	sum, err := gorgonia.Sum(rows)
	if err != nil {
		return nil, err
	}
	count, err := gorgonia.Sum(weights)
	if err != nil {
		return nil, err
	}
	return gorgonia.HadamardDiv(sum, count)
}

func main() {
	teacher := flag.String("teacher", "", "model directory of a classifier")
	data := flag.String("data", "", "texts, labelled or not")
	out := flag.String("out", "", "directory of the student")
	flag.Parse()
	if err := run(context.Background(), *teacher, *data, *out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, teacher, data, out string) error {
	base, err := onnx.Open(teacher)
	if err != nil {
		return err
	}
	texts, err := corpus.Open([]string{data}, corpus.Options{})
	if err != nil {
		return err
	}
	c := distill.Default()
	c.Task = texts
	c.Progress = func(p distill.Progress) {
		if p.Step%50 == 0 {
			fmt.Fprintln(os.Stderr, p.Step, p.Steps, p.Losses)
		}
	}
	small, _, err := train(ctx, base, c)
	if err != nil {
		return err
	}
	return small.Save(out)
}

// train makes a student like the teacher with half its layers, and trains it.
func train(ctx context.Context, base *onnx.Model, c distill.Config) (*onnx.Model, *distill.Report, error) {
	var s distill.Student
	s.Shape.Layers = max(1, base.Config.NumHiddenLayers/2)
	m, _, err := distill.NewStudent(base, s, c.Seed)
	if err != nil {
		return nil, nil, err
	}
	c.Teacher = base
	c.Loss = distill.Sum{distill.Scale(0.1, LogitMSE{})}
	return distill.Run(ctx, m, c)
}
