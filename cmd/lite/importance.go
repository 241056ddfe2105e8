package main

import (
	"context"
	"slices"

	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/prune"
	"github.com/litekit/lite/student"
)

// The criteria that need the gradients of a loss.
const (
	taylor = "taylor"
	fisher = "fisher"
)

// gradients tells whether the criterion needs those of a loss.
func (t *pruneFlags) gradients() bool { return t.criterion == taylor || t.criterion == fisher }

// scoring is the configuration under which units are scored: the losses of the
// flags for which m has a head. Without another teacher the labels (or masked
// tokens) stand in for soft labels: those of m itself have no gradient.
func (t *pruneFlags) scoring(m *onnx.Model) (*distill.Config, error) {
	steps := t.training.cfg.Steps
	t.training.cfg.Steps = max(1, (t.samples+t.training.cfg.Batch-1)/max(1, t.training.cfg.Batch))
	err := t.objectives(primaryKind(m), t.teacher != "")
	c := t.training.cfg
	t.training.cfg.Steps = steps
	if err != nil {
		return nil, err
	}
	heads, err := student.HeadsOf(m.Config)
	if err != nil {
		return nil, err
	}
	needs := map[string]student.Kind{"mlm": student.KindMaskedLM, "pos": student.KindPOS, "ner": student.KindNER, "sop": student.KindSentenceOrder, "nsp": student.KindNextSentence}
	c.Loss = slices.DeleteFunc(slices.Clone(c.Loss), func(l distill.Term) bool {
		kind, ok := needs[l.Loss.Name()]
		return ok && !slices.ContainsFunc(heads, func(h student.Head) bool { return h.Kind == kind })
	})
	if len(c.Loss) == 0 {
		return nil, misfit.Errorf("--criterion %s: none of the losses is one that %s has a head for", t.criterion, t.model)
	}
	return &c, nil
}

// importance scores heads and neurons by the gradients of the losses.
func (t *pruneFlags) importance(ctx context.Context, m *onnx.Model, c distill.Config) (prune.Criterion, error) {
	p := t.app.progress
	c.Labelling = func(done, total int) { p.stageOf("teacher's labels", done, total) }
	c.Progress = func(s distill.Progress) { p.stageOf("importance", s.Step, s.Steps) }
	scores, err := distill.Importance(ctx, m, c, c.Steps)
	p.clear()
	if err != nil {
		return nil, err
	}
	given := prune.Given{Label: t.criterion, Scores: scores.Taylor()}
	if t.criterion == fisher {
		given.Scores = scores.Fisher()
	}
	return given, nil
}
