package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// trainFlags say which model is trained.
type trainFlags struct {
	*training
	out        *output
	task       student.Kind
	model      string
	shape      string
	from       start
	tokenizer  string
	vocabulary int
	cased      bool
}

func trainCommand(a *app) *cobra.Command {
	t := &trainFlags{training: newTraining(a), out: &output{app: a, file: floatFile}}
	models := newGroup("Models")
	models.StringVar(&t.model, "model", "", "go on training this `model`; where the task is another one it gets a fresh head")
	models.StringVar(&t.shape, "student", "", "`shape` of a new model: layers×width[×heads[×ffn]] such as 4x312x12, or a preset, and further fields such as 4x312,embedding=128")
	t.from.register(models, "")
	models.StringVar(&t.tokenizer, "tokenizer", "", "tokenizer of a new model: a model `directory`, tokenizer.json, vocab.txt, vocab.json or sentencepiece model (default: that of --from)")
	models.IntVar(&t.vocabulary, "train-vocab", 0, "learn a WordPiece vocabulary of `N` entries from the text")
	models.BoolVar(&t.cased, "cased", false, "that vocabulary keeps capital letters and accents")
	choiceVar(models.FlagSet, &t.task, "task", "what the model predicts (default: classification where --data has labels, regression where it has scores, else mlm)",
		student.KindClassification, student.KindRegression, student.KindMaskedLM, student.KindPOS, student.KindNER)
	t.out.register(models, "the model")
	t.out.registerWeights(models)
	models.BoolVar(&t.cfg.KeepHeads, "keep-heads", false, "keep the heads of the further losses in the model")
	losses := newGroup("Losses")
	t.loss.registerPreset(losses, false)
	t.loss.register(losses, false)
	measure := newGroup("Evaluation")
	t.dev.register(measure, "the model", false)

	cmd := a.command(&cobra.Command{
		Use:   "train (--model DIR | --student SHAPE) --data FILES --out DIR",
		Short: "Pre-train or fine-tune a model without a teacher",
		Long: `Pre-train a model from scratch, or fine-tune one: on labels, by masked language
modelling, or both, with tagging and sentence order beside them.

A run that is interrupted goes on where it stopped when the same command runs
again, and ends in the same bytes.`,
		Example: `  lite train --student 4x128 --train-vocab 8000 --text docs.txt --out mlm
  lite train --model mlm --data train.tsv --dev dev.tsv --lr 1e-4 --out classifier
  lite train --student 2x64 --tokenizer vocab.txt --text docs.txt --annotate zh \
      --alpha-pos 0.2 --alpha-ner 0.2 --alpha-sop 0.5 --keep-heads --out zh-mlm`,
		Args: noArguments,
	}, t.run)
	t.runFlags(cmd, models)
	withFlags(cmd, models, t.dataGroup(), losses, t.stepsGroup(""), measure)
	required(cmd, "out")
	cmd.MarkFlagsMutuallyExclusive("model", "student")
	cmd.MarkFlagsMutuallyExclusive("model", "from")
	cmd.MarkFlagsMutuallyExclusive("model", "tokenizer")
	cmd.MarkFlagsMutuallyExclusive("model", "train-vocab")
	cmd.MarkFlagsMutuallyExclusive("from", "tokenizer", "train-vocab")
	return cmd
}

func (t *trainFlags) run(ctx context.Context, _ []string) error {
	if t.model == "" && t.shape == "" && t.from.from == "" {
		return misfit.Errorf("name a model to go on with (--model), or the shape of a new one (--student)")
	}
	switch {
	case t.from.layers != "" && t.from.from == "":
		return misfit.Errorf("--init chooses layers of the model of --from, which is not given; give it, or leave --init out")
	case t.cased && t.vocabulary == 0:
		return misfit.Errorf("--cased is for the vocabulary of --train-vocab, which is not given; give it, or leave --cased out")
	}
	if err := exist("--tokenizer", t.tokenizer); err != nil {
		return err
	}
	if err := t.out.check(t.model, t.from.from); err != nil {
		return err
	}
	if err := t.open(ctx, t.task == student.KindPOS || t.task == student.KindNER); err != nil {
		return err
	}
	m, err := t.start()
	if err != nil {
		return err
	}
	if err := t.limit(); err != nil {
		return err
	}
	t.loss.noise.student = m
	if err := t.objectives(primaryKind(m), false); err != nil {
		return err
	}
	if !t.cfg.KeepHeads { // heads that are added and kept may be what --dev is for
		if err := t.dev.check(m, t.cfg.MaxLength); err != nil {
			return err
		}
	}
	if t.dry {
		return t.dryRun(ctx, "train", m, t.out)
	}
	m, result, err := t.train(ctx, m, t.out)
	if err != nil {
		return err
	}
	t.app.trained(result...)
	err = t.app.finish(&summary{Command: "train", Training: last(result), Stages: stagesOf(result)}, m, t.out, func(bytes int64) (*eval.Table, error) {
		return t.dev.compare(ctx, t.cfg.MaxLength, eval.Entry{Name: shortNames([]string{t.out.path})[0], Model: m, Bytes: bytes})
	})
	return t.done(err)
}

