package distill_test

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/distill"
)

// twoStages are masked text in short sequences, then everything in longer ones.
func twoStages(t *testing.T) []distill.Config {
	first, second := everything(t), everything(t)
	first.Loss, first.Steps, first.MaxLength, first.Optimizer = first.Loss[2:], 4, 32, distill.LAMB
	second.Steps, second.Accumulate, second.LearningRate = 3, 2, 1e-3
	return []distill.Config{first, second}
}

func TestStagesResumeInEachStage(t *testing.T) {
	m := classifier(t, "1x16x2", 1)
	stages := twoStages(t)
	whole, reports, err := distill.RunStages(context.Background(), m, stages)
	if err != nil {
		t.Fatal(err)
	}
	if len(reports) != 2 || reports[0].Steps != 4 || reports[1].Steps != 3 || len(whole.Graph.Outputs) != 1 {
		t.Errorf("reports %+v", reports)
	}
	// What the stages are: the second one trains the first one's result, heads and all.
	byHand := stages[0]
	byHand.KeepHeads = true
	middle, _ := run(t, m, byHand)
	if out, _ := run(t, middle, stages[1]); out.Hash() != whole.Hash() {
		t.Error("two runs in a row give other bytes than two stages")
	}

	dir := filepath.Join(t.TempDir(), "run")
	for _, stop := range []int{2, 3, 1} { // within the first, within the second, and again
		ctx, cancel := context.WithCancel(context.Background())
		done, names := 0, []string{}
		parts := slices.Clone(stages)
		for i := range parts {
			parts[i].Checkpoint = dir
			parts[i].Progress = func(p distill.Progress) {
				names = append(names, p.Stage)
				if done++; done == stop {
					cancel()
				}
			}
		}
		_, _, err := distill.RunStages(ctx, m, parts)
		cancel()
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "stage "+names[len(names)-1]) {
			t.Fatalf("interrupted after %v: %v", names, err)
		}
	}
	for i := range stages {
		stages[i].Checkpoint = dir
	}
	out, reports, err := distill.RunStages(context.Background(), m, stages)
	if err != nil {
		t.Fatal(err)
	}
	if reports[0].Resumed != 4 || reports[1].Resumed != 2 || out.Hash() != whole.Hash() {
		t.Errorf("resumed at %d and %d, want 4 and 2, and the same bytes", reports[0].Resumed, reports[1].Resumed)
	}
	if err := distill.RemoveCheckpoint(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("the checkpoints are still there")
	}
}

func TestStagesAreCheckedBeforeTheFirst(t *testing.T) {
	m := classifier(t, "1x16x2", 1)
	for want, change := range map[string]func(c *distill.Config){
		"batch 0":   func(c *distill.Config) { c.Batch = 0 },
		"positions": func(c *distill.Config) { c.MaxLength = 4096 },
	} {
		stages := twoStages(t)
		change(&stages[1])
		stages[0].Progress = func(distill.Progress) { t.Error("the first stage has begun") }
		_, _, err := distill.RunStages(context.Background(), m, stages)
		if err == nil || !strings.Contains(err.Error(), "stage 2") || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want it to speak of %q", err, want)
		}
	}
	if _, _, err := distill.RunStages(context.Background(), m, nil); err == nil {
		t.Error("no stages are accepted")
	}
}

// The first step of LAMB moves a matrix by the rate times its own norm.
func TestLAMBMovesMatricesByTheirNorm(t *testing.T) {
	m := classifier(t, "1x16x2", 1)
	c := everything(t)
	c.Loss, c.Steps, c.Dropout, c.Warmup, c.Optimizer = c.Loss[1:2], 1, 0, 0, distill.LAMB
	norm := func(x []float32) (sum float64) {
		for _, v := range x {
			sum += float64(v) * float64(v)
		}
		return math.Sqrt(sum)
	}
	before := map[string][]float32{}
	hold := c
	hold.LearningRate = 0
	hold.Hook = func(_ int, params []*distill.Param) {
		for _, p := range params {
			before[p.Name] = slices.Clone(p.Value)
		}
	}
	run(t, m, hold)
	seen := 0
	c.Hook = func(_ int, params []*distill.Param) {
		for _, p := range params {
			if !p.Decay || !strings.Contains(p.Name, "dense") {
				continue
			}
			seen++
			diff := slices.Clone(p.Value)
			for i := range diff {
				diff[i] -= before[p.Name][i]
			}
			if got, want := norm(diff), c.LearningRate*norm(before[p.Name]); math.Abs(got-want) > 1e-3*want {
				t.Errorf("%s moved by %v, want %v", p.Name, got, want)
			}
		}
	}
	run(t, m, c)
	if seen < 4 {
		t.Errorf("only %d matrices seen", seen)
	}
}
