package eval_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/predict"
	"github.com/litekit/lite/student"
)

// rated gives each text the number that of tells.
func rated(of func(i int) float64) corpus.Corpus {
	texts := []string{"anna sees paris.", "the king walks", "paris", "anna walks in paris.", "the king sees the king.", "in in in", "walks", "sees anna"}
	var out []corpus.Example
	for i, s := range texts {
		x := of(i)
		out = append(out, corpus.Example{Text: s, Label: -1, Score: &x})
	}
	out = append(out, corpus.Example{Text: "without a number", Label: -1})
	return corpus.FromExamples(out, nil)
}

func TestRegression(t *testing.T) {
	ctx := context.Background()
	m := model(t, 1, student.Classification([]string{"score"}))
	p, err := predict.New(m, predict.Options{})
	if err != nil {
		t.Fatal(err)
	}
	answers := func(i int) float64 {
		e, _ := rated(func(int) float64 { return 0 }).At(i)
		a, err := p.Classify(ctx, predict.Texts(e.Text))
		if err != nil {
			t.Fatal(err)
		}
		return a[0].Labels[0].Score
	}
	for name, c := range map[string]struct {
		of                func(i int) float64
		pearson, spearman float64
	}{
		"the model itself": {answers, 1, 1},
		"turned":           {func(i int) float64 { return 3 - 2*answers(i) }, -1, -1},
		"the same order":   {func(i int) float64 { return math.Cbrt(answers(i)) }, math.NaN(), 1},
	} {
		r, err := eval.Run(ctx, m, rated(c.of), eval.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for metric, want := range map[string]float64{"pearson": c.pearson, "spearman": c.spearman} {
			s := r.Score("", metric)
			if s == nil || s.Count != 8 {
				t.Fatalf("%s: %s of %+v, want 8 rows", name, metric, s)
			}
			if got := float64(s.Value); want == want && math.Abs(got-want) > 1e-5 {
				t.Errorf("%s: %s %v, want %v", name, metric, got, want)
			}
		}
	}
	table, err := eval.Compare(ctx, rated(answers), eval.Options{Metrics: []string{"spearman"}}, eval.Entry{Name: "a", Model: m}, eval.Entry{Name: "b", Model: model(t, 2, student.Classification([]string{"score"}))})
	if err != nil {
		t.Fatal(err)
	}
	if r := table.Rows[1]; r.Drop <= 0 || r.Agreement == r.Agreement || r.PValue == r.PValue {
		t.Errorf("row %+v: want a drop, no agreement and no p", r)
	}
	var text strings.Builder
	if err := table.WriteText(&text); err != nil || !strings.Contains(text.String(), "spearman") {
		t.Errorf("table %q, %v", text.String(), err)
	}
}

func TestRegressionErrors(t *testing.T) {
	ctx := context.Background()
	m := model(t, 1, student.Classification([]string{"score"}))
	var wrong *eval.MetricError
	if _, err := eval.Run(ctx, m, rated(func(i int) float64 { return float64(i) }), eval.Options{Metrics: []string{"accuracy"}}); !errors.As(err, &wrong) {
		t.Errorf("accuracy of numbers: %v", err)
	}
	plain := corpus.FromExamples([]corpus.Example{{Text: "anna", Label: -1}}, nil)
	if _, err := eval.Run(ctx, m, plain, eval.Options{}); err == nil || !strings.Contains(err.Error(), "--score-column") {
		t.Errorf("no numbers: %v", err)
	}
	two := model(t, 1, student.Classification([]string{"a", "b"}))
	two.Config = &onnx.Config{Architectures: two.Config.Architectures, ID2Label: two.Config.ID2Label, Extra: two.Config.Extra, VocabSize: two.Config.VocabSize}
	two.Config.Extra["problem_type"] = []byte(`"regression"`)
	if _, err := eval.Run(ctx, two, rated(func(i int) float64 { return float64(i) }), eval.Options{}); err == nil || !strings.Contains(err.Error(), "problem_type") {
		t.Errorf("two outputs: %v", err)
	}
}
