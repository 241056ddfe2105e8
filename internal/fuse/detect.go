package fuse

import (
	"fmt"
	"slices"
	"strings"

	"github.com/litekit/lite/onnx"
)

// Encoder is the architecture of a transformer encoder with normalisation after
// each residual sum (BERT, RoBERTa, DistilBERT and their kin), in terms of the
// initializers and nodes of the model it was read from. Where a name of an
// initializer is asked for and the model holds the constant in a Constant node,
// it is the name of that node's output.
type Encoder struct {
	Word, Position, Type string // embedding tables; Position and Type may be ""
	// Projected are the linear layers between tables and the LayerNorm of their
	// sum, by table; nil where there are none. Tables may have one in common.
	Projected     map[string]Linear
	EmbeddingNorm Norm
	Embeddings    string  // value after the embedding LayerNorm, [B,S,·]
	Projection    *Linear // between the LayerNorm of the embeddings and the first layer (ALBERT), nil if none
	Layers        []Layer
	Pooler        *Linear  // dense with tanh on the first token, nil if none
	Head          []Linear // linears after the encoder but the pooler, in order
}

// Layer is one encoder layer.
type Layer struct {
	Query, Key, Value, Output, Up, Down Linear
	Heads, HeadDim                      int
	// SplitShapes and MergeShapes are the elements of shapes that must be right
	// when the number of heads changes: see [ShapeRef].
	SplitShapes, MergeShapes []ShapeRef
	AttentionNorm, FFNNorm   Norm
	Input                    string // value the layer reads, [B,S,H]
	Attention                string // context value, [B,S,A·d]
	Hidden                   string // output value of the layer, [B,S,H]
}

// Linear is a linear layer. MatMul is the node of the product (MatMul, Gemm, or
// MatMulInteger where Quantized), Add the node that adds the bias, nil where there
// is none or the Gemm holds it.
type Linear struct {
	Weight, Bias string // Bias may be ""
	TransB       bool   // Weight is [Out,In], not [In,Out]
	In, Out      int
	MatMul, Add  *onnx.Node
	Act          string // activation joined to it, see ActGelu
	X, Y         string // values read and computed, Y after the activation
	Rows         bool   // the product is of rows, between two Reshapes that may name In and Out
	Quantized    bool   // Weight is 8-bit; Scale and Zero belong to it
	Scale, Zero  string
}

// Norm is a layer normalisation; Y is the value it computes.
type Norm struct {
	Gamma, Beta string
	Eps         float32
	Y           string
}

// NoEncoderError says why a model is not an encoder that [Detect] can describe.
type NoEncoderError struct {
	Missing string   // what was looked for and not found
	Found   []string // what was found, e.g. "4 attentions"
}

func (e *NoEncoderError) Error() string {
	return fmt.Sprintf("fuse: no encoder recognised: %s (found: %s); a BERT-like encoder with LayerNorm after each residual sum is needed",
		e.Missing, strings.Join(e.Found, ", "))
}

// Detect reads the architecture of an encoder off the graph's structure; names play
// no part. The nodes in the result are those of m. The error is a [*NoEncoderError]
// where the graph is not such an encoder.
func Detect(m *onnx.Model) (*Encoder, error) {
	f, err := Fuse(m)
	if err != nil {
		return nil, err
	}
	d := newDetector(m, f)
	e := &Encoder{}
	for _, n := range f.Model.Graph.Nodes {
		if !isLite(n, OpAttention) {
			continue
		}
		l, err := d.layer(n)
		if err != nil {
			return nil, err
		}
		if k := len(e.Layers); k > 0 && e.Layers[k-1].Hidden != l.Input {
			return nil, d.missing("the attention at node %s reads %q, not the output %q of the layer before it", n.Label(), l.Input, e.Layers[k-1].Hidden)
		}
		e.Layers = append(e.Layers, *l)
	}
	if len(e.Layers) == 0 {
		return nil, d.missing("there is no attention of the form softmax(Q·Kᵀ·scale + mask)·V with heads split by Reshape and Transpose")
	}
	if err := d.embeddings(e); err != nil {
		return nil, err
	}
	d.head(e)
	return e, nil
}

