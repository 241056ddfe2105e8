package student_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/internal/modeltest"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// factorised is a shape with embeddings of width e.
func factorised(e int, decoder string) student.Shape {
	s := tiny
	s.Embedding, s.Decoder = e, decoder
	return s
}

func TestFactorisedStudentsCheckAndRun(t *testing.T) {
	in := modeltest.Inputs(60, 3, 11, 4)
	for _, shape := range []student.Shape{factorised(8, ""), factorised(40, student.Untied), factorised(0, student.Untied)} {
		for name, heads := range headSets {
			t.Run(shape.String()+"/"+name, func(t *testing.T) {
				m := modeltest.New(t, shape, 1, heads...)
				if err := m.Check(); err != nil {
					t.Fatal(err)
				}
				mlm := slices.ContainsFunc(heads, func(h student.Head) bool { return h.Kind == student.KindMaskedLM })
				measured, err := student.Measure(m)
				if err != nil || measured != shape.Defaults() {
					t.Errorf("measured %v, want %v (%v)", measured, shape.Defaults(), err)
				}
				e, v, h := int64(shape.EmbeddingWidth()), int64(shape.Vocab), int64(shape.Hidden)
				if encoder := count(modeltest.New(t, shape, 1)); encoder != shape.Defaults().Params() {
					t.Errorf("%d parameters, the formula gives %d", encoder, shape.Defaults().Params())
				}
				if name == "mlm" {
					want := shape.Defaults().Params() + h*e + e + 2*e + v
					if shape.Decoder == student.Untied {
						want += v * e
					}
					if got := count(m); got != want {
						t.Errorf("%d parameters with the masked LM, want %d", got, want)
					}
				}
				if name == "all" {
					got, want := modeltest.Run(t, m, in), modeltest.RunORT(t, m, in)
					for _, o := range m.Graph.Outputs {
						if err := modeltest.Near(got[o.Name].F32, want[o.Name], 1e-5); err != nil {
							t.Errorf("%s differs from ONNX Runtime: %v", o.Name, err)
						}
					}
				}
				w, _, err := student.Weights(m)
				if err != nil {
					t.Fatal(err)
				}
				if own := w["cls.predictions.decoder.weight"] != nil; own != (mlm && shape.Decoder == student.Untied) {
					t.Errorf("a decoder of its own: %v", own)
				}
				// Copied into its like it is its like.
				again, rep, err := student.CopyReport(modeltest.New(t, shape, 2, heads...), m, nil)
				if err != nil || again.Hash() != m.Hash() {
					t.Errorf("copied: %v, fresh %v", err, rep.Fresh)
				}
			})
		}
	}
}

func TestConfigOfFactorisedStudents(t *testing.T) {
	for _, c := range []struct {
		shape            student.Shape
		head             student.Head
		kind, class, tie string
		embedding        int
	}{
		{tiny, student.MaskedLM(), "bert", "BertForMaskedLM", "", 0},
		{factorised(8, ""), student.MaskedLM(), "electra", "ElectraForMaskedLM", "", 8},
		{factorised(8, student.Untied), student.NER(ents), "electra", "ElectraForTokenClassification", "false", 8},
		{factorised(24, student.Untied), student.Classification(labels), "bert", "BertForSequenceClassification", "false", 0},
		{factorised(8, student.Tied), student.SentenceOrder(), "electra", "ElectraModel", "", 8},
		{factorised(8, student.Tied), student.Embedding(student.Vector{}), "electra", "ElectraModel", "", 8},
	} {
		m := modeltest.New(t, c.shape, 1, c.head)
		got := m.Config
		if got.ModelType != c.kind || got.Architectures[0] != c.class || got.EmbeddingSize != c.embedding || string(got.Extra["tie_word_embeddings"]) != c.tie {
			t.Errorf("%v: %+v", c.shape, got)
		}
		dir := t.TempDir() + "/model"
		if err := m.Save(dir); err != nil {
			t.Fatal(err)
		}
		back, err := onnx.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if shape := student.ShapeOf(back.Config); shape != c.shape.Defaults() {
			t.Errorf("read back %v, want %v", shape, c.shape.Defaults())
		}
		if heads, err := student.HeadsOf(back.Config); err != nil || len(heads) != 1 || heads[0].Kind != c.head.Kind {
			t.Errorf("heads %v, %v", heads, err)
		}
	}
}

