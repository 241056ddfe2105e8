package modeltest

import (
	"math"
	"testing"

	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/onnx"
)

// The ways to write each part; the zero values are torch's oldest.
const (
	normPow = iota // ReduceMean, Sub, Pow, ReduceMean, Add, Sqrt, Div, Mul, Add
	normMul        // with a product for the square
	normOp         // LayerNormalization
)

const (
	geluErf       = iota // x·(1 + erf(x/√2))·½
	geluHalfFirst        // (x·½)·(1 + erf(x/√2))
	geluOp               // Gelu
)

const (
	linearMatMul     = iota
	linearTransposed // the weight as PyTorch keeps it, and a Transpose
	linearGemm       // of rows, between two Reshapes
)

const (
	maskAdd           = iota // as the model has it: (1 − mask)·−10000, added
	maskWhere                // Where(mask == 0, −max, scores)
	maskWhereExpanded        // the condition expanded to the scores
	maskInverted             // of [B,1,S,S], by Where, added
)

const (
	scaleDiv   = iota // scores / √d
	scaleQuery        // the query / √d
	scaleBoth         // query and key · √(1/√d), computed from the shape
)

const (
	zeros      = iota // Reshape to [0, 0, A, d]
	chain             // Shape, Gather, Unsqueeze, Concat of batch and length
	batchChain        // of the batch alone, and −1
)

// spelling is a choice of those.
type spelling struct {
	opset                                   int64
	norm, gelu, linear, mask, scale, shapes int
	axis                                    int64 // of Softmax
	kTwice                                  bool  // the key is transposed twice
	guard                                   bool  // NaN after Softmax becomes 0
}

// respeller writes one graph.
type respeller struct {
	spelling
	t     testing.TB
	g     *onnx.Graph // the fused one
	prod  map[string]*onnx.Node
	nodes []*onnx.Node
	masks map[string]string // of one graph, by kind
	count int
}

// respell writes m, whose parts package fuse recognises, in another way.
func (s spelling) respell(t testing.TB, m *onnx.Model) *onnx.Model {
	t.Helper()
	f, err := fuse.Fuse(m)
	if err != nil {
		t.Fatal(err)
	}
	out := f.Model.Clone()
	r := &respeller{spelling: s, t: t, g: out.Graph, prod: out.Graph.Producers(), masks: map[string]string{}}
	for _, n := range out.Graph.Nodes {
		switch {
		case n.Domain != fuse.Domain:
			r.nodes = append(r.nodes, r.convertAxes(n))
		case n.Op == fuse.OpLinear:
			r.linearNode(n)
		case n.Op == fuse.OpLayerNorm:
			r.layerNorm(n)
		case n.Op == fuse.OpAttention:
			r.attention(n)
		case n.Op == fuse.OpGelu:
			r.rename(r.geluOf(n.Inputs[0]), n.Outputs[0])
		default:
			t.Fatalf("modeltest: no spelling of %s", n.Op)
		}
	}
	out.Graph.Nodes, out.Graph.Values = r.nodes, nil
	out.Graph.Prune()
	out.Opsets, out.IRVersion = []onnx.Opset{{Version: s.opset}}, 8
	out.Producer = "pytorch"
	if s.opset > 17 {
		out.IRVersion = 9
	}
	if err := out.Check(); err != nil {
		t.Fatalf("modeltest: %v", err)
	}
	return out
}

// op adds a node with one output.
func (r *respeller) op(op string, in []string, attrs ...*onnx.Attribute) string {
	out := r.name(op)
	r.nodes = append(r.nodes, onnx.NewNode(op, "node "+out, in, []string{out}, attrs...))
	return out
}

// rename gives the value of the last node added its name in the fused graph.
func (r *respeller) rename(value, name string) {
	last := r.nodes[len(r.nodes)-1]
	if last.Outputs[0] != value {
		r.t.Fatalf("modeltest: %s is not the last value", value)
	}
	last.Outputs[0] = name
}

func (r *respeller) add(a, b string) string { return r.op("Add", []string{a, b}) }
func (r *respeller) mul(a, b string) string { return r.op("Mul", []string{a, b}) }
func (r *respeller) div(a, b string) string { return r.op("Div", []string{a, b}) }

func (r *respeller) float(v float64) string {
	t := onnx.NewFloats(r.name("float"), []float32{float32(v)})
	r.g.SetInitializer(t)
	return t.Name
}

func (r *respeller) ints(v ...int64) string {
	t := onnx.NewInt64s(r.name("ints"), v, int64(len(v)))
	r.g.SetInitializer(t)
	return t.Name
}

func (r *respeller) int(v int64) string {
	t := onnx.NewInt64s(r.name("int"), []int64{v})
	r.g.SetInitializer(t)
	return t.Name
}

