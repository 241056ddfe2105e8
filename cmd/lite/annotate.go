package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/files"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/tagger"
	"github.com/litekit/lite/teacher"
)

// annotateFlags say what annotates, and where that goes.
type annotateFlags struct {
	app     *app
	data    dataFlags
	lang    string
	tagger  string
	model   string
	replace bool
	out     string
}

func annotateCommand(a *app) *cobra.Command {
	f := &annotateFlags{app: a}
	g, files := newGroup("Annotation"), newGroup("Files")
	choiceVar(g.FlagSet, &f.lang, "lang", "annotate text of this language by the dictionary that is built in", languages...)
	g.StringVar(&f.tagger, "tagger", "", "annotate by the tagger in this `file`, which lite annotate train made")
	g.StringVar(&f.model, "model", "", "annotate by the token classifier in this `directory`")
	g.BoolVar(&f.replace, "replace", false, "annotate anew what is annotated already")
	g.StringVar(&f.out, "out", "", "annotated JSONL `file` to write (default: standard output)")
	f.data.register(a, files)
	cmd := a.command(&cobra.Command{
		Use:   "annotate FILES... --lang zh | --tagger FILE | --model DIR",
		Short: "Annotate text with words, parts of speech and entities",
		Long: `Annotate text with words, universal parts of speech and entities, as the tagging
losses of distill and train read them. The output is JSON on each line in spaCy's form
(text, ents, sents, tokens). Annotation that is there stays, and is what the annotator
is scored on; a tagger adds the kind of tags that an example lacks. With --out the run
goes on where it was stopped when the same command runs again.`,
		Example: `  lite annotate --lang zh documents.txt reviews.tsv --out annotated.jsonl
  lite annotate train --data train.conllu --dev dev.conllu --out english.tagger
  lite annotate --tagger english.tagger documents.txt --out annotated.jsonl`,
		Args: cobra.MinimumNArgs(1),
	}, f.run)
	withFlags(cmd, g, files)
	cmd.MarkFlagsMutuallyExclusive("lang", "tagger", "model")
	cmd.MarkFlagsOneRequired("lang", "tagger", "model")
	cmd.AddCommand(annotateTrainCommand(a))
	return cmd
}

func (f *annotateFlags) run(ctx context.Context, args []string) error {
	if err := exist("input", args...); err != nil {
		return err
	}
	if f.out != "" {
		if err := fileOutput(f.out); err != nil {
			return err
		}
	}
	job := tagger.Job{Replace: f.replace, Workers: f.app.workers()}
	var err error
	if job.Annotator, job.Name, err = f.annotator(); err != nil {
		return err
	}
	c, err := f.data.open("input", args)
	if err != nil {
		return err
	}
	f.app.progress.note("annotating %d texts", c.Len())
	job.Progress = func(done, total int) { f.app.progress.stageOf("annotate", done, total) }
	if f.out == "" {
		_, err := job.Stream(ctx, f.app.out, c)
		return err
	}
	r, err := job.File(ctx, f.out, c)
	if err != nil {
		return inTheWay(err)
	}
	return f.report(r)
}

// inTheWay makes a part that another run left a usage error.
func inTheWay(err error) error {
	var other *corpus.RunError
	if errors.As(err, &other) {
		return misfit.Errorf("--out: %w", err)
	}
	return err
}

// annotator opens what annotates, and names it.
func (f *annotateFlags) annotator() (corpus.Annotator, string, error) {
	switch {
	case f.tagger != "":
		return openTagger("--tagger", f.tagger)
	case f.model != "":
		m, err := openModel("--model", f.model)
		if err != nil {
			return nil, "", err
		}
		a, err := teacher.NewAnnotator(m, teacher.AnnotatorOptions{})
		if err != nil {
			return nil, "", fmt.Errorf("--model: %w", err)
		}
		return a, m.Hash(), nil
	}
	a, err := corpus.Chinese()
	return a, f.lang, err
}

