package eval_test

import (
	"math"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

func near(a, b float64) bool {
	return math.IsNaN(a) && math.IsNaN(b) || a == b || math.Abs(a-b) < 1e-9
}

// onehot is rows of c scores, the greatest at the predictions.
func onehot(c int, predictions ...int) []float32 {
	out := make([]float32, c*len(predictions))
	for i, p := range predictions {
		out[i*c+p] = 1
	}
	return out
}

func metric(t *testing.T, name string, labels ...string) eval.Metric {
	t.Helper()
	make, err := eval.MetricByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return make(labels)
}

var vocab = []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "an", "##na", "sees", "par", "##is", ".", "the", "king", "walk", "##s", "in"}

// model is a small encoder with fresh weights and a tokenizer.
func model(t *testing.T, seed uint64, heads ...student.Head) *onnx.Model {
	t.Helper()
	m, err := student.New(student.Shape{Layers: 1, Hidden: 16, Heads: 2, FFN: 24, Vocab: len(vocab), Positions: 24}, heads, seed)
	if err != nil {
		t.Fatal(err)
	}
	// Fresh weights hardly tell inputs apart.
	for _, w := range m.Graph.Initializers {
		if v, err := w.Floats(); err == nil && len(w.Dims) == 2 {
			big := make([]float32, len(v))
			for i := range v {
				big[i] = 20 * v[i]
			}
			m.Graph.SetInitializer(onnx.NewFloats(w.Name, big, w.Dims...))
		}
	}
	tok, err := corpus.NewWordPiece(vocab, true)
	if err != nil {
		t.Fatal(err)
	}
	m.Files = tok.Files()
	return m
}

// annotated is documents with labels, tags and two sentences each.
func annotated() *corpus.Memory {
	word := func(start, end int, pos, entity string) corpus.Word {
		return corpus.Word{Span: corpus.Span{Start: start, End: end}, POS: pos, Entity: entity}
	}
	var out []corpus.Example
	for i := range 12 {
		e := corpus.Example{Text: "Anna sees Paris. The king walks in Paris.", Label: i % 3 / 2,
			Sentences: []corpus.Span{{Start: 0, End: 16}, {Start: 17, End: 41}},
			Words: []corpus.Word{word(0, 4, "PROPN", "B-PER"), word(5, 9, "VERB", "O"), word(10, 15, "PROPN", "B-LOC"), word(15, 16, "PUNCT", "O"),
				word(17, 20, "DET", "B-PER"), word(21, 25, "NOUN", "I-PER"), word(26, 31, "VERB", "O"), word(32, 34, "ADP", "O"), word(35, 40, "PROPN", "B-LOC"), word(40, 41, "PUNCT", "O")}}
		if i%2 == 1 {
			e.Text, e.Sentences, e.Words = "The king sees Anna.", []corpus.Span{{Start: 0, End: 19}},
				[]corpus.Word{word(0, 3, "DET", "O"), word(4, 8, "NOUN", "O"), word(9, 13, "VERB", "O"), word(14, 18, "PROPN", "B-PER"), word(18, 19, "PUNCT", "O")}
		}
		out = append(out, e)
	}
	return corpus.FromExamples(out, []string{"calm", "loud"})
}

var (
	pos = []string{"PROPN", "VERB", "PUNCT", "DET", "NOUN", "ADP"}
	ner = []string{"O", "B-PER", "I-PER", "B-LOC", "I-LOC"}
)

func allHeads() []student.Head {
	return []student.Head{student.Classification([]string{"calm", "loud"}), student.MaskedLM(), student.POS(pos), student.NER(ner), student.SentenceOrder()}
}
