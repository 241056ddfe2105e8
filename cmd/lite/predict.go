package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/predict"
	"github.com/litekit/lite/student"
)

// predictFlags say what is predicted from.
type predictFlags struct {
	app       *app
	model     string
	top       int
	pairs     bool
	ids       bool
	batch     int
	maxLength int
}

func predictCommand(a *app) *cobra.Command {
	p := &predictFlags{app: a}
	g := newGroup("Prediction")
	g.StringVar(&p.model, "model", "", "the model: a `directory` or file")
	g.IntVar(&p.top, "top-k", 5, "answers to show for each text or mask, at most")
	g.BoolVar(&p.pairs, "pairs", false, "a tab separates the two texts of a pair")
	g.BoolVar(&p.ids, "ids", false, "each text is a JSON object with \"input_ids\", special tokens included, for models whose tokenizer cannot be read")
	g.IntVar(&p.batch, "batch", 32, "texts run together at most")
	g.IntVar(&p.maxLength, "max-length", 0, "tokens in a sequence (default: the model's positions, at most 512)")
	cmd := a.command(&cobra.Command{
		Use:   "predict --model DIR [TEXT...]",
		Short: "Run a model on texts",
		Long: `Run a model on texts: those given, or the lines of standard input. A classifier
answers with labels and scores, a regression model with a number, an embedding
model with a vector, or with --pairs with the cosine of two, a masked LM with
what fits at each [MASK], a tagger with a tag for each word. With --json each
answer is an object on a line.`,
		Example: `  lite predict --model small 'a gripping film'
  lite predict --model zh-mlm '北京是中国的[MASK]都。'
  cut -f1 dev.tsv | lite predict --model small --json
  lite predict --model vectors --pairs "$(printf 'a good film\ta fine movie')"`,
	}, p.run)
	withFlags(cmd, g)
	cmd.MarkFlagsMutuallyExclusive("ids", "pairs")
	required(cmd, "model")
	return cmd
}

func (p *predictFlags) run(ctx context.Context, args []string) error {
	if p.top < 1 || p.batch < 1 {
		return misfit.Errorf("--top-k and --batch must be at least 1")
	}
	if p.maxLength != 0 {
		if err := atLeast(leastLength, count{"--max-length", p.maxLength}); err != nil {
			return err
		}
	}
	m, err := openModel("--model", p.model)
	if err != nil {
		return err
	}
	r, err := predict.New(m, predict.Options{Top: p.top, MaxLength: p.maxLength, Batch: p.batch, IDs: p.ids})
	if err != nil {
		return err
	}
	if len(args) > 0 {
		for i := 0; i < len(args); i += p.batch {
			if err := p.answer(ctx, r, args[i:min(len(args), i+p.batch)], place{"text", i}); err != nil {
				return err
			}
		}
		return nil
	}
	return p.lines(ctx, r)
}

// place is where a batch comes from: how one text is called, and how many were before it.
type place struct {
	name   string
	before int
}

// of names text i of the batch.
func (p place) of(i int) string { return fmt.Sprintf("%s %d", p.name, p.before+i+1) }

// at puts the place of the text that is at fault, where it is one, before an error.
func (p place) at(err error) error {
	if e := (*predict.TextError)(nil); errors.As(err, &e) {
		return fmt.Errorf("%s: %w", p.of(e.Text), e.Err)
	}
	return err
}

// leastLength has room for the special tokens of a text and one of its own.
const leastLength = 3

// maxLine bounds a line of standard input.
const maxLine = 16 << 20

