package quantize

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
)

// probeBatches is how many calibration batches measure a node's sensitivity.
const probeBatches = 2

// search quantizes everything and, where the metric falls below the limit,
// leaves the most sensitive nodes in float until it does not: their number
// doubles while the limit is missed and is then bisected, so that it takes
// O(log n) evaluations. Among the models that keep the budget the one with
// the fewest float nodes is returned; if none does, the one with the best
// metric, and an error.
func (p *plan) search(ctx context.Context) (*onnx.Model, *Report, error) {
	c := p.config
	metric := c.Metric
	if metric == "" {
		metric = "metric"
	}
	lower := eval.LowerIsBetter(metric)
	baseline, err := c.Evaluate(ctx, p.model)
	if err != nil {
		return nil, nil, fmt.Errorf("quantize: evaluating the float model: %w", err)
	}
	if math.IsNaN(baseline) {
		return nil, nil, fmt.Errorf("quantize: the float model's %s is not a number; is the evaluation data empty?", metric)
	}
	info := &BudgetReport{Metric: metric, Baseline: eval.Float(baseline), MaxDrop: c.MaxDrop.String(), Evaluations: 1}
	var order []*site
	var sensitivity map[*site]float64
	type trial struct {
		model   *onnx.Model
		report  *Report
		value   float64
		skipped int
	}
	var kept, best *trial
	try := func(k int) (bool, error) {
		if k > 0 && order == nil {
			if order, sensitivity, err = p.bySensitivity(ctx); err != nil {
				return false, err
			}
		}
		excluded := map[*site]bool{}
		for _, s := range order[:k] {
			excluded[s] = true
		}
		m, r, err := p.build(ctx, excluded)
		if err != nil {
			return false, err
		}
		v, err := c.Evaluate(ctx, m)
		if err != nil {
			return false, fmt.Errorf("quantize: evaluating with %d nodes in float: %w", k, err)
		}
		info.Evaluations++
		c.progress("evaluate", info.Evaluations, 0)
		t := &trial{m, r, v, k}
		ok := eval.Within(c.MaxDrop, baseline, v, lower)
		if ok && (kept == nil || k < kept.skipped) {
			kept = t
		}
		if best == nil || better(v, best.value, lower) {
			best = t
		}
		return ok, nil
	}
	if err := bisect(len(p.sites)-1, try); err != nil {
		return nil, nil, err
	}
	t := kept
	info.Met = t != nil
	if t == nil {
		t = best
	}
	info.Value = eval.Float(t.value)
	for _, s := range order[:t.skipped] {
		info.Excluded = append(info.Excluded, s.node.Label())
	}
	t.report.Budget = info
	if sensitivity != nil {
		t.report.addSensitivity(p.sites, sensitivity)
	}
	if kept == nil {
		return t.model, t.report, &eval.BudgetError{What: "quantize", Metric: metric, Baseline: baseline, Value: t.value, Budget: c.MaxDrop,
			Advice: "allow a larger drop, quantize per channel, or use static mode with more calibration data"}
	}
	return t.model, t.report, nil
}

// better reports whether a is the better value; a number beats NaN.
func better(a, b float64, lower bool) bool {
	if math.IsNaN(b) {
		return !math.IsNaN(a)
	}
	if lower {
		return a < b
	}
	return a > b
}

// bisect calls try with 0, 1, 2, 4, … up to n until it succeeds, then halves
// the gap between the last failure and the success.
func bisect(n int, try func(k int) (bool, error)) error {
	fail, success := -1, -1
	for k := 0; ; k = min(max(2*k, 1), n) {
		ok, err := try(k)
		if err != nil {
			return err
		}
		if ok {
			success = k
			break
		}
		fail = k
		if k >= n {
			return nil
		}
	}
	for success-fail > 1 {
		k := (fail + success) / 2
		ok, err := try(k)
		if err != nil {
			return err
		}
		if ok {
			success = k
		} else {
			fail = k
		}
	}
	return nil
}

