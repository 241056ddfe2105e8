package corpus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Files returns the tokenizer files of a model directory: tokenizer.json,
// tokenizer_config.json, special_tokens_map.json and vocab.txt. Files that the
// tokenizer was loaded from are returned as they were; the others are made.
func (t *Tokenizer) Files() map[string][]byte {
	out := map[string][]byte{}
	for _, name := range tokenizerFiles {
		if data, ok := t.files[name]; ok {
			out[name] = slices.Clone(data)
			continue
		}
		switch name {
		case "tokenizer.json":
			out[name] = t.writeJSON()
		case "tokenizer_config.json":
			out[name] = t.writeConfig()
		case "special_tokens_map.json":
			out[name] = indent(object(t.rolePairs()...))
		case "vocab.txt":
			out[name] = t.writeVocab()
		}
	}
	return out
}

// field is one member of a JSON object whose order is kept.
type field struct {
	key   string
	value any
}

type raw []byte

// object writes an ordered JSON object without HTML escapes.
func object(fields ...field) raw {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range fields {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(quote(f.key))
		b.WriteByte(':')
		b.Write(encode(f.value))
	}
	b.WriteByte('}')
	return b.Bytes()
}

func list(items ...raw) raw {
	return raw("[" + string(bytes.Join(rawBytes(items), []byte{','})) + "]")
}

func rawBytes(items []raw) [][]byte {
	out := make([][]byte, len(items))
	for i, r := range items {
		out[i] = r
	}
	return out
}

func encode(v any) raw {
	switch v := v.(type) {
	case raw:
		return v
	case string:
		return quote(v)
	case nil:
		return raw("null")
	default: // bool, int, int32, int64, float64
		return raw(fmt.Sprint(v))
	}
}

func quote(s string) raw {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return raw(bytes.TrimSuffix(b.Bytes(), []byte{'\n'}))
}

func indent(r raw) []byte {
	var b bytes.Buffer
	_ = json.Indent(&b, r, "", "  ") // r was built valid
	b.WriteByte('\n')
	return b.Bytes()
}

func (t *Tokenizer) rolePairs() []field {
	var out []field
	for _, r := range []struct {
		name string
		id   int32
	}{
		{"cls_token", t.role.cls}, {"mask_token", t.role.mask}, {"pad_token", t.role.pad}, {"sep_token", t.role.sep}, {"unk_token", t.role.unk},
	} {
		if r.id >= 0 {
			out = append(out, field{r.name, t.tokens[r.id]})
		}
	}
	return out
}

func (t *Tokenizer) writeConfig() []byte {
	var added []field
	for _, a := range t.added {
		added = append(added, field{fmt.Sprint(a.ID), object(
			field{"content", a.Content}, field{"lstrip", a.LStrip}, field{"normalized", a.Normalized},
			field{"rstrip", a.RStrip}, field{"single_word", a.SingleWord}, field{"special", a.Special})})
	}
	maxLen := t.maxLen
	if maxLen == 0 {
		maxLen = 512
	}
	fields := []field{{"added_tokens_decoder", object(added...)}, {"clean_up_tokenization_spaces", true}, {"do_lower_case", t.norm.lower}, {"model_max_length", maxLen}}
	fields = append(fields, t.rolePairs()...)
	var strip any
	if t.norm.strip != t.norm.lower {
		strip = t.norm.strip
	}
	fields = append(fields, field{"strip_accents", strip}, field{"tokenize_chinese_chars", t.norm.chinese}, field{"tokenizer_class", "BertTokenizer"})
	return indent(object(fields...))
}

func (t *Tokenizer) writeVocab() []byte {
	var b bytes.Buffer
	n := len(t.tokens)
	for i, s := range t.tokens[:n] {
		if s == "" { // a gap in the ids needs a line of its own
			s = fmt.Sprintf("[unused-gap-%d]", i)
		}
		b.WriteString(s)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func (t *Tokenizer) writeJSON() []byte {
	var added []raw
	for _, a := range t.added {
		added = append(added, object(field{"id", a.ID}, field{"content", a.Content}, field{"single_word", a.SingleWord},
			field{"lstrip", a.LStrip}, field{"rstrip", a.RStrip}, field{"normalized", a.Normalized}, field{"special", a.Special}))
	}
	var vocab []field
	for i, s := range t.tokens {
		if s != "" {
			vocab = append(vocab, field{s, i})
		}
	}
	var strip any
	if t.norm.strip != t.norm.lower {
		strip = t.norm.strip
	}
	return indent(object(
		field{"version", "1.0"}, field{"truncation", nil}, field{"padding", nil},
		field{"added_tokens", list(added...)},
		field{"normalizer", object(field{"type", "BertNormalizer"}, field{"clean_text", t.norm.clean},
			field{"handle_chinese_chars", t.norm.chinese}, field{"strip_accents", strip}, field{"lowercase", t.norm.lower})},
		field{"pre_tokenizer", object(field{"type", "BertPreTokenizer"})},
		field{"post_processor", t.writePost()},
		field{"decoder", object(field{"type", "WordPiece"}, field{"prefix", t.prefix}, field{"cleanup", true})},
		field{"model", object(field{"type", "WordPiece"}, field{"unk_token", t.tokens[t.unk]},
			field{"continuing_subword_prefix", t.prefix}, field{"max_input_chars_per_word", t.maxChars}, field{"vocab", object(vocab...)})},
	))
}

// writePost writes the templates; a special token of several ids is named by
// its tokens.
func (t *Tokenizer) writePost() raw {
	var special []field
	seen := map[string]bool{}
	items := func(tpl []templatePiece) raw {
		var out []raw
		for _, p := range tpl {
			if p.seq >= 0 {
				out = append(out, object(field{"Sequence", object(field{"id", string(rune('A' + p.seq))}, field{"type_id", p.kind})}))
				continue
			}
			var tokens, ids []raw
			var names []string
			for _, id := range p.ids {
				tokens, ids = append(tokens, quote(t.tokens[id])), append(ids, encode(id))
				names = append(names, t.tokens[id])
			}
			name := strings.Join(names, " ")
			out = append(out, object(field{"SpecialToken", object(field{"id", name}, field{"type_id", p.kind})}))
			if !seen[name] {
				seen[name] = true
				special = append(special, field{name, object(field{"id", name}, field{"ids", list(ids...)}, field{"tokens", list(tokens...)})})
			}
		}
		return list(out...)
	}
	single, pair := items(t.single), items(t.pair)
	return object(field{"type", "TemplateProcessing"}, field{"single", single}, field{"pair", pair}, field{"special_tokens", object(special...)})
}
