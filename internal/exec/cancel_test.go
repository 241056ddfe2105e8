package exec_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/internal/modeltest"
	"github.com/litekit/lite/onnx"
)

// long are graphs of one node that takes seconds.
func long() map[string]func() (*onnx.Model, map[string]*exec.Tensor) {
	type feed = map[string]*exec.Tensor
	square := func(n int) *exec.Tensor { return exec.Floats(make([]float32, n*n), n, n) }
	return map[string]func() (*onnx.Model, feed){
		"product": func() (*onnx.Model, feed) {
			a := square(6144)
			return graph(s("a", "b"), s("z"), nil, node("MatMul", s("a", "b"), s("z"))), feed{"a": a, "b": a}
		},
		"product by a weight": func() (*onnx.Model, feed) {
			w := onnx.NewFloats("w", make([]float32, 4096*4096), 4096, 4096)
			return graph(s("a"), s("z"), []*onnx.Tensor{w}, node("MatMul", s("a", "w"), s("z"))), feed{"a": exec.Floats(make([]float32, 16384*4096), 16384, 4096)}
		},
		"product of int64": func() (*onnx.Model, feed) {
			a := exec.Int64s(make([]int64, 2048*2048), 2048, 2048)
			return graph(s("a:i64", "b:i64"), s("z:i64"), nil, node("MatMul", s("a", "b"), s("z"))), feed{"a": a, "b": a}
		},
		"loop": func() (*onnx.Model, feed) {
			body := &onnx.Graph{Name: "body", Nodes: []*onnx.Node{node("Identity", s("going"), s("again")), node("Sin", s("v"), s("w"))},
				Inputs:  []*onnx.ValueInfo{{Name: "i", Type: onnx.Int64}, {Name: "going", Type: onnx.Bool}, {Name: "v", Type: onnx.Float}},
				Outputs: []*onnx.ValueInfo{{Name: "again", Type: onnx.Bool}, {Name: "w", Type: onnx.Float}}}
			return graph(s("m:i64", "c:bool", "v"), s("z"), nil, node("Loop", s("m", "c", "v"), s("z"), &onnx.Attribute{Name: "body", Type: onnx.AttrGraph, Graph: body})),
				feed{"m": exec.Int64s([]int64{4e6}), "c": {Type: onnx.Bool, Bool: []bool{true}}, "v": exec.Floats(make([]float32, 256), 256)}
		},
		"convolution": func() (*onnx.Model, feed) {
			return graph(s("x", "w"), s("z"), nil, node("Conv", s("x", "w"), s("z"), onnx.IntsAttr("pads", 1, 1, 1, 1))),
				feed{"x": exec.Floats(make([]float32, 512*160*160), 1, 512, 160, 160), "w": exec.Floats(make([]float32, 1024*512*9), 1024, 512, 3, 3)}
		},
		"attention": func() (*onnx.Model, feed) {
			q := exec.Floats(make([]float32, 12288*512), 1, 12288, 512)
			return graph(s("q", "k", "v"), s("z"), nil, node("lite:Attention", s("q", "k", "v"), s("z"), onnx.IntAttr("heads", 8))), feed{"q": q, "k": q, "v": q}
		},
		"pooling of one channel": func() (*onnx.Model, feed) {
			return graph(s("x"), s("z"), nil, node("MaxPool", s("x"), s("z"), onnx.IntsAttr("kernel_shape", 65, 65), onnx.IntsAttr("pads", 32, 32, 32, 32))),
				feed{"x": exec.Floats(make([]float32, 2048*2048), 1, 1, 2048, 2048)}
		},
		"padding by reflection": func() (*onnx.Model, feed) {
			return graph(s("x", "pads:i64"), s("z"), nil, node("Pad", s("x", "pads"), s("z"), onnx.StringAttr("mode", "reflect"))),
				feed{"x": exec.Floats(make([]float32, 1<<12), 1<<6, 1<<6), "pads": exec.Int64s([]int64{0, 0, 1<<12 - 1<<6, 1<<14 - 1<<6}, 4)}
		},
		"resizing": func() (*onnx.Model, feed) {
			return graph(s("x", "sizes:i64"), s("z"), nil, node("Resize", s("x", "", "", "sizes"), s("z"), onnx.StringAttr("mode", "cubic"))),
				feed{"x": exec.Floats(make([]float32, 1<<23), 1<<13, 1<<10), "sizes": exec.Int64s([]int64{1 << 13, 1 << 12}, 2)}
		},
		"element by element": func() (*onnx.Model, feed) {
			return graph(s("x"), s("z"), nil, node("Erf", s("x"), s("z"))), feed{"x": exec.Floats(make([]float32, 1<<27), 1<<27)}
		},
	}
}