// bySensitivity orders the sites, most sensitive first. With calibration data
// a site's measure is the SQNR of the model's float outputs when it alone is
// quantized; without, the SQNR of its weight.
func (p *plan) bySensitivity(ctx context.Context) ([]*site, map[*site]float64, error) {
	value := make(map[*site]float64, len(p.sites))
	if p.config.Calibration != nil {
		if err := p.probe(ctx, value); err != nil {
			return nil, nil, err
		}
	} else {
		for _, s := range p.sites {
			q, err := p.quantized(s.key(s.weight.table))
			if err != nil {
				return nil, nil, err
			}
			value[s] = q.SQNR
		}
	}
	order := slices.Clone(p.sites)
	slices.SortStableFunc(order, func(a, b *site) int { return cmp.Compare(value[a], value[b]) })
	return order, value, nil
}

// probe measures each site alone.
func (p *plan) probe(ctx context.Context, value map[*site]float64) error {
	var batches []Sample
	stop := errors.New("enough batches")
	err := p.config.Calibration.Samples(ctx, func(s Sample) error {
		if len(batches) == probeBatches {
			return stop
		}
		s, err := s.normalize()
		batches = append(batches, s)
		return err
	})
	if err != nil && !errors.Is(err, stop) {
		return err
	}
	want, err := p.outputs(ctx, p.model, batches)
	if err != nil {
		return err
	}
	for i, s := range p.sites {
		excluded := make(map[*site]bool, len(p.sites))
		for _, o := range p.sites {
			excluded[o] = o != s
		}
		m, _, err := p.build(ctx, excluded)
		if err != nil {
			return err
		}
		got, err := p.outputs(ctx, m, batches)
		if err != nil {
			return fmt.Errorf("quantize: measuring node %s: %w", s.node.Label(), err)
		}
		value[s] = sqnr(want, got)
		p.config.progress("sensitivity", i+1, len(p.sites))
	}
	return nil
}

// outputs runs the batches and joins the float outputs' real rows.
func (p *plan) outputs(ctx context.Context, m *onnx.Model, batches []Sample) ([]float32, error) {
	session, err := exec.New(m, exec.Options{})
	if err != nil {
		return nil, fmt.Errorf("quantize: %w", err)
	}
	var out []float32
	for _, b := range batches {
		values, err := session.Run(ctx, feed(m, b.Inputs))
		if err != nil {
			return nil, fmt.Errorf("quantize: %w", err)
		}
		for _, o := range m.Graph.Outputs {
			if t := values[o.Name]; t != nil && t.Type == onnx.Float {
				out = append(out, b.rows(t)...)
			}
		}
	}
	return out, nil
}

// rows is t without the rows of padding; unlike real it drops no single value,
// so that two models' rows stay aligned.
func (s Sample) rows(t *exec.Tensor) []float32 {
	rows, mask := s.rowMask(t.Shape)
	if mask == nil || rows == 0 || len(t.F32)%rows != 0 {
		return t.F32
	}
	width := len(t.F32) / rows
	var out []float32
	for r := range rows {
		if mask[r] {
			out = append(out, t.F32[r*width:(r+1)*width]...)
		}
	}
	return out
}

// sqnr compares two equally long signals in dB; −Inf where they cannot be compared.
func sqnr(want, got []float32) float64 {
	if len(want) != len(got) {
		return math.Inf(-1)
	}
	var signal, noise float64
	for i, w := range want {
		d := float64(got[i]) - float64(w)
		signal += float64(w) * float64(w)
		noise += d * d
	}
	if math.IsNaN(noise) {
		return math.Inf(-1)
	}
	return decibels(signal, noise)
}

// addSensitivity writes the measures beside the nodes they belong to.
func (r *Report) addSensitivity(sites []*site, value map[*site]float64) {
	byName := make(map[string]float64, len(sites))
	for _, s := range sites {
		byName[s.node.Label()] = value[s]
	}
	for i, n := range r.Nodes {
		if v, ok := byName[n.Name]; ok {
			r.Nodes[i].Sensitivity = eval.Float(v)
		}
	}
}
