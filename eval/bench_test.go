package eval_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/student"
)

func TestSpreadLengths(t *testing.T) {
	for _, tc := range []struct {
		n, shortest, longest int
		want                 []int
	}{
		{3, 0, 9, []int{9, 9, 9}},
		{1, 2, 9, []int{9}},
		{4, 8, 128, []int{8, 48, 88, 128}},
		{2, 5, 5, []int{5, 5}},
	} {
		if got := eval.SpreadLengths(tc.n, tc.shortest, tc.longest); !slices.Equal(got, tc.want) {
			t.Errorf("%d lengths from %d to %d: %v, want %v", tc.n, tc.shortest, tc.longest, got, tc.want)
		}
	}
}

func TestBenchFile(t *testing.T) {
	m, err := student.New(student.Shape{Layers: 1, Hidden: 16, Heads: 2, FFN: 32, Vocab: 30, Positions: 12}, []student.Head{student.Classification([]string{"a", "b"})}, 1)
	if err != nil {
		t.Fatal(err)
	}
	file := t.TempDir()
	if err := m.SaveAs(file, "model.onnx"); err != nil {
		t.Fatal(err)
	}
	s, err := eval.BenchFile(context.Background(), file, eval.BenchOptions{Batch: 3, Length: 10, Shortest: 2, Timing: eval.TimingOptions{Runs: 4}})
	if err != nil {
		t.Fatal(err)
	}
	tokens := float64(s.TokensPerSecond) * float64(s.MedianMS) / 1e3
	if s.Runs != 4 || s.Lengths != "2-10" || s.MinMS <= 0 || s.MedianMS < s.MinMS || s.LoadMS <= 0 || tokens < 18*0.9 || tokens > 18*1.1 {
		t.Errorf("%+v: %.1f tokens in a batch, want 18", s, tokens)
	}
	for _, tc := range []struct {
		o    eval.BenchOptions
		want string
	}{
		{eval.BenchOptions{Batch: 0, Length: 5}, "at least 1"},
		{eval.BenchOptions{Batch: 1, Length: 5, Shortest: 6}, "shortest"},
		{eval.BenchOptions{Batch: 1, Length: 13}, "12 positions"},
	} {
		if _, err := eval.BenchFile(context.Background(), file, tc.o); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: error %v; want it to speak of %q", tc.o, err, tc.want)
		}
	}
}
