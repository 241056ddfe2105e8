package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// evalFlags say what is measured.
type evalFlags struct {
	app      *app
	opts     eval.Options
	data     dataFlags
	files    []string
	language string
	heads    []string
	maxDrop  eval.Budget
	markdown bool
}

func evalCommand(a *app) *cobra.Command {
	e := &evalFlags{app: a, opts: eval.Options{MaxLength: 128, BatchSize: 32, MaskRate: 0.15}}
	data, measure, output := newGroup("Data"), newGroup("Evaluation"), newGroup("Output")
	filesVar(data, &e.files, "data", "labelled `files` or folders, separated by commas or repeated")
	annotatorVar(data.FlagSet, &e.language, "annotate raw text, so that tagging heads can be scored")
	e.data.register(a, data)
	measure.StringSliceVar(&e.opts.Metrics, "metric", nil, "`metrics` of the primary head, the first being compared: "+strings.Join(metricNames(), ", ")+" (default: the task's own)")
	measure.StringSliceVar(&e.heads, "heads", nil, "`heads` to score: classification, regression, embedding, mlm, pos, ner, sop (default: all that the data can score)")
	parsedVar(measure.FlagSet, &e.opts.Latency, "latency", "BxS", "also time batches of B sequences of S tokens: shapes such as 1x32,8x128", parseShapes)
	measure.IntVar(&e.opts.Timing.Runs, "runs", 20, "timed runs of each shape")
	measure.IntVar(&e.opts.MaxLength, "max-length", e.opts.MaxLength, "tokens in a sequence, special ones included")
	measure.IntVar(&e.opts.BatchSize, "batch", e.opts.BatchSize, "sequences run together")
	shareVar(measure.FlagSet, &e.opts.MaskRate, "mask-rate", e.opts.MaskRate, "share of the tokens masked for masked language modelling")
	measure.Uint64Var(&e.opts.Seed, "seed", 0, "seed of masks and of the order of sentences")
	parsedVar(measure.FlagSet, &e.maxDrop, "max-drop", "drop", "loss beside the first model that is accepted: 1% of it, or 0.01; more is exit code 3", eval.ParseBudget)
	output.BoolVar(&e.markdown, "markdown", false, "tables in Markdown")

	cmd := a.command(&cobra.Command{
		Use:   "eval MODEL... --data FILES",
		Short: "Measure models, and compare them with the first",
		Long: `Measure the quality of models on data: every head that the data can score, with
confidence intervals and what a constant guess would score. Several models are
compared with the first.`,
		Example: `  lite eval bert-sst2 small small-int8 --data dev.tsv --latency 1x32
  lite eval zh-mlm --data heldout.txt --annotate zh
  lite eval bert-sst2 small --data dev.tsv --max-drop 2%`,
		Args: cobra.MinimumNArgs(1),
	}, e.run)
	withFlags(cmd, data, measure, output)
	required(cmd, "data")
	return cmd
}

// kinds are the heads that can be scored.
var kinds = []student.Kind{student.KindClassification, student.KindMaskedLM, student.KindPOS, student.KindNER, student.KindSentenceOrder, student.KindNextSentence, student.KindRegression, student.KindEmbedding}

