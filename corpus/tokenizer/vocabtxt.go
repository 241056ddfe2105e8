package tokenizer

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/litekit/lite/internal/ordered"
)

// bertDocument is a BERT tokenizer over vocab.
func bertDocument(vocab []string, n bertNormalizer, cfg config) *document {
	d := &document{
		normalizer:   json.RawMessage(n.json()),
		preTokenizer: json.RawMessage(`{"type":"BertPreTokenizer"}`),
		decod:        json.RawMessage(`{"type":"WordPiece","prefix":"##","cleanup":true}`),
		model:        modelSpec{kind: kindWordPiece, tokens: vocab, unk: cfg.name("unk_token", "[UNK]"), unkID: -1, prefix: "##", maxChars: 100},
	}
	ids := make(map[string]int32, len(vocab))
	for i, s := range vocab {
		ids[s] = int32(i)
	}
	d.addConfigured(cfg, ids, specialTokens)
	cls, sep := cfg.name("cls_token", "[CLS]"), cfg.name("sep_token", "[SEP]")
	_, ok1 := ids[cls]
	_, ok2 := ids[sep]
	if !ok1 || !ok2 {
		cls, sep = "", ""
	}
	d.post = json.RawMessage(templateText(cls, sep, ids, true))
	return d
}

// json writes the normalizer as tokenizer.json has it.
func (n bertNormalizer) json() ordered.Raw {
	var strip any
	if n.strip != n.lower {
		strip = n.strip
	}
	return ordered.Object(ordered.Pair("type", "BertNormalizer"), ordered.Pair("clean_text", n.clean), ordered.Pair("handle_chinese_chars", n.chinese),
		ordered.Pair("strip_accents", strip), ordered.Pair("lowercase", n.lower))
}

// addConfigured adds the tokens that tokenizer_config.json lists, and those of
// usual (by their configured names) that the vocabulary has.
func (d *document) addConfigured(cfg config, ids map[string]int32, usual []string) {
	seen := map[int32]bool{}
	for _, key := range slices.Sorted(maps.Keys(cfg.Added)) {
		id, err := strconv.ParseInt(key, 10, 32)
		if err != nil {
			id = -1 // reported when the tokenizer is built
		}
		a := cfg.Added[key]
		d.added = append(d.added, AddedToken{int32(id), a.Content, a.SingleWord, a.LStrip, a.RStrip, a.Normalized, a.Special})
		seen[int32(id)] = true
	}
	for _, s := range slices.Sorted(maps.Keys(cfg.extra)) {
		if id := cfg.extra[s]; !seen[id] {
			d.added = append(d.added, AddedToken{ID: id, Content: s})
			seen[id] = true
		}
	}
	for _, s := range usual {
		for role, names := range roleNames {
			if slices.Contains(names, s) {
				s = cfg.name(role, s)
				break
			}
		}
		if id, ok := ids[s]; ok && !seen[id] {
			d.added = append(d.added, AddedToken{ID: id, Content: s, Special: true, LStrip: s == "<mask>"})
			seen[id] = true
		}
	}
	slices.SortStableFunc(d.added, func(a, b AddedToken) int { return int(a.ID) - int(b.ID) })
}

// templateText writes a post-processor that puts cls before a text and sep
// after each; "" puts nothing. types tells whether the second text has type 1.
func templateText(cls, sep string, ids map[string]int32, types bool) ordered.Raw {
	p := plainPost()
	if !types {
		p.pair[1].Type = 0
	}
	second := p.pair[1].Type
	var single, pair []Part
	if cls != "" {
		single = append(single, specialPart(ids[cls], 0))
	}
	single = append(single, Part{Seq: 0})
	if sep != "" {
		single = append(single, specialPart(ids[sep], 0))
	}
	pair = append(slices.Clone(single), Part{Seq: 1, Type: second})
	if sep != "" {
		pair = append(pair, specialPart(ids[sep], second))
	}
	names := map[int32]string{ids[cls]: cls, ids[sep]: sep}
	return writeTemplate(single, pair, func(id int32) string { return names[id] })
}

