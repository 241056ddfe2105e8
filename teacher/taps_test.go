package teacher_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/modeltest"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/teacher"
)

// padded is a batch of two sequences, the second of three tokens.
func padded() *corpus.Batch {
	return &corpus.Batch{B: 2, S: 6, R: 2, Index: []int{0, 1}, IDs: []int64{2, 5, 6, 7, 8, 3, 2, 9, 3, 0, 0, 0},
		Mask: []int64{1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0}, Types: make([]int64, 12), Rows: []int64{1, 7}}
}

// Values are those of the graph run node by node, and 0 on padding, in every
// spelling of an encoder and for models of any task.
func TestValues(t *testing.T) {
	shape := student.Shape{Layers: 2, Hidden: 32, Heads: 2, FFN: 64, Vocab: 30, Positions: 16}
	for _, head := range []student.Head{student.Classification([]string{"a", "b"}), student.MaskedLM(), student.NER([]string{"O", "B-X"})} {
		base := modeltest.New(t, shape, 1, head)
		for _, v := range append(modeltest.Variants(), modeltest.Variant{Name: "as it is", Make: func(_ testing.TB, m *onnx.Model) *onnx.Model { return m }}) {
			if v.Half || head.Kind == student.KindMaskedLM && v.Name != "as it is" { // spellings are of models without tied weights
				continue
			}
			m := v.Make(t, base)
			e, err := teacher.EncoderOf(m)
			if err != nil {
				t.Fatalf("%s: %v", v.Name, err)
			}
			names := []string{e.Embeddings}
			for _, l := range e.Layers {
				names = append(names, l.Hidden, l.Query, l.Key, l.Value)
			}
			if e.Width != 32 || e.EmbeddingWidth != 32 || len(e.Layers) != 2 || e.Layers[1].Heads != 2 || e.Layers[1].HeadDim != 16 {
				t.Errorf("%s: encoder %+v", v.Name, e)
			}
			taps, err := teacher.NewTaps(m, names)
			if err != nil {
				t.Fatalf("%s: %v", v.Name, err)
			}
			b := padded()
			got, err := taps.Values(context.Background(), b)
			if err != nil {
				t.Fatalf("%s: %v", v.Name, err)
			}
			if _, err := taps.Logits(context.Background(), b); err == nil {
				t.Errorf("%s: logits of taps", v.Name)
			}
			compareValues(t, v.Name, m, b, names, got)
		}
	}
}

func compareValues(t *testing.T, what string, m *onnx.Model, b *corpus.Batch, names []string, got map[string]teacher.Value) {
	t.Helper()
	s, err := exec.New(m, exec.Options{Unfused: true})
	if err != nil {
		t.Fatal(err)
	}
	var inputs []string
	for _, in := range s.Inputs() {
		inputs = append(inputs, in.Name)
	}
	want, err := s.Run(context.Background(), teacher.Feed(b, inputs), names...)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		g, w := got[name], want[name]
		if len(g.Shape) != 3 || g.Shape[0] != 2 || g.Shape[1] != 6 || len(g.Data) != len(w.F32) {
			t.Errorf("%s: %s has shape %v, want %v", what, name, g.Shape, w.Shape)
			continue
		}
		width := g.Shape[2]
		for r, real := range b.Mask {
			a := g.Data[r*width : (r+1)*width]
			if real != 0 {
				if err := modeltest.Near(a, w.F32[r*width:(r+1)*width], 1e-4); err != nil {
					t.Errorf("%s: %s, token %d: %v", what, name, r, err)
				}
			}
		}
	}
}

// One run gives logits and values, each as it is alone.
func TestLogitsAndValues(t *testing.T) {
	m := modeltest.New(t, student.Shape{Layers: 2, Hidden: 32, Heads: 2, FFN: 64, Vocab: 30, Positions: 16}, 1, student.MaskedLM())
	e, err := teacher.EncoderOf(m)
	if err != nil {
		t.Fatal(err)
	}
	name := e.Layers[1].Hidden
	both, err := teacher.New(m, teacher.Options{Taps: []string{name}})
	if err != nil {
		t.Fatal(err)
	}
	alone, err := teacher.New(m, teacher.Options{})
	if err != nil {
		t.Fatal(err)
	}
	logits, values, err := both.LogitsAndValues(context.Background(), padded())
	if err != nil {
		t.Fatal(err)
	}
	want, err := alone.Logits(context.Background(), padded())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(logits, want) || len(values[name].Data) != 2*6*32 {
		t.Errorf("%d logits, %d values", len(logits), len(values[name].Data))
	}
}

func TestTapsThatAreNotThere(t *testing.T) {
	m := modeltest.New(t, student.Shape{Layers: 1, Hidden: 32, Heads: 2, FFN: 64, Vocab: 30, Positions: 16}, 1, student.MaskedLM())
	e, err := teacher.EncoderOf(m)
	if err != nil {
		t.Fatal(err)
	}
	name := e.Layers[0].Hidden
	for wrong, want := range map[string]string{name + "_": name, strings.ToUpper(name): name, "zqzq": "nor one with a name like it"} {
		if _, err := teacher.NewTaps(m, []string{wrong}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v does not name %q", wrong, err, want)
		}
		if _, err := teacher.New(m, teacher.Options{Taps: []string{wrong}}); err == nil {
			t.Errorf("%q was accepted", wrong)
		}
	}
}
