package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/teacher"
)

// BenchOptions says what [BenchFile] times.
type BenchOptions struct {
	// Batch and Length are B and S: every run is on B sequences of S tokens.
	Batch, Length int
	// Shortest, if not 0, makes the sequences of mixed lengths, evenly spread
	// from Shortest to Length and padded to Length.
	Shortest int
	// Timing says how often; its zero value is usable.
	Timing TimingOptions
}

// Speed is what a benchmark measured, of a model or of a training step. Its
// JSON names are those of the peer scripts in bench.
type Speed struct {
	Model   string `json:"model,omitempty"`   // its file
	Batch   int    `json:"batch"`             // B, sequences in a run
	Seq     int    `json:"seq"`               // S, tokens of the longest
	Lengths string `json:"lengths,omitempty"` // shortest-longest, where they are mixed
	Threads int    `json:"threads"`           // of the kernels
	Class   string `json:"class"`             // of the kernels: avx2, neon or go
	Runs    int    `json:"runs"`              // that were timed
	// LoadMS is the time to open the model and make it ready, in milliseconds.
	LoadMS Float `json:"load_ms"`
	// MedianMS and MinMS are of the timed runs, in milliseconds.
	MedianMS Float `json:"median_ms"`
	MinMS    Float `json:"min_ms"`
	// TokensPerSecond is the tokens of a batch, padding left out, over the median.
	TokensPerSecond Float `json:"tokens_per_s"`
	// PeakMB is the most memory that the process ever held, in MiB; pages of a
	// mapped file that were read count. 0 where the system does not tell.
	PeakMB Float `json:"peak_mb"`
}

// Times fills in what follows from the durations of the timed runs of so many tokens.
func (s *Speed) Times(runs []time.Duration, tokens int) {
	runs = slices.Sorted(slices.Values(runs))
	ms := func(d time.Duration) Float { return Float(math.Round(float64(d.Nanoseconds())/1e3) / 1e3) }
	median := runs[len(runs)/2]
	s.Runs, s.MedianMS, s.MinMS = len(runs), ms(median), ms(runs[0])
	s.TokensPerSecond = Float(math.Round(float64(tokens) / median.Seconds()))
	s.Threads, s.Class, s.PeakMB = kernel.Threads(), kernel.Class(), Float(math.Round(float64(peakMemory())/(1<<20)*10)/10)
}

// String is the result for people, a line for each figure.
func (s *Speed) String() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-13s"+format+"\n", append([]any{name}, args...)...)
	}
	if s.Model != "" {
		line("model", "%s", s.Model)
	}
	shape := fmt.Sprintf("%d × %d", s.Batch, s.Seq)
	if s.Lengths != "" {
		shape += ", lengths " + s.Lengths
	}
	line("batch", "%s", shape)
	line("machine", "%s kernels, threads %d", s.Class, s.Threads)
	line("load", "%.1f ms", float64(s.LoadMS))
	line("median", "%.2f ms of %d runs", float64(s.MedianMS), s.Runs)
	line("fastest", "%.2f ms", float64(s.MinMS))
	line("tokens/s", "%.0f", float64(s.TokensPerSecond))
	line("peak memory", "%.1f MiB", float64(s.PeakMB))
	return b.String()
}

// BenchFile times a model from opening its file on, the way that [Run], package
// teacher and package predict run one. Inputs are filled by their names: masks
// with ones over the tokens, token types with zeros, positions with 0, 1, …, and
// what else is integer with token ids.
//
// Errors: a file that cannot be opened or run, an input that cannot be filled, a
// length over what the model has positions for.
func BenchFile(ctx context.Context, path string, o BenchOptions) (*Speed, error) {
	if o.Batch < 1 || o.Length < 1 || o.Shortest < 0 || o.Shortest > o.Length {
		return nil, fmt.Errorf("eval: bench: a batch of %d sequences of %d tokens, the shortest %d; give at least 1 of each, and a shortest that is not over the longest", o.Batch, o.Length, o.Shortest)
	}
	start := time.Now()
	m, err := onnx.Open(path)
	if err != nil {
		return nil, err
	}
	session, err := exec.New(m, exec.Options{SkipPadding: true})
	if err != nil {
		return nil, fmt.Errorf("eval: bench: %w", err)
	}
	load := time.Since(start)
	if most := teacher.MaxLength(m, math.MaxInt); o.Length > most {
		return nil, misfit.Errorf("eval: bench: sequences of %d tokens, but the model has %d positions; choose a shorter length", o.Length, most)
	}
	lengths := SpreadLengths(o.Batch, o.Shortest, o.Length)
	feed, err := benchFeed(session.Inputs(), lengths, o.Length, vocabulary(m))
	if err != nil {
		return nil, err
	}
	runs, err := timeInTurns(o.Timing.withDefaults(), 1, func(int) error {
		_, err := session.Run(ctx, feed)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("eval: bench: %w", err)
	}
	s := &Speed{Model: path, Batch: o.Batch, Seq: o.Length, LoadMS: Float(math.Round(float64(load.Microseconds())/100) / 10)}
	if o.Shortest > 0 {
		s.Lengths = fmt.Sprintf("%d-%d", o.Shortest, o.Length)
	}
	tokens := 0
	for _, n := range lengths {
		tokens += n
	}
	s.Times(runs[0], tokens)
	return s, nil
}

// SpreadLengths are n lengths evenly spread from the shortest to the longest;
// all are the longest where shortest is 0 or n is 1.
func SpreadLengths(n, shortest, longest int) []int {
	out := make([]int, n)
	for b := range out {
		out[b] = longest
		if shortest > 0 && n > 1 {
			out[b] = shortest + b*(longest-shortest)/(n-1)
		}
	}
	return out
}

// benchFeed fills a model's inputs for sequences of the lengths, padded to S.
func benchFeed(inputs []*onnx.ValueInfo, lengths []int, s int, vocab int64) (map[string]*exec.Tensor, error) {
	feed := map[string]*exec.Tensor{}
	for _, in := range inputs {
		t := &exec.Tensor{Type: in.Type, Shape: []int{len(lengths), s}}
		if in.Type == onnx.Undefined {
			t.Type = onnx.Int64
		}
		if in.HasShape && len(in.Dims) != 2 {
			return nil, fmt.Errorf("eval: bench: input %q has %d dimensions; only inputs [batch, sequence] can be filled", in.Name, len(in.Dims))
		}
		name := strings.ToLower(in.Name)
		for b, n := range lengths {
			for i := range s {
				var v int64
				switch {
				case strings.Contains(name, "mask"):
					v = map[bool]int64{true: 1}[i < n]
				case strings.Contains(name, "type") || strings.Contains(name, "segment"):
				case strings.Contains(name, "position"):
					v = int64(i)
				case i < n:
					v = int64(b*s+i) * 7919 % min(vocab, 1000) // those that bench/ort.cjs feeds
				}
				if err := appendValue(t, v); err != nil {
					return nil, fmt.Errorf("eval: bench: input %q: %w", in.Name, err)
				}
			}
		}
		feed[in.Name] = t
	}
	return feed, nil
}

var errFill = errors.New("only integers, booleans and float masks can be filled")

func appendValue(t *exec.Tensor, v int64) error {
	switch t.Type {
	case onnx.Int64:
		t.I64 = append(t.I64, v)
	case onnx.Int32:
		t.I32 = append(t.I32, int32(v))
	case onnx.Bool:
		t.Bool = append(t.Bool, v != 0)
	case onnx.Float:
		t.F32 = append(t.F32, float32(v))
	default:
		return fmt.Errorf("it is %v; %w", t.Type, errFill)
	}
	return nil
}
