package exec_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/shared"
	"github.com/litekit/lite/onnx"
)

// golden is one output of ONNX Runtime; testdata/goldens.js says how it was made.
type golden struct {
	Model      string
	Vocab      int
	Batch, Seq int
	Output     string
	Dims       []int
	Step       int
	Values     []float64
}

// goldenFeed makes the inputs of a golden case.
func goldenFeed(s *exec.Session, vocab, batch, seq int) map[string]*exec.Tensor {
	n := batch * seq
	ids, mask, types := make([]int64, n), make([]int64, n), make([]int64, n)
	for i := range ids {
		b, p := i/seq, i%seq
		ids[i] = int64((i*7919 + 13) % vocab)
		if p < seq-(b*2)%seq {
			mask[i] = 1
		}
		if p*2 > seq {
			types[i] = 1
		}
	}
	all := map[string][]int64{"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
	feed := map[string]*exec.Tensor{}
	for _, in := range s.Inputs() {
		if v := all[in.Name]; v != nil {
			feed[in.Name] = exec.Int64s(v, batch, seq)
		}
	}
	return feed
}

func openModel(t testing.TB, file string) *onnx.Model {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(shared.Path(t, "models"), file))
	if err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newSession(t testing.TB, m *onnx.Model, opts exec.Options) *exec.Session {
	t.Helper()
	s, err := exec.New(m, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func run(t testing.TB, s *exec.Session, feed map[string]*exec.Tensor, outputs ...string) map[string]*exec.Tensor {
	t.Helper()
	out, err := s.Run(context.Background(), feed, outputs...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestGoldens compares fused and unfused runs with ONNX Runtime.
func TestGoldens(t *testing.T) {
	shared.Path(t, "models")
	data, err := os.ReadFile("testdata/goldens.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []golden }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	type key struct {
		model   string
		unfused bool
	}
	sessions := map[key]*exec.Session{}
	worst := map[key]float64{}
	for _, g := range file.Cases {
		for _, unfused := range []bool{false, true} {
			k := key{g.Model, unfused}
			if sessions[k] == nil {
				sessions[k] = newSession(t, openModel(t, g.Model), exec.Options{Unfused: unfused})
			}
			s := sessions[k]
			got := run(t, s, goldenFeed(s, g.Vocab, g.Batch, g.Seq))[g.Output]
			if got.Len() != product(g.Dims) {
				t.Fatalf("%s (%d,%d): %s has shape %v; want %v", g.Model, g.Batch, g.Seq, g.Output, got.Shape, g.Dims)
			}
			tolerance := 1e-4
			if strings.HasPrefix(g.Model, "peer-int8/") {
				// The integer products agree exactly, but a float that differs in its
				// last bit may round to the neighbouring uint8 in a later layer.
				tolerance = 1e-2
			}
			for i, want := range g.Values {
				d := math.Abs(float64(got.F32[i*g.Step]) - want)
				worst[k] = max(worst[k], d)
				if !(d <= tolerance) {
					t.Errorf("%s (%d,%d) unfused %v: element %d is %v; want %v", g.Model, g.Batch, g.Seq, unfused, i*g.Step, got.F32[i*g.Step], want)
					break
				}
			}
		}
	}
	for _, g := range file.Cases {
		if g.Batch == 1 && g.Seq == 1 {
			t.Logf("%s: largest difference fused %.2g, unfused %.2g", g.Model, worst[key{g.Model, false}], worst[key{g.Model, true}])
		}
	}
}

func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}
