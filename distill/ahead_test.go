package distill_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/teacher"
)

// onThreads runs f with so many threads and as many processors.
func onThreads(n int, f func()) {
	procs, threads := runtime.GOMAXPROCS(n), kernel.Threads()
	kernel.SetThreads(n)
	defer func() {
		runtime.GOMAXPROCS(procs)
		kernel.SetThreads(threads)
	}()
	f()
}

// online is a configuration whose teacher is heard at every step, on both views.
func online(t testing.TB) (*onnx.Model, distill.Config) {
	c := inside(t, distill.SoftLabels{Temperature: 2, Tokens: true}, distill.HiddenMSE{On: distill.Masked}, distill.HiddenMSE{On: distill.Clean})
	c.Teacher = fresh(t, "2x32x2", student.MaskedLM(), 7)
	c.Steps, c.LearningRate, c.Dropout, c.Accumulate = 4, 1e-3, 0.1, 2
	return fresh(t, "1x16x2", student.MaskedLM(), 8), c
}

// A teacher that is heard beside the student's steps changes no bit.
func TestTeachersAheadOfTheStudent(t *testing.T) {
	m, c := online(t)
	alone := c
	alone.Loss = c.Loss[:1]
	kept := alone
	kept.Cache, kept.Form = t.TempDir(), teacher.Form{TopK: 8}
	several := alone
	several.MoreTeachers = []*onnx.Model{fresh(t, "1x32x2", student.MaskedLM(), 9)}
	clean := c
	clean.Loss = c.Loss[2:]
	before := everything(t) // whole texts are labelled before training
	before.Steps = 4
	for name, x := range map[string]struct {
		m     *onnx.Model
		c     distill.Config
		ahead int
	}{
		"labels and hidden states of both views": {m, c, 3}, "labels": {m, alone, 3}, "labels that are kept": {m, kept, 3},
		"several teachers": {m, several, 3}, "hidden states": {m, clean, 3}, "nothing": {classifier(t, "1x16x2", 1), before, 0},
	} {
		var want string
		for _, threads := range []int{1, 2, 3, 4, 4} { // of labels that are kept, the last run reads all
			onThreads(threads, func() {
				out, ahead, err := distill.RunCounting(context.Background(), x.m, x.c)
				if err != nil {
					t.Fatal(err)
				}
				if want == "" {
					want = out.Hash()
				}
				if out.Hash() != want {
					t.Errorf("%s: %d threads give other bytes than 1", name, threads)
				}
				if n := x.ahead; threads > 2 && ahead != n || threads < 3 && ahead != 0 {
					t.Errorf("%s: on %d threads the teacher was asked ahead after %d of 4 steps, want %d", name, threads, ahead, n)
				}
			})
		}
	}
}

func TestResumeWithTeachersAhead(t *testing.T) {
	m, c := online(t)
	whole, _ := run(t, m, c)
	c.Checkpoint, c.Cache, c.Form = filepath.Join(t.TempDir(), "cp"), "", teacher.Form{}
	onThreads(4, func() {
		for range 2 {
			ctx, stopped := stopAfter(c, 1)
			if _, _, err := distill.Run(ctx, m, stopped); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "same command") {
				t.Fatalf("interrupted run: %v", err)
			}
		}
		if out, report := run(t, m, c); report.Resumed != 2 || out.Hash() != whole.Hash() {
			t.Errorf("resumed at step %d, other bytes than without a stop: %v", report.Resumed, out.Hash() != whole.Hash())
		}
	})
}

// An error of the teacher is one of the step that its batch belongs to.
func TestErrorsOfTeachersAhead(t *testing.T) {
	m, c := online(t)
	c.Accumulate, c.Loss, c.MaxLength, c.Steps = 1, c.Loss[:1], 64, 6
	try := func(threads int) (steps int, said string) {
		onThreads(threads, func() {
			c.Progress = func(p distill.Progress) { steps = p.Step }
			if _, _, err := distill.Run(context.Background(), m, c); err != nil {
				said = err.Error()
			}
		})
		return steps, said
	}
	for position := c.MaxLength - 1; position > 0; position-- { // only long texts have it
		c.Teacher = broken(t, position)
		steps, said := try(1)
		if said == "" || steps == 0 {
			continue
		}
		if n, s := try(4); n != steps || s != said {
			t.Errorf("%q after %d steps, and ahead %q after %d", said, steps, s, n)
		}
		return
	}
	t.Error("no text was damaged after the first step")
}

// broken is a teacher whose vector of a position is not finite.
func broken(t *testing.T, position int) *onnx.Model {
	m := fresh(t, "1x32x2", student.MaskedLM(), 7).Clone()
	for i, w := range m.Graph.Initializers {
		if strings.Contains(w.Name, "position_embeddings.weight") {
			values, err := w.Floats()
			if err != nil {
				t.Fatal(err)
			}
			data := make([]byte, 4*len(values))
			for j, v := range values {
				if j == position*32 {
					v = float32(math.NaN())
				}
				binary.LittleEndian.PutUint32(data[4*j:], math.Float32bits(v))
			}
			m.Graph.Initializers[i] = &onnx.Tensor{Name: w.Name, Type: w.Type, Dims: w.Dims, Raw: data}
			return m
		}
	}
	t.Fatal("no position embeddings")
	return nil
}

// What is made ahead is part of the estimate, and left out where memory is short.
func TestMemoryOfAnswersAhead(t *testing.T) {
	m, c := online(t)
	plan := func(threads int) (e *distill.Estimate) {
		onThreads(threads, func() {
			var err error
			if e, err = distill.Plan(context.Background(), m, c); err != nil {
				t.Fatal(err)
			}
		})
		return e
	}
	two, four := plan(2), plan(4)
	if more := four.Memory - two.Memory; more < 4*int64(c.Batch)*32*32 || more > two.Memory {
		t.Errorf("%d bytes on four threads, %d on two", four.Memory, two.Memory)
	}
	c.MaxMemory = two.Memory
	if e := plan(4); e.Memory != two.Memory || e.Batch != c.Batch {
		t.Errorf("%d bytes where %d are allowed, in batches of %d", e.Memory, c.MaxMemory, e.Batch)
	}
}
