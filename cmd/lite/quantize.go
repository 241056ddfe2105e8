package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/quantize"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/teacher"
)

// quantizeFlags say how a model becomes int8.
type quantizeFlags struct {
	app         *app
	cfg         quantize.Config
	out         *output
	model       string
	calibrate   group
	calibration []string
	method      string
	samples     int
	maxLength   int
	data        dataFlags
	dev         devFlags
}

func quantizeCommand(a *app) *cobra.Command {
	q := &quantizeFlags{app: a, cfg: quantize.Default(), out: &output{app: a, file: int8File}, method: "minmax"}
	q.cfg.Mode = quantize.Dynamic
	q.dev.app, q.dev.data = a, &q.data
	models, calibrate, files, measure := newGroup("Models"), newGroup("Calibration"), newGroup("Files"), newGroup("Evaluation")
	models.StringVar(&q.model, "model", "", "the float model: a `directory` or file")
	q.out.register(models, "the int8 model (as onnx/model_quantized.onnx)")
	filesVar(calibrate, &q.calibration, "calibration", "`files` of text from which static ranges are learned")
	var methods []string
	for _, c := range quantize.Calibrators() {
		methods = append(methods, c.Name())
	}
	choiceVar(calibrate.FlagSet, &q.method, "calibration-method", "how values become a range", methods...)
	calibrate.IntVar(&q.samples, "num-samples", 128, "examples that are used")
	calibrate.IntVar(&q.maxLength, "max-length", 128, "tokens in a sequence, special ones included")
	q.calibrate = calibrate
	q.data.register(a, files)
	q.dev.register(measure, "the model before and after", true)

	cmd := a.command(&cobra.Command{
		Use:   "quantize --model DIR --out DIR",
		Short: "Make an int8 model",
		Long: `Make an int8 model. Dynamic mode needs no data; static mode learns the ranges of
activations from --calibration; weight-only mode computes in float.

With --max-drop, nodes that cost most quality are left in float until the
budget is kept.`,
		Example: `  lite quantize --model small --out small-int8
  lite quantize --model small --mode static --calibration train.tsv --dev dev.tsv --max-drop 1% --out small-int8
  lite quantize --model small --nodes-to-exclude 're:layer\.0/' --out small-int8`,
		Args: noArguments,
	}, q.run)
	withFlags(cmd, models, q.quantizeGroup(), calibrate, files, measure)
	required(cmd, "model", "out")
	return cmd
}

func (q *quantizeFlags) quantizeGroup() group {
	g, c := newGroup("Quantization"), &q.cfg
	choiceVar(g.FlagSet, &c.Mode, "mode", "how activations are treated", quantize.Dynamic, quantize.Static, quantize.WeightOnly)
	g.BoolVar(&c.PerChannel, "per-channel", c.PerChannel, "a scale for each output channel of a weight")
	g.BoolVar(&c.ReduceRange, "reduce-range", c.ReduceRange, "weights in 7 bits, exact on machines without VNNI in ONNX Runtime")
	g.BoolVar(&c.Asymmetric, "asymmetric", c.Asymmetric, "weights with a zero point")
	g.BoolVar(&c.Embeddings, "embeddings", c.Embeddings, "embedding tables in int8 too")
	g.StringSliceVar(&c.OpTypes, "op-types", nil, "`operators` to quantize: MatMul, Gemm, Gather (default: all)")
	g.StringSliceVar(&c.NodesToExclude, "nodes-to-exclude", nil, "`nodes` to leave in float, by name or re:EXPRESSION")
	g.StringSliceVar(&c.NodesToInclude, "nodes-to-include", nil, "`nodes` to quantize, by name or re:EXPRESSION (default: all)")
	return g
}

