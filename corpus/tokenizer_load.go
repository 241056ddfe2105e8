package corpus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// tokenizerFiles are the files of a model directory that describe a tokenizer.
var tokenizerFiles = []string{"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"}

// OpenTokenizer loads the tokenizer of a model directory.
func OpenTokenizer(dir string) (*Tokenizer, error) {
	files := map[string][]byte{}
	for _, name := range tokenizerFiles {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("corpus: tokenizer: %w", err)
		}
		files[name] = data
	}
	t, err := LoadTokenizer(files)
	if err != nil {
		return nil, fmt.Errorf("%w (directory %s)", err, dir)
	}
	return t, nil
}

// LoadTokenizer builds a tokenizer from the files of a model directory, by
// name. tokenizer.json decides where present; else vocab.txt with
// tokenizer_config.json. A directory with vocab.txt alone is taken to be
// lower-casing (as BertTokenizer does) unless more than a twentieth of its
// entries with letters have a capital one, as cased vocabularies do.
func LoadTokenizer(files map[string][]byte) (*Tokenizer, error) {
	var cfg tokenizerConfig
	if data, ok := files["tokenizer_config.json"]; ok {
		if err := json.Unmarshal(data, &cfg); err != nil {
			return nil, fmt.Errorf("corpus: tokenizer_config.json: %w; correct or delete the file", err)
		}
	}
	var d definition
	var err error
	switch {
	case files["tokenizer.json"] != nil:
		d, err = fromJSON(files["tokenizer.json"], cfg)
	case files["vocab.txt"] != nil:
		d, err = fromVocab(files["vocab.txt"], cfg)
	default:
		err = fmt.Errorf("corpus: tokenizer: neither tokenizer.json nor vocab.txt among %q; copy one of them beside the model", slices.Sorted(maps.Keys(files)))
	}
	if err != nil {
		return nil, err
	}
	d.maxLen = cfg.maxLength()
	t, err := build(d)
	if err != nil {
		return nil, err
	}
	t.files = map[string][]byte{}
	for _, name := range tokenizerFiles {
		if data, ok := files[name]; ok {
			t.files[name] = slices.Clone(data)
		}
	}
	return t, nil
}

// tokenizerConfig is the part of tokenizer_config.json that matters here.
type tokenizerConfig struct {
	DoLowerCase    *bool                       `json:"do_lower_case"`
	StripAccents   *bool                       `json:"strip_accents"`
	ChineseChars   *bool                       `json:"tokenize_chinese_chars"`
	ModelMaxLength json.Number                 `json:"model_max_length"`
	Added          map[string]addedTokenConfig `json:"added_tokens_decoder"`
	PadToken       tokenName                   `json:"pad_token"`
	UnkToken       tokenName                   `json:"unk_token"`
	ClsToken       tokenName                   `json:"cls_token"`
	SepToken       tokenName                   `json:"sep_token"`
	MaskToken      tokenName                   `json:"mask_token"`
}

type addedTokenConfig struct {
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

// tokenName is "[PAD]" or {"content": "[PAD]", …}.
type tokenName string

func (n *tokenName) UnmarshalJSON(data []byte) error {
	var o struct {
		Content string `json:"content"`
	}
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		err := json.Unmarshal(data, &o)
		*n = tokenName(o.Content)
		return err
	}
	var s *string
	err := json.Unmarshal(data, &s)
	if s != nil {
		*n = tokenName(*s)
	}
	return err
}

func (c tokenizerConfig) names() map[string]string {
	m := map[string]string{}
	for role, s := range map[string]tokenName{
		"pad_token": c.PadToken, "unk_token": c.UnkToken, "cls_token": c.ClsToken, "sep_token": c.SepToken, "mask_token": c.MaskToken,
	} {
		if s != "" {
			m[role] = string(s)
		}
	}
	return m
}

// maxLength ignores the 1e30 that stands for "no limit".
func (c tokenizerConfig) maxLength() int {
	f, err := c.ModelMaxLength.Float64()
	if err != nil || f < 1 || f > 1e9 {
		return 0
	}
	return int(f)
}

