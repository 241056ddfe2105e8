package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/misfit"
)

// dataFlags say how text files are read.
type dataFlags struct {
	app  *app
	opts corpus.Options
}

func (d *dataFlags) register(a *app, g group) {
	d.app = a
	choiceVar(g.FlagSet, &d.opts.Format, "format", "format of the files, where their extension does not tell",
		corpus.TXT, corpus.TSV, corpus.CSV, corpus.JSONL, corpus.CoNLLU, corpus.BIO, corpus.Parquet)
	c := &d.opts.Columns
	g.StringVar(&c.Text, "text-column", "", "`column` or JSON member of the text, by name or number from 0; two separated by a comma are a pair (default: the usual names)")
	g.StringVar(&c.Pair, "pair-column", "", "`column` of the second text of a pair (default: the usual names)")
	g.StringVar(&c.Label, "label-column", "", "`column` of the label (default: the usual names)")
	g.StringVar(&c.Score, "score-column", "", "`column` of a number to predict (default: score, where it is a number)")
	choiceVar(g.FlagSet, &d.opts.Layout, "layout", "GLUE or CLUE task whose columns the files have (default: told by the name of file or folder)", corpus.Layouts()...)
	choiceVar(g.FlagSet, &d.opts.Header, "header", "whether the first row of a tsv or csv names the columns (default: told by the usual names)", corpus.WithHeader, corpus.WithoutHeader)
	g.IntVar(&d.opts.SkipBad, "skip-bad", 0, "skip up to `N` lines that cannot be read, and list them (default: the first one is an error)")
	g.StringSliceVar(&d.opts.Tags, "tags", nil, "`names` of entity tags that are written as numbers, in the order of the numbers: O,B-PER,I-PER")
	g.BoolVar(&d.opts.LinePerDocument, "line-per-document", false, "each line of a txt file is a document (default: blank lines separate them)")
}

// open reads the files that a flag or argument names.
func (d *dataFlags) open(what string, files []string) (corpus.Corpus, error) {
	opts, skipped := d.opts, 0
	if err := atLeast(0, count{"--skip-bad", opts.SkipBad}); err != nil {
		return nil, err
	}
	opts.OnSkip = func(err error) {
		skipped++
		d.app.progress.note("%s: skipped: %v", what, err)
	}
	c, err := corpus.Open(files, opts)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if skipped > 0 {
		d.app.progress.note("%s: %d bad lines skipped, %d examples read", what, skipped, c.Len())
	}
	return c, nil
}

// filesVar adds a flag that names files or folders of text.
func filesVar(g group, p *[]string, name, usage string) {
	g.StringSliceVar(p, name, nil, usage)
}

// exist reports inputs that are not there before any work is done.
func exist(what string, paths ...string) error {
	for _, p := range paths {
		if p == "" || p == corpus.Stdin {
			continue
		}
		if _, err := os.Stat(p); err != nil {
			if found, bad := filepath.Glob(p); bad == nil && len(found) > 0 {
				continue
			}
			return misfit.Errorf("%s: %w", what, err)
		}
	}
	return nil
}

// count is the value of a flag that counts something.
type count struct {
	flag  string
	value int
}

// atLeast refuses counts below the least that makes sense.
func atLeast(least int, counts ...count) error {
	for _, c := range counts {
		if c.value < least {
			return misfit.Errorf("%s %d: give a whole number of at least %d", c.flag, c.value, least)
		}
	}
	return nil
}

// annotate adds words, parts of speech and entities where there are none, by
// the dictionary of a language or by the tagger in a file.
func (a *app) annotate(ctx context.Context, by string, c corpus.Corpus) (corpus.Corpus, error) {
	if by == "" || c == nil {
		return c, nil
	}
	a.progress.note("annotating %d texts", c.Len())
	var annotator corpus.Annotator
	var err error
	if slices.Contains(languages, by) {
		annotator, err = corpus.Chinese()
	} else {
		annotator, _, err = openTagger("--annotate", by)
	}
	if err != nil {
		return nil, err
	}
	return corpus.Annotate(ctx, c, annotator, a.workers())
}

// languages are those that lite can annotate by itself.
var languages = []string{"zh"}

// annotatorVar adds a flag that names an annotator of raw text.
func annotatorVar(f *pflag.FlagSet, p *string, usage string) {
	parsedVar(f, p, "annotate", "annotator", usage+": zh, by the built-in dictionary, or a file that lite annotate train made", func(s string) (string, error) {
		if slices.Contains(languages, s) {
			return s, nil
		}
		if _, err := os.Stat(s); err != nil {
			return "", fmt.Errorf("give %s or the file of a tagger: %w", strings.Join(languages, ", "), err)
		}
		return s, nil
	})
}

// workers is how many texts are worked on at a time.
func (a *app) workers() int {
	if a.threads > 0 {
		return a.threads
	}
	return runtime.GOMAXPROCS(0)
}

// firstLabels keeps the labels of the first n examples and hides the others.
func firstLabels(c corpus.Corpus, n int) (corpus.Corpus, error) {
	if n <= 0 || c == nil || n >= c.Len() {
		return c, nil
	}
	return corpus.Concat(corpus.Take(c, n), corpus.Unlabeled(corpus.Skip(c, n)))
}
