package distill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/files"
	"github.com/litekit/lite/onnx"
)

// budgetName is the file beside a checkpoint that holds the plan of a time
// budget, so that a run that goes on has the same schedule.
const budgetName = "budget.json"

const (
	// budgetShare is the part of a time budget that is planned with: batches differ.
	budgetShare = 0.9
	// worthwhile is by how much more steps fit after labelling than were planned,
	// for the plan to change.
	worthwhile = 1.05
)

// timePlan is how many steps fit a time budget. It is made when the run begins and
// once more when the teacher has labelled the texts, which takes as long as it takes.
type timePlan struct {
	Of        string  `json:"of"`        // the settings that it is for
	Planned   int     `json:"planned"`   // steps when the run began: these texts are labelled
	Steps     int     `json:"steps"`     // steps of the run; 0 until the texts are labelled
	Most      int     `json:"most"`      // steps that the settings ask for
	Labelling float64 `json:"labelling"` // seconds that were planned
	Step      float64 `json:"step"`      // seconds of a step with its share of the measurements
}

// budget plans how many steps fit Config.TimeBudget, by timing a few. A run that goes
// on keeps to the plan it began with. taken is what went by already.
func (c Config) budget(ctx context.Context, m *onnx.Model, taken time.Duration) (Config, error) {
	if c.TimeBudget == 0 {
		return c, nil
	}
	of := c.planned(m)
	old, err := c.readPlan()
	if err != nil {
		return c, err
	}
	if old != nil && old.Of == of && old.Planned > 0 {
		c.plan, c.Steps = old, old.Planned
		return c, nil
	}
	start := time.Now()
	e, err := Plan(ctx, m, c)
	debug.FreeOSMemory() // training needs it
	if err != nil {
		return c, err
	}
	steps, err := e.within(c.TimeBudget, taken+time.Since(start))
	if err != nil {
		return c, err
	}
	p := &timePlan{Of: of, Planned: steps, Most: e.Steps, Labelling: e.Labelling, Step: (e.Training + e.Evaluation) / float64(e.Steps)}
	again := ""
	if e.Labelling == 0 {
		p.Steps, again = steps, sameBytes
	}
	if steps < e.Steps {
		c.decided("%d steps in place of %d, so that training ends within %v%s", steps, e.Steps, c.TimeBudget, again)
	}
	c.plan, c.Steps = p, steps
	return c, c.keepPlan()
}

const sameBytes = "; with that number of steps in place of the time the same bytes come again"

// planned names what a time plan is for, as far as the time depends on it.
func (c *Config) planned(m *onnx.Model) string {
	out := fmt.Sprint("2 ", c.TimeBudget, c.Epochs, c.Steps, c.Batch, c.BatchTokens, c.Accumulate, c.MaxLength, c.Recompute, " ", m.Hash())
	models, _ := c.teachers()
	for _, t := range models {
		out += " " + t.Hash()
	}
	for _, term := range c.Loss {
		out += fmt.Sprint(" ", term.Loss.Name(), term.Weight > 0)
	}
	for _, data := range []corpus.Corpus{c.Task, c.Text} {
		if data != nil {
			out += fmt.Sprint(" ", data.Len())
		}
	}
	return out
}

// Within is the number of steps that a run would plan with that Config.TimeBudget,
// or all where it is 0. Where not one fits, the error is that of the run.
func (e *Estimate) Within(budget time.Duration) (int, error) {
	if budget == 0 {
		return e.Steps, nil
	}
	return e.within(budget, e.planning)
}

// within is the number of steps that fit when some time has gone by already.
func (e *Estimate) within(budget, taken time.Duration) (int, error) {
	left := budget.Seconds()*budgetShare - taken.Seconds() - e.Labelling
	steps := int(max(0, min(1, left/(e.Training+e.Evaluation))) * float64(e.Steps))
	if steps < 1 {
		return 0, unfit("%v is too short for a step: planning took %.1f seconds, labelling takes %.1f and a step %.2f; give more time, or a smaller student or batch",
			budget, taken.Seconds(), e.Labelling, (e.Training+e.Evaluation)/float64(e.Steps))
	}
	return steps, nil
}

