package lite_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/litekit/lite"
	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/prune"
	"github.com/litekit/lite/quantize"
	"github.com/litekit/lite/student"
)

// The configurations of the rooms are steps.
var _ = []lite.Step{prune.Config{}, quantize.Config{}, eval.Gate{}}

func tiny(t interface{ Fatal(...any) }) *onnx.Model {
	m, err := student.New(student.Shape{Layers: 2, Hidden: 32, Heads: 4, Vocab: 50}, []student.Head{student.MaskedLM()}, 1)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func ExampleRun() {
	m, err := student.New(student.Shape{Layers: 2, Hidden: 32, Heads: 4, Vocab: 50}, []student.Head{student.MaskedLM()}, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	small, err := lite.Run(context.Background(), m,
		prune.Config{Unit: prune.HeadsAndNeurons, Sparsity: 0.25},
		quantize.Default(),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Config.IntermediateSize, "neurons, then", small.Config.IntermediateSize)
	// Output: 128 neurons, then 96
}

// fake is a step that returns what it is told to.
type fake struct {
	name string
	out  *onnx.Model
	err  error
	ran  *[]string
}

func (f fake) Name() string { return f.name }

func (f fake) Apply(context.Context, *onnx.Model) (*onnx.Model, error) {
	*f.ran = append(*f.ran, f.name)
	return f.out, f.err
}

func TestRunErrors(t *testing.T) {
	m := tiny(t)
	best := m.Clone()
	missed := &eval.BudgetError{What: "x", Metric: "accuracy", Budget: eval.Absolute(0.1)}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	var ran []string
	for _, tc := range []struct {
		name  string
		ctx   context.Context
		m     *onnx.Model
		steps []lite.Step
		is    error
		says  string
		out   *onnx.Model
		ran   string
	}{
		{"no steps", context.Background(), m, nil, nil, "", m, ""},
		{"no model", context.Background(), nil, nil, nil, "onnx.Open", nil, ""},
		{"fails in the middle", context.Background(), m, []lite.Step{fake{"a", m, nil, &ran}, fake{"b", nil, errors.ErrUnsupported, &ran}, fake{"c", m, nil, &ran}}, errors.ErrUnsupported, "step 2 (b)", nil, "a b"},
		{"keeps the best model of a missed budget", context.Background(), m, []lite.Step{fake{"a", best, missed, &ran}, fake{"b", m, nil, &ran}}, eval.ErrBudget, "step 1 (a)", best, "a"},
		{"refuses a nil result", context.Background(), m, []lite.Step{fake{"a", nil, nil, &ran}}, nil, "no model", nil, "a"},
		{"does not start when the context has ended", ended, m, []lite.Step{fake{"a", m, nil, &ran}}, context.Canceled, "before step 1 (a)", nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ran = nil
			out, err := lite.Run(tc.ctx, tc.m, tc.steps...)
			if tc.says == "" && err != nil || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("error %v, want one with %q", err, tc.says)
			}
			if tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("error %v does not wrap %v", err, tc.is)
			}
			if out != tc.out {
				t.Errorf("model %p, want %p", out, tc.out)
			}
			if got := strings.Join(ran, " "); got != tc.ran {
				t.Errorf("ran %q, want %q", got, tc.ran)
			}
		})
	}
}