// TestCancellingStopsALongNode cancels while a node runs that takes seconds. Run
// must be back long before it could have ended; the session must still be good.
// The bound is generous: 100 ms are meant, on an idle machine.
func TestCancellingStopsALongNode(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	kernel.SetThreads(2)
	defer kernel.SetThreads(0)
	for name, build := range long() {
		t.Run(name, func(t *testing.T) {
			m, feed := build()
			sess := newSession(t, m, exec.Options{Unfused: true})
			var took []time.Duration
			for range 3 { // one slow answer may be the machine's doing
				ctx, cancel := context.WithCancel(context.Background())
				var at time.Time
				time.AfterFunc(50*time.Millisecond, func() { at = time.Now(); cancel() })
				_, err := sess.Run(ctx, feed)
				end := time.Now()
				if !errors.Is(err, context.Canceled) {
					t.Fatalf("error is %v; want that it was stopped", err)
				}
				took = append(took, end.Sub(at))
			}
			t.Logf("stopped %v after cancelling", took)
			if least := slices.Min(took); least > 500*time.Millisecond {
				t.Errorf("stopped %v after cancelling", took)
			}
		})
	}
}

// TestConcurrentUse runs one session from many goroutines with different shapes
// and outputs, cancelled runs among them: all answers have the bits of a run alone.
func TestConcurrentUse(t *testing.T) {
	sess := newSession(t, encoders(t)["float"], exec.Options{})
	outputs := sess.Outputs()
	hidden := ""
	for _, n := range encoders(t)["float"].Graph.Nodes {
		if n.Op == "Softmax" {
			hidden = n.Outputs[0]
		}
	}
	type job struct {
		feed  map[string]*exec.Tensor
		names []string
		want  map[string]*exec.Tensor
	}
	var jobs []job
	for i, shape := range [][2]int{{1, 4}, {2, 16}, {3, 9}, {4, 33}, {1, 64}} {
		feed := modeltest.Inputs(300, shape[0], shape[1], shape[1]/2)
		names := [][]string{nil, {outputs[0].Name}, {outputs[1].Name, outputs[0].Name}, {hidden}, {hidden, outputs[1].Name}}[i]
		jobs = append(jobs, job{feed, names, run(t, sess, feed, names...)})
	}
	var wg sync.WaitGroup
	for g := range 12 {
		wg.Go(func() {
			for r := range 12 {
				j := jobs[(g+r*5)%len(jobs)]
				ctx, cancel := context.WithCancel(context.Background())
				if (g+r)%4 == 0 {
					time.AfterFunc(time.Duration(r*40)*time.Microsecond, cancel)
				}
				got, err := sess.Run(ctx, j.feed, j.names...)
				stopped := ctx.Err() != nil
				cancel()
				if err != nil {
					if !stopped || !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
					continue
				}
				for name, w := range j.want {
					if !slices.Equal(got[name].F32, w.F32) || !slices.Equal(got[name].Shape, w.Shape) {
						t.Errorf("%s for %v differs from a run alone", name, j.names)
					}
				}
			}
		})
	}
	wg.Wait()
}
