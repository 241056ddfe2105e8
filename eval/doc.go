// Package eval measures models: quality on labelled data with confidence
// intervals and baselines, agreement with a reference, latency and size, and
// renders comparisons as text, Markdown or JSON.
//
// [Run] evaluates one model, [Compare] several against the first, and [Gate]
// turns a comparison into a pass or an error that wraps [ErrBudget].
//
// Shapes: B batch, S sequence, C classes, V vocabulary, R rows scored.
package eval