// openTagger opens a tagger and names it by its content.
func openTagger(flag, path string) (corpus.Annotator, string, error) {
	if err := exist(flag, path); err != nil {
		return nil, "", err
	}
	t, err := tagger.Open(path)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", flag, err)
	}
	b, err := t.Bytes()
	return t, fmt.Sprintf("%x", sha256.Sum256(b)), err
}

// quality is what --json tells of an annotator against gold annotation.
type quality struct {
	Words    int      `json:"words"`
	WordF1   *float64 `json:"word_f1,omitempty"`
	Aligned  int      `json:"aligned_words"`
	POS      *float64 `json:"pos_accuracy,omitempty"` // of aligned words
	EntityF1 *float64 `json:"entity_f1,omitempty"`
}

func newQuality(s tagger.Score) *quality {
	if s.Gold == 0 {
		return nil
	}
	q := &quality{Words: s.Gold, Aligned: s.Aligned}
	f1 := s.WordF1()
	q.WordF1 = &f1
	if s.POS > 0 {
		x := s.POSAccuracy()
		q.POS = &x
	}
	if s.Tagged > 0 {
		x := s.EntityF1()
		q.EntityF1 = &x
	}
	return q
}

// line is a quality for people.
func (q *quality) line(words bool) string {
	var parts []string
	if words {
		parts = append(parts, fmt.Sprintf("words F1 %.4f (%d of %d aligned)", *q.WordF1, q.Aligned, q.Words))
	}
	if q.POS != nil {
		part := fmt.Sprintf("parts of speech %.4f", *q.POS)
		if words {
			part += " of the aligned words"
		}
		parts = append(parts, part)
	}
	if q.EntityF1 != nil {
		parts = append(parts, fmt.Sprintf("entities F1 %.4f", *q.EntityF1))
	}
	return strings.Join(parts, ", ")
}

// printQuality prints both ways of measuring an annotator.
func (a *app) printQuality(raw, given *quality) {
	if raw != nil {
		a.print("against the annotation in the files, from raw text: %s", raw.line(true))
	}
	if given != nil && (given.POS != nil || given.EntityF1 != nil) {
		a.print("given the words: %s", given.line(false))
	}
}

// report tells what was written.
func (f *annotateFlags) report(r tagger.Report) error {
	took := time.Since(f.app.started)
	raw, given := newQuality(r.Raw), newQuality(r.GoldWords)
	if f.app.json {
		return f.app.writeJSON(struct {
			Command   string   `json:"command"`
			File      string   `json:"file"`
			Examples  int      `json:"examples"`
			Resumed   int      `json:"resumed_from"`
			Words     int      `json:"words"`
			Entities  int      `json:"entities"`
			Raw       *quality `json:"raw_text,omitempty"`
			GoldWords *quality `json:"given_words,omitempty"`
			Seconds   float64  `json:"seconds"`
		}{"annotate", f.out, r.Examples, r.Resumed, r.Words, r.Entities, raw, given, took.Seconds()})
	}
	if r.Resumed > 0 {
		f.app.print("went on after %d examples", r.Resumed)
	}
	f.app.print("wrote %s: %d examples, %d words, %d entities, in %s", f.out, r.Examples, r.Words, r.Entities, duration(took))
	f.app.printQuality(raw, given)
	return nil
}

// fileOutput refuses a file that cannot be written, before the work begins.
func fileOutput(path string) error {
	if path == corpus.Stdin {
		return misfit.Errorf("--out -: leave --out out for standard output")
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return misfit.Errorf("--out: %s is a directory; name a file", path)
	}
	dir := filepath.Dir(path)
	if err := exist("--out", dir); err != nil {
		return err
	}
	return writable(dir)
}

// writeFile replaces the file at path, or leaves it as it is where that fails.
func writeFile(path string, write func(io.Writer) error) error {
	if err := files.Replace(path, write); err != nil {
		return fmt.Errorf("--out: writing %s: %w", path, err)
	}
	return nil
}