// replan settles the steps of a run with a time budget when the texts are labelled,
// before its first step: those that fit the time that is left. The learning rate,
// ramps and temperatures follow that number from the beginning.
func (t *trainer) replan(labelling time.Duration) error {
	p := t.cfg.plan
	if p == nil || p.Steps > 0 {
		return nil
	}
	left := time.Until(t.deadline).Seconds() - (1-budgetShare)*t.cfg.TimeBudget.Seconds()
	steps := int(min(left/p.Step, float64(p.Most)))
	part := t.labelsPart()
	if part {
		steps = min(steps, p.Planned) // no more texts are labelled
	}
	if steps > p.Planned && steps < p.Most && float64(steps) < worthwhile*float64(p.Planned) {
		steps = p.Planned
	}
	if steps < 1 {
		kept := "they are lost without a cache or checkpoint directory"
		if t.cfg.cache() != "" {
			kept = "the labels are in " + t.cfg.cache() + ", and the same command has the whole time again"
		}
		return fmt.Errorf("distill: labelling took %.0f seconds where %.0f were planned, and of %v nothing is left for a step of %.2f seconds; %s", labelling.Seconds(), p.Labelling, t.cfg.TimeBudget, p.Step, kept)
	}
	if steps != p.Planned {
		again := sameBytes
		if part {
			again = "" // fewer texts would be labelled, in other batches
		}
		t.cfg.decided("%d steps in place of %d, as labelling took %.1f seconds where %.1f were planned, and %.1f are left%s", steps, p.Planned, labelling.Seconds(), p.Labelling, max(0, left), again)
	} else if steps < p.Most && !part {
		t.cfg.decided("it stays with %d steps%s", steps, sameBytes)
	}
	p.Steps, t.steps = steps, steps
	if err := t.cfg.keepPlan(); err != nil {
		return err
	}
	var err error
	if t.run, t.parts, err = t.fingerprint(); err == nil && t.log != nil {
		t.log.run = t.run[:runDigits]
	}
	return err
}

// labelsPart tells whether only the texts of the planned steps are labelled.
func (t *trainer) labelsPart() bool {
	for _, s := range t.streams {
		for _, u := range s.tutors {
			if u.wanted != nil {
				return true
			}
		}
	}
	return false
}

// readPlan reads the plan beside the checkpoints; nil where there is none that can
// be read.
func (c *Config) readPlan() (*timePlan, error) {
	if c.Checkpoint == "" {
		return nil, nil
	}
	data, err := os.ReadFile(filepath.Join(c.Checkpoint, budgetName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("distill: the plan of the time budget: %w", err)
	}
	p := &timePlan{}
	if json.Unmarshal(data, p) != nil || p.Planned < 1 || p.Steps < 0 || p.Step <= 0 {
		return nil, nil // of another version
	}
	return p, nil
}

// keepPlan writes the plan beside the checkpoints.
func (c *Config) keepPlan() error {
	if c.Checkpoint == "" {
		return nil
	}
	data, err := json.Marshal(c.plan)
	if err == nil {
		err = os.MkdirAll(c.Checkpoint, 0o777)
	}
	if err == nil {
		err = files.Replace(filepath.Join(c.Checkpoint, budgetName), func(w io.Writer) error { _, err := w.Write(data); return err })
	}
	if err != nil {
		return fmt.Errorf("distill: checkpoints cannot be kept in %s: %w; choose a directory that can be written", c.Checkpoint, err)
	}
	return nil
}

// outOfTime tells whether another step would end after the deadline.
func (t *trainer) outOfTime(start time.Time, resumed int) bool {
	if t.deadline.IsZero() {
		return false
	}
	step := time.Duration(0)
	if n := t.step - resumed; n > 0 {
		step = time.Since(start) / time.Duration(n)
	}
	return time.Now().Add(step).After(t.deadline)
}