// fromVocab reads vocab.txt: one token per line, line number = id.
func fromVocab(data []byte, cfg tokenizerConfig) (definition, error) {
	text := strings.TrimPrefix(string(data), "\ufeff")
	if err := checkText("vocab.txt", []byte(text)); err != nil {
		return definition{}, err
	}
	lines := strings.Split(strings.TrimSuffix(strings.ReplaceAll(text, "\r\n", "\n"), "\n"), "\n")
	if len(lines) > maxVocab {
		return definition{}, fmt.Errorf("corpus: vocab.txt: %d lines; at most %d are supported", len(lines), maxVocab)
	}
	d := definition{vocab: lines, prefix: "##", maxChars: 100, names: cfg.names()}
	d.unk = d.name("unk_token")
	lower := !casedVocab(lines)
	if cfg.DoLowerCase != nil {
		lower = *cfg.DoLowerCase
	}
	d.norm = normalizer{clean: true, chinese: true, strip: lower, lower: lower}
	if cfg.StripAccents != nil {
		d.norm.strip = *cfg.StripAccents
	}
	if cfg.ChineseChars != nil {
		d.norm.chinese = *cfg.ChineseChars
	}
	ids := make(map[string]int32, len(lines))
	for i, s := range lines {
		ids[s] = int32(i)
	}
	seen := map[int32]bool{}
	for _, key := range slices.Sorted(maps.Keys(cfg.Added)) {
		var id int32
		if _, err := fmt.Sscanf(key, "%d", &id); err != nil {
			return d, fmt.Errorf("corpus: tokenizer_config.json: added_tokens_decoder has key %q; keys are token ids", key)
		}
		a := cfg.Added[key]
		d.added = append(d.added, addedToken{a.Content, id, a.SingleWord, a.LStrip, a.RStrip, a.Normalized, a.Special})
		seen[id] = true
	}
	for _, role := range slices.Sorted(maps.Keys(roleDefaults)) {
		if id, ok := ids[d.name(role)]; ok && !seen[id] {
			d.added = append(d.added, addedToken{Content: d.name(role), ID: id, Special: true})
			seen[id] = true
		}
	}
	slices.SortStableFunc(d.added, func(a, b addedToken) int { return int(a.ID) - int(b.ID) })
	d.template(ids)
	return d, nil
}

// casedVocab tells a cased vocabulary from a lower-cased one by its entries.
func casedVocab(vocab []string) bool {
	letters, upper := 0, 0
	for _, s := range vocab {
		if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") || strings.HasPrefix(s, "<") && strings.HasSuffix(s, ">") {
			continue // [unused1], <S>
		}
		cased := strings.ContainsFunc(s, func(r rune) bool { return unicode.IsUpper(r) || unicode.IsLower(r) })
		if cased {
			letters++
			if strings.ContainsFunc(s, unicode.IsUpper) {
				upper++
			}
		}
	}
	return upper*20 > letters
}

// tokenizerJSON is Hugging Face's tokenizer.json.
type tokenizerJSON struct {
	Added []addedToken    `json:"added_tokens"`
	Norm  json.RawMessage `json:"normalizer"`
	Pre   json.RawMessage `json:"pre_tokenizer"`
	Post  json.RawMessage `json:"post_processor"`
	Model struct {
		Type     string          `json:"type"`
		Vocab    json.RawMessage `json:"vocab"`
		Merges   json.RawMessage `json:"merges"`
		Unk      json.RawMessage `json:"unk_token"`
		Prefix   *string         `json:"continuing_subword_prefix"`
		MaxChars *int            `json:"max_input_chars_per_word"`
	} `json:"model"`
}

