//go:build linux

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/internal/synth"
	"github.com/litekit/lite/student"
)

// memoryTest is set in the process that measures.
const memoryTest = "LITE_MEMORY_TEST"

// What --dry-run says of memory is the peak of the program that then runs. A
// tenth is promised; here it is a sixth, as a busy machine lets garbage lie.
func TestMemoryOfTheProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program and trains")
	}
	if os.Getenv(memoryTest) == "" {
		// Linux counts the memory that the parent had as the child's; what else the
		// tests need is more than what is measured here.
		cmd := exec.Command(os.Args[0], "-test.run=^TestMemoryOfTheProgram$", "-test.v")
		cmd.Env = append(os.Environ(), memoryTest+"=1")
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	program, dir := buildProgram(t), t.TempDir()
	writeTask(t, dir, 150)
	tok, err := corpus.NewWordPiece(synth.Vocabulary(), true)
	if err != nil {
		t.Fatal(err)
	}
	for name, shape := range map[string]student.Shape{"wide": {Layers: 2, Hidden: 384, Heads: 6}, "mid": {Layers: 3, Hidden: 256, Heads: 4}} {
		m, err := distill.NewModel(shape, student.Classification(synth.Topics()), tok, 7)
		if err == nil {
			err = m.Save(filepath.Join(dir, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, args := range map[string]string{
		"fine-tuning": "train --model wide --data train.jsonl --batch 16 --max-length 48",
		"masked text": "train --model mid --data train.jsonl --alpha-mlm 1 --batch 16 --max-length 48 --ema 0.9 --accumulate 2 --recompute",
		"hidden":      "distill --teacher wide --teacher teacher --data train.jsonl --student 2x192x6 --alpha-ce 1 --alpha-attention 1 --alpha-hidden 1 --batch 16 --max-length 48",
		"measured":    "train --model mid --data train.jsonl --dev-split 0.2 --eval-every 2 --best-metric loss --batch 16 --max-length 48",
	} {
		run := append(strings.Fields(args), "--steps", "4", "--out", filepath.Join(dir, "out"), "--force", "--threads", "2", "--json")
		start := func(args []string) ([]byte, int64) {
			cmd := exec.Command(program, args...)
			errs := &strings.Builder{}
			cmd.Dir, cmd.Stderr = dir, errs
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, errs)
			}
			return out, cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
		}
		out, trying := start(append(run, "--dry-run"))
		var p plan
		if err := json.Unmarshal(out, &p); err != nil {
			t.Fatal(err)
		}
		_, peak := start(run)
		t.Logf("%s: %.1f MB are expected, the peak is %.1f, that of the dry run %.1f", name, float64(p.Memory)/1e6, float64(peak)/1e6, float64(trying)/1e6)
		if p.Memory < peak*5/6 || p.Memory > peak*7/6 || trying > p.Memory*7/6 {
			t.Errorf("%s: %d bytes are expected, and the peak is %d, that of the dry run %d", name, p.Memory, peak, trying)
		}
	}
}
