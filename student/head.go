package student

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is what a head predicts.
type Kind string

// The kinds of heads; the values are those of the "lite" entry in config.json.
const (
	KindClassification Kind = "classification"
	KindMaskedLM       Kind = "mlm"
	KindPOS            Kind = "pos"
	KindNER            Kind = "ner"
	KindSentenceOrder  Kind = "sop"
	KindNextSentence   Kind = "nsp"
	KindRegression     Kind = "regression"
	KindEmbedding      Kind = "embedding"
)

// Head is an output layer over the encoder. The first head of a model is its
// primary one.
type Head struct {
	Kind Kind `json:"kind" yaml:"kind"`
	// Labels names the classes of classification, POS and NER heads; index = class.
	Labels []string `json:"labels,omitempty" yaml:"labels,omitempty"`
	// Vector says how an embedding is made.
	Vector Vector `json:"vector,omitzero" yaml:"vector,omitempty"`
}

// Vector says how the last hidden states of a text become one vector.
type Vector struct {
	// Pooling is "mean", of all tokens that are not padding, or "cls", the first
	// one; "" is mean.
	Pooling string `json:"pooling,omitempty" yaml:"pooling,omitempty"`
	// Width, if not 0, is that of a linear layer after the pooling, so that a
	// narrow encoder gives the vectors of a wide one.
	Width int `json:"width,omitempty" yaml:"width,omitempty"`
	// Normalize divides the vector by its length.
	Normalize bool `json:"normalize,omitempty" yaml:"normalize,omitempty"`
}

// Classification is a sentence classifier over the pooled [CLS]: logits [B,C].
func Classification(labels []string) Head {
	return Head{Kind: KindClassification, Labels: slices.Clone(labels)}
}

// MaskedLM predicts tokens at every position, [B,S,V], through the transform
// LN(act(W h + b)), of width E, and the transposed word embedding or a matrix of
// its own (see [Shape.Decoder]).
func MaskedLM() Head { return Head{Kind: KindMaskedLM} }

// POS predicts a part-of-speech tag for every token, [B,S,C].
func POS(tags []string) Head { return Head{Kind: KindPOS, Labels: slices.Clone(tags)} }

// NER predicts an entity tag for every token, [B,S,C].
func NER(tags []string) Head { return Head{Kind: KindNER, Labels: slices.Clone(tags)} }

// SentenceOrder tells two segments in order (0) from swapped ones (1), [B,2],
// from the pooled [CLS] (ALBERT, Lan et al. 2020).
func SentenceOrder() Head { return Head{Kind: KindSentenceOrder} }

// NextSentence tells a second segment that follows the first (0) from one of
// another document (1), [B,2], from the pooled [CLS] (BERT, Devlin et al. 2019).
// Its layer is called as that of [SentenceOrder], so a model has one of them.
func NextSentence() Head { return Head{Kind: KindNextSentence} }

// Regression predicts one score from the pooled [CLS]: logits [B,1].
func Regression() Head { return Head{Kind: KindRegression} }

// Embedding is the pooled vector of a text, [B,H] or [B,Width]. The model also
// has the output last_hidden_state, and the files from which
// sentence-transformers knows the pooling, unless there is a linear layer after
// it, which those cannot name.
func Embedding(v Vector) Head { return Head{Kind: KindEmbedding, Vector: v} }

// Output is the name of the head's graph output: logits for the primary head,
// otherwise mlm_logits, pos_logits, ner_logits, sop_logits or nsp_logits;
// sentence_embedding for an embedding.
func (h Head) Output(primary bool) string {
	if h.Kind == KindEmbedding {
		return vectorOutput
	}
	if primary {
		return "logits"
	}
	return string(h.Kind) + "_logits"
}

// vectorOutput is the output of an embedding.
const vectorOutput = "sentence_embedding"

// classes is the size of the head's last dimension; the masked LM's is V.
func (h Head) classes() int {
	if h.Kind == KindRegression {
		return 1
	}
	if h.segments() {
		return 2
	}
	return len(h.Labels)
}

// pooled reports whether the head reads the pooled [CLS].
func (h Head) pooled() bool {
	return h.Kind == KindClassification || h.Kind == KindRegression || h.segments()
}

