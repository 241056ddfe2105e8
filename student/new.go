package student

import (
	"fmt"
	"math"

	"github.com/litekit/lite/onnx"
)

// Names of parameters, as Hugging Face's BertModel calls them.
const (
	wordName     = "bert.embeddings.word_embeddings.weight"
	positionName = "bert.embeddings.position_embeddings.weight"
	typeName     = "bert.embeddings.token_type_embeddings.weight"
	embedNorm    = "bert.embeddings.LayerNorm"
	projectName  = "bert.embeddings_project" // as ELECTRA calls it
	poolerName   = "bert.pooler.dense"
	transformFC  = "cls.predictions.transform.dense"
	transformLN  = "cls.predictions.transform.LayerNorm"
	decoderName  = "cls.predictions.decoder.weight" // where it is not tied
	decoderBias  = "cls.predictions.bias"
)

// maskValue is added to the attention scores of padding. It is finite, so a
// row that is padding throughout gives a uniform distribution, not NaN.
const maskValue = -10000

func layerName(i int) string { return fmt.Sprintf("bert.encoder.layer.%d", i) }

// New returns an encoder with fresh weights: embeddings and matrices from a
// normal distribution truncated at 2σ, drawn from (seed, parameter name), σ =
// 0.02 for embeddings and an untied decoder and 0.02·√(768/H), at least 0.02, for
// matrices (BERT's σ at BERT's width; E in place of H for the projection behind
// factorised embeddings); biases 0, LayerNorm gains 1.
//
// The graph (opset 17, IR 8) has the inputs input_ids, attention_mask and
// token_type_ids, int64 [batch, sequence], and one float output per head, in
// the order of heads (see [Head.Output]). A pooler is present where a head
// reads it. Without heads the output is last_hidden_state [B,S,H]. Zero
// fields of shape take [Shape.Defaults].
//
// config.json is written with it: model_type bert (electra for factorised
// embeddings, see [NewConfig]), the architecture of the primary head, its labels
// as id2label, and the entry "lite" with the heads and their labels.
//
// Errors: an impossible shape or weights above 16 GiB (see [Shape.Validate]),
// a head given twice or without labels, a classification head that is not first.
func New(shape Shape, heads []Head, seed uint64) (*onnx.Model, error) {
	shape = shape.Defaults()
	if err := shape.Validate(); err != nil {
		return nil, err
	}
	if err := checkHeads(heads); err != nil {
		return nil, err
	}
	shape.Act, _ = canonicalAct(shape.Act)
	b := &builder{g: &onnx.Graph{Name: "main_graph"}, seed: seed, hidden: shape.Hidden, opset: 17}
	for _, in := range []string{"input_ids", "attention_mask", "token_type_ids"} {
		b.g.Inputs = append(b.g.Inputs, inputInfo(in))
	}
	mask := b.mask()
	x := b.embeddings(shape)
	for i := range shape.Layers {
		x = b.layer(layerName(i), x, mask, shape)
	}
	b.heads(heads, x, shape, wordName)
	return &onnx.Model{
		IRVersion: 8, Producer: "lite", Opsets: []onnx.Opset{{Version: 17}},
		Graph: b.g, Config: NewConfig(shape, heads), Files: poolingFiles(heads, shape.Hidden),
	}, nil
}

// mask appends (1 − attention_mask)·−10000 as [B,1,1,S].
func (b *builder) mask() string {
	y := b.node("Unsqueeze", "/bert/Unsqueeze", []string{"attention_mask", b.ints("/bert/Constant", 1)})
	y = b.node("Unsqueeze", "/bert/Unsqueeze_1", []string{y, b.ints("/bert/Constant_1", 2)})
	y = b.node("Cast", "/bert/Cast", []string{y}, onnx.IntAttr("to", int64(onnx.Float)))
	y = b.node("Sub", "/bert/Sub", []string{b.scalar("/bert/Constant_2", 1), y})
	return b.node("Mul", "/bert/Mul", []string{y, b.scalar("/bert/Constant_3", maskValue)})
}

// embeddings appends LN(word[input_ids] + type[token_type_ids] + position[0…S)),
// [B,S,E], and the projection to [B,S,H] where E is not H.
func (b *builder) embeddings(s Shape) string {
	const p = "/bert/embeddings"
	positions := make([]int64, s.Positions)
	for i := range positions {
		positions[i] = int64(i)
	}
	all := b.constant(p+"/position_ids", onnx.NewInt64s("", positions, 1, int64(s.Positions)))
	n := b.node("Shape", p+"/Shape", []string{"input_ids"})
	n = b.node("Gather", p+"/Gather", []string{n, b.constant(p+"/Constant", onnx.NewInt64s("", []int64{1}))}, onnx.IntAttr("axis", 0))
	n = b.node("Unsqueeze", p+"/Unsqueeze", []string{n, b.ints(p+"/Constant_1", 0)})
	ids := b.node("Slice", p+"/Slice", []string{all, b.ints(p+"/Constant_2", 0), n, b.ints(p+"/Constant_3", 1), b.ints(p+"/Constant_4", 1)})

	e := s.EmbeddingWidth()
	table := func(name string, rows int) string { return b.matrix(name, initializerRange, rows, e) }
	word := b.node("Gather", p+"/word_embeddings/Gather", []string{table(wordName, s.Vocab), "input_ids"})
	types := b.node("Gather", p+"/token_type_embeddings/Gather", []string{table(typeName, s.Types), "token_type_ids"})
	x := b.node("Add", p+"/Add", []string{word, types})
	position := b.node("Gather", p+"/position_embeddings/Gather", []string{table(positionName, s.Positions), ids})
	x = b.node("Add", p+"/Add_1", []string{x, position})
	x = b.layerNorm(embedNorm, x, e, s.Eps)
	if s.factorised() {
		x = b.linearOf(projectName, x, matrixRange(e), e, s.Hidden, "")
	}
	return x
}