// limit leaves the labelled examples only: without a teacher the others teach
// nothing about the labels. They stay as text for the other losses.
func (t *trainFlags) limit() error {
	if t.limitLabels <= 0 || t.cfg.Task == nil {
		return nil
	}
	if t.cfg.Text == nil {
		t.cfg.Text = corpus.Unlabeled(t.cfg.Task)
	}
	t.cfg.Task = corpus.Take(t.cfg.Task, t.limitLabels)
	return nil
}

// start makes or opens the model to train.
func (t *trainFlags) start() (*onnx.Model, error) {
	if t.model != "" {
		m, err := openModel("--model", t.model)
		if err != nil {
			return nil, err
		}
		return t.retarget(m)
	}
	head, err := t.head()
	if err != nil {
		return nil, err
	}
	var from *onnx.Model
	if t.from.from != "" {
		if from, err = openModel("--from", t.from.from); err != nil {
			return nil, err
		}
	}
	var shape student.Shape
	if t.shape != "" {
		if shape, err = studentShape(t.shape, from); err != nil {
			return nil, err
		}
	}
	if from == nil {
		tok, err := t.newTokenizer()
		if err != nil {
			return nil, err
		}
		return distill.NewModel(shape, head, tok, t.cfg.Seed)
	}
	layers, err := t.from.choose()
	if err != nil {
		return nil, err
	}
	m, report, err := distill.NewStudent(nil, distill.Student{Shape: shape, Head: head, Layers: layers, From: from}, t.cfg.Seed)
	if err == nil {
		t.app.copied(report)
	}
	return m, err
}

// retarget gives a model that predicts something else a fresh head.
func (t *trainFlags) retarget(m *onnx.Model) (*onnx.Model, error) {
	has, want := primaryKind(m), t.kind()
	if has == want || t.task == "" && has != "" && has != student.KindMaskedLM && has != student.KindEmbedding {
		return m, nil
	}
	head, err := t.head()
	if err != nil {
		return nil, err
	}
	t.app.progress.note("the model gets a fresh %s head", head.Kind)
	return student.WithHeads(m, []student.Head{head}, t.cfg.Seed)
}

// kind is the task: what the flag says, else what the data is good for.
func (t *trainFlags) kind() student.Kind {
	switch {
	case t.task != "":
		return t.task
	case t.cfg.Task != nil && len(t.cfg.Task.Labels()) > 0:
		return student.KindClassification
	case t.cfg.Task != nil && hasScores(t.cfg.Task) == nil:
		return student.KindRegression
	}
	return student.KindMaskedLM
}

// head is the primary head of a new model, with the data's classes.
func (t *trainFlags) head() (student.Head, error) {
	kind := t.kind()
	if kind != student.KindMaskedLM && t.cfg.Task == nil {
		return student.Head{}, misfit.Errorf("--task %s: name labelled data with --data", kind)
	}
	switch kind {
	case student.KindClassification:
		labels := t.cfg.Task.Labels()
		if len(labels) == 0 {
			return student.Head{}, misfit.Errorf("--task classification: the data has no labels; is the right column named (--label-column)?")
		}
		if len(labels) == 1 {
			return student.Head{}, misfit.Errorf("every label of the data is %q; a classifier needs two classes (is the right column named? --label-column)", labels[0])
		}
		return student.Classification(labels), nil
	case student.KindRegression:
		return student.Regression(), hasScores(t.cfg.Task)
	case student.KindPOS:
		return student.POS(corpus.UPOS()), nil
	case student.KindNER:
		tags, err := corpus.NERTags(t.cfg.Task)
		if err == nil && len(tags) == 0 {
			err = misfit.Errorf("--task ner: the data has no entities; give BIO or annotated files, or --annotate")
		}
		return student.NER(tags), err
	}
	return student.MaskedLM(), nil
}

// newTokenizer opens or learns the tokenizer of a new model.
func (t *trainFlags) newTokenizer() (*corpus.Tokenizer, error) {
	if t.vocabulary > 0 {
		t.app.progress.note("learning a vocabulary of %d entries", t.vocabulary)
		return corpus.TrainWordPiece(t.texts, t.vocabulary, corpus.TrainOptions{Lowercase: !t.cased})
	}
	if t.tokenizer == "" {
		return nil, misfit.Errorf("a new model needs a tokenizer: name one with --tokenizer, or learn one with --train-vocab")
	}
	tok, err := corpus.OpenTokenizer(t.tokenizer)
	if err != nil {
		return nil, fmt.Errorf("--tokenizer %s: %w", t.tokenizer, err)
	}
	return tok, nil
}

// texts are all texts that the vocabulary is learned from.
func (t *trainFlags) texts(yield func(string) bool) {
	for _, c := range []corpus.Corpus{t.cfg.Task, t.cfg.Text} {
		if c == nil {
			continue
		}
		for i := range c.Len() {
			e, err := c.At(i)
			if err != nil {
				continue // training meets the same error and reports it
			}
			if !yield(e.Text) || e.Pair != "" && !yield(e.Pair) {
				return
			}
		}
	}
}
