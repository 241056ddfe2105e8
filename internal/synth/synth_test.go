package synth_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/synth"
)

func TestAnnotationsCoverTheText(t *testing.T) {
	upos := corpus.UPOS()
	for n, e := range synth.Documents(synth.Default(3, 300)) {
		var rest strings.Builder
		end := 0
		for i, w := range e.Words {
			if w.Start < end || w.End > len(e.Text) || w.Len() == 0 {
				t.Fatalf("document %d: word %d has the span %v after byte %d of %d", n, i, w.Span, end, len(e.Text))
			}
			rest.WriteString(e.Text[end:w.Start])
			end = w.End
			if !slices.Contains(upos, w.POS) {
				t.Errorf("document %d: tag %q", n, w.POS)
			}
			if k, ok := strings.CutPrefix(w.Entity, "I-"); ok && (i == 0 || !strings.HasSuffix(e.Words[i-1].Entity, "-"+k)) {
				t.Errorf("document %d: %s follows nothing of its kind", n, w.Entity)
			}
		}
		rest.WriteString(e.Text[end:])
		if strings.TrimSpace(rest.String()) != "" {
			t.Errorf("document %d: %q is in no word", n, rest.String())
		}
		if len(e.Sentences) < 3 || e.Sentences[len(e.Sentences)-1].End != len(e.Text) {
			t.Errorf("document %d: sentences %v of %d bytes", n, e.Sentences, len(e.Text))
		}
	}
}

// The vocabulary spells every word of the corpus.
func TestVocabularyHasNoUnknowns(t *testing.T) {
	tok, err := corpus.NewWordPiece(synth.Vocabulary(), true)
	if err != nil {
		t.Fatal(err)
	}
	for n, e := range synth.Documents(synth.Default(5, 500)) {
		if enc := tok.Encode(e.Text); slices.Contains(enc.IDs, tok.UnkID()) {
			t.Fatalf("document %d has unknown tokens: %q", n, e.Text)
		}
	}
}

func TestLongerCorpusBeginsWithShorter(t *testing.T) {
	short, long := synth.Documents(synth.Default(9, 20)), synth.Documents(synth.Default(9, 50))
	if !reflect.DeepEqual(short, long[:20]) {
		t.Error("document i depends on the length of the corpus")
	}
	if reflect.DeepEqual(short, synth.Documents(synth.Default(10, 20))) {
		t.Error("the seed changes nothing")
	}
}

// Labels must not be readable from single words alone: a document has words
// of at least two topics, both languages occur, and some labels are wrong.
func TestCorpusIsMixed(t *testing.T) {
	docs := synth.Documents(synth.Default(1, 400))
	zh, seen := 0, map[string]int{}
	for _, e := range docs {
		if strings.Contains(e.Text, "。") {
			zh++
		}
		seen[e.Target]++
	}
	if zh < 100 || zh > 220 {
		t.Errorf("%d of 400 documents are Chinese; the share asked for is 0.4", zh)
	}
	for _, topic := range synth.Topics() {
		if seen[topic] < 30 {
			t.Errorf("topic %s has %d of 400 documents", topic, seen[topic])
		}
	}
	noisy, clean := synth.Default(1, 400), synth.Default(1, 400)
	clean.LabelNoise = 0
	wrong := 0
	other := synth.Documents(noisy)
	for i, e := range synth.Documents(clean) {
		if e.Target != other[i].Target {
			wrong++
		}
	}
	if wrong == 0 || wrong > 30 {
		t.Errorf("%d of 400 labels are noise; 2%% of the documents draw theirs at random", wrong)
	}
}
