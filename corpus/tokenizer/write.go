package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Files returns the tokenizer files of a model directory: tokenizer.json,
// tokenizer_config.json, special_tokens_map.json, and vocab.txt for WordPiece.
// Files that the tokenizer was loaded from are returned as they were; the
// others are made.
func (t *Tokenizer) Files() map[string][]byte {
	out := map[string][]byte{}
	for name, data := range t.files {
		out[name] = slices.Clone(data)
	}
	for name, write := range map[string]func() []byte{
		"tokenizer.json": t.writeJSON, "tokenizer_config.json": t.writeConfig,
		"special_tokens_map.json": func() []byte { return indent(object(t.rolePairs()...)) }, "vocab.txt": t.writeVocab,
	} {
		if _, ok := out[name]; !ok && (name != "vocab.txt" || t.Kind() == kindWordPiece) {
			out[name] = write()
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
	var b bytes.Buffer
	b.WriteByte('[')
	for i, r := range items {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(r)
	}
	b.WriteByte(']')
	return b.Bytes()
}

func encode(v any) raw {
	switch v := v.(type) {
	case raw:
		return v
	case json.RawMessage:
		if len(v) == 0 {
			return raw("null")
		}
		return raw(v)
	case string:
		return quote(v)
	case float64:
		return raw(strconv.FormatFloat(v, 'g', -1, 64))
	case nil:
		return raw("null")
	default: // bool, int, int32, int64
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
	for _, a := range t.doc.added {
		added = append(added, field{fmt.Sprint(a.ID), object(
			field{"content", a.Content}, field{"lstrip", a.LStrip}, field{"normalized", a.Normalized},
			field{"rstrip", a.RStrip}, field{"single_word", a.SingleWord}, field{"special", a.Special})})
	}
	maxLen := t.maxLen
	if maxLen == 0 {
		maxLen = 512
	}
	bert, isBert := t.bertNormalizer()
	fields := []field{{"added_tokens_decoder", object(added...)}, {"clean_up_tokenization_spaces", isBert}}
	if isBert {
		fields = append(fields, field{"do_lower_case", bert.lower})
	}
	fields = append(fields, field{"model_max_length", maxLen})
	fields = append(fields, t.rolePairs()...)
	class := "PreTrainedTokenizerFast"
	if isBert {
		var strip any
		if bert.strip != bert.lower {
			strip = bert.strip
		}
		class = "BertTokenizer"
		fields = append(fields, field{"strip_accents", strip}, field{"tokenize_chinese_chars", bert.chinese})
	}
	return indent(object(append(fields, field{"tokenizer_class", class})...))
}

// bertNormalizer tells whether this is BERT's tokenizer, and its normalizer.
func (t *Tokenizer) bertNormalizer() (bertNormalizer, bool) {
	if t.Kind() != kindWordPiece || len(t.norm) != 1 || len(t.pre) != 1 {
		return bertNormalizer{}, false
	}
	n, ok := t.norm[0].(bertNormalizer)
	_, pre := t.pre[0].(bertPreTokenizer)
	return n, ok && pre
}

func (t *Tokenizer) writeVocab() []byte {
	var b bytes.Buffer
	for i, s := range t.tokens {
		if s == "" { // a gap in the ids needs a line of its own
			s = fmt.Sprintf("[unused-gap-%d]", i)
		}
		b.WriteString(s)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func (t *Tokenizer) writeJSON() []byte {
	d := t.doc
	var added []raw
	for _, a := range d.added {
		added = append(added, object(field{"id", a.ID}, field{"content", a.Content}, field{"single_word", a.SingleWord},
			field{"lstrip", a.LStrip}, field{"rstrip", a.RStrip}, field{"normalized", a.Normalized}, field{"special", a.Special}))
	}
	return indent(object(
		field{"version", "1.0"}, field{"truncation", d.truncation}, field{"padding", d.padding},
		field{"added_tokens", list(added...)},
		field{"normalizer", d.normalizer}, field{"pre_tokenizer", d.preTokenizer},
		field{"post_processor", d.post}, field{"decoder", d.decod}, field{"model", d.model.write()},
	))
}

func (m *modelSpec) write() raw {
	orNull := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	if m.kind == kindUnigram {
		pieces := make([]raw, len(m.tokens))
		for i, s := range m.tokens {
			pieces[i] = list(quote(s), encode(m.scores[i]))
		}
		return object(field{"type", m.kind}, field{"unk_id", m.unkID}, field{"vocab", list(pieces...)}, field{"byte_fallback", m.fallback})
	}
	var vocab []field
	for i, s := range m.tokens {
		if s != "" {
			vocab = append(vocab, field{s, i})
		}
	}
	switch m.kind {
	case kindWordPiece:
		return object(field{"type", m.kind}, field{"unk_token", m.unk}, field{"continuing_subword_prefix", m.prefix},
			field{"max_input_chars_per_word", m.maxChars}, field{"vocab", object(vocab...)})
	case kindWordLevel:
		return object(field{"type", m.kind}, field{"vocab", object(vocab...)}, field{"unk_token", m.unk})
	}
	// Pairs can hold spaces; the older form of one string cannot.
	spaced := slices.ContainsFunc(m.merges, func(p [2]string) bool { return strings.Contains(p[0], " ") || strings.Contains(p[1], " ") })
	merges := make([]raw, len(m.merges))
	for i, p := range m.merges {
		if spaced {
			merges[i] = list(quote(p[0]), quote(p[1]))
		} else {
			merges[i] = quote(p[0] + " " + p[1])
		}
	}
	return object(field{"type", m.kind}, field{"dropout", nil}, field{"unk_token", orNull(m.unk)},
		field{"continuing_subword_prefix", orNull(m.prefix)}, field{"end_of_word_suffix", orNull(m.suffix)},
		field{"fuse_unk", m.fuseUnk}, field{"byte_fallback", m.fallback}, field{"ignore_merges", m.ignore},
		field{"vocab", object(vocab...)}, field{"merges", list(merges...)})
}

// writeTemplate writes a TemplateProcessing; a special token of several ids is
// named by its tokens.
func writeTemplate(single, pair []Part, token func(id int32) string) raw {
	var special []field
	seen := map[string]bool{}
	items := func(parts []Part) raw {
		var out []raw
		for _, p := range parts {
			if p.Seq >= 0 {
				out = append(out, object(field{"Sequence", object(field{"id", string(rune('A' + p.Seq))}, field{"type_id", p.Type})}))
				continue
			}
			var tokens, ids []raw
			var names []string
			for _, id := range p.IDs {
				tokens, ids = append(tokens, quote(token(id))), append(ids, encode(id))
				names = append(names, token(id))
			}
			name := strings.Join(names, " ")
			out = append(out, object(field{"SpecialToken", object(field{"id", name}, field{"type_id", p.Type})}))
			if !seen[name] {
				seen[name] = true
				special = append(special, field{name, object(field{"id", name}, field{"ids", list(ids...)}, field{"tokens", list(tokens...)})})
			}
		}
		return list(out...)
	}
	one, two := items(single), items(pair)
	return object(field{"type", "TemplateProcessing"}, field{"single", one}, field{"pair", two}, field{"special_tokens", object(special...)})
}