func (r *respeller) unsqueeze(x string, axis int64) string {
	if r.opset < 13 {
		return r.op("Unsqueeze", []string{x}, onnx.IntsAttr("axes", axis))
	}
	return r.op("Unsqueeze", []string{x, r.ints(axis)})
}

func (r *respeller) mean(x string) string {
	if r.opset < 18 {
		return r.op("ReduceMean", []string{x}, onnx.IntsAttr("axes", -1))
	}
	return r.op("ReduceMean", []string{x, r.ints(-1)})
}

func (r *respeller) transpose(x string, perm ...int64) string {
	return r.op("Transpose", []string{x}, onnx.IntsAttr("perm", perm...))
}

// size is one dimension of x as a vector of one element.
func (r *respeller) size(x string, axis int64) string {
	return r.unsqueeze(r.op("Gather", []string{r.op("Shape", []string{x}), r.int(axis)}, onnx.IntAttr("axis", 0)), 0)
}

// reshape keeps batch and length of x, [B,S,…], and makes the rest last.
func (r *respeller) reshape(x string, last ...int64) string {
	shape := ""
	switch r.shapes {
	case zeros:
		shape = r.ints(append([]int64{0, 0}, last...)...)
	default:
		parts := []string{r.size(x, 0)}
		if r.shapes == batchChain {
			parts = append(parts, r.ints(-1))
		} else {
			parts = append(parts, r.size(x, 1))
		}
		for _, v := range last {
			parts = append(parts, r.ints(v))
		}
		shape = r.op("Concat", parts, onnx.IntAttr("axis", 0))
	}
	return r.op("Reshape", []string{x, shape})
}

func (r *respeller) layerNorm(n *onnx.Node) {
	x := n.Inputs[0]
	if len(n.Inputs) > 3 && n.Inputs[3] != "" {
		x = r.add(x, n.Inputs[3])
	}
	gamma, beta, eps := n.Inputs[1], n.Inputs[2], n.Float("eps", 0)
	if r.norm == normOp {
		r.rename(r.op("LayerNormalization", []string{x, gamma, beta}, onnx.IntAttr("axis", -1), onnx.FloatAttr("epsilon", eps)), n.Outputs[0])
		return
	}
	d := r.op("Sub", []string{x, r.mean(x)})
	square := ""
	if r.norm == normMul {
		square = r.mul(d, d)
	} else {
		square = r.op("Pow", []string{d, r.float(2)})
	}
	deviation := r.op("Sqrt", []string{r.add(r.mean(square), r.float(float64(eps)))})
	r.rename(r.add(r.mul(r.div(d, deviation), gamma), beta), n.Outputs[0])
}

func (r *respeller) geluOf(x string) string {
	if r.gelu == geluOp {
		return r.op("Gelu", []string{x})
	}
	half := ""
	if r.gelu == geluHalfFirst {
		half = r.mul(x, r.float(0.5))
	}
	one := r.add(r.op("Erf", []string{r.div(x, r.float(math.Sqrt2))}), r.float(1))
	if r.gelu == geluHalfFirst {
		return r.mul(half, one)
	}
	return r.mul(r.mul(x, one), r.float(0.5))
}

func (r *respeller) linearNode(n *onnx.Node) {
	x, w := n.Inputs[0], n.Inputs[1]
	bias := ""
	if len(n.Inputs) > 2 {
		bias = n.Inputs[2]
	}
	y := ""
	switch flip := n.Int("trans_b", 0); {
	case r.flat(x): // of the pooled token, a matrix
		y = r.op("Gemm", []string{x, w, bias}, onnx.FloatAttr("alpha", 1), onnx.FloatAttr("beta", 1), onnx.IntAttr("transB", flip))
	case r.linear == linearGemm && bias != "":
		dims := r.g.Initializer(w).Dims
		rows := r.op("Reshape", []string{x, r.ints(-1, dims[0])})
		y = r.reshapeLike(r.op("Gemm", []string{rows, w, bias}), x, dims[1])
	default:
		if r.linear == linearTransposed {
			w = r.transpose(r.flipped(w), 1, 0)
		}
		y = r.op("MatMul", []string{x, w})
		if bias != "" {
			y = r.add(bias, y)
		}
	}
	switch act := n.Str("act", ""); act {
	case fuse.ActNone:
	case fuse.ActGelu:
		y = r.geluOf(y)
	case fuse.ActTanh:
		y = r.op("Tanh", []string{y})
	default:
		r.t.Fatalf("modeltest: no spelling of activation %s", act)
	}
	r.rename(y, n.Outputs[0])
}