// layer appends one post-LN encoder layer: x [B,S,H] → [B,S,H].
func (b *builder) layer(name, x, mask string, s Shape) string {
	context := b.attention(name+".attention.self", x, mask, s)
	y := b.linear(name+".attention.output.dense", context, s.Hidden, s.Hidden, "")
	y = b.node("Add", path(name)+"/attention/output/Add", []string{y, x})
	x = b.layerNorm(name+".attention.output.LayerNorm", y, s.Hidden, s.Eps)

	y = b.linear(name+".intermediate.dense", x, s.Hidden, s.FFN, "")
	y = b.activation(s.Act, path(name)+"/intermediate", y)
	y = b.linear(name+".output.dense", y, s.FFN, s.Hidden, "")
	y = b.node("Add", path(name)+"/output/Add", []string{y, x})
	return b.layerNorm(name+".output.LayerNorm", y, s.Hidden, s.Eps)
}

// attention appends softmax(QKᵀ/√d + mask)·V with the heads merged again:
// [B,S,H] → [B,S,A·d]. The shapes that hold A, d and A·d are constants of this
// layer alone, so that a layer can lose heads without touching another.
func (b *builder) attention(name, x, mask string, s Shape) string {
	p, d := path(name), s.Hidden/s.Heads
	q := b.linear(name+".query", x, s.Hidden, s.Hidden, "")
	k := b.linear(name+".key", x, s.Hidden, s.Hidden, "")
	v := b.linear(name+".value", x, s.Hidden, s.Hidden, "")
	split := func(i, value string, perm ...int64) string {
		shape := b.ints(p+"/Constant"+i, 0, 0, int64(s.Heads), int64(d))
		y := b.node("Reshape", p+"/Reshape"+i, []string{value, shape})
		return b.node("Transpose", p+"/Transpose"+i, []string{y}, onnx.IntsAttr("perm", perm...))
	}
	kt := split("", k, 0, 2, 3, 1)
	vt := split("_1", v, 0, 2, 1, 3)
	qt := split("_2", q, 0, 2, 1, 3)
	y := b.node("MatMul", p+"/MatMul", []string{qt, kt})
	y = b.node("Div", p+"/Div", []string{y, b.scalar(p+"/Constant_3", float32(math.Sqrt(float64(d))))})
	y = b.node("Add", p+"/Add", []string{y, mask})
	y = b.node("Softmax", p+"/Softmax", []string{y}, onnx.IntAttr("axis", -1))
	y = b.node("MatMul", p+"/MatMul_1", []string{y, vt})
	y = b.node("Transpose", p+"/Transpose_3", []string{y}, onnx.IntsAttr("perm", 0, 2, 1, 3))
	return b.node("Reshape", p+"/Reshape_3", []string{y, b.ints(p+"/Constant_4", 0, 0, int64(s.Hidden))})
}

// heads appends the heads over hidden [B,S,H] and declares the outputs. word
// is the initializer [V,E] that a masked-LM decoder is tied to.
func (b *builder) heads(heads []Head, hidden string, s Shape, word string) {
	if len(heads) == 0 {
		b.nodeTo("last_hidden_state", "Identity", "/bert/Identity", []string{hidden})
		b.output("last_hidden_state", "batch", "sequence", s.Hidden)
		return
	}
	pooled, transform, e := "", "", s.EmbeddingWidth()
	for _, h := range heads {
		if h.pooled() && pooled == "" {
			y := b.node("Gather", "/bert/pooler/Gather", []string{hidden, b.constant("/bert/pooler/Constant", onnx.NewInt64s("", []int64{0}))}, onnx.IntAttr("axis", 1))
			pooled = b.node("Tanh", "/bert/pooler/Tanh", []string{b.linear(poolerName, y, s.Hidden, s.Hidden, "")})
		}
	}
	if transformed(heads) {
		y := b.linear(transformFC, hidden, s.Hidden, e, "")
		y = b.activation(s.Act, "/cls/predictions/transform", y)
		transform = b.layerNorm(transformLN, y, e, s.Eps)
	}
	for i, h := range heads {
		name := h.Output(i == 0)
		switch {
		case h.Kind == KindEmbedding:
			b.vectorHead(h.Vector, hidden, s)
		case h.Kind == KindMaskedLM:
			w := ""
			if s.Decoder == Untied {
				w = b.matrix(decoderName, initializerRange, e, s.Vocab)
			} else {
				w = b.node("Transpose", "/cls/predictions/decoder/Transpose", []string{word}, onnx.IntsAttr("perm", 1, 0))
			}
			y := b.node("MatMul", "/cls/predictions/decoder/MatMul", []string{transform, w})
			b.nodeTo(name, "Add", "/cls/predictions/decoder/Add", []string{b.vector(decoderBias, 0, s.Vocab), y})
			b.output(name, "batch", "sequence", s.Vocab)
		case h.pooled():
			b.linear(h.param(i == 0), pooled, s.Hidden, h.classes(), name)
			b.output(name, "batch", h.classes())
		case i == 0:
			b.linear(h.param(true), hidden, s.Hidden, h.classes(), name)
			b.output(name, "batch", "sequence", h.classes())
		default:
			b.linearOf(h.param(false), transform, matrixRange(e), e, h.classes(), name)
			b.output(name, "batch", "sequence", h.classes())
		}
	}
}

func (b *builder) output(name string, dims ...any) {
	b.g.Outputs = append(b.g.Outputs, valueInfo(name, onnx.Float, dims...))
}
