// Package modeltest is what tests of several rooms need to make models, run them
// and compare what they give. It is imported by black-box tests only.
package modeltest

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/ort"
	"github.com/litekit/lite/internal/shared"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// New is [student.New]; it fails the test where that fails.
func New(t testing.TB, s student.Shape, seed uint64, heads ...student.Head) *onnx.Model {
	t.Helper()
	m, err := student.New(s, heads, seed)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Open opens a model of the shared folder; the test is skipped where it is absent.
func Open(t testing.TB, parts ...string) *onnx.Model {
	t.Helper()
	m, err := onnx.Open(shared.Path(t, parts...))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Inputs makes the three inputs [batch, seq] of an encoder: token ids below
// vocab, the second half of each row of type 1, and the last row padded from its
// token lastLen on (throughout, if that is 0).
func Inputs(vocab, batch, seq, lastLen int) map[string]*exec.Tensor {
	r := rand.New(rand.NewPCG(7, 7))
	n := batch * seq
	ids, mask, types := make([]int64, n), make([]int64, n), make([]int64, n)
	for i := range ids {
		ids[i] = int64(r.IntN(vocab))
		mask[i] = 1
		if i%seq > seq/2 {
			types[i] = 1
		}
		if i/seq == batch-1 && i%seq >= lastLen {
			mask[i] = 0
		}
	}
	return map[string]*exec.Tensor{
		"input_ids":      exec.Int64s(ids, batch, seq),
		"attention_mask": exec.Int64s(mask, batch, seq),
		"token_type_ids": exec.Int64s(types, batch, seq),
	}
}

// Run runs the model once and returns all its outputs.
func Run(t testing.TB, m *onnx.Model, in map[string]*exec.Tensor) map[string]*exec.Tensor {
	t.Helper()
	s, err := exec.New(m, exec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Run(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// RunORT runs the model once in ONNX Runtime, on integer inputs, and returns its
// float outputs; the test is skipped without it.
func RunORT(t *testing.T, m *onnx.Model, in map[string]*exec.Tensor) map[string][]float32 {
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

// Near reports the first difference above tol, nil if there is none.
func Near(a, b []float32, tol float64) error {
	if len(a) != len(b) {
		return fmt.Errorf("%d values, want %d", len(a), len(b))
	}
	for i := range a {
		if d := math.Abs(float64(a[i]) - float64(b[i])); !(d <= tol) {
			return fmt.Errorf("element %d is %v, want %v", i, a[i], b[i])
		}
	}
	return nil
}
