package predict_test

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/predict"
	"github.com/litekit/lite/student"
)

func TestRate(t *testing.T) {
	texts := append(predict.Texts("the film was good", "bad"), predict.Text{Text: "the film", Pair: "was bad"})
	m := model(t, student.Regression())
	p, err := predict.New(m, predict.Options{Batch: 2})
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Rate(context.Background(), texts)
	if err != nil || len(got) != 3 || p.Kind() != student.KindRegression {
		t.Fatalf("%v, %v from a %s head", got, err, p.Kind())
	}
	for i, text := range texts {
		alone, err := p.Rate(context.Background(), texts[i:i+1])
		if err != nil || math.Abs(alone[0].Score-got[i].Score) > 1e-5 || got[i].Text != text.Text || got[i].Pair != text.Pair {
			t.Errorf("%v: %v among others, %v alone, %v", text, got[i], alone, err)
		}
	}
	if got[0].Score == got[1].Score || got[0].Score == got[2].Score {
		t.Errorf("texts make no difference: %v", got)
	}
	if _, err := p.Classify(context.Background(), texts); err == nil || !strings.Contains(err.Error(), "regression") {
		t.Errorf("Classify of a regression model: %v", err)
	}

	// The same model said to be a classifier gives the same number as its only class.
	c := model(t, student.Regression())
	c.Config.Extra, c.Config.ID2Label = nil, []string{"score"}
	if p, err = predict.New(c, predict.Options{}); err != nil {
		t.Fatal(err)
	}
	if again, err := p.Rate(context.Background(), texts[:1]); err != nil || math.Abs(again[0].Score-got[0].Score) > 1e-5 {
		t.Errorf("by its only label: %v, want %v, %v", again, got[0], err)
	}
}

func TestRateErrors(t *testing.T) {
	m := model(t, mood)
	m.Config.Extra = map[string]json.RawMessage{"problem_type": json.RawMessage(`"regression"`)}
	m.Config.ID2Label = nil
	p, err := predict.New(m, predict.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Rate(context.Background(), predict.Texts("good")); err == nil || !strings.Contains(err.Error(), "problem_type") {
		t.Errorf("three numbers: %v", err)
	}
	bad := model(t, student.Regression())
	for _, w := range bad.Graph.Initializers {
		if w.Name == "classifier.bias" {
			*w = *onnx.NewFloats(w.Name, []float32{float32(math.Inf(1))}, 1)
		}
	}
	if p, err = predict.New(bad, predict.Options{}); err != nil {
		t.Fatal(err)
	}
	if got, err := p.Rate(context.Background(), predict.Texts("good")); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("an infinite number: %v, %v", got, err)
	}
}

func TestEmbed(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		v     student.Vector
		width int
	}{
		"mean":       {student.Vector{}, 16},
		"first":      {student.Vector{Pooling: "cls"}, 16},
		"wide":       {student.Vector{Width: 24}, 24},
		"normalized": {student.Vector{Normalize: true}, 16},
	} {
		p := predictor(t, student.Embedding(c.v), predict.Options{Batch: 2})
		texts := predict.Texts("the film was good", "bad", "书好")
		got, err := p.Embed(ctx, texts)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i := range texts {
			alone, err := p.Embed(ctx, texts[i:i+1])
			if err != nil || len(got[i].Vector) != c.width || got[i].Text != texts[i].Text {
				t.Fatalf("%s: %v, %v, want %d numbers", name, got[i], err, c.width)
			}
			length := 0.0
			for k, x := range got[i].Vector {
				length += float64(x) * float64(x)
				if math.Abs(float64(x-alone[0].Vector[k])) > 1e-5 {
					t.Fatalf("%s: %v among others, %v alone", name, got[i], alone[0])
				}
			}
			if c.v.Normalize && math.Abs(length-1) > 1e-4 {
				t.Errorf("%s: a length of √%v", name, length)
			}
		}
		pairs := []predict.Text{{Text: "the film was good", Pair: "bad"}, {Text: "bad", Pair: "bad"}, {Text: "书好", Pair: "bad"}}
		near, err := p.Compare(ctx, pairs)
		if err != nil {
			t.Fatal(err)
		}
		for i, other := range []int{0, 1, 2} {
			a, b := got[other].Vector, got[1].Vector
			var ab, aa, bb float64
			for k := range a {
				ab, aa, bb = ab+float64(a[k])*float64(b[k]), aa+float64(a[k])*float64(a[k]), bb+float64(b[k])*float64(b[k])
			}
			if want := ab / math.Sqrt(aa*bb); math.Abs(near[i].Score-want) > 1e-4 || near[i].Pair != "bad" {
				t.Errorf("%s: %v, want a cosine of %v", name, near[i], want)
			}
		}
	}
}

// An encoder without any head gives what its hidden states are pooled to.
func TestEmbedOfBareEncoder(t *testing.T) {
	ctx := context.Background()
	want, err := predictor(t, student.Embedding(student.Vector{}), predict.Options{}).Embed(ctx, predict.Texts("the film"))
	if err != nil {
		t.Fatal(err)
	}
	bare := model(t, student.Embedding(student.Vector{}))
	bare.Config.Extra = nil
	for i, o := range bare.Graph.Outputs {
		if o.Name == "sentence_embedding" {
			bare.Graph.Outputs = append(bare.Graph.Outputs[:i], bare.Graph.Outputs[i+1:]...)
			break
		}
	}
	p, err := predict.New(bare, predict.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Embed(ctx, predict.Texts("the film"))
	if err != nil || len(got[0].Vector) != len(want[0].Vector) {
		t.Fatalf("%v, %v", got, err)
	}
	for k, x := range got[0].Vector {
		if math.Abs(float64(x-want[0].Vector[k])) > 1e-5 {
			t.Fatalf("%v, want %v", got[0].Vector, want[0].Vector)
		}
	}
}

func TestEmbedErrors(t *testing.T) {
	ctx := context.Background()
	p := predictor(t, student.Embedding(student.Vector{}), predict.Options{})
	pair := []predict.Text{{Text: "a", Pair: "b"}}
	if _, err := p.Embed(ctx, pair); err == nil || !strings.Contains(err.Error(), "Compare") {
		t.Errorf("the vector of a pair: %v", err)
	}
	if _, err := p.Compare(ctx, predict.Texts("a")); err == nil || !strings.Contains(err.Error(), "second text") {
		t.Errorf("one text compared: %v", err)
	}
	if _, err := predictor(t, mood, predict.Options{}).Compare(ctx, pair); err == nil || !strings.Contains(err.Error(), "classification") {
		t.Errorf("vectors of a classifier: %v", err)
	}
}
