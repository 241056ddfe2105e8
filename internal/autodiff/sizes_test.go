package autodiff_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/onnx"
)

// pooling writes the nodes of a mean over tokens.
type pooling struct {
	g      *onnx.Graph
	hidden string
}

func (p *pooling) add(op, out string, in []string, a ...*onnx.Attribute) string {
	p.g.Nodes = append(p.g.Nodes, onnx.NewNode(op, "node_"+out, in, []string{out}, a...))
	return out
}

func (p *pooling) ints(name string, v ...int64) string {
	p.g.Initializers = append(p.g.Initializers, onnx.NewInt64s(name, v, int64(len(v))))
	return name
}

// mean is sum(hidden·mask) / max(sum(mask), ε) for the mask [B,S,H] as integers.
func (p *pooling) mean(mask string) {
	m := p.add("Cast", "mask_float", []string{mask}, onnx.IntAttr("to", int64(onnx.Float)))
	p.ints("over", 1)
	sum := p.add("ReduceSum", "sum", []string{p.add("Mul", "masked", []string{p.hidden, m}), "over"}, onnx.IntAttr("keepdims", 0))
	n := p.add("ReduceSum", "n", []string{m, "over"}, onnx.IntAttr("keepdims", 0))
	p.g.Initializers = append(p.g.Initializers, onnx.NewFloats("least", []float32{1e-9}))
	n = p.add("Clip", "clipped", []string{n, "least"})
	p.add("Div", "pooled", []string{sum, n})
	p.g.Outputs = append(p.g.Outputs, &onnx.ValueInfo{Name: "pooled", Type: onnx.Float})
}

func (p *pooling) mask3() string {
	return p.add("Unsqueeze", "mask3", []string{"attention_mask", p.ints("last", -1)})
}

// dim is one number of the shape of the hidden states, by way of a Gather.
func (p *pooling) dim(name string, axis int64) string {
	s := p.add("Shape", name+"_shape", []string{p.hidden})
	return p.add("Gather", name, []string{s, p.ints(name+"_at", axis)}, onnx.IntAttr("axis", 0))
}

// plainMean has no Shape: the mask is made wide by a product with ones.
func plainMean(p *pooling) {
	p.mean(p.add("Mul", "wide", []string{p.mask3(), p.ints("ones", 1, 1, 1, 1, 1, 1, 1, 1)}))
}

// oneValue makes ConstantOfShape give ones.
var oneValue = &onnx.Attribute{Name: "value", Type: onnx.AttrTensor, Tensor: onnx.NewInt64s("", []int64{1}, 1)}

var shapeMeans = []struct {
	name  string
	build func(p *pooling)
}{
	{"expand to the shape", func(p *pooling) {
		p.mean(p.add("Expand", "wide", []string{p.mask3(), p.add("Shape", "shape", []string{p.hidden})}))
	}},
	{"expand to gathered sizes", func(p *pooling) {
		to := p.add("Concat", "to", []string{p.dim("b", 0), p.dim("s", 1), p.dim("h", 2)}, onnx.IntAttr("axis", 0))
		// As torch writes expand(-1, …): where a size is −1, 1.
		ones := p.add("ConstantOfShape", "filled", []string{p.add("Shape", "rank", []string{to})}, oneValue)
		minus := p.add("Mul", "minus", []string{ones, p.ints("minus_one", -1)})
		p.mean(p.add("Expand", "wide", []string{p.mask3(), p.add("Where", "sizes", []string{p.add("Equal", "is", []string{to, minus}), ones, to})}))
	}},
	{"ones of the shape", func(p *pooling) {
		ones := p.add("ConstantOfShape", "filled", []string{p.add("Shape", "shape", []string{p.hidden})}, oneValue)
		p.mean(p.add("Mul", "wide", []string{p.mask3(), ones}))
	}},
	{"range and size", func(p *pooling) {
		p.g.Initializers = append(p.g.Initializers, onnx.NewInt64s("start", []int64{0}), onnx.NewInt64s("step", []int64{1}))
		lead := p.add("ReduceProd", "lead", []string{p.add("Slice", "front", []string{p.add("Shape", "shape", []string{p.hidden}), p.ints("from", 0), p.ints("to", 2)})}, onnx.IntAttr("keepdims", 0))
		h := p.add("Div", "h", []string{p.add("Size", "size", []string{p.hidden}), lead})
		r := p.add("Range", "range", []string{"start", h, "step"})
		p.mean(p.add("Mul", "wide", []string{p.mask3(), p.add("Add", "same", []string{p.add("Sub", "nought", []string{r, r}), p.ints("one", 1)})}))
	}},
	{"end of the shape", func(p *pooling) {
		width := p.add("Shape", "width", []string{p.hidden}, onnx.IntAttr("start", -1))
		lead := p.add("Shape", "front", []string{p.hidden}, onnx.IntAttr("end", 2))
		p.mean(p.add("Expand", "wide", []string{p.mask3(), p.add("Concat", "to", []string{lead, width}, onnx.IntAttr("axis", 0))}))
	}},
}