// flat reports whether x is one token of each text, [B,H], or made of it.
func (r *respeller) flat(x string) bool {
	for n := r.prod[x]; n != nil; n = r.prod[n.Inputs[0]] {
		if n.Op == "Gather" {
			return n.Int("axis", 0) == 1
		}
		if n.Op != fuse.OpLinear {
			return false
		}
	}
	return false
}

// reshapeLike gives rows the batch and length of x, and the width last.
func (r *respeller) reshapeLike(rows, x string, last int64) string {
	shape := r.op("Concat", []string{r.size(x, 0), r.size(x, 1), r.ints(last)}, onnx.IntAttr("axis", 0))
	return r.op("Reshape", []string{rows, shape})
}

// flipped is the transpose of a weight, as an initializer.
func (r *respeller) flipped(w string) string {
	t := r.g.Initializer(w)
	v, err := t.Floats()
	if err != nil {
		r.t.Fatal(err)
	}
	rows, cols := int(t.Dims[0]), int(t.Dims[1])
	out := make([]float32, len(v))
	for i := range rows {
		for j := range cols {
			out[j*rows+i] = v[i*cols+j]
		}
	}
	f := onnx.NewFloats(r.name("flipped"), out, t.Dims[1], t.Dims[0])
	r.g.SetInitializer(f)
	return f.Name
}

func (r *respeller) attention(n *onnx.Node) {
	q, k, v := n.Inputs[0], n.Inputs[1], n.Inputs[2]
	heads, scale := n.Int("heads", 1), float64(n.Float("scale", 1))
	width := r.g.Initializer(r.prod[q].Inputs[1]).Dims[1]
	head := width / heads
	split := func(x string) string { return r.reshape(x, heads, head) }
	q4 := r.transpose(split(q), 0, 2, 1, 3)
	if r.scale == scaleQuery {
		q4 = r.div(q4, r.float(1/scale))
	}
	kt := ""
	if r.kTwice {
		kt = r.transpose(r.transpose(split(k), 0, 2, 1, 3), 0, 1, 3, 2)
	} else {
		kt = r.transpose(split(k), 0, 2, 3, 1)
	}
	v4 := r.transpose(split(v), 0, 2, 1, 3)
	if r.scale == scaleBoth {
		last := r.op("Slice", []string{r.op("Shape", []string{q4}), r.ints(-1), r.ints(math.MaxInt64)})
		root := r.op("Sqrt", []string{r.op("Cast", []string{last}, onnx.IntAttr("to", int64(onnx.Float)))})
		both := r.op("Sqrt", []string{r.div(r.float(1), root)})
		q4, kt = r.mul(q4, both), r.mul(kt, both)
	}
	scores := r.op("MatMul", []string{q4, kt})
	if r.scale == scaleDiv {
		scores = r.div(scores, r.float(1/scale))
	}
	p := r.op("Softmax", []string{r.masked(scores, n)}, onnx.IntAttr("axis", r.axis))
	if r.guard {
		p = r.op("Where", []string{r.op("IsNaN", []string{p}), r.float(0), p})
	}
	context := r.transpose(r.op("MatMul", []string{p, v4}), 0, 2, 1, 3)
	r.rename(r.reshape(context, width), n.Outputs[0])
}

// masked adds the mask to the scores of an attention.
func (r *respeller) masked(scores string, n *onnx.Node) string {
	const mask = "attention_mask"
	lowest := float64(-math.MaxFloat32)
	four := func(x string) string { return r.unsqueeze(r.unsqueeze(x, 1), 2) }
	once := func(kind string, make func() string) string {
		if r.masks[kind] == "" {
			r.masks[kind] = make()
		}
		return r.masks[kind]
	}
	padded := func() string { return four(r.op("Equal", []string{mask, r.int(0)})) }
	switch r.mask {
	case maskWhere:
		return r.op("Where", []string{once("padded", padded), r.float(lowest), scores})
	case maskWhereExpanded:
		all := r.op("Expand", []string{once("padded", padded), r.op("Shape", []string{scores})})
		return r.op("Where", []string{all, r.float(lowest), scores})
	case maskInverted:
		return r.add(scores, once("inverted", func() string {
			length := r.size(mask, 1)
			shape := r.op("Concat", []string{r.size(mask, 0), r.ints(1), length, length}, onnx.IntAttr("axis", 0))
			wide := r.op("Cast", []string{r.op("Expand", []string{four(mask), shape})}, onnx.IntAttr("to", int64(onnx.Float)))
			inverted := r.op("Sub", []string{r.float(1), wide})
			return r.op("Where", []string{r.op("Cast", []string{inverted}, onnx.IntAttr("to", int64(onnx.Bool))), r.float(lowest), inverted})
		}))
	}
	return r.add(scores, n.Inputs[3])
}
