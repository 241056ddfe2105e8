package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/prune"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/teacher"
)

// pruneFlags say what is removed and how the rest is trained afterwards.
type pruneFlags struct {
	*training
	out       *output
	cfg       prune.Config
	model     string
	teacher   string
	criterion string
	keep      string
	samples   int
}

func pruneCommand(a *app) *cobra.Command {
	t := &pruneFlags{training: newTraining(a), out: &output{app: a, file: floatFile}, cfg: prune.Config{Unit: prune.HeadsAndNeurons, Scope: prune.PerLayer}, criterion: "magnitude"}
	t.training.cfg.Epochs, t.training.cfg.LearningRate = 0, 2e-4
	models := newGroup("Models")
	models.StringVar(&t.model, "model", "", "the model to prune: a `directory` or file")
	t.out.register(models, "the pruned model")
	t.out.registerWeights(models)
	models.StringVar(&t.teacher, "teacher", "", "`model` whose soft labels the recovery training uses (default: the model before pruning)")
	models.StringVar(&t.training.cfg.Cache, "cache", "", "`directory` that keeps the teacher's labels for other runs (default: the checkpoint's)")
	losses, measure := newGroup("Losses of the recovery training"), newGroup("Evaluation")
	t.loss.register(losses, true)
	t.dev.register(measure, "the model before and after", true)

	cmd := a.command(&cobra.Command{
		Use:   "prune --model DIR --sparsity SHARE --out DIR",
		Short: "Remove heads, neurons, layers or single weights",
		Long: `Remove what a model needs least. Heads, neurons and layers are truly removed;
single weights become zero. With --recover-epochs or --recover-steps the rest is
then trained under the model before pruning, on --data.`,
		Example: `  lite prune --model small --sparsity 0.25 --out pruned
  lite prune --model small --sparsity 0.25 --criterion activation --compensation linear \
      --data train.tsv --recover-epochs 1 --dev dev.tsv --max-drop 1% --out pruned
  lite prune --model small --sparsity 0.25 --criterion taylor --data train.tsv --out pruned
  lite prune --model small --unit weights --pattern 2:4 --out sparse`,
		Args: noArguments,
	}, t.run)
	withFlags(cmd, models, t.pruneGroup(), t.dataGroup(), losses, t.stepsGroup("recover-"), measure)
	required(cmd, "model", "out")
	return cmd
}

func (t *pruneFlags) pruneGroup() group {
	g, c := newGroup("Pruning"), &t.cfg
	choiceVar(g.FlagSet, &c.Unit, "unit", "what is removed as a whole", prune.Units()...)
	g.Var(&parsed[float64]{target: &c.Sparsity, kind: "share", parse: parseSparsity}, "sparsity", "share to remove, from 0 to below 1")
	choiceVar(g.FlagSet, &t.criterion, "criterion", "what tells how much each unit matters", append(prune.Criteria(), taylor, fisher)...)
	choiceVar(g.FlagSet, &c.Scope, "scope", "where scores compete", prune.PerLayer, prune.Global, prune.PerOutput)
	g.BoolVar(&c.Normalize, "normalize", false, "divide the scores of each layer by their norm before they compete globally")
	parsedVar(g.FlagSet, &c.Pattern, "pattern", "n:m", "n zeros in every m consecutive weights, such as 2:4, for --unit weights", prune.ParsePattern)
	g.BoolVar(&c.Embeddings, "embeddings", false, "prune the word embedding too, for --unit weights")
	choiceVar(g.FlagSet, &c.Compensation, "compensation", "how the rest makes up for what goes, with --criterion activation", prune.MeanCompensation, prune.LinearCompensation)
	g.IntVar(&c.MinHeads, "min-heads", 1, "heads that every layer keeps")
	g.IntVar(&c.MinNeurons, "min-neurons", 8, "neurons that every layer keeps")
	g.IntVar(&c.NeuronMultiple, "neuron-multiple", 1, "neurons left in each layer are a multiple of this")
	g.IntSliceVar(&c.Drop, "drop", nil, "`layers` to remove, from 0, for --unit layers")
	g.StringVar(&t.keep, "keep", "", "`layers` to keep, for --unit layers: spread, every-other, first, last, or numbers such as 0,3")
	g.IntVar(&t.samples, "num-samples", 256, "examples of --data that the criterion looks at")
	return g
}

