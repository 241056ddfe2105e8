package autodiff_test

import (
	"context"
	"math"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/internal/modeltest"
	"github.com/litekit/lite/onnx"
)

var tokenHeads = []string{"mlm_logits", "pos_logits", "ner_logits"}

// allHeads has a loss of each kind over all heads of tiny.
func allHeads(t *testing.T, b, r int) func(q *autodiff.Pass) []*gorgonia.Node {
	return func(q *autodiff.Pass) []*gorgonia.Node {
		ok := must(t)
		logits := ok(q.Output("logits"))
		mlm := ok(q.Output("mlm_logits"))
		return []*gorgonia.Node{
			ok(autodiff.CrossEntropy(logits, q.Ints("labels", b), 0.1)),
			ok(autodiff.KL(logits, q.Floats("teacher", b, 3), 2, q.Floats("weight", b))),
			ok(autodiff.CrossEntropy(mlm, q.Ints("tokens", r), 0)),
			ok(autodiff.KL(mlm, q.Floats("teacher_mlm", r, 23), 3, nil)),
			ok(autodiff.CrossEntropy(ok(q.Output("pos_logits")), q.Ints("pos", r), 0)),
			ok(autodiff.CrossEntropy(ok(q.Output("ner_logits")), q.Ints("ner", r), 0)),
			ok(autodiff.CrossEntropy(ok(q.Output("sop_logits")), q.Ints("order", b), 0)),
		}
	}
}

func allFeed(b, s, r int) autodiff.Feed {
	in := texts(b, s, 23)
	in["rows"] = make([]int64, r)
	tokens, pos, ner := make([]int32, r), make([]int32, r), make([]int32, r)
	for i := range r {
		in["rows"][i] = int64(i * 3 % (b * s))
		tokens[i], pos[i], ner[i] = int32(i*7%23), int32(i%2), int32(i%3)
	}
	tokens[r-1], pos[0] = -1, -1
	labels, order, weight := make([]int32, b), make([]int32, b), make([]float32, b)
	for i := range b {
		labels[i], order[i], weight[i] = int32(i%3), int32(i%2), float32(i%2)+0.5
	}
	labels[b-1] = -1
	return autodiff.Feed{
		Inputs:  in,
		Floats:  map[string][]float32{"teacher": normals(b*3, 1), "teacher_mlm": normals(r*23, 2), "weight": weight},
		Ints:    map[string][]int32{"labels": labels, "order": order, "tokens": tokens, "pos": pos, "ner": ner},
		Weights: []float32{1, 0.5, 0.7, 0.3, 0.2, 0.4, 0.6},
		Seed:    4, Step: 5,
	}
}

func TestWholeModel(t *testing.T) {
	for _, c := range []struct {
		name, act string
		dropout   float32
	}{{"gelu", "gelu", 0}, {"tanh gelu with dropout", "gelu_new", 0.2}} {
		t.Run(c.name, func(t *testing.T) {
			p := program(t, tiny(t, c.act), autodiff.Options{Rows: tokenHeads, Dropout: c.dropout})
			q := built(t, p, 3, 5, 4, allHeads(t, 3, 4))
			checkGrads(t, p, q, allFeed(3, 5, 4), 0.02)
			for _, x := range p.Params() {
				if !slices.ContainsFunc(x.Grad, func(g float32) bool { return g != 0 }) {
					t.Errorf("%s has no gradient", x.Name)
				}
			}
		})
	}
}