func (q *quantizeFlags) run(ctx context.Context, _ []string) error {
	if err := exist("--calibration", q.calibration...); err != nil {
		return err
	}
	if err := atLeast(1, count{"--num-samples", q.samples}, count{"--max-length", q.maxLength}); err != nil {
		return err
	}
	if q.cfg.Mode == quantize.Static && len(q.calibration) == 0 {
		return misfit.Errorf("--mode static learns ranges from text; name it with --calibration, or use --mode dynamic")
	}
	if err := q.idle(); err != nil {
		return err
	}
	m, err := openModel("--model", q.model)
	if err != nil {
		return err
	}
	if err := q.out.check(q.model); err != nil {
		return err
	}
	if err := errors.Join(q.dev.open(ctx, ""), q.learn(m)); err != nil {
		return err
	}
	if err := q.dev.check(m, q.maxLength); err != nil {
		return err
	}
	q.budget(m)
	q.cfg.Progress = func(stage string, done, total int) { q.app.progress.stageOf(stage, done, total) }
	small, report, err := quantize.Run(ctx, m, q.cfg)
	q.app.progress.clear()
	missed := err
	if err != nil && !errors.Is(err, eval.ErrBudget) {
		return err
	}
	q.print(report)
	q.dev.maxDrop = nil // quantize has judged it
	names := shortNames([]string{q.model, q.out.path})
	return q.app.finish(&summary{Command: "quantize", Quantize: report}, small, q.out, func(bytes int64) (*eval.Table, error) {
		table, err := q.dev.compare(ctx, q.maxLength, eval.Entry{Name: names[0], Model: m}, eval.Entry{Name: names[1], Model: small, Bytes: bytes})
		return table, errors.Join(err, missed)
	})
}

// idle refuses flags of calibration that say nothing: ranges are learned in static
// mode, and the search within --max-drop looks at the samples in every mode.
func (q *quantizeFlags) idle() error {
	if q.cfg.Mode == quantize.Static {
		return nil
	}
	for _, name := range []string{"calibration-method", "calibration", "num-samples"} {
		if q.calibrate.Changed(name) && (q.dev.maxDrop == nil || name == "calibration-method") {
			return misfit.Errorf("--%s is for --mode static, and the mode is %s; leave it out, or add --mode static", name, q.cfg.Mode)
		}
	}
	return nil
}

// learn sets the samples.
func (q *quantizeFlags) learn(m *onnx.Model) error {
	files := q.calibration
	if len(files) == 0 {
		return nil
	}
	c, err := q.data.open("calibration", files)
	if err != nil {
		return err
	}
	tok, err := teacher.Tokenizer(m, c)
	if err != nil {
		return err
	}
	if q.cfg.Calibrator, err = quantize.CalibratorByName(q.method); err != nil {
		return err
	}
	q.cfg.Calibration, err = quantize.FromCorpus(corpus.Take(c, q.samples), tok, corpus.ViewOptions{BatchSize: 8, MaxLength: q.maxLength}, 0)
	return err
}

// budget lets the search measure models on --dev.
func (q *quantizeFlags) budget(m *onnx.Model) {
	if q.dev.maxDrop == nil {
		return
	}
	if q.dev.metric == "" {
		q.dev.metric = "accuracy"
		if m.Config.Regression() {
			q.dev.metric = "pearson"
		}
		if primaryKind(m) == student.KindNER {
			q.dev.metric = "ner_f1"
		}
	}
	o := q.dev.options(q.maxLength)
	o.Progress = nil
	q.cfg.MaxDrop, q.cfg.Metric, q.cfg.Evaluate = q.dev.maxDrop, q.dev.metric, eval.Evaluator(q.dev.corpus, o)
}

// print tells what was done, for people.
func (q *quantizeFlags) print(r *quantize.Report) {
	q.app.print("%s: %d nodes in int8, %d in float; weights %s → %s; largest error of a weight %.4g", r.Mode, r.Quantized, r.Float, size(r.BytesBefore), size(r.BytesAfter), float64(r.LargestError))
	for _, n := range r.Nodes {
		if !n.Int8 {
			q.app.print("  in float: %s (%s)", n.Name, n.Why)
		}
	}
	if b := r.Budget; b != nil {
		q.app.print("budget: %s %.4f → %.4f, accepted drop %s, met: %v, after %d evaluations", b.Metric, float64(b.Baseline), float64(b.Value), b.MaxDrop, b.Met, b.Evaluations)
	}
}
