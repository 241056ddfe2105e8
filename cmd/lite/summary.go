package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/prune"
	"github.com/litekit/lite/quantize"
	"github.com/litekit/lite/student"
)

// summary is the result of a command that writes a model; its JSON names are stable.
type summary struct {
	Command    string            `json:"command"`
	Model      string            `json:"model"` // as it was given with --out
	File       string            `json:"file"`
	Shape      *student.Shape    `json:"shape,omitempty"`
	Parameters int64             `json:"parameters"`
	Bytes      int64             `json:"bytes"`
	Seconds    float64           `json:"seconds"`
	Training   *distill.Report   `json:"training,omitempty"`
	Stages     []*distill.Report `json:"stages,omitempty"` // where there were several; Training is the last
	Prune      *prune.Report     `json:"prune,omitempty"`
	Quantize   *quantize.Report  `json:"quantize,omitempty"`
	Eval       *eval.Table       `json:"eval,omitempty"`
	BudgetMet  *bool             `json:"budget_met,omitempty"`
}

// finish writes the model and then measures it, so that nothing is lost if
// that fails; measure may be nil. Where the budget is missed the error says so
// and the summary is printed all the same.
func (a *app) finish(s *summary, m *onnx.Model, o *output, measure func(bytes int64) (*eval.Table, error)) (err error) {
	s.Model, s.File, s.Parameters = o.path, o.model(), m.Parameters()
	if s.Bytes, err = o.save(m); err != nil {
		return err
	}
	if shape, err := student.Measure(m); err == nil {
		s.Shape = &shape
	}
	if measure != nil {
		s.Eval, err = measure(s.Bytes)
	}
	missed := errors.Is(err, eval.ErrBudget)
	if err != nil && !missed {
		return err
	}
	return a.report(s, err)
}

// report prints the summary and hands on the error about a budget.
func (a *app) report(s *summary, missed error) error {
	s.Seconds = time.Since(a.started).Seconds()
	if a.json {
		if err := a.writeJSON(s); err != nil {
			return err
		}
		return missed
	}
	switch t := s.Eval; {
	case t == nil:
	case len(t.Rows) == 1 && t.Rows[0].Result != nil:
		var b strings.Builder
		t.Rows[0].Result.WriteScores(&b) // a Builder does not fail
		a.print("%s", strings.TrimRight(b.String(), "\n"))
	default:
		a.print("%s", strings.TrimRight(t.String(), "\n"))
	}
	if s.Shape != nil {
		a.print("shape %s", s.Shape)
	}
	a.print("wrote %s: %d parameters, %s, in %s", s.File, s.Parameters, size(s.Bytes), duration(time.Since(a.started)))
	return missed
}

// last is the report of the last stage, nil without any.
func last(reports []*distill.Report) *distill.Report {
	if len(reports) == 0 {
		return nil
	}
	return reports[len(reports)-1]
}

// stagesOf are the reports where there is more than one.
func stagesOf(reports []*distill.Report) []*distill.Report {
	if len(reports) < 2 {
		return nil
	}
	return reports
}

// trained prints how the stages of a run went.
func (a *app) trained(reports ...*distill.Report) {
	for _, r := range reports {
		if r == nil {
			continue
		}
		line := []string{}
		for _, l := range r.Losses {
			line = append(line, fmt.Sprintf("%s %.4f", l.Name, l.Value))
		}
		rate, stage := "", ""
		if r.Seconds > 0 && r.Tokens > 0 {
			rate = ", " + short(float64(r.Tokens)/r.Seconds) + " tokens/s"
		}
		if len(reports) > 1 {
			stage = fmt.Sprintf("stage %s: ", r.Stage)
		}
		a.print("%strained %d steps in %s%s: %s", stage, r.Steps, duration(time.Duration(r.Seconds*float64(time.Second))), rate, strings.Join(line, ", "))
		if len(r.LearnedWeights) > 0 {
			line = line[:0]
			for _, l := range r.LearnedWeights {
				line = append(line, fmt.Sprintf("%s %.4f", l.Name, l.Value))
			}
			a.print("%slearned weights: %s", stage, strings.Join(line, ", "))
		}
		if r.Stopped {
			a.print("%sstopped, as the last measurements were no better", stage)
		}
		if r.OutOfTime {
			a.print("%sstopped, as the time was up", stage)
		}
		if r.Best != nil {
			a.print("%sthe best of %d measurements was %.4f after step %d", stage, len(r.Evaluations), float64(r.Best.Value), r.Best.Step)
		}
	}
}

// copied tells which weights a student started from.
func (a *app) copied(r *student.Transfer) {
	if r == nil {
		a.progress.note("the student starts from random weights")
		return
	}
	a.progress.note("the student starts from layers %v: %d parameters copied, %d in part, %d fresh", r.Layers, len(r.Copied), len(r.Partial)+len(r.Narrowed)+len(r.Factored), len(r.Fresh))
	if len(r.Factored) > 0 {
		a.progress.note("its factorised embeddings hold %.1f %% of the source's squares", 100*r.Energy)
	}
}
