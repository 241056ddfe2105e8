package eval

import "github.com/litekit/lite/student"

// Result is what [Run] measured. Its JSON names are stable.
type Result struct {
	// Task is the kind of the head compared: the primary one, or the first
	// scored where the primary one was not.
	Task student.Kind `json:"task"`
	// Examples is the number of examples of the data, Scored the number of
	// rows that the primary head was scored on.
	Examples int `json:"examples"`
	Scored   int `json:"scored"`
	// Scores are those of every head, the primary one's first.
	Scores []Score `json:"scores"`
	// Skipped says which heads were not scored, and why.
	Skipped []string `json:"skipped,omitempty"`
	// Bytes is the size of the model's file, Parameters the number of elements
	// of its floating point and int8 weights.
	Bytes      int64 `json:"bytes"`
	Parameters int64 `json:"parameters"`
	// Latency has an entry for each shape of [Options].Latency.
	Latency []Timing `json:"latency,omitempty"`

	// Predictions and Gold, [rows] of classes, of the primary head are kept for
	// comparison; −1 is a row of NaN.
	Predictions []int32 `json:"-"`
	Gold        []int32 `json:"-"`
	// Logits is [rows, Classes] of the primary head, nil where Classes > 64.
	Logits []float32 `json:"-"`
	// Classes is C, for embeddings H.
	Classes int `json:"-"`
	// Vectors is [examples, Classes] of an embedding, in the data's order.
	Vectors []float32 `json:"-"`
	// Key of each row: (example, position), to match rows of two models.
	Keys []uint64 `json:"-"`
}

// Score is one metric of one head.
type Score struct {
	Head   student.Kind `json:"head"`
	Metric string       `json:"metric"` // see [Metrics]
	Value  Float        `json:"value"`
	// Interval is the 95% confidence interval: Wilson's for shares, normal on
	// the log-likelihood for perplexity, bootstrap over the rows (for entity F1
	// over the sequences) for the rest. It takes rows as independent, which
	// tokens of one text are not quite.
	Interval *Interval `json:"interval,omitempty"`
	// Count is the number of rows scored.
	Count int `json:"count"`
	// Baseline is what a constant guess scores on the same rows, BaselineName
	// which guess that is ("majority", "unigram").
	BaselineName string `json:"baseline_name,omitempty"`
	Baseline     *Float `json:"baseline,omitempty"`
	// Details are the metric's further numbers (see [Detailer]).
	Details []Detail `json:"details,omitempty"`
}

// Primary is the score that comparisons use: the first of the primary head;
// nil if there is none.
func (r *Result) Primary() *Score {
	for i := range r.Scores {
		if r.Scores[i].Head == r.Task {
			return &r.Scores[i]
		}
	}
	return nil
}

// Score returns the named metric of a head ("" is the primary one), nil if it was not measured.
func (r *Result) Score(kind student.Kind, metric string) *Score {
	if kind == "" {
		kind = r.Task
	}
	for i := range r.Scores {
		if r.Scores[i].Head == kind && r.Scores[i].Metric == metric {
			return &r.Scores[i]
		}
	}
	return nil
}
