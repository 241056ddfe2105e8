package autodiff_test

import (
	"fmt"
	"slices"
	"strings"
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

// A mean over all positions, divided by their number, is not one of tokens: it has
// the padded form only.
func TestShapeNeedsPadding(t *testing.T) {
	const b, s = 24, 16
	f := mixed(b, s, 4)
	delete(f.Inputs, "rows")
	m := embedder(t, func(g *onnx.Graph, hidden string) {
		p := &pooling{g, hidden}
		sum := p.add("ReduceSum", "sum", []string{hidden, p.ints("over", 1)}, onnx.IntAttr("keepdims", 0))
		n := p.add("Cast", "n", []string{p.dim("s", 1)}, onnx.IntAttr("to", int64(onnx.Float)))
		p.add("Div", "pooled", []string{sum, n})
		g.Outputs = append(g.Outputs, &onnx.ValueInfo{Name: "pooled", Type: onnx.Float})
	})
	p := program(t, m, autodiff.Options{})
	near(t, "pooled", forward(t, p, b, s, 0, "pooled", f.Inputs), outputs(t, m, f.Inputs, b, s, "pooled")["pooled"].F32, 1e-5)
	q, err := p.NewPackedPass(b, s, 0, p.Tokens(b, s, f.Inputs))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.Output("pooled"); err == nil || !strings.Contains(err.Error(), "without padding") {
		t.Errorf("error %v, want one that wraps ErrPadding", err)
	}
}
