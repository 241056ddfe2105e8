package student

import (
	"encoding/json"
	"math"

	"github.com/litekit/lite/onnx"
)

// vectorDense is the linear layer after the pooling of an embedding.
const vectorDense = "sentence_dense"

// vectorHead appends the pooled vector of hidden states [B,S,H] (Reimers and
// Gurevych, arXiv 1908.10084, section 3) and declares it, and the hidden states,
// as outputs. The mean is Σ mask·h / Σ mask, written as a quotient of two means
// over all positions, which every operator set has in the same form.
func (b *builder) vectorHead(v Vector, hidden string, s Shape) {
	const p = "/sentence"
	var x string
	if v.Pooling == "cls" {
		x = b.node("Gather", p+"/Gather", []string{hidden, b.constant(p+"/Constant", onnx.NewInt64s("", []int64{0}))}, onnx.IntAttr("axis", 1))
	} else {
		mask := b.node("Cast", p+"/Cast", []string{"attention_mask"}, onnx.IntAttr("to", int64(onnx.Float)))
		if b.opset < 13 {
			mask = b.node("Unsqueeze", p+"/Unsqueeze", []string{mask}, onnx.IntsAttr("axes", 2))
		} else {
			mask = b.node("Unsqueeze", p+"/Unsqueeze", []string{mask, b.ints(p+"/Constant", 2)})
		}
		x = b.node("Mul", p+"/Mul", []string{hidden, mask})
		mean := []*onnx.Attribute{onnx.IntsAttr("axes", 1), onnx.IntAttr("keepdims", 0)}
		x = b.node("ReduceMean", p+"/ReduceMean", []string{x}, mean...)
		n := b.node("ReduceMean", p+"/ReduceMean_1", []string{mask}, mean...)
		n = b.node("Max", p+"/Max", []string{n, b.scalar(p+"/Constant_1", 1e-9)})
		x = b.node("Div", p+"/Div", []string{x, n})
	}
	width := s.Hidden
	if v.Width > 0 {
		width = v.Width
		x = b.linear(vectorDense, x, s.Hidden, width, "")
	}
	if v.Normalize {
		square := b.node("Mul", p+"/Mul_1", []string{x, x})
		mean := b.node("ReduceMean", p+"/ReduceMean_2", []string{square}, onnx.IntsAttr("axes", -1), onnx.IntAttr("keepdims", 1))
		mean = b.node("Add", p+"/Add", []string{mean, b.scalar(p+"/Constant_2", 1e-24)})
		length := b.node("Sqrt", p+"/Sqrt", []string{mean})
		length = b.node("Mul", p+"/Mul_2", []string{length, b.scalar(p+"/Constant_3", float32(math.Sqrt(float64(width))))})
		x = b.node("Div", p+"/Div_1", []string{x, length})
	}
	b.nodeTo(vectorOutput, "Identity", p+"/Identity", []string{x})
	b.output(vectorOutput, "batch", width)
	b.nodeTo("last_hidden_state", "Identity", p+"/Identity_1", []string{hidden})
	b.output("last_hidden_state", "batch", "sequence", s.Hidden)
}

// poolingFiles are the files by which sentence-transformers knows the pooling of
// an embedding; none for other heads, and where a linear layer follows.
func poolingFiles(heads []Head, hidden int) map[string][]byte {
	files := map[string][]byte{}
	if len(heads) == 0 || heads[0].Kind != KindEmbedding || heads[0].Vector.Width > 0 {
		return files
	}
	v := heads[0].Vector
	type module struct {
		Index int    `json:"idx"`
		Name  string `json:"name"`
		Path  string `json:"path"`
		Type  string `json:"type"`
	}
	modules := []module{
		{0, "0", "", "sentence_transformers.models.Transformer"},
		{1, "1", "1_Pooling", "sentence_transformers.models.Pooling"},
	}
	if v.Normalize {
		modules = append(modules, module{2, "2", "2_Normalize", "sentence_transformers.models.Normalize"})
	}
	// Plain values do not fail to encode.
	files[onnx.ModulesFile], _ = json.MarshalIndent(modules, "", "  ")
	files[onnx.PoolingFile], _ = json.MarshalIndent(struct {
		Width int  `json:"word_embedding_dimension"`
		CLS   bool `json:"pooling_mode_cls_token"`
		Mean  bool `json:"pooling_mode_mean_tokens"`
		Max   bool `json:"pooling_mode_max_tokens"`
		Sqrt  bool `json:"pooling_mode_mean_sqrt_len_tokens"`
	}{hidden, v.Pooling == "cls", v.Pooling != "cls", false, false}, "", "  ")
	return files
}
