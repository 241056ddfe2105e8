package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// training is what the commands that train share: flags of data, losses and
// optimiser, and the way from them to distill.Run.
type training struct {
	app  *app
	cfg  distill.Config
	loss objectives
	data dataFlags
	mix  mixFlags
	dev  devFlags
	selection

	steps      group            // of stepsGroup
	parts      []stage          // of --config
	stages     []distill.Config // made of them; see configure
	selections []selection      // of the stages
	dry        bool             // --dry-run

	task, text  []string
	limitLabels int
	language    string
}

func newTraining(a *app) *training {
	t := &training{app: a, cfg: distill.Default()}
	t.dev.app, t.dev.data = a, &t.data
	return t
}

// dataGroup makes the flags that name data.
func (t *training) dataGroup() group {
	g := newGroup("Data")
	filesVar(g, &t.task, "data", "task data: `files` or folders, separated by commas or repeated")
	filesVar(g, &t.text, "text", "`files` of unlabelled text for the losses on masked text (default: those of --data)")
	g.IntVar(&t.limitLabels, "limit-labels", 0, "use the labels of the first `N` examples of --data only")
	annotatorVar(g.FlagSet, &t.language, "annotate raw text with words, parts of speech and entities")
	t.mix.register(g)
	t.data.register(t.app, g)
	return g
}

// stepsGroup makes the flags of the optimiser. The lengths of the run are
// called prefix+"epochs" and prefix+"steps".
func (t *training) stepsGroup(prefix string) group {
	g, c := newGroup("Training"), &t.cfg
	g.IntVar(&c.Epochs, prefix+"epochs", c.Epochs, "passes over the task data (over the text, if only that is used)")
	g.IntVar(&c.Steps, prefix+"steps", 0, "number of updates, in place of the epochs")
	g.IntVar(&c.Batch, "batch", c.Batch, "examples in a batch")
	g.IntVar(&c.BatchTokens, "batch-tokens", 0, "`tokens` of a batch, padding included, in place of --batch: sequences of about one length, as many as fit")
	g.IntVar(&c.Accumulate, "accumulate", c.Accumulate, "batches to an update")
	g.IntVar(&c.MaxLength, "max-length", c.MaxLength, "tokens in a sequence, special ones included")
	g.Float64Var(&c.LearningRate, "lr", c.LearningRate, "learning rate at its peak")
	shareVar(g.FlagSet, &c.Warmup, "warmup", c.Warmup, "share of the steps over which the rate rises")
	choiceVar(g.FlagSet, &c.Decay, "decay", "how the rate falls after that", distill.Linear, distill.Cosine, distill.Constant)
	choiceVar(g.FlagSet, &c.Optimizer, "optimizer", "what makes updates of gradients (default adamw)", distill.Optimizers()...)
	g.Float64Var(&c.WeightDecay, "weight-decay", c.WeightDecay, "weight decay, not applied to biases and LayerNorm")
	g.Float64Var(&c.LayerDecay, "layer-decay", 1, "factor of the learning rate from each layer to the one below it")
	g.Float64Var(&c.EMA, "ema", 0, "share that moving averages of the weights keep at a step, such as 0.999; the averages are the result")
	g.Float64Var(&c.ClipNorm, "clip", c.ClipNorm, "bound of the gradient's norm; 0 for none")
	g.Float64Var(&c.Dropout, "dropout", c.Dropout, "dropout probability")
	g.Uint64Var(&c.Seed, "seed", 0, "seed of data order, masks, dropout and fresh weights")
	g.StringVar(&c.Checkpoint, "checkpoint", "", "`directory` of the checkpoint, which is removed at the end (default: OUT.checkpoint)")
	g.DurationVar(&c.CheckpointEvery, "checkpoint-every", c.CheckpointEvery, "time between checkpoints")
	g.IntVar(&c.CheckpointSteps, "checkpoint-steps", 0, "also write a checkpoint every `N` steps")
	g.IntVar(&c.KeepCheckpoints, "keep-checkpoints", 1, "checkpoints to keep, for where the newest is damaged")
	g.StringVar(&c.Log, "log", "", "`file` to which every step appends a line of JSON: losses, rate, norm, tokens")
	g.BoolVar(&c.Recompute, "recompute", false, "compute layers again in the backward pass: less memory, more time, the same bytes")
	parsedVar(g.FlagSet, &c.MaxMemory, "max-memory", "size", "memory that training may hold, such as 2GB: layers are computed again, and batches made smaller, until it fits", parseBytes)
	g.DurationVar(&c.TimeBudget, "time-budget", 0, "as many steps as fit that `time`, such as 30m, at most those of the other flags")
	t.selection.register(g)
	t.steps = g
	return g
}

