package autodiff_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/internal/modeltest"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/prune"
	"github.com/litekit/lite/student"
)

func TestParams(t *testing.T) {
	p := program(t, tiny(t, "gelu"), autodiff.Options{})
	for _, x := range p.Params() {
		vector := len(x.Dims) == 1
		if x.Decay == vector {
			t.Errorf("%s %v: decay %v", x.Name, x.Dims, x.Decay)
		}
		if len(x.Grad) != len(x.Value) {
			t.Errorf("%s: %d gradients for %d values", x.Name, len(x.Grad), len(x.Value))
		}
	}
	if n := len(p.Params()); n != 5+2*16+2+4+2+1+2+2+2 {
		t.Errorf("%d parameters", n)
	}
}

func TestFrozen(t *testing.T) {
	m := tiny(t, "gelu")
	frozen := func(name string) bool {
		return strings.Contains(name, "embeddings") || strings.Contains(name, "layer.0")
	}
	p := program(t, m, autodiff.Options{Rows: tokenHeads, Frozen: frozen})
	all := program(t, m, autodiff.Options{Rows: tokenHeads})
	want := map[string][]float32{}
	run(t, built(t, all, 3, 5, 4, allHeads(t, 3, 4)), allFeed(3, 5, 4))
	for _, x := range all.Params() {
		want[x.Name] = x.Grad
	}
	run(t, built(t, p, 3, 5, 4, allHeads(t, 3, 4)), allFeed(3, 5, 4))
	if len(p.Params()) == 0 {
		t.Fatal("no parameters")
	}
	for _, x := range p.Params() {
		if frozen(x.Name) {
			t.Errorf("%s is not frozen", x.Name)
		}
		if !slices.Equal(x.Grad, want[x.Name]) {
			t.Errorf("%s: the gradient differs from that of the whole model", x.Name)
		}
	}
}

// step takes one step of gradient descent.
func step(p *autodiff.Program) {
	for _, x := range p.Params() {
		for i, g := range x.Grad {
			x.Value[i] -= 0.1 * g
		}
	}
}

func TestModelHasTheNewWeights(t *testing.T) {
	m := tiny(t, "gelu")
	before := m.Hash()
	p := program(t, m, autodiff.Options{Rows: tokenHeads})
	q := built(t, p, 3, 5, 4, allHeads(t, 3, 4))
	f := allFeed(3, 5, 4)
	l0 := weighted(run(t, q, f), f.Weights)
	step(p)
	if l1 := weighted(run(t, q, f), f.Weights); l1 >= l0 {
		t.Errorf("the loss went from %v to %v", l0, l1)
	}
	trained, err := p.Model()
	if err != nil {
		t.Fatal(err)
	}
	if m.Hash() != before {
		t.Error("New or Model changed the model it was given")
	}
	want := outputs(t, trained, f.Inputs, 3, 5, "logits", "sop_logits")
	for name, w := range want {
		near(t, name, forward(t, p, 3, 5, 0, name, f.Inputs), w.F32, 1e-5)
	}
	if a, b := m.Graph.Nodes, trained.Graph.Nodes; len(a) != len(b) {
		t.Errorf("%d nodes became %d", len(a), len(b))
	}
}

