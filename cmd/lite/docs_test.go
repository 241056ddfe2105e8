package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/litekit/lite/corpus"
)

// block is a fenced block of a document: its language, first line and text.
type block struct {
	language string
	line     int
	text     string
}

// blocks lists the fenced blocks of Markdown.
func blocks(text string) (out []block) {
	in := false
	for i, line := range strings.Split(text, "\n") {
		switch language, fence := strings.CutPrefix(line, "```"); {
		case fence && !in:
			in = true
			out = append(out, block{language: strings.TrimSpace(language), line: i + 2})
		case fence:
			in = false
		case in:
			out[len(out)-1].text += line + "\n"
		}
	}
	return out
}

// documents are the repository's documents for users, by path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"README*.md", "docs/*.md"} {
		files, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			out[f] = string(data)
		}
	}
	if len(out) < 6 {
		t.Fatalf("only %d documents found", len(out))
	}
	return out
}

// words splits a command line as a shell does, as far as documents need it.
// Operators of the shell are words of their own.
func words(line string) (out []string) {
	word, begun, quote := "", false, rune(0)
	end := func() {
		if begun {
			out = append(out, word)
		}
		word, begun = "", false
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, begun = r, true
		case quote == 0 && (r == ' ' || r == '\t'):
			end()
		case quote == 0 && strings.ContainsRune("|;&<>()", r):
			end()
			out = append(out, string(r))
		case quote == 0 && r == '#' && !begun:
			return out
		default:
			word, begun = word+string(r), true
		}
	}
	end()
	return out
}

// commands lists the words of each lite command in a shell script.
func commands(script string) (out [][]string) {
	script = strings.ReplaceAll(script, "\\\n", " ")
	for _, line := range strings.Split(script, "\n") {
		all := words(strings.TrimPrefix(strings.TrimSpace(line), "$ "))
		for len(all) > 0 {
			n := slices.IndexFunc(all, func(w string) bool { return len(w) == 1 && strings.Contains("|;&<>()", w) })
			part := all
			if n >= 0 {
				part, all = all[:n], all[n+1:]
			} else {
				all = nil
			}
			for len(part) > 0 && strings.Contains(part[0], "=") { // variables
				part = part[1:]
			}
			if len(part) > 0 && (part[0] == "lite" || part[0] == "./lite") {
				out = append(out, part[1:])
			}
		}
	}
	return out
}

