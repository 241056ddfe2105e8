package distill_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/onnx"
)

// On the data it was trained on, with one batch, no dropout and no masks, the loss on
// dev data is that of the training: of the step that follows the measurement.
func TestDevLossIsTheLossOfTheTraining(t *testing.T) {
	for name, loss := range map[string]distill.Sum{
		"labels": {distill.Scale(0.7, distill.SoftLabels{Temperature: 2}), distill.Scale(0.5, distill.HardLabels{Smoothing: 0.1})},
		"inside": {distill.Scale(0.3, distill.HiddenMSE{}), distill.Scale(0.2, distill.MiniLM{})},
	} {
		c := everything(t)
		c.Loss, c.Text, c.Dropout = loss, nil, 0
		c.Task, c.Batch, c.Steps = docs(t, 1, 16), 16, 5
		c.DevLoss, c.EvalEvery = c.Task, 1
		var dev, train []float64
		c.Evaluated = func(e distill.Evaluation, _ bool) { dev = append(dev, float64(e.Value)) }
		log := filepath.Join(t.TempDir(), "log")
		c.Log = log
		run(t, classifier(t, "1x16x2", 1), c)
		data, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			var l struct {
				Step int
				Loss float64
			}
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatal(err)
			}
			if l.Step > 0 {
				train = append(train, l.Loss)
			}
		}
		if len(dev) != 5 || len(train) != 5 {
			t.Fatalf("%s: measured %v, trained with %v", name, dev, train)
		}
		for i := range 4 {
			if math.Abs(dev[i]-train[i+1]) > 1e-5*math.Abs(train[i+1]) {
				t.Errorf("%s: after step %d the loss on dev data is %v, and then the training's is %v", name, i+1, dev[i], train[i+1])
			}
		}
		if slices.Contains(dev[1:], dev[0]) {
			t.Errorf("%s: the loss stays %v", name, dev)
		}
	}
}

// The best model is the one of the lowest loss, patience ends the run, measuring
// changes nothing else, and a run that was stopped ends in the same bytes.
func TestDevLossChooses(t *testing.T) {
	m := classifier(t, "1x16x2", 1)
	c := everything(t)
	c.Steps, c.EMA, c.Dropout = 8, 0.9, 0.1
	plain, _ := run(t, m, c)
	c.DevLoss, c.EvalEvery = docs(t, 9, 24), 2
	measured := c
	measured.KeepHeads = false
	out, report := run(t, m, measured)
	if len(report.Evaluations) != 4 || report.Best == nil {
		t.Fatalf("%+v", report)
	}
	for _, e := range report.Evaluations {
		if e.Value < report.Best.Value || !(e.Value > 0) {
			t.Errorf("the best is %v of %v", *report.Best, report.Evaluations)
		}
	}
	if report.Best.Step == 8 && out.Hash() != plain.Hash() {
		t.Error("measuring changes the training")
	}
	c.Checkpoint = filepath.Join(t.TempDir(), "cp")
	for _, steps := range []int{5, 8} { // the second between the last step and what it is measured by
		ctx, stopped := stopAfter(c, steps)
		if _, _, err := distill.Run(ctx, m, stopped); err == nil {
			t.Fatal("it was not stopped")
		}
		again, second := run(t, m, c)
		if again.Hash() != out.Hash() || !slices.Equal(second.Evaluations, report.Evaluations) || second.Resumed != steps {
			t.Errorf("stopped after %d and gone on: %+v, want %+v", steps, second, report)
		}
		if err := distill.RemoveCheckpoint(c.Checkpoint); err != nil {
			t.Fatal(err)
		}
	}
	other := c
	other.DevLoss = docs(t, 10, 24)
	ctx, stopped := stopAfter(c, 5)
	if _, _, err := distill.Run(ctx, m, stopped); err == nil {
		t.Fatal("it was not stopped")
	}
	var misfit *distill.CheckpointError
	if _, _, err := distill.Run(context.Background(), m, other); !errors.As(err, &misfit) || !strings.Contains(err.Error(), "the dev data") {
		t.Errorf("other dev data: %v", err)
	}
	// With a rate that only does harm the loss rises, and patience ends the run.
	c.Checkpoint, c.Patience, c.LearningRate, c.Steps, c.EMA, c.EvalEvery = "", 2, 0.3, 40, 0, 1
	if _, report := run(t, m, c); !report.Stopped || report.Steps > 30 {
		t.Errorf("not stopped: %+v", report)
	}
}

func TestDevLossThatCannotBe(t *testing.T) {
	for want, change := range map[string]func(*distill.Config){
		"set one": func(c *distill.Config) {
			c.Evaluate = func(context.Context, *onnx.Model) (float64, error) { return 0, nil }
		},
		"have no labels": func(c *distill.Config) { c.DevLoss = corpus.Unlabeled(c.DevLoss) },
		"the loss on the dev data: distill: corpus: the corpus is empty": func(c *distill.Config) { c.DevLoss = corpus.FromExamples(nil, nil) },
	} {
		c := everything(t)
		c.Loss, c.DevLoss = c.Loss[1:3], docs(t, 3, 8)
		change(&c)
		if _, _, err := distill.Run(context.Background(), classifier(t, "1x16x2", 1), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want it to speak of %q", err, want)
		}
	}
}
