package eval_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/internal/shared"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

func compare(t *testing.T, data corpus.Corpus, opts eval.Options, models ...eval.Entry) *eval.Table {
	t.Helper()
	x, err := eval.Compare(context.Background(), data, opts, models...)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestCompare(t *testing.T) {
	a, b := model(t, 3, allHeads()...), model(t, 5, allHeads()...)
	var stages []string
	opts := eval.Options{Latency: []eval.Shape{{Batch: 2, Length: 8}}, Timing: eval.TimingOptions{Warmup: 1, Runs: 5},
		Progress: func(stage string, done, total int) {
			if done == total {
				stages = append(stages, stage)
			}
		}}
	x := compare(t, annotated(), opts, eval.Entry{Name: "a", Model: a}, eval.Entry{Name: "b", Model: b, Bytes: 100}, eval.Entry{Name: "again", Model: a})
	if got := strings.Join(stages, " "); got != "task tags denoise order task tags denoise order task tags denoise order" {
		t.Errorf("stages %s", got)
	}
	data, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if x.Rows[0].Bytes != int64(len(data)) || x.Rows[1].Bytes != 100 {
		t.Errorf("bytes %d and %d, want %d and 100", x.Rows[0].Bytes, x.Rows[1].Bytes, len(data))
	}
	again := x.Rows[2]
	if again.Drop != 0 || again.Agreement != 1 || math.Abs(float64(again.KL)) > 1e-12 || again.PValue != 1 {
		t.Errorf("a model beside itself: %+v", again)
	}
	same := 0
	for i, p := range x.Rows[0].Result.Predictions {
		if x.Rows[1].Result.Predictions[i] == p {
			same++
		}
	}
	if got := float64(x.Rows[1].Agreement); !near(got, float64(same)/12) {
		t.Errorf("agreement %v, want %d of 12", got, same)
	}
	for _, r := range x.Rows {
		if !(r.P50 > 0) || r.P95 < r.P50 || !(r.Speedup > 0) || r.Result.Latency[0].Runs != 5 {
			t.Errorf("latency of %s: %+v", r.Name, r.Result.Latency)
		}
	}
	if _, err := eval.Compare(context.Background(), annotated(), eval.Options{}); err == nil {
		t.Error("nothing to compare is no error")
	}
	broken := model(t, 1)
	broken.Files = nil
	_, err = eval.Compare(context.Background(), annotated(), eval.Options{}, eval.Entry{Name: "broken", Model: broken})
	if err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("the model is not named: %v", err)
	}
}

func TestGate(t *testing.T) {
	data := annotated()
	// Of the twelve examples eight are "calm": a model that always says so has 2/3.
	constant := func(k int) *onnx.Model {
		m := model(t, 3, student.Classification([]string{"calm", "loud"}))
		bias := make([]float32, 2)
		bias[k] = 1e6
		m.Graph.SetInitializer(onnx.NewFloats("classifier.bias", bias, 2))
		return m
	}
	var seen *eval.Table
	gate := eval.Gate{Baseline: constant(0), Data: data, MaxDrop: eval.Absolute(0.34), OnTable: func(x *eval.Table) { seen = x }}
	worse := constant(1)
	got, err := gate.Apply(context.Background(), worse)
	if err != nil || got != worse || seen == nil || !near(float64(seen.Rows[0].Quality), 2./3) || !near(float64(seen.Rows[1].Quality), 1./3) {
		t.Fatalf("%v %v", err, seen)
	}
	gate.MaxDrop = eval.Relative(0.1)
	var missed *eval.BudgetError
	if got, err = gate.Apply(context.Background(), worse); !errors.Is(err, eval.ErrBudget) || !errors.As(err, &missed) || got != worse || missed.Metric != "accuracy" {
		t.Errorf("%v", err)
	}
	gate.Metric, gate.MaxDrop = "f1", eval.Absolute(0)
	if _, err = gate.Apply(context.Background(), worse); !errors.As(err, &missed) || missed.Metric != "f1" {
		t.Errorf("by another metric: %v", err)
	}
	gate.Metric, gate.MaxDrop = "", nil
	if _, err = gate.Apply(context.Background(), constant(0)); err != nil {
		t.Errorf("no drop: %v", err)
	}
	if _, err = (eval.Gate{Data: data}).Apply(context.Background(), worse); err == nil || errors.Is(err, eval.ErrBudget) {
		t.Errorf("without a baseline: %v", err)
	}
	if err := seen.Check("absent", nil); err == nil {
		t.Error("a row that is not there passes")
	}
	v, err := eval.Evaluator(data, eval.Options{})(context.Background(), worse)
	if err != nil || !near(v, 1./3) {
		t.Errorf("evaluator: %v %v", v, err)
	}
}

