package autodiff_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/internal/modeltest"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// mixed is allFeed with sequences of very different lengths.
func mixed(b, s, r int) autodiff.Feed {
	f := allFeed(b, s, r)
	mask := f.Inputs["attention_mask"]
	for i := range mask {
		mask[i] = 0
		if i%s == 0 || i%s < s-(i/s*5)%s {
			mask[i] = 1
		}
	}
	n := 0 // rows are tokens, but for the last, which counts for nothing
	for i := range f.Inputs["rows"] {
		for mask[n%len(mask)] == 0 {
			n++
		}
		f.Inputs["rows"][i] = int64(n % len(mask))
		n += 3
	}
	last := r - 1
	f.Inputs["rows"][last] = int64(slices.Index(mask, 0))
	f.Ints["tokens"][last], f.Ints["pos"][last], f.Ints["ner"][last] = -1, -1, -1
	weight := make([]float32, r)
	for i := range last {
		weight[i] = 1
	}
	f.Floats["row_weight"] = weight
	return f
}

// heads are the losses of allHeads, with a weight for each row.
func heads(t *testing.T, b, r int) func(q *autodiff.Pass) []*gorgonia.Node {
	return func(q *autodiff.Pass) []*gorgonia.Node {
		terms := allHeads(t, b, r)(q)
		ok := must(t)
		terms[3] = ok(autodiff.KL(ok(q.Output("mlm_logits")), q.Floats("teacher_mlm", r, 23), 3, q.Floats("row_weight", r)))
		return terms
	}
}

// packedPass is built for what Tokens says.
func packedPass(t *testing.T, p *autodiff.Program, b, s, r int, f autodiff.Feed, terms func(*autodiff.Pass) []*gorgonia.Node) *autodiff.Pass {
	t.Helper()
	n := p.Tokens(b, s, f.Inputs)
	if n == 0 {
		t.Fatal("the batch is not packed")
	}
	q, err := p.NewPackedPass(b, s, r, n)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Compile(terms(q)); err != nil {
		t.Fatal(err)
	}
	return q
}

// Without padding, losses and gradients are what they are with it.
func TestPackedEqualsPadded(t *testing.T) {
	const b, s, r = 24, 16, 40
	f := mixed(b, s, r)
	for _, c := range []struct {
		name string
		opts autodiff.Options
	}{
		{"plain", autodiff.Options{Rows: tokenHeads}},
		{"dropout", autodiff.Options{Rows: tokenHeads, Dropout: 0.2}},
		{"frozen", autodiff.Options{Rows: tokenHeads, Frozen: func(p string) bool { return strings.Contains(p, "layer.0") }}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := tiny(t, "gelu")
			padded, packed := program(t, m, c.opts), program(t, m, c.opts)
			want := run(t, built(t, padded, b, s, r, heads(t, b, r)), f)
			q := packedPass(t, packed, b, s, r, f, heads(t, b, r))
			near(t, "losses", run(t, q, f), want, 1e-5)
			for i, x := range packed.Params() {
				near(t, x.Name, x.Grad, padded.Params()[i].Grad, 2e-5)
			}
			// Another batch of the shape, and the first again: nothing is left over.
			first := grads(packed)
			other := mixed(b, s, r)
			for i := range other.Inputs["input_ids"] {
				other.Inputs["input_ids"][i] = int64(i % 23)
				if i%s > 2 {
					other.Inputs["attention_mask"][i] = 0
				}
			}
			run(t, q, other)
			packed.ZeroGrad()
			run(t, q, f)
			for i, x := range packed.Params() {
				if !slices.Equal(x.Grad, first[i]) {
					t.Errorf("%s: the gradient differs after another batch", x.Name)
				}
			}
		})
	}
}

func TestPackedGradients(t *testing.T) {
	const b, s, r = 24, 16, 40
	f := mixed(b, s, r)
	p := program(t, tiny(t, "relu"), autodiff.Options{Rows: tokenHeads})
	checkGrads(t, p, packedPass(t, p, b, s, r, f, heads(t, b, r)), f, 0.05)
}