// An untied decoder that equals the table is one of its own if config.json says so.
func TestEqualDecoders(t *testing.T) {
	m := modeltest.New(t, factorised(8, student.Untied), 1, student.MaskedLM())
	word := m.Graph.Initializer("bert.embeddings.word_embeddings.weight")
	v, err := word.Floats()
	if err != nil {
		t.Fatal(err)
	}
	flip := make([]float32, len(v))
	for i, x := range v {
		flip[i%8*60+i/8] = x
	}
	m.Graph.SetInitializer(onnx.NewFloats("cls.predictions.decoder.weight", flip, 8, 60))
	if s, err := student.Measure(m); err != nil || s.Decoder != student.Untied {
		t.Errorf("%v, %v: config.json says untied", s, err)
	}
	m.Config = nil
	if s, err := student.Measure(m); err != nil || s.Decoder != "" {
		t.Errorf("%v, %v: nothing says untied", s, err)
	}
}

func TestHeadsOnFactorisedStudents(t *testing.T) {
	m := modeltest.New(t, factorised(8, student.Untied), 1, student.MaskedLM())
	more, err := student.WithHeads(m, headSets["pretraining"], 3)
	if err != nil {
		t.Fatal(err)
	}
	want := modeltest.New(t, factorised(8, student.Untied), 3, headSets["pretraining"]...)
	for _, w := range want.Graph.Initializers {
		got := more.Graph.Initializer(w.Name)
		if got == nil || !slices.Equal(got.Dims, w.Dims) {
			t.Errorf("%s: %v, want %v", w.Name, got, w.Dims)
		}
	}
	in := modeltest.Inputs(60, 2, 7, 3)
	if err := modeltest.Near(modeltest.Run(t, more, in)["logits"].F32, modeltest.Run(t, m, in)["logits"].F32, 0); err != nil {
		t.Errorf("the masked LM answers otherwise under further heads: %v", err)
	}
	class, err := student.WithHeads(m, headSets["classification"], 3)
	if err != nil {
		t.Fatal(err)
	}
	if got := class.Config.Architectures[0]; got != "ElectraForSequenceClassification" {
		t.Errorf("architecture %s", got)
	}
	if s, err := student.Measure(class); err != nil || s != factorised(8, student.Untied).Defaults() {
		t.Errorf("shape %v, %v", s, err)
	}
}

// ofRank gives a model tables whose sums, without their mean, have rank r, and
// LayerNorms that are not the identity.
func ofRank(t *testing.T, m *onnx.Model, r int) {
	t.Helper()
	for i, name := range []string{"word", "position", "token_type"} {
		name = "bert.embeddings." + name + "_embeddings.weight"
		w := m.Graph.Initializer(name)
		v := make([]float32, w.Len())
		h := int(w.Dims[1])
		for row := range int(w.Dims[0]) {
			for k := range r {
				a := math.Sin(float64(3*row*row + 7*k + i))
				for j := range h {
					v[row*h+j] += float32(a * math.Cos(float64(k*j+k*k+j)))
				}
			}
		}
		m.Graph.SetInitializer(onnx.NewFloats(name, v, w.Dims...))
	}
	beta := m.Graph.Initializer("bert.embeddings.LayerNorm.bias")
	v := make([]float32, beta.Len())
	for i := range v {
		v[i] = float32(i%5) / 3
	}
	m.Graph.SetInitializer(onnx.NewFloats(beta.Name, v, beta.Dims...))
}

