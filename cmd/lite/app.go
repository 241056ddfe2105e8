package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/onnx"
)

// The exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2   // the command line cannot be carried out as written
	exitBudget      = 3   // a quality budget (--max-drop) was missed; the model is written
	exitInterrupted = 130 // SIGINT or SIGTERM
)

// app is what all commands share: the global flags and the streams.
type app struct {
	json, quiet bool
	threads     int
	in          io.Reader
	out, err    io.Writer
	progress    *progress
	started     time.Time // zero until a command's own work begins
	failed      error     // the first failure to print
}

func newApp(in io.Reader, out, errs io.Writer) *app {
	return &app{in: in, out: out, err: errs, progress: newProgress(errs)}
}

// command makes a cobra command of a function. Errors before it is called are
// usage errors, whatever they are.
func (a *app) command(cmd *cobra.Command, do func(ctx context.Context, args []string) error) *cobra.Command {
	cmd.RunE = func(c *cobra.Command, args []string) error {
		a.started = time.Now()
		a.progress.quiet = a.quiet
		if a.threads < 0 {
			return misfit.Errorf("--threads %d: give a positive number, or 0 for all cores", a.threads)
		}
		kernel.SetThreads(a.threads)
		err := onnx.Guard(func() error { return do(c.Context(), args) })
		a.progress.clear()
		if err == nil {
			err = a.failed // such as a full disk under stdout
		}
		return err
	}
	return cmd
}

// exit reports an error and returns the exit code.
func (a *app) exit(ctx context.Context, cmd *cobra.Command, err error) int {
	if err == nil {
		return exitDone
	}
	var usage *misfit.Error
	code := exitFailed
	message := err.Error()
	switch {
	case a.started.IsZero() || errors.As(err, &usage):
		code = exitUsage
		if a.started.IsZero() {
			message += "\nTry: " + cmd.CommandPath() + " --help"
		}
	case ctx.Err() != nil:
		code = exitInterrupted
		message = "interrupted: " + withoutCause(message)
	case errors.Is(err, eval.ErrBudget):
		code = exitBudget
	}
	fmt.Fprintf(a.err, "lite: %s\n", message)
	return code
}

// withoutCause is what the error of an interrupted command says beside the
// interruption itself and the node it happened at.
func withoutCause(message string) string {
	message, _, _ = strings.Cut(message, "exec: stopped before node")
	for _, cause := range []string{"context canceled", "interrupt signal received", "terminated signal received"} {
		message = strings.TrimSuffix(message, cause)
	}
	if message = strings.TrimRight(message, ": "); message == "" {
		return "nothing is written"
	}
	return message
}

// print writes a line of results for people; --json and --quiet leave it out.
func (a *app) print(format string, args ...any) {
	if a.json || a.quiet {
		return
	}
	if _, err := fmt.Fprintf(a.out, format+"\n", args...); err != nil && a.failed == nil {
		a.failed = err
	}
}

// warnOnce tells of each thing that went wrong once, even under --quiet: where
// a disk is full, the next attempts say the same.
func (a *app) warnOnce() func(error) {
	told := map[string]bool{}
	return func(err error) {
		key := strings.Join(strings.FieldsFunc(err.Error(), unicode.IsDigit), "") // temporary names differ in numbers
		if !told[key] {
			told[key] = true
			a.progress.clear()
			fmt.Fprintf(a.err, "lite: warning: %v\n", err)
		}
	}
}

// writeJSON writes a result for machines.
func (a *app) writeJSON(v any) error {
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
