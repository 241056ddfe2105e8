package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/teacher"
)

// teacherFlags name the teachers and their shares.
type teacherFlags struct {
	paths   []string
	weights []float64
}

func (f *teacherFlags) register(g group) {
	g.StringArrayVar(&f.paths, "teacher", nil, "the teacher: a model `directory` or file; repeat it for several, the first of which the student is made from")
	g.Float64SliceVar(&f.weights, "teacher-weight", nil, "`shares` of several teachers in the soft labels, in their order, such as 0.7,0.3; one of 0 gives none, and is there for losses on what is inside it (default: the same for each)")
}

// open opens the teachers.
func (f *teacherFlags) open(c *distill.Config) error {
	if f.weights != nil && len(f.weights) != len(f.paths) {
		return misfit.Errorf("--teacher-weight: %d shares for %d teachers; give one for each", len(f.weights), len(f.paths))
	}
	c.MoreTeachers, c.TeacherWeights = nil, f.weights
	for i, path := range f.paths {
		m, err := openModel("--teacher", path)
		if err != nil {
			return err
		}
		if i == 0 {
			c.Teacher = m
		} else {
			c.MoreTeachers = append(c.MoreTeachers, m)
		}
	}
	return nil
}

// labels tells whether teacher i, from 0, gives soft labels.
func labels(c *distill.Config, i int) bool {
	return c.TeacherWeights == nil || c.TeacherWeights[i] > 0
}

// unread refuses a further teacher that no loss of any stage reads.
func (t *training) unread(paths []string) error {
	stages := t.stages
	if len(stages) == 0 {
		stages = []distill.Config{t.cfg}
	}
	for i := 1; i <= len(t.cfg.MoreTeachers); i++ {
		read := slices.ContainsFunc(stages, func(c distill.Config) bool {
			return c.Loss.Reads(i) || labels(&t.cfg, i) && slices.ContainsFunc(c.Loss, func(l distill.Term) bool { _, ok := l.Loss.(distill.Taught); return ok })
		})
		if !read {
			return misfit.Errorf("--teacher %s: no loss reads this teacher; give it a share of the soft labels (--teacher-weight, --alpha-kd), or a weight behind the first teacher's (--alpha-hidden 0,1), or leave it out", paths[i])
		}
	}
	return nil
}

// registerForm adds the flags that say how labels are kept.
func registerForm(g group, f *teacher.Form) {
	g.IntVar(&f.TopK, "top-k", 0, "keep of the teacher's labels the `K` most probable classes and the mass of the rest, such as 64 under a masked LM (default: as they are in the cache, else whole)")
	g.BoolVar(&f.Half, "half", false, "keep the teacher's labels as float16")
}

// labelFlags say what is labelled.
type labelFlags struct {
	*training
	teachers teacherFlags
	dry      bool
	order    bool
}

