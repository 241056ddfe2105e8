package eval_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// similar is pairs with scores; the last has none.
func similar() corpus.Corpus {
	var out []corpus.Example
	for i, p := range [][2]string{{"Anna sees Paris.", "Anna sees Paris."}, {"The king walks.", "Anna sees the king."}, {"Anna walks.", "the king in Paris"}, {"walks", "Paris"}} {
		e := corpus.Example{Text: p[0], Pair: p[1], Label: -1}
		if y := float64(3-i) / 3; i < 3 {
			e.Score = &y
		}
		out = append(out, e)
	}
	return corpus.FromExamples(out, nil)
}

func pearson(x, y []float64) float64 {
	var mx, my, xx, yy, xy float64
	for i := range x {
		mx, my = mx+x[i]/float64(len(x)), my+y[i]/float64(len(x))
	}
	for i := range x {
		a, b := x[i]-mx, y[i]-my
		xx, yy, xy = xx+a*a, yy+b*b, xy+a*b
	}
	return xy / math.Sqrt(xx*yy)
}

func cosine(a, b []float32) float64 {
	var aa, bb, ab float64
	for i := range a {
		aa, bb, ab = aa+float64(a[i])*float64(a[i]), bb+float64(b[i])*float64(b[i]), ab+float64(a[i])*float64(b[i])
	}
	return ab / math.Sqrt(aa*bb)
}

// A score is compared with the model's output for the pair, run by itself.
func TestRegressionIsScored(t *testing.T) {
	m := model(t, 3, student.Regression())
	r := run(t, m, similar(), eval.Options{})
	var x, y []float64
	tok, err := corpus.LoadTokenizer(m.Files)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		e, _ := similar().At(i)
		enc := tok.EncodeMax(e.Text, e.Pair, 128)
		x, y = append(x, float64(encoded(t, m, enc, "logits")[0])), append(y, *e.Score)
	}
	s := r.Primary()
	if r.Task != student.KindRegression || s == nil || s.Metric != "pearson" || s.Count != 3 || math.Abs(float64(s.Value)-pearson(x, y)) > 1e-4 {
		t.Errorf("task %v, %+v, want %v", r.Task, s, pearson(x, y))
	}
	table, err := eval.Compare(context.Background(), similar(), eval.Options{}, eval.Entry{Name: "a", Model: m}, eval.Entry{Name: "b", Model: model(t, 4, student.Regression())})
	if err != nil || !math.IsNaN(float64(table.Rows[1].Agreement)) || !math.IsNaN(float64(table.Rows[1].KL)) {
		t.Errorf("%v: scores have no agreement, %+v", err, table)
	}
	if _, err := eval.Run(context.Background(), m, annotated(), eval.Options{}); err == nil || !strings.Contains(err.Error(), "the data has none") {
		t.Errorf("data without scores: %v", err)
	}
}

// An embedding is compared with the first model's, and by the similarity of
// pairs with their score.
func TestEmbeddingsAreScored(t *testing.T) {
	one, two := model(t, 3, student.Embedding(student.Vector{})), model(t, 4, student.Embedding(student.Vector{Normalize: true}))
	bare := model(t, 3) // the same encoder, pooled by its reader
	plain := corpus.FromExamples([]corpus.Example{{Text: "Anna sees Paris.", Label: -1}, {Text: "the king walks", Label: -1}}, nil)
	table, err := eval.Compare(context.Background(), plain, eval.Options{}, eval.Entry{Name: "one", Model: one}, eval.Entry{Name: "bare", Model: bare}, eval.Entry{Name: "two", Model: two})
	if err != nil {
		t.Fatal(err)
	}
	want := 0.0
	for i := range 2 {
		e, _ := plain.At(i)
		a, _ := alone(t, one, e.Text, "sentence_embedding", 24)
		b, _ := alone(t, two, e.Text, "sentence_embedding", 24)
		want += cosine(a, b) / 2
	}
	for i, w := range []float64{1, 1, want} {
		if got := float64(table.Rows[i].Quality); table.Metric != "cosine" || math.Abs(got-w) > 1e-4 {
			t.Errorf("%s: %s %v, want %v", table.Rows[i].Name, table.Metric, got, w)
		}
	}
	r := run(t, one, similar(), eval.Options{})
	var x, y []float64
	for i := range 3 {
		e, _ := similar().At(i)
		a, _ := alone(t, one, e.Text, "sentence_embedding", 24)
		b, _ := alone(t, one, e.Pair, "sentence_embedding", 24)
		x, y = append(x, cosine(a, b)), append(y, *e.Score)
	}
	if s := r.Score(student.KindEmbedding, "pearson"); r.Primary().Metric != "spearman" || s == nil || s.Count != 3 || math.Abs(float64(s.Value)-pearson(x, y)) > 1e-3 {
		t.Errorf("%+v, want %v", s, pearson(x, y))
	}
	for want, tc := range map[string]struct {
		m    *onnx.Model
		opts eval.Options
	}{
		"compare it with its teacher": {one, eval.Options{}},
		"no pairs with scores":        {one, eval.Options{Metrics: []string{"spearman"}}},
		"cannot be compared":          {model(t, 3, student.Embedding(student.Vector{Width: 7})), eval.Options{Reference: table.Rows[0].Result}},
	} {
		if _, err := eval.Run(context.Background(), tc.m, plain, tc.opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want it to speak of %q", err, want)
		}
	}
}
