package distill_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

func TestPlanWritesNothingAndCounts(t *testing.T) {
	m := classifier(t, "1x16x2", 1)
	before := m.Hash()
	c := everything(t)
	c.Checkpoint, c.Log, c.KeepCheckpoints, c.EMA = filepath.Join(t.TempDir(), "cp"), filepath.Join(t.TempDir(), "log"), 2, 0.9
	c.Accumulate = 2
	e, err := distill.Plan(context.Background(), m, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{c.Checkpoint, c.Log} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is there", path)
		}
	}
	if m.Hash() != before {
		t.Error("the model was changed")
	}
	_, report := run(t, m, c)
	if e.Steps != report.Steps || e.Batch != 8 || e.Accumulate != 2 || float64(e.Tokens) < 0.9*float64(report.Tokens) || float64(e.Tokens) > 1.1*float64(report.Tokens) {
		t.Errorf("estimate %+v, report %+v", e, report)
	}
	if e.Examples < 2*8*2*8*9/10 || e.Examples > 2*8*2*8 {
		t.Errorf("%d examples; 16 batches of 8 on two views are at most 256, some rows being padding", e.Examples)
	}
	info, err := os.Stat(filepath.Join(c.Checkpoint, "state.ckpt"))
	if err != nil {
		t.Fatal(err)
	}
	if want := info.Size() * 3; e.Checkpoints < want*8/10 || e.Checkpoints > want {
		t.Errorf("%d bytes for checkpoints, one takes %d", e.Checkpoints, info.Size())
	}
	var labels int64
	err = filepath.WalkDir(filepath.Join(c.Checkpoint, "labels"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasPrefix(d.Name(), "labels-") {
			return err
		}
		info, err := d.Info()
		labels += info.Size()
		return err
	})
	if err != nil || labels < e.Labels*9/10 || labels > e.Labels*11/10 {
		t.Errorf("%d bytes of labels, %d were expected (%v)", labels, e.Labels, err)
	}
	if e.Trainable <= 0 || e.Parameters < e.Trainable || e.Training <= 0 || e.Labelling <= 0 {
		t.Errorf("estimate %+v", e)
	}
}

// What training holds is what was estimated, within a tenth: the heap is looked at
// in the last step, when all batches have been seen.
func TestMemoryIsThatOfTheEstimate(t *testing.T) {
	m := classifier(t, "2x128x4", 1)
	c := everything(t)
	c.Loss, c.Batch = c.Loss[:3], 16
	c.Steps = 4
	e, err := distill.Plan(context.Background(), m, c)
	if err != nil {
		t.Fatal(err)
	}
	base := heap() // with what kernels keep to work in
	var live int64
	c.Hook = func(step int, _ []*distill.Param) {
		if step == c.Steps {
			live = heap() - base
		}
	}
	run(t, m, c)
	t.Logf("estimate %.1f MB, held %.1f MB; with the caller's %.1f and %.1f", mb(e.Memory), mb(live), mb(e.Live), mb(live+base))
	// The model itself is the caller's, and counted in the estimate.
	if got := live + 4*m.Parameters(); got < e.Memory*9/10 || got > e.Memory*11/10 {
		t.Errorf("training holds %d bytes, the estimate is %d", got, e.Memory)
	}
	if got := live + base; got < e.Live*9/10 || got > e.Live*11/10 {
		t.Errorf("the process holds %d bytes, the estimate is %d", got, e.Live)
	}
	runtime.KeepAlive(m)
}

// probe is a loss that looks at the heap while a step holds what it is fed. Inputs
// are made in the order of their names.
type probe struct{ live *int64 }

func (probe) Name() string       { return "probe" }
func (probe) View() distill.View { return distill.Masked }

func (p probe) Build(g *distill.Graph) (*gorgonia.Node, error) {
	z, err := g.Student("")
	if err != nil {
		return nil, err
	}
	target := g.Floats("zz target", func(*distill.Moment) ([]float32, error) { return make([]float32, z.Shape().TotalSize()), nil }, z.Shape()...)
	weight := g.Floats("zzz heap", func(*distill.Moment) ([]float32, error) {
		*p.live = max(*p.live, heap())
		return make([]float32, z.Shape()[0]), nil
	}, z.Shape()[0])
	return autodiff.MSE(z, target, weight)
}

