package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/litekit/lite/internal/misfit"
	"github.com/spf13/cobra"
)

// rootCommand makes the command tree. Nothing heavy may happen here: lite
// --help must answer at once.
func rootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "lite",
		Short: "Compress transformer encoders: distill, prune, quantize, measure",
		Long: `lite compresses transformer encoders. It takes an ONNX teacher, trains a small
student under it, prunes and quantizes the student, and measures on labelled
data what was lost. Models are .onnx files or directories in the Hugging Face
layout (config.json, tokenizer files, onnx/model.onnx).

Results go to stdout, progress and messages to stderr.

Exit codes:
  0    done
  1    failed
  2    the command line cannot be carried out: an unknown flag, a bad value, a
       missing flag, an input that does not exist, an output in the way
  3    a quality budget (--max-drop) was missed; the model is written all the same
  130  interrupted; training goes on where it stopped when the same command runs again`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	f := root.PersistentFlags()
	f.SortFlags = false
	f.BoolVar(&a.json, "json", false, "results as JSON on stdout")
	f.BoolVar(&a.quiet, "quiet", false, "no progress and no summary")
	f.IntVar(&a.threads, "threads", 0, "threads to compute with; results do not depend on it (default: all cores)")

	const compress, measure, data = "compress", "measure", "data"
	root.AddGroup(
		&cobra.Group{ID: compress, Title: "Make models:"},
		&cobra.Group{ID: measure, Title: "Use and measure them:"},
		&cobra.Group{ID: data, Title: "Prepare data:"},
	)
	for id, commands := range map[string][]*cobra.Command{
		compress: {demoCommand(a), distillCommand(a), labelCommand(a), trainCommand(a), pruneCommand(a), quantizeCommand(a)},
		measure:  {evalCommand(a), benchCommand(a), predictCommand(a), inspectCommand(a)},
		data:     {tokenizeCommand(a), vocabCommand(a), annotateCommand(a), synonymsCommand(a), augmentCommand(a)},
	} {
		for _, c := range commands {
			c.GroupID = id
			root.AddCommand(c)
		}
	}
	root.AddCommand(versionCommand(a))
	root.SetHelpCommand(helpCommand(a, root))
	return root
}

// helpCommand is cobra's, but that a command which does not exist is an error.
func helpCommand(a *app, root *cobra.Command) *cobra.Command {
	return a.command(&cobra.Command{Use: "help [command]", Short: "Help about any command"}, func(_ context.Context, args []string) error {
		c, rest, err := root.Find(args)
		if err == nil && len(rest) > 0 {
			err = fmt.Errorf("unknown command %q for %q", rest[0], c.CommandPath())
		}
		if err != nil {
			return misfit.Of(err)
		}
		c.InitDefaultHelpFlag()
		return c.Help()
	})
}

// build is what this program was built from.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func versionCommand(a *app) *cobra.Command {
	return a.command(&cobra.Command{Use: "version", Short: "Print the version", Args: noArguments}, func(context.Context, []string) error {
		b := build{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
		if info, ok := debug.ReadBuildInfo(); ok {
			if info.Main.Version != "" {
				b.Version = info.Main.Version
			}
			for _, s := range info.Settings {
				if s.Key == "vcs.revision" {
					b.Revision = s.Value
				}
			}
		}
		if a.json {
			return a.writeJSON(b)
		}
		_, err := fmt.Fprintf(a.out, "lite %s %s %s\n", b.Version, b.Go, b.Platform)
		return err
	})
}