func fromJSON(data []byte, cfg tokenizerConfig) (definition, error) {
	d := definition{unk: "[UNK]", prefix: "##", maxChars: 100, names: cfg.names()}
	var j tokenizerJSON
	if err := json.Unmarshal(bytes.TrimPrefix(data, []byte("\ufeff")), &j); err != nil {
		return d, fmt.Errorf("corpus: tokenizer.json: %w; download the file again", err)
	}
	if kind := j.Model.Type; kind != "WordPiece" && (kind != "" || j.Model.Merges != nil || !bytes.HasPrefix(bytes.TrimSpace(j.Model.Vocab), []byte("{"))) {
		if kind == "" {
			kind = "of unknown type"
		}
		return d, fmt.Errorf("corpus: tokenizer.json: the model is %s; only WordPiece (BERT, DistilBERT, ELECTRA, MiniLM …) is supported", kind)
	}
	var unk *string
	if err := json.Unmarshal(orNull(j.Model.Unk), &unk); err != nil {
		return d, fmt.Errorf("corpus: tokenizer.json: model.unk_token: %w", err)
	}
	if unk != nil {
		d.unk = *unk
	}
	if j.Model.Prefix != nil {
		d.prefix = *j.Model.Prefix
	}
	if j.Model.MaxChars != nil {
		d.maxChars = *j.Model.MaxChars
	}
	ids := map[string]int32{}
	if err := json.Unmarshal(j.Model.Vocab, &ids); err != nil {
		return d, fmt.Errorf("corpus: tokenizer.json: model.vocab: %w; a WordPiece vocabulary is an object of token: id", err)
	}
	for _, s := range slices.Sorted(maps.Keys(ids)) {
		id := ids[s]
		if id < 0 || id >= maxVocab {
			return d, fmt.Errorf("corpus: tokenizer.json: token %q has id %d; ids must be from 0 to %d", s, id, maxVocab-1)
		}
		for int(id) >= len(d.vocab) {
			d.vocab = append(d.vocab, make([]string, int(id)+1-len(d.vocab))...)
		}
		if old := d.vocab[id]; old != "" {
			return d, fmt.Errorf("corpus: tokenizer.json: tokens %q and %q have the same id %d", old, s, id)
		}
		d.vocab[id] = s
	}
	d.added = j.Added
	for _, a := range j.Added {
		ids[a.Content] = a.ID
	}
	if err := d.normalizerJSON(j.Norm); err != nil {
		return d, err
	}
	if err := d.preTokenizerJSON(j.Pre); err != nil {
		return d, err
	}
	return d, d.postProcessorJSON(j.Post, ids)
}

func orNull(m json.RawMessage) []byte {
	if len(m) == 0 {
		return []byte("null")
	}
	return m
}

func (d *definition) normalizerJSON(m json.RawMessage) error {
	var n struct {
		Type    string            `json:"type"`
		Clean   *bool             `json:"clean_text"`
		Chinese *bool             `json:"handle_chinese_chars"`
		Strip   *bool             `json:"strip_accents"`
		Lower   *bool             `json:"lowercase"`
		List    []json.RawMessage `json:"normalizers"`
	}
	if err := json.Unmarshal(orNull(m), &n); err != nil {
		return fmt.Errorf("corpus: tokenizer.json: normalizer: %w", err)
	}
	on := func(b *bool, def bool) bool {
		if b != nil {
			return *b
		}
		return def
	}
	switch {
	case n.Type == "":
		return nil
	case n.Type == "Sequence" && len(n.List) == 1:
		return d.normalizerJSON(n.List[0])
	case n.Type == "Sequence" && len(n.List) == 0:
		return nil
	case n.Type == "Lowercase":
		d.norm = normalizer{lower: true}
		return nil
	case n.Type != "BertNormalizer":
		return fmt.Errorf("corpus: tokenizer.json: normalizer %s is not supported; WordPiece models use BertNormalizer", n.Type)
	}
	d.norm = normalizer{clean: on(n.Clean, true), chinese: on(n.Chinese, true), lower: on(n.Lower, true)}
	d.norm.strip = on(n.Strip, d.norm.lower)
	return nil
}

