package eval_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

func run(t *testing.T, m *onnx.Model, data corpus.Corpus, opts eval.Options) *eval.Result {
	t.Helper()
	r, err := eval.Run(context.Background(), m, data, opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// alone runs one text through the model and returns an output and its encoding.
func alone(t *testing.T, m *onnx.Model, text, output string, limit int) ([]float32, corpus.Encoding) {
	t.Helper()
	tok, err := corpus.LoadTokenizer(m.Files)
	if err != nil {
		t.Fatal(err)
	}
	e := tok.EncodeMax(text, "", limit)
	return encoded(t, m, e, output), e
}

// encoded runs one encoded text through the model and returns an output.
func encoded(t *testing.T, m *onnx.Model, e corpus.Encoding, output string) []float32 {
	t.Helper()
	s, err := exec.New(m, exec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	mask := make([]int64, e.Len())
	for i := range mask {
		mask[i] = 1
	}
	out, err := s.Run(context.Background(), map[string]*exec.Tensor{
		"input_ids": exec.Int64s(e.IDs, 1, e.Len()), "attention_mask": exec.Int64s(mask, 1, e.Len()), "token_type_ids": exec.Int64s(e.Types, 1, e.Len())}, output)
	if err != nil {
		t.Fatal(err)
	}
	return out[output].F32
}

// Every head is scored on one annotated corpus. Classes and tags are compared
// with the model run on one text at a time, words found by their offsets.
func TestRunScoresEveryHead(t *testing.T) {
	data := annotated()
	const whole, cut = 24, 9 // with the second the longer text becomes two sequences for tags, and is cut for classes
	for _, limit := range []int{whole, cut} {
		m := model(t, 3, allHeads()...)
		r := run(t, m, data, eval.Options{MaxLength: limit, BatchSize: 5})
		right := map[student.Kind][2]int{}
		add := func(k student.Kind, ok bool) {
			n := right[k]
			if ok {
				n[0]++
			}
			right[k] = [2]int{n[0], n[1] + 1}
		}
		for i := range data.Len() {
			e, _ := data.At(i)
			v, _ := alone(t, m, e.Text, "logits", limit)
			add(student.KindClassification, eval.Argmax(v) == e.Label)
			for kind, set := range map[student.Kind][]string{student.KindPOS: pos, student.KindNER: ner} {
				v, enc := alone(t, m, e.Text, string(kind)+"_logits", whole)
				for _, w := range e.Words {
					for k, o := range enc.Offsets {
						if enc.Seq[k] != 0 || o.Start != w.Start {
							continue
						}
						want := w.POS
						if kind == student.KindNER {
							want = w.Entity
						}
						add(kind, set[eval.Argmax(v[k*len(set):(k+1)*len(set)])] == want)
					}
				}
			}
		}
		for kind, n := range right {
			s := r.Score(kind, "accuracy")
			if limit == cut && kind != student.KindClassification && s != nil && s.Count == n[1] {
				continue // all words are scored, in other sequences than here
			}
			if s == nil || s.Count != n[1] || !near(float64(s.Value), float64(n[0])/float64(n[1])) {
				t.Errorf("length %d, %s: got %+v, want %d of %d", limit, kind, s, n[0], n[1])
			}
			if s != nil && (s.Baseline == nil || s.BaselineName != "majority" || s.Interval == nil) {
				t.Errorf("%s has no baseline or interval", kind)
			}
		}
	}
}

func TestRunScoresTheText(t *testing.T) {
	m := model(t, 3, allHeads()...)
	data := annotated()
	r := run(t, m, data, eval.Options{Seed: 4})
	if len(r.Skipped) != 0 {
		t.Fatalf("skipped: %v", r.Skipped)
	}
	p, order := r.Score(student.KindMaskedLM, "perplexity"), r.Score(student.KindSentenceOrder, "accuracy")
	if p == nil || p.BaselineName != "unigram" || !(*p.Baseline > 1 && float64(*p.Baseline) < float64(len(vocab))) || !(p.Value > *p.Baseline) || p.Interval == nil || p.Interval.Low > p.Value || p.Interval.High < p.Value {
		t.Errorf("perplexity %+v", p)
	}
	if order == nil || order.Count < 6 || !(*order.Baseline >= 0.5) {
		t.Errorf("sentence order %+v", order)
	}
	if f := r.Score(student.KindNER, "ner_f1"); f == nil || *f.Baseline != 0 || f.Interval == nil {
		t.Errorf("entities %+v", f)
	}
	if again := run(t, m, data, eval.Options{Seed: 4}); again.Score(student.KindMaskedLM, "perplexity").Value != p.Value {
		t.Error("the same seed masks other tokens")
	}
	// What masked language modelling is measured on does not depend on the other heads.
	few, err := student.Keep(m, "logits", "mlm_logits")
	if err != nil {
		t.Fatal(err)
	}
	if q := run(t, few, data, eval.Options{Seed: 4}).Score(student.KindMaskedLM, "perplexity"); math.Abs(float64(q.Value/p.Value-1)) > 1e-5 || q.Count != p.Count {
		t.Errorf("with two heads perplexity is %v of %d, with all %v of %d", q.Value, q.Count, p.Value, p.Count)
	}
	var b strings.Builder
	if err := r.WriteScores(&b); err != nil || !strings.Contains(b.String(), " unigram") || !strings.Contains(b.String(), " majority") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

// The size of batches must not join the sequences of two batches.
func TestBatchSizeChangesNothing(t *testing.T) {
	m, data := model(t, 3, allHeads()...), annotated()
	one, many := run(t, m, data, eval.Options{BatchSize: 1}), run(t, m, data, eval.Options{BatchSize: 7})
	for i, s := range many.Scores {
		if math.Abs(float64(s.Value-one.Scores[i].Value)) > 1e-4*math.Abs(float64(s.Value)) || s.Count != one.Scores[i].Count {
			t.Errorf("%s %s: %v of %d, one by one %v of %d", s.Head, s.Metric, s.Value, s.Count, one.Scores[i].Value, one.Scores[i].Count)
		}
	}
}

func TestRunLeavesOutWhatTheDataLacks(t *testing.T) {
	m := model(t, 3, allHeads()...)
	plain := corpus.FromExamples([]corpus.Example{{Text: "Anna sees the king in Paris.", Label: -1}}, nil)
	r := run(t, m, plain, eval.Options{})
	if r.Task != student.KindMaskedLM || r.Primary() == nil || r.Primary().Metric != "accuracy" || r.Scored != r.Primary().Count {
		t.Errorf("task %v, %+v", r.Task, r.Primary())
	}
	if got := strings.Join(r.Skipped, "\n"); !strings.Contains(got, "classification: the data has no labels") || !strings.Contains(got, "sop: nothing could be scored") || len(r.Skipped) != 4 {
		t.Errorf("skipped:\n%s", got)
	}
	r = run(t, m, annotated(), eval.Options{Heads: []student.Kind{student.KindPOS}})
	if len(r.Scores) != 1 || r.Task != student.KindPOS || len(r.Predictions) != r.Scored {
		t.Errorf("%+v", r)
	}
	// A tagger of another tool: its labels say that they are parts of speech.
	m = model(t, 3, student.NER(pos))
	m.Config.ID2Label = pos
	if err := student.WriteLite(m.Config, student.Lite{}); err != nil {
		t.Fatal(err)
	}
	if r = run(t, m, annotated(), eval.Options{}); r.Task != student.KindPOS {
		t.Errorf("task %v", r.Task)
	}
}

func TestRunErrors(t *testing.T) {
	data := annotated()
	labelled := func(labels ...string) corpus.Corpus {
		return corpus.FromExamples([]corpus.Example{{Text: "the king", Label: len(labels) - 1}}, labels)
	}
	classifier := func(labels ...string) *onnx.Model { return model(t, 1, student.Classification(labels)) }
	noFiles, junk, unnamed, few := classifier("calm", "loud"), classifier("calm", "loud"), classifier("calm", "loud"), classifier("a", "b", "c")
	noFiles.Files = nil
	junk.Files = map[string][]byte{"notes.txt": []byte("x")}
	unnamed.Config = nil
	few.Config.ID2Label = []string{"calm", "loud"}
	for name, c := range map[string]struct {
		m    *onnx.Model
		data corpus.Corpus
		opts eval.Options
		want string
	}{
		"no data":          {classifier("calm", "loud"), corpus.FromExamples(nil, nil), eval.Options{}, "empty"},
		"no model":         {nil, data, eval.Options{}, "no graph"},
		"no labels":        {classifier("calm", "loud"), corpus.FromExamples([]corpus.Example{{Text: "the king", Label: -1}}, nil), eval.Options{}, "no labels"},
		"other labels":     {classifier("good", "bad"), data, eval.Options{}, "id2label"},
		"other tags":       {model(t, 1, student.POS([]string{"NN", "VB"})), data, eval.Options{}, "not the model's labels"},
		"other entities":   {model(t, 1, student.NER([]string{"O", "B-X", "I-X"})), data, eval.Options{}, "not the model's labels"},
		"too few names":    {few, data, eval.Options{}, "3 classes"},
		"label too great":  {unnamed, labelled("0", "1", "2"), eval.Options{}, "only 2 classes"},
		"no tokenizer":     {noFiles, data, eval.Options{}, "without a tokenizer"},
		"other files":      {junk, data, eval.Options{}, "tokenizer"},
		"unknown metric":   {classifier("calm", "loud"), data, eval.Options{Metrics: []string{"bleu"}}, "choose one of"},
		"agreement in Run": {classifier("calm", "loud"), data, eval.Options{Metrics: []string{"agreement"}}, "Compare"},
		"rate":             {classifier("calm", "loud"), data, eval.Options{MaskRate: 2}, "MaskRate"},
		"length":           {classifier("calm", "loud"), data, eval.Options{MaxLength: -1}, "MaxLength"},
		"bare encoder":     {model(t, 1), data, eval.Options{}, "compare it with its teacher"},
		"absent head":      {classifier("calm", "loud"), data, eval.Options{Heads: []student.Kind{student.KindNER}}, "its heads are classification"},
		"one sentence":     {model(t, 1, student.SentenceOrder()), corpus.FromExamples([]corpus.Example{{Text: "the king", Label: -1}}, nil), eval.Options{}, "two sentences"},
		"long latency":     {classifier("calm", "loud"), data, eval.Options{Latency: []eval.Shape{{Batch: 1, Length: 25}}}, "24 positions"},
	} {
		if _, err := eval.Run(context.Background(), c.m, c.data, c.opts); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := eval.Run(ctx, classifier("calm", "loud"), data, eval.Options{}); err == nil {
		t.Error("a cancelled run succeeded")
	}
}

// Check finds before a run what Run would fail on.
func TestCheck(t *testing.T) {
	classifier, reader := model(t, 3, student.Classification([]string{"calm", "loud"})), model(t, 3, student.MaskedLM())
	other := corpus.FromExamples([]corpus.Example{{Text: "Anna sees Paris.", Label: 0}}, []string{"wild"})
	for _, tc := range []struct {
		m      *onnx.Model
		data   corpus.Corpus
		metric string
		want   string // part of the error, "" for none
	}{
		{classifier, annotated(), "", ""},
		{classifier, annotated(), "mcc", ""},
		{classifier, annotated(), "ner_f1", "[accuracy f1 mcc"},
		{reader, annotated(), "f1", "[accuracy perplexity]"}, // V² counts
		{classifier, other, "", "wild"},
		{classifier, corpus.Unlabeled(annotated()), "", "no head"},
		{classifier, nil, "", "empty"},
		{nil, annotated(), "", "no graph"},
	} {
		var opts eval.Options
		if tc.metric != "" {
			opts.Metrics = []string{tc.metric}
		}
		err := eval.Check(tc.m, tc.data, opts)
		if _, ran := eval.Run(context.Background(), tc.m, tc.data, opts); (ran == nil) != (err == nil) {
			t.Errorf("Check says %v, Run %v", err, ran)
		}
		if err == nil && tc.want != "" || err != nil && (tc.want == "" || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("error %v, want %q", err, tc.want)
		}
		var misfit *eval.MetricError
		if named := strings.HasPrefix(tc.want, "["); errors.As(err, &misfit) != named {
			t.Errorf("%v is a MetricError: %v, want %v", err, !named, named)
		}
	}
}

// Every metric of one model has a head, and every head its usual metrics.
func TestMetricsFor(t *testing.T) {
	seen := map[string]bool{"agreement": true, "kl": true}
	for _, h := range append(allHeads(), student.Regression(), student.Embedding(student.Vector{})) {
		fit := eval.MetricsFor(h.Kind)
		if len(fit) == 0 {
			t.Errorf("no metric for %s", h.Kind)
		}
		for _, name := range fit {
			if _, err := eval.MetricByName(name); err != nil {
				t.Errorf("%s: %v", h.Kind, err)
			}
			seen[name] = true
		}
	}
	if n := len(eval.Metrics()); len(seen) != n {
		t.Errorf("%d metrics have a head, there are %d", len(seen), n)
	}
}

func TestRunScoresNextSentences(t *testing.T) {
	m := model(t, 3, student.MaskedLM(), student.NextSentence())
	next := run(t, m, annotated(), eval.Options{Seed: 4}).Score(student.KindNextSentence, "accuracy")
	if next == nil || next.Count < 6 || !(*next.Baseline >= 0.5) {
		t.Errorf("next sentence %+v", next)
	}
	one, err := annotated().At(0)
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, m, corpus.FromExamples([]corpus.Example{one}, nil), eval.Options{})
	if len(r.Skipped) != 1 || !strings.Contains(r.Skipped[0], "nsp: there is one text only") {
		t.Errorf("skipped %v", r.Skipped)
	}
}
