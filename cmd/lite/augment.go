package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/litekit/lite/augment"
	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/misfit"
)

// augmentFlags say how examples are augmented.
type augmentFlags struct {
	app       *app
	data      dataFlags
	train     []string
	teacher   string
	tokenizer string
	cfg       augment.Config
	out       string
}

func augmentCommand(a *app) *cobra.Command {
	f := &augmentFlags{app: a, cfg: augment.Default()}
	g, files := newGroup("Augmentation"), newGroup("Files")
	filesVar(g, &f.train, "data", "`files` whose examples are augmented")
	g.StringVar(&f.teacher, "teacher", "", "the masked language model that proposes words: a `directory`, or an .onnx file with --tokenizer")
	g.StringVar(&f.tokenizer, "tokenizer", "", "tokenizer `file` or directory (default: the model's own)")
	shareVar(g.FlagSet, &f.cfg.Probability, "probability", f.cfg.Probability, "probability that a word is replaced")
	g.IntVar(&f.cfg.TopK, "top-k", f.cfg.TopK, "candidates of a word")
	g.IntVar(&f.cfg.Copies, "copies", f.cfg.Copies, "copies of each example, before equal ones are dropped")
	g.IntVar(&f.cfg.MaxLength, "max-length", f.cfg.MaxLength, "tokens of an example that are looked at; what is beyond stays")
	g.BoolVar(&f.cfg.CopiesOnly, "copies-only", false, "leave out the examples themselves")
	g.Uint64Var(&f.cfg.Seed, "seed", 1, "seed of what is replaced, and by what")
	g.StringVar(&f.out, "out", "", "JSONL `file` to write (default: standard output)")
	f.data.register(a, files)
	cmd := a.command(&cobra.Command{
		Use:   "augment --data FILES --teacher DIR --out FILE",
		Short: "Make more training examples by replacing words",
		Long: `Make more training examples by replacing words, as TinyBERT does: by what a masked
language model expects in their place, or, where a word is several tokens, by words with
near embeddings. Labels and pairs are kept, equal texts dropped. The same seed gives the
same bytes; a run that was stopped goes on when the same command runs again.`,
		Example: `  lite augment --data train.tsv --teacher bert-mlm --out augmented.jsonl
  lite augment --data train.tsv --teacher bert-mlm --copies 5 --probability 0.2 --out augmented.jsonl`,
		Args: noArguments,
	}, f.run)
	withFlags(cmd, g, files)
	required(cmd, "data", "teacher")
	return cmd
}

func (f *augmentFlags) run(ctx context.Context, _ []string) error {
	if err := atLeast(1, count{"--top-k", f.cfg.TopK}, count{"--copies", f.cfg.Copies}); err != nil {
		return err
	}
	if err := atLeast(leastLength, count{"--max-length", f.cfg.MaxLength}); err != nil {
		return err
	}
	if f.cfg.Probability == 0 {
		return misfit.Errorf("--probability 0: nothing would be replaced; give a number above 0")
	}
	if err := exist("--data", f.train...); err != nil {
		return err
	}
	if err := exist("--tokenizer", f.tokenizer); err != nil {
		return err
	}
	if f.out != "" {
		if err := fileOutput(f.out); err != nil {
			return err
		}
	}
	var err error
	if f.cfg.Teacher, err = openModel("--teacher", f.teacher); err != nil {
		return err
	}
	if f.tokenizer != "" {
		if f.cfg.Tokenizer, err = corpus.OpenTokenizer(f.tokenizer); err != nil {
			return fmt.Errorf("--tokenizer: %w", err)
		}
	}
	f.cfg.Workers = f.app.workers()
	f.cfg.Progress = func(done, total int) { f.app.progress.stageOf("augment", done, total) }
	augmenter, err := augment.New(f.cfg)
	if err != nil {
		return fmt.Errorf("--teacher: %w", err)
	}
	c, err := f.data.open("--data", f.train)
	if err != nil {
		return err
	}
	if f.out == "" {
		_, err := augmenter.Stream(ctx, f.app.out, c)
		return err
	}
	r, err := augmenter.File(ctx, f.out, c)
	if err != nil {
		return inTheWay(err)
	}
	return f.report(r)
}

func (f *augmentFlags) report(r augment.Report) error {
	took := time.Since(f.app.started)
	if f.app.json {
		return f.app.writeJSON(map[string]any{"command": "augment", "file": f.out, "examples": r.Examples, "copies": r.Copies,
			"duplicates": r.Duplicates, "resumed_from": r.Resumed, "seconds": took.Seconds()})
	}
	if r.Resumed > 0 {
		f.app.print("went on after %d examples", r.Resumed)
	}
	f.app.print("wrote %s: %d copies of %d examples, %d equal ones dropped, in %s", f.out, r.Copies, r.Examples, r.Duplicates, duration(took))
	return nil
}
