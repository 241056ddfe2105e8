package distill

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/files"
	"github.com/litekit/lite/onnx"
)

// budgetName is the file beside a checkpoint that holds the plan of a time
// budget, so that a run that goes on has the same schedule.
const budgetName = "budget.json"

// budgetShare is the part of a time budget that is planned with: batches differ.
const budgetShare = 0.9

// timePlan is how many steps fit a time budget, as it was measured when the run began.
type timePlan struct {
	Of    string `json:"of"` // the settings that it is for
	Steps int    `json:"steps"`
}

// budget sets the number of steps that fit Config.TimeBudget, by timing a few. A run
// that goes on keeps to the number it began with. taken is what went by already.
func (c Config) budget(ctx context.Context, m *onnx.Model, taken time.Duration) (Config, error) {
	if c.TimeBudget == 0 {
		return c, nil
	}
	of := c.planned(m)
	path := filepath.Join(c.Checkpoint, budgetName)
	if data, err := os.ReadFile(path); c.Checkpoint != "" && err == nil {
		var old timePlan
		if json.Unmarshal(data, &old) == nil && old.Of == of && old.Steps > 0 {
			c.Steps = old.Steps
			return c, nil
		}
	}
	start := time.Now()
	e, err := Plan(ctx, m, c)
	if err != nil {
		return c, err
	}
	steps := e.within(c.TimeBudget, taken+time.Since(start))
	if steps < 1 {
		return c, fmt.Errorf("distill: %v is too short for a step: labelling takes %.0f seconds and a step %.2f; give more time, or a smaller student or batch",
			c.TimeBudget, e.Labelling, e.Training/float64(e.Steps))
	}
	if steps < e.Steps {
		c.decided("%d steps in place of %d, so that training ends within %v; with that number of steps in place of the time the same bytes come again", steps, e.Steps, c.TimeBudget)
	}
	c.Steps = steps
	return c, c.keepPlan(path, timePlan{of, c.Steps})
}

// planned names what a time plan is for, as far as the time depends on it.
func (c *Config) planned(m *onnx.Model) string {
	out := fmt.Sprint(c.TimeBudget, c.Epochs, c.Steps, c.Batch, c.BatchTokens, c.Accumulate, c.MaxLength, c.Recompute, " ", m.Hash())
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

// Within is the number of steps that a run would have with that Config.TimeBudget,
// or all where it is 0.
func (e *Estimate) Within(budget time.Duration) int {
	if budget == 0 {
		return e.Steps
	}
	return e.within(budget, 0)
}

// within is the number of steps that fit when some time has gone by already.
func (e *Estimate) within(budget, taken time.Duration) int {
	left := budget.Seconds()*budgetShare - taken.Seconds() - e.Labelling
	return int(max(0, min(1, left/(e.Training+e.Evaluation))) * float64(e.Steps))
}

// keepPlan writes the plan beside the checkpoints.
func (c *Config) keepPlan(path string, p timePlan) error {
	if c.Checkpoint == "" {
		return nil
	}
	data, err := json.Marshal(p)
	if err == nil {
		err = os.MkdirAll(c.Checkpoint, 0o777)
	}
	if err == nil {
		err = files.Replace(path, func(w io.Writer) error { _, err := w.Write(data); return err })
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
