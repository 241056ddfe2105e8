package student_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/internal/modeltest"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// rescaled multiplies elements of a weight [rows,cols] by what f says.
func rescaled(t *testing.T, m *onnx.Model, name string, f func(row, col int) float32) {
	t.Helper()
	w := m.Graph.Initializer(name)
	v, err := w.Floats()
	if err != nil {
		t.Fatal(err)
	}
	v = slices.Clone(v)
	cols := int(w.Dims[len(w.Dims)-1])
	for i := range v {
		v[i] *= f(i/cols, i%cols)
	}
	m.Graph.SetInitializer(onnx.NewFloats(name, v, w.Dims...))
}

func weights(t *testing.T, m *onnx.Model, name string) []float32 {
	t.Helper()
	w, _, err := student.Weights(m)
	if err != nil {
		t.Fatal(err)
	}
	v, err := w[name].Floats()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// A narrow copy of equal sizes is the copy.
func TestNarrowCopyOfEqualSizes(t *testing.T) {
	src := modeltest.New(t, tiny, 1, student.MaskedLM())
	dst := modeltest.New(t, tiny, 2, student.MaskedLM())
	want, _, err := student.CopyReport(dst, src, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, rep, err := student.CopyNarrow(dst, src, nil)
	if err != nil || got.Hash() != want.Hash() || len(rep.Narrowed)+len(rep.Fresh) > 0 {
		t.Errorf("%+v, %v", rep, err)
	}
}

// Neurons that do nothing go, and the model answers as before.
func TestNarrowCopyWithoutIdleNeurons(t *testing.T) {
	src := modeltest.New(t, tiny, 1, student.Classification(labels))
	for _, layer := range []string{"0", "1"} {
		rescaled(t, src, "bert.encoder.layer."+layer+".output.dense.weight", func(row, _ int) float32 {
			if row%4 == 1 {
				return 0
			}
			return 1
		})
	}
	shape := tiny
	shape.FFN = 30
	got, rep, err := student.CopyNarrow(modeltest.New(t, shape, 2, student.Classification(labels)), src, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Fresh) > 0 || len(rep.Narrowed) != 2*3 {
		t.Errorf("fresh %v, narrowed %v", rep.Fresh, rep.Narrowed)
	}
	in := modeltest.Inputs(shape.Vocab, 2, 9, 4)
	if err := modeltest.Near(modeltest.Run(t, got, in)["logits"].F32, modeltest.Run(t, src, in)["logits"].F32, 1e-5); err != nil {
		t.Error(err)
	}
}

// Hidden values, heads and the values of heads that are kept are the greatest, and
// the same ones wherever they occur.
func TestNarrowCopyKeepsTheGreatest(t *testing.T) {
	src := modeltest.New(t, tiny, 1, student.Classification(labels))
	for _, w := range src.Graph.Initializers {
		name := w.Name
		even := func(_, col int) float32 { return float32(2 - col%2) }
		if strings.HasSuffix(name, "LayerNorm.weight") {
			rescaled(t, src, name, even)
		}
		switch {
		case strings.HasSuffix(name, "query.weight"):
			rescaled(t, src, name, func(_, col int) float32 { return float32(1 + 99*(col%8/4)) }) // the last four of each head
		case strings.HasSuffix(name, "value.weight"):
			rescaled(t, src, name, func(_, col int) float32 { // not the second head; the first four of the others
				if col/8 == 1 {
					return 1e-3
				}
				return float32(100 - 99*(col%8/4))
			})
		}
	}
	shape := tiny
	shape.Hidden, shape.Heads, shape.FFN = 8, 2, 16
	got, rep, err := student.CopyNarrow(modeltest.New(t, shape, 2, student.Classification(labels)), src, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Fresh) > 0 {
		t.Errorf("fresh %v", rep.Fresh)
	}
	hidden := func(i int) int { return 2 * i } // the first eight of equal ones
	query := func(j int) int { return []int{0, 16}[j/4] + 4 + j%4 }
	value := func(j int) int { return []int{0, 16}[j/4] + j%4 }
	const layer = "bert.encoder.layer.1.attention."
	scale := float32(math.Sqrt(0.5))
	for _, c := range []struct {
		name     string
		row, col func(int) int
		scale    float32
	}{
		{"bert.embeddings.word_embeddings.weight", func(i int) int { return i }, hidden, 1},
		{layer + "self.query.weight", hidden, query, scale},
		{layer + "self.key.weight", hidden, query, 1},
		{layer + "self.value.weight", hidden, value, 1},
		{layer + "output.dense.weight", value, hidden, 1},
		{"bert.pooler.dense.weight", hidden, hidden, 1},
		{"classifier.weight", hidden, func(i int) int { return i }, 1},
	} {
		a, b := weights(t, got, c.name), weights(t, src, c.name)
		w := got.Graph.Initializer(c.name)
		cols, all := int(w.Dims[1]), int(src.Graph.Initializer(c.name).Dims[1])
		for i, v := range a {
			if want := c.scale * b[c.row(i/cols)*all+c.col(i%cols)]; v != want {
				t.Fatalf("%s: element %d,%d is %v, want %v", c.name, i/cols, i%cols, v, want)
			}
		}
	}
}

func TestNarrowCopiesThatCannotBe(t *testing.T) {
	src := modeltest.New(t, tiny, 1, student.MaskedLM())
	wider := tiny
	wider.Hidden, wider.Heads = 48, 6
	if _, _, err := student.CopyNarrow(modeltest.New(t, wider, 1, student.MaskedLM()), src, nil); err == nil || !strings.Contains(err.Error(), "only be narrower") {
		t.Errorf("a wider student: %v", err)
	}
	// Fewer heads that are wider than the source's stay fresh, the rest does not.
	other := tiny
	other.Hidden, other.Heads, other.FFN = 20, 2, 80
	_, rep, err := student.CopyNarrow(modeltest.New(t, other, 1, student.MaskedLM()), src, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range rep.Fresh {
		if !strings.Contains(k.Name, "attention") && !strings.Contains(k.Name, "dense") {
			t.Errorf("%s is fresh: %s", k.Name, k.Reason)
		}
	}
	if len(rep.Fresh) == 0 || !slices.Contains(rep.Narrowed, "bert.embeddings.word_embeddings.weight") {
		t.Errorf("%+v", rep)
	}
}