// detector holds the fused graph with its indexes.
type detector struct {
	orig  *onnx.Model
	f     *Fused
	prod  map[string]*onnx.Node
	cons  map[string][]*onnx.Node
	inits map[string]*onnx.Tensor
	// of the original model
	origProd map[string]*onnx.Node
	origCons map[string][]*onnx.Node
	origInit map[string]*onnx.Tensor
}

func newDetector(m *onnx.Model, f *Fused) *detector {
	return &detector{
		orig: m, f: f,
		prod: f.Model.Graph.Producers(), cons: f.Model.Graph.Consumers(), inits: f.Model.Graph.InitializerMap(),
		origProd: m.Graph.Producers(), origCons: m.Graph.Consumers(), origInit: m.Graph.InitializerMap(),
	}
}

func (d *detector) missing(format string, args ...any) error {
	count := map[string]int{}
	for _, n := range d.f.Model.Graph.Nodes {
		if n.Domain == Domain {
			count[n.Op]++
		}
		if is(n, "Softmax") {
			count["unrecognised Softmax"]++
		}
	}
	var found []string
	for _, op := range []string{OpLinear, OpQLinear, OpLayerNorm, OpAttention, OpGelu, "unrecognised Softmax"} {
		if count[op] > 0 || op == OpAttention {
			found = append(found, fmt.Sprintf("%d %s", count[op], op))
		}
	}
	missing := fmt.Sprintf(format, args...)
	if half(d.f.Model.Graph) {
		missing = "the graph computes in float16; export it in float32 (" + missing + ")"
	}
	return &NoEncoderError{Missing: missing, Found: found}
}

// linear describes the Linear or QLinear that computes v, or is nil.
func (d *detector) linear(v string) *Linear {
	n := d.prod[v]
	if !isLite(n, OpLinear, OpQLinear) {
		return nil
	}
	w := d.inits[n.Inputs[1]]
	l := &Linear{
		Weight: n.Inputs[1], Bias: input(n, biasInput(n)), TransB: n.Int("trans_b", 0) == 1,
		In: int(w.Dims[0]), Out: int(w.Dims[1]),
		MatMul: d.f.parts[n].matmul, Add: d.f.parts[n].add, Rows: d.f.parts[n].rows,
		Act: n.Str("act", ""), X: n.Inputs[0], Y: n.Outputs[0],
	}
	if l.TransB {
		l.In, l.Out = l.Out, l.In
	}
	if n.Op == OpQLinear {
		l.Quantized, l.Scale, l.Zero = true, n.Inputs[2], n.Inputs[3]
	}
	return l
}

// reader returns the only linear layer that reads v, or nil; other readers of v are
// no linear layers.
func (d *detector) reader(v string) *Linear {
	var found *Linear
	for _, c := range d.cons[v] {
		if isLite(c, OpLinear, OpQLinear) && c.Inputs[0] == v {
			if found != nil {
				return nil
			}
			found = d.linear(c.Outputs[0])
		}
	}
	return found
}

// norm describes the LayerNorm of a + b, fused with the sum or not; b = "" stands
// for a LayerNorm of a alone.
func (d *detector) norm(a, b string) *Norm {
	for _, c := range d.cons[a] {
		sum := c
		if is(c, "Add") && other(c, a) == b && b != "" {
			for _, n := range d.cons[c.Outputs[0]] {
				if isLite(n, OpLayerNorm) && n.Inputs[0] == c.Outputs[0] && input(n, 3) == "" {
					return normOf(n)
				}
			}
		}
		if isLite(sum, OpLayerNorm) && (sum.Inputs[0] == a && input(sum, 3) == b || sum.Inputs[0] == b && input(sum, 3) == a) {
			return normOf(sum)
		}
	}
	return nil
}

func normOf(n *onnx.Node) *Norm {
	return &Norm{Gamma: n.Inputs[1], Beta: n.Inputs[2], Eps: n.Float("eps", 0), Y: n.Outputs[0]}
}