// outputs runs a model by exec.
func outputs(t *testing.T, m *onnx.Model, in map[string][]int64, b, s int, names ...string) map[string]*exec.Tensor {
	t.Helper()
	sess, err := exec.New(m, exec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	feed := map[string]*exec.Tensor{}
	for _, v := range sess.Inputs() {
		feed[v.Name] = exec.Int64s(in[v.Name], b, s)
	}
	out, err := sess.Run(context.Background(), feed, names...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// forward runs a pass without losses and returns an output.
func forward(t *testing.T, p *autodiff.Program, b, s, r int, name string, in map[string][]int64) []float32 {
	t.Helper()
	var n *gorgonia.Node
	q := built(t, p, b, s, r, func(q *autodiff.Pass) []*gorgonia.Node {
		n = must(t)(q.Output(name))
		return nil
	})
	run(t, q, autodiff.Feed{Inputs: in})
	return append([]float32(nil), n.Value().Data().([]float32)...)
}

func near(t *testing.T, what string, got, want []float32, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	for i := range got {
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= tol*max(1, math.Abs(float64(want[i])))) {
			t.Fatalf("%s[%d] is %v, want %v", what, i, got[i], want[i])
		}
	}
}

func TestForwardEqualsExec(t *testing.T) {
	m := tiny(t, "gelu")
	in := texts(3, 6, 23)
	in["rows"] = []int64{1, 0, 13, 1}
	want := outputs(t, m, in, 3, 6)
	p := program(t, m, autodiff.Options{Rows: tokenHeads})
	for name, w := range want {
		data := w.F32
		if slices.Contains(tokenHeads, name) {
			n := w.Shape[2]
			data = nil
			for _, r := range in["rows"] {
				data = append(data, w.F32[int(r)*n:(int(r)+1)*n]...)
			}
		}
		near(t, name, forward(t, p, 3, 6, 4, name, in), data, 1e-5)
	}
	whole := program(t, m, autodiff.Options{})
	near(t, "whole", forward(t, whole, 3, 6, 0, "mlm_logits", in), want["mlm_logits"].F32, 1e-5)
}

func TestThreads(t *testing.T) {
	defer kernel.SetThreads(0)
	var first [][]float32
	for _, n := range []int{1, 2} {
		kernel.SetThreads(n)
		p := program(t, tiny(t, "gelu"), autodiff.Options{Rows: tokenHeads, Dropout: 0.1})
		q := built(t, p, 4, 7, 9, allHeads(t, 4, 9))
		got := [][]float32{run(t, q, allFeed(4, 7, 9))}
		for _, x := range p.Params() {
			got = append(got, append([]float32(nil), x.Grad...))
		}
		if first == nil {
			first = got
			continue
		}
		for i := range got {
			if !slices.Equal(got[i], first[i]) {
				t.Errorf("result %d differs between 1 and %d threads", i, n)
			}
		}
	}
}

func clean(t *testing.T, b int) func(q *autodiff.Pass) []*gorgonia.Node {
	return func(q *autodiff.Pass) []*gorgonia.Node {
		ok := must(t)
		return []*gorgonia.Node{ok(autodiff.CrossEntropy(ok(q.Output("logits")), q.Ints("labels", b), 0))}
	}
}

func grads(p *autodiff.Program) [][]float32 {
	var out [][]float32
	for _, x := range p.Params() {
		out = append(out, append([]float32(nil), x.Grad...))
	}
	return out
}

func TestInterleavedPasses(t *testing.T) {
	m := tiny(t, "gelu")
	opts := autodiff.Options{Rows: tokenHeads}
	big, small := allFeed(4, 7, 9), autodiff.Feed{Inputs: texts(2, 3, 23), Ints: map[string][]int32{"labels": {1, 2}}}
	alone := func(b, s, r int, terms func(*autodiff.Pass) []*gorgonia.Node, f autodiff.Feed) ([]float32, [][]float32) {
		p := program(t, m, opts)
		return run(t, built(t, p, b, s, r, terms), f), grads(p)
	}
	wantBig, gradBig := alone(4, 7, 9, allHeads(t, 4, 9), big)
	wantSmall, gradSmall := alone(2, 3, 0, clean(t, 2), small)

	p := program(t, m, opts)
	a := built(t, p, 2, 3, 0, clean(t, 2))
	run(t, a, small) // before the arena grows for the other
	b := built(t, p, 4, 7, 9, allHeads(t, 4, 9))
	for range 2 {
		p.ZeroGrad()
		if l := run(t, b, big); !slices.Equal(l, wantBig) {
			t.Errorf("big: losses %v, alone %v", l, wantBig)
		}
		for i, g := range grads(p) {
			if !slices.Equal(g, gradBig[i]) {
				t.Errorf("big: gradient of %s differs", p.Params()[i].Name)
			}
		}
		p.ZeroGrad()
		if l := run(t, a, small); !slices.Equal(l, wantSmall) {
			t.Errorf("small: losses %v, alone %v", l, wantSmall)
		}
		for i, g := range grads(p) {
			if !slices.Equal(g, gradSmall[i]) {
				t.Errorf("small: gradient of %s differs", p.Params()[i].Name)
			}
		}
	}
	// Gradients add up over passes.
	run(t, b, big)
	for i, g := range grads(p) {
		sum := make([]float32, len(g))
		for j := range sum {
			sum[j] = gradSmall[i][j] + gradBig[i][j]
		}
		near(t, p.Params()[i].Name, g, sum, 1e-5)
	}
}

func TestSharedModels(t *testing.T) {
	for _, name := range []string{"sst2-bert-L2-H128", "zh-bert-chnsenticorp-L4-H128", "mlm-random-L3-H64"} {
		t.Run(name, func(t *testing.T) {
			m := modeltest.Open(t, "models", name)
			in := texts(2, 9, 100)
			want := outputs(t, m, in, 2, 9, "logits")["logits"]
			opts, r, targets := autodiff.Options{}, 0, []int32{0, 1}
			if len(want.Shape) == 3 {
				near(t, "whole logits", forward(t, program(t, m, opts), 2, 9, 0, "logits", in), want.F32, 1e-5)
				opts.Rows, r, targets = []string{"logits"}, 3, []int32{5, 6, 7}
				in["rows"] = []int64{2, 3, 11}
			} else {
				near(t, "logits", forward(t, program(t, m, opts), 2, 9, 0, "logits", in), want.F32, 1e-5)
			}
			p := program(t, m, opts)
			q := built(t, p, 2, 9, r, func(q *autodiff.Pass) []*gorgonia.Node {
				ok := must(t)
				return []*gorgonia.Node{ok(autodiff.CrossEntropy(ok(q.Output("logits")), q.Ints("y", len(targets)), 0))}
			})
			run(t, q, autodiff.Feed{Inputs: in, Ints: map[string][]int32{"y": targets}})
			for _, x := range p.Params() {
				if !slices.ContainsFunc(x.Grad, func(g float32) bool { return g != 0 }) {
					t.Errorf("%s %v has no gradient", x.Name, x.Dims)
				}
			}
			t.Logf("%d parameters", len(p.Params()))
			back, err := p.Model()
			if err != nil {
				t.Fatal(err)
			}
			if err := back.Check(); err != nil {
				t.Fatal(err)
			}
			delete(in, "rows")
			near(t, "logits after Model", outputs(t, back, in, 2, 9, "logits")["logits"].F32, want.F32, 0)
		})
	}
}
