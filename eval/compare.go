package eval

import (
	"context"
	"fmt"
	"math"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// Entry is a model to compare.
type Entry struct {
	Name  string      // in the table and in errors
	Model *onnx.Model // with config.json, and tokenizer where Options has none
	// Bytes is the size of its file where known; 0 encodes the model to find out.
	Bytes int64
}

// Row is one model of a [Table]. Its JSON names are stable; what was not
// measured is null.
type Row struct {
	Name string `json:"name"` // of its Entry
	// Quality is the compared metric, with its 95% interval where there is one.
	Quality Float `json:"quality"`
	Low     Float `json:"low"`
	High    Float `json:"high"`
	// Drop is how much worse than the first row, in the metric's units
	// (negative: better), and DropPercent the same in percent of the first row.
	Drop        Float `json:"drop"`
	DropPercent Float `json:"drop_percent"`
	// Bytes is the file size, Ratio how many times smaller than the first row's,
	// Parameters the number of weights (see [Result]).
	Bytes      int64 `json:"bytes"`
	Ratio      Float `json:"ratio"`
	Parameters int64 `json:"parameters"`
	// P50 and P95 in milliseconds are those of the first shape timed; Speedup
	// is the first row's P50 over this one's.
	P50     Float `json:"p50_ms"`
	P95     Float `json:"p95_ms"`
	Speedup Float `json:"speedup"`
	// Agreement is the share of rows on which the prediction equals the first
	// row's, KL the mean divergence from its distribution in nats.
	Agreement Float `json:"agreement"`
	KL        Float `json:"kl"`
	// PValue is McNemar's exact p for the difference from the first row,
	// classification only.
	PValue Float `json:"p_value"`
	// Result is everything measured.
	Result *Result `json:"result,omitempty"`
}

// Table compares models; the first row is what the others are compared with.
type Table struct {
	Task     student.Kind `json:"task"`     // the kind of the head compared
	Metric   string       `json:"metric"`   // what Quality is
	Examples int          `json:"examples"` // of the data
	// Shape is the batch that P50 and P95 were measured on, nil if none was.
	Shape *Shape `json:"shape,omitempty"`
	Rows  []Row  `json:"rows"` // in the order of the models
}

// Compare evaluates the models on the same data and compares each with the
// first. Latency is measured in turns (see [Latencies]). Errors are those of
// [Run], with the entry's name.
func Compare(ctx context.Context, data corpus.Corpus, opts Options, models ...Entry) (*Table, error) {
	if len(models) == 0 {
		return nil, fmt.Errorf("eval: there is no model to compare")
	}
	quality := opts
	quality.Latency = nil
	var results []*Result
	var graphs []*onnx.Model
	for i, e := range models {
		quality.Bytes = e.Bytes
		if quality.itself = i == 0 && opts.Reference == nil; i > 0 && opts.Reference == nil {
			quality.Reference = results[0]
		}
		r, err := Run(ctx, e.Model, data, quality)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name, err)
		}
		results, graphs = append(results, r), append(graphs, e.Model)
	}
	if len(opts.Latency) > 0 {
		timings, err := Latencies(ctx, graphs, opts.Latency, opts.Timing)
		if err != nil {
			return nil, err
		}
		for i, t := range timings {
			results[i].Latency = t
		}
	}
	names := make([]string, len(models))
	for i, e := range models {
		names[i] = e.Name
	}
	return NewTable(names, results)
}

// NewTable compares results that were measured on the same data. Rows of two
// results are matched by their keys, so that two tokenizers may cut a text
// differently. Errors: no result, nothing scored, a result without the first
// one's metric.
func NewTable(names []string, results []*Result) (*Table, error) {
	if len(results) == 0 || len(names) != len(results) {
		return nil, fmt.Errorf("eval: %d names for %d results", len(names), len(results))
	}
	first := results[0]
	score := first.Primary()
	if score == nil {
		return nil, fmt.Errorf("eval: %s: nothing was scored", names[0])
	}
	t := &Table{Task: first.Task, Metric: score.Metric, Examples: first.Examples}
	if len(first.Latency) > 0 {
		t.Shape = &first.Latency[0].Shape
	}
	for i, r := range results {
		s := r.Score(first.Task, score.Metric)
		if s == nil {
			return nil, fmt.Errorf("eval: %s has no %s of its %s head to compare with %s", names[i], score.Metric, first.Task, names[0])
		}
		t.Rows = append(t.Rows, row(names[i], first, r, score, s))
	}
	return t, nil
}

// row compares r with the first result.
func row(name string, first, r *Result, base, s *Score) Row {
	nan := Float(math.NaN())
	out := Row{Name: name, Quality: s.Value, Low: nan, High: nan, P50: nan, P95: nan, Speedup: nan, Agreement: nan, KL: nan, PValue: nan,
		Bytes: r.Bytes, Parameters: r.Parameters, Result: r}
	if s.Interval != nil {
		out.Low, out.High = s.Interval.Low, s.Interval.High
	}
	out.Drop = base.Value - s.Value
	if LowerIsBetter(s.Metric) {
		out.Drop = -out.Drop
	}
	out.DropPercent = nan
	if base.Value != 0 {
		out.DropPercent = 100 * out.Drop / Float(math.Abs(float64(base.Value)))
	}
	out.Ratio = nan
	if r.Bytes > 0 {
		out.Ratio = Float(float64(first.Bytes) / float64(r.Bytes))
	}
	if len(r.Latency) > 0 {
		out.P50, out.P95 = r.Latency[0].P50, r.Latency[0].P95
		if len(first.Latency) > 0 && out.P50 > 0 {
			out.Speedup = first.Latency[0].P50 / out.P50
		}
	}
	if r != first {
		pair(first, r, &out)
	}
	return out
}

// pair fills what is measured row by row, on the rows that both have with the
// same label (two tokenizers may cut a text differently).
func pair(first, r *Result, out *Row) {
	if first.Task == student.KindRegression || first.Task == student.KindEmbedding {
		return // their rows are no distributions
	}
	at := make(map[uint64][]int, len(first.Keys))
	for i, k := range first.Keys {
		at[k] = append(at[k], i)
	}
	same, n, onlyFirst, onlySecond := 0, 0, 0, 0
	var kl meanKL
	for j, k := range r.Keys {
		// Segments of one long text share their keys: the n-th is matched with
		// the n-th.
		if len(at[k]) == 0 {
			continue
		}
		i := at[k][0]
		at[k] = at[k][1:]
		if first.Gold[i] != r.Gold[j] {
			continue
		}
		n++
		if first.Predictions[i] == r.Predictions[j] {
			same++
		}
		a, b := first.Predictions[i] == first.Gold[i], r.Predictions[j] == r.Gold[j]
		switch {
		case a && !b:
			onlyFirst++
		case b && !a:
			onlySecond++
		}
		if c := r.Classes; c == first.Classes && r.Logits != nil && first.Logits != nil {
			kl.Add(Rows{Logits: r.Logits[j*c : (j+1)*c], Reference: first.Logits[i*c : (i+1)*c], Classes: c})
		}
	}
	if first.Classes == 1 && r.Classes == 1 {
		return // numbers neither agree nor have a distribution
	}
	out.Agreement, out.KL = Float(ratio(same, n)), Float(kl.Value())
	if first.Task == student.KindClassification && n > 0 {
		out.PValue = Float(McNemar(onlyFirst, onlySecond))
	}
}
