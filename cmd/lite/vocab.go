package main

import (
	"context"
	"io"
	"iter"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/corpus/tokenizer"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/prune"
)

func vocabCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "vocab", Short: "Learn a vocabulary, or cut a model's down to a corpus", Args: noArguments,
		Long: "Learn a vocabulary from text, or cut a model's down to what a corpus uses."}
	cmd.AddCommand(vocabTrainCommand(a), vocabPruneCommand(a))
	return cmd
}

// vocabKind is the kind of a vocabulary.
type vocabKind string

func vocabTrainCommand(a *app) *cobra.Command {
	var data dataFlags
	kind, size, out := vocabKind("wordpiece"), 0, ""
	var opts tokenizer.TrainOptions
	cased := false
	g, files := newGroup("Vocabulary"), newGroup("Files")
	choiceVar(g.FlagSet, &kind, "kind", "what is learned", "wordpiece", "bpe", "unigram")
	g.IntVar(&size, "size", 0, "entries of the vocabulary, at most")
	g.BoolVar(&cased, "cased", false, "wordpiece: keep capitals and accents (the others always do)")
	g.IntVar(&opts.MinFrequency, "min-count", 2, "how often a character or pair must occur")
	g.IntVar(&opts.Alphabet, "alphabet", 0, "single characters at most (default: as many as there are)")
	g.StringSliceVar(&opts.Special, "special", nil, "further special `tokens`")
	g.StringVar(&out, "out", "", "`directory` that the tokenizer's files go to")
	data.register(a, files)
	cmd := a.command(&cobra.Command{
		Use:     "train FILES... --size N --out DIR",
		Short:   "Learn a vocabulary from text",
		Long:    "Learn a WordPiece, byte-level BPE or Unigram vocabulary from text and write tokenizer.json\nand the files beside it. WordPiece lower-cases unless --cased; the others keep capitals.",
		Example: "  lite vocab train docs.txt --kind unigram --size 8000 --out tokenizer",
		Args:    cobra.MinimumNArgs(1),
	}, func(_ context.Context, args []string) error {
		if err := atLeast(1, count{"--size", size}, count{"--min-count", opts.MinFrequency}); err != nil {
			return err
		}
		if err := exist("input", args...); err != nil {
			return err
		}
		c, err := data.open("input", args)
		if err != nil {
			return err
		}
		tok, err := learn(kind, corpus.Texts(c), size, opts, cased)
		if err != nil {
			return err
		}
		if err := writeTokenizer(out, tok); err != nil {
			return err
		}
		if a.json {
			return a.writeJSON(map[string]any{"command": "vocab train", "out": out, "kind": tok.Kind(), "size": tok.VocabSize()})
		}
		a.print("wrote %s: a %s vocabulary of %d entries", out, tok.Kind(), tok.VocabSize())
		return nil
	})
	withFlags(cmd, g, files)
	required(cmd, "size", "out")
	return cmd
}

// learn learns a vocabulary.
func learn(kind vocabKind, texts iter.Seq[string], size int, opts tokenizer.TrainOptions, cased bool) (*tokenizer.Tokenizer, error) {
	switch kind {
	case "bpe":
		return tokenizer.TrainBPE(texts, size, opts)
	case "unigram":
		return tokenizer.TrainUnigram(texts, size, opts)
	}
	opts.Lowercase = !cased
	return tokenizer.TrainWordPiece(texts, size, opts)
}

// writeTokenizer writes a tokenizer's files into a directory of their own.
func writeTokenizer(dir string, tok *tokenizer.Tokenizer) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return misfit.Errorf("--out: %w", err)
	}
	for name, data := range tok.Files() {
		if err := writeFile(filepath.Join(dir, name), func(w io.Writer) error { _, err := w.Write(data); return err }); err != nil {
			return err
		}
	}
	return nil
}

func vocabPruneCommand(a *app) *cobra.Command {
	var data dataFlags
	out := &output{app: a, file: floatFile}
	model, least := "", 1
	g, files := newGroup("Pruning"), newGroup("Files")
	g.StringVar(&model, "model", "", "the float model: a `directory`")
	g.IntVar(&least, "min-count", 1, "how often a token must occur in the text to stay")
	out.register(files, "the smaller model")
	data.register(a, files)
	cmd := a.command(&cobra.Command{
		Use:   "prune FILES... --model DIR --out DIR",
		Short: "Cut a model's vocabulary down to a corpus",
		Long: `Cut a model's vocabulary down to the tokens of a corpus: embeddings, masked-LM
decoder and tokenizer files are written anew with new ids. Special tokens stay. Texts of
the corpus get the same answers as before; other texts may be cut in more pieces or have
more unknown tokens. Prune before you quantize.`,
		Example: "  lite vocab prune docs.txt --model zh-bert --out zh-small",
		Args:    cobra.MinimumNArgs(1),
	}, func(_ context.Context, args []string) error {
		if err := atLeast(1, count{"--min-count", least}); err != nil {
			return err
		}
		if err := exist("input", args...); err != nil {
			return err
		}
		if err := out.check(model); err != nil {
			return err
		}
		m, err := openModel("--model", model)
		if err != nil {
			return err
		}
		c, err := data.open("input", args)
		if err != nil {
			return err
		}
		small, report, err := prune.Vocabulary(m, corpus.Texts(c), least)
		if err != nil {
			return err
		}
		bytes, err := out.save(small)
		if err != nil {
			return err
		}
		if a.json {
			return a.writeJSON(map[string]any{"command": "vocab prune", "out": out.path, "tokens_before": report.Before, "tokens_after": report.After, "bytes_saved": report.Saved, "bytes": bytes})
		}
		a.print("wrote %s: %d of %d tokens stay, %d bytes of weights less", out.path, report.After, report.Before, report.Saved)
		return nil
	})
	withFlags(cmd, g, files)
	required(cmd, "model", "out")
	return cmd
}
