package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/prune"
	"github.com/litekit/lite/student"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"lite": main})
}

// TestScripts runs the program end to end; the scripts are testdata/*.txtar.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               writeData,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "json": jsonAt, "interrupt": interrupt, "zeros": zeros, "writegraph": writeGraph, "tokenids": tokenIDs, "encoder": encoder, "refused": refused,
		},
	})
}

// writeData makes small files with something to learn: sentences whose label
// hangs on one word, documents, and tagged sentences.
func writeData(env *testscript.Env) error {
	rng := rand.New(rand.NewPCG(1, 2))
	pick := func(words ...string) string { return words[rng.IntN(len(words))] }
	sentence := func(mood string) string {
		return fmt.Sprintf("the %s %s was %s and %s", pick("old", "new", "long", "short"), pick("film", "play", "book", "song"),
			mood, pick("loud", "quiet", "slow", "quick"))
	}
	table := func(n int) string {
		var b strings.Builder
		b.WriteString("sentence\tlabel\n")
		for range n {
			if rng.IntN(2) == 0 {
				fmt.Fprintf(&b, "%s\tpositive\n", sentence(pick("good", "great", "fine")))
			} else {
				fmt.Fprintf(&b, "%s\tnegative\n", sentence(pick("bad", "poor", "dull")))
			}
		}
		return b.String()
	}
	var docs, tags strings.Builder
	for range 40 {
		for range 4 {
			docs.WriteString(sentence(pick("good", "bad")) + ". ")
		}
		docs.WriteString("\n\n")
		name := pick("anna", "paul")
		fmt.Fprintf(&tags, "%s B-PER\n%s O\n%s O\n\n", name, pick("reads", "writes"), pick("books", "songs"))
	}
	for name, text := range map[string]string{"train.tsv": table(120), "dev.tsv": table(60), "docs.txt": docs.String(), "tags.bio": tags.String()} {
		if err := os.WriteFile(filepath.Join(env.WorkDir, name), []byte(text), 0o666); err != nil {
			return err
		}
	}
	return nil
}

// encoder MODEL DIR writes the encoder of a model, without its head.
func encoder(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: encoder MODEL DIR")
	}
	m, err := onnx.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	m, err = student.WithHeads(m, nil, 0)
	ts.Check(err)
	ts.Check(m.Save(ts.MkAbs(args[1])))
}

// tokenids MODEL TSV JSONL writes a table as token ids.
func tokenIDs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: tokenids MODEL TSV JSONL")
	}
	tok, err := corpus.OpenTokenizer(ts.MkAbs(args[0]))
	ts.Check(err)
	c, err := corpus.Open([]string{ts.MkAbs(args[1])}, corpus.Options{})
	ts.Check(err)
	var b strings.Builder
	for i := range c.Len() {
		e, err := c.At(i)
		ts.Check(err)
		ids := tok.Encode(e.Text).IDs
		line, err := json.Marshal(map[string]any{"input_ids": ids, "attention_mask": slices.Repeat([]int{1}, len(ids)), "label": e.Target})
		ts.Check(err)
		b.Write(append(line, '\n'))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(b.String()), 0o666))
}

// exits CODE COMMAND... runs a command that must end with that code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if code := exitCode(ts.Exec(args[1], args[2:]...)); code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

// refused FILE runs the commands of a table, each of which must end with exit code
// 2, say what stands behind the bar and leave no file. "$X = ..." names the
// beginning of commands.
func refused(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: refused FILE")
	}
	files := func() string {
		all, err := filepath.Glob(ts.MkAbs("*"))
		ts.Check(err)
		return strings.Join(all, "\n")
	}
	names, before, failed := map[string]string{}, files(), false
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		line = strings.TrimSpace(line)
		if name, value, ok := strings.Cut(line, " = "); ok && strings.HasPrefix(name, "$") {
			names[name] = value
			continue
		}
		command, want, ok := strings.Cut(line, " | ")
		if !ok {
			ts.Fatalf("%q has no bar", line)
		}
		for name, value := range names {
			if rest, ok := strings.CutPrefix(command, name+" "); ok {
				command = value + " " + rest
			}
		}
		code := exitCode(ts.Exec("lite", strings.Fields(command)...))
		if said := ts.ReadFile("stderr"); code != exitUsage || !strings.Contains(said, want) {
			failed = true
			ts.Logf("lite %s: exit code %d, want %d and %q in %q", command, code, exitUsage, want, said)
		}
		if now := files(); now != before {
			ts.Fatalf("lite %s left something: %s", command, now)
		}
	}
	if failed {
		ts.Fatalf("see above")
	}
}

func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

