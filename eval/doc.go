// Package eval measures models: quality on labelled data with confidence
// intervals and baselines, agreement with a reference, latency and size, and
// renders comparisons as text, Markdown or JSON.
//
// [Run] evaluates one model, [Compare] several against the first, and [Gate]
// turns a comparison into a pass or an error that wraps [ErrBudget]. [Check]
// finds before a long run what Run would fail on, [Evaluator] gives the one
// number that a search or a training asks for. [BenchFile] and [Latencies] time.
//
// # Numbers
//
// A [Metric] takes blocks of [Rows] and gives one number; [Metrics] lists them
// by name, [MetricsFor] those that suit a head. What they mean on the edges:
// nothing scored is NaN; equal scores go to the first class; a row of NaN has no
// answer and is wrong; a constant has no correlation (NaN) and a Matthews
// coefficient of 0, as in scikit-learn. NaN is null in JSON and empty in tables.
//
// # Statistics
//
// Shares have the score interval ([Wilson]), other metrics the percentile
// [Bootstrap] of their rows, drawn from Options.Seed. Two classifiers that were
// tested on the same examples are compared by [McNemar]'s exact test.
//
// Shapes: B batch, S sequence, C classes, H size of a vector, V vocabulary, R
// rows scored.
package eval