// readVocabTxt reads vocab.txt: one token per line, line number = id.
func readVocabTxt(data []byte, cfg config) (*document, error) {
	text := strings.TrimPrefix(string(data), "\ufeff")
	if err := checkText("vocab.txt", []byte(text)); err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSuffix(strings.ReplaceAll(text, "\r\n", "\n"), "\n"), "\n")
	if len(lines) > maxVocab {
		return nil, fmt.Errorf("tokenizer: vocab.txt: %d lines; at most %d are supported", len(lines), maxVocab)
	}
	for key := range cfg.Added {
		if _, err := strconv.ParseInt(key, 10, 32); err != nil {
			return nil, fmt.Errorf("tokenizer: tokenizer_config.json: added_tokens_decoder has key %q; keys are token ids", key)
		}
	}
	low := !casedVocab(lines)
	if cfg.DoLowerCase != nil {
		low = *cfg.DoLowerCase
	}
	n := bertNormalizer{clean: true, chinese: on(cfg.ChineseChars, true), strip: on(cfg.StripAccents, low), lower: low}
	return bertDocument(lines, n, cfg), nil
}

// casedVocab tells a cased vocabulary from a lower-cased one by its entries.
func casedVocab(vocab []string) bool {
	letters, upper := 0, 0
	for _, s := range vocab {
		if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") || strings.HasPrefix(s, "<") && strings.HasSuffix(s, ">") {
			continue // [unused1], <S>
		}
		if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsUpper(r) || unicode.IsLower(r) }) {
			letters++
			if strings.ContainsFunc(s, unicode.IsUpper) {
				upper++
			}
		}
	}
	return upper*20 > letters
}

// readVocabMerges reads the byte-level BPE of GPT-2 and RoBERTa. With <s> and
// </s> in the vocabulary texts are wrapped in them, unless the class is GPT-2's.
func readVocabMerges(vocab, merges []byte, cfg config) (*document, error) {
	prefix := on(cfg.PrefixSpace, false)
	d := &document{
		preTokenizer: json.RawMessage(fmt.Sprintf(`{"type":"ByteLevel","add_prefix_space":%t,"trim_offsets":true,"use_regex":true}`, prefix)),
		post:         json.RawMessage(`{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":false,"use_regex":true}`),
		decod:        json.RawMessage(`{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}`),
		model:        modelSpec{kind: kindBPE, unkID: -1},
	}
	if err := d.model.readVocab(vocab); err != nil {
		return nil, fmt.Errorf("%w (vocab.json)", err)
	}
	if err := checkText("merges.txt", merges); err != nil {
		return nil, err
	}
	for n, line := range strings.Split(strings.ReplaceAll(string(merges), "\r\n", "\n"), "\n") {
		if line == "" || n == 0 && strings.HasPrefix(line, "#version") {
			continue
		}
		a, b, ok := strings.Cut(line, " ")
		if !ok || strings.Contains(b, " ") {
			return nil, fmt.Errorf("tokenizer: merges.txt: line %d: %q is not two tokens with a space between", n+1, line)
		}
		d.model.merges = append(d.model.merges, [2]string{a, b})
	}
	ids := make(map[string]int32, len(d.model.tokens))
	for i, s := range d.model.tokens {
		ids[s] = int32(i)
	}
	if strings.HasPrefix(cfg.Class, "GPT2") {
		d.addConfigured(cfg, ids, []string{"<|endoftext|>"})
		return d, nil
	}
	d.addConfigured(cfg, ids, []string{"<s>", "<pad>", "</s>", "<unk>", "<mask>"})
	cls, sep := cfg.name("cls_token", "<s>"), cfg.name("sep_token", "</s>")
	first, ok1 := ids[cls]
	last, ok2 := ids[sep]
	if ok1 && ok2 {
		d.post = robertaPost(cls, first, sep, last, prefix)
	}
	return d, nil
}

// robertaPost writes RoBERTa's post-processor: cls before a text, sep after it.
func robertaPost(cls string, first int32, sep string, last int32, prefix bool) json.RawMessage {
	token := func(s string, id int32) ordered.Raw { return ordered.List(ordered.Value(s), ordered.Value(id)) }
	return json.RawMessage(ordered.Object(ordered.Pair("type", "RobertaProcessing"), ordered.Pair("sep", token(sep, last)),
		ordered.Pair("cls", token(cls, first)), ordered.Pair("trim_offsets", true), ordered.Pair("add_prefix_space", prefix)))
}