// layer follows one attention through its layer.
func (d *detector) layer(att *onnx.Node) (*Layer, error) {
	l := &Layer{Heads: int(att.Int("heads", 0)), Attention: d.unguarded(att.Outputs[0])}
	for i, dst := range []*Linear{&l.Query, &l.Key, &l.Value} {
		lin := d.linear(att.Inputs[i])
		if lin == nil {
			return nil, d.missing("the %s of the attention at node %s is not computed by a linear layer", []string{"query", "key", "value"}[i], att.Label())
		}
		*dst = *lin
	}
	l.HeadDim = l.Query.Out / l.Heads
	l.Input = l.Query.X
	if l.Key.X != l.Input || l.Value.X != l.Input {
		return nil, d.missing("query, key and value of the attention at node %s read %q, %q and %q, not one value", att.Label(), l.Query.X, l.Key.X, l.Value.X)
	}
	out := d.reader(l.Attention)
	if out == nil {
		return nil, d.missing("no linear layer reads the attention at node %s", att.Label())
	}
	n := d.norm(out.Y, l.Input)
	if n == nil {
		return nil, d.missing("no LayerNorm reads the sum of the output %q of the attention at node %s and the layer's input %q", out.Y, att.Label(), l.Input)
	}
	l.Output, l.AttentionNorm = *out, *n
	if err := d.feedForward(l, att); err != nil {
		return nil, err
	}
	l.SplitShapes, l.MergeShapes = d.shapeRefs(att, int64(l.Heads), int64(l.HeadDim))
	return l, nil
}

func (d *detector) feedForward(l *Layer, att *onnx.Node) error {
	up := d.reader(l.AttentionNorm.Y)
	if up == nil {
		return d.missing("no single linear layer reads the normalised attention %q", l.AttentionNorm.Y)
	}
	y := up.Y
	for up.Act == ActNone { // an activation that is not joined
		next := d.onlyUnary(y)
		if next == nil {
			break
		}
		y = next.Outputs[0]
	}
	down := d.reader(y)
	if down == nil {
		return d.missing("no single linear layer reads the activation %q", y)
	}
	n := d.norm(down.Y, l.AttentionNorm.Y)
	if n == nil {
		return d.missing("no LayerNorm reads the sum of the feed-forward output %q and its input %q, in the layer of node %s", down.Y, l.AttentionNorm.Y, att.Label())
	}
	l.Up, l.Down, l.FFNNorm, l.Hidden = *up, *down, *n, n.Y
	return nil
}

// onlyUnary returns the elementwise function of one operand that reads v, or nil.
func (d *detector) onlyUnary(v string) *onnx.Node {
	for _, c := range d.cons[v] {
		if isLite(c, OpGelu) || is(c, "Relu", "Tanh", "Sigmoid", "LeakyRelu", "Elu", "HardSwish", "Softplus", "Cast") || isMS(c, "QuickGelu") {
			return c
		}
	}
	return nil
}

// unguarded follows the replacement of NaN by 0 behind an attention.
func (d *detector) unguarded(v string) string {
	for _, c := range d.cons[v] {
		if is(c, "Where") && c.Inputs[2] == v && is(d.prod[c.Inputs[0]], "IsNaN") {
			return c.Outputs[0]
		}
	}
	return v
}

// head collects the linear layers that depend on the last hidden value.
func (d *detector) head(e *Encoder) {
	reached := map[string]bool{e.Layers[len(e.Layers)-1].Hidden: true}
	for _, n := range d.f.Model.Graph.Nodes {
		if !slices.ContainsFunc(n.Inputs, func(v string) bool { return reached[v] }) {
			continue
		}
		for _, o := range n.Outputs {
			reached[o] = o != ""
		}
		l := d.linear(n.Outputs[0])
		switch {
		case l == nil:
		case e.Pooler == nil && l.Act == ActTanh && l.In == l.Out && d.firstToken(l.X, e.Layers[len(e.Layers)-1].Hidden):
			e.Pooler = l
		default:
			e.Head = append(e.Head, *l)
		}
	}
}

// firstToken reports whether v is one position of hidden, [B,H].
func (d *detector) firstToken(v, hidden string) bool {
	for range 4 {
		n := d.prod[v]
		switch {
		case is(n, "Gather") && n.Inputs[0] == hidden && n.Int("axis", 0) == 1, is(n, "Slice") && n.Inputs[0] == hidden:
			return true
		case is(n, "Squeeze", "Reshape", "Flatten", "Gather", "Slice", "Cast"):
			v = n.Inputs[0]
		default:
			return false
		}
	}
	return false
}