func TestPackedThreads(t *testing.T) {
	defer kernel.SetThreads(0)
	const b, s, r = 24, 16, 40
	f := mixed(b, s, r)
	var want [][]float32
	for _, n := range []int{1, 2, 3} {
		kernel.SetThreads(n)
		p := program(t, tiny(t, "gelu"), autodiff.Options{Rows: tokenHeads, Dropout: 0.1})
		got := append([][]float32{run(t, packedPass(t, p, b, s, r, f, heads(t, b, r)), f)}, grads(p)...)
		for i := range got {
			if want != nil && !slices.Equal(got[i], want[i]) {
				t.Errorf("result %d differs between 1 and %d threads", i, n)
			}
		}
		if want == nil {
			want = got
		}
	}
}

func TestTokens(t *testing.T) {
	const b, s = 16, 32
	p := program(t, tiny(t, "gelu"), autodiff.Options{Rows: tokenHeads})
	full := func() map[string][]int64 {
		in := texts(b, s, 23)
		for i := range in["attention_mask"] {
			in["attention_mask"][i] = 1
		}
		return in
	}
	for _, c := range []struct {
		name string
		edit func(mask []int64)
		want int
	}{
		{"no padding", func([]int64) {}, 0},
		{"hardly any padding", func(m []int64) { m[s-1] = 0 }, 0},
		{"a sixteenth", func(m []int64) {
			for i := range m {
				if i%s >= s*15/16 {
					m[i] = 0
				}
			}
		}, 0},
		{"half", func(m []int64) {
			for i := range m {
				if i%s >= s/2 {
					m[i] = 0
				}
			}
		}, 256},
		{"half and one", func(m []int64) {
			for i := range m {
				if i%s >= s/2 && i != s/2 {
					m[i] = 0
				}
			}
		}, 320},
		{"padding in front", func(m []int64) {
			for i := range m {
				if i%s < s/2 {
					m[i] = 0
				}
			}
		}, 0},
		{"an empty sequence", func(m []int64) {
			for i := range m {
				if i%s >= s/2 || i < s {
					m[i] = 0
				}
			}
		}, 0},
	} {
		in := full()
		c.edit(in["attention_mask"])
		if got := p.Tokens(b, s, in); got != c.want {
			t.Errorf("%s: %d rows, want %d", c.name, got, c.want)
		}
	}
	if got := p.Tokens(b, s, map[string][]int64{"input_ids": nil}); got != 0 {
		t.Errorf("without a mask: %d rows", got)
	}
	if got := program(t, rowModel(), autodiff.Options{}).Tokens(b, s, full()); got != 0 {
		t.Errorf("a graph without attention: %d rows", got)
	}
}

// A batch that the pass was not made for is refused.
func TestPackedErrors(t *testing.T) {
	const b, s, r = 24, 16, 40
	f := mixed(b, s, r)
	p := program(t, tiny(t, "gelu"), autodiff.Options{Rows: tokenHeads})
	if _, err := p.NewPackedPass(b, s, r, 0); err == nil {
		t.Error("a packed pass of no rows was accepted")
	}
	q := packedPass(t, p, b, s, r, f, heads(t, b, r))
	for _, c := range []struct {
		name string
		edit func(f autodiff.Feed)
		want string
	}{
		{"too many tokens", func(f autodiff.Feed) {
			for i := range f.Inputs["attention_mask"] {
				f.Inputs["attention_mask"][i] = 1
			}
		}, "Program.Tokens"},
		{"padding in front", func(f autodiff.Feed) { f.Inputs["attention_mask"][0] = 0 }, "Program.Tokens"},
		{"id outside the table", func(f autodiff.Feed) { f.Inputs["input_ids"][2] = 23 }, "input_ids[2] is 23"},
		{"row outside the batch", func(f autodiff.Feed) { f.Inputs["rows"][2] = b * s }, "rows[2] is 384"},
	} {
		bad := mixed(b, s, r)
		c.edit(bad)
		if _, err := q.Run(bad); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	run(t, q, f)
}

// embedder is a small encoder whose pooled vector is made by edit from the hidden
// states and the mask.
func embedder(t *testing.T, edit func(g *onnx.Graph, hidden string)) *onnx.Model {
	t.Helper()
	m, err := student.New(student.Shape{Layers: 2, Hidden: 8, Heads: 2, FFN: 8, Vocab: 23, Positions: 16, Act: "gelu", Eps: 1e-5}, []student.Head{student.Embedding(student.Vector{Normalize: true})}, 3)
	if err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(m.Graph, "last_hidden_state")
	}
	return shaken(m, 0.2)
}