// Pooling that reads the shape of the hidden states trains to the same bits as
// pooling that does not, with padding and without.
func TestShapePooling(t *testing.T) {
	const b, s, h = 24, 16, 8
	f := mixed(b, s, 4)
	delete(f.Inputs, "rows")
	f.Ints, f.Weights = nil, nil
	f.Floats = map[string][]float32{"target": normals(b*h, 5)}
	model := func(build func(*pooling)) *onnx.Model {
		return embedder(t, func(g *onnx.Graph, hidden string) { build(&pooling{g, hidden}) })
	}
	terms := func(q *autodiff.Pass) []*gorgonia.Node {
		ok := must(t)
		return []*gorgonia.Node{ok(autodiff.MSE(ok(q.Output("pooled")), q.Floats("target", b, h), nil))}
	}
	train := func(m *onnx.Model, packed, check bool) (out [][]float32) {
		p := program(t, m, autodiff.Options{})
		var q *autodiff.Pass
		if packed {
			q = packedPass(t, p, b, s, 0, f, terms)
		} else {
			q = built(t, p, b, s, 0, terms)
		}
		out = append(out, run(t, q, f))
		for _, x := range p.Params() {
			out = append(out, slices.Clone(x.Grad))
		}
		if check {
			checkGrads(t, p, q, f, 0.05)
		}
		return out
	}
	for _, packed := range []bool{false, true} {
		want := train(model(plainMean), packed, false)
		for i, c := range shapeMeans {
			t.Run(fmt.Sprintf("%s, packed %v", c.name, packed), func(t *testing.T) {
				m := model(c.build)
				if list := autodiff.Untrainable(m); list != nil {
					t.Fatalf("not trainable: %q", list)
				}
				got := train(m, packed, i == 0)
				for k := range want {
					if !slices.Equal(got[k], want[k]) {
						t.Fatalf("values %d: %v, without Shape %v", k, got[k], want[k])
					}
				}
			})
		}
	}
}

