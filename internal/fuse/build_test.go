package fuse_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/onnx"
)

// builder makes small graphs for the tests; weights come from a fixed seed.
type builder struct {
	g   *onnx.Graph
	ops int64
	rng *rand.Rand
}

func newBuilder(opset int64) *builder {
	return &builder{g: &onnx.Graph{Name: "g"}, ops: opset, rng: rand.New(rand.NewPCG(1, 2))}
}

// input declares a graph input; a string is a symbol, an int a length.
func (b *builder) input(name string, typ onnx.DataType, dims ...any) *builder {
	b.g.Inputs = append(b.g.Inputs, info(name, typ, dims...))
	return b
}

func (b *builder) output(name string, dims ...any) *builder {
	b.g.Outputs = append(b.g.Outputs, info(name, onnx.Float, dims...))
	return b
}

func info(name string, typ onnx.DataType, dims ...any) *onnx.ValueInfo {
	v := &onnx.ValueInfo{Name: name, Type: typ, HasShape: len(dims) > 0}
	for _, d := range dims {
		switch d := d.(type) {
		case string:
			v.Dims = append(v.Dims, onnx.Dim{Param: d})
		case int:
			v.Dims = append(v.Dims, onnx.Dim{Size: int64(d), Known: true})
		}
	}
	return v
}

// weight adds a float initializer of random elements in [-½, ½).
func (b *builder) weight(name string, dims ...int64) *builder {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = b.rng.Float32() - 0.5
	}
	b.g.Initializers = append(b.g.Initializers, onnx.NewFloats(name, v, dims...))
	return b
}

func (b *builder) float(name string, v float32) *builder {
	b.g.Initializers = append(b.g.Initializers, onnx.NewFloats(name, []float32{v}))
	return b
}

func (b *builder) ints(name string, v ...int64) *builder {
	b.g.Initializers = append(b.g.Initializers, onnx.NewInt64s(name, v, int64(len(v))))
	return b
}

func (b *builder) scalarInt(name string, v int64) *builder {
	b.g.Initializers = append(b.g.Initializers, onnx.NewInt64s(name, []int64{v}))
	return b
}

// node adds a node; text is "Op in in -> out out", an operator may have its domain before a colon,
// "_" is an omitted input. The node is called n_<first output>.
func (b *builder) node(text string, attrs ...*onnx.Attribute) *builder {
	left, right, _ := strings.Cut(text, " -> ")
	words, outs := strings.Fields(left), strings.Fields(right)
	n := onnx.NewNode(words[0], "n_"+outs[0], words[1:], outs, attrs...)
	if domain, op, ok := strings.Cut(words[0], ":"); ok {
		n.Domain, n.Op = domain, op
	}
	for i, v := range n.Inputs {
		if v == "_" {
			n.Inputs[i] = ""
		}
	}
	b.g.Nodes = append(b.g.Nodes, n)
	return b
}

func (b *builder) model() *onnx.Model {
	return &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: b.ops}, {Domain: "com.microsoft", Version: 1}}, Graph: b.g}
}

func perm(p ...int64) *onnx.Attribute { return onnx.IntsAttr("perm", p...) }

func mustFuse(t *testing.T, m *onnx.Model) *fuse.Fused {
	t.Helper()
	f, err := fuse.Fuse(m)
	if err != nil {
		t.Fatal(err)
	}
	sound(t, f.Model)
	return f
}

// sound fails the test where a node reads a value that nothing before it computes.
func sound(t *testing.T, m *onnx.Model) {
	t.Helper()
	have := map[string]bool{"": true}
	for _, v := range m.Graph.Inputs {
		have[v.Name] = true
	}
	for _, w := range m.Graph.Initializers {
		have[w.Name] = true
	}
	for _, n := range m.Graph.Nodes {
		for _, in := range n.Inputs {
			if !have[in] {
				t.Errorf("node %s reads unknown %q", n.Label(), in)
			}
		}
		for _, o := range n.Outputs {
			if o != "" && have[o] {
				t.Errorf("node %s computes %q a second time", n.Label(), o)
			}
			have[o] = true
		}
	}
	for _, o := range m.Graph.Outputs {
		if !have[o.Name] {
			t.Errorf("output %q is computed by no node", o.Name)
		}
	}
}

// ops lists the operators of a graph in order, fused ones with "lite.".
func ops(m *onnx.Model) string {
	var out []string
	for _, n := range m.Graph.Nodes {
		op := n.Op
		if n.Domain != "" {
			op = n.Domain + "." + op
		}
		out = append(out, op)
	}
	return strings.Join(out, " ")
}

func find(m *onnx.Model, op string) *onnx.Node {
	i := slices.IndexFunc(m.Graph.Nodes, func(n *onnx.Node) bool { return n.Op == op })
	if i < 0 {
		return nil
	}
	return m.Graph.Nodes[i]
}
