package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// start are the flags that say which weights a student starts from.
type start struct {
	layers, from string
	fresh        bool
	narrow       bool
}

func (s *start) register(g group, from string) {
	g.StringVar(&s.layers, "init", "", "`layers` of that model to start from: spread, every-other, first, last, or numbers such as 0,3 (default: spread)")
	g.StringVar(&s.from, "from", "", "`model` whose weights to start from, where sizes agree"+from)
}

// choose is the choice of layers, nil for the usual one.
func (s *start) choose() (student.Layers, error) {
	if s.layers == "" {
		return nil, nil
	}
	layers, err := student.ParseLayers(s.layers)
	if err != nil {
		return nil, misfit.Errorf("--init: %w", err)
	}
	return layers, nil
}

// student is the student of a shape that starts so, or the model that is named
// in place of a shape.
func (s *start) student(shape string, teacher *onnx.Model) (out distill.Student, err error) {
	if namesModel(shape) {
		if *s != (start{}) {
			return out, misfit.Errorf("--student %s is a model and starts from its own weights; leave out --init, --from, --narrow and --fresh", shape)
		}
		out.Graph, err = openModel("--student", shape)
		return out, err
	}
	out = distill.Student{Fresh: s.fresh, Narrow: s.narrow}
	if out.Layers, err = s.choose(); err != nil {
		return out, err
	}
	if out.Shape, err = studentShape(shape, teacher); err != nil {
		return out, err
	}
	if s.from != "" {
		out.From, err = openModel("--from", s.from)
	}
	return out, err
}

func distillCommand(a *app) *cobra.Command {
	t := newTraining(a)
	out := &output{app: a, file: floatFile}
	var teachers teacherFlags
	var shape string
	var from start
	models := newGroup("Models")
	teachers.register(models)
	models.StringVar(&shape, "student", "half-depth", "`shape` of the student: half-depth, half-width, both separated by a comma, layers×width[×heads[×ffn]] such as 4x312x12, or a preset, and further fields such as 4x312,embedding=128; or a model directory or file that is trained as it stands")
	from.register(models, " (default: the teacher)")
	models.BoolVar(&from.narrow, "narrow", false, "start a narrower student from that model too: from its hidden values, heads and neurons of the greatest magnitude")
	models.BoolVar(&from.fresh, "fresh", false, "start from random weights")
	out.register(models, "the student")
	out.registerWeights(models)
	models.BoolVar(&t.cfg.KeepHeads, "keep-heads", false, "keep the heads of the further losses in the student")
	models.StringVar(&t.cfg.Cache, "cache", "", "`directory` that keeps the teacher's labels for other runs (default: the checkpoint's); lite label fills it alone")
	registerForm(models, &t.cfg.Form)
	losses := newGroup("Losses")
	t.loss.registerPreset(losses, true)
	t.loss.register(losses, true)
	measure := newGroup("Evaluation")
	t.dev.register(measure, "teacher and student", true)

	cmd := a.command(&cobra.Command{
		Use:   "distill --teacher DIR --data FILES --out DIR",
		Short: "Train a student under a teacher",
		Long: `Train a student under a teacher: its soft labels, the data's own labels,
what happens inside it (hidden states, attention, relations), and masked-text
losses, in any weighted sum.

The student starts from the teacher's weights where their sizes agree. A run that
is interrupted goes on where it stopped when the same command runs again, and
ends in the same bytes.`,
		Example: `  lite distill --teacher bert-sst2 --data train.tsv --dev dev.tsv --student 1x64 --out small
  lite distill --teacher bert-sst2 --data train.tsv --limit-labels 2000 --alpha-ce 0.5 --out small
  lite distill --teacher bert-sst2 --data train.tsv --preset tinybert --student tinybert-4x312 --out tiny
  lite distill --teacher bert-sst2 --data train.tsv --student exported.onnx --out small
  lite distill --teacher bert-sst2 --teacher roberta-sst2 --teacher-weight 0.7,0.3 --data train.tsv --out small
  lite distill --teacher zh-mlm --text docs.txt --annotate zh --alpha-pos 0.2 --alpha-ner 0.2 --out zh-small`,
		Args: noArguments,
	}, func(ctx context.Context, _ []string) error {
		if err := teachers.open(&t.cfg); err != nil {
			return err
		}
		s, err := from.student(shape, t.cfg.Teacher)
		if err != nil {
			return err
		}
		inputs := append(slices.Clone(teachers.paths), from.from)
		if s.Graph != nil {
			inputs = append(inputs, shape)
		}
		if err := out.check(inputs...); err != nil {
			return err
		}
		return t.distill(ctx, s, out, teachers.paths)
	})
	t.runFlags(cmd, models)
	withFlags(cmd, models, t.dataGroup(), losses, t.stepsGroup(""), measure)
	required(cmd, "teacher", "out")
	cmd.MarkFlagsMutuallyExclusive("fresh", "from")
	cmd.MarkFlagsMutuallyExclusive("fresh", "init")
	cmd.MarkFlagsMutuallyExclusive("fresh", "narrow")
	return cmd
}