// open reads the data that the flags name; tags says that the task is to tag words.
func (t *training) open(ctx context.Context, tags bool) (err error) {
	if err := errors.Join(exist("--data", t.task...), exist("--text", t.text...), exist("--dev", t.dev.files...)); err != nil {
		return misfit.Of(err)
	}
	if t.limitLabels < 0 {
		return misfit.Errorf("--limit-labels %d: give the number of examples whose labels count", t.limitLabels)
	}
	if err := t.places(); err != nil {
		return err
	}
	if t.cfg.KeepCheckpoints == 0 && t.steps.FlagSet != nil {
		return misfit.Errorf("--keep-checkpoints 0: give a number of at least 1")
	}
	if len(t.task)+len(t.text) == 0 {
		return misfit.Errorf("nothing to train on; name files with --data or --text")
	}
	if err := t.mix.check(t.task, t.dev.files); err != nil {
		return err
	}
	if len(t.task) > 0 {
		if t.cfg.Task, t.dev.corpus, err = t.mix.open(t.app, &t.data, t.task, t.cfg.Seed); err != nil {
			return err
		}
		if t.limitLabels > 0 && len(t.cfg.Task.Labels()) == 0 {
			return misfit.Errorf("--limit-labels %d: the data of --data has no labels", t.limitLabels)
		}
	}
	if len(t.text) > 0 {
		c, err := t.data.open("text", t.text)
		if err != nil {
			return err
		}
		if t.cfg.Text, err = t.app.annotate(ctx, t.language, corpus.Unlabeled(c)); err != nil {
			return err
		}
	}
	if tags || len(t.text) == 0 {
		if t.cfg.Task, err = t.app.annotate(ctx, t.language, t.cfg.Task); err != nil {
			return err
		}
	}
	if err := t.dev.open(ctx, t.language); err != nil {
		return err
	}
	measured := "--dev"
	if len(t.dev.files) == 0 {
		measured = "--dev-split"
	}
	return errors.Join(warnOverlap(t.app, "--data", t.cfg.Task, measured, t.dev.corpus), warnOverlap(t.app, "--text", t.cfg.Text, measured, t.dev.corpus))
}

// places refuses files that stand where a directory is to be, and a log that
// cannot be begun.
func (t *training) places() error {
	for _, d := range []struct{ flag, path string }{{"--checkpoint", t.cfg.Checkpoint}, {"--cache", t.cfg.Cache}} {
		if info, err := os.Stat(d.path); err == nil && !info.IsDir() {
			return misfit.Errorf("%s: %s is a file; name a directory", d.flag, d.path)
		}
	}
	if t.cfg.Log == "" {
		return nil
	}
	if info, err := os.Stat(t.cfg.Log); err == nil && info.IsDir() {
		return misfit.Errorf("--log: %s is a directory; name a file", t.cfg.Log)
	}
	return exist("--log", filepath.Dir(t.cfg.Log))
}

