package distill_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/student"
)

func TestBenchStep(t *testing.T) {
	o := distill.BenchOptions{Shape: student.Shape{Layers: 1, Hidden: 16, Heads: 2, FFN: 32, Vocab: 40}, Batch: 3, Length: 10, Shortest: 4, Steps: 2}
	s, err := distill.BenchStep(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	tokens := float64(s.TokensPerSecond) * float64(s.MedianMS) / 1e3
	if s.Runs != 2 || s.Lengths != "4-10" || s.MinMS <= 0 || s.MedianMS < s.MinMS || tokens < 21*0.9 || tokens > 21*1.1 {
		t.Errorf("%+v: %.1f tokens in a batch, want 21", s, tokens)
	}
	for _, tc := range []struct {
		change func(*distill.BenchOptions)
		want   string
	}{
		{func(o *distill.BenchOptions) { o.Batch = 0 }, "at least 1"},
		{func(o *distill.BenchOptions) { o.Steps = -1 }, "at least 1"},
		{func(o *distill.BenchOptions) { o.Length = 600 }, "512 positions"},
		{func(o *distill.BenchOptions) { o.Shape.Heads = 5 }, "multiple"},
		{func(o *distill.BenchOptions) { o.Shape.Vocab = 1 }, "at least 2 tokens"},
	} {
		bad := o
		tc.change(&bad)
		if _, err := distill.BenchStep(context.Background(), bad); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: error %v; want it to speak of %q", bad, err, tc.want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := distill.BenchStep(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled measurement: %v", err)
	}
}