// recovers tells whether the rest is trained.
func (t *pruneFlags) recovers() bool { return t.training.cfg.Epochs > 0 || t.training.cfg.Steps > 0 }

func (t *pruneFlags) check() error {
	c := t.cfg
	if err := atLeast(1, count{"--num-samples", t.samples}, count{"--batch", t.training.cfg.Batch}, count{"--min-heads", c.MinHeads}, count{"--min-neurons", c.MinNeurons}, count{"--neuron-multiple", c.NeuronMultiple}); err != nil {
		return err
	}
	if err := atLeast(0, count{"--recover-epochs", t.training.cfg.Epochs}, count{"--recover-steps", t.training.cfg.Steps}); err != nil {
		return err
	}
	switch {
	case c.Sparsity == 0 && c.Pattern == (prune.Pattern{}) && len(c.Drop) == 0:
		return misfit.Errorf("how much to remove? give --sparsity, or a --pattern of weights, or the layers to --drop")
	case t.recovers() && len(t.task)+len(t.text) == 0:
		return misfit.Errorf("recovery training needs data; name it with --data or --text")
	case (t.criterion == "activation" || t.gradients()) && len(t.task)+len(t.text) == 0:
		return misfit.Errorf("--criterion %s looks at data; name it with --data", t.criterion)
	case t.gradients() && (c.Unit == prune.Weights || c.Unit == prune.Layers):
		return misfit.Errorf("--criterion %s scores heads and neurons, not %s", t.criterion, c.Unit)
	}
	if err := t.idle(); err != nil {
		return err
	}
	return t.out.check(t.model, t.teacher)
}

// idle refuses flags that say nothing beside the others.
func (t *pruneFlags) idle() error {
	for i, layer := range t.cfg.Drop {
		if slices.Contains(t.cfg.Drop[:i], layer) {
			return misfit.Errorf("--drop names layer %d twice; name each layer once", layer)
		}
	}
	if t.keep != "" && t.cfg.Unit != prune.Layers {
		return misfit.Errorf("--keep chooses layers, for --unit layers; leave it out, or add --unit layers")
	}
	if t.recovers() {
		return nil
	}
	read := []string{"recover-epochs", "recover-steps", "seed", "batch", "batch-tokens", "max-length"}
	var idle string
	look := func(f *pflag.Flag) {
		if f.Changed && idle == "" && !slices.Contains(read, f.Name) {
			idle = f.Name
		}
	}
	t.steps.VisitAll(look)
	if !t.gradients() {
		t.loss.g.VisitAll(look)
	}
	if idle != "" {
		return misfit.Errorf("--%s is for the training after pruning; ask for it with --recover-epochs or --recover-steps", idle)
	}
	return nil
}

func (t *pruneFlags) run(ctx context.Context, _ []string) error {
	if err := t.check(); err != nil {
		return err
	}
	m, err := openModel("--model", t.model)
	if err != nil {
		return err
	}
	if len(t.task)+len(t.text) > 0 {
		err = t.open(ctx, false)
	} else if err = t.mix.check(nil, t.dev.files); err == nil {
		err = t.dev.open(ctx, t.language)
	}
	if err != nil {
		return err
	}
	if err := t.dev.check(m, t.training.cfg.MaxLength); err != nil {
		return err
	}
	score, err := t.prepare(m)
	if err != nil {
		return err
	}
	if score != nil {
		if t.cfg.Criterion, err = t.importance(ctx, m, *score); err != nil {
			return err
		}
	}
	small, report, err := t.prune(ctx, m)
	if err != nil {
		return err
	}
	t.app.print("%s", strings.TrimRight(report.String(), "\n"))
	s := &summary{Command: "prune", Prune: report}
	if t.recovers() {
		if small, s.Training, err = t.recover(ctx, small); err != nil {
			return err
		}
		t.app.trained(s.Training)
	}
	names := shortNames([]string{t.model, t.out.path})
	err = t.app.finish(s, small, t.out, func(bytes int64) (*eval.Table, error) {
		return t.dev.compare(ctx, t.training.cfg.MaxLength, eval.Entry{Name: names[0], Model: m}, eval.Entry{Name: names[1], Model: small, Bytes: bytes})
	})
	if !t.recovers() {
		return err
	}
	return t.done(err)
}

