package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/internal/synth"
	"github.com/litekit/lite/student"
)

// buildProgram builds lite as users get it.
func buildProgram(t *testing.T) string {
	t.Helper()
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("there is no go command to build the program with")
	}
	path := filepath.Join(t.TempDir(), "lite")
	if out, err := exec.Command(goTool, "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// writeTask writes an untrained teacher and so many annotated documents to learn from.
func writeTask(t *testing.T, dir string, documents int) {
	t.Helper()
	tok, err := corpus.NewWordPiece(synth.Vocabulary(), true)
	if err != nil {
		t.Fatal(err)
	}
	m, err := distill.NewModel(student.Shape{Layers: 2, Hidden: 32, Heads: 2}, student.Classification(synth.Topics()), tok, 7)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Save(filepath.Join(dir, "teacher")); err != nil {
		t.Fatal(err)
	}
	docs := corpus.FromExamples(synth.Documents(synth.Default(1, documents)), synth.Topics())
	if err := writeFile(filepath.Join(dir, "train.jsonl"), func(w io.Writer) error { return corpus.WriteJSONL(w, docs) }); err != nil {
		t.Fatal(err)
	}
}

// files reads everything below a directory.
func filesOf(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err == nil {
			out[name], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A run that is killed at twenty random moments and started again each time, at 1
// and 2 threads in turns, ends in the same bytes as one that was left alone, and
// its log has every step once.
func TestKilledRunsEndInTheSameBytes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no SIGKILL")
	}
	const steps = 80
	program, dir := buildProgram(t), t.TempDir()
	writeTask(t, dir, 150)
	start := func(out string, threads int) (*exec.Cmd, *strings.Builder) {
		cmd := exec.Command(program, "distill", "--teacher", "teacher", "--data", "train.jsonl", "--student", "1x16", "--dev-split", "0.1",
			"--alpha-kd", "1", "--alpha-ce", "0.5", "--alpha-mlm", "0.5", "--alpha-pos", "0.2", "--alpha-ner", "0.2", "--alpha-sop", "0.2", "--alpha-hidden", "0.2", "--alpha-minilm", "0.2",
			"--ema", "0.9", "--eval-every", "25", "--best-metric", "loss", "--time-budget", "20h", "--keep-checkpoints", "2", "--log", out+".jsonl",
			"--steps", fmt.Sprint(steps), "--batch", "8", "--max-length", "48", "--checkpoint-steps", "2", "--threads", fmt.Sprint(threads), "--out", out)
		errs := &strings.Builder{}
		cmd.Dir, cmd.Stderr = dir, errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, errs
	}
	began := time.Now()
	cmd, errs := start("whole", 1)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, errs)
	}
	took := time.Since(began)

	const seed, kills = 20240601, 20
	rng := rand.New(rand.NewPCG(seed, 0))
	killed, saved := 0, 0
	for i := 0; killed < kills; i++ {
		if i == 3*kills {
			t.Fatalf("only %d of %d runs could be killed before they ended", killed, i)
		}
		after := time.Duration(rng.Float64() * float64(took) * 0.35)
		cmd, errs := start("parts", 1+i%2)
		time.Sleep(after)
		cmd.Process.Kill()
		var exit *exec.ExitError
		switch err := cmd.Wait(); {
		case err == nil: // it was nearly at its end; the next one begins anew
			os.RemoveAll(filepath.Join(dir, "parts"))
		case errors.As(err, &exit) && exit.ExitCode() == -1:
			killed++
			if _, err := os.Stat(filepath.Join(dir, "parts.checkpoint", "state.ckpt")); err == nil {
				saved++
			}
		default:
			t.Fatalf("killed after %v (seed %d): %v\n%s", after, seed, err, errs)
		}
	}
	cmd, errs = start("parts", 2)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, errs)
	}
	t.Logf("killed %d times within %v (seed %d), %d times with a checkpoint; the last run said:\n%s", killed, took*35/100, seed, saved, errs)
	whole, parts := filesOf(t, filepath.Join(dir, "whole")), filesOf(t, filepath.Join(dir, "parts"))
	for name, data := range whole {
		if !bytes.Equal(data, parts[name]) {
			t.Errorf("%s differs", name)
		}
	}
	if len(parts) != len(whole) || len(whole) < 3 {
		t.Errorf("%d files, and %d after kills", len(whole), len(parts))
	}
	for _, name := range []string{"whole.checkpoint", "parts.checkpoint"} {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", name, err)
		}
	}
	for _, name := range []string{"whole.jsonl", "parts.jsonl"} {
		checkLog(t, filepath.Join(dir, name), steps)
	}
}