// A mean over all positions, be they tokens or not, has the padded form only: no batch
// is packed for a mask of ones, and without a mask the node says so.
func TestShapeNeedsPadding(t *testing.T) {
	const b, s = 24, 16
	f := mixed(b, s, 4)
	delete(f.Inputs, "rows")
	for _, masked := range []bool{true, false} {
		m := embedder(t, func(g *onnx.Graph, hidden string) {
			p := &pooling{g, hidden}
			ones := p.add("ConstantOfShape", "filled", []string{p.add("Shape", "shape", []string{hidden})}, oneValue)
			ones = p.add("Cast", "ones", []string{ones}, onnx.IntAttr("to", int64(onnx.Float)))
			if p.ints("over", 1); masked {
				hidden = p.add("Mul", "product", []string{hidden, ones})
			}
			sum := p.add("ReduceSum", "sum", []string{hidden, "over"}, onnx.IntAttr("keepdims", 0))
			n := p.add("ReduceSum", "n", []string{ones, "over"}, onnx.IntAttr("keepdims", 0))
			p.add("Div", "pooled", []string{sum, n})
			g.Outputs = append(g.Outputs, &onnx.ValueInfo{Name: "pooled", Type: onnx.Float})
		})
		p := program(t, m, autodiff.Options{})
		near(t, "pooled", forward(t, p, b, s, 0, "pooled", f.Inputs), outputs(t, m, f.Inputs, b, s, "pooled")["pooled"].F32, 1e-5)
		n := p.Tokens(b, s, f.Inputs)
		if masked {
			if n != 0 {
				t.Errorf("a mask of ones is packed into %d rows", n)
			}
			continue
		}
		q, err := p.NewPackedPass(b, s, 0, n)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := q.Output("pooled"); !errors.Is(err, autodiff.ErrPadding) {
			t.Errorf("error %v, want one that wraps ErrPadding", err)
		}
	}
}

// wideBias multiplies the bias of the attentions by ones [B,1,1,S], whose sizes are
// those of what the first product reads.
func wideBias(t *testing.T, g *onnx.Graph) {
	t.Helper()
	masks := map[string]bool{"attention_mask": true}
	bias, hidden, at := "", "", 0
	for i, n := range g.Nodes {
		made := slices.ContainsFunc(n.Inputs, func(v string) bool { return masks[v] })
		switch {
		case made && n.Op == "Add":
			at = i
		case made:
			bias, masks[n.Outputs[0]] = n.Outputs[0], true
			continue
		case n.Op == "MatMul" && hidden == "":
			hidden = n.Inputs[0]
		}
		if at > 0 {
			break
		}
	}
	if bias == "" || hidden == "" || at == 0 {
		t.Fatal("the graph has no bias to widen")
	}
	for _, n := range g.Nodes[at:] {
		for k, v := range n.Inputs {
			if v == bias {
				n.Inputs[k] = "wide_bias"
			}
		}
	}
	p := &pooling{g: &onnx.Graph{}}
	shape := p.add("Shape", "sizes_bs", []string{hidden}, onnx.IntAttr("end", 2))
	ones := p.add("Cast", "ones_float", []string{p.add("ConstantOfShape", "ones_bs", []string{shape}, oneValue)}, onnx.IntAttr("to", int64(onnx.Float)))
	ones = p.add("Unsqueeze", "ones_b11s", []string{ones, p.ints("one_two", 1, 2)})
	p.add("Mul", "wide_bias", []string{bias, ones})
	g.Nodes = slices.Insert(g.Nodes, at, p.g.Nodes...)
	g.Initializers = append(g.Initializers, p.g.Initializers...)
}

// A bias whose sizes are those of hidden states tells padding like any other.
func TestShapeInBias(t *testing.T) {
	const b, s, h = 24, 16, 8
	f := mixed(b, s, 4)
	delete(f.Inputs, "rows")
	f.Ints, f.Weights, f.Floats = nil, nil, map[string][]float32{"target": normals(b*h, 5)}
	var want []float32
	for _, edit := range []func(g *onnx.Graph, hidden string){nil, func(g *onnx.Graph, _ string) { wideBias(t, g) }} {
		p := program(t, embedder(t, edit), autodiff.Options{})
		q := packedPass(t, p, b, s, 0, f, func(q *autodiff.Pass) []*gorgonia.Node {
			ok := must(t)
			return []*gorgonia.Node{ok(autodiff.MSE(ok(q.Output("sentence_embedding")), q.Floats("target", b, h), nil))}
		})
		got := run(t, q, f)
		for _, x := range p.Params() {
			got = append(got, x.Grad...)
		}
		if want != nil && !slices.Equal(got, want) {
			t.Errorf("loss and gradients %v, without Shape %v", got[:4], want[:4])
		}
		want = got
	}
}
