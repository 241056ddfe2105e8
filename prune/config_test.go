package prune_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/litekit/lite/internal/modeltest"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/prune"
)

func TestErrors(t *testing.T) {
	m := modeltest.New(t, tiny, 1)
	nan := given([][2]int{{3, 40}, {3, 40}}, nil, nil)
	nan.Scores.Heads[1][0] = float32(math.NaN())
	for want, c := range map[string]prune.Config{
		"unknown unit":        {Unit: "rows"},
		"sparsity 1;":         {Unit: prune.Heads, Sparsity: 1},
		"sparsity -0.1":       {Unit: prune.Heads, Sparsity: -0.1},
		"sparsity NaN":        {Unit: prune.Heads, Sparsity: math.NaN()},
		"unknown scope":       {Unit: prune.Heads, Scope: "row"},
		"for the unit w":      {Unit: prune.Heads, Pattern: prune.Pattern{N: 2, M: 4}},
		"pattern 4:4":         {Unit: prune.Weights, Pattern: prune.Pattern{N: 4, M: 4}},
		"sparsity of 0.5":     {Unit: prune.Weights, Pattern: prune.Pattern{N: 2, M: 4}, Sparsity: 0.25},
		"layers 0 to 1":       {Unit: prune.Layers, Drop: []int{2}},
		"at least one":        {Unit: prune.Layers, Drop: []int{0, 1}},
		"give one":            {Unit: prune.Layers, Drop: []int{0}, Sparsity: 0.5},
		"unit layers":         {Unit: prune.Heads, Drop: []int{0}},
		"must be at least 1":  {Unit: prune.Heads, MinHeads: -1},
		"of 1 layers":         {Unit: prune.Heads, Sparsity: 0.5, Criterion: given([][2]int{{3, 40}}, nil, nil)},
		"4 scores for the 3":  {Unit: prune.Heads, Sparsity: 0.5, Criterion: given([][2]int{{3, 40}, {4, 40}}, nil, nil)},
		"no number":           {Unit: prune.Heads, Sparsity: 0.5, Criterion: nan},
		"0 scores for the 5":  {Unit: prune.Weights, Sparsity: 0.5, Criterion: prune.Given{}},
		"no calibration data": {Unit: prune.Heads, Sparsity: 0.5, Criterion: prune.Activation{}},
		"compensation needs":  {Unit: prune.Heads, Sparsity: 0.5, Compensation: prune.MeanCompensation},
		"unknown compens":     {Unit: prune.Heads, Compensation: "most"},
	} {
		if _, err := c.Apply(context.Background(), m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v does not say %q", c, err, want)
		}
	}
	for want, m := range map[string]*onnx.Model{
		"no graph":   {},
		"no encoder": {Graph: &onnx.Graph{}},
	} {
		if _, err := (prune.Config{Unit: prune.Heads}).Apply(context.Background(), m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := (prune.Config{Unit: prune.Neurons, Sparsity: 0.5}).Apply(ctx, m); err == nil {
		t.Error("a cancelled pruning succeeded")
	}
	for _, s := range []string{"2", "4:2", "0:4", "2:4:8", "a:b"} {
		if _, err := prune.ParsePattern(s); err == nil {
			t.Errorf("pattern %q was accepted", s)
		}
	}
	if p, err := prune.ParsePattern("4:8"); err != nil || p != (prune.Pattern{N: 4, M: 8}) {
		t.Errorf("4:8 is %v, %v", p, err)
	}
}

func TestNewCriterion(t *testing.T) {
	for _, name := range prune.Criteria() {
		if c, err := prune.NewCriterion(name, 1, nil); err != nil || c.Name() != name {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
	if _, err := prune.NewCriterion("luck", 1, nil); err == nil || !strings.Contains(err.Error(), "magnitude, random") {
		t.Errorf("error %v does not list the criteria", err)
	}
}
