package eval

import (
	"context"
	"fmt"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/onnx"
)

// Gate is a step that lets a model through unchanged if it keeps a budget
// beside a baseline, and otherwise fails with an error that wraps [ErrBudget].
type Gate struct {
	// Baseline is the model compared with, usually the one before compression.
	Baseline *onnx.Model
	// Data is what both are measured on.
	Data corpus.Corpus
	// Metric is the metric's name; "" is the task's own (see [Options.Metrics]).
	Metric string
	// MaxDrop is the loss accepted; nil accepts none.
	MaxDrop Budget
	// Options are the further options of the evaluation.
	Options Options
	// OnTable, where set, receives the comparison, met or not.
	OnTable func(*Table)
}

// Name is the step's name in pipelines and reports.
func (g Gate) Name() string { return "gate" }

// Apply returns m where the budget is kept. Where it is not, it returns m with a *BudgetError.
func (g Gate) Apply(ctx context.Context, m *onnx.Model) (*onnx.Model, error) {
	if g.Baseline == nil {
		return nil, fmt.Errorf("eval: gate: there is no baseline model")
	}
	opts := g.Options
	if g.Metric != "" {
		opts.Metrics = []string{g.Metric}
	}
	t, err := Compare(ctx, g.Data, opts, Entry{Name: "baseline", Model: g.Baseline}, Entry{Name: "model", Model: m})
	if err != nil {
		return nil, err
	}
	if g.OnTable != nil {
		g.OnTable(t)
	}
	return m, t.Check("model", g.MaxDrop)
}

// Check returns a *BudgetError if the named row falls below the budget beside
// the first row; a nil budget accepts no drop.
func (t *Table) Check(name string, budget Budget) error {
	if budget == nil {
		budget = Absolute(0)
	}
	for _, r := range t.Rows {
		if r.Name != name {
			continue
		}
		base, value := float64(t.Rows[0].Quality), float64(r.Quality)
		if Within(budget, base, value, LowerIsBetter(t.Metric)) {
			return nil
		}
		return &BudgetError{What: name, Metric: t.Metric, Baseline: base, Value: value, Budget: budget}
	}
	return fmt.Errorf("eval: the table has no row %q", name)
}

// Evaluator returns a function that measures a model's primary metric on data,
// as quantization and pruning searches want it.
func Evaluator(data corpus.Corpus, opts Options) func(ctx context.Context, m *onnx.Model) (float64, error) {
	opts.Latency = nil
	if opts.Bytes == 0 {
		opts.Bytes = 1 // the size is not asked for
	}
	return func(ctx context.Context, m *onnx.Model) (float64, error) {
		r, err := Run(ctx, m, data, opts)
		if err != nil {
			return 0, err
		}
		return float64(r.Primary().Value), nil
	}
}

// EvaluatorAgainst is [Evaluator] for embeddings without scored pairs: the metric is
// the mean cosine with the vectors that reference gives of the same texts. Those are
// computed when the function is first called, which must not be from several
// goroutines at once.
func EvaluatorAgainst(reference *onnx.Model, data corpus.Corpus, opts Options) func(ctx context.Context, m *onnx.Model) (float64, error) {
	opts.Metrics, opts.Bytes, opts.Latency = []string{"cosine"}, 1, nil
	return func(ctx context.Context, m *onnx.Model) (float64, error) {
		if opts.Reference == nil {
			own := opts
			own.itself = true
			r, err := Run(ctx, reference, data, own)
			if err != nil {
				return 0, err
			}
			opts.Reference = r
		}
		return Evaluator(data, opts)(ctx, m)
	}
}