// A decoder that torch wrote as a second, transposed tensor stays tied.
func TestTiedCopies(t *testing.T) {
	for _, transposed := range []bool{true, false} {
		g := newGraph(13)
		e, _ := g.m.Graph.Initializer("table").Floats()
		if transposed {
			w := make([]float32, len(e))
			for r := range 11 {
				for c := range 6 {
					w[c*11+r] = e[r*6+c]
				}
			}
			g.m.Graph.Initializers = append(g.m.Graph.Initializers, onnx.NewFloats("decoder", w, 6, 11))
			g.add("MatMul", []string{"x", "decoder"}, "y")
		} else {
			g.m.Graph.Initializers = append(g.m.Graph.Initializers, onnx.NewFloats("decoder", e, 11, 6))
			g.add("Reshape", []string{"x", g.ints("flat", -1, 6)}, "flat_x")
			g.add("Gemm", []string{"flat_x", "decoder"}, "y", onnx.IntAttr("transB", 1))
		}
		p := program(t, g.output("y"), autodiff.Options{})
		if n := len(p.Params()); n != 1 {
			t.Fatalf("%d parameters, want the tied one", n)
		}
		in := map[string][]int64{"input_ids": ids(2, 3, 11, 4)}
		q := built(t, p, 2, 3, 0, func(q *autodiff.Pass) []*gorgonia.Node {
			ok := must(t)
			return []*gorgonia.Node{ok(autodiff.CrossEntropy(ok(q.Output("y")), q.Ints("l", 6), 0))}
		})
		f := autodiff.Feed{Inputs: in, Ints: map[string][]int32{"l": {1, 2, 3, 4, 5, 6}}}
		checkGrads(t, p, q, f, 0.01)
		step(p)
		back, err := p.Model()
		if err != nil {
			t.Fatal(err)
		}
		d, _ := back.Graph.Initializer("decoder").Floats()
		n, _ := back.Graph.Initializer("table").Floats()
		if slices.Equal(n, e) {
			t.Error("the table did not change")
		}
		for r := range 11 {
			for c := range 6 {
				i := r*6 + c
				if transposed {
					i = c*11 + r
				}
				if d[i] != n[r*6+c] {
					t.Fatalf("the decoder and the table differ at %d,%d", r, c)
				}
			}
		}
	}
}

func TestPrunedModel(t *testing.T) {
	m := tiny(t, "gelu")
	cut, err := prune.Config{Unit: prune.HeadsAndNeurons, Sparsity: 0.4, Scope: prune.Global, MinNeurons: 1}.Apply(context.Background(), m)
	if err != nil {
		t.Fatal(err)
	}
	enc, err := fuse.Detect(cut)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range enc.Layers {
		t.Logf("layer %d: %d heads, %d neurons", i, l.Heads, l.Up.Out)
	}
	p := program(t, cut, autodiff.Options{Rows: tokenHeads})
	f := allFeed(3, 5, 4)
	near(t, "logits", forward(t, p, 3, 5, 0, "logits", f.Inputs), outputs(t, cut, f.Inputs, 3, 5, "logits")["logits"].F32, 1e-5)
	checkGrads(t, p, built(t, p, 3, 5, 4, allHeads(t, 3, 4)), f, 0.02)
	back, err := p.Model()
	if err != nil {
		t.Fatal(err)
	}
	if err := back.Check(); err != nil {
		t.Error(err)
	}
}

func TestHiddenStates(t *testing.T) {
	m := tiny(t, "gelu")
	enc, err := fuse.Detect(m)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{enc.Embeddings, enc.Layers[0].Hidden, enc.Layers[1].Hidden}
	p := program(t, m, autodiff.Options{Rows: tokenHeads, Outputs: names})
	in := texts(2, 4, 23)
	for name, w := range outputs(t, m, in, 2, 4, names...) {
		near(t, name, forward(t, p, 2, 4, 0, name, in), w.F32, 1e-5)
	}
	q := built(t, p, 2, 4, 0, func(q *autodiff.Pass) []*gorgonia.Node {
		ok := must(t)
		return []*gorgonia.Node{
			ok(autodiff.Cosine(ok(q.Output(names[2])), q.Floats("h", 2, 4, 12), nil)),
			ok(autodiff.MSE(ok(q.Output(names[1])), q.Floats("h", 2, 4, 12), nil)),
			ok(autodiff.MSE(ok(q.Output(names[0])), q.Floats("h", 2, 4, 12), nil)),
		}
	})
	checkGrads(t, p, q, autodiff.Feed{Inputs: in, Floats: map[string][]float32{"h": normals(96, 2)}}, 0.02)
}

