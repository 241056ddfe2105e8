package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/litekit/lite/corpus"
)

// predictFlags say what is predicted from.
type predictFlags struct {
	app       *app
	model     string
	top       int
	pairs     bool
	batch     int
	maxLength int
}

func predictCommand(a *app) *cobra.Command {
	p := &predictFlags{app: a}
	g := newGroup("Prediction")
	g.StringVar(&p.model, "model", "", "the model: a `directory` or file")
	g.IntVar(&p.top, "top-k", 5, "answers to show for each text or mask, at most")
	g.BoolVar(&p.pairs, "pairs", false, "a tab separates the two texts of a pair")
	g.IntVar(&p.batch, "batch", 32, "texts run together at most")
	g.IntVar(&p.maxLength, "max-length", 0, "tokens in a sequence (default: the model's positions, at most 512)")
	cmd := a.command(&cobra.Command{
		Use:   "predict --model DIR [TEXT...]",
		Short: "Run a model on texts",
		Long: `Run a model on texts: those given, or the lines of standard input. A classifier
answers with labels and scores, a masked LM with what fits at each [MASK], a
tagger with a tag for each word. With --json each answer is an object on a line.`,
		Example: `  lite predict --model small 'a gripping film'
  lite predict --model zh-mlm '北京是中国的[MASK]都。'
  cut -f1 dev.tsv | lite predict --model small --json`,
	}, p.run)
	withFlags(cmd, g)
	required(cmd, "model")
	return cmd
}

func (p *predictFlags) run(ctx context.Context, args []string) error {
	if p.top < 1 || p.batch < 1 {
		return usagef("--top-k and --batch must be at least 1")
	}
	m, err := openModel("--model", p.model)
	if err != nil {
		return err
	}
	r, err := newPredictor(m, p)
	if err != nil {
		return err
	}
	if len(args) > 0 {
		for i := 0; i < len(args); i += p.batch {
			if err := p.answer(ctx, r, args[i:min(len(args), i+p.batch)]); err != nil {
				return err
			}
		}
		return nil
	}
	return p.lines(ctx, r)
}

// maxLine bounds a line of standard input.
const maxLine = 16 << 20

// lines answers standard input, as many lines together as are there at once.
func (p *predictFlags) lines(ctx context.Context, r *predictor) error {
	batches := make(chan []string)
	var failed error
	go func() { // a read cannot be interrupted, waiting for it can
		defer close(batches)
		failed = readBatches(bufio.NewReaderSize(p.app.in, 1<<16), p.batch, func(b []string) { batches <- b })
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b, ok := <-batches:
			if !ok {
				return failed
			}
			if err := p.answer(ctx, r, b); err != nil {
				return err
			}
		}
	}
}

// readBatches hands out lines in batches of at most n, and never waits for
// more lines while some could be answered.
func readBatches(in *bufio.Reader, n int, yield func([]string)) error {
	var batch []string
	for {
		line, err := in.ReadString('\n')
		if len(line) > maxLine {
			return fmt.Errorf("standard input: a line of more than %d bytes", maxLine)
		}
		if line != "" {
			batch = append(batch, strings.TrimRight(line, "\r\n"))
		}
		if len(batch) > 0 && (err != nil || len(batch) == n || in.Buffered() == 0) {
			yield(batch)
			batch = nil
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("standard input: %w", err)
		}
	}
}

// answer predicts from a few texts and prints what comes out.
func (p *predictFlags) answer(ctx context.Context, r *predictor, texts []string) error {
	examples := make([]corpus.Example, len(texts))
	for i, text := range texts {
		examples[i] = corpus.Example{Text: text, Label: -1}
		if p.pairs {
			a, b, ok := strings.Cut(text, "\t")
			if !ok {
				return usagef("--pairs: no tab in %.60q", text)
			}
			examples[i].Text, examples[i].Pair = a, b
		}
	}
	answers, err := r.predict(ctx, examples)
	if err != nil {
		return err
	}
	for _, a := range answers {
		if p.app.json {
			e := json.NewEncoder(p.app.out)
			e.SetEscapeHTML(false)
			err = e.Encode(a)
		} else {
			_, err = fmt.Fprintln(p.app.out, a)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
