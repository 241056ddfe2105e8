package eval_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/student"
)

// result is a classifier's result on four rows.
func result(value float64, bytes int64, p50 float64, predictions ...int32) *eval.Result {
	i := eval.Wilson(int(math.Round(value*4)), 4)
	base := eval.Float(0.5)
	r := &eval.Result{Task: student.KindClassification, Examples: 4, Scored: 4, Bytes: bytes, Parameters: bytes / 4,
		Scores:      []eval.Score{{Head: student.KindClassification, Metric: "accuracy", Value: eval.Float(value), Interval: &i, Count: 4, BaselineName: "majority", Baseline: &base}},
		Predictions: predictions, Gold: []int32{0, 0, 1, 1}, Keys: []uint64{0, 1 << 16, 2 << 16, 3 << 16}, Classes: 2}
	for _, p := range predictions {
		r.Logits = append(r.Logits, onehot(2, int(p))...)
	}
	if p50 > 0 {
		r.Latency = []eval.Timing{{Shape: eval.Shape{Batch: 1, Length: 128}, Runs: 20, P50: eval.Float(p50), P95: eval.Float(2 * p50)}}
	}
	return r
}

func table(t *testing.T) *eval.Table {
	t.Helper()
	x, err := eval.NewTable([]string{"teacher", "student|½"}, []*eval.Result{result(1, 4000, 8, 0, 0, 1, 1), result(0.75, 1000, 2, 0, 1, 1, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestTableAsText(t *testing.T) {
	const want = `model      accuracy  95% interval    drop  bytes  smaller  p50 1×128  p95 1×128  faster  agreement      p
teacher      1.0000   0.510–1.000  0.0000   4000    1.00×    8.00 ms   16.00 ms   1.00×
student|½    0.7500   0.301–0.954  0.2500   1000    4.00×    2.00 ms    4.00 ms   4.00×     0.7500  1.000
`
	if got := table(t).String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTableAsMarkdown(t *testing.T) {
	const want = `| model      | accuracy | 95% interval |   drop | bytes | smaller | p50 1×128 | p95 1×128 | faster | agreement |     p |
|------------|---------:|-------------:|-------:|------:|--------:|----------:|----------:|-------:|----------:|------:|
| teacher    |   1.0000 |  0.510–1.000 | 0.0000 |  4000 |   1.00× |   8.00 ms |  16.00 ms |  1.00× |           |       |
| student\|½ |   0.7500 |  0.301–0.954 | 0.2500 |  1000 |   4.00× |   2.00 ms |   4.00 ms |  4.00× |    0.7500 | 1.000 |
`
	var b strings.Builder
	if err := table(t).WriteMarkdown(&b); err != nil || b.String() != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, b.String(), want)
	}
}

func TestTableAsJSON(t *testing.T) {
	var b strings.Builder
	if err := table(t).WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	const want = `{
  "task": "classification",
  "metric": "accuracy",
  "examples": 4,
  "shape": {
    "batch": 1,
    "length": 128
  },
  "rows": [
    {
      "name": "teacher",
      "quality": 1,
      "low": 0.51`
	if !strings.HasPrefix(b.String(), want) {
		t.Errorf("got\n%s", b.String())
	}
	var back struct {
		Rows []map[string]any `json:"rows"`
	}
	if err := json.Unmarshal([]byte(b.String()), &back); err != nil {
		t.Fatal(err)
	}
	first, second := back.Rows[0], back.Rows[1]
	for key, want := range map[string]any{"drop": 0.25, "drop_percent": 25., "bytes": 1000., "ratio": 4., "parameters": 250., "p50_ms": 2., "p95_ms": 4., "speedup": 4., "agreement": 0.75, "p_value": 1.} {
		if second[key] != want {
			t.Errorf("%s is %v, want %v", key, second[key], want)
		}
	}
	if v, there := first["agreement"]; !there || v != nil {
		t.Errorf("the first row agrees with %v", v)
	}
	if s := second["result"].(map[string]any)["scores"].([]any)[0].(map[string]any); s["baseline"] != 0.5 || s["baseline_name"] != "majority" {
		t.Errorf("score %v", s)
	}
}

// What nothing was measured of has no column, and a cost that grew is a drop.
func TestTableOfPerplexities(t *testing.T) {
	a, b := result(1, 4000, 0, 0, 0, 1, 1), result(1, 1000, 0, 0, 0, 1, 1)
	for i, r := range []*eval.Result{a, b} {
		r.Task = student.KindMaskedLM
		r.Scores = []eval.Score{{Head: student.KindMaskedLM, Metric: "perplexity", Value: eval.Float(10 + 5*i), Count: 4}}
		r.Logits = nil
	}
	x, err := eval.NewTable([]string{"a", "b"}, []*eval.Result{a, b})
	if err != nil {
		t.Fatal(err)
	}
	const want = `model  perplexity    drop  bytes  smaller  agreement
a         10.0000  0.0000   4000    1.00×
b         15.0000  5.0000   1000    4.00×     1.0000
`
	if got := x.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A drop is in percent of the size of the first row's value.
func TestDropFromANegativeValue(t *testing.T) {
	a, b := result(-0.5, 4000, 0, 0, 0, 1, 1), result(-0.6, 1000, 0, 0, 0, 1, 1)
	x, err := eval.NewTable([]string{"a", "b"}, []*eval.Result{a, b})
	if err != nil {
		t.Fatal(err)
	}
	if r := x.Rows[1]; !near(float64(r.Drop), 0.1) || !near(float64(r.DropPercent), 20) {
		t.Errorf("drop %v, %v%%", r.Drop, r.DropPercent)
	}
}

func TestScoresAsText(t *testing.T) {
	r := result(0.75, 1000, 0, 0, 1, 1, 1)
	r.Skipped = []string{"pos: the data has no part-of-speech tags"}
	var b strings.Builder
	const want = `head            metric     value  95% interval            guess  rows
classification  accuracy  0.7500   0.301–0.954  0.5000 majority     4
not scored: pos: the data has no part-of-speech tags
`
	if err := r.WriteScores(&b); err != nil || b.String() != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, b.String(), want)
	}
}

// Segments of one long text have the same keys; they are matched in order.
func TestRowsWithEqualKeysAreMatchedInOrder(t *testing.T) {
	a, b := result(1, 1, 0, 0, 0, 1, 1), result(1, 1, 0, 0, 0, 1, 1)
	a.Keys, b.Keys = []uint64{7, 7, 7, 7}, []uint64{7, 7, 7, 7}
	a.Gold, b.Gold = []int32{0, 0, 0, 0}, []int32{0, 0, 0, 0}
	x, err := eval.NewTable([]string{"a", "b"}, []*eval.Result{a, b})
	if err != nil || x.Rows[1].Agreement != 1 {
		t.Errorf("agreement %v, %v", x.Rows[1].Agreement, err)
	}
}

func TestNewTableErrors(t *testing.T) {
	other := result(1, 1, 0, 0, 0, 1, 1)
	other.Scores[0].Metric = "f1"
	for name, r := range map[string][]*eval.Result{"none": nil, "nothing scored": {{}, {}}, "another metric": {result(1, 1, 0, 0, 0, 1, 1), other}} {
		if _, err := eval.NewTable(make([]string, len(r)), r); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
