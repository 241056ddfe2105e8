// Command lite compresses transformer encoders: it trains small students under
// a teacher, prunes and quantizes them and measures what was lost.
//
// Each command is flags over the configuration of one room of the module; see
// lite --help and lite COMMAND --help.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the program: it returns the exit code. The first SIGINT or SIGTERM
// lets the command stop in order; the second ends it at once.
func run(args []string, in io.Reader, out, errs io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		stop()
	}()
	a := newApp(in, out, errs)
	cmd := rootCommand(a)
	cmd.SetArgs(args)
	cmd.SetIn(in)
	cmd.SetOut(out)
	cmd.SetErr(errs)
	ran, err := cmd.ExecuteContextC(ctx)
	return a.exit(ctx, ran, err)
}
