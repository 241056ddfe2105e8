package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/litekit/lite/corpus"
)

func annotateCommand(a *app) *cobra.Command {
	var data dataFlags
	var language, out string
	g, files := newGroup("Annotation"), newGroup("Files")
	choiceVar(g.FlagSet, &language, "lang", "language of the text", languages...)
	g.StringVar(&out, "out", "", "annotated JSONL `file` to write (default: standard output)")
	data.register(files)
	cmd := a.command(&cobra.Command{
		Use:   "annotate --lang zh FILES... --out FILE",
		Short: "Annotate raw text with words, parts of speech and entities",
		Long: `Annotate raw text with words, universal parts of speech and entities, as the
tagging losses of distill and train read them. The output is JSON on each line in
spaCy's form (text, ents, sents, tokens). Annotation that is there stays.`,
		Example: `  lite annotate --lang zh documents.txt reviews.tsv --out annotated.jsonl`,
		Args:    cobra.MinimumNArgs(1),
	}, func(ctx context.Context, args []string) error {
		if err := exist("input", args...); err != nil {
			return err
		}
		if out != "" {
			if err := fileOutput(out); err != nil {
				return err
			}
		}
		c, err := data.open("input", args)
		if err != nil {
			return err
		}
		if c, err = a.annotate(ctx, language, c); err != nil {
			return err
		}
		if out == "" {
			return corpus.WriteJSONL(a.out, c)
		}
		if err := writeFile(out, func(w io.Writer) error { return corpus.WriteJSONL(w, c) }); err != nil {
			return err
		}
		return a.annotated(c, out)
	})
	withFlags(cmd, g, files)
	required(cmd, "lang")
	return cmd
}

// annotated reports what was written.
func (a *app) annotated(c corpus.Corpus, out string) error {
	r := struct {
		Command  string  `json:"command"`
		File     string  `json:"file"`
		Examples int     `json:"examples"`
		Words    int     `json:"words"`
		Entities int     `json:"entities"`
		Seconds  float64 `json:"seconds"`
	}{Command: "annotate", File: out, Examples: c.Len()}
	for i := range c.Len() {
		e, err := c.At(i)
		if err != nil {
			return err
		}
		r.Words += len(e.Words)
		for _, w := range e.Words {
			if len(w.Entity) > 1 && w.Entity[0] == 'B' {
				r.Entities++
			}
		}
	}
	took := time.Since(a.started)
	r.Seconds = took.Seconds()
	if a.json {
		return a.writeJSON(r)
	}
	a.print("wrote %s: %d examples, %d words, %d entities, in %s", out, r.Examples, r.Words, r.Entities, duration(took))
	return nil
}

// fileOutput refuses a file that cannot be written, before the work begins.
func fileOutput(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return usagef("--out: %s is a directory; name a file", path)
	}
	dir := filepath.Dir(path)
	if err := exist("--out", dir); err != nil {
		return err
	}
	return writable(dir)
}

// writeFile replaces the file at path, or leaves it as it is where that fails.
func writeFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
			err = fmt.Errorf("--out: writing %s: %w", path, err)
		}
	}()
	b := bufio.NewWriterSize(f, 1<<16)
	if err = write(b); err == nil {
		err = b.Flush()
	}
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