// prepare sets the losses of the recovery training, and those of a criterion
// that needs gradients, before any work is done.
func (t *pruneFlags) prepare(m *onnx.Model) (score *distill.Config, err error) {
	c := &t.training.cfg
	if t.teacher != "" {
		if c.Teacher, err = openModel("--teacher", t.teacher); err != nil {
			return nil, err
		}
	}
	if c.Task, err = firstLabels(c.Task, t.limitLabels); err != nil {
		return nil, err
	}
	if t.gradients() {
		if score, err = t.scoring(m); err != nil {
			return nil, err
		}
	}
	if !t.recovers() {
		return score, nil
	}
	if c.Teacher == nil {
		c.Teacher = m
	}
	c.KeepHeads = true // those that the model came with; see recover
	t.loss.noise.student, t.loss.noise.teacherModel = m, c.Teacher
	return score, t.objectives(primaryKind(m), true)
}

// prune removes what the flags say.
func (t *pruneFlags) prune(ctx context.Context, m *onnx.Model) (*onnx.Model, *prune.Report, error) {
	if t.cfg.Criterion == nil {
		batches, err := t.batches(m)
		if err != nil {
			return nil, nil, err
		}
		if t.cfg.Criterion, err = prune.NewCriterion(t.criterion, t.training.cfg.Seed, batches); err != nil {
			return nil, nil, err
		}
	}
	var err error
	if t.keep != "" {
		if t.cfg.Keep, err = student.ParseLayers(t.keep); err != nil {
			return nil, nil, misfit.Errorf("--keep: %w", err)
		}
	}
	return t.cfg.Run(ctx, m)
}

// batches are the examples that the criterion looks at.
func (t *pruneFlags) batches(m *onnx.Model) ([]*corpus.Batch, error) {
	data := t.training.cfg.Task
	if data == nil {
		data = t.training.cfg.Text
	}
	if data == nil || t.criterion != "activation" {
		return nil, nil
	}
	tok, err := teacher.Tokenizer(m, data)
	if err != nil {
		return nil, err
	}
	view, err := corpus.NewTaskView(corpus.Take(data, t.samples), tok, corpus.ViewOptions{BatchSize: t.training.cfg.Batch, MaxLength: t.training.cfg.MaxLength})
	if err != nil {
		return nil, err
	}
	view = view.Sequential()
	out := make([]*corpus.Batch, view.Batches(0))
	for i := range out {
		if out[i], err = view.Batch(0, i); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// recover trains what is left. Pruned weights stay zero.
func (t *pruneFlags) recover(ctx context.Context, m *onnx.Model) (*onnx.Model, *distill.Report, error) {
	if t.cfg.Unit == prune.Weights {
		masks, err := prune.Masks(m)
		if err != nil {
			return nil, nil, err
		}
		t.training.cfg.Hook = func(_ int, params []*distill.Param) {
			for _, p := range params {
				if mask, ok := masks[p.Name]; ok && mask.N == len(p.Value) {
					prune.ApplyMask(p.Value, mask) // the sizes agree
				}
			}
		}
	}
	out, reports, err := t.train(ctx, m, t.out)
	report := last(reports)
	if err != nil || len(out.Graph.Outputs) == len(m.Graph.Outputs) {
		return out, report, err
	}
	var names []string // without the heads that the losses added
	for _, v := range m.Graph.Outputs {
		names = append(names, v.Name)
	}
	out, err = student.Keep(out, names...)
	return out, report, err
}

func parseSparsity(s string) (float64, error) {
	x, err := parseShare(s)
	if err != nil || x == 1 {
		return 0, errors.New("give a number from 0 to below 1")
	}
	return x, nil
}
