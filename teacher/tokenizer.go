package teacher

import (
	"encoding/json"
	"fmt"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/corpus/tokenizer"
	"github.com/litekit/lite/onnx"
)

// Tokenizer is the tokenizer of a model's files. Where they have none that can
// be read and data holds token ids ([corpus.Tokenized]), it is a stand-in that
// knows the vocabulary's size and special tokens from config.json (vocab_size,
// pad_token_id, mask_token_id …) and no text ([tokenizer.NewIDs]).
func Tokenizer(m *onnx.Model, data corpus.Corpus) (*corpus.Tokenizer, error) {
	t, err := corpus.LoadTokenizer(m.Files)
	if err == nil || !corpus.Tokenized(data) {
		return t, err
	}
	return IDTokenizer(m)
}

// IDTokenizer is the stand-in of [Tokenizer], whatever tokenizer the model has.
func IDTokenizer(m *onnx.Model) (*corpus.Tokenizer, error) {
	if m.Config == nil || m.Config.VocabSize <= 0 {
		return nil, fmt.Errorf("teacher: token ids need to know how many there are, and the model has no config.json with vocab_size; add one")
	}
	id := func(names ...string) int64 {
		for _, name := range names {
			var n int64
			if data, ok := m.Config.Extra[name]; ok && json.Unmarshal(data, &n) == nil && n >= 0 && string(data) != "null" {
				return n
			}
		}
		return -1
	}
	return tokenizer.NewIDs(m.Config.VocabSize, tokenizer.Roles{
		Pad: int64(m.Config.PadTokenID), Unk: id("unk_token_id"), Cls: id("cls_token_id", "bos_token_id"),
		Sep: id("sep_token_id", "eos_token_id"), Mask: id("mask_token_id"),
	})
}