// The masked mean of an embedding is made of the tokens alone: losses and gradients
// are what they are with padding, as lite writes it and as sentence-transformers does.
func TestPackedMean(t *testing.T) {
	const b, s = 24, 16
	f := mixed(b, s, 4)
	delete(f.Inputs, "rows")
	target := make([]float32, b*8)
	for i := range target {
		target[i] = float32(i%7) - 3
	}
	f.Ints, f.Floats, f.Weights = nil, map[string][]float32{"target": target}, nil
	ints := func(g *onnx.Graph, name string, v ...int64) string {
		g.Initializers = append(g.Initializers, onnx.NewInt64s(name, v))
		return name
	}
	add := func(g *onnx.Graph, op, out string, in []string, a ...*onnx.Attribute) string {
		g.Nodes = append(g.Nodes, onnx.NewNode(op, out, in, []string{out}, a...))
		return out
	}
	mask := func(g *onnx.Graph, from string) string {
		x := add(g, "Unsqueeze", "m1", []string{from, ints(g, "two", 2)})
		return add(g, "Cast", "m3", []string{x}, onnx.IntAttr("to", int64(onnx.Float)))
	}
	output := func(g *onnx.Graph, name string) {
		g.Outputs = append(g.Outputs, &onnx.ValueInfo{Name: name, Type: onnx.Float})
	}
	theirs := func(g *onnx.Graph, hidden string) {
		m := mask(g, "attention_mask")
		sum := add(g, "ReduceSum", "sum", []string{add(g, "Mul", "masked", []string{m, hidden}), ints(g, "one", 1)}, onnx.IntAttr("keepdims", 0))
		n := add(g, "ReduceSum", "n", []string{m, "one"}, onnx.IntAttr("keepdims", 0))
		output(g, add(g, "Div", "pooled", []string{sum, n}))
	}
	for _, c := range []struct {
		name, output string
		edit         func(g *onnx.Graph, hidden string)
	}{{"lite's", "sentence_embedding", nil}, {"sentence-transformers'", "pooled", theirs}} {
		t.Run(c.name, func(t *testing.T) {
			m := embedder(t, c.edit)
			terms := func(q *autodiff.Pass) []*gorgonia.Node {
				ok := must(t)
				return []*gorgonia.Node{ok(autodiff.MSE(ok(q.Output(c.output)), q.Floats("target", b, 8), nil))}
			}
			padded, packed := program(t, m, autodiff.Options{}), program(t, m, autodiff.Options{})
			want := run(t, built(t, padded, b, s, 0, terms), f)
			q := packedPass(t, packed, b, s, 0, f, terms)
			near(t, "loss", run(t, q, f), want, 1e-5)
			for i, x := range packed.Params() {
				near(t, x.Name, x.Grad, padded.Params()[i].Grad, 2e-5)
			}
			checkGrads(t, packed, q, f, 0.05)
		})
	}
	// What is not 0 at padding is added up in the padded form.
	m := embedder(t, func(g *onnx.Graph, hidden string) {
		sum := add(g, "ReduceSum", "sum", []string{add(g, "Mul", "masked", []string{mask(g, "token_type_ids"), hidden}), ints(g, "one", 1)}, onnx.IntAttr("keepdims", 0))
		output(g, sum)
	})
	p := program(t, m, autodiff.Options{})
	types := f.Inputs["token_type_ids"]
	clear(types)
	n := p.Tokens(b, s, f.Inputs)
	if n == 0 {
		t.Fatal("a mask that is 0 is not packed")
	}
	q, err := p.NewPackedPass(b, s, 0, n)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.Output("sum"); err != nil {
		t.Fatal(err)
	}
	if err := q.Compile(nil); err != nil {
		t.Fatal(err)
	}
	types[len(types)-1] = 1 // padding of the last sequence, if it has any
	if f.Inputs["attention_mask"][len(types)-1] != 0 {
		t.Fatal("the last sequence has no padding, so this tests nothing")
	}
	if p.Tokens(b, s, f.Inputs) != 0 {
		t.Error("a mask that is not 0 at padding is packed")
	}
	f.Floats = nil
	if _, err := q.Run(f); err == nil || !strings.Contains(err.Error(), "not 0 at padding") {
		t.Errorf("error %v", err)
	}
}

