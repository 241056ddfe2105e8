package teacher_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/teacher"
)

// ids is a corpus of one example.
func ids(n ...int32) corpus.Corpus {
	return corpus.FromExamples([]corpus.Example{{Label: -1, Tokens: &corpus.Tokens{IDs: n}}}, nil)
}

func TestTokenizer(t *testing.T) {
	m := &onnx.Model{Config: &onnx.Config{VocabSize: 50, PadTokenID: 1, Extra: map[string]json.RawMessage{"mask_token_id": json.RawMessage("4"), "eos_token_id": json.RawMessage("2"), "bos_token_id": json.RawMessage("null")}}}
	tok, err := teacher.Tokenizer(m, ids(3))
	if err != nil {
		t.Fatal(err)
	}
	if tok.ReadsText() || tok.VocabSize() != 50 || tok.PadID() != 1 || tok.MaskID() != 4 || tok.SepID() != 2 || tok.ClsID() != -1 || !tok.IsSpecial(2) || tok.IsSpecial(5) {
		t.Errorf("pad %d, mask %d, sep %d, cls %d of %d", tok.PadID(), tok.MaskID(), tok.SepID(), tok.ClsID(), tok.VocabSize())
	}
	text := corpus.FromExamples([]corpus.Example{{Text: "a", Label: -1}}, nil)
	if _, err := teacher.Tokenizer(m, text); err == nil {
		t.Error("text for a model without a tokenizer: no error")
	}
	if _, err := teacher.Tokenizer(&onnx.Model{}, ids(3)); err == nil || !strings.Contains(err.Error(), "vocab_size") {
		t.Errorf("no config.json: %v", err)
	}
	m.Config.PadTokenID = 50
	if _, err := teacher.Tokenizer(m, ids(3)); err == nil || !strings.Contains(err.Error(), "[PAD]") {
		t.Errorf("a padding token outside the vocabulary: %v", err)
	}
}

// Labels of other ids are never taken for those of these.
func TestHashOfIDs(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range []corpus.Corpus{ids(1, 2), ids(2, 1), ids(12), ids(), corpus.FromExamples([]corpus.Example{{Label: -1}}, nil)} {
		h, err := teacher.HashTexts(c)
		if err != nil || seen[h] {
			t.Errorf("hash %s twice (%v)", h, err)
		}
		seen[h] = true
	}
}