// json PATH [REGEXP] finds a value in the JSON on stdout, such as eval.rows.0.name.
func jsonAt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: json PATH [REGEXP]")
	}
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &v))
	for _, key := range strings.Split(args[0], ".") {
		switch x := v.(type) {
		case map[string]any:
			var ok bool
			if v, ok = x[key]; !ok {
				ts.Fatalf("no %q of %s in the JSON", key, args[0])
			}
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(x) {
				ts.Fatalf("no element %q of %s in the JSON", key, args[0])
			}
			v = x[i]
		default:
			ts.Fatalf("%q of %s: not inside an object or list", key, args[0])
		}
	}
	if len(args) == 2 {
		text, err := json.Marshal(v)
		ts.Check(err)
		if !regexp.MustCompile(args[1]).Match(text) {
			ts.Fatalf("%s is %s, which does not match %s", args[0], text, args[1])
		}
	}
}

// interrupt FILE COMMAND... sends SIGINT to the command once FILE is there; it
// must end with code 130. Its stderr becomes the file "interrupted".
func interrupt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: interrupt FILE COMMAND...")
	}
	if runtime.GOOS == "windows" {
		ts.Fatalf("Windows has no SIGINT to send")
	}
	path, err := exec.LookPath(filepath.Join(ts.Getenv("PATH"), args[1]))
	if err != nil {
		for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
			if path, err = exec.LookPath(filepath.Join(dir, args[1])); err == nil {
				break
			}
		}
	}
	ts.Check(err)
	cmd := exec.Command(path, args[2:]...)
	var errs strings.Builder
	cmd.Dir, cmd.Stderr = ts.MkAbs("."), &errs
	cmd.Env = append(os.Environ(), "PATH="+ts.Getenv("PATH"))
	ts.Check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			break
		}
		select {
		case err := <-ended:
			ts.Fatalf("ended before %s was there: %v\n%s", args[0], err, errs.String())
		default:
		}
		if time.Now().After(deadline) {
			cmd.Process.Kill()
			ts.Fatalf("%s did not come", args[0])
		}
	}
	ts.Check(cmd.Process.Signal(os.Interrupt))
	if code := exitCode(<-ended); code != exitInterrupted {
		ts.Fatalf("exit code %d, want %d\n%s", code, exitInterrupted, errs.String())
	}
	ts.Check(os.WriteFile(ts.MkAbs("interrupted"), []byte(errs.String()), 0o666))
}

// zeros MODEL SHARE checks the share of zeros among the pruned parameters.
func zeros(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: zeros MODEL SHARE")
	}
	want, err := strconv.ParseFloat(args[1], 64)
	ts.Check(err)
	m, err := onnx.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	masks, err := prune.Masks(m)
	ts.Check(err)
	zero, all := 0, 0
	for _, mask := range masks {
		zero, all = zero+mask.Count(), all+mask.N
	}
	if all == 0 || float64(zero)/float64(all) < want-0.01 || float64(zero)/float64(all) > want+0.01 {
		ts.Fatalf("%d of %d weights are zero, want a share of %v", zero, all, want)
	}
}

// writeGraph KIND FILE writes a model that is no encoder: "vision", a
// convolution over images of any size, or "broken", which has an operator that
// nothing knows and a sum of shapes that do not fit.
func writeGraph(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: writegraph KIND FILE")
	}
	open := func(name string) onnx.Dim { return onnx.Dim{Param: name} }
	three := onnx.Dim{Size: 3, Known: true}
	g := &onnx.Graph{
		Name:         "g",
		Inputs:       []*onnx.ValueInfo{{Name: "pixels", Type: onnx.Float, HasShape: true, Dims: []onnx.Dim{open("batch"), three, open("height"), open("width")}}},
		Outputs:      []*onnx.ValueInfo{{Name: "y", Type: onnx.Float}},
		Initializers: []*onnx.Tensor{onnx.NewFloats("w", make([]float32, 4*3*3*3), 4, 3, 3, 3)},
	}
	g.Nodes = []*onnx.Node{onnx.NewNode("Conv", "conv", []string{"pixels", "w"}, []string{"c"}), onnx.NewNode("Relu", "", []string{"c"}, []string{"y"})}
	m := &onnx.Model{IRVersion: 8, Doc: "a test", Metadata: []onnx.Property{{Key: "author", Value: "nobody"}}, Opsets: []onnx.Opset{{Version: 17}}, Graph: g}
	if args[0] == "broken" {
		g.Initializers = append(g.Initializers, onnx.NewFloats("five", make([]float32, 5), 5), onnx.NewFloats("two", make([]float32, 2), 2))
		g.Nodes = append(g.Nodes, onnx.NewNode("Add", "sum", []string{"five", "two"}, []string{"s"}))
		odd := onnx.NewNode("Frobnicate", "odd", []string{"s"}, []string{"t"})
		odd.Domain = "org.example"
		g.Nodes = append(g.Nodes, odd)
		m.Opsets = append(m.Opsets, onnx.Opset{Domain: "org.example", Version: 1})
		g.Outputs = append(g.Outputs, &onnx.ValueInfo{Name: "t", Type: onnx.Float})
	}
	ts.Check(m.Save(ts.MkAbs(args[1])))
}
