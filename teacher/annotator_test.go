package teacher_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/teacher"
)

// words and the label that the test's tagger gives each of them.
var vocab = []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "anna", "##lise", "king", "paris", "walks", ".", "我", "们", "走"}

// tagger is a token classifier whose label for a token is that of the table,
// whatever stands around it: every layer adds nothing, an embedding is a
// multiple of a unit vector, and the classifier reads which.
func tagger(t *testing.T, labels []string, of map[string]string) *onnx.Model {
	t.Helper()
	h := len(vocab)
	s := student.Shape{Layers: 1, Hidden: h, Heads: 1, FFN: 4, Vocab: h, Positions: 12}
	m, err := student.New(s, []student.Head{student.NER(labels)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range m.Graph.Initializers {
		if w.Type == onnx.Float && !strings.Contains(w.Name, "LayerNorm") && len(w.Dims) > 0 {
			m.Graph.SetInitializer(onnx.NewFloats(w.Name, make([]float32, w.Len()), w.Dims...))
		}
	}
	c := len(labels)
	embed, class := make([]float32, h*h), make([]float32, h*c)
	for i, token := range vocab {
		embed[i*h+i] = 1
		for k, l := range labels {
			if of[token] == l {
				class[i*c+k] = 1
			}
		}
	}
	m.Graph.SetInitializer(onnx.NewFloats("bert.embeddings.word_embeddings.weight", embed, int64(h), int64(h)))
	if w := m.Graph.Initializer("classifier.weight"); w == nil || w.Dims[0] != int64(h) {
		t.Fatal("the classifier has another layout")
	}
	m.Graph.SetInitializer(onnx.NewFloats("classifier.weight", class, int64(h), int64(c)))
	// A plain token classifier, as other tools write it.
	m.Config.ID2Label = labels
	if err := student.WriteLite(m.Config, student.Lite{}); err != nil {
		t.Fatal(err)
	}
	tok, err := corpus.NewWordPiece(vocab, true)
	if err != nil {
		t.Fatal(err)
	}
	m.Files = tok.Files()
	return m
}

// show writes words as text/POS or text/entity.
func show(text string, words []corpus.Word) string {
	var out []string
	for _, w := range words {
		out = append(out, fmt.Sprintf("%s/%s%s", text[w.Start:w.End], w.POS, w.Entity))
	}
	return strings.Join(out, " ")
}

func TestAnnotate(t *testing.T) {
	bio := map[string]string{"anna": "I-PER", "##lise": "O", "king": "I-PER", "paris": "B-LOC", "walks": "O", ".": "O"}
	for name, c := range map[string]struct {
		labels []string
		of     map[string]string
		text   string
		want   string
	}{
		"entities begin with B": {[]string{"O", "B-PER", "I-PER", "B-LOC", "I-LOC"}, bio,
			"Annalise King walks Paris Paris.", "Annalise/B-PER King/I-PER walks/O Paris/B-LOC Paris/B-LOC ./O"},
		"BIOES": {[]string{"O", "S-LOC", "B-PER", "E-PER"}, map[string]string{"anna": "B-PER", "king": "E-PER", "paris": "S-LOC", "walks": "O"},
			"anna king paris paris", "anna/B-PER king/I-PER paris/B-LOC paris/B-LOC"},
		"types without prefix": {[]string{"O", "PER", "LOC"}, map[string]string{"anna": "PER", "king": "PER", "paris": "LOC", "walks": "O"},
			"walks anna king paris", "walks/O anna/B-PER king/I-PER paris/B-LOC"},
		"parts of speech": {[]string{"NOUN", "PROPN", "VERB", "PUNCT"}, map[string]string{"anna": "PROPN", "##lise": "VERB", "walks": "VERB", ".": "PUNCT"},
			"annalise  walks.", "annalise/PROPN walks/VERB ./PUNCT"},
		"joint words": {[]string{"B-PRON", "I-PRON", "B-VERB", "I-VERB"}, map[string]string{"我": "B-PRON", "们": "I-PRON", "走": "B-VERB"},
			"我们走走", "我们/PRON 走/VERB 走/VERB"},
		"longer than the model": {[]string{"NOUN", "VERB", "PUNCT"}, map[string]string{"anna": "NOUN", "##lise": "VERB", "walks": "VERB", ".": "PUNCT"},
			strings.Repeat("annalise walks. ", 9), strings.TrimSpace(strings.Repeat("annalise/NOUN walks/VERB ./PUNCT ", 9))},
		"nothing": {[]string{"NOUN", "VERB"}, nil, "  ", ""},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := teacher.NewAnnotator(tagger(t, c.labels, c.of), teacher.AnnotatorOptions{})
			if err != nil {
				t.Fatal(err)
			}
			words, err := a.Annotate(c.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := show(c.text, words); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestAnnotateACorpus(t *testing.T) {
	a, err := teacher.NewAnnotator(tagger(t, []string{"NOUN", "VERB", "PUNCT"}, map[string]string{"anna": "NOUN", "walks": "VERB", ".": "PUNCT"}), teacher.AnnotatorOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var in []corpus.Example
	for range 20 {
		in = append(in, corpus.Example{Text: "anna walks.", Label: -1}, corpus.Example{Text: "", Label: -1})
	}
	c, err := corpus.Annotate(t.Context(), corpus.FromExamples(in, nil), a, 4)
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.Len() {
		e, err := c.At(i)
		if want := []string{"anna/NOUN walks/VERB ./PUNCT", ""}[i%2]; err != nil || show(e.Text, e.Words) != want {
			t.Fatalf("example %d: %s, %v", i, show(e.Text, e.Words), err)
		}
	}
}

func TestUnfitAnnotatorsAreRefused(t *testing.T) {
	generic := tagger(t, []string{"LABEL_0", "LABEL_1"}, nil)
	noTokenizer := tagger(t, []string{"NOUN", "VERB"}, nil)
	noTokenizer.Files = nil
	wrong := tagger(t, []string{"NOUN", "VERB"}, nil)
	wrong.Config.ID2Label = []string{"NOUN"}
	for name, c := range map[string]struct {
		m    *onnx.Model
		want string
	}{
		"placeholders": {generic, "placeholders"},
		"tokenizer":    {noTokenizer, "tokenizer"},
		"classifier":   {classifier(t, 1), "ForTokenClassification"},
		"labels":       {wrong, "labels of config.json"},
	} {
		a, err := teacher.NewAnnotator(c.m, teacher.AnnotatorOptions{})
		if err == nil {
			_, err = a.Annotate("anna")
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
