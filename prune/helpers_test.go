package prune_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	lexec "github.com/litekit/lite/internal/exec"
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

// runtime runs the model in ONNX Runtime.
func runtime(t *testing.T, m *onnx.Model, in map[string]*lexec.Tensor) map[string][]float32 {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	script := shared(t, "peers", "ort-run.js")
	modules := os.Getenv("NODE_PATH")
	if modules == "" {
		modules = "/opt/peers/node_modules"
	}
	if _, err := os.Stat(filepath.Join(modules, "onnxruntime-node")); err != nil {
		t.Skip("onnxruntime-node is not installed; set NODE_PATH")
	}
	type tensor struct {
		Dims []int  `json:"dims"`
		Type string `json:"type"`
		Data any    `json:"data"`
	}
	feed := map[string]tensor{}
	for name, x := range in {
		feed[name] = tensor{x.Shape, "int64", x.I64}
	}
	dir := t.TempDir()
	raw, err := json.Marshal(feed)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "in.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := m.Save(filepath.Join(dir, "m.onnx")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(node, script, filepath.Join(dir, "m.onnx"), filepath.Join(dir, "in.json"), filepath.Join(dir, "out.json"))
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ONNX Runtime: %v\n%s", err, msg)
	}
	if raw, err = os.ReadFile(filepath.Join(dir, "out.json")); err != nil {
		t.Fatal(err)
	}
	var got map[string]struct {
		Data []*float32 `json:"data"`
	}
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	out := map[string][]float32{}
	for name, x := range got {
		v := make([]float32, len(x.Data))
		for i, p := range x.Data {
			v[i] = float32(math.NaN()) // JSON has null for NaN
			if p != nil {
				v[i] = *p
			}
		}
		out[name] = v
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