func (e *evalFlags) run(ctx context.Context, args []string) error {
	if err := exist("--data", e.files...); err != nil {
		return err
	}
	if err := atLeast(1, count{"--batch", e.opts.BatchSize}, count{"--max-length", e.opts.MaxLength}, count{"--runs", e.opts.Timing.Runs}); err != nil {
		return err
	}
	if e.opts.MaskRate == 0 {
		return misfit.Errorf("--mask-rate 0: nothing would be masked; give a share above 0")
	}
	if e.maxDrop != nil && len(args) < 2 {
		return misfit.Errorf("--max-drop compares with the first model; name at least two")
	}
	for _, h := range e.heads {
		if !slices.Contains(kinds, student.Kind(h)) {
			return misfit.Errorf("--heads: %q is none of %v", h, kinds)
		}
		e.opts.Heads = append(e.opts.Heads, student.Kind(h))
	}
	for _, m := range e.opts.Metrics {
		if !slices.Contains(metricNames(), m) {
			return misfit.Errorf("--metric: %q is none of %v", m, metricNames())
		}
	}
	var entries []eval.Entry
	for i, name := range shortNames(args) {
		m, err := openModel(args[i], args[i])
		if err != nil {
			return err
		}
		entries = append(entries, eval.Entry{Name: name, Model: m})
		if err := e.has(args[i], m, entries[0].Model); err != nil {
			return err
		}
	}
	data, err := e.data.open("data", e.files)
	if err != nil {
		return err
	}
	if data, err = e.app.annotate(ctx, e.language, data); err != nil {
		return err
	}
	e.opts.Progress = func(stage string, done, total int) { e.app.progress.stageOf("evaluate "+stage, done, total) }
	table, err := eval.Compare(ctx, data, e.opts, entries...)
	e.app.progress.clear()
	if err != nil {
		return asMetricUsage(err)
	}
	if err := e.write(table); err != nil || e.maxDrop == nil {
		return err
	}
	for _, entry := range entries[1:] {
		if err := table.Check(entry.Name, e.maxDrop); err != nil {
			return err
		}
	}
	return nil
}

// has refuses --heads that a model does not have, and, without them, a model
// that predicts something else than the first.
func (e *evalFlags) has(path string, m, first *onnx.Model) error {
	list, err := student.HeadsOf(m.Config)
	if a, b := primaryKind(first), primaryKind(m); len(e.opts.Heads) == 0 && a != "" && b != "" && a != b {
		return misfit.Errorf("%s has a %s head, and the first model, which it is compared with, a %s head; measure them one by one", path, b, a)
	}
	if err != nil || len(list) == 0 {
		return nil // what such a model predicts, eval finds out
	}
	for _, h := range e.opts.Heads {
		if !slices.ContainsFunc(list, func(x student.Head) bool { return x.Kind == h }) {
			return misfit.Errorf("--heads: %s has no %s head; its heads are listed by lite inspect", path, h)
		}
	}
	return nil
}

// write renders the table; a single model's is the list of its scores.
func (e *evalFlags) write(t *eval.Table) error {
	switch {
	case e.app.json:
		return t.WriteJSON(e.app.out)
	case e.markdown:
		if err := t.WriteMarkdown(e.app.out); err != nil {
			return err
		}
	case len(t.Rows) > 1 || t.Shape != nil:
		if err := t.WriteText(e.app.out); err != nil {
			return err
		}
	default:
		return t.Rows[0].Result.WriteScores(e.app.out)
	}
	fence := ""
	if e.markdown {
		fence = "```\n"
	}
	for _, r := range t.Rows {
		if len(t.Rows) > 1 && !several(r.Result) {
			continue
		}
		fmt.Fprintf(e.app.out, "\n%s\n%s", r.Name, fence)
		if err := r.Result.WriteScores(e.app.out); err != nil {
			return err
		}
		fmt.Fprint(e.app.out, fence)
	}
	return nil
}

// several tells whether more than one head was scored.
func several(r *eval.Result) bool {
	for _, s := range r.Scores {
		if s.Head != r.Scores[0].Head {
			return true
		}
	}
	return false
}

// maxTokens bounds a batch: more is a slip of the keyboard, and fills the memory.
const maxTokens = 1 << 20

// parseShapes reads "1x32,8x128".
func parseShapes(s string) ([]eval.Shape, error) {
	var out []eval.Shape
	for _, part := range strings.Split(s, ",") {
		b, l, ok := strings.Cut(strings.ReplaceAll(part, "×", "x"), "x")
		batch, err1 := strconv.Atoi(strings.TrimSpace(b))
		length, err2 := strconv.Atoi(strings.TrimSpace(l))
		if !ok || err1 != nil || err2 != nil || batch < 1 || length < 1 {
			return nil, fmt.Errorf("%q is not a batch; write sequences x tokens, such as 1x32", part)
		}
		if batch > maxTokens/length {
			return nil, fmt.Errorf("%q is more than the %d tokens that are run at once", part, maxTokens)
		}
		out = append(out, eval.Shape{Batch: batch, Length: length})
	}
	return out, nil
}
