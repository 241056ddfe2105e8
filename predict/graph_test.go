package predict_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/litekit/lite/internal/modeltest"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/predict"
	"github.com/litekit/lite/quantize"
)

// A graph without config and tokenizer runs on tensors, from many goroutines and
// also in int8, and gives any value inside it.
func TestGraph(t *testing.T) {
	m := model(t, mood)
	int8, err := quantize.Default().Apply(context.Background(), m)
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]*onnx.Model{"float": m, "int8": int8} {
		m = m.Clone()
		m.Config, m.Files = nil, nil
		g, err := predict.NewGraph(m)
		if err != nil {
			t.Fatal(err)
		}
		if len(g.Inputs()) != 3 || g.Inputs()[0].Name != "input_ids" || len(g.Outputs()) != 1 || g.Outputs()[0].Name != "logits" {
			t.Errorf("%s: inputs %v, outputs %v", name, g.Inputs(), g.Outputs())
		}
		in := map[string]*predict.Tensor{
			"input_ids":      predict.Int64s([]int64{2, 5, 6, 3, 2, 9, 3, 0}, 2, 4),
			"attention_mask": predict.Int64s([]int64{1, 1, 1, 1, 1, 1, 1, 0}, 2, 4),
			"token_type_ids": predict.Int64s(make([]int64, 8), 2, 4),
		}
		want := modeltest.Run(t, m, in)["logits"].F32
		var wait sync.WaitGroup
		for range 4 {
			wait.Go(func() {
				out, err := g.Run(context.Background(), in)
				if err != nil || !slices.Equal(out["logits"].F32, want) || !slices.Equal(out["logits"].Shape, []int{2, 3}) {
					t.Errorf("%s: %v, %v; want %v", name, out, err, want)
				}
			})
		}
		wait.Wait()
		inner := m.Graph.Nodes[0].Outputs[0]
		if out, err := g.Run(context.Background(), in, inner); err != nil || len(out) != 1 || out[inner] == nil {
			t.Errorf("%s: the value %q: %v, %v", name, inner, out, err)
		}
		delete(in, "attention_mask")
		if _, err := g.Run(context.Background(), in); err == nil || !strings.Contains(err.Error(), `"attention_mask" is missing`) {
			t.Errorf("%s: an input left out: %v", name, err)
		}
		in["attention_mask"] = predict.Floats(make([]float32, 8), 2, 4)
		if _, err := g.Run(context.Background(), in); err == nil || !strings.Contains(err.Error(), "attention_mask") {
			t.Errorf("%s: an input of another type: %v", name, err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		in["attention_mask"] = predict.Int64s(make([]int64, 8), 2, 4)
		if _, err := g.Run(ctx, in); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: cancelled: %v", name, err)
		}
	}
	odd := m.Clone()
	odd.Graph.Nodes[len(odd.Graph.Nodes)-1].Op = "NoSuchOperator"
	for _, m := range []*onnx.Model{nil, {}, odd} {
		if _, err := predict.NewGraph(m); err == nil {
			t.Errorf("no error for %v", m)
		}
	}
}