func TestDropout(t *testing.T) {
	m := tiny(t, "gelu")
	enc, err := fuse.Detect(m)
	if err != nil {
		t.Fatal(err)
	}
	opts := autodiff.Options{Outputs: []string{enc.Embeddings}}
	in := texts(8, 16, 23)
	clean := forward(t, program(t, m, opts), 8, 16, 0, enc.Embeddings, in)
	opts.Dropout = 0.25
	p := program(t, m, opts)
	var n *gorgonia.Node
	q := built(t, p, 8, 16, 0, func(q *autodiff.Pass) []*gorgonia.Node {
		n = must(t)(q.Output(enc.Embeddings))
		return nil
	})
	at := func(seed, step uint64) []float32 {
		run(t, q, autodiff.Feed{Inputs: in, Seed: seed, Step: step})
		return slices.Clone(n.Value().Data().([]float32))
	}
	first := at(1, 1)
	dropped := 0
	for i, x := range first {
		if x == 0 {
			dropped++
		} else if math.Abs(float64(x)-float64(clean[i])/0.75) > 1e-5 {
			t.Fatalf("element %d is %v, want 0 or %v", i, x, clean[i]/0.75)
		}
	}
	if rate := float64(dropped) / float64(len(first)); math.Abs(rate-0.25) > 0.04 {
		t.Errorf("%v are dropped, want 0.25", rate)
	}
	if !slices.Equal(at(1, 1), first) {
		t.Error("the same seed and step gave another mask")
	}
	if slices.Equal(at(1, 2), first) || slices.Equal(at(2, 1), first) {
		t.Error("another seed or step gave the same mask")
	}
}

func TestNewErrors(t *testing.T) {
	for _, c := range []struct {
		name  string
		model func() *onnx.Model
		opts  autodiff.Options
		want  string
	}{
		{"no graph", func() *onnx.Model { return &onnx.Model{} }, autodiff.Options{}, "no graph"},
		{"operator without gradient", func() *onnx.Model {
			g := newGraph(13)
			g.add("Ceil", []string{"x"}, "y")
			return g.output("y")
		}, autodiff.Options{}, "node node_y: no gradient for operator Ceil"},
		{"variant without gradient", func() *onnx.Model {
			g := newGraph(13)
			g.add("Softmax", []string{"x"}, "y", onnx.IntAttr("axis", 1))
			return g.output("y")
		}, autodiff.Options{}, "node node_y: no gradient for Softmax over axis 1"},
		{"int8 weight", func() *onnx.Model {
			g := newGraph(13)
			g.m.Graph.Initializers = append(g.m.Graph.Initializers, onnx.NewInt8s("w8", make([]int8, 4), 2, 2))
			return g.output("x")
		}, autodiff.Options{}, `weight "w8" is int8`},
		{"float16 weight", func() *onnx.Model {
			g := newGraph(13)
			g.m.Graph.Initializers = append(g.m.Graph.Initializers, &onnx.Tensor{Name: "w16", Type: onnx.Float16, Dims: []int64{2}, Raw: make([]byte, 4)})
			return g.output("x")
		}, autodiff.Options{}, `weight "w16" is float16`},
		{"unknown output", rowModel, autodiff.Options{Outputs: []string{"nothing"}}, `"nothing"`},
		{"unknown rows", rowModel, autodiff.Options{Rows: []string{"nothing"}}, `"nothing"`},
		{"all frozen", rowModel, autodiff.Options{Frozen: func(string) bool { return true }}, "no parameter"},
		{"dropout", rowModel, autodiff.Options{Dropout: 1}, "dropout 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := autodiff.New(c.model(), c.opts)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestPeerInt8IsRefused(t *testing.T) {
	if _, err := autodiff.New(modeltest.Open(t, "models", "peer-int8/tiny4_312.ortdyn.onnx"), autodiff.Options{}); err == nil {
		t.Error("an int8 model was accepted")
	} else {
		t.Log(err)
	}
}

func TestPassErrors(t *testing.T) {
	p := program(t, rowModel(), autodiff.Options{Rows: []string{"y"}})
	if _, err := p.NewPass(0, 1, 0); err == nil {
		t.Error("a pass of nothing was accepted")
	}
	q, err := p.NewPass(1, 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.Output("y"); err == nil || !strings.Contains(err.Error(), "no rows") {
		t.Errorf("rows of none: %v", err)
	}
	if _, err := q.Output("l"); err == nil || !strings.Contains(err.Error(), "Options.Outputs") {
		t.Errorf("unknown output: %v", err)
	}
	if _, err := q.Run(autodiff.Feed{}); err == nil {
		t.Error("a pass ran before Compile")
	}
	q, _ = p.NewPass(1, 2, 2)
	q.Floats("a", 2)
	q.Ints("a", 2)
	if err := q.Compile(nil); err == nil || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("one name for two inputs: %v", err)
	}
	q, _ = p.NewPass(1, 2, 2)
	if _, err := autodiff.CrossEntropy(must(t)(q.Output("y")), q.Ints("l", 3), 0); err == nil {
		t.Error("3 labels for 2 rows were accepted")
	}
}

func TestRunErrors(t *testing.T) {
	p := program(t, rowModel(), autodiff.Options{Rows: []string{"y"}})
	q := built(t, p, 1, 3, 2, func(q *autodiff.Pass) []*gorgonia.Node {
		ok := must(t)
		return []*gorgonia.Node{ok(autodiff.CrossEntropy(ok(q.Output("y")), q.Ints("l", 2), 0))}
	})
	if err := q.Compile(nil); err == nil {
		t.Error("a pass was compiled twice")
	}
	good := func() autodiff.Feed {
		return autodiff.Feed{
			Inputs: map[string][]int64{"input_ids": {1, 2, 3}, "token_type_ids": {0, 0, 0}, "rows": {0, 2}},
			Ints:   map[string][]int32{"l": {0, 4}},
		}
	}
	for _, c := range []struct {
		name string
		edit func(f *autodiff.Feed)
		want string
	}{
		{"id outside the table", func(f *autodiff.Feed) { f.Inputs["input_ids"][1] = 11 }, "input_ids[1] is 11"},
		{"row outside the batch", func(f *autodiff.Feed) { f.Inputs["rows"][1] = 3 }, "rows[1] is 3"},
		{"missing input", func(f *autodiff.Feed) { delete(f.Inputs, "rows") }, `"rows" was not fed`},
		{"unknown input", func(f *autodiff.Feed) { f.Inputs["inputs"] = nil }, `no input "inputs"`},
		{"size", func(f *autodiff.Feed) { f.Inputs["input_ids"] = []int64{1} }, "fed 1 numbers"},
		{"labels", func(f *autodiff.Feed) { f.Ints["l"] = nil }, `"l" was fed 0`},
		{"label outside the classes", func(f *autodiff.Feed) { f.Ints["l"][0] = 5 }, "row 0: label 5"},
		{"weights", func(f *autodiff.Feed) { f.Weights = []float32{1, 2} }, "2 weights for 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := good()
			c.edit(&f)
			if _, err := q.Run(f); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			run(t, q, good())
		})
	}
}

// Memory of a step is laid out once.
func TestStepsDoNotAllocateTheirMemory(t *testing.T) {
	m, opts := tiny(t, "gelu"), autodiff.Options{Rows: tokenHeads, Dropout: 0.1}
	p := program(t, m, opts)
	q := built(t, p, 16, 16, 64, allHeads(t, 16, 64))
	f := allFeed(16, 16, 64)
	run(t, q, f)
	r := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			if _, err := q.Run(f); err != nil {
				b.Fatal(err)
			}
		}
	})
	if n := r.AllocedBytesPerOp(); n > 64<<10 {
		t.Errorf("a step allocates %d bytes", n)
	}
}