// checkLog makes sure that a log has every step once, in order.
func checkLog(t *testing.T, path string, steps int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	next := 1
	for line := range strings.Lines(string(data)) {
		var l struct{ Step int }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%s: %v: %s", path, err, line)
		}
		if l.Step == 0 { // an evaluation
			continue
		}
		if l.Step != next {
			t.Fatalf("%s: step %d where %d is due", path, l.Step, next)
		}
		next++
	}
	if next != steps+1 {
		t.Errorf("%s: ends with step %d", path, next-1)
	}
}

// Labelling that is killed at random moments and started again each time, at 1 and 2
// threads in turns, keeps what it had and ends in the same shards as one that was
// left alone.
func TestKilledLabelsEndInTheSameBytes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no SIGKILL")
	}
	program, dir := buildProgram(t), t.TempDir()
	writeTask(t, dir, 1200)
	start := func(cache string, threads int) (*exec.Cmd, *strings.Builder) {
		cmd := exec.Command(program, "label", "--teacher", "teacher", "--data", "train.jsonl", "--max-length", "96", "--cache", cache, "--threads", fmt.Sprint(threads), "--json")
		out := &strings.Builder{}
		cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, out
	}
	already := regexp.MustCompile(`[1-9][0-9]* batches are in parts already`)
	began := time.Now()
	cmd, out := start("whole", 1)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	took := time.Since(began)

	const seed, kills = 20240602, 10
	rng := rand.New(rand.NewPCG(seed, 0))
	killed, resumed := 0, 0
	for i := 0; killed < kills && i < 3*kills; i++ {
		after := time.Duration((0.2 + 0.5*rng.Float64()) * float64(took))
		cmd, out := start("parts", 1+i%2)
		time.Sleep(after)
		cmd.Process.Kill()
		var exit *exec.ExitError
		switch err := cmd.Wait(); {
		case err == nil: // it was done; the next one begins anew
			os.RemoveAll(filepath.Join(dir, "parts"))
		case errors.As(err, &exit) && exit.ExitCode() == -1:
			killed++
			if already.MatchString(out.String()) {
				resumed++
			}
		default:
			t.Fatalf("killed after %v (seed %d): %v\n%s", after, seed, err, out)
		}
	}
	cmd, out = start("parts", 2)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("killed %d times within %v (seed %d), of which %d went on from kept labels; the last run said:\n%s", killed, took*7/10, seed, resumed, out)
	if killed == 0 {
		t.Error("no run could be killed before it ended")
	}
	whole, parts := filesOf(t, filepath.Join(dir, "whole")), filesOf(t, filepath.Join(dir, "parts"))
	for name, data := range whole {
		if !bytes.Equal(data, parts[name]) {
			t.Errorf("%s differs", name)
		}
	}
	if len(parts) != len(whole) || len(whole) < 1 {
		t.Errorf("%d files, and %d after kills", len(whole), len(parts))
	}
}

// Annotation that is killed goes on with the examples it had written.
func TestKilledAnnotationEndsInTheSameBytes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no SIGKILL")
	}
	program, dir := buildProgram(t), t.TempDir()
	docs := synth.Documents(synth.Default(1, 2000))
	var gold, text strings.Builder
	for _, e := range docs[:50] {
		for _, w := range e.Words {
			fmt.Fprintf(&gold, "%s\t%s\n", e.Text[w.Start:w.End], w.Entity)
		}
		gold.WriteByte('\n')
	}
	for range 12 {
		for _, e := range docs {
			text.WriteString(strings.Join(strings.Fields(e.Text), " ") + "\n")
		}
	}
	for name, content := range map[string]string{"gold.bio": gold.String(), "text.txt": text.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) *exec.Cmd {
		cmd := exec.Command(program, args...)
		cmd.Dir = dir
		return cmd
	}
	if out, err := run("annotate", "train", "--data", "gold.bio", "--epochs", "1", "--out", "x.tagger").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	annotate := func(out string) *exec.Cmd {
		return run("annotate", "--tagger", "x.tagger", "--line-per-document", "text.txt", "--out", out, "--threads", "1", "--json")
	}
	if out, err := annotate("whole.jsonl").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	part := filepath.Join(dir, "parts.jsonl.part.json")
	cmd := annotate("parts.jsonl")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for wait := time.Now(); time.Since(wait) < 20*time.Second; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(part); err == nil {
			break
		}
	}
	cmd.Process.Kill()
	if err := cmd.Wait(); err == nil {
		t.Skip("the run ended before it could be killed")
	}
	out, err := annotate("parts.jsonl").Output()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(out, []byte(`"resumed_from": 0,`)) {
		t.Errorf("the run began anew:\n%s", out)
	}
	made := filesOf(t, dir)
	if len(made["whole.jsonl"]) == 0 || !bytes.Equal(made["whole.jsonl"], made["parts.jsonl"]) {
		t.Error("the files differ")
	}
	if _, err := os.Stat(part); err == nil {
		t.Error("the note is left")
	}
}
