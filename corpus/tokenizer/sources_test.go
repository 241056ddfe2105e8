package tokenizer_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/litekit/lite/corpus/tokenizer"
)

// sentencepieceModel writes a model of a few pieces; kind 1 is unigram, 2 BPE.
func sentencepieceModel(kind uint64) []byte {
	var out []byte
	for i, p := range []struct {
		s    string
		kind uint64
	}{{"<unk>", 2}, {"<s>", 3}, {"</s>", 3}, {"▁", 1}, {"t", 1}, {"h", 1}, {"e", 1}, {"c", 1}, {"a", 1}, {"he", 1}, {"▁t", 1}, {"▁the", 1}, {"ca", 1}, {"▁ca", 1}} {
		score := -float32(10 - i%10)
		if kind == 2 {
			score = -float32(i)
		}
		piece := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), p.s)
		piece = protowire.AppendFixed32(protowire.AppendTag(piece, 2, protowire.Fixed32Type), math.Float32bits(score))
		piece = protowire.AppendVarint(protowire.AppendTag(piece, 3, protowire.VarintType), p.kind)
		out = protowire.AppendBytes(protowire.AppendTag(out, 1, protowire.BytesType), piece)
	}
	trainer := protowire.AppendVarint(protowire.AppendTag(nil, 3, protowire.VarintType), kind)
	return protowire.AppendBytes(protowire.AppendTag(out, 2, protowire.BytesType), trainer)
}

// Every source of a tokenizer gives what its family gives.
func TestSources(t *testing.T) {
	for _, tc := range []struct {
		name  string
		files map[string]string
		text  string
		want  string // tokens with ids
	}{
		{"RoBERTa", map[string]string{"vocab.json": `{"<s>":0,"<pad>":1,"</s>":2,"<unk>":3,"a":4,"b":5,"ab":6,"Ġ":7,"Ġab":8,"<mask>":9}`, "merges.txt": "#version: 0.2\na b\nĠ ab\n"},
			"ab ab <mask>b", "<s>/0 ab/6 Ġab/8 <mask>/9 b/5 </s>/2"},
		{"GPT-2", map[string]string{"vocab.json": `{"a":0,"b":1,"ab":2,"<|endoftext|>":3}`, "merges.txt": "a b\n", "tokenizer_config.json": `{"tokenizer_class":"GPT2Tokenizer"}`},
			"ab<|endoftext|>ba", "ab/2 <|endoftext|>/3 b/1 a/0"},
		{"XLM-R", map[string]string{"sentencepiece.bpe.model": string(sentencepieceModel(1))}, "the ca<mask>", "<s>/0 ▁the/12 ▁ca/14 <mask>/15 </s>/2"},
		{"T5", map[string]string{"spiece.model": string(sentencepieceModel(1)), "tokenizer_config.json": `{"tokenizer_class":"T5Tokenizer","extra_ids":2}`}, "the<extra_id_0>", "▁the/11 <extra_id_0>/15 </s>/2"},
		{"DeBERTa", map[string]string{"spm.model": string(sentencepieceModel(1))}, "the", "▁the/11"},
		{"plain unigram", map[string]string{"tokenizer.model": string(sentencepieceModel(1)), "special_tokens_map.json": `{"cls_token":"<s>","sep_token":{"content":"</s>"}}`}, "the", "<s>/1 ▁the/11 </s>/2"},
		{"plain BPE", map[string]string{"tokenizer.model": string(sentencepieceModel(2))}, "the ca", "<s>/1 ▁the/11 ▁ca/13 </s>/2"},
	} {
		files := map[string][]byte{}
		for name, s := range tc.files {
			files[name] = []byte(s)
		}
		tok, err := tokenizer.Load(files)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		again, err := tokenizer.Load(map[string][]byte{"tokenizer.json": tok.Files()["tokenizer.json"]})
		if err != nil {
			t.Errorf("%s: what is written: %v", tc.name, err)
			continue
		}
		for _, tok := range []*tokenizer.Tokenizer{tok, again} {
			e := tok.Encode(tc.text)
			var got []string
			for i, s := range e.Tokens {
				got = append(got, fmt.Sprintf("%s/%d", s, e.IDs[i]))
			}
			if s := strings.Join(got, " "); s != tc.want {
				t.Errorf("%s: %q\n got %s\nwant %s", tc.name, tc.text, s, tc.want)
			}
		}
	}
}

// Errors name what is wrong in which component.
func TestLoadErrors(t *testing.T) {
	const wl = `"model":{"type":"WordLevel","vocab":{"a":0},"unk_token":"a"}`
	for _, tc := range [][2]string{
		{`{`, "tokenizer.json"},
		{`{}`, `no "model"`},
		{`{"model":{"type":"Strange","vocab":{"a":0}}}`, `model "Strange"`},
		{`{"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"X"}]},` + wl + `}`, `normalizer.normalizers[1]: the normalizer "X"`},
		{`{"normalizer":{"type":"Precompiled","precompiled_charsmap":"AAA"},` + wl + `}`, "normalizer: precompiled_charsmap"},
		{`{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(a"},"behavior":"Isolated"},` + wl + `}`, "pre_tokenizer.pattern: regular expression"},
		{`{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(a)\\1"},"behavior":"Isolated"},` + wl + `}`, "back-reference"},
		{`{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(ab){9999}{9999}"},"behavior":"Isolated"},` + wl + `}`, "too large"},
		{`{"pre_tokenizer":{"type":"Split","pattern":{"String":"a"},"behavior":"Up"},` + wl + `}`, `behavior "Up"`},
		{`{"pre_tokenizer":{"type":"Metaspace","prepend_scheme":"x"},` + wl + `}`, `prepend_scheme "x"`},
		{`{"post_processor":{"type":"X"},` + wl + `}`, `post-processor "X"`},
		{`{"post_processor":{"type":"BertProcessing","sep":["x",9],"cls":["x",0]},` + wl + `}`, "token id 9"},
		{`{"decoder":{"type":"X"},` + wl + `}`, `decoder "X"`},
		{`{"model":{"type":"Unigram","vocab":[["a",0]]}}`, "unk_id is -1"},
		{`{"model":{"type":"BPE","vocab":{"a":0},"merges":["a b"]}}`, `merge 0 joins "a" and "b"`},
		{`{"model":{"type":"WordLevel","vocab":{"a":99999999}}}`, "id 99999999"},
		{`{"added_tokens":[{"id":0,"content":"b"}],` + wl + `}`, `"b" has id 0, which is "a"`},
		{`{"truncation":{"max_length":-1,"stride":0,"strategy":"LongestFirst"},` + wl + `}`, "truncation"},
	} {
		if _, err := tokenizer.Load(map[string][]byte{"tokenizer.json": []byte(tc[0])}); err == nil || !strings.Contains(err.Error(), tc[1]) {
			t.Errorf("%s:\n%v\nwant an error with %q", tc[0], err, tc[1])
		}
	}
	for name, data := range map[string]string{"vocab.txt": "a\n\xff\n", "vocab.json": "{}", "spiece.model": "\xff\xff"} {
		if _, err := tokenizer.Load(map[string][]byte{name: []byte(data)}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := tokenizer.Load(nil); err == nil {
		t.Error("nothing: no error")
	}
}