// distill makes the student, trains, writes and measures it.
func (t *training) distill(ctx context.Context, s distill.Student, out *output, teachers []string) error {
	if err := t.open(ctx, false); err != nil {
		return err
	}
	var err error
	if t.cfg.Task, err = firstLabels(t.cfg.Task, t.limitLabels); err != nil {
		return err
	}
	m, report, err := distill.NewStudent(t.cfg.Teacher, s, t.cfg.Seed)
	if err != nil {
		return err
	}
	t.loss.noise.student, t.loss.noise.teacherModel = m, t.cfg.Teacher
	if err := t.objectives(primaryKind(m), true); err != nil {
		return err
	}
	if err := t.unread(teachers); err != nil {
		return err
	}
	measured := []*onnx.Model{t.cfg.Teacher, m}
	for i, more := range t.cfg.MoreTeachers {
		if labels(&t.cfg, i+1) {
			measured = append(measured, more)
		}
	}
	for _, m := range measured {
		if err := t.dev.check(m, t.cfg.MaxLength); err != nil {
			return err
		}
	}
	if _, _, err := student.Weights(t.cfg.Teacher); err != nil && report == nil && !s.Fresh && s.Graph == nil {
		t.app.progress.note("the teacher is quantized, so none of its weights can be copied")
	}
	if s.Graph != nil {
		t.app.progress.note("the student starts from its own weights")
	} else {
		t.app.copied(report)
	}
	if t.dry {
		return t.dryRun(ctx, "distill", m, out)
	}
	m, result, err := t.train(ctx, m, out)
	if err != nil {
		return err
	}
	t.app.trained(result...)
	names := shortNames(append(slices.Clone(teachers), out.path))
	err = t.app.finish(&summary{Command: "distill", Training: last(result), Stages: stagesOf(result)}, m, out, func(bytes int64) (*eval.Table, error) {
		entries := []eval.Entry{{Name: names[0], Model: t.cfg.Teacher}}
		for i, more := range t.cfg.MoreTeachers {
			if labels(&t.cfg, i+1) {
				entries = append(entries, eval.Entry{Name: names[i+1], Model: more})
			}
		}
		return t.dev.compare(ctx, t.cfg.MaxLength, append(entries, eval.Entry{Name: names[len(names)-1], Model: m, Bytes: bytes})...)
	})
	return t.done(err)
}

// primaryKind is the kind of a model's primary head, "" where config.json does not tell.
func primaryKind(m *onnx.Model) student.Kind {
	if heads, err := student.HeadsOf(m.Config); err == nil && len(heads) > 0 {
		return heads[0].Kind
	}
	if distill.IsEmbedding(m) {
		return student.KindEmbedding
	}
	return ""
}
