package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/tagger"
)

// taggerFlags say how a tagger is learned.
type taggerFlags struct {
	app        *app
	data       dataFlags
	train, dev []string
	opts       tagger.Options
	out        string
}

// automatic is the value of flags whose default follows from the data.
const automatic = "auto"

func annotateTrainCommand(a *app) *cobra.Command {
	t := &taggerFlags{app: a, opts: tagger.Default()}
	t.opts.Words, t.opts.Hints = automatic, automatic
	g, files := newGroup("Tagger"), newGroup("Files")
	filesVar(g, &t.train, "data", "annotated `files` to learn from: CoNLL-U, BIO, or others with words and tags")
	filesVar(g, &t.dev, "dev", "annotated `files` to choose the best epoch on, and to measure on at the end")
	g.StringVar(&t.out, "out", "", "`file` that the tagger goes to")
	g.IntVar(&t.opts.Epochs, "epochs", t.opts.Epochs, "times to go through the data")
	g.IntVar(&t.opts.MinCount, "min-count", t.opts.MinCount, "how often a feature must occur to have weights")
	g.Uint64Var(&t.opts.Seed, "seed", t.opts.Seed, "seed of the order of the sentences")
	choiceVar(g.FlagSet, &t.opts.Words, "words", "how words are found in raw text: learned from the data, by rules as in text whose words stand apart, or by the Chinese dictionary", automatic, tagger.Learned, tagger.Rules, tagger.Dictionary)
	choiceVar(g.FlagSet, &t.opts.Hints, "hints", "dictionary whose words and tags are features", automatic, "zh", tagger.NoHints)
	t.data.register(a, files)
	cmd := a.command(&cobra.Command{
		Use:   "train --data FILES --out FILE",
		Short: "Learn a tagger from annotated text, for any language",
		Long: `Learn a tagger from annotated text, for any language: where words are, their
universal parts of speech and their entities, as far as the data has them. Averaged
perceptrons, small and fast. Chinese text has the built-in dictionary as a further
source of features. The same data and seed give the same bytes.`,
		Example: `  lite annotate train --data train.conllu --dev dev.conllu --out english.tagger
  lite annotate train --data people.bio --epochs 12 --out people.tagger
  lite annotate train --data zh.conllu --hints none --out zh.tagger`,
		Args: noArguments,
	}, t.run)
	withFlags(cmd, g, files)
	required(cmd, "data", "out")
	return cmd
}

func (t *taggerFlags) run(ctx context.Context, _ []string) error {
	if err := atLeast(1, count{"--epochs", t.opts.Epochs}, count{"--min-count", t.opts.MinCount}); err != nil {
		return err
	}
	if err := fileOutput(t.out); err != nil {
		return err
	}
	train, err := t.open("--data", t.train)
	if err != nil {
		return err
	}
	dev, err := t.open("--dev", t.dev)
	if err != nil {
		return err
	}
	opts := t.opts
	if opts.Words == automatic {
		opts.Words = ""
	}
	if opts.Hints == automatic {
		opts.Hints = ""
	}
	opts.Progress = t.app.progress.epoch
	learned, err := tagger.Train(ctx, train, dev, opts)
	if err != nil {
		return err
	}
	took := time.Since(t.app.started)
	if err := learned.Save(t.out); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return t.report(ctx, learned, dev, took)
}

// open reads annotated files; none for no names.
func (t *taggerFlags) open(flag string, names []string) (corpus.Corpus, error) {
	if len(names) == 0 {
		return nil, nil
	}
	if err := exist(flag, names...); err != nil {
		return nil, err
	}
	return t.data.open(flag, names)
}

// report measures the tagger on the dev data and tells what was written.
func (t *taggerFlags) report(ctx context.Context, learned *tagger.Tagger, dev corpus.Corpus, took time.Duration) error {
	info, err := os.Stat(t.out)
	if err != nil {
		return err
	}
	var raw, given *quality
	speed := 0.0
	if dev != nil {
		began := time.Now()
		a, b, err := learned.Evaluate(ctx, dev, 1)
		if err != nil {
			return err
		}
		speed = float64(a.Found+b.Found) / time.Since(began).Seconds()
		raw, given = newQuality(a), newQuality(b)
	}
	if t.app.json {
		return t.app.writeJSON(struct {
			Command   string   `json:"command"`
			File      string   `json:"file"`
			Bytes     int64    `json:"bytes"`
			Words     string   `json:"words"`
			Hints     string   `json:"hints"`
			POS       []string `json:"pos"`
			NER       []string `json:"ner"`
			Features  int      `json:"features"`
			Raw       *quality `json:"raw_text,omitempty"`
			GoldWords *quality `json:"given_words,omitempty"`
			Speed     float64  `json:"words_per_second,omitempty"`
			Seconds   float64  `json:"seconds"`
		}{"annotate train", t.out, info.Size(), learned.Words(), learned.Hints(), append([]string{}, learned.POSTags()...), append([]string{}, learned.NERTags()...), learned.Features(), raw, given, speed, took.Seconds()})
	}
	t.app.print("wrote %s: %d features, %s, learned in %s; words: %s; %d parts of speech, %d entity tags", t.out, learned.Features(), size(info.Size()),
		duration(took), learned.Words(), len(learned.POSTags()), len(learned.NERTags()))
	t.app.printQuality(raw, given)
	if speed > 0 {
		t.app.print("%s words/s on one core", short(speed))
	}
	return nil
}

// epoch is the progress of learning a tagger, whose models learn side by side.
func (p *progress) epoch(e tagger.Progress) {
	if !p.due(false) {
		return
	}
	line := fmt.Sprintf("learn %s  epoch %d/%d", e.Stage, e.Epoch, e.Epochs)
	if e.Scored {
		line += fmt.Sprintf("  dev %.4f", e.Dev)
	}
	p.show(line)
}
