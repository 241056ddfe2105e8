package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// document is a tokenizer.json: whatever a tokenizer is made from becomes one
// first, and it is what is written.
type document struct {
	truncation, padding                   json.RawMessage
	added                                 []AddedToken
	normalizer, preTokenizer, post, decod json.RawMessage
	model                                 modelSpec
}

// Kinds of models.
const (
	kindWordPiece = "WordPiece"
	kindBPE       = "BPE"
	kindUnigram   = "Unigram"
	kindWordLevel = "WordLevel"
)

// modelSpec is the part "model".
type modelSpec struct {
	kind     string
	tokens   []string  // by id; "" is a gap
	scores   []float64 // Unigram
	merges   [][2]string
	unk      string // "" none
	unkID    int    // Unigram; −1 none
	prefix   string
	suffix   string
	maxChars int
	fuseUnk  bool
	fallback bool
	ignore   bool
}

// maxVocab bounds ids read from files, so that a broken file cannot ask for
// gigabytes.
const maxVocab = 1 << 22

// readDocument reads tokenizer.json.
func readDocument(data []byte) (*document, error) {
	var j struct {
		Truncation, Padding json.RawMessage
		Added               []AddedToken    `json:"added_tokens"`
		Normalizer          json.RawMessage `json:"normalizer"`
		PreTokenizer        json.RawMessage `json:"pre_tokenizer"`
		Post                json.RawMessage `json:"post_processor"`
		Decoder             json.RawMessage `json:"decoder"`
		Model               json.RawMessage `json:"model"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(data, []byte("\ufeff")), &j); err != nil {
		return nil, fmt.Errorf("tokenizer: tokenizer.json: %w; download the file again", err)
	}
	d := &document{
		truncation: j.Truncation, padding: j.Padding, added: j.Added,
		normalizer: j.Normalizer, preTokenizer: j.PreTokenizer, post: j.Post, decod: j.Decoder,
	}
	if len(j.Model) == 0 {
		return nil, fmt.Errorf(`tokenizer: tokenizer.json: there is no "model"; download the file again`)
	}
	return d, d.model.read(j.Model)
}

// modelJSON has the members of all models.
type modelJSON struct {
	Type     string            `json:"type"`
	Vocab    json.RawMessage   `json:"vocab"`
	Merges   []json.RawMessage `json:"merges"`
	Unk      *string           `json:"unk_token"`
	UnkID    *int              `json:"unk_id"`
	Prefix   *string           `json:"continuing_subword_prefix"`
	Suffix   *string           `json:"end_of_word_suffix"`
	MaxChars *int              `json:"max_input_chars_per_word"`
	FuseUnk  bool              `json:"fuse_unk"`
	Fallback bool              `json:"byte_fallback"`
	Ignore   bool              `json:"ignore_merges"`
}

// read reads the model of tokenizer.json.
func (m *modelSpec) read(raw json.RawMessage) error {
	var j modelJSON
	if err := decode(raw, "model", &j); err != nil {
		return err
	}
	list := bytes.HasPrefix(bytes.TrimSpace(j.Vocab), []byte("["))
	if m.kind = j.Type; m.kind == "" { // files of the first versions
		switch {
		case j.Merges != nil:
			m.kind = kindBPE
		case list:
			m.kind = kindUnigram
		default:
			m.kind = kindWordPiece
		}
	}
	m.unkID, m.maxChars = -1, 100
	m.fuseUnk, m.fallback, m.ignore = j.FuseUnk, j.Fallback, j.Ignore
	if j.Unk != nil {
		m.unk = *j.Unk
	}
	if j.Suffix != nil {
		m.suffix = *j.Suffix
	}
	switch m.kind {
	case kindWordPiece:
		m.prefix = "##"
		if m.unk == "" {
			m.unk = "[UNK]"
		}
		if j.MaxChars != nil {
			m.maxChars = *j.MaxChars
		}
	case kindUnigram:
		if j.UnkID != nil {
			m.unkID = *j.UnkID
		}
		return m.readPieces(j.Vocab)
	case kindWordLevel, kindBPE:
	default:
		return unsupported("model", "model", m.kind)
	}
	if j.Prefix != nil {
		m.prefix = *j.Prefix
	}
	if err := m.readVocab(j.Vocab); err != nil {
		return err
	}
	return m.readMerges(j.Merges)
}

// readVocab reads {"token": id, …}.
func (m *modelSpec) readVocab(raw json.RawMessage) error {
	ids := map[string]int64{}
	if err := decode(raw, "model.vocab", &ids); err != nil {
		return fmt.Errorf("%w; a %s vocabulary is an object of token: id", err, m.kind)
	}
	for _, s := range slices.Sorted(maps.Keys(ids)) {
		id := ids[s]
		if id < 0 || id >= maxVocab {
			return fmt.Errorf("tokenizer: tokenizer.json: token %q has id %d; ids must be from 0 to %d", s, id, maxVocab-1)
		}
		if n := int(id) + 1 - len(m.tokens); n > 0 {
			m.tokens = append(m.tokens, make([]string, n)...)
		}
		if old := m.tokens[id]; old != "" {
			return fmt.Errorf("tokenizer: tokenizer.json: tokens %q and %q have the same id %d", old, s, id)
		}
		m.tokens[id] = s
	}
	return nil
}

// readPieces reads [["token", score], …].
func (m *modelSpec) readPieces(raw json.RawMessage) error {
	var pieces [][2]json.RawMessage
	if err := decode(raw, "model.vocab", &pieces); err != nil {
		return fmt.Errorf(`%w; a Unigram vocabulary is a list of ["token", score]`, err)
	}
	if len(pieces) > maxVocab {
		return fmt.Errorf("tokenizer: tokenizer.json: %d vocabulary entries; at most %d are supported", len(pieces), maxVocab)
	}
	m.tokens, m.scores = make([]string, len(pieces)), make([]float64, len(pieces))
	for i, p := range pieces {
		if err := decode(p[0], fmt.Sprintf("model.vocab[%d]", i), &m.tokens[i]); err != nil {
			return err
		}
		if err := decode(p[1], fmt.Sprintf("model.vocab[%d]", i), &m.scores[i]); err != nil {
			return err
		}
	}
	return nil
}

// readMerges reads ["a b", …] or [["a", "b"], …].
func (m *modelSpec) readMerges(raw []json.RawMessage) error {
	m.merges = make([][2]string, len(raw))
	for i, r := range raw {
		if bytes.HasPrefix(bytes.TrimSpace(r), []byte("[")) {
			var pair []string
			if err := decode(r, fmt.Sprintf("model.merges[%d]", i), &pair); err != nil {
				return err
			}
			if len(pair) != 2 {
				return fmt.Errorf("tokenizer: tokenizer.json: model.merges[%d]: %d tokens where a pair is expected", i, len(pair))
			}
			m.merges[i] = [2]string(pair)
			continue
		}
		var s string
		if err := decode(r, fmt.Sprintf("model.merges[%d]", i), &s); err != nil {
			return err
		}
		a, b, ok := strings.Cut(s, " ")
		if !ok || strings.Contains(b, " ") {
			return fmt.Errorf("tokenizer: tokenizer.json: model.merges[%d]: %q is not two tokens with a space between", i, s)
		}
		m.merges[i] = [2]string{a, b}
	}
	return nil
}
