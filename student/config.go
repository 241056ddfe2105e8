package student

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/litekit/lite/onnx"
)

// Lite is the entry "lite" of config.json: what Hugging Face's keys cannot say.
type Lite struct {
	// Heads lists the kinds of the model's heads, the primary one first.
	Heads []Kind `json:"heads,omitempty"`
	// POSLabels and NERLabels are the classes of the tagging heads, primary or not.
	POSLabels []string `json:"pos_labels,omitempty"`
	NERLabels []string `json:"ner_labels,omitempty"`
	// Vector says how an embedding is made.
	Vector *Vector `json:"vector,omitempty"`
	// AttentionHeads and IntermediateSizes are the sizes of each layer, where
	// pruning has made them differ from num_attention_heads and intermediate_size.
	AttentionHeads    []int `json:"attention_heads,omitempty"`
	IntermediateSizes []int `json:"intermediate_sizes,omitempty"`
}

// ReadLite reads the entry "lite" of config.json; it is zero where there is none.
func ReadLite(c *onnx.Config) (Lite, error) {
	var l Lite
	if c == nil || c.Extra["lite"] == nil {
		return l, nil
	}
	if err := json.Unmarshal(c.Extra["lite"], &l); err != nil {
		return Lite{}, fmt.Errorf("student: the entry \"lite\" of config.json: %w", err)
	}
	return l, nil
}

// WriteLite sets the entry "lite" of c, keeping keys of the entry that [Lite]
// does not know; an empty entry is removed.
func WriteLite(c *onnx.Config, l Lite) error {
	entry := map[string]json.RawMessage{}
	if old := c.Extra["lite"]; old != nil {
		if err := json.Unmarshal(old, &entry); err != nil {
			return fmt.Errorf("student: the entry \"lite\" of config.json: %w", err)
		}
	}
	for _, key := range []string{"heads", "pos_labels", "ner_labels", "vector", "attention_heads", "intermediate_sizes"} {
		delete(entry, key)
	}
	raw, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &entry); err != nil {
		return err
	}
	c.Extra = maps.Clone(c.Extra)
	if c.Extra == nil {
		c.Extra = map[string]json.RawMessage{}
	}
	if len(entry) == 0 {
		delete(c.Extra, "lite")
		return nil
	}
	// encoding/json sorts the keys of a map.
	c.Extra["lite"], err = json.Marshal(entry)
	return err
}

// HeadsOf lists the heads that a model's config names, the primary one first:
// the entry "lite" where there is one, otherwise what the architecture says.
// Nil means a bare encoder, or a config that does not tell.
func HeadsOf(c *onnx.Config) ([]Head, error) {
	if c == nil {
		return nil, nil
	}
	l, err := ReadLite(c)
	if err != nil {
		return nil, err
	}
	var heads []Head
	for _, k := range l.Heads {
		h := Head{Kind: k}
		switch k {
		case KindClassification:
			h.Labels = slices.Clone(c.ID2Label)
		case KindPOS:
			h.Labels = l.POSLabels
		case KindNER:
			h.Labels = l.NERLabels
		case KindEmbedding:
			if l.Vector != nil {
				h.Vector = *l.Vector
			}
		}
		heads = append(heads, h)
	}
	if heads != nil {
		return heads, checkHeads(heads)
	}
	switch c.Task() {
	case onnx.SequenceClassification:
		if c.Regression() && len(c.ID2Label) <= 1 {
			return []Head{Regression()}, nil
		}
		return []Head{{Kind: KindClassification, Labels: slices.Clone(c.ID2Label)}}, nil
	case onnx.TokenClassification:
		return []Head{{Kind: KindNER, Labels: slices.Clone(c.ID2Label)}}, nil
	case onnx.MaskedLM:
		return []Head{MaskedLM()}, nil
	}
	return nil, nil
}

// NewConfig is the config.json of a model of that shape with those heads, the
// primary one first: model_type bert, or electra where the embeddings are
// factorised.
func NewConfig(s Shape, heads []Head) *onnx.Config {
	act := s.Act
	if act == "gelu_tanh" {
		act = "gelu_new"
	}
	kind, embedding := "bert", 0
	if s.factorised() {
		// Of Hugging Face's architectures it is ELECTRA whose layers are BERT's
		// and whose embeddings are factorised (ALBERT's layers share weights).
		kind, embedding = "electra", s.Embedding
	}
	c := &onnx.Config{
		ModelType: kind, EmbeddingSize: embedding, VocabSize: s.Vocab, HiddenSize: s.Hidden,
		NumHiddenLayers: s.Layers, NumAttentionHeads: s.Heads, IntermediateSize: s.FFN,
		MaxPositionEmbeddings: s.Positions, TypeVocabSize: s.Types,
		HiddenAct: act, LayerNormEps: widen(s.Eps),
		Extra: map[string]json.RawMessage{
			"attention_probs_dropout_prob": json.RawMessage("0.1"),
			"hidden_dropout_prob":          json.RawMessage("0.1"),
			"initializer_range":            json.RawMessage("0.02"),
			"position_embedding_type":      json.RawMessage(`"absolute"`),
		},
	}
	if s.Decoder == Untied {
		c.Extra["tie_word_embeddings"] = json.RawMessage("false")
	}
	// The entry was just made and holds nothing that could fail to parse.
	_ = setHeads(c, heads)
	return c
}

// widen is the float64 with the shortest decimal form that names v: 1e-12 stays 1e-12.
func widen(v float32) float64 {
	w, err := strconv.ParseFloat(strconv.FormatFloat(float64(v), 'g', -1, 32), 64)
	if err != nil {
		return float64(v)
	}
	return w
}

// setHeads writes architecture, labels and the entry "lite" for the heads.
func setHeads(c *onnx.Config, heads []Head) error {
	l, err := ReadLite(c)
	if err != nil {
		return err
	}
	c.ID2Label = nil
	delete(c.Extra, "label2id")
	delete(c.Extra, "num_labels")
	delete(c.Extra, "problem_type")
	l.Heads, l.POSLabels, l.NERLabels, l.Vector = nil, nil, nil, nil
	family := "Bert"
	if c.ModelType == "electra" {
		family = "Electra"
	}
	c.Architectures = []string{family + "Model"}
	for i, h := range heads {
		l.Heads = append(l.Heads, h.Kind)
		switch h.Kind {
		case KindPOS:
			l.POSLabels = h.Labels
		case KindNER:
			l.NERLabels = h.Labels
		case KindEmbedding:
			l.Vector = &h.Vector
		}
		if i == 0 {
			c.Architectures = []string{h.architecture(family)}
			c.ID2Label = slices.Clone(h.Labels)
		}
		if h.Kind == KindRegression {
			c.ID2Label = []string{"LABEL_0"}
			if c.Extra == nil {
				c.Extra = map[string]json.RawMessage{}
			}
			c.Extra["problem_type"] = json.RawMessage(`"regression"`)
		}
	}
	return WriteLite(c, l)
}
