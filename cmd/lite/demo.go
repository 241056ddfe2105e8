package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/litekit/lite/internal/demo"
	"github.com/litekit/lite/internal/misfit"
)

func demoCommand(a *app) *cobra.Command {
	var dir string
	output := newGroup("Output")
	output.StringVar(&dir, "out", "lite-demo", "`directory` for the models and the data")
	cmd := a.command(&cobra.Command{
		Use:   "demo",
		Short: "Compress the built-in teacher, step by step",
		Long: `Run the whole of lite on what is built in: a teacher that tells the topic of
English and Chinese documents, and a corpus from a generator. A student is
trained under the teacher and, for comparison, alone; pruned; made int8; and all
are measured. Each step is printed as the command that does it. Takes one to
three minutes on two cores; needs no network.

A demo that is interrupted goes on in its training step when it runs again.`,
		Example: "  lite demo\n  lite demo --out /tmp/demo --json",
		Args:    noArguments,
	}, func(ctx context.Context, _ []string) error { return a.demo(ctx, dir) })
	withFlags(cmd, output)
	return cmd
}

func (a *app) demo(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return misfit.Of(fmt.Errorf("--out: %w", err))
	}
	if err := demo.Unpack(dir); err != nil {
		return err
	}
	steps := demo.Steps(dir)
	for i, s := range steps {
		if !a.quiet && !a.json {
			a.print("\n# %s\n$ lite %s", s.Why, quoted(s.Args))
		}
		args := s.Args
		switch last := i == len(steps)-1; {
		case a.json && last:
			args = append(args, "--json")
		case a.json || a.quiet && !last:
			args = append(args, "--quiet")
		}
		if err := a.sub(ctx, args); err != nil {
			return fmt.Errorf("demo: lite %s: %w", args[0], err)
		}
	}
	if !a.quiet && !a.json {
		int8 := filepath.Join(dir, "int8")
		a.print("\nThe models are in %s: directories that ONNX Runtime, transformers.js and Optimum open, for example", dir)
		a.print("$ lite predict --model %s \"The coach praised the striker after the match.\"", int8)
	}
	return nil
}

// sub runs another command of the tree, under the same streams and threads.
func (a *app) sub(ctx context.Context, args []string) error {
	if a.threads > 0 {
		args = append(args, "--threads", fmt.Sprint(a.threads))
	}
	root := rootCommand(newApp(a.in, a.out, a.err))
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	return root.ExecuteContext(ctx)
}

// quoted writes arguments as a shell reads them.
func quoted(args []string) string {
	out := make([]string, len(args))
	for i, s := range args {
		if s == "" || strings.ContainsAny(s, " \t\n\"'\\$`*?&|;<>()#~") {
			s = "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
		}
		out[i] = s
	}
	return strings.Join(out, " ")
}