// Embeddings of low rank are factored without loss: the encoder answers as before.
func TestFactoringOfLowRank(t *testing.T) {
	src := modeltest.New(t, tiny, 1, student.Classification(labels))
	ofRank(t, src, 6)
	in := modeltest.Inputs(60, 2, 9, 5)
	want := modeltest.Run(t, src, in)["logits"].F32
	for _, e := range []int{8, 40} {
		shape := factorised(e, "")
		dst := modeltest.New(t, shape, 2, student.Classification(labels))
		got, rep, err := student.CopyReport(dst, src, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(rep.Factored) != 7 || len(rep.Fresh) > 0 || math.Abs(rep.Energy-1) > 1e-6 {
			t.Errorf("factored %v with %v of the energy, fresh %v", rep.Factored, rep.Energy, rep.Fresh)
		}
		if err := modeltest.Near(modeltest.Run(t, got, in)["logits"].F32, want, 2e-4); err != nil {
			t.Errorf("E=%d: %v", e, err)
		}
		// From factorised embeddings to others, and narrower: the hidden values that
		// are kept are those of the source.
		other := factorised(12, "")
		again, rep, err := student.CopyReport(modeltest.New(t, other, 3, student.Classification(labels)), got, nil)
		if err != nil || len(rep.Factored) != 7 {
			t.Fatalf("%v, %+v", err, rep)
		}
		if err := modeltest.Near(modeltest.Run(t, again, in)["logits"].F32, want, 5e-4); err != nil {
			t.Errorf("E=%d→12: %v", e, err)
		}
	}
}

// What the first layer of a narrower student reads are the source's values.
func TestNarrowFactoring(t *testing.T) {
	src := modeltest.New(t, tiny, 1, student.MaskedLM())
	ofRank(t, src, 6)
	in := modeltest.Inputs(60, 2, 9, 9)
	first := func(m *onnx.Model) []float32 {
		e, err := fuse.Detect(m)
		if err != nil {
			t.Fatal(err)
		}
		c := m.Clone()
		c.Graph.Outputs = []*onnx.ValueInfo{{Name: e.Layers[0].Input, Type: onnx.Float}}
		c.Graph.Prune()
		return modeltest.Run(t, c, in)[e.Layers[0].Input].F32
	}
	all := first(src)
	wide := modeltest.New(t, factorised(40, ""), 1, student.MaskedLM())
	wide, _, err := student.CopyReport(wide, src, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		src   *onnx.Model
		e     int
		exact bool // otherwise lengths are right in the mean only
	}{{src, 10, false}, {src, 24, true}, {wide, 40, true}, {wide, 12, false}} {
		shape := factorised(c.e, "")
		shape.Hidden, shape.Heads = 16, 2
		got, rep, err := student.CopyNarrow(modeltest.New(t, shape, 2, student.MaskedLM()), c.src, nil)
		if err != nil {
			t.Fatal(err)
		}
		values := first(got)
		kept := keptHidden(t, c.src, 16)
		offset := weights(t, got, "bert.embeddings_project.bias")
		for row := range len(values) / 16 {
			var ab, aa, bb float64
			for i := range 16 {
				v, want := values[row*16+i], all[row*24+kept[i]]
				if c.exact && math.Abs(float64(v-want)) > 2e-4 {
					t.Fatalf("E=%d: value %d of token %d is %v, want %v (%+v)", c.e, i, row, v, want, rep)
				}
				a, b := float64(v-offset[i]), float64(want-offset[i])
				ab, aa, bb = ab+a*b, aa+a*a, bb+b*b
			}
			if cos := ab / math.Sqrt(aa*bb); cos < 0.99999 {
				t.Fatalf("E=%d: token %d has the direction of the source's by %v only", c.e, row, cos)
			}
		}
		for _, k := range rep.Fresh {
			if !strings.HasPrefix(k.Name, "cls.predictions.transform") {
				t.Errorf("E=%d: %s is fresh: %s", c.e, k.Name, k.Reason)
			}
		}
	}
}

// keptHidden are the places of the greatest sums of γ² + β² over the LayerNorms
// of the width of the hidden states.
func keptHidden(t *testing.T, m *onnx.Model, n int) []int {
	t.Helper()
	scores := make([]float64, 24)
	for _, w := range m.Graph.Initializers {
		if !strings.Contains(w.Name, "LayerNorm") || strings.HasPrefix(w.Name, "cls.") || w.Len() != 24 {
			continue
		}
		v, err := w.Floats()
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range v {
			scores[i] += float64(x) * float64(x)
		}
	}
	order := make([]int, 24)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case scores[a] > scores[b]:
			return -1
		case scores[a] < scores[b]:
			return 1
		}
		return 0
	})
	order = order[:n]
	slices.Sort(order)
	return order
}

