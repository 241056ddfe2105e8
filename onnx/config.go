package onnx

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Config is the config.json of a model directory as Hugging Face writes it:
// the fields that are used here, and every other key as it was.
//
// A field that is zero is written only if the key was there. DistilBERT's names
// (dim, n_layers, n_heads, hidden_dim, activation) are read into the same
// fields and written back under their own names.
type Config struct {
	ModelType             string
	Architectures         []string
	VocabSize             int
	HiddenSize            int
	EmbeddingSize         int // E of factorised embeddings (ALBERT, ELECTRA); 0 where the file says none
	NumHiddenLayers       int
	NumAttentionHeads     int
	IntermediateSize      int
	MaxPositionEmbeddings int
	TypeVocabSize         int
	PadTokenID            int
	HiddenAct             string
	LayerNormEps          float64
	// ID2Label names the classes; the index is the id.
	ID2Label []string
	// Extra holds the other keys as they stand in the file.
	Extra map[string]json.RawMessage
}

// Task is what the output of a model means.
type Task string

// The tasks. [Config.Task] tells the first three apart; the graph is asked for
// Regression and Embedding by teacher.TaskOf.
const (
	SequenceClassification Task = "sequence-classification"
	TokenClassification    Task = "token-classification"
	MaskedLM               Task = "masked-lm"
	// Regression is a sequence classifier of one output, a score.
	Regression Task = "regression"
	// Embedding is a model without a head: hidden states, or one vector of them.
	Embedding Task = "embedding"
	Unknown   Task = "unknown"
)

// Task tells the task from the name of the architecture.
func (c *Config) Task() Task {
	if c == nil {
		return Unknown
	}
	for _, a := range c.Architectures {
		switch {
		case strings.HasSuffix(a, "ForSequenceClassification"):
			return SequenceClassification
		case strings.HasSuffix(a, "ForTokenClassification"):
			return TokenClassification
		case strings.HasSuffix(a, "ForMaskedLM"), strings.HasSuffix(a, "ForPreTraining"):
			return MaskedLM
		}
	}
	return Unknown
}

// Regression tells whether a sequence classifier's outputs are scores:
// problem_type says so, or there is one output only.
func (c *Config) Regression() bool {
	if c.Task() != SequenceClassification {
		return false
	}
	var kind string
	if json.Unmarshal(c.Extra["problem_type"], &kind) == nil && kind != "" {
		return kind == "regression"
	}
	return len(c.ID2Label) == 1
}

// OwnDecoder tells whether the masked-LM decoder is a matrix of its own:
// tie_word_embeddings is there and false.
func (c *Config) OwnDecoder() bool {
	if c == nil {
		return false
	}
	tie := true
	return json.Unmarshal(c.Extra["tie_word_embeddings"], &tie) == nil && !tie
}

// Clone returns a copy that can be changed, nil for nil.
func (c *Config) Clone() *Config {
	if c == nil {
		return nil
	}
	out := *c
	out.Architectures = slices.Clone(c.Architectures)
	out.ID2Label = slices.Clone(c.ID2Label)
	out.Extra = make(map[string]json.RawMessage, len(c.Extra))
	for k, v := range c.Extra {
		out.Extra[k] = slices.Clone(v)
	}
	return &out
}

// maxLabels bounds the ids in id2label.
const maxLabels = 1 << 20

// configField ties a key, and DistilBERT's name for it, to a field.
type configField struct {
	key, alias string
	field      any // *string, *int or *float64
}

func (c *Config) fields() []configField {
	return []configField{
		{"model_type", "", &c.ModelType},
		{"vocab_size", "", &c.VocabSize},
		{"hidden_size", "dim", &c.HiddenSize},
		{"embedding_size", "", &c.EmbeddingSize},
		{"num_hidden_layers", "n_layers", &c.NumHiddenLayers},
		{"num_attention_heads", "n_heads", &c.NumAttentionHeads},
		{"intermediate_size", "hidden_dim", &c.IntermediateSize},
		{"max_position_embeddings", "", &c.MaxPositionEmbeddings},
		{"type_vocab_size", "", &c.TypeVocabSize},
		{"pad_token_id", "", &c.PadTokenID},
		{"hidden_act", "activation", &c.HiddenAct},
		{"layer_norm_eps", "", &c.LayerNormEps},
	}
}

// UnmarshalJSON reads config.json. A value of an unexpected kind stays in Extra.
func (c *Config) UnmarshalJSON(data []byte) error {
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), &all); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) {
			return fmt.Errorf("onnx: config.json: a JSON %s where an object {…} is expected; repair or remove the file", kind.Value)
		}
		return fmt.Errorf("onnx: config.json: %w", err)
	}
	*c = Config{Extra: all}
	for _, f := range c.fields() {
		switch {
		case take(all[f.key], f.field):
			delete(all, f.key)
		case f.alias != "":
			// Kept in Extra: it marks the name to write.
			take(all[f.alias], f.field)
		}
	}
	if json.Unmarshal(all["architectures"], &c.Architectures) == nil && len(c.Architectures) > 0 {
		delete(all, "architectures")
	} else {
		c.Architectures = nil
	}
	labels, err := readLabels(all)
	if err != nil {
		return err
	}
	c.ID2Label = labels
	if labels != nil {
		delete(all, "id2label")
		delete(all, "label2id")
	}
	return nil
}

