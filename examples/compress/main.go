// Command compress is the whole pipeline as a program: a student is trained
// under a teacher, loses the heads that its loss depends on least, is trained
// again, becomes int8, and is held to its teacher's accuracy.
//
//	go run ./examples/compress -teacher bert-sst2 -train train.tsv -dev dev.tsv -out small
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/litekit/lite"
	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/prune"
	"github.com/litekit/lite/quantize"
	"github.com/litekit/lite/student"
)

func main() {
	teacher := flag.String("teacher", "", "model directory of a classifier")
	train := flag.String("train", "", "texts, labelled or not")
	dev := flag.String("dev", "", "labelled texts that are not among those")
	out := flag.String("out", "", "directory of the result")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *teacher, *train, *dev, *out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, teacher, train, dev, out string) error {
	base, err := onnx.Open(teacher)
	if err != nil {
		return err
	}
	shape, err := student.Measure(base) // of the graph: a bare .onnx file has no config.json
	if err != nil {
		return err
	}
	if len(base.Files) == 0 {
		return fmt.Errorf("%s: no tokenizer beside the teacher; give a directory with its tokenizer and config.json", teacher)
	}
	texts, err := corpus.Open([]string{train}, corpus.Options{})
	if err != nil {
		return err
	}
	held, err := corpus.Open([]string{dev}, corpus.Options{})
	if err != nil {
		return err
	}
	training := distill.Default()
	training.Task = texts
	training.Checkpoint = out + ".checkpoint" // an interrupted run goes on from it
	small, err := compress(ctx, base, training, student.Shape{Layers: max(1, shape.Layers/2)}, held)
	if err != nil && !errors.Is(err, eval.ErrBudget) {
		return err
	}
	// A model that missed its budget is the best there is: worth keeping.
	return errors.Join(err, small.SaveAs(out, "model_quantized.onnx"),
		distill.RemoveCheckpoint(training.Checkpoint), distill.RemoveCheckpoint(recovery(training.Checkpoint)))
}

// compress makes a small int8 classifier of base. training says how to train
// and on what (training.Task); zero fields of shape are the teacher's.
func compress(ctx context.Context, base *onnx.Model, training distill.Config, shape student.Shape, dev corpus.Corpus) (*onnx.Model, error) {
	tok, err := corpus.LoadTokenizer(base.Files)
	if err != nil {
		return nil, err
	}
	calibration, err := quantize.FromCorpus(corpus.Take(training.Task, 64), tok, corpus.ViewOptions{BatchSize: 8, MaxLength: training.MaxLength}, 0)
	if err != nil {
		return nil, err
	}

	distilling := training
	distilling.Student = &distill.Student{Shape: shape}
	distilling.Loss = distill.Sum{
		distill.Scale(1, distill.SoftLabels{Temperature: 2}),
		distill.Scale(0.2, distill.Denoise{Mask: 0.15}),
	}

	again := distilling
	again.Student, again.Teacher = nil, base // the pruned student itself, under the same teacher
	again.Epochs, again.LearningRate = max(1, training.Epochs/2), training.LearningRate/2
	again.Checkpoint = recovery(training.Checkpoint) // every run needs its own

	int8 := quantize.Default()
	int8.Mode = quantize.Static
	int8.Calibration = calibration
	measure := eval.Options{MaxLength: training.MaxLength}
	int8.Metric, int8.Evaluate = "accuracy", eval.Evaluator(dev, measure)
	int8.MaxDrop = eval.Relative(0.01) // nodes that cost more stay in float

	return lite.Run(ctx, base,
		distilling,
		fisher{training: training, teacher: base, share: 0.25},
		again,
		int8,
		eval.Gate{Baseline: base, Data: dev, Metric: "accuracy", MaxDrop: eval.Relative(0.05), Options: measure},
	)
}

// recovery names the checkpoint of the second training, "" where none is kept.
func recovery(checkpoint string) string {
	if checkpoint == "" {
		return ""
	}
	return checkpoint + ".recovery"
}

// fisher is a step of one's own: it prunes the heads with the least Fisher
// information under the teacher's soft labels.
type fisher struct {
	training distill.Config
	teacher  *onnx.Model
	share    float64
}

// Name implements [lite.Step].
func (fisher) Name() string { return "prune by Fisher information" }

// Apply implements [lite.Step].
func (f fisher) Apply(ctx context.Context, m *onnx.Model) (*onnx.Model, error) {
	c := f.training
	c.Teacher, c.Loss = f.teacher, distill.Sum{distill.Scale(1, distill.SoftLabels{Temperature: 2})}
	importance, err := distill.Importance(ctx, m, c, 8)
	if err != nil {
		return nil, err
	}
	return prune.Config{
		Unit: prune.Heads, Scope: prune.Global, Sparsity: f.share,
		Criterion: prune.Given{Label: "fisher", Scores: importance.Fisher()},
	}.Apply(ctx, m)
}