// Graphs that read hidden states other than token by token need the padded form.
func TestPackedFallback(t *testing.T) {
	const b, s = 24, 16
	f := mixed(b, s, 4)
	small := func(edit func(g *onnx.Graph, hidden string)) *onnx.Model {
		m, err := student.New(student.Shape{Layers: 1, Hidden: 8, Heads: 2, FFN: 8, Vocab: 23, Positions: 16, Act: "gelu", Eps: 1e-5}, []student.Head{student.MaskedLM()}, 3)
		if err != nil {
			t.Fatal(err)
		}
		hidden := ""
		for _, n := range m.Graph.Nodes {
			if n.Op == "LayerNormalization" && strings.Contains(n.Name, "layer.0/output") {
				hidden = n.Outputs[0]
			}
		}
		edit(m.Graph, hidden)
		return shaken(m, 0.2)
	}
	output := func(g *onnx.Graph, name string) {
		g.Outputs = append(g.Outputs, &onnx.ValueInfo{Name: name, Type: onnx.Float})
	}
	for _, c := range []struct {
		name string
		edit func(g *onnx.Graph, hidden string)
	}{
		{"mean over positions", func(g *onnx.Graph, hidden string) {
			g.Nodes = append(g.Nodes, onnx.NewNode("ReduceMean", "pool", []string{hidden}, []string{"pooled"}, onnx.IntsAttr("axes", 1), onnx.IntAttr("keepdims", 0)))
			output(g, "pooled")
		}},
		{"the last token", func(g *onnx.Graph, hidden string) {
			g.Initializers = append(g.Initializers, onnx.NewInt64s("last", []int64{-1}))
			g.Nodes = append(g.Nodes, onnx.NewNode("Gather", "pool", []string{hidden, "last"}, []string{"pooled"}, onnx.IntAttr("axis", 1)))
			output(g, "pooled")
		}},
		{"the hidden states", func(g *onnx.Graph, hidden string) { output(g, hidden) }},
		{"neighbours", func(g *onnx.Graph, hidden string) {
			g.Nodes = append(g.Nodes, onnx.NewNode("Transpose", "turn", []string{hidden}, []string{"turned"}, onnx.IntsAttr("perm", 1, 0, 2)))
			output(g, "turned")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := small(c.edit)
			name := m.Graph.Outputs[1].Name
			p := program(t, m, autodiff.Options{Rows: []string{"logits"}})
			n := p.Tokens(b, s, f.Inputs)
			if n == 0 {
				t.Fatal("nothing is packed, so this tests nothing")
			}
			q, err := p.NewPackedPass(b, s, 4, n)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := q.Output("logits"); err != nil {
				t.Errorf("logits of rows: %v", err)
			}
			if _, err := q.Output(name); !errors.Is(err, autodiff.ErrPadding) {
				t.Errorf("error %v, want ErrPadding", err)
			}
			if got := forward(t, p, b, s, 0, name, f.Inputs); !slices.ContainsFunc(got, func(x float32) bool { return x != 0 && !math.IsNaN(float64(x)) }) {
				t.Error("the padded pass gives nothing")
			}
		})
	}
}

// Models of other exporters are packed too.
func TestPackedSharedModels(t *testing.T) {
	for _, name := range []string{"sst2-bert-L2-H128", "zh-bert-chnsenticorp-L4-H128", "mlm-random-L3-H64"} {
		t.Run(name, func(t *testing.T) {
			const b, s, r = 12, 24, 6
			m := modeltest.Open(t, "models", name)
			f := mixed(b, s, r)
			opts, rows, targets := autodiff.Options{}, 0, make([]int32, b)
			if out := m.Graph.Outputs[0]; len(out.Dims) == 3 {
				opts.Rows, rows, targets = []string{"logits"}, r, make([]int32, r)
			} else {
				delete(f.Inputs, "rows")
			}
			if rows > 0 {
				f.Inputs["rows"][r-1] = 0 // its target counts
			}
			f.Ints = map[string][]int32{"y": targets}
			f.Floats, f.Weights = nil, nil
			terms := func(q *autodiff.Pass) []*gorgonia.Node {
				ok := must(t)
				return []*gorgonia.Node{ok(autodiff.CrossEntropy(ok(q.Output("logits")), q.Ints("y", len(targets)), 0))}
			}
			padded, packed := program(t, m, opts), program(t, m, opts)
			want := run(t, built(t, padded, b, s, rows, terms), f)
			near(t, "loss", run(t, packedPass(t, packed, b, s, rows, f, terms), f), want, 1e-5)
			for i, x := range packed.Params() {
				near(t, x.Name, x.Grad, padded.Params()[i].Grad, 1e-5)
			}
		})
	}
}