func (d *definition) preTokenizerJSON(m json.RawMessage) error {
	var p struct {
		Type string            `json:"type"`
		List []json.RawMessage `json:"pretokenizers"`
	}
	if err := json.Unmarshal(orNull(m), &p); err != nil {
		return fmt.Errorf("corpus: tokenizer.json: pre_tokenizer: %w", err)
	}
	if p.Type == "Sequence" && len(p.List) == 1 {
		return d.preTokenizerJSON(p.List[0])
	}
	if p.Type != "BertPreTokenizer" {
		return fmt.Errorf("corpus: tokenizer.json: pre-tokenizer %q is not supported; WordPiece models use BertPreTokenizer", p.Type)
	}
	return nil
}

func (d *definition) postProcessorJSON(m json.RawMessage, ids map[string]int32) error {
	var p struct {
		Type    string         `json:"type"`
		Sep     []any          `json:"sep"`
		Cls     []any          `json:"cls"`
		Single  []templateJSON `json:"single"`
		Pair    []templateJSON `json:"pair"`
		Special map[string]struct {
			IDs []int32 `json:"ids"`
		} `json:"special_tokens"`
	}
	if err := json.Unmarshal(orNull(m), &p); err != nil {
		return fmt.Errorf("corpus: tokenizer.json: post_processor: %w", err)
	}
	switch p.Type {
	case "":
		d.single, d.pair = []templatePiece{{seq: 0}}, []templatePiece{{seq: 0}, {seq: 1, kind: 1}}
		return nil
	case "BertProcessing":
		cls, ok1 := tupleID(p.Cls)
		sep, ok2 := tupleID(p.Sep)
		if !ok1 || !ok2 {
			return errors.New(`corpus: tokenizer.json: post_processor: BertProcessing needs "cls" and "sep" as ["token", id]`)
		}
		d.bert(cls, sep)
		return nil
	case "TemplateProcessing":
	default:
		return fmt.Errorf("corpus: tokenizer.json: post-processor %s is not supported; WordPiece models use TemplateProcessing or BertProcessing", p.Type)
	}
	special := func(name string) ([]int32, bool) {
		if s, ok := p.Special[name]; ok {
			return s.IDs, true
		}
		id, ok := ids[name]
		return []int32{id}, ok
	}
	var err error
	if d.single, err = template(p.Single, special, 1); err != nil {
		return fmt.Errorf("corpus: tokenizer.json: post_processor.single: %w", err)
	}
	if d.pair, err = template(p.Pair, special, 2); err != nil {
		return fmt.Errorf("corpus: tokenizer.json: post_processor.pair: %w", err)
	}
	return nil
}

type templateJSON struct {
	Special *struct {
		ID   string `json:"id"`
		Type int64  `json:"type_id"`
	} `json:"SpecialToken"`
	Sequence *struct {
		ID   string `json:"id"`
		Type int64  `json:"type_id"`
	} `json:"Sequence"`
}

func template(items []templateJSON, special func(string) ([]int32, bool), texts int) ([]templatePiece, error) {
	var out []templatePiece
	seen := [2]int{}
	for _, it := range items {
		switch {
		case it.Special != nil:
			ids, ok := special(it.Special.ID)
			if !ok {
				return nil, fmt.Errorf("special token %q is in neither special_tokens nor the vocabulary", it.Special.ID)
			}
			out = append(out, templatePiece{seq: -1, ids: ids, kind: it.Special.Type})
		case it.Sequence != nil && (it.Sequence.ID == "A" || it.Sequence.ID == "B"):
			seq := int(it.Sequence.ID[0] - 'A')
			seen[seq]++
			out = append(out, templatePiece{seq: seq, kind: it.Sequence.Type})
		default:
			return nil, errors.New("an item is neither SpecialToken nor Sequence A or B")
		}
	}
	if seen[0] != 1 || seen[1] != texts-1 {
		return nil, fmt.Errorf("each of the %d texts must occur once", texts)
	}
	return out, nil
}

func tupleID(t []any) (int32, bool) {
	if len(t) != 2 {
		return 0, false
	}
	f, ok := t[1].(float64)
	return int32(f), ok && f >= 0 && f < maxVocab
}
