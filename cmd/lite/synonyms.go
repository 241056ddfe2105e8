package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/synonym"
)

// synonymFlags say which table is made.
type synonymFlags struct {
	app    *app
	data   dataFlags
	model  string
	corpus []string
	least  int
	opts   synonym.Options
	random bool
	seed   uint64
	out    string
}

func synonymsCommand(a *app) *cobra.Command {
	s := &synonymFlags{app: a, opts: synonym.Default()}
	g, files := newGroup("Synonyms"), newGroup("Files")
	g.StringVar(&s.model, "model", "", "the `directory` of the model whose word embeddings are compared")
	g.IntVar(&s.opts.TopK, "top-k", s.opts.TopK, "synonyms of a word, at most")
	g.Float64Var(&s.opts.MinCosine, "min-cosine", s.opts.MinCosine, "least cosine of two embeddings, −1 to 1")
	filesVar(g, &s.corpus, "corpus", "`files` whose tokens may stand in the table (default: all tokens)")
	g.IntVar(&s.least, "min-count", 1, "how often a token must occur in --corpus")
	g.BoolVar(&s.random, "random", false, "write the control: a table of the same size whose synonyms are joined by chance")
	g.Uint64Var(&s.seed, "seed", 1, "seed of --random")
	g.StringVar(&s.out, "out", "", "`file` that the table goes to (default: standard output)")
	s.data.register(a, files)
	cmd := a.command(&cobra.Command{
		Use:   "synonyms --model DIR --out FILE",
		Short: "Make a table of synonyms out of a model's embeddings",
		Long: `Make a table of synonyms: for each token of the vocabulary those whose embeddings are
nearest. Each line is a word and its synonyms, separated by tabs, nearest first; it can
be looked at and corrected. Special and unused tokens are left out. A masked language
model that answers with a synonym of the masked word is not wrong (true negatives).`,
		Example: `  lite synonyms --model bert --out table.tsv
  lite synonyms --model bert --corpus docs.txt --top-k 4 --min-cosine 0.7 --out table.tsv
  lite synonyms --model bert --random --seed 2 --out control.tsv`,
		Args: noArguments,
	}, s.run)
	withFlags(cmd, g, files)
	required(cmd, "model")
	return cmd
}

func (s *synonymFlags) run(context.Context, []string) error {
	if err := atLeast(1, count{"--top-k", s.opts.TopK}, count{"--min-count", s.least}); err != nil {
		return err
	}
	if !(s.opts.MinCosine >= -1 && s.opts.MinCosine <= 1) {
		return misfit.Errorf("--min-cosine %v: give a number from −1 to 1", s.opts.MinCosine)
	}
	if len(s.corpus) == 0 && s.least != 1 {
		return misfit.Errorf("--min-count is of the tokens in --corpus, which is not given; give it, or leave --min-count out")
	}
	if s.out != "" {
		if err := fileOutput(s.out); err != nil {
			return err
		}
	}
	m, err := openModel("--model", s.model)
	if err != nil {
		return err
	}
	if len(m.Files) == 0 {
		return misfit.Errorf("--model: %s has no tokenizer beside it; name a directory with tokenizer.json or vocab.txt", s.model)
	}
	tok, err := corpus.LoadTokenizer(m.Files)
	if err != nil {
		return fmt.Errorf("--model: %w", err)
	}
	if err := s.restrict(tok); err != nil {
		return err
	}
	emb, dim, err := student.WordEmbeddings(m)
	if err != nil {
		return fmt.Errorf("--model: %w", err)
	}
	table, err := synonym.FromEmbeddings(emb, dim, tok, s.opts)
	if err != nil {
		return err
	}
	if s.random {
		table = table.Random(s.seed)
	}
	return s.write(table)
}

// restrict keeps the tokens of the corpus.
func (s *synonymFlags) restrict(tok *corpus.Tokenizer) error {
	if len(s.corpus) == 0 {
		return nil
	}
	if err := exist("--corpus", s.corpus...); err != nil {
		return err
	}
	c, err := s.data.open("--corpus", s.corpus)
	if err != nil {
		return err
	}
	counts := make([]int, tok.VocabSize())
	for i := range c.Len() {
		e, err := c.At(i)
		if err == nil && e.Tokens != nil {
			if err = e.Tokens.Check(len(counts)); err != nil {
				err = fmt.Errorf("%s: %w", e.Where(i), err)
			}
		}
		if err != nil {
			return fmt.Errorf("--corpus: %w", err)
		}
		if e.Tokens != nil {
			for _, id := range e.Tokens.IDs {
				counts[id]++
			}
			continue
		}
		for _, text := range []string{e.Text, e.Pair} {
			for _, id := range tok.Encode(text).IDs {
				counts[id]++
			}
		}
	}
	s.opts.Keep = func(id int64) bool { return counts[id] >= s.least }
	return nil
}

func (s *synonymFlags) write(table *synonym.Table) error {
	if s.out == "" {
		return table.Write(s.app.out)
	}
	if err := writeFile(s.out, func(w io.Writer) error { return table.Write(w) }); err != nil {
		return err
	}
	if s.app.json {
		return s.app.writeJSON(map[string]any{"command": "synonyms", "file": s.out, "words": table.Len(), "pairs": table.Pairs(), "random": s.random})
	}
	s.app.print("wrote %s: %d words with %d synonyms", s.out, table.Len(), table.Pairs())
	return nil
}
