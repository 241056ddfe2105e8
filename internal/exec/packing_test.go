package exec_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/shared"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/quantize"
	"github.com/litekit/lite/student"
)

// paddings are attention masks [4, 9].
var paddings = map[string][]int64{
	"none":  lengthsMask(9, 9, 9, 9),
	"right": lengthsMask(9, 1, 4, 6),
	"left":  reversed(lengthsMask(3, 9, 5, 1)),
	"holes": {1, 0, 1, 1, 0, 0, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0},
	"empty": lengthsMask(9, 0, 4, 6), // one sequence is padding throughout
}

func lengthsMask(lengths ...int) []int64 {
	var out []int64
	for _, n := range lengths {
		for i := range 9 {
			out = append(out, map[bool]int64{true: 1}[i < n])
		}
	}
	return out
}

func reversed(m []int64) []int64 {
	m = slices.Clone(m)
	slices.Reverse(m)
	return m
}

func paddedFeed(s *exec.Session, mask []int64) map[string]*exec.Tensor {
	feed := map[string]*exec.Tensor{}
	for _, in := range s.Inputs() {
		v := make([]int64, 36)
		shape := []int{4, 9}
		for i := range v {
			switch {
			case strings.Contains(in.Name, "mask"):
				v[i] = mask[i]
			case in.Name == "rows":
			case strings.Contains(in.Name, "type"):
				v[i] = int64(i % 2)
			default:
				v[i] = int64(i*7+3) % 50
			}
		}
		if in.Name == "rows" {
			v, shape = []int64{0, 35, 12, 0, 20, 7}, []int{6}
		}
		feed[in.Name] = exec.Int64s(v, shape...)
	}
	return feed
}

// packable lists models with one, with several and without heads.
func packable(t *testing.T) map[string]*onnx.Model {
	t.Helper()
	out := map[string]*onnx.Model{}
	for name, heads := range map[string][]student.Head{
		"hidden":     nil,
		"classifier": {student.Classification([]string{"a", "b", "c"})},
		"several":    {student.MaskedLM(), student.POS([]string{"x", "y"}), student.SentenceOrder()},
	} {
		m, err := student.New(student.Shape{Layers: 2, Hidden: 24, Heads: 3, FFN: 40, Vocab: 50, Positions: 16}, heads, 5)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = m
	}
	m, err := student.New(student.Shape{Layers: 2, Hidden: 24, Embedding: 10, Heads: 3, FFN: 40, Vocab: 50, Positions: 16, Decoder: student.Untied}, []student.Head{student.Classification([]string{"a", "b"}), student.MaskedLM()}, 5)
	if err != nil {
		t.Fatal(err)
	}
	out["factorised"] = m
	return out
}

// TestSkipPadding compares sessions that leave padding out with those that do
// not: rows of tokens have the same bits, those of padding are 0.
func TestSkipPadding(t *testing.T) {
	for name, m := range packable(t) {
		for pad, mask := range paddings {
			t.Run(name+"/"+pad, func(t *testing.T) {
				want, got := runPadded(t, m, mask, exec.Options{}), runPadded(t, m, mask, exec.Options{SkipPadding: true})
				apart := pad == "holes" || pad == "left" // hidden keys lie among those that are seen
				packed := pad != "none" && pad != "empty"
				for out, w := range want {
					g := got[out]
					if !slices.Equal(w.Shape, g.Shape) {
						t.Fatalf("%s has shape %v, want %v", out, g.Shape, w.Shape)
					}
					if len(w.Shape) != 3 {
						compareRow(t, out, 0, w.F32, g.F32, false, apart)
						continue
					}
					n := w.Shape[2]
					for i := range mask {
						compareRow(t, out, i, w.F32[i*n:(i+1)*n], g.F32[i*n:(i+1)*n], packed && mask[i] == 0, apart)
					}
				}
			})
		}
	}
}

// compareRow wants the same bits or, apart, what another order of a sum may change.
func compareRow(t *testing.T, out string, row int, want, got []float32, zero, apart bool) {
	t.Helper()
	for j := range want {
		w := want[j]
		if zero {
			w = 0
		}
		if math.Float32bits(got[j]) != math.Float32bits(w) && !(apart && math.Abs(float64(got[j]-w)) < 1e-5) {
			t.Fatalf("%s: element %d of row %d is %v, want %v", out, j, row, got[j], w)
		}
	}
}

// runPadded runs a model and leaves out what is read off a padding token.
func runPadded(t *testing.T, m *onnx.Model, mask []int64, o exec.Options) map[string]*exec.Tensor {
	t.Helper()
	s, err := exec.New(m, o)
	if err != nil {
		t.Fatal(err)
	}
	feed := paddedFeed(s, mask)
	var out map[string]*exec.Tensor
	for range 3 { // memory is laid out anew from the second run on
		if out, err = s.Run(context.Background(), feed); err != nil {
			t.Fatal(err)
		}
	}
	if mask[0]*mask[9]*mask[18]*mask[27] == 0 {
		for name, v := range out {
			if len(v.Shape) == 2 {
				delete(out, name)
			}
		}
	}
	return out
}

