package eval

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/teacher"
)

// Shape is a batch to time: B sequences of S tokens.
type Shape struct {
	Batch  int `json:"batch"`
	Length int `json:"length"`
}

// TimingOptions says how long to time. The zero value is usable.
type TimingOptions struct {
	// Warmup is the number of runs before timing; 0 is 3.
	Warmup int
	// Runs is the number of timed runs; 0 is 20.
	Runs int
}

// Timing is the latency of one shape.
type Timing struct {
	Shape
	Runs int `json:"runs"`
	// P50 and P95 are in milliseconds for a whole batch.
	P50 Float `json:"p50_ms"`
	P95 Float `json:"p95_ms"`
	// TokensPerSecond is B·S over the median.
	TokensPerSecond Float `json:"tokens_per_s"`
}

// Latency times the model on full batches without padding. The garbage
// collector is off during the timed runs and set back afterwards; what the
// process does meanwhile is the caller's to keep quiet.
func Latency(ctx context.Context, m *onnx.Model, shapes []Shape, opts TimingOptions) ([]Timing, error) {
	t, err := Latencies(ctx, []*onnx.Model{m}, shapes, opts)
	if err != nil {
		return nil, err
	}
	return t[0], nil
}

// Latencies times several models, taking turns run by run so that what slows
// the machine for a while slows all of them. The result is [model][shape].
func Latencies(ctx context.Context, models []*onnx.Model, shapes []Shape, opts TimingOptions) ([][]Timing, error) {
	if opts.Warmup <= 0 {
		opts.Warmup = 3
	}
	if opts.Runs <= 0 {
		opts.Runs = 20
	}
	ready := make([]*timed, len(models))
	for i, m := range models {
		var err error
		if ready[i], err = newTimed(m); err != nil {
			return nil, err
		}
	}
	out := make([][]Timing, len(models))
	for _, sh := range shapes {
		if sh.Batch < 1 || sh.Length < 1 {
			return nil, fmt.Errorf("eval: latency: shape %d×%d is not positive", sh.Batch, sh.Length)
		}
		got, err := timeShape(ctx, ready, sh, opts)
		if err != nil {
			return nil, fmt.Errorf("eval: latency of %d×%d: %w", sh.Batch, sh.Length, err)
		}
		for i := range out {
			out[i] = append(out[i], got[i])
		}
	}
	return out, nil
}

// timed is a model ready to be timed.
type timed struct {
	session *exec.Session
	inputs  []string
	vocab   int64
	longest int
}

func newTimed(m *onnx.Model) (*timed, error) {
	s, err := exec.New(m, exec.Options{})
	if err != nil {
		return nil, fmt.Errorf("eval: latency: %w", err)
	}
	t := &timed{session: s, vocab: vocabulary(m), longest: teacher.MaxLength(m, math.MaxInt)}
	for _, v := range s.Inputs() {
		t.inputs = append(t.inputs, v.Name)
	}
	return t, nil
}

// vocabulary is the number of rows of the table that input_ids index, else
// what config.json says, else 1: id 0 is in every vocabulary.
func vocabulary(m *onnx.Model) int64 {
	for _, n := range m.Graph.Nodes {
		if n.Op == "Gather" && len(n.Inputs) == 2 && n.Inputs[1] == "input_ids" {
			if t := m.Graph.Initializer(n.Inputs[0]); t != nil && len(t.Dims) == 2 && t.Dims[0] > 0 {
				return t.Dims[0]
			}
		}
	}
	if m.Config != nil && m.Config.VocabSize > 0 {
		return int64(m.Config.VocabSize)
	}
	return 1
}

// feed is a batch of the shape with no padding.
func (t *timed) feed(sh Shape) map[string]*exec.Tensor {
	n := sh.Batch * sh.Length
	b := &corpus.Batch{B: sh.Batch, S: sh.Length, IDs: make([]int64, n), Mask: make([]int64, n), Types: make([]int64, n)}
	for i := range n {
		b.IDs[i], b.Mask[i] = int64(i)*7919%t.vocab, 1
	}
	return teacher.Feed(b, t.inputs)
}

func timeShape(ctx context.Context, models []*timed, sh Shape, opts TimingOptions) ([]Timing, error) {
	feeds, ms := make([]map[string]*exec.Tensor, len(models)), make([][]float64, len(models))
	for i, t := range models {
		if sh.Length > t.longest {
			return nil, fmt.Errorf("model %d has only %d positions; choose a shorter length", i, t.longest)
		}
		feeds[i] = t.feed(sh)
	}
	turn := 0
	round := func(keep bool) error {
		turn++ // another model begins each round
		for k := range models {
			i := (k + turn) % len(models)
			start := time.Now()
			if _, err := models[i].session.Run(ctx, feeds[i]); err != nil {
				return err
			}
			if keep {
				ms[i] = append(ms[i], float64(time.Since(start).Nanoseconds())/1e6)
			}
		}
		return nil
	}
	for range opts.Warmup {
		if err := round(false); err != nil {
			return nil, err
		}
	}
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for range opts.Runs {
		if err := round(true); err != nil {
			return nil, err
		}
	}
	out := make([]Timing, len(models))
	for i, v := range ms {
		slices.Sort(v)
		p50 := quantile(v, 0.5)
		out[i] = Timing{Shape: sh, Runs: opts.Runs, P50: Float(p50), P95: Float(quantile(v, 0.95)),
			TokensPerSecond: Float(math.Round(float64(sh.Batch*sh.Length) / p50 * 1e3))}
	}
	return out, nil
}

// quantile interpolates linearly in a sorted list.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	f := at - float64(i)
	return sorted[i]*(1-f) + sorted[i+1]*f
}
