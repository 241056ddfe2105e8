package distill

import (
	"errors"
	"fmt"
	"slices"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// heads says which output of a model is which head's.
type heads struct {
	kind    student.Kind // of the primary head
	primary string
	list    []student.Head
	output  map[student.Kind]string
	rows    []string // outputs per token
	width   int      // of the primary output, 0 where it is not declared
}

// vectorOutput is the output of a model that pools in its graph.
const vectorOutput = "sentence_embedding"

// perToken tells heads whose output is [B,S,·] from those whose output is [B,·].
func perToken(k student.Kind) bool {
	return k == student.KindMaskedLM || k == student.KindPOS || k == student.KindNER
}

// readHeads lists the heads of a model.
func readHeads(m *onnx.Model) (*heads, error) {
	if m == nil || m.Graph == nil {
		return nil, errors.New("distill: there is no model, or it has no graph")
	}
	list, err := student.HeadsOf(m.Config)
	if err != nil {
		return nil, fmt.Errorf("distill: %w", err)
	}
	if len(list) == 0 && IsEmbedding(m) && m.Graph.IsOutput(vectorOutput) {
		list = []student.Head{student.Embedding(student.Vector{})} // pooled in the graph
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("distill: what the model predicts is not known; its config.json needs \"architectures\" (…ForSequenceClassification, …ForTokenClassification or …ForMaskedLM)")
	}
	h := &heads{kind: list[0].Kind, list: list, output: map[student.Kind]string{}}
	for i, head := range list {
		name := head.Output(i == 0)
		if i == 0 && !m.Graph.IsOutput(name) && len(m.Graph.Outputs) > 0 {
			name = m.Graph.Outputs[0].Name
		}
		if !m.Graph.IsOutput(name) {
			return nil, fmt.Errorf("distill: config.json names a %s head, but the graph has no output %q", head.Kind, name)
		}
		if i == 0 {
			h.primary = name
			h.width = lastDim(m, name)
		}
		h.output[head.Kind] = name
		if perToken(head.Kind) {
			h.rows = append(h.rows, name)
		}
	}
	return h, nil
}

// lastDim is the declared size of an output's last dimension, 0 where there is none.
func lastDim(m *onnx.Model, output string) int {
	for _, o := range m.Graph.Outputs {
		if n := len(o.Dims); o.Name == output && o.HasShape && n > 0 && o.Dims[n-1].Known {
			return int(o.Dims[n-1].Size)
		}
	}
	return 0
}

// withHeads returns m with the heads that the losses read, fresh where it lacks them.
func (c *Config) withHeads(m *onnx.Model) (*onnx.Model, error) {
	h, err := readHeads(m)
	if err != nil {
		return nil, err
	}
	list, err := c.auxiliary(h.list)
	if err != nil || len(list) == len(h.list) {
		return m, err
	}
	out, err := student.WithHeads(m, list, c.Seed)
	if err != nil {
		return nil, fmt.Errorf("distill: adding the heads that the losses need: %w", err)
	}
	return out, nil
}

// auxiliary appends to list the heads that the losses need and it lacks.
func (c *Config) auxiliary(list []student.Head) ([]student.Head, error) {
	list = slices.Clone(list)
	has := func(k student.Kind) bool {
		return slices.ContainsFunc(list, func(h student.Head) bool { return h.Kind == k })
	}
	for _, t := range c.Loss.of(Masked) {
		switch t.Loss.(type) {
		case Denoise:
			if !has(student.KindMaskedLM) {
				list = append(list, student.MaskedLM())
			}
		case POS:
			if !has(student.KindPOS) {
				list = append(list, student.POS(c.posTags()))
			}
		case NER:
			if has(student.KindNER) {
				break
			}
			tags, err := c.nerTags()
			if err != nil {
				return nil, err
			}
			list = append(list, student.NER(tags))
		case SOP:
			if !has(student.KindSentenceOrder) {
				list = append(list, student.SentenceOrder())
			}
		case NSP:
			if !has(student.KindNextSentence) {
				list = append(list, student.NextSentence())
			}
		}
	}
	return list, nil
}

func (c *Config) posTags() []string {
	if c.POSTags != nil {
		return c.POSTags
	}
	return corpus.UPOS()
}

func (c *Config) nerTags() ([]string, error) {
	if c.NERTags != nil {
		return c.NERTags, nil
	}
	tags, err := corpus.NERTags(c.text())
	if err != nil {
		return nil, fmt.Errorf("distill: %w", err)
	}
	if len(tags) == 0 {
		return nil, unfit("the loss ner needs entities, but the text has none; annotate it first, or leave the loss out")
	}
	return tags, nil
}

// labels returns the tag set of a head, or other where the model has no such head.
func (h *heads) labels(k student.Kind, other []string) []string {
	for _, head := range h.list {
		if head.Kind == k {
			return head.Labels
		}
	}
	return other
}