// TestMemory: logits, the larger part of the memory of a small model, are there
// once, and their gradient lies over them; no probabilities of attention and no
// activations between two linears are kept.
func TestMemory(t *testing.T) {
	const b, s, r, vocab, hidden, heads, ffn, layers = 2, 64, 32, 2000, 8, 4, 256, 3
	m, err := student.New(student.Shape{Layers: layers, Hidden: hidden, Heads: heads, FFN: ffn, Vocab: vocab, Positions: s, Act: "gelu", Eps: 1e-12},
		[]student.Head{student.MaskedLM()}, 1)
	if err != nil {
		t.Fatal(err)
	}
	p := program(t, m, autodiff.Options{Rows: []string{"logits"}})
	q := built(t, p, b, s, r, func(q *autodiff.Pass) []*gorgonia.Node {
		y := must(t)(q.Output("logits"))
		return []*gorgonia.Node{must(t)(autodiff.CrossEntropy(y, q.Ints("labels", r), 0)), must(t)(autodiff.KL(y, q.Floats("teacher", r, vocab), 2, nil))}
	})
	logits, inner := r*vocab, b*s*ffn
	// Of each layer: Z, nine values of the hidden size, the sums of attention.
	most := logits + layers*(inner+b*s*hidden*9+b*s*heads) + inner
	if got := autodiff.Need(q); got > most {
		t.Errorf("a pass needs %d floats, want at most %d", got, most)
	}
}