// An untied decoder starts as the table that the student starts with.
func TestUntiedDecodersStartAsTheTable(t *testing.T) {
	src := modeltest.New(t, tiny, 1, student.MaskedLM())
	for _, e := range []int{0, 8} {
		got, rep, err := student.CopyReport(modeltest.New(t, factorised(e, student.Untied), 2, student.MaskedLM()), src, nil)
		if err != nil {
			t.Fatal(err)
		}
		word, decoder := weights(t, got, "bert.embeddings.word_embeddings.weight"), weights(t, got, "cls.predictions.decoder.weight")
		width := len(word) / 60
		for i, x := range word {
			if decoder[i%width*60+i/width] != x {
				t.Fatalf("E=%d: element %d of the decoder is not the table's", e, i)
			}
		}
		if e == 0 {
			if len(rep.Fresh) > 0 {
				t.Errorf("fresh %v", rep.Fresh)
			}
			in := modeltest.Inputs(60, 2, 9, 5)
			if err := modeltest.Near(modeltest.Run(t, got, in)["logits"].F32, modeltest.Run(t, src, in)["logits"].F32, 1e-6); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestCopiesThatAreNotFactored(t *testing.T) {
	src := modeltest.New(t, tiny, 1, student.MaskedLM())
	other := factorised(8, "")
	other.Vocab = 70
	_, rep, err := student.CopyReport(modeltest.New(t, other, 2, student.MaskedLM()), src, nil)
	if err != nil || len(rep.Factored) > 0 || rep.Energy != 0 {
		t.Errorf("another vocabulary: %+v, %v", rep, err)
	}
	// Tables of the source's width are copied whole, whatever the hidden size is.
	wide := factorised(24, "")
	wide.Hidden, wide.Heads = 48, 6
	_, rep, err = student.CopyReport(modeltest.New(t, wide, 2, student.MaskedLM()), src, nil)
	if err != nil || len(rep.Factored) > 0 || !slices.Contains(rep.Copied, "bert.embeddings.word_embeddings.weight") {
		t.Errorf("tables of the source's width: %+v, %v", rep, err)
	}
	bad := src.Clone()
	w := bad.Graph.Initializer("bert.embeddings.word_embeddings.weight")
	v := make([]float32, w.Len())
	for i := range v {
		v[i] = float32(math.NaN())
	}
	bad.Graph.SetInitializer(onnx.NewFloats(w.Name, v, w.Dims...))
	if _, _, err = student.CopyReport(modeltest.New(t, factorised(8, ""), 2, student.MaskedLM()), bad, nil); err == nil || !strings.Contains(err.Error(), "finite") {
		t.Errorf("a table that is not finite: %v", err)
	}
}

// An encoder whose layers share their weights, as ALBERT's do, behind factorised
// embeddings: its layers become layers of their own, and the answers stay.
func TestCopyOfSharedLayers(t *testing.T) {
	src := modeltest.New(t, factorised(8, ""), 1, student.MaskedLM())
	for _, n := range src.Graph.Nodes {
		for i, in := range n.Inputs {
			if rest, ok := strings.CutPrefix(in, "bert.encoder.layer.1."); ok {
				n.Inputs[i] = "bert.encoder.layer.0." + rest
			}
		}
	}
	src.Graph.Prune()
	in := modeltest.Inputs(60, 2, 9, 5)
	want := modeltest.Run(t, src, in)["logits"].F32
	got, rep, err := student.CopyReport(modeltest.New(t, factorised(8, ""), 2, student.MaskedLM()), src, nil)
	if err != nil || len(rep.Fresh) > 0 {
		t.Fatalf("%v, fresh %v", err, rep.Fresh)
	}
	if err := modeltest.Near(modeltest.Run(t, got, in)["logits"].F32, want, 1e-5); err != nil {
		t.Error(err)
	}
	if a, b := count(got), count(src); a <= b {
		t.Errorf("%d parameters of %d that were shared", a, b)
	}
}

// BenchmarkFactor starts embeddings of 128 values from those of BERT base.
func BenchmarkFactor(b *testing.B) {
	shape := student.Shape{Layers: 1, Hidden: 768, Vocab: 30522}
	src, err := student.New(shape, nil, 1)
	if err != nil {
		b.Fatal(err)
	}
	shape.Embedding = 128
	dst, err := student.New(shape, nil, 2)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := student.Copy(dst, src, nil); err != nil {
			b.Fatal(err)
		}
	}
}
