package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/student"
)

// spread is the value of --lengths.
type spread struct{ shortest, longest int }

func parseSpread(s string) (spread, error) {
	a, b, ok := strings.Cut(s, "-")
	lo, err1 := strconv.Atoi(strings.TrimSpace(a))
	hi, err2 := strconv.Atoi(strings.TrimSpace(b))
	if !ok || err1 != nil || err2 != nil || lo < 1 || hi < lo {
		return spread{}, fmt.Errorf("%q is not a range of lengths; write shortest-longest, such as 8-128", s)
	}
	return spread{lo, hi}, nil
}

// batchFlags say what a timed batch is.
type batchFlags struct {
	batch, seq int
	lengths    spread
}

func (b *batchFlags) register(g group, batch int) {
	g.IntVar(&b.batch, "batch", batch, "sequences run together")
	g.IntVar(&b.seq, "seq", 128, "tokens in each")
	parsedVar(g.FlagSet, &b.lengths, "lengths", "range", "sequences of mixed lengths, padded to the longest: shortest-longest, such as 8-128; instead of --seq", parseSpread)
}

// check settles the length of the batch.
func (b *batchFlags) check(cmd *cobra.Command) error {
	if b.lengths.longest > 0 {
		if cmd.Flags().Changed("seq") {
			return misfit.Errorf("--seq and --lengths both say how long sequences are; give one")
		}
		b.seq = b.lengths.longest
	}
	if err := atLeast(1, count{"--batch", b.batch}, count{"--seq", b.seq}); err != nil {
		return err
	}
	if b.batch > maxTokens/b.seq {
		return misfit.Errorf("--batch %d of %d tokens is more than the %d tokens that are run at once", b.batch, b.seq, maxTokens)
	}
	return nil
}

func benchCommand(a *app) *cobra.Command {
	b, o := &batchFlags{}, eval.BenchOptions{}
	batch, timing := newGroup("Batch"), newGroup("Timing")
	b.register(batch, 8)
	timing.IntVar(&o.Timing.Runs, "runs", 20, "timed runs")
	timing.IntVar(&o.Timing.Warmup, "warmup", 3, "runs before them")
	var cmd *cobra.Command
	cmd = a.command(&cobra.Command{
		Use:   "bench MODEL",
		Short: "Time a model, or a step of training",
		Long: `Time a model on batches of made-up tokens: how long it takes to open, the median
and the fastest run, tokens in a second (padding left out) and the most memory
that the process held. Let nothing else run meanwhile.

lite bench train times a step of training; see lite bench train --help.`,
		Example: `  lite bench model.onnx --batch 8 --seq 128 --threads 2 --runs 20 --json
  lite bench bert-sst2 --batch 16 --lengths 8-128
  lite bench train --layers 4 --hidden 312 --heads 12 --ffn 1200 --vocab 21128`,
		Args: cobra.ExactArgs(1),
	}, func(ctx context.Context, args []string) error {
		if err := errors.Join(b.check(cmd), atLeast(1, count{"--runs", o.Timing.Runs}, count{"--warmup", o.Timing.Warmup})); err != nil {
			return err
		}
		if err := exist(args[0], args[0]); err != nil {
			return err
		}
		o.Batch, o.Length, o.Shortest = b.batch, b.seq, b.lengths.shortest
		s, err := eval.BenchFile(ctx, args[0], o)
		return a.speed(s, err)
	})
	withFlags(cmd, batch, timing)
	cmd.AddCommand(benchTrainCommand(a))
	return cmd
}

func benchTrainCommand(a *app) *cobra.Command {
	b, o := &batchFlags{}, distill.BenchOptions{}
	shape, batch, timing := newGroup("Student"), newGroup("Batch"), newGroup("Timing")
	s := &o.Shape
	shape.IntVar(&s.Layers, "layers", 4, "encoder layers")
	shape.IntVar(&s.Hidden, "hidden", 312, "width of the hidden states")
	shape.IntVar(&s.Embedding, "embedding", 0, "width of the embedding tables, if it is not that of the hidden states")
	shape.IntVar(&s.Heads, "heads", 12, "attention heads of each layer")
	shape.IntVar(&s.FFN, "ffn", 1200, "width of the feed-forward layers")
	shape.IntVar(&s.Vocab, "vocab", 21128, "tokens in the vocabulary")
	choiceVar(shape.FlagSet, &s.Decoder, "decoder", "what tokens are scored with: the embeddings (tied) or a matrix of its own (untied) (default: tied)", student.Tied, student.Untied)
	b.register(batch, 32)
	timing.IntVar(&o.Steps, "steps", 5, "timed steps, after one that is not")
	timing.Uint64Var(&o.Seed, "seed", 0, "seed of weights, tokens and logits")
	var cmd *cobra.Command
	cmd = a.command(&cobra.Command{
		Use:   "train",
		Short: "Time a step of training",
		Long: `Time a step of training on made-up tokens: masked language modelling at 15% of
the tokens, soft labels from given logits at the same tokens, forward, backward
and the optimiser. Let nothing else run meanwhile.`,
		Example: `  lite bench train --layers 4 --hidden 312 --heads 12 --ffn 1200 --vocab 21128 --batch 32 --seq 128 --steps 5 --json`,
		Args:    noArguments,
	}, func(ctx context.Context, _ []string) error {
		if err := errors.Join(b.check(cmd), atLeast(1, count{"--steps", o.Steps}, count{"--layers", s.Layers},
			count{"--hidden", s.Hidden}, count{"--heads", s.Heads}, count{"--ffn", s.FFN}), atLeast(2, count{"--vocab", s.Vocab})); err != nil {
			return err
		}
		if err := s.Defaults().Validate(); err != nil {
			return misfit.Of(err)
		}
		o.Batch, o.Length, o.Shortest = b.batch, b.seq, b.lengths.shortest
		speed, err := distill.BenchStep(ctx, o)
		return a.speed(speed, err)
	})
	withFlags(cmd, shape, batch, timing)
	return cmd
}

// speed writes a measurement.
func (a *app) speed(s *eval.Speed, err error) error {
	if err != nil {
		return err
	}
	if a.json {
		return a.writeJSON(s)
	}
	_, err = fmt.Fprint(a.out, s)
	return err
}
