package onnx_test

import (
	"slices"
	"testing"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
)

// TestEveryOperatorHasASchema: what package exec runs is known here, so that
// Check and Infer say what it would.
func TestEveryOperatorHasASchema(t *testing.T) {
	have, run := onnx.Schemas(), exec.Operators()
	if len(run) < 200 {
		t.Errorf("exec lists %d operators", len(run))
	}
	for _, op := range run {
		if !slices.Contains(have, op) {
			t.Errorf("%s runs and has no schema", op)
		}
	}
}
