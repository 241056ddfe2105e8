package distill

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/litekit/lite/eval"
)

// logLine is a line of [Config.Log]: a step, or an evaluation after one.
type logLine struct {
	Run   string `json:"run"` // the first 16 digits of the run's hash
	Stage string `json:"stage,omitempty"`

	Step   int                   `json:"step,omitempty"`
	Loss   *eval.Float           `json:"loss,omitempty"` // the weighted sum
	Losses map[string]eval.Float `json:"losses,omitempty"`
	Rate   *eval.Float           `json:"rate,omitempty"`
	Norm   *eval.Float           `json:"norm,omitempty"`
	Tokens int64                 `json:"tokens,omitempty"`
	Speed  *eval.Float           `json:"tokens_per_second,omitempty"`

	After  int         `json:"evaluated_after,omitempty"`
	Metric string      `json:"metric,omitempty"`
	Value  *eval.Float `json:"value,omitempty"`
	Best   bool        `json:"best,omitempty"`
}

// runDigits is how much of a run's hash stands in the log.
const runDigits = 16

// journal appends the lines of a run. What the file has of the run already, from
// before it was interrupted, is not written again. A nil journal writes nothing.
type journal struct {
	f           *os.File
	run, stage  string
	step, after int   // the last ones that are written
	plain       bool  // a file, rather than a device or a pipe
	size        int64 // of the whole lines of a plain file
	last        time.Time
	warn        func(error)
}

// openJournal opens the file and finds where this run stands in it. A line that a
// killed process left in half is cut off; anything else that is no log is left
// alone, and an error.
func openJournal(path, run, stage string, warn func(error)) (*journal, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return nil, fmt.Errorf("distill: the log: %w", err)
	}
	j := &journal{f: f, run: run[:runDigits], stage: stage, last: time.Now(), warn: warn}
	info, err := f.Stat()
	if j.plain = err == nil && info.Mode().IsRegular(); j.plain { // others cannot be read back
		err = j.scan()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("distill: the log %s: %w", path, err), f.Close())
	}
	return j, nil
}

func (j *journal) scan() error {
	r := bufio.NewReader(j.f)
	for n := 1; ; n++ {
		line, err := r.ReadBytes('\n')
		if err == io.EOF && (len(line) == 0 || n > 1 || bytes.HasPrefix(line, []byte(`{"run":`))) {
			if len(line) > 0 {
				return j.f.Truncate(j.size)
			}
			return nil
		}
		if err != nil && err != io.EOF {
			return err
		}
		var l logLine
		if json.Unmarshal(line, &l) != nil || l.Run == "" {
			return fmt.Errorf("line %d is not of a training log; name another file", n)
		}
		if l.Run == j.run {
			j.step, j.after = max(j.step, l.Step), max(j.after, l.After)
		}
		j.size += int64(len(line))
	}
}

func (j *journal) write(l logLine) {
	l.Run, l.Stage = j.run, j.stage
	data, err := json.Marshal(l)
	if err == nil {
		_, err = j.f.Write(append(data, '\n'))
	}
	if err == nil {
		j.size += int64(len(data)) + 1
	} else if j.plain {
		err = errors.Join(err, j.f.Truncate(j.size)) // a full disk takes lines in part
	}
	if err != nil {
		j.warn(fmt.Errorf("distill: the log: %w; training goes on", err))
	}
}

// logStep writes the step that was just done.
func (t *trainer) logStep(norm float64, tokens int64) {
	j := t.log
	if j == nil {
		return
	}
	now := time.Now()
	speed := eval.Float(float64(tokens) / now.Sub(j.last).Seconds())
	j.last = now
	if t.step <= j.step {
		return
	}
	sum, rate, size := eval.Float(0), eval.Float(t.cfg.rate(t.step-1, t.steps)), eval.Float(norm)
	losses := map[string]eval.Float{}
	for _, l := range t.named(t.values) {
		name := l.Name
		for n := 2; ; n++ {
			if _, taken := losses[name]; !taken {
				break
			}
			name = l.Name + "#" + strconv.Itoa(n)
		}
		losses[name] = eval.Float(l.Value)
	}
	for i, w := range t.weights {
		sum += eval.Float(w * t.values[i])
	}
	j.write(logLine{Step: t.step, Loss: &sum, Losses: losses, Rate: &rate, Norm: &size, Tokens: tokens, Speed: &speed})
}

// evaluation writes what was measured.
func (j *journal) evaluation(e Evaluation, metric string, best bool) {
	if j != nil && e.Step > j.after {
		j.write(logLine{After: e.Step, Metric: metric, Value: &e.Value, Best: best})
	}
}

func (j *journal) close() {
	if j == nil {
		return
	}
	if err := j.f.Close(); err != nil {
		j.warn(fmt.Errorf("distill: the log: %w", err))
	}
}