func TestLatencyErrors(t *testing.T) {
	m := model(t, 1, student.MaskedLM())
	for _, s := range []eval.Shape{{Batch: 0, Length: 8}, {Batch: 1, Length: 0}, {Batch: 1, Length: 25}} {
		if _, err := eval.Latency(context.Background(), m, []eval.Shape{s}, eval.TimingOptions{Runs: 1}); err == nil {
			t.Errorf("%v was timed", s)
		}
	}
	// The vocabulary is read from the graph where config.json is missing.
	bare := m.Clone()
	bare.Config = nil
	if _, err := eval.Latency(context.Background(), bare, []eval.Shape{{Batch: 1, Length: 8}}, eval.TimingOptions{Warmup: 1, Runs: 1}); err != nil {
		t.Error(err)
	}
}

// The accuracies that ONNX Runtime gives with the reference tokenizers: 0.7947
// and 0.865. The second model was trained on lower-cased text, as its own
// vocabulary makes the tokenizer do, and gains two rows by it.
func TestSharedClassifiers(t *testing.T) {
	if testing.Short() {
		t.Skip("runs two models on their dev sets")
	}
	for _, c := range []struct {
		model, data, tokenizer string
		right, rows            int
	}{
		{"sst2-bert-L2-H128", "sst2", "", 693, 872},
		{"zh-bert-chnsenticorp-L4-H128", "chnsenticorp", "zh", 746, 862},
		{"zh-bert-chnsenticorp-L4-H128", "chnsenticorp", "", 748, 862},
	} {
		m, err := onnx.Open(shared.Path(t, "models", c.model))
		if err != nil {
			t.Fatal(err)
		}
		dev, err := corpus.Open([]string{shared.Path(t, "data", c.data, "dev.tsv")}, corpus.Options{})
		if err != nil {
			t.Fatal(err)
		}
		opts := eval.Options{MaxLength: 128}
		if c.tokenizer != "" {
			if opts.Tokenizer, err = corpus.OpenTokenizer(shared.Path(t, "tokenizer", c.tokenizer)); err != nil {
				t.Fatal(err)
			}
		}
		r := run(t, m, dev, opts)
		if got := int(math.Round(float64(r.Primary().Value) * float64(r.Scored))); got != c.right || r.Scored != c.rows {
			t.Errorf("%s %s: %d of %d right, want %d of %d", c.model, c.tokenizer, got, r.Scored, c.right, c.rows)
		}
	}
}

// A random masked language model guesses: its perplexity on text is near that
// of no knowledge at all, the size of its vocabulary.
func TestSharedMaskedModel(t *testing.T) {
	m, err := onnx.Open(shared.Path(t, "models", "mlm-random-L3-H64"))
	if err != nil {
		t.Fatal(err)
	}
	tok, err := corpus.NewWordPiece(vocab, true)
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, m, corpus.Unlabeled(annotated()), eval.Options{Tokenizer: tok})
	p := r.Score(student.KindMaskedLM, "perplexity")
	if p == nil || p.Value < 2000 || p.Value > 8000 || r.Primary().Metric != "accuracy" {
		t.Errorf("%+v", p)
	}
}