// parse checks a command line against the command tree and runs nothing.
func parse(args []string) error {
	root := rootCommand(newApp(strings.NewReader(""), io.Discard, io.Discard))
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	cmd.InitDefaultHelpFlag()
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if help, _ := cmd.Flags().GetBool("help"); help || !cmd.Runnable() {
		return nil
	}
	if f := cmd.Flags().Lookup("config"); f != nil && f.Changed {
		return cmd.ValidateArgs(cmd.Flags().Args()) // the file has the other flags
	}
	for _, check := range []func() error{
		func() error { return cmd.ValidateArgs(cmd.Flags().Args()) },
		cmd.ValidateRequiredFlags,
		cmd.ValidateFlagGroups,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// TestDocumentedConfigurations holds the files of flags in the documents to the
// flags that there are.
func TestDocumentedConfigurations(t *testing.T) {
	found := 0
	for file, text := range documents(t) {
		for _, b := range blocks(text) {
			if b.language != "json" || !strings.Contains(b.text, `"stages"`) || !strings.Contains(b.text, `"student"`) {
				continue
			}
			found++
			a := newApp(strings.NewReader(""), io.Discard, io.Discard)
			cmd, _, err := rootCommand(a).Find([]string{"distill"})
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "flags.json")
			if err := errors.Join(os.WriteFile(path, []byte(b.text), 0o666), cmd.Flags().Set("config", path), cmd.PreRunE(cmd, nil)); err != nil {
				t.Errorf("%s, block at line %d: %v", file, b.line, err)
			}
			fields, err := readFields([]byte(b.text))
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(fields, func(f field) bool { return f.name == "stages" })
			stages, err := readStages(fields[i].value)
			if err != nil || len(stages) == 0 {
				t.Errorf("%s, block at line %d: stages: %v", file, b.line, err)
			}
			for _, s := range stages {
				for _, f := range s.fields {
					if cmd.Flags().Lookup(f.name) == nil || slices.Contains(ofAll, f.name) {
						t.Errorf("%s, block at line %d: stage %s: no field %s", file, b.line, s.name, f.name)
					}
				}
			}
		}
	}
	if found == 0 {
		t.Error("no file of flags is documented")
	}
}

// TestDocumentedCommands holds every lite command in the documents and in the
// help to the flags that there are.
func TestDocumentedCommands(t *testing.T) {
	found := 0
	for file, text := range documents(t) {
		for _, b := range blocks(text) {
			if !slices.Contains([]string{"", "sh", "bash", "shell", "console"}, b.language) {
				continue
			}
			for _, args := range commands(b.text) {
				found++
				if err := parse(args); err != nil {
					t.Errorf("%s, block at line %d: lite %s: %v", file, b.line, strings.Join(args, " "), err)
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d commands found in the documents", found)
	}
	root := rootCommand(newApp(strings.NewReader(""), io.Discard, io.Discard))
	visit(root, func(c *cobra.Command) {
		for _, args := range commands(c.Example) {
			if err := parse(args); err != nil {
				t.Errorf("help of %s: lite %s: %v", c.Name(), strings.Join(args, " "), err)
			}
		}
	})
}

func visit(c *cobra.Command, do func(*cobra.Command)) {
	do(c)
	for _, sub := range c.Commands() {
		visit(sub, do)
	}
}

// The checks above must be able to fail.
func TestCommandsAreChecked(t *testing.T) {
	got := commands("# lite none\nlite eval 'a b' --data x | lite predict --model y # lite z\nX=1 lite inspect \\\n  m > out\nnot lite\n")
	if want := [][]string{{"eval", "a b", "--data", "x"}, {"predict", "--model", "y"}, {"inspect", "m"}}; !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("commands %q, want %q", got, want)
	}
	for line, want := range map[string]string{
		"eval a --data x":                        "",
		"--help":                                 "",
		"prune --help":                           "",
		"":                                       "",
		"evil a --data x":                        "unknown command",
		"eval a --datum x":                       "unknown flag",
		"eval --data x":                          "at least 1 arg",
		"eval a":                                 "required flag",
		"quantize --model a --out b --mode int4": "weight-only",
		"train --model a --student 1x8 --out b":  "none of the others",
		"distill --teacher a --data b --out c --lr abc": "invalid argument",
		"distill --teacher a --out c extra":             "takes no arguments",
	} {
		err := parse(strings.Fields(line))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("lite %s: error %v, want %q", line, err, want)
		}
	}
}

// TestDocumentedData reads every block of data in the documents.
func TestDocumentedData(t *testing.T) {
	formats := []corpus.Format{corpus.TXT, corpus.TSV, corpus.CSV, corpus.JSONL, corpus.CoNLLU, corpus.BIO}
	seen := map[corpus.Format]bool{}
	for file, text := range documents(t) {
		for _, b := range blocks(text) {
			format := corpus.Format(b.language)
			if !slices.Contains(formats, format) {
				continue
			}
			seen[format] = true
			c, err := corpus.Read(strings.NewReader(b.text), filepath.Base(file), corpus.Options{Format: format})
			if err != nil {
				t.Errorf("%s, block at line %d: %v", file, b.line, err)
				continue
			}
			for i := range c.Len() {
				e, err := c.At(i)
				if err != nil || e.Text == "" && e.Tokens == nil || e.Label < 0 && len(e.Words) == 0 && e.Tokens == nil && format != corpus.TXT {
					t.Errorf("%s, block at line %d: example %d is %+v, %v", file, b.line, i, e, err)
				}
			}
		}
	}
	if len(seen) != len(formats) {
		t.Errorf("only the formats %v are documented", seen)
	}
}

// TestDocumentLinks holds the links between the repository's documents to files
// that there are.
func TestDocumentLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	for file, text := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), filepath.FromSlash(m[1]))); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", file, m[1])
			}
		}
	}
}
