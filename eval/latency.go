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
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/teacher"
)

// Shape is a batch to time: B sequences of S tokens.
type Shape struct {
	Batch  int `json:"batch"`  // B
	Length int `json:"length"` // S, special tokens included
}

// TimingOptions says how long to time. The zero value is usable.
type TimingOptions struct {
	// Warmup is the number of runs before timing; 0 is 3.
	Warmup int
	// Runs is the number of timed runs; 0 is 20.
	Runs int
}

func (o TimingOptions) withDefaults() TimingOptions {
	if o.Warmup <= 0 {
		o.Warmup = 3
	}
	if o.Runs <= 0 {
		o.Runs = 20
	}
	return o
}

// timeInTurns calls run(0), …, run(n−1) in rounds, another one first in each,
// and returns what each took in the rounds after those of the warm-up. The
// garbage collector is off meanwhile.
func timeInTurns(o TimingOptions, n int, run func(i int) error) ([][]time.Duration, error) {
	out := make([][]time.Duration, n)
	for turn := range o.Warmup + o.Runs {
		if turn == o.Warmup {
			runtime.GC()
			defer debug.SetGCPercent(debug.SetGCPercent(-1))
		}
		for k := range n {
			i := (k + turn + 1) % n
			start := time.Now()
			if err := run(i); err != nil {
				return nil, err
			}
			if turn >= o.Warmup {
				out[i] = append(out[i], time.Since(start))
			}
		}
	}
	return out, nil
}

// Timing is the latency of one shape.
type Timing struct {
	Shape
	Runs int `json:"runs"` // that were timed
	// P50 and P95 are the median and the 95th percentile of the runs, in
	// milliseconds for a whole batch.
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
	opts = opts.withDefaults()
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
	feeds := make([]map[string]*exec.Tensor, len(models))
	for i, t := range models {
		if sh.Length > t.longest {
			return nil, misfit.Errorf("model %d has only %d positions; choose a shorter length", i, t.longest)
		}
		feeds[i] = t.feed(sh)
	}
	took, err := timeInTurns(opts, len(models), func(i int) error {
		_, err := models[i].session.Run(ctx, feeds[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make([]Timing, len(models))
	for i, runs := range took {
		ms := make([]float64, len(runs))
		for k, d := range runs {
			ms[k] = float64(d.Nanoseconds()) / 1e6
		}
		slices.Sort(ms)
		p50 := quantile(ms, 0.5)
		out[i] = Timing{Shape: sh, Runs: opts.Runs, P50: Float(p50), P95: Float(quantile(ms, 0.95)),
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
