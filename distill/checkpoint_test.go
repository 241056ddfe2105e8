package distill_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/litekit/lite/distill"
)

// One run at a time has a checkpoint's directory; when it has ended, the next may.
func TestTwoRunsInOneDirectory(t *testing.T) {
	m, c := classifier(t, "1x16x2", 1), everything(t)
	c.Checkpoint, c.Steps = t.TempDir(), 2
	tried := false
	c.Progress = func(distill.Progress) {
		if tried {
			return
		}
		tried = true
		other := c
		other.Progress = nil
		if _, _, err := distill.Run(context.Background(), m, other); err == nil || !strings.Contains(err.Error(), "in use by another run") {
			t.Errorf("a second run: %v", err)
		}
	}
	run(t, m, c)
	c.Progress = func(distill.Progress) { panic("the caller's mistake") }
	func() {
		defer func() { _ = recover() }()
		c := c
		c.Checkpoint = t.TempDir()
		defer func() {
			if _, err := os.Stat(filepath.Join(c.Checkpoint, "lock")); err == nil {
				t.Error("a run that panicked keeps its directory")
			}
		}()
		_, _, _ = distill.Run(context.Background(), m, c)
	}()
	c.Progress = nil
	if _, report := run(t, m, c); report.Resumed != 2 {
		t.Errorf("went on from step %d", report.Resumed)
	}
}

func TestTrainingSurvivesCheckpointsThatCannotBeWritten(t *testing.T) {
	m := classifier(t, "1x16x2", 1)
	c := everything(t)
	whole, _ := run(t, m, c)
	c.Checkpoint, c.CheckpointSteps, c.Cache = filepath.Join(t.TempDir(), "run"), 1, t.TempDir()
	var warnings []string
	c.Warn = func(err error) { warnings = append(warnings, err.Error()) }
	c.Progress = func(p distill.Progress) {
		if p.Step == 3 { // no directory, no file of the checkpoint's name
			if err := errors.Join(os.RemoveAll(c.Checkpoint), os.WriteFile(c.Checkpoint, nil, 0o666)); err != nil {
				t.Fatal(err)
			}
		}
	}
	out, report := run(t, m, c)
	if out.Hash() != whole.Hash() || report.Steps != 8 {
		t.Error("the model is not that of a run without checkpoints")
	}
	// Steps 3 to 8 and the end.
	if len(warnings) != 7 || !strings.Contains(warnings[0], "goes on") || !strings.Contains(warnings[6], "complete all the same") {
		t.Errorf("warnings %q", warnings)
	}
	if err := os.Remove(c.Checkpoint); err != nil {
		t.Fatal(err)
	}

	// Interrupted, such a run says what it can go on from.
	for want, from := range map[string]int{"nothing could be kept": 1, "from step 1": 2} {
		dir := filepath.Join(t.TempDir(), "run")
		ctx, cancel := context.WithCancel(context.Background())
		c.Checkpoint = dir
		c.Progress = func(p distill.Progress) {
			if p.Step == from {
				os.RemoveAll(dir)
				os.WriteFile(dir, nil, 0o666)
			}
			if p.Step == 3 {
				cancel()
			}
		}
		_, _, err := distill.Run(ctx, m, c)
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want it to say %q", err, want)
		}
	}
}

func TestCheckpointDirectoryThatCannotBe(t *testing.T) {
	c := everything(t)
	c.Checkpoint = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(c.Checkpoint, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	_, _, err := distill.Run(context.Background(), classifier(t, "1x16x2", 1), c)
	if err == nil || !strings.Contains(err.Error(), "choose a directory") {
		t.Errorf("error %v; want it to name the remedy", err)
	}
	if _, err := os.Stat(c.Checkpoint); err != nil {
		t.Errorf("the file in the way: %v", err)
	}
}

// A stop while the teacher labels keeps the labels made so far, and the run
// that goes on ends in the same bytes.
func TestStopWhileLabelling(t *testing.T) {
	m := classifier(t, "1x16x2", 1)
	c := everything(t)
	c.Task, c.Steps = docs(t, 1, 200), 3
	c.Batch = 40 // 120 of the 200 examples: four batches of the teacher
	whole, _ := run(t, m, c)
	c.Checkpoint = filepath.Join(t.TempDir(), "run")
	log := func() (size int64) {
		found, _ := filepath.Glob(filepath.Join(c.Checkpoint, "labels", "*"))
		for _, f := range found {
			if info, err := os.Stat(f); err == nil {
				size += info.Size()
			}
		}
		return size
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped, total := c, 0
	stopped.Labelling = func(done, of int) {
		if total = of; done == 2 {
			cancel()
		}
	}
	_, _, err := distill.Run(ctx, m, stopped)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "batch 2 of 4") || !strings.Contains(err.Error(), "same command") {
		t.Fatalf("error %v", err)
	}
	if total != 4 {
		t.Errorf("%d batches are labelled; the steps read 4 batches of 32", total)
	}
	if size := log(); size < 100 {
		t.Errorf("%d bytes of labels are kept", size)
	}
	out, _ := run(t, m, c)
	if out.Hash() != whole.Hash() {
		t.Error("the run that was stopped ends in other bytes")
	}

	// What the run wrote goes, what it did not write stays.
	foreign := filepath.Join(c.Checkpoint, "labels", "notes.txt")
	torn := filepath.Join(c.Checkpoint, ".state.ckpt.123.tmp")
	for _, f := range []string{foreign, torn} {
		if err := os.WriteFile(f, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := distill.RemoveCheckpoint(c.Checkpoint); err != nil {
		t.Fatal(err)
	}
	if log() != 0 {
		t.Error("the labels are still there")
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(torn); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: %v", torn, err)
	}
	os.Remove(foreign)
	if err := distill.RemoveCheckpoint(c.Checkpoint); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.Checkpoint); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory: %v", err)
	}
	c.Checkpoint, c.Labelling = "", func(done, _ int) {
		if done == 1 {
			cancel()
		}
	}
	ctx, cancel = context.WithCancel(context.Background())
	defer cancel()
	if _, _, err := distill.Run(ctx, m, c); err == nil || !strings.Contains(err.Error(), "are lost without") {
		t.Errorf("error %v", err)
	}
}