// segments reports whether the head tells how two segments belong together.
func (h Head) segments() bool { return h.Kind == KindSentenceOrder || h.Kind == KindNextSentence }

// token reports whether the head labels tokens.
func (h Head) token() bool { return h.Kind == KindPOS || h.Kind == KindNER }

// param is the Hugging Face name of the head's linear layer. A primary
// token-labelling head is BertForTokenClassification's classifier.
func (h Head) param(primary bool) string {
	switch h.Kind {
	case KindClassification, KindRegression:
		return "classifier"
	case KindSentenceOrder, KindNextSentence:
		return "cls.seq_relationship"
	case KindPOS, KindNER:
		if primary {
			return "classifier"
		}
		return "cls." + string(h.Kind)
	}
	return "cls.predictions"
}

// architecture is the Hugging Face class that a model with this primary head loads
// as; family is Bert or Electra.
func (h Head) architecture(family string) string {
	switch h.Kind {
	case KindClassification, KindRegression:
		return family + "ForSequenceClassification"
	case KindPOS, KindNER:
		return family + "ForTokenClassification"
	case KindMaskedLM:
		return family + "ForMaskedLM"
	case KindSentenceOrder, KindNextSentence:
		if family == "Bert" { // ELECTRA has no such class
			return "BertForNextSentencePrediction"
		}
	}
	return family + "Model"
}

// transformed reports whether any head reads the masked-LM transform.
func transformed(heads []Head) bool {
	for i, h := range heads {
		if h.Kind == KindMaskedLM || h.token() && i > 0 {
			return true
		}
	}
	return false
}

func checkHeads(heads []Head) error {
	seen := map[Kind]bool{}
	for i, h := range heads {
		if seen[h.Kind] {
			return fmt.Errorf("student: two %s heads; give each kind once", h.Kind)
		}
		seen[h.Kind] = true
		if seen[KindSentenceOrder] && seen[KindNextSentence] {
			return fmt.Errorf("student: a sop and an nsp head have the same layer (cls.seq_relationship); give one of them")
		}
		if h.Kind != KindEmbedding && h.Vector != (Vector{}) {
			return fmt.Errorf("student: the %s head is no vector, and pooling is given for it", h.Kind)
		}
		switch h.Kind {
		case KindRegression, KindEmbedding:
			if i > 0 {
				return fmt.Errorf("student: the %s head must come first: it is the primary output", h.Kind)
			}
			if v := h.Vector; v.Width < 0 || v.Pooling != "" && v.Pooling != "mean" && v.Pooling != "cls" {
				return fmt.Errorf("student: a vector of %d numbers pooled by %q; pooling is mean or cls, and the width not negative", v.Width, v.Pooling)
			}
			if len(h.Labels) > 0 {
				return fmt.Errorf("student: the %s head takes no labels, %d given", h.Kind, len(h.Labels))
			}
			continue
		case KindMaskedLM, KindSentenceOrder, KindNextSentence:
			if len(h.Labels) > 0 {
				return fmt.Errorf("student: the %s head takes no labels, %d given", h.Kind, len(h.Labels))
			}
			continue
		case KindClassification:
			if i > 0 {
				return fmt.Errorf("student: the classification head must come first: it is the primary output (logits)")
			}
		case KindPOS, KindNER:
		default:
			return fmt.Errorf("student: unknown head %q; the heads are classification, regression, embedding, mlm, pos, ner, sop, nsp", h.Kind)
		}
		if err := checkLabels(h); err != nil {
			return err
		}
	}
	return nil
}

func checkLabels(h Head) error {
	if len(h.Labels) == 0 {
		return fmt.Errorf("student: the %s head has no labels; name its classes", h.Kind)
	}
	seen := map[string]int{}
	for i, l := range h.Labels {
		if strings.TrimSpace(l) == "" {
			return fmt.Errorf("student: label %d of the %s head is empty", i, h.Kind)
		}
		if j, ok := seen[l]; ok {
			return fmt.Errorf("student: labels %d and %d of the %s head are both %q", j, i, h.Kind, l)
		}
		seen[l] = i
	}
	return nil
}