// What losses are fed is part of the estimate: the teacher's logits of tokens and
// its hidden states, and copies of the student's own.
func TestMemoryOfWhatLossesAreFed(t *testing.T) {
	const batch, length, width, theirs = 32, 64, 96, 192
	m := fresh(t, "1x96x2", student.MaskedLM(), 1)
	plan := func(c distill.Config) *distill.Estimate {
		e, err := distill.Plan(context.Background(), m, c)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	c := distill.Default()
	c.Text, c.Batch, c.Steps, c.MaxLength = docs(t, 2, 40), batch, 3, length
	c.Loss = distill.Sum{distill.Scale(1, distill.Denoise{})}
	plain := plan(c)
	for name, x := range map[string]struct {
		loss    distill.Loss
		teacher string
		fed     int64 // numbers
	}{
		"taps":      {distill.HiddenMSE{Layers: "0:2", On: distill.Masked}, "3x192x2", batch * length * theirs},
		"instances": {distill.InstanceRegularization{}, "", 2 * batch * length * width},
		"weights":   {distill.Denoise{Weighted: true}, "", 2 * batch * length * width},
	} {
		var live int64
		c.Teacher = nil
		if x.teacher != "" {
			c.Teacher = fresh(t, x.teacher, student.MaskedLM(), 7)
		}
		c.Loss = distill.Sum{distill.Scale(1, distill.Denoise{}), distill.Scale(1, x.loss)}
		if name == "weights" {
			c.Loss = c.Loss[1:]
		}
		if e := plan(c); e.Memory-plain.Memory < 4*x.fed {
			t.Errorf("%s: %d bytes in place of %d, and %d are fed", name, e.Memory, plain.Memory, 4*x.fed)
		}
		c.Loss = append(c.Loss, distill.Scale(1e-6, probe{&live}))
		e := plan(c)
		live = 0
		run(t, m, c)
		t.Logf("%s: estimate %.1f MB, held %.1f MB in all", name, mb(e.Live), mb(live))
		if live < e.Live*9/10 || live > e.Live*11/10 {
			t.Errorf("%s: %d bytes are held, the estimate is %d", name, live, e.Live)
		}
	}
}

func mb(n int64) float64 { return float64(n) / 1e6 }

// heap is what is in use. What lies in a sync.Pool goes with the second
// collection that finds it there, so after one it would depend on how many there
// were before.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

func TestMaxMemoryMakesBatchesSmaller(t *testing.T) {
	m := classifier(t, "3x32x2", 1)
	c := everything(t)
	c.Batch, c.Steps = 16, 2
	e, err := distill.Plan(context.Background(), m, c)
	if err != nil {
		t.Fatal(err)
	}
	var said string
	c.Decided = func(what string) { said = what }
	c.MaxMemory = e.Memory
	if _, _, err := distill.Run(context.Background(), m, c); err != nil || said != "" {
		t.Errorf("what fits was changed: %q, %v", said, err)
	}
	whole, _ := run(t, m, c)
	c.MaxMemory = e.Memory - 1
	if again, _ := run(t, m, c); again.Hash() != whole.Hash() || !strings.Contains(said, "no bit") {
		t.Errorf("a little less memory gives other bytes, or says nothing: %q", said)
	}
	c.MaxMemory = e.Memory / 2
	small, err := distill.Plan(context.Background(), m, c)
	if err != nil {
		t.Fatal(err)
	}
	if small.Memory > c.MaxMemory || small.Batch >= 16 || small.Batch*small.Accumulate != 16 || !strings.Contains(said, "to an update") {
		t.Errorf("%+v in %d bytes, %q", small, c.MaxMemory, said)
	}
	got, _ := run(t, m, c)
	same := c
	same.MaxMemory, same.Batch, same.Accumulate = 0, small.Batch, small.Accumulate
	if want, _ := run(t, m, same); got.Hash() != want.Hash() {
		t.Error("the run is not the one it says it is")
	}
	c.MaxMemory = 1000
	if _, _, err := distill.Run(context.Background(), m, c); err == nil || !strings.Contains(err.Error(), "smallest batches") {
		t.Errorf("error %v", err)
	}
}

func TestTimeBudget(t *testing.T) {
	m := classifier(t, "1x16x2", 1)
	c := everything(t)
	c.Steps, c.TimeBudget, c.Checkpoint = 1<<20, 1200*time.Millisecond, filepath.Join(t.TempDir(), "cp")
	var said string
	c.Decided = func(what string) { said += what }
	start := time.Now()
	ctx, stopped := stopAfter(c, 2)
	if _, _, err := distill.Run(ctx, m, stopped); err == nil {
		t.Fatal("it was not stopped")
	}
	out, report := run(t, m, c)
	if took := time.Since(start); took > time.Minute { // all steps would take half an hour, and the machine may be busy
		t.Errorf("it took %v", took)
	}
	if report.Resumed > 2 || !strings.Contains(said, "steps in place of 1048576") {
		t.Errorf("%+v, %q", report, said)
	}
	if !report.OutOfTime {
		same := c
		same.TimeBudget, same.Steps, same.Checkpoint = 0, report.Steps, ""
		if want, _ := run(t, m, same); out.Hash() != want.Hash() {
			t.Error("the number of steps gives other bytes than the time")
		}
	}
	c.Steps, c.TimeBudget = 8, time.Hour
	if err := distill.RemoveCheckpoint(c.Checkpoint); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.Checkpoint); err == nil {
		t.Error("the plan is still there")
	}
	if _, report := run(t, m, c); report.Steps != 8 || report.OutOfTime {
		t.Errorf("with much time: %+v", report)
	}
	c.TimeBudget, c.Checkpoint = time.Microsecond, ""
	if _, _, err := distill.Run(context.Background(), m, c); err == nil || !strings.Contains(err.Error(), "too short") {
		t.Errorf("error %v", err)
	}
	// Steps that take longer than was planned end the run, with what there is.
	c.TimeBudget, c.Steps = 2*time.Second, 1000
	c.Hook = func(int, []*distill.Param) { time.Sleep(50 * time.Millisecond) }
	out, report = run(t, m, c)
	if !report.OutOfTime || report.Steps < 1 || report.Steps > 45 || out == (*onnx.Model)(nil) {
		t.Errorf("slow steps: %+v", report)
	}
}

