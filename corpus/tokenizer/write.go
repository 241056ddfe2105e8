package tokenizer

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/litekit/lite/internal/ordered"
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
		"special_tokens_map.json": func() []byte { return ordered.Indent(ordered.Object(t.rolePairs()...)) }, "vocab.txt": t.writeVocab,
	} {
		if _, ok := out[name]; !ok && (name != "vocab.txt" || t.Kind() == kindWordPiece) {
			out[name] = write()
		}
	}
	return out
}

func (t *Tokenizer) rolePairs() []ordered.Field {
	var out []ordered.Field
	for _, r := range []struct {
		name string
		id   int32
	}{
		{"cls_token", t.role.cls}, {"mask_token", t.role.mask}, {"pad_token", t.role.pad}, {"sep_token", t.role.sep}, {"unk_token", t.role.unk},
	} {
		if r.id >= 0 {
			out = append(out, ordered.Pair(r.name, t.tokens[r.id]))
		}
	}
	return out
}

func (t *Tokenizer) writeConfig() []byte {
	var added []ordered.Field
	for _, a := range t.doc.added {
		added = append(added, ordered.Pair(fmt.Sprint(a.ID), ordered.Object(
			ordered.Pair("content", a.Content), ordered.Pair("lstrip", a.LStrip), ordered.Pair("normalized", a.Normalized),
			ordered.Pair("rstrip", a.RStrip), ordered.Pair("single_word", a.SingleWord), ordered.Pair("special", a.Special))))
	}
	maxLen := t.maxLen
	if maxLen == 0 {
		maxLen = 512
	}
	bert, isBert := t.bertNormalizer()
	fields := []ordered.Field{ordered.Pair("added_tokens_decoder", ordered.Object(added...)), ordered.Pair("clean_up_tokenization_spaces", isBert)}
	if isBert {
		fields = append(fields, ordered.Pair("do_lower_case", bert.lower))
	}
	fields = append(fields, ordered.Pair("model_max_length", maxLen))
	fields = append(fields, t.rolePairs()...)
	class := "PreTrainedTokenizerFast"
	if isBert {
		var strip any
		if bert.strip != bert.lower {
			strip = bert.strip
		}
		class = "BertTokenizer"
		fields = append(fields, ordered.Pair("strip_accents", strip), ordered.Pair("tokenize_chinese_chars", bert.chinese))
	}
	return ordered.Indent(ordered.Object(append(fields, ordered.Pair("tokenizer_class", class))...))
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
	var added []ordered.Raw
	for _, a := range d.added {
		added = append(added, ordered.Object(ordered.Pair("id", a.ID), ordered.Pair("content", a.Content), ordered.Pair("single_word", a.SingleWord),
			ordered.Pair("lstrip", a.LStrip), ordered.Pair("rstrip", a.RStrip), ordered.Pair("normalized", a.Normalized), ordered.Pair("special", a.Special)))
	}
	return ordered.Indent(ordered.Object(
		ordered.Pair("version", "1.0"), ordered.Pair("truncation", d.truncation), ordered.Pair("padding", d.padding),
		ordered.Pair("added_tokens", ordered.List(added...)),
		ordered.Pair("normalizer", d.normalizer), ordered.Pair("pre_tokenizer", d.preTokenizer),
		ordered.Pair("post_processor", d.post), ordered.Pair("decoder", d.decod), ordered.Pair("model", d.model.write()),
	))
}

func (m *modelSpec) write() ordered.Raw {
	orNull := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	if m.kind == kindUnigram {
		pieces := make([]ordered.Raw, len(m.tokens))
		for i, s := range m.tokens {
			pieces[i] = ordered.List(ordered.Value(s), ordered.Value(m.scores[i]))
		}
		return ordered.Object(ordered.Pair("type", m.kind), ordered.Pair("unk_id", m.unkID), ordered.Pair("vocab", ordered.List(pieces...)), ordered.Pair("byte_fallback", m.fallback))
	}
	var vocab []ordered.Field
	for i, s := range m.tokens {
		if s != "" {
			vocab = append(vocab, ordered.Pair(s, i))
		}
	}
	switch m.kind {
	case kindWordPiece:
		return ordered.Object(ordered.Pair("type", m.kind), ordered.Pair("unk_token", m.unk), ordered.Pair("continuing_subword_prefix", m.prefix),
			ordered.Pair("max_input_chars_per_word", m.maxChars), ordered.Pair("vocab", ordered.Object(vocab...)))
	case kindWordLevel:
		return ordered.Object(ordered.Pair("type", m.kind), ordered.Pair("vocab", ordered.Object(vocab...)), ordered.Pair("unk_token", m.unk))
	}
	// Pairs can hold spaces; the older form of one string cannot.
	spaced := slices.ContainsFunc(m.merges, func(p [2]string) bool { return strings.Contains(p[0], " ") || strings.Contains(p[1], " ") })
	merges := make([]ordered.Raw, len(m.merges))
	for i, p := range m.merges {
		if spaced {
			merges[i] = ordered.List(ordered.Value(p[0]), ordered.Value(p[1]))
		} else {
			merges[i] = ordered.Value(p[0] + " " + p[1])
		}
	}
	return ordered.Object(ordered.Pair("type", m.kind), ordered.Pair("dropout", nil), ordered.Pair("unk_token", orNull(m.unk)),
		ordered.Pair("continuing_subword_prefix", orNull(m.prefix)), ordered.Pair("end_of_word_suffix", orNull(m.suffix)),
		ordered.Pair("fuse_unk", m.fuseUnk), ordered.Pair("byte_fallback", m.fallback), ordered.Pair("ignore_merges", m.ignore),
		ordered.Pair("vocab", ordered.Object(vocab...)), ordered.Pair("merges", ordered.List(merges...)))
}

// writeTemplate writes a TemplateProcessing; a special token of several ids is
// named by its tokens.
func writeTemplate(single, pair []Part, token func(id int32) string) ordered.Raw {
	var special []ordered.Field
	seen := map[string]bool{}
	items := func(parts []Part) ordered.Raw {
		var out []ordered.Raw
		for _, p := range parts {
			if p.Seq >= 0 {
				out = append(out, ordered.Object(ordered.Pair("Sequence", ordered.Object(ordered.Pair("id", string(rune('A'+p.Seq))), ordered.Pair("type_id", p.Type)))))
				continue
			}
			var tokens, ids []ordered.Raw
			var names []string
			for _, id := range p.IDs {
				tokens, ids = append(tokens, ordered.Value(token(id))), append(ids, ordered.Value(id))
				names = append(names, token(id))
			}
			name := strings.Join(names, " ")
			out = append(out, ordered.Object(ordered.Pair("SpecialToken", ordered.Object(ordered.Pair("id", name), ordered.Pair("type_id", p.Type)))))
			if !seen[name] {
				seen[name] = true
				special = append(special, ordered.Pair(name, ordered.Object(ordered.Pair("id", name), ordered.Pair("ids", ordered.List(ids...)), ordered.Pair("tokens", ordered.List(tokens...)))))
			}
		}
		return ordered.List(out...)
	}
	one, two := items(single), items(pair)
	return ordered.Object(ordered.Pair("type", "TemplateProcessing"), ordered.Pair("single", one), ordered.Pair("pair", two), ordered.Pair("special_tokens", ordered.Object(special...)))
}
