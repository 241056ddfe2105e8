package tokenizer_test

import (
	"testing"

	"github.com/litekit/lite/corpus/tokenizer"
)

// checkEncoding fails on ids outside the vocabulary, offsets outside the texts
// or that run backwards, and word numbers that do.
func checkEncoding(t *testing.T, tok *tokenizer.Tokenizer, e tokenizer.Encoding, texts ...string) {
	t.Helper()
	last, word := [2]int{}, [2]int{}
	for i, id := range e.IDs {
		if id < 0 || id >= int64(tok.VocabSize()) {
			t.Fatalf("token %d has id %d of %d", i, id, tok.VocabSize())
		}
		seq := e.Seq[i]
		if seq < 0 {
			continue
		}
		s := e.Offsets[i]
		if s.Start < last[seq] || s.End < s.Start || s.End > len(texts[seq]) {
			t.Fatalf("token %d %q has span %v after %d in a text of %d bytes", i, e.Tokens[i], s, last[seq], len(texts[seq]))
		}
		if e.Word[i] < word[seq] || e.Word[i] < 0 {
			t.Fatalf("token %d has word %d after %d", i, e.Word[i], word[seq])
		}
		last[seq], word[seq] = s.Start, e.Word[i]
	}
}

func FuzzEncode(f *testing.F) {
	toks := trained(f)
	for _, s := range []string{"The cat[MASK] sat<mask> x", "İstanbul ΑΣ ﬁ ㎏", "中文\x00\xff \u200d e\u0301\u0327", "👨‍👩‍👧 ١٢٣ \u0600a", " \u00a0\r\n\t ", "don't we'LL"} {
		f.Add(s, "the mat")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, tok := range toks {
			checkEncoding(t, tok, tok.Encode(a), a)
			checkEncoding(t, tok, tok.EncodePair(a, b), a, b)
			e := tok.EncodeMax(a, b, 8)
			if e.Len() > 8 {
				t.Fatalf("%d tokens, want at most 8", e.Len())
			}
			_ = tok.Decode(e.IDs, false)
			after := int32(0)
			for _, p := range tok.Pieces(a, nil) {
				if p.Start < after || p.End < p.Start || int(p.End) > len(a) {
					t.Fatalf("piece %+v after %d", p, after)
				}
				after = p.Start
			}
		}
	})
}

// Whatever loads encodes and decodes, and what it writes loads again.
func FuzzLoad(f *testing.F) {
	for _, tok := range trained(f) {
		files := tok.Files()
		f.Add(files["tokenizer.json"], files["tokenizer_config.json"])
	}
	for _, s := range []string{
		`{"added_tokens":[{"id":1,"content":"x","normalized":true,"lstrip":true}],"normalizer":{"type":"Sequence","normalizers":[{"type":"NFKC"},{"type":"Replace","pattern":{"Regex":"(?<=a)b*|c?"},"content":"é"},{"type":"Strip"},{"type":"Prepend","prepend":"▁"}]},"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"\\s+(?!\\S)|\\p{L}++"},"behavior":"MergedWithNext","invert":true},{"type":"ByteLevel"},{"type":"UnicodeScripts"}]},"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}`,
		`{"normalizer":{"type":"Precompiled","precompiled_charsmap":"CAAAAAABAAAAAQAA"},"decoder":{"type":"Sequence","decoders":[{"type":"ByteFallback"},{"type":"Strip","content":"a","start":1,"stop":1}]},"model":{"type":"Unigram","unk_id":0,"vocab":[["a",-1],["<0x61>",0]],"byte_fallback":true}}`,
		`{"pre_tokenizer":{"type":"Metaspace","prepend_scheme":"first","split":false},"post_processor":{"type":"RobertaProcessing","sep":["a",0],"cls":["a",0]},"model":{"type":"WordLevel","vocab":{"a":0},"unk_token":"a"}}`,
	} {
		f.Add([]byte(s), []byte("{}"))
	}
	f.Fuzz(func(t *testing.T, j, config []byte) {
		tok, err := tokenizer.Load(map[string][]byte{"tokenizer.json": j, "tokenizer_config.json": config})
		if err != nil {
			return
		}
		const a, b = "ab a [MASK]<mask> don't é\xff中x", "中b  c"
		e := tok.EncodePair(a, b)
		for i, s := range e.Offsets {
			text := a
			if e.Seq[i] == 1 {
				text = b
			}
			if s.Start < 0 || s.End < s.Start || s.End > len(text) {
				t.Fatalf("token %d has span %v", i, s)
			}
		}
		_ = tok.Decode(e.IDs, true)
		small, _, err := tok.Prune(func(id int64) bool { return id%2 == 0 })
		if err == nil {
			_ = small.Encode(a)
		}
	})
}

func FuzzSentencepiece(f *testing.F) {
	f.Add(sentencepieceModel(1))
	f.Add(sentencepieceModel(2))
	f.Fuzz(func(t *testing.T, data []byte) {
		tok, err := tokenizer.Load(map[string][]byte{"spiece.model": data})
		if err == nil {
			checkEncoding(t, tok, tok.Encode("the cat\xff 中"), "the cat\xff 中")
		}
	})
}
