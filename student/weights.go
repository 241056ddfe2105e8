package student

import (
	"fmt"
	"slices"
	"strings"

	"github.com/litekit/lite/onnx"
)

// Weights returns the parameters of any detected encoder under the names
// Hugging Face's BERT gives them (bert.encoder.layer.0.attention.self.query.weight,
// bert.pooler.dense.weight, cls.predictions.transform.dense.weight,
// classifier.weight …), whatever the exporter called them, and its shape.
//
// Weights of linear layers are [in,out]; embeddings [rows,E]. The projection behind
// factorised embeddings is bert.embeddings_project; tables that are projected before
// their LayerNorm are given multiplied by the projection, [rows,H], and the shape is
// that of an encoder with such tables. A tensor that is
// float32 and stored so already shares its bytes with m. A masked-LM decoder
// tied to the word embedding, or equal to it transposed, has no entry of its
// own; an untied one is cls.predictions.decoder.weight. An equal one counts as
// untied where tie_word_embeddings in config.json is false. Linear layers after
// the encoder get their role from their names and, where those say nothing,
// their sizes. Where layers differ in size the shape is that of the first.
//
// The error names what was missing where no encoder is found, or the weight
// that is not a float tensor.
func Weights(m *onnx.Model) (map[string]*onnx.Tensor, Shape, error) {
	a, err := dissect(m)
	if err != nil {
		return nil, Shape{}, err
	}
	out := make(map[string]*onnx.Tensor, len(a.slots))
	for _, s := range a.slots {
		t, err := a.tensor(s)
		if err != nil {
			return nil, Shape{}, err
		}
		out[s.name] = t
	}
	return out, a.shape(), nil
}

// tensor is a parameter under the name and in the layout of its role.
func (a *anatomy) tensor(s slot) (*onnx.Tensor, error) {
	_, projected := a.enc.Projected[s.init]
	if t := a.inits[s.init]; t.Type == onnx.Float && !s.transB && !projected {
		c := *t
		c.Name = s.name
		return &c, nil
	}
	v, dims, err := a.values(s)
	if err != nil {
		return nil, err
	}
	return onnx.NewFloats(s.name, v, dims...), nil
}

// Safetensors returns the parameters of an encoder as PyTorch names and stores
// them: Hugging Face names in lexical order, linear weights [out,in]. Written
// as model.safetensors beside config.json they load with from_pretrained; a
// decoder tied to the word embedding is left out, as save_pretrained does. Where
// the embeddings are factorised the names are those of ELECTRA, which has no
// classifier behind a pooler: that is an error, as is a masked-LM transform whose
// activation is not gelu.
func Safetensors(m *onnx.Model) ([]*onnx.Tensor, error) {
	a, err := dissect(m)
	if err != nil {
		return nil, err
	}
	if a.shape().factorised() {
		if err := a.asElectra(); err != nil {
			return nil, err
		}
	}
	out := make([]*onnx.Tensor, 0, len(a.slots))
	for _, s := range a.slots {
		if !matrix(s.name) {
			t, err := a.tensor(s)
			if err != nil {
				return nil, err
			}
			out = append(out, t)
			continue
		}
		t := a.inits[s.init]
		if s.transB && t.Type == onnx.Float {
			c := *t
			c.Name = s.name
			out = append(out, &c)
			continue
		}
		v, dims, err := a.values(s)
		if err != nil {
			return nil, err
		}
		if len(dims) != 2 {
			return nil, fmt.Errorf("student: %s (%s): a linear weight of dimensions %v; two are needed", s.init, s.name, dims)
		}
		out = append(out, onnx.NewFloats(s.name, transpose(v, int(dims[0]), int(dims[1])), dims[1], dims[0]))
	}
	slices.SortFunc(out, func(x, y *onnx.Tensor) int { return strings.Compare(x.Name, y.Name) })
	return out, nil
}

// electra are the names that ELECTRA's parameters have in Hugging Face's library,
// by the beginnings of ours.
var electra = []struct{ ours, theirs string }{
	{decoderName, "generator_lm_head.weight"}, {decoderBias, "generator_lm_head.bias"},
	{transformFC + ".", "generator_predictions.dense."}, {transformLN + ".", "generator_predictions.LayerNorm."},
	{"bert.", "electra."},
}

// asElectra renames the roles.
func (a *anatomy) asElectra() error {
	act, err := canonicalAct(a.shape().Act)
	for i, s := range a.slots {
		switch {
		case strings.HasPrefix(s.name, poolerName):
			return fmt.Errorf("student: a pooler over factorised embeddings (%v) has no place in a safetensors file: of Hugging Face's models ELECTRA is the one with such embeddings, and it has none", a.shape())
		case strings.HasPrefix(s.name, transformFC) && (err != nil || act != "gelu"):
			return fmt.Errorf("student: factorised embeddings (%v) have no place in a safetensors file under a masked LM: ELECTRA's there has the activation gelu", a.shape())
		}
		for _, n := range electra {
			if rest, ok := strings.CutPrefix(s.name, n.ours); ok {
				a.slots[i].name = n.theirs + rest
				break
			}
		}
	}
	return nil
}

// matrix reports whether a role is the weight of a linear layer.
func matrix(name string) bool {
	return strings.HasSuffix(name, ".weight") && !strings.Contains(name, "LayerNorm") && !strings.HasSuffix(name, "_embeddings.weight")
}

// Measure returns the shape of any detected encoder, as [Weights] does, also
// where its weights are not float tensors: a quantized model has a shape too.
// Where no encoder is found the shape is what config.json says, and an error
// if that does not say all of it.
func Measure(m *onnx.Model) (Shape, error) {
	a, err := dissect(m)
	if err == nil {
		return a.shape(), nil
	}
	s := ShapeOf(m.Config)
	if s.Layers == 0 || s.Hidden == 0 || s.Heads == 0 || s.FFN == 0 || s.Vocab == 0 {
		return Shape{}, err
	}
	if l, err := ReadLite(m.Config); err == nil { // pruning may have left all layers with fewer
		fillSame(&s.Heads, l.AttentionHeads)
		fillSame(&s.FFN, l.IntermediateSizes)
	}
	return s, nil
}

// fillSame sets a size to that of all layers, where they have one.
func fillSame(p *int, sizes []int) {
	if len(sizes) > 0 && slices.Min(sizes) == slices.Max(sizes) {
		*p = sizes[0]
	}
}