// Labelling that takes longer than was planned leaves fewer steps, with a schedule of
// their own; a run that was stopped keeps to that plan.
func TestTimeBudgetIsPlannedAgain(t *testing.T) {
	m := classifier(t, "1x16x2", 1)
	c := everything(t)
	c.Loss = c.Loss[:2]
	c.Steps, c.TimeBudget, c.Checkpoint = 1<<20, 3*time.Second, filepath.Join(t.TempDir(), "cp")
	var said []string
	c.Decided = func(what string) { said = append(said, what) }
	slow := func(c distill.Config) distill.Config {
		planned := false
		c.Decided = func(what string) { planned = true; said = append(said, what) }
		c.Labelling = func(done, total int) {
			if planned && done == 1 {
				time.Sleep(1500 * time.Millisecond)
			}
		}
		return c
	}
	ctx, stopped := stopAfter(slow(c), 2)
	if _, _, err := distill.Run(ctx, m, stopped); err == nil {
		t.Fatal("it was not stopped")
	}
	all := strings.Join(said, "\n")
	if len(said) != 2 || !strings.Contains(all, "steps in place of 1048576") || !strings.Contains(all, "as labelling took 1.") || !strings.Contains(all, "the same bytes come again") {
		t.Fatalf("%q", said)
	}
	var plan struct{ Planned, Steps int }
	data, err := os.ReadFile(filepath.Join(c.Checkpoint, "budget.json"))
	if err == nil {
		err = json.Unmarshal(data, &plan)
	}
	if err != nil || plan.Steps < 1 || plan.Steps >= plan.Planned {
		t.Fatalf("the plan is %s, %v", data, err)
	}
	// A plan of few steps, so that the clock has no say in the rest.
	few := strings.Replace(string(data), fmt.Sprintf(`"steps":%d`, plan.Steps), `"steps":7`, 1)
	few = strings.Replace(few, fmt.Sprintf(`"planned":%d`, plan.Planned), `"planned":9`, 1)
	if err := distill.RemoveCheckpoint(c.Checkpoint); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(c.Checkpoint, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.Checkpoint, "budget.json"), []byte(few), 0o666); err != nil {
		t.Fatal(err)
	}
	ctx, stopped = stopAfter(c, 3)
	if _, _, err := distill.Run(ctx, m, stopped); err == nil {
		t.Fatal("it was not stopped")
	}
	out, report := run(t, m, c)
	if report.Resumed != 3 || report.Steps != 7 {
		t.Fatalf("%+v", report)
	}
	c.TimeBudget, c.Steps, c.Checkpoint = 0, 7, ""
	if want, _ := run(t, m, c); want.Hash() != out.Hash() {
		t.Error("the number of steps gives other bytes than the plan")
	}
	// Nothing is left after labelling.
	c.TimeBudget, c.Steps = 1200*time.Millisecond, 1<<20
	if _, _, err := distill.Run(context.Background(), m, slow(c)); err == nil || !strings.Contains(err.Error(), "nothing is left") || !strings.Contains(err.Error(), "lost without a cache") {
		t.Errorf("error %v", err)
	}
	// What a dry run says of too short a time is what the run says.
	c.TimeBudget = 0
	e, err := distill.Plan(context.Background(), m, c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Within(time.Millisecond); err == nil || !strings.Contains(err.Error(), "1ms is too short for a step") {
		t.Errorf("error %v", err)
	}
	if n, err := e.Within(time.Hour); err != nil || n < 1 {
		t.Errorf("%d steps in an hour, %v", n, err)
	}
}
