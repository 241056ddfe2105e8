package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
)

// robertaTokens are the special tokens of RoBERTa's family, in its order.
var robertaTokens = []string{"<s>", "<pad>", "</s>", "<unk>", "<mask>"}

// TrainBPE learns a byte-level BPE vocabulary of at most size entries, as GPT-2
// and RoBERTa have it (Radford et al. 2019): special tokens first, then the 256
// bytes, then the pairs in the order in which they are merged. Nothing is ever
// unknown. Texts are wrapped in <s> … </s>. size must have room for the bytes.
// Equal counts go by the age of the pieces, so the result depends on the texts
// only.
func TrainBPE(texts iter.Seq[string], size int, opts TrainOptions) (*Tokenizer, error) {
	vocab, err := opts.start(robertaTokens, size)
	if err != nil {
		return nil, err
	}
	if least := len(vocab) + len(byteRunes); size < least {
		return nil, fmt.Errorf("tokenizer: training: size %d; the special tokens and the 256 bytes need %d", size, least)
	}
	var ns normalizers
	var norm json.RawMessage
	if opts.Lowercase {
		ns, norm = normalizers{lowercase{}}, json.RawMessage(`{"type":"Lowercase"}`)
	}
	words, counts := countWords(texts, ns, preTokenizers{byteLevel{cuts: true}}, defaultMaxChars)
	if len(words) == 0 {
		return nil, errors.New("tokenizer: training: the texts have no words")
	}
	m := newMerger(vocab, opts.MinFrequency, "")
	for _, r := range byteRunes {
		m.id(string(r))
	}
	m.load(words, counts)
	m.run(size)
	bl := json.RawMessage(`{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}`)
	d := &document{
		normalizer: norm, preTokenizer: bl, decod: bl,
		post:  robertaPost("<s>", 0, "</s>", 2, false),
		model: modelSpec{kind: kindBPE, tokens: m.vocab, merges: m.merges, unkID: -1},
	}
	d.special(vocab)
	return build(d, config{})
}

// special adds the first entries of the vocabulary as special tokens; a mask
// takes the space before it.
func (d *document) special(tokens []string) {
	for i, s := range tokens {
		d.added = append(d.added, AddedToken{ID: int32(i), Content: s, Special: true, LStrip: s == "<mask>"})
	}
	d.added = slices.Clip(d.added)
}
