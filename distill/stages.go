package distill

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/litekit/lite/onnx"
)

// RunStages trains m in stages, each a configuration of its own on the result of
// the one before: intermediate losses and then those of the prediction
// (TinyBERT, arXiv 1909.10351), or short sequences and then long ones
// (LAMB, arXiv 1904.00962). Losses, lengths, batches, steps and rates are those of
// each stage; moments and schedules begin anew, and so do the parameters of losses.
// Heads stay until the last stage, which decides by its KeepHeads.
//
// Stages may share a directory of checkpoints: each has a folder of its own in it,
// stage-1 and so on, and the teacher's labels are kept once. An interrupted
// run goes on in the stage it was in. All stages are checked before the first
// begins. The reports are those of the stages that ended.
func RunStages(ctx context.Context, m *onnx.Model, stages []Config) (*onnx.Model, []*Report, error) {
	if len(stages) == 0 {
		return nil, nil, errors.New("distill: no stage to train in")
	}
	own := make([]Config, len(stages))
	for i, c := range stages {
		own[i] = c.stage(i, len(stages))
		if i == 0 {
			continue // Run looks at it before it begins
		}
		if err := own[i].try(ctx, m); err != nil {
			return nil, nil, inStage(err, own[i].Stage, len(stages))
		}
	}
	var reports []*Report
	for i, c := range own {
		out, report, err := Run(ctx, m, c)
		if err != nil {
			removeEmpty(stages[i].Checkpoint)
			return nil, reports, inStage(err, c.Stage, len(stages))
		}
		m, reports = out, append(reports, report)
	}
	return m, reports, nil
}

// inStage says where an error belongs.
func inStage(err error, name string, of int) error {
	if of == 1 {
		return err
	}
	return fmt.Errorf("stage %s: %w", name, err)
}

// stage is the configuration as one of several.
func (c Config) stage(i, of int) Config {
	if of == 1 {
		return c
	}
	if c.Stage == "" {
		c.Stage = strconv.Itoa(i + 1)
	}
	c.KeepHeads = c.KeepHeads || i < of-1
	c.Cache = c.cache()
	if c.Checkpoint != "" {
		c.Checkpoint = filepath.Join(c.Checkpoint, stageName+strconv.Itoa(i+1))
	}
	return c
}

// try refuses what could not run: a stage that fails should fail before others
// have run.
func (c Config) try(ctx context.Context, m *onnx.Model) error {
	if err := c.Validate(); err != nil {
		return err
	}
	c.Decided, c.Notice = nil, nil // told when the stage begins
	c, err := c.fit(ctx, m)
	if err != nil {
		return err
	}
	t, err := newTrainer(m, &c)
	if err == nil {
		t.close()
	}
	return err
}

// stageName begins the names of the folders of stages.
const stageName = "stage-"

// stageDirs lists the folders of stages in a checkpoint's directory.
func stageDirs(dir string) (out []string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		number := e.Name()[min(len(stageName), len(e.Name())):]
		if _, bad := strconv.Atoi(number); bad == nil && e.IsDir() && e.Name() == stageName+number {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out, err
}
