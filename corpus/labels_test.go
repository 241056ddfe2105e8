package corpus_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
)

func TestTokenLabels(t *testing.T) {
	c := read(t, "a.jsonl", `{"text":"ab cde fg.","ents":[{"start":0,"end":6,"label":"PER"}],"tokens":[{"start":0,"end":2,"pos":"PROPN"},{"start":3,"end":6,"pos":"PROPN"},{"start":7,"end":9,"pos":"VERB"}]}`, corpus.Options{})
	tok := letters(t)
	for name, v := range map[string]func() (*corpus.View, error){
		"task": func() (*corpus.View, error) {
			return corpus.NewTaskView(c, tok, corpus.ViewOptions{TokenLabels: true, RowMultiple: 1})
		},
		"denoise": func() (*corpus.View, error) {
			return corpus.NewDenoiseView(c, tok, corpus.ViewOptions{RowsAll: true, RowMultiple: 1})
		},
	} {
		v, err := v()
		if err != nil {
			t.Fatal(err)
		}
		b, err := v.Batch(0, 0)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		name2 := func(tags []string, i int32) string {
			if i < 0 {
				return "-"
			}
			return tags[i]
		}
		for i := range b.Rows {
			got = append(got, name2(v.POSTags(), b.POS[i])+"/"+name2(v.NERTags(), b.NER[i]))
		}
		want := "PROPN/B-PER PROPN/I-PER PROPN/I-PER PROPN/I-PER PROPN/I-PER VERB/O VERB/O -/-"
		if strings.Join(got, " ") != want || b.Rows[0] != 1 {
			t.Errorf("%s: got %s, want %s", name, strings.Join(got, " "), want)
		}
	}
}

func TestNERTags(t *testing.T) {
	c := read(t, "a.bio", "a B-PER\nb I-ORG\n\nc O\n", corpus.Options{})
	tags, err := corpus.NERTags(c)
	if want := []string{"O", "B-ORG", "I-ORG", "B-PER", "I-PER"}; err != nil || !slices.Equal(tags, want) {
		t.Errorf("got %q, %v; want %q", tags, err, want)
	}
	if tags, err := corpus.NERTags(documents(3)); err != nil || len(tags) != 0 {
		t.Errorf("got %q, %v without annotation", tags, err)
	}
}

// Labelled tokens of a text that is too long are in further sequences, each word once.
func TestTokenLabelsOfLongTexts(t *testing.T) {
	var e corpus.Example
	for i := range 40 {
		start := len(e.Text)
		e.Text += "a"
		e.Words = append(e.Words, corpus.Word{Span: corpus.Span{Start: start, End: start + 1}, POS: corpus.UPOS()[i%17], Entity: "O"})
		e.Text += " "
	}
	tok, err := corpus.NewWordPiece([]string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"}, true)
	if err != nil {
		t.Fatal(err)
	}
	v, err := corpus.NewTaskView(corpus.FromExamples([]corpus.Example{e}, nil), tok, corpus.ViewOptions{MaxLength: 12, BatchSize: 3, TokenLabels: true, Window: -1})
	if err != nil {
		t.Fatal(err)
	}
	v = v.Sequential()
	var tags []int32
	for i := range v.Batches(0) {
		b, err := v.Batch(0, i)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range b.POS {
			if p >= 0 {
				tags = append(tags, p)
			}
		}
	}
	if len(tags) != 40 {
		t.Fatalf("%d labelled tokens of 40", len(tags))
	}
	for i, p := range tags {
		if int(p) != i%17 {
			t.Errorf("token %d has tag %d", i, p)
		}
	}
}
