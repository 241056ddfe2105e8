package tokenizer

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
	"unicode/utf8"
)

// FileNames are the files of a model directory that describe a tokenizer.
var FileNames = []string{"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt",
	"vocab.json", "merges.txt", "sentencepiece.bpe.model", "spiece.model", "spm.model", "tokenizer.model"}

// sentencepieceFiles are those that hold a sentencepiece model.
var sentencepieceFiles = FileNames[7:]

// Open loads the tokenizer of a model directory, or of one file: tokenizer.json,
// vocab.txt, vocab.json (with merges.txt beside it) or a sentencepiece model.
func Open(path string) (*Tokenizer, error) {
	files := map[string][]byte{}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	names, dir := FileNames, path
	if !info.IsDir() {
		dir = filepath.Dir(path)
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("tokenizer: %w", err)
		}
		switch base := filepath.Base(path); {
		case base == "vocab.json" || base == "merges.txt":
			names = []string{"vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"}
		case slices.Contains(sentencepieceFiles, base):
			files[base], names = data, []string{"tokenizer_config.json", "special_tokens_map.json"}
		case strings.HasSuffix(base, ".model"):
			files["spiece.model"], names = data, nil
		case strings.HasSuffix(base, ".json"):
			files["tokenizer.json"], names = data, nil
		default:
			files["vocab.txt"], names = data, nil
		}
	}
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("tokenizer: %w", err)
		}
		files[name] = data
	}
	t, err := Load(files)
	if err != nil {
		return nil, fmt.Errorf("%w (%s)", err, path)
	}
	return t, nil
}

// Load builds a tokenizer from the files of a model directory, by name.
// tokenizer.json decides where present; else vocab.txt, vocab.json with
// merges.txt, or a sentencepiece model, with what tokenizer_config.json and
// special_tokens_map.json say.
//
// vocab.txt alone is taken to be lower-casing (as BertTokenizer does) unless
// more than a twentieth of its entries with letters have a capital one, as
// cased vocabularies do.
func Load(files map[string][]byte) (*Tokenizer, error) {
	cfg, err := readConfig(files)
	if err != nil {
		return nil, err
	}
	d, err := readSource(files, cfg)
	if err != nil {
		return nil, err
	}
	t, err := build(d, cfg)
	if err != nil {
		return nil, err
	}
	t.files = map[string][]byte{}
	for _, name := range FileNames {
		if data, ok := files[name]; ok {
			t.files[name] = slices.Clone(data)
		}
	}
	return t, nil
}

func readSource(files map[string][]byte, cfg config) (*document, error) {
	if data := files["tokenizer.json"]; data != nil {
		return readDocument(data)
	}
	if data := files["vocab.txt"]; data != nil {
		return readVocabTxt(data, cfg)
	}
	if data := files["vocab.json"]; data != nil {
		if files["merges.txt"] == nil {
			return nil, errors.New("tokenizer: vocab.json needs merges.txt beside it; copy it there too")
		}
		return readVocabMerges(data, files["merges.txt"], cfg)
	}
	for _, name := range sentencepieceFiles {
		if data := files[name]; data != nil {
			d, err := readSentencepiece(data, name, cfg)
			if err != nil {
				return nil, fmt.Errorf("tokenizer: %s: %w", name, err)
			}
			return d, nil
		}
	}
	return nil, fmt.Errorf("tokenizer: neither tokenizer.json nor vocab.txt, vocab.json or a sentencepiece model among %q; copy one of them beside the model", slices.Sorted(maps.Keys(files)))
}

// config is the part of tokenizer_config.json that matters here.
type config struct {
	Class          string                      `json:"tokenizer_class"`
	DoLowerCase    *bool                       `json:"do_lower_case"`
	KeepAccents    *bool                       `json:"keep_accents"`
	StripAccents   *bool                       `json:"strip_accents"`
	ChineseChars   *bool                       `json:"tokenize_chinese_chars"`
	SplitByPunct   *bool                       `json:"split_by_punct"`
	PrefixSpace    *bool                       `json:"add_prefix_space"`
	ExtraIDs       *int                        `json:"extra_ids"`
	TruncationSide string                      `json:"truncation_side"`
	PaddingSide    string                      `json:"padding_side"`
	ModelMaxLength json.Number                 `json:"model_max_length"`
	Added          map[string]addedTokenConfig `json:"added_tokens_decoder"`
	roleTokens
	extra map[string]int32 // added_tokens.json
}

// roleTokens are the tokens of the roles.
type roleTokens struct {
	PadToken  tokenName `json:"pad_token"`
	UnkToken  tokenName `json:"unk_token"`
	ClsToken  tokenName `json:"cls_token"`
	SepToken  tokenName `json:"sep_token"`
	MaskToken tokenName `json:"mask_token"`
	BosToken  tokenName `json:"bos_token"`
	EosToken  tokenName `json:"eos_token"`
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

// UnmarshalJSON takes both forms; null is no name.
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

func readConfig(files map[string][]byte) (config, error) {
	var cfg config
	for _, f := range []struct {
		name string
		to   any
	}{{"special_tokens_map.json", &cfg.roleTokens}, {"tokenizer_config.json", &cfg}, {"added_tokens.json", &cfg.extra}} {
		data, ok := files[f.name]
		if !ok {
			continue
		}
		if err := json.Unmarshal(bytes.TrimPrefix(data, []byte("\ufeff")), f.to); err != nil {
			return cfg, fmt.Errorf("tokenizer: %s: %w; correct or delete the file", f.name, err)
		}
	}
	return cfg, nil
}

func (c config) names() map[string]string {
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

// name is the token of a role: the configured one, else usual.
func (c config) name(role, usual string) string {
	if s, ok := c.names()[role]; ok {
		return s
	}
	return usual
}

// maxLength ignores the 1e30 that stands for "no limit".
func (c config) maxLength() int {
	f, err := c.ModelMaxLength.Float64()
	if err != nil || f < 1 || f > 1e9 {
		return 0
	}
	return int(f)
}

// checkText refuses a vocabulary that is not UTF-8.
func checkText(name string, data []byte) error {
	if utf8.Valid(data) {
		return nil
	}
	line := 1
	for len(data) > 0 {
		r, w := utf8.DecodeRune(data)
		if r == utf8.RuneError && w == 1 {
			break
		}
		if r == '\n' {
			line++
		}
		data = data[w:]
	}
	return fmt.Errorf("tokenizer: %s: line %d is not UTF-8; convert the file", name, line)
}