// TestSkipPaddingRows selects rows of a padded batch.
func TestSkipPaddingRows(t *testing.T) {
	m := packable(t)["several"]
	mask := paddings["right"]
	rows := []int64{0, 35, 12, 0, 20, 7}
	want := runPadded(t, m, mask, exec.Options{Rows: []string{"logits", "pos_logits"}})
	got := runPadded(t, m, mask, exec.Options{Rows: []string{"logits", "pos_logits"}, SkipPadding: true})
	for _, out := range []string{"logits", "pos_logits"} {
		w, g := want[out], got[out]
		n := w.Shape[1]
		for i, r := range rows {
			if mask[r] == 1 {
				compareRow(t, out, i, w.F32[i*n:(i+1)*n], g.F32[i*n:(i+1)*n], false, false)
			}
		}
	}
}

// TestSkipPaddingValues asks for values inside: they are the same too.
func TestSkipPaddingValues(t *testing.T) {
	m := packable(t)["classifier"]
	mask := paddings["holes"]
	full, err := exec.New(m, exec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	short, err := exec.New(m, exec.Options{SkipPadding: true})
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, n := range m.Graph.Nodes {
		for _, name := range n.Outputs {
			if !full.Has(name) {
				continue
			}
			if !short.Has(name) {
				t.Fatalf("value %s is gone", name)
			}
			a, err := full.Run(context.Background(), paddedFeed(full, mask), name)
			if err != nil {
				t.Fatal(err)
			}
			b, err := short.Run(context.Background(), paddedFeed(short, mask), name)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			w, g := a[name], b[name]
			if len(w.Shape) != 3 || w.Type != onnx.Float || w.Shape[0] != 4 || w.Shape[1] != 9 {
				continue
			}
			compared++
			for i := range mask {
				if k := w.Shape[2]; mask[i] == 1 {
					compareRow(t, name, i, w.F32[i*k:(i+1)*k], g.F32[i*k:(i+1)*k], false, true)
				}
			}
		}
	}
	if compared < 10 {
		t.Errorf("only %d values compared", compared)
	}
}

// TestSkipPaddingInt8 holds int8 models to what they answer without padding at
// all, which their ranges then are those of.
func TestSkipPaddingInt8(t *testing.T) {
	m := packable(t)["hidden"]
	c := quantize.Default()
	c.Mode = quantize.Dynamic
	q, _, err := quantize.Run(context.Background(), m, c)
	if err != nil {
		t.Fatal(err)
	}
	mask := lengthsMask(5, 5, 5, 5)
	got := runPadded(t, q, mask, exec.Options{SkipPadding: true})["last_hidden_state"]
	s, err := exec.New(q, exec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	feed := paddedFeed(s, mask)
	for name, v := range feed {
		var cut []int64
		for b := range 4 {
			cut = append(cut, v.I64[b*9:b*9+5]...)
		}
		feed[name] = exec.Int64s(cut, 4, 5)
	}
	out, err := s.Run(context.Background(), feed)
	if err != nil {
		t.Fatal(err)
	}
	want := out["last_hidden_state"]
	for b := range 4 {
		for i := range 5 {
			compareRow(t, "last_hidden_state", b*9+i, want.F32[(b*5+i)*24:][:24], got.F32[(b*9+i)*24:][:24], false, false)
		}
	}
}

// TestSkipPaddingModels runs the models of other exporters.
func TestSkipPaddingModels(t *testing.T) {
	dir := shared.Path(t, "models")
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.onnx"))
	if err != nil || len(files) == 0 {
		t.Skipf("no models in %s", dir)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Size() > 64<<20 {
			continue
		}
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			m, err := onnx.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			for pad, mask := range paddings {
				want, got := runPadded(t, m, mask, exec.Options{}), runPadded(t, m, mask, exec.Options{SkipPadding: true})
				for out, w := range want {
					tolerance := 1e-5
					if strings.Contains(file, "int8") {
						tolerance = 0.15 // of dynamic ranges
					}
					if err := closeRows(w, got[out], mask, tolerance); err != nil {
						t.Errorf("%s: %s: %v", pad, out, err)
					}
				}
			}
		})
	}
}

func closeRows(want, got *exec.Tensor, mask []int64, tolerance float64) error {
	n := want.Shape[len(want.Shape)-1]
	for i := range want.F32 {
		if len(want.Shape) == 3 && mask[i/n] == 0 {
			continue
		}
		if d := math.Abs(float64(want.F32[i] - got.F32[i])); !(d <= tolerance) {
			return fmt.Errorf("element %d is %v, want %v", i, got.F32[i], want.F32[i])
		}
	}
	return nil
}
