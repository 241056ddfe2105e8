package prune_test

import (
	"testing"

	lexec "github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/ort"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

var tiny = student.Shape{Layers: 2, Hidden: 24, Heads: 3, FFN: 40, Vocab: 60, Positions: 20}

var (
	labels = []string{"no", "yes", "maybe"}
	tags   = []string{"NOUN", "VERB"}
)

// runtime runs the model in ONNX Runtime; the test is skipped without it.
func runtime(t *testing.T, m *onnx.Model, in map[string]*lexec.Tensor) map[string][]float32 {
	t.Helper()
	feed := map[string]ort.Tensor{}
	for name, x := range in {
		feed[name] = ort.Int64s(x.I64, x.Shape...)
	}
	out := map[string][]float32{}
	for name, x := range ort.RunModel(t, m, []map[string]ort.Tensor{feed})[0] {
		out[name] = x.F32
	}
	return out
}
