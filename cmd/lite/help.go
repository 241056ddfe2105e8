package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// group is a set of flags under a title of the help.
type group struct {
	title string
	*pflag.FlagSet
}

func newGroup(title string) group {
	set := pflag.NewFlagSet(title, pflag.ContinueOnError)
	set.SortFlags = false
	return group{title, set}
}

// withFlags adds the groups to a command and to its help.
func withFlags(cmd *cobra.Command, groups ...group) {
	cmd.Flags().SortFlags = false
	for _, g := range groups {
		cmd.Flags().AddFlagSet(g.FlagSet)
	}
	cmd.SetUsageFunc(func(c *cobra.Command) error {
		var b strings.Builder
		fmt.Fprintf(&b, "Usage:\n  %s\n", c.UseLine())
		if c.Example != "" {
			fmt.Fprintf(&b, "\nExamples:\n%s\n", c.Example)
		}
		for _, g := range groups {
			fmt.Fprintf(&b, "\n%s:\n%s", g.title, strings.ReplaceAll(g.FlagUsages(), " (default [])", "")) // what pflag says of no numbers
		}
		fmt.Fprintf(&b, "\nGlobal:\n%s", c.InheritedFlags().FlagUsages())
		_, err := fmt.Fprintln(c.OutOrStderr(), strings.TrimRight(b.String(), "\n"))
		return err
	})
}

// parsed is a flag that a room's own parser reads.
type parsed[T any] struct {
	target *T
	text   string
	kind   string
	parse  func(string) (T, error)
}

func (p *parsed[T]) String() string { return p.text }
func (p *parsed[T]) Type() string   { return p.kind }

func (p *parsed[T]) Set(s string) error {
	v, err := p.parse(s)
	if err == nil {
		*p.target, p.text = v, s
	}
	return err
}

// parsedVar adds such a flag; kind names its value in the help.
func parsedVar[T any](f *pflag.FlagSet, p *T, name, kind, usage string, parse func(string) (T, error)) {
	f.Var(&parsed[T]{target: p, kind: kind, parse: parse}, name, usage)
}

// choiceVar adds a flag with a fixed set of values, which end its usage.
func choiceVar[S ~string](f *pflag.FlagSet, p *S, name, usage string, allowed ...S) {
	var names []string
	for _, a := range allowed {
		names = append(names, string(a))
	}
	list := strings.Join(names, ", ")
	f.Var(&parsed[S]{target: p, text: string(*p), kind: "name", parse: func(s string) (S, error) {
		if slices.Contains(names, s) {
			return S(s), nil
		}
		return "", fmt.Errorf("choose one of %s", list)
	}}, name, usage+": "+list)
}

// shareVar adds a flag that is a fraction, 0 to 1.
func shareVar(f *pflag.FlagSet, p *float64, name string, def float64, usage string) {
	*p = def
	f.Var(&parsed[float64]{target: p, text: strconv.FormatFloat(def, 'g', -1, 64), kind: "share", parse: parseShare}, name, usage)
}

func parseShare(s string) (float64, error) {
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || !(x >= 0 && x <= 1) {
		return 0, errors.New("give a number from 0 to 1")
	}
	return x, nil
}

// required marks flags that must be given.
func required(cmd *cobra.Command, flags ...string) {
	for _, f := range flags {
		if err := cmd.MarkFlagRequired(f); err != nil {
			panic(err) // no such flag: a mistake in this program
		}
	}
}

// noArguments refuses words beside the flags.
func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%q is not a flag, and this command takes no arguments; lists are separated by commas", args[0])
	}
	return nil
}