func labelCommand(a *app) *cobra.Command {
	l := &labelFlags{training: newTraining(a)}
	c := &l.cfg
	models, data, text, steps := newGroup("Labels"), newGroup("Data"), newGroup("Masked text"), newGroup("Batches")
	l.teachers.register(models)
	models.StringVar(&c.Cache, "cache", "", "`directory` that keeps the labels")
	registerForm(models, &c.Form)
	models.BoolVar(&l.dry, "dry-run", false, "print what the labels take, and compute none")
	filesVar(data, &l.task, "data", "task data: `files` or folders, separated by commas or repeated")
	filesVar(data, &l.text, "text", "`files` of text for a masked LM (default: those of --data)")
	l.data.register(a, data)
	shareVar(text.FlagSet, &l.loss.maskRate, "mask-rate", 0.15, "share of the tokens that are masked")
	l.loss.mask.register(text)
	text.BoolVar(&l.order, "sentence-order", false, "cut segments in two as the loss sop does")
	text.Uint64Var(&c.Seed, "seed", 0, "seed of data order and masks")
	text.IntVar(&c.Epochs, "epochs", c.Epochs, "passes over the text, each with masks of its own")
	text.IntVar(&c.Steps, "steps", 0, "number of updates, in place of the epochs")
	text.IntVar(&c.Accumulate, "accumulate", c.Accumulate, "batches to an update")
	steps.IntVar(&c.MaxLength, "max-length", c.MaxLength, "tokens in a sequence, special ones included")
	steps.IntVar(&c.Batch, "batch", c.Batch, "examples in a batch, under a masked LM or a token classifier")
	steps.IntVar(&c.BatchTokens, "batch-tokens", 0, "tokens in a batch, in place of --batch")

	cmd := a.command(&cobra.Command{
		Use:   "label --teacher DIR --data FILES --cache DIR",
		Short: "Compute a teacher's labels and keep them for distill",
		Long: `Compute a teacher's labels and keep them, so that lite distill with the same
--cache need not run the teacher: its logits for whole texts (of a classifier),
scores, vectors, or logits of tokens. What is there already is not computed again,
and a run that is stopped or killed goes on where it was.

A masked LM labels the masked tokens of the batches that training will see: give
both commands the same text, tokenizer, seed, masks, batch and length, and --top-k.`,
		Example: `  lite label --teacher bert-sst2 --data train.tsv --cache labels
  lite label --teacher bert-sst2 --data train.tsv --cache labels --dry-run
  lite label --teacher zh-mlm --text docs.txt --cache labels --top-k 64 --epochs 3`,
		Args: noArguments,
	}, l.run)
	withFlags(cmd, models, data, steps, text)
	required(cmd, "teacher", "cache")
	cmd.MarkFlagsMutuallyExclusive("top-k", "half")
	return cmd
}

// errDry ends labelling after its plan.
var errDry = errors.New("only planned")

func (l *labelFlags) run(ctx context.Context, _ []string) error {
	c := &l.cfg
	if slices.Contains(l.teachers.weights, 0) {
		return misfit.Errorf("--teacher-weight: a teacher of weight 0 gives no labels; leave it out")
	}
	if err := l.teachers.open(c); err != nil {
		return err
	}
	if err := l.loss.mask.check(l.loss.maskRate); err != nil {
		return err
	}
	if err := l.open(ctx, false); err != nil {
		return err
	}
	if c.Task == nil {
		c.Task = c.Text
	}
	c.Loss = distill.Sum{distill.Scale(1, l.loss.mask.denoise(l.loss.maskRate))}
	if l.order {
		c.Loss = append(c.Loss, distill.Scale(1, distill.SOP{}))
	}
	p := l.app.progress
	c.Labelling = func(done, total int) { p.stageOf("teacher's labels", done, total) }
	c.Notice = func(s string) { p.note("%s", s) }
	labels, err := distill.Label(ctx, *c, func(plan []distill.Labels) error {
		for i, x := range plan {
			p.note("%s: %d rows in %d batches, %s: %s; %d batches are in %s already",
				filepath.Base(l.teachers.paths[i]), x.Rows, x.Batches, x.Form, size(x.Bytes), x.Kept, c.Cache)
		}
		if l.dry {
			return errDry
		}
		return nil
	})
	p.clear()
	if err != nil && !errors.Is(err, errDry) {
		return err
	}
	return l.report(labels)
}

// report writes what was done.
func (l *labelFlags) report(labels []distill.Labels) error {
	took := time.Since(l.app.started)
	if l.app.json {
		return l.app.writeJSON(struct {
			Command string           `json:"command"`
			Cache   string           `json:"cache"`
			Dry     bool             `json:"dry_run"`
			Labels  []distill.Labels `json:"labels"`
			Seconds float64          `json:"seconds"`
		}{"label", l.cfg.Cache, l.dry, labels, took.Seconds()})
	}
	for i, x := range labels {
		name := filepath.Base(strings.TrimSuffix(l.teachers.paths[i], "/"))
		if l.dry {
			l.app.print("%s: %s, %d rows of %d in %d batches, %s: %s; %d batches to compute", name, x.Task, x.Rows, x.Width, x.Batches, x.Form, size(x.Bytes), x.Batches-x.Kept)
			continue
		}
		l.app.print("%s: %s, %d rows of %d, %s: %s in %s; %d of %d batches computed, in %s", name, x.Task, x.Rows, x.Width, x.Form, size(x.Bytes), l.cfg.Cache, x.Computed, x.Batches, duration(took))
	}
	return nil
}
