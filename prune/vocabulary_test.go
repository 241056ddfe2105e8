package prune_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/corpus/tokenizer"
	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/prune"
	"github.com/litekit/lite/student"
)

const story = "the cat sat on the mat and the dog ran to the cat in the small house"

func scores(t *testing.T, m *onnx.Model, tok *corpus.Tokenizer, text string) ([]int64, []float32) {
	t.Helper()
	s, err := exec.New(m, exec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e := tok.Encode(text)
	n := e.Len()
	ones := slices.Repeat([]int64{1}, n)
	out, err := s.Run(context.Background(), map[string]*exec.Tensor{"input_ids": exec.Int64s(e.IDs, 1, n),
		"attention_mask": exec.Int64s(ones, 1, n), "token_type_ids": exec.Int64s(make([]int64, n), 1, n)})
	if err != nil {
		t.Fatal(err)
	}
	return e.IDs, out["logits"].F32
}

// The pruned model gives the scores of the tokens that stayed, for every kind of
// tokenizer.
func TestVocabulary(t *testing.T) {
	texts := slices.Values([]string{strings.Repeat(story+" ", 4)})
	wordPiece := func() (*tokenizer.Tokenizer, error) {
		return tokenizer.TrainWordPiece(texts, 70, tokenizer.TrainOptions{Lowercase: true})
	}
	for kind, train := range map[string]func() (*tokenizer.Tokenizer, error){
		"WordPiece": wordPiece, "factorised": wordPiece, "untied": wordPiece,
		"BPE": func() (*tokenizer.Tokenizer, error) { return tokenizer.TrainBPE(texts, 290, tokenizer.TrainOptions{}) },
		"Unigram": func() (*tokenizer.Tokenizer, error) {
			return tokenizer.TrainUnigram(texts, 50, tokenizer.TrainOptions{})
		},
	} {
		tok, err := train()
		if err != nil {
			t.Fatal(err)
		}
		shape := student.Shape{Layers: 1, Hidden: 8, Heads: 2, FFN: 16, Vocab: tok.VocabSize(), Positions: 32}
		floats := 8 + 1 // of an embedding and a bias
		switch kind {
		case "factorised":
			shape.Embedding, floats = 4, 4+1
		case "untied":
			shape.Embedding, shape.Decoder, floats = 12, student.Untied, 12+12+1
		}
		m, err := student.New(shape, []student.Head{student.MaskedLM()}, 3)
		if err != nil {
			t.Fatal(err)
		}
		m.Files = tok.Files()
		before := m.Hash()
		text := "the cat ran to the mat"
		small, report, err := prune.Vocabulary(m, slices.Values([]string{text}), 1)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if m.Hash() != before {
			t.Errorf("%s: the model itself changed", kind)
		}
		if report.Before != tok.VocabSize() || report.After >= report.Before || small.Config.VocabSize != report.After ||
			report.Saved != int64((report.Before-report.After)*floats*4) {
			t.Errorf("%s: report %+v", kind, *report)
		}
		less, err := corpus.LoadTokenizer(small.Files)
		if err != nil {
			t.Fatal(err)
		}
		ids, want := scores(t, m, tok, text)
		smallIDs, got := scores(t, small, less, text)
		for i, id := range smallIDs {
			if report.Old[id] != ids[i] {
				t.Fatalf("%s: token %d is %d, was %d", kind, i, report.Old[id], ids[i])
			}
			for k, old := range report.Old {
				if a, b := got[i*report.After+k], want[i*report.Before+int(old)]; a-b > 1e-6 || b-a > 1e-6 {
					t.Fatalf("%s: token %d scores %v for %d, was %v", kind, i, a, old, b)
				}
			}
		}
	}
}

func TestVocabularyErrors(t *testing.T) {
	m, err := student.New(student.Shape{Layers: 1, Hidden: 8, Heads: 2, FFN: 16, Vocab: 6, Positions: 8}, nil, 3)
	if err != nil {
		t.Fatal(err)
	}
	none := slices.Values([]string(nil))
	if _, _, err := prune.Vocabulary(m, none, 1); err == nil || !strings.Contains(err.Error(), "without a tokenizer") {
		t.Errorf("no tokenizer: %v", err)
	}
	tok, err := tokenizer.NewWordPiece(strings.Fields("[PAD] [UNK] [CLS] [SEP] [MASK] a b c d"), true)
	if err != nil {
		t.Fatal(err)
	}
	m.Files = tok.Files()
	if _, _, err := prune.Vocabulary(m, slices.Values([]string{"d"}), 1); err == nil || !strings.Contains(err.Error(), "only 6 embeddings") {
		t.Errorf("another tokenizer: %v", err)
	}
}
