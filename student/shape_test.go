package student_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

func TestParseShape(t *testing.T) {
	for _, c := range []struct {
		in   string
		want student.Shape
	}{
		{"4x312x12", student.Shape{Layers: 4, Hidden: 312, Heads: 12}},
		{"4x312x12x1200", student.Shape{Layers: 4, Hidden: 312, Heads: 12, FFN: 1200}},
		{"2×128", student.Shape{Layers: 2, Hidden: 128}},
		{"tinybert-4x312", student.Shape{Layers: 4, Hidden: 312, Heads: 12, FFN: 1200}},
		{"bert-tiny,vocab=8000, act=relu", student.Shape{Layers: 2, Hidden: 128, Heads: 2, FFN: 512, Vocab: 8000, Act: "relu"}},
		{"layers=2,hidden=128,heads=4,ffn=256,positions=64,types=1,eps=1e-5",
			student.Shape{Layers: 2, Hidden: 128, Heads: 4, FFN: 256, Positions: 64, Types: 1, Eps: 1e-5}},
		{"4x312,embedding=128,decoder=untied", student.Shape{Layers: 4, Hidden: 312, Embedding: 128, Decoder: student.Untied}},
		{"embedding=64,decoder=tied", student.Shape{Embedding: 64, Decoder: student.Tied}},
	} {
		got, err := student.ParseShape(c.in)
		if err != nil || got != c.want {
			t.Errorf("%q: %+v, %v; want %+v", c.in, got, err, c.want)
		}
		again, err := student.ParseShape(got.String())
		if err != nil || again != got {
			t.Errorf("%q: written as %q and read as %+v, %v", c.in, got, again, err)
		}
	}
	for in, want := range map[string]string{
		"":                       "bert-tiny",
		"bert-huge":              "tinybert-4x312",
		"4":                      "LAYERSxHIDDEN",
		"4x-3x2":                 "positive",
		"4x312x12x1200x9":        "LAYERSxHIDDEN",
		"layers=0":               "positive",
		"depth=3":                "unknown key",
		"layers=2,4x312":         "key=value",
		"2x128,act=swish":        "swish",
		"2x128,eps=nan":          "positive",
		"2x128,embedding=0":      "positive",
		"2x128,decoder=none":     "neither tied nor untied",
		"99999999999999999999x1": "positive",
	} {
		if _, err := student.ParseShape(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v does not name %q", in, err, want)
		}
	}
}

func TestValidate(t *testing.T) {
	ok := student.Shape{Layers: 4, Hidden: 312, Heads: 12, Vocab: 21128}.Defaults()
	if err := ok.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*student.Shape){
		"layers is -1":     func(s *student.Shape) { s.Layers = -1 },
		"vocab is 0":       func(s *student.Shape) { s.Vocab = 0 },
		"choose 8 or 12":   func(s *student.Shape) { s.Heads = 9 },
		"GiB":              func(s *student.Shape) { s.Hidden, s.Heads = 1<<20, 1 },
		"more than the 16": func(s *student.Shape) { s.Vocab = 1 << 62 },
		"swish":            func(s *student.Shape) { s.Act = "swish" },
		"epsilon":          func(s *student.Shape) { s.Eps = -1 },
		"at least 2":       func(s *student.Shape) { s.Embedding = 1 },
		"embedding is -3":  func(s *student.Shape) { s.Embedding = -3 },
		"neither tied nor": func(s *student.Shape) { s.Decoder = "none" },
	} {
		s := ok
		change(&s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v does not say %q", s, err, want)
		}
	}
	if _, err := student.New(student.Shape{Layers: 1, Hidden: 7, Heads: 2, Vocab: 9}, nil, 1); err == nil {
		t.Error("New made an impossible shape")
	}
}

func TestShapeHelpers(t *testing.T) {
	teacher := student.ShapeOf(&onnx.Config{VocabSize: 9, HiddenSize: 768, NumHiddenLayers: 12, NumAttentionHeads: 12,
		IntermediateSize: 3072, MaxPositionEmbeddings: 77, TypeVocabSize: 3, HiddenAct: "relu", LayerNormEps: 1e-5})
	if got := teacher.HalfDepth(); got.Layers != 6 || got.Hidden != 768 {
		t.Errorf("half depth: %+v", got)
	}
	if got := teacher.HalfWidth(); got.Hidden != 384 || got.Heads != 6 || got.FFN != 1536 || got.Layers != 12 {
		t.Errorf("half width: %+v", got)
	}
	got := student.Shape{Layers: 1, Hidden: 64, Positions: 5}.From(teacher).Defaults()
	want := student.Shape{Layers: 1, Hidden: 64, Heads: 1, FFN: 256, Vocab: 9, Positions: 5, Types: 3, Act: "relu", Eps: 1e-5}
	if got != want {
		t.Errorf("from the teacher: %+v, want %+v", got, want)
	}
	full := student.Shape{Layers: 4, Hidden: 64, Embedding: 64, Decoder: student.Tied}.Defaults()
	if full.Embedding != 0 || full.Decoder != "" || full.EmbeddingWidth() != 64 {
		t.Errorf("what is usual: %+v", full)
	}
	narrow := student.Shape{Layers: 4, Hidden: 64, Embedding: 16, Heads: 2}
	if got := narrow.HalfWidth(); got.Embedding != 16 || got.EmbeddingWidth() != 16 || got.Hidden != 32 {
		t.Errorf("half the width: %+v", got)
	}
	if got := (student.Shape{Embedding: 8, Act: "relu"}).Or(narrow); got != (student.Shape{Layers: 4, Hidden: 64, Embedding: 8, Heads: 2, Act: "relu"}) {
		t.Errorf("one shape or another: %+v", got)
	}
	if student.ShapeOf(nil) != (student.Shape{}) {
		t.Error("the shape of no config is not empty")
	}
}

func TestLayerChoices(t *testing.T) {
	for _, c := range []struct {
		name string
		n, k int
		want []int
	}{
		{"spread", 12, 6, []int{0, 2, 4, 7, 9, 11}}, // DistilBERT's
		{"spread", 12, 4, []int{0, 4, 7, 11}},
		{"spread", 5, 1, []int{0}},
		{"spread", 3, 3, []int{0, 1, 2}},
		{"every-other", 12, 6, []int{0, 2, 4, 6, 8, 10}},
		{"every-other", 12, 4, []int{0, 3, 6, 9}},
		{"first", 12, 3, []int{0, 1, 2}},
		{"last", 12, 3, []int{9, 10, 11}},
		{"3,1,1", 4, 3, []int{3, 1, 1}},
	} {
		choose, err := student.ParseLayers(c.name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := choose(c.n, c.k); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s %d→%d: %v, %v; want %v", c.name, c.n, c.k, got, err, c.want)
		}
	}
	for _, name := range []string{"spread", "first", "last", "every-other", "0,9"} {
		choose, _ := student.ParseLayers(name)
		for _, c := range [][2]int{{2, 3}, {2, 0}} {
			if _, err := choose(c[0], c[1]); err == nil {
				t.Errorf("%s took %d layers of %d", name, c[1], c[0])
			}
		}
	}
	if _, err := student.ParseLayers("middle"); err == nil {
		t.Error("an unknown choice was accepted")
	}
}