// objectives sets the losses for a model with that primary head and checks
// that there is data for them.
func (t *training) objectives(head student.Kind, teacher bool) (err error) {
	if len(t.parts) == 0 && t.cfg.Stage == "" {
		t.parts = t.loss.stagesOfPreset(head)
	}
	if len(t.parts) > 0 {
		return t.configure(head, teacher)
	}
	given := t.loss.given()
	if t.cfg.Loss, err = t.loss.sum(head, teacher); err != nil {
		return err
	}
	if t.cfg.Stage == "" { // what is given for all stages may say nothing in one
		if err := t.loss.idle(given, head); err != nil {
			return err
		}
	}
	if t.cfg.LayerDecay == 0 {
		return misfit.Errorf("--layer-decay 0: give a factor above 0, up to 1, which lets all layers learn alike")
	}
	t.cfg.LearnWeights = t.loss.learn
	if len(t.cfg.Loss) == 0 {
		return misfit.Errorf("every loss has weight 0; give one of the --alpha flags a weight")
	}
	if reads(t.cfg.Loss, distill.Clean) && t.cfg.Task == nil {
		t.cfg.Task = t.cfg.Text // soft labels need no hard ones
	}
	for _, term := range t.cfg.Loss {
		if _, hard := term.Loss.(distill.Scores); hard {
			if err := hasScores(t.cfg.Task); err != nil {
				return err
			}
		}
		if _, hard := term.Loss.(distill.HardLabels); hard && head == student.KindClassification && len(t.cfg.Task.Labels()) == 0 {
			return misfit.Errorf("--alpha-ce: the labels of the examples are to be learned, but the data has none; give labelled data with --data (and --label-column)")
		}
	}
	return misfit.Of(t.cfg.Validate())
}

// hasScores refuses data without a number to predict.
func hasScores(c corpus.Corpus) error {
	for i := range c.Len() {
		if e, err := c.At(i); err != nil || e.Score != nil {
			return err
		}
	}
	return misfit.Errorf("the scores of the examples are to be learned, but the data has none; give data with a score (a column or member \"score\", or the one that --score-column names)")
}

// prepare completes the configurations of the stages for the training of m; the
// checkpoint goes beside the output.
func (t *training) prepare(m *onnx.Model, out *output) ([]distill.Config, error) {
	if t.cfg.Checkpoint == "" {
		t.cfg.Checkpoint = strings.TrimSuffix(filepath.Clean(out.path), ".onnx") + ".checkpoint"
	}
	stages, selections := []distill.Config{t.cfg}, []selection{t.selection}
	if len(t.stages) > 0 {
		stages, selections = t.stages, t.selections
	}
	p, warn := t.app.progress, t.app.warnOnce()
	for i := range stages {
		c := &stages[i]
		c.Checkpoint, c.Hook, c.KeepHeads, c.Teacher = t.cfg.Checkpoint, t.cfg.Hook, t.cfg.KeepHeads, t.cfg.Teacher
		c.MoreTeachers, c.TeacherWeights = t.cfg.MoreTeachers, t.cfg.TeacherWeights
		c.Notice = func(s string) { p.note("%s", s) }
		c.Labelling = func(done, total int) { p.stageOf("teacher's labels", done, total) }
		c.Decided = func(what string) { p.note("%s", what) }
		c.Warn = func(err error) {
			out.rescue = true // the checkpoint may be behind: see output.save
			warn(err)
		}
		if err := selections[i].apply(c, &t.dev, m); err != nil {
			return nil, err
		}
	}
	return stages, nil
}

// train runs the training of m, in its stages.
func (t *training) train(ctx context.Context, m *onnx.Model, out *output) (*onnx.Model, []*distill.Report, error) {
	stages, err := t.prepare(m, out)
	if err != nil {
		return nil, nil, err
	}
	var heap steadyHeap
	heap.start()
	defer heap.stop()
	for i := range stages {
		stages[i].Progress = func(s distill.Progress) {
			heap.look()
			t.app.progress.training(s)
		}
	}
	m, reports, err := distill.RunStages(ctx, m, stages)
	debug.FreeOSMemory() // before the model is written and measured
	t.app.progress.clear()
	if err != nil {
		return nil, nil, err
	}
	return m, reports, nil
}