// lines answers standard input, as many lines together as are there at once.
func (p *predictFlags) lines(ctx context.Context, r *predict.Predictor) error {
	batches := make(chan []string)
	from := place{name: "standard input: line"}
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
			if err := p.answer(ctx, r, b, from); err != nil {
				return err
			}
			from.before += len(b)
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
func (p *predictFlags) answer(ctx context.Context, r *predict.Predictor, texts []string, from place) (err error) {
	in := predict.Texts(texts...)
	if p.ids {
		for i, text := range texts {
			if in[i], err = idText(text, from.of(i)); err != nil {
				return err
			}
		}
	}
	if p.pairs {
		for i, text := range texts {
			a, b, ok := strings.Cut(text, "\t")
			if !ok {
				return misfit.Errorf("--pairs: %s: no tab in %.60q", from.of(i), text)
			}
			in[i] = predict.Text{Text: a, Pair: b}
		}
	}
	switch r.Kind() {
	case student.KindMaskedLM:
		answers, err := r.Fill(ctx, in)
		if err = from.at(err); errors.Is(err, predict.ErrNoMask) {
			err = misfit.Of(err)
		}
		return show(p.app, answers, err, filledLine)
	case student.KindPOS, student.KindNER:
		answers, err := r.Tag(ctx, in)
		return show(p.app, answers, from.at(err), taggedLine)
	case student.KindRegression:
		answers, err := r.Rate(ctx, in)
		return show(p.app, answers, from.at(err), ratedLine)
	case student.KindEmbedding:
		return p.vectors(ctx, r, in, from)
	}
	answers, err := r.Classify(ctx, in)
	return show(p.app, answers, from.at(err), classifiedLine)
}

// vectors answers with vectors, or with the cosines of pairs.
func (p *predictFlags) vectors(ctx context.Context, r *predict.Predictor, in []predict.Text, from place) error {
	if !p.pairs {
		answers, err := r.Embed(ctx, in)
		return show(p.app, answers, from.at(err), embeddedLine)
	}
	for i, t := range in {
		if t.Pair == "" {
			return misfit.Errorf("--pairs: %s: no text behind the tab of %.60q; the cosine is of two", from.of(i), t.Text)
		}
	}
	answers, err := r.Compare(ctx, in)
	return show(p.app, answers, from.at(err), ratedLine)
}

// idText reads one object with token ids; where names it in errors.
func idText(line, where string) (predict.Text, error) {
	if strings.TrimSpace(line) == "" {
		return predict.Text{}, misfit.Errorf("--ids: %s is empty; give an object with \"input_ids\"", where)
	}
	c, err := corpus.Read(strings.NewReader(line), "--ids", corpus.Options{Format: corpus.JSONL, Columns: corpus.Columns{Text: "input_ids"}})
	if err != nil {
		reason := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "corpus: --ids: "), "line 1: ") // it is the only line
		return predict.Text{}, misfit.Errorf("--ids: %s: %s", where, reason)
	}
	e, err := c.At(0)
	return predict.Text{Text: strings.Trim(fmt.Sprint(e.Tokens.IDs), "[]"), Tokens: e.Tokens}, err
}

// show prints answers, as JSON or as line writes them.
func show[T any](a *app, answers []T, err error, line func(T) string) error {
	if err != nil {
		return err
	}
	for _, x := range answers {
		if a.json {
			e := json.NewEncoder(a.out)
			e.SetEscapeHTML(false)
			err = e.Encode(x)
		} else {
			_, err = fmt.Fprintln(a.out, line(x))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func classifiedLine(c predict.Classified) string {
	text := c.Text
	if c.Pair != "" {
		text += "\t" + c.Pair
	}
	return joinScores(c.Labels, " ") + "\t" + text
}

func ratedLine(r predict.Rated) string {
	text := r.Text
	if r.Pair != "" {
		text += "\t" + r.Pair
	}
	return fmt.Sprintf("%.4f\t%s", r.Score, text)
}

func embeddedLine(e predict.Embedded) string {
	parts := make([]string, len(e.Vector))
	for i, x := range e.Vector {
		parts[i] = strconv.FormatFloat(float64(x), 'g', -1, 32)
	}
	return strings.Join(parts, " ") + "\t" + e.Text
}

func filledLine(f predict.Filled) string {
	lines := []string{f.Text}
	for i, m := range f.Masks {
		lines = append(lines, fmt.Sprintf("  mask %d: %s", i+1, joinScores(m, ", ")))
	}
	return strings.Join(lines, "\n")
}

func taggedLine(t predict.Tagged) string {
	parts := make([]string, len(t.Words))
	for i, w := range t.Words {
		parts[i] = w.Text + "/" + w.Tag
	}
	return strings.Join(parts, " ")
}

func joinScores(list []predict.Scored, sep string) string {
	parts := make([]string, len(list))
	for i, s := range list {
		parts[i] = fmt.Sprintf("%s %.4f", s.Label, s.Score)
	}
	return strings.Join(parts, sep)
}
