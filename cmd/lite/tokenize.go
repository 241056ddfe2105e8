package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/litekit/lite/corpus/tokenizer"
	"github.com/litekit/lite/internal/misfit"
)

// tokenizeFlags say how lines are tokenized.
type tokenizeFlags struct {
	app       *app
	model     string
	file      string
	pairs     bool
	maxLength int
	stride    int
	tok       *tokenizer.Tokenizer
}

func tokenizeCommand(a *app) *cobra.Command {
	t := &tokenizeFlags{app: a}
	g := newGroup("Tokens")
	g.StringVar(&t.model, "model", "", "a model `directory`, whose tokenizer is used")
	g.StringVar(&t.file, "tokenizer", "", "a tokenizer `file`: tokenizer.json, vocab.txt, vocab.json, or a sentencepiece model")
	g.BoolVar(&t.pairs, "pairs", false, "a tab separates the two texts of a pair")
	g.IntVar(&t.maxLength, "max-length", 0, "tokens in a sequence, special ones included (default: all)")
	g.IntVar(&t.stride, "stride", 0, "show what --max-length cuts off too, in windows that share `N` tokens")
	cmd := a.command(&cobra.Command{
		Use:   "tokenize --model DIR | --tokenizer FILE [TEXT...]",
		Short: "Show tokens, ids and offsets of texts",
		Long: `Show the tokens of texts: those given, or the lines of standard input. For each
token its id, its token and the characters of the text that it stands for; a blank
line follows each text. With --json each text is an object on a line. Offsets are in
characters, and those of special tokens put around a text are 0 0.`,
		Example: `  lite tokenize --model small 'a gripping film'
  lite tokenize --tokenizer tokenizer.json --json < lines.txt`,
	}, t.run)
	withFlags(cmd, g)
	cmd.MarkFlagsMutuallyExclusive("model", "tokenizer")
	cmd.MarkFlagsOneRequired("model", "tokenizer")
	return cmd
}

func (t *tokenizeFlags) run(ctx context.Context, args []string) (err error) {
	if err := atLeast(0, count{"--max-length", t.maxLength}, count{"--stride", t.stride}); err != nil {
		return err
	}
	if t.stride > 0 && t.stride >= t.maxLength {
		return misfit.Errorf("--stride %d: windows share fewer tokens than --max-length has, which is %d; give a smaller stride, or a greater --max-length", t.stride, t.maxLength)
	}
	path := t.model + t.file
	if err := exist("tokenizer", path); err != nil {
		return err
	}
	if t.tok, err = tokenizer.Open(path); err != nil {
		return err
	}
	out := bufio.NewWriterSize(t.app.out, 1<<16)
	for _, text := range args {
		if err := t.show(out, text); err != nil {
			return err
		}
	}
	if len(args) == 0 {
		err = readBatches(bufio.NewReaderSize(t.app.in, 1<<16), 256, func(lines []string) {
			for _, text := range lines {
				if err == nil && ctx.Err() == nil {
					err = t.show(out, text)
				}
			}
			if e := out.Flush(); err == nil {
				err = e
			}
		})
	}
	if e := out.Flush(); err == nil {
		err = e
	}
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// tokenized is a text as --json shows it.
type tokenized struct {
	Text    string   `json:"text"`
	Pair    string   `json:"pair,omitempty"`
	IDs     []int64  `json:"ids"`
	Tokens  []string `json:"tokens"`
	Offsets [][2]int `json:"offsets"`
	Types   []int64  `json:"types"`
	Words   []int    `json:"words"`
}

// show writes the tokens of one text.
func (t *tokenizeFlags) show(out *bufio.Writer, text string) error {
	pair := ""
	if t.pairs {
		text, pair, _ = strings.Cut(text, "\t")
	}
	es := []tokenizer.Encoding{}
	if t.stride > 0 {
		var err error
		if es, err = t.tok.Windows(text, pair, tokenizer.Truncation{MaxLength: t.maxLength, Stride: t.stride}); err != nil {
			return err
		}
	} else {
		es = append(es, t.tok.EncodeMax(text, pair, t.maxLength))
	}
	for i := range es {
		if err := t.write(out, text, pair, &es[i]); err != nil {
			return err
		}
	}
	return nil
}

func (t *tokenizeFlags) write(out *bufio.Writer, text, pair string, e *tokenizer.Encoding) error {
	r := tokenized{text, pair, e.IDs, e.Tokens, make([][2]int, e.Len()), e.Types, e.Word}
	for i, s := range e.Offsets {
		of := text
		if e.Seq[i] == 1 {
			of = pair
		}
		r.Offsets[i] = [2]int{utf8.RuneCountInString(of[:s.Start]), utf8.RuneCountInString(of[:s.End])}
	}
	if t.app.json {
		j := json.NewEncoder(out)
		j.SetEscapeHTML(false)
		return j.Encode(r)
	}
	for i, id := range r.IDs {
		if _, err := fmt.Fprintf(out, "%d\t%s\t%d\t%d\n", id, printable(r.Tokens[i]), r.Offsets[i][0], r.Offsets[i][1]); err != nil {
			return err
		}
	}
	return out.WriteByte('\n')
}

// printable escapes what would break a line.
func printable(s string) string {
	if strings.ContainsAny(s, "\t\r\n") {
		return fmt.Sprintf("%q", s)
	}
	return s
}