// done removes the checkpoint when nothing is left to do: until then, also
// where the evaluation failed, the same command goes on from it.
func (t *training) done(err error) error {
	if err != nil && !errors.Is(err, eval.ErrBudget) {
		return err
	}
	return errors.Join(err, distill.RemoveCheckpoint(t.cfg.Checkpoint))
}

// devFlags are the flags of the evaluation at the end of a command.
type devFlags struct {
	app     *app
	data    *dataFlags
	files   []string
	metric  string
	maxDrop eval.Budget
	corpus  corpus.Corpus
}

// register adds the flags; budget tells whether there is something to compare with.
func (d *devFlags) register(g group, what string, budget bool) {
	filesVar(g, &d.files, "dev", "labelled `files` to measure "+what+" on at the end")
	choiceVar(g.FlagSet, &d.metric, "metric", "what to measure (default: the task's own)", metricNames()...)
	if budget {
		parsedVar(g.FlagSet, &d.maxDrop, "max-drop", "drop", "loss of the metric that is accepted: 1% of it, or 0.01; more is exit code 3", eval.ParseBudget)
	}
}

// metricNames are the metrics of one model that some head has.
func metricNames() (names []string) {
	for _, m := range eval.Metrics() {
		if slices.ContainsFunc(kinds, func(k student.Kind) bool { return slices.Contains(eval.MetricsFor(k), m.Name) }) {
			names = append(names, m.Name)
		}
	}
	return names
}

// asMetricUsage makes a metric that does not fit a usage error.
func asMetricUsage(err error) error {
	var unknown *eval.MetricError
	if errors.As(err, &unknown) {
		return misfit.Errorf("--metric: %w", err)
	}
	return err
}

// open reads the files and checks that the flags agree.
func (d *devFlags) open(ctx context.Context, language string) (err error) {
	if len(d.files) == 0 && d.corpus != nil { // --dev-split
		d.corpus, err = d.app.annotate(ctx, language, d.corpus)
		return err
	}
	if len(d.files) == 0 {
		if d.maxDrop != nil {
			return misfit.Errorf("--max-drop needs labelled data to measure on; name it with --dev")
		}
		if d.metric != "" {
			return misfit.Errorf("--metric %s needs labelled data to measure on; name it with --dev", d.metric)
		}
		return nil
	}
	if err := exist("--dev", d.files...); err != nil {
		return err
	}
	if d.corpus, err = d.data.open("dev", d.files); err != nil {
		return err
	}
	d.corpus, err = d.app.annotate(ctx, language, d.corpus)
	return err
}

// check makes sure, before any work is done, that m can be measured.
func (d *devFlags) check(m *onnx.Model, maxLength int) error {
	if d.corpus == nil {
		return nil
	}
	if err := eval.Check(m, d.corpus, d.options(maxLength)); err != nil {
		return asMetricUsage(fmt.Errorf("--dev: %w", err))
	}
	return nil
}

// options are those of the evaluation.
func (d *devFlags) options(maxLength int) eval.Options {
	o := eval.Options{MaxLength: maxLength, Progress: func(stage string, done, total int) {
		d.app.progress.stageOf("evaluate "+stage, done, total)
	}}
	if d.metric != "" {
		o.Metrics = []string{d.metric}
	}
	return o
}

// compare measures the models, the last of which is the new one, which must
// keep the budget. The table is nil without --dev.
func (d *devFlags) compare(ctx context.Context, maxLength int, entries ...eval.Entry) (*eval.Table, error) {
	if d.corpus == nil {
		return nil, nil
	}
	table, err := eval.Compare(ctx, d.corpus, d.options(maxLength), entries...)
	d.app.progress.clear()
	if err != nil {
		return nil, fmt.Errorf("the model is written, but it could not be measured on --dev: %w", err)
	}
	if d.maxDrop == nil {
		return table, nil
	}
	return table, table.Check(entries[len(entries)-1].Name, d.maxDrop)
}
