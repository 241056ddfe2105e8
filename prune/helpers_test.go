package prune_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
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

func mustNew(t *testing.T, s student.Shape, seed uint64, heads ...student.Head) *onnx.Model {
	t.Helper()
	m, err := student.New(s, heads, seed)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// sharedDir is the folder of shared test material, "" where there is none.
func sharedDir() string {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "shared", "models")); err == nil {
			return filepath.Join(dir, "shared")
		}
		up := filepath.Dir(dir)
		if up == dir {
			break
		}
		dir = up
	}
	return ""
}

// shared finds the folder of shared test material beside the repository.
func shared(t *testing.T, parts ...string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		p := filepath.Join(append([]string{dir, "shared"}, parts...)...)
		if _, err := os.Stat(p); err == nil {
			return p
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Skipf("no shared/%s beside the repository", filepath.Join(parts...))
		}
		dir = up
	}
}

func open(t *testing.T, parts ...string) *onnx.Model {
	t.Helper()
	m, err := onnx.Open(shared(t, parts...))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// inputs makes token ids below vocab with the last row padded, fully if pad is 0 tokens.
func inputs(vocab, batch, seq, lastLen int) map[string]*lexec.Tensor {
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
	tensor := func(v []int64) *lexec.Tensor {
		return &lexec.Tensor{Type: onnx.Int64, Shape: []int{batch, seq}, I64: v}
	}
	return map[string]*lexec.Tensor{"input_ids": tensor(ids), "attention_mask": tensor(mask), "token_type_ids": tensor(types)}
}

func run(t *testing.T, m *onnx.Model, in map[string]*lexec.Tensor) map[string]*lexec.Tensor {
	t.Helper()
	s, err := lexec.New(m, lexec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Run(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

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

// near reports the first difference above tol.
func near(a, b []float32, tol float64) error {
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