// take reads raw into field and reports whether it found a value there that is
// not zero. Zero stays in Extra, which keeps a key that was there apart from one that was not.
func take(raw json.RawMessage, field any) bool {
	switch p := field.(type) {
	case *string:
		return json.Unmarshal(raw, p) == nil && *p != ""
	case *float64:
		return json.Unmarshal(raw, p) == nil && *p != 0
	case *int:
		var v float64 // some tools write 768.0
		if json.Unmarshal(raw, &v) != nil || v != math.Trunc(v) || math.Abs(v) > 1<<52 {
			return false
		}
		*p = int(v)
		return v != 0
	}
	return false
}

// readLabels finds the class names in id2label, else in label2id, else in num_labels.
func readLabels(all map[string]json.RawMessage) ([]string, error) {
	byID := map[int]string{}
	var names map[string]string
	var ids map[string]float64
	var list []string
	if json.Unmarshal(all["id2label"], &names) == nil && len(names) > 0 {
		for _, k := range slices.Sorted(maps.Keys(names)) { // "1" and "01" are one id: the same one must count each time
			id, err := strconv.Atoi(k)
			if err != nil {
				return nil, fmt.Errorf("onnx: config.json: id2label: key %q is not a number; write ids as \"0\", \"1\", …", k)
			}
			byID[id] = names[k]
		}
	} else if json.Unmarshal(all["id2label"], &list) == nil && len(list) > 0 {
		return list, nil
	} else if json.Unmarshal(all["label2id"], &ids) == nil && len(ids) > 0 {
		for _, k := range slices.Sorted(maps.Keys(ids)) {
			byID[int(ids[k])] = k
		}
	} else {
		var n int
		if !take(all["num_labels"], &n) {
			return nil, nil
		}
		byID[n-1] = fmt.Sprintf("LABEL_%d", n-1)
	}
	most := 0
	for id := range byID {
		if id < 0 || id >= maxLabels {
			return nil, fmt.Errorf("onnx: config.json: label id %d is outside 0 … %d", id, maxLabels-1)
		}
		most = max(most, id)
	}
	labels := make([]string, most+1)
	for id := range labels {
		labels[id] = fmt.Sprintf("LABEL_%d", id)
		if name, ok := byID[id]; ok {
			labels[id] = name
		}
	}
	return labels, nil
}

// MarshalJSON writes config.json: keys sorted, two spaces, a newline at the end
// when written by [Model.Save].
func (c *Config) MarshalJSON() ([]byte, error) {
	all := maps.Clone(c.Extra)
	if all == nil {
		all = map[string]json.RawMessage{}
	}
	for _, f := range c.fields() {
		raw, err := put(f.field)
		if err != nil {
			return nil, fmt.Errorf("onnx: config.json: %s: %w", f.key, err)
		}
		if raw == nil {
			continue
		}
		if _, ok := all[f.alias]; ok && f.alias != "" {
			all[f.alias] = raw
			continue
		}
		all[f.key] = raw
	}
	if len(c.Architectures) > 0 {
		all["architectures"], _ = plainJSON(c.Architectures)
	}
	if n := len(c.ID2Label); n > 0 {
		if err := putLabels(all, c.ID2Label); err != nil {
			return nil, err
		}
		if _, ok := all["num_labels"]; ok {
			all["num_labels"] = strconv.AppendInt(nil, int64(n), 10)
		}
	}
	return plainJSON(all)
}

// put encodes a field that is not zero.
func put(field any) (json.RawMessage, error) {
	switch p := field.(type) {
	case *string:
		if *p != "" {
			return plainJSON(*p)
		}
	case *int:
		if *p != 0 {
			return plainJSON(*p)
		}
	case *float64:
		if *p != 0 {
			return plainJSON(*p)
		}
	}
	return nil, nil
}

// putLabels writes id2label in the order of the ids, and label2id, where the
// first id of a name counts.
func putLabels(all map[string]json.RawMessage, labels []string) error {
	var id2label bytes.Buffer
	ids := map[string]int{}
	for i, l := range labels {
		name, err := plainJSON(l)
		if err != nil {
			return fmt.Errorf("onnx: config.json: label %d: %w", i, err)
		}
		sep := ","
		if i == 0 {
			sep = "{"
		}
		fmt.Fprintf(&id2label, "%s\"%d\":%s", sep, i, name)
		if _, ok := ids[l]; !ok {
			ids[l] = i
		}
	}
	id2label.WriteByte('}')
	all["id2label"] = id2label.Bytes()
	var err error
	all["label2id"], err = plainJSON(ids)
	return err
}

// plainJSON encodes without escaping <, > and &.
func plainJSON(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// encode is config.json as a file.
func (c *Config) encode() ([]byte, error) {
	raw, err := c.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return nil, fmt.Errorf("onnx: config.json: %w", err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}
