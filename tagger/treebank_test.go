package tagger_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/shared"
	"github.com/litekit/lite/tagger"
)

func open(t testing.TB, path string) corpus.Corpus {
	t.Helper()
	c, err := corpus.Open([]string{shared.Path(t, path)}, corpus.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// score annotates raw texts, and tags gold words.
func score(t testing.TB, a *tagger.Tagger, c corpus.Corpus) (raw, gold tagger.Score) {
	t.Helper()
	for i := range c.Len() {
		e, err := c.At(i)
		if err != nil {
			t.Fatal(err)
		}
		words, err := a.Annotate(e.Text)
		if err != nil {
			t.Fatal(err)
		}
		raw.Add(e.Words, words)
		if words, err = a.Tag(e.Text, e.Words, e.Sentences); err != nil {
			t.Fatal(err)
		}
		gold.Add(e.Words, words)
	}
	return raw, gold
}

func TestTreebanks(t *testing.T) {
	for _, tc := range []struct {
		name, train, test string
		hints             string
		pos, words        float64 // at least
	}{
		{"English", "data/ud/en_ewt-ud-train.part.conllu", "data/ud/en_ewt-ud-test.conllu", "", 0.92, 0.97},
		{"Chinese", "data/ud/zh_gsdsimp-ud-dev.conllu", "data/ud/zh_gsdsimp-ud-test.conllu", "", 0.85, 0.80},
		{"Chinese with the dictionary", "data/ud/zh_gsdsimp-ud-dev.conllu", "data/ud/zh_gsdsimp-ud-test.conllu", "zh", 0.85, 0.80},
	} {
		t.Run(tc.name, func(t *testing.T) {
			opts := tagger.Default()
			opts.Hints = tc.hints
			train, test := open(t, tc.train), open(t, tc.test)
			began := time.Now()
			a, err := tagger.Train(t.Context(), train, nil, opts)
			if err != nil {
				t.Fatal(err)
			}
			took := time.Since(began)
			path := filepath.Join(t.TempDir(), "tagger.lite")
			if err := a.Save(path); err != nil {
				t.Fatal(err)
			}
			info, _ := os.Stat(path)
			began = time.Now()
			raw, gold := score(t, a, test)
			per := time.Since(began) / time.Duration(raw.Found+gold.Found)
			t.Logf("trained in %v, %d features, %d bytes; %v a word", took, a.Features(), info.Size(), per)
			t.Logf("gold words: UPOS %.4f; raw text: words F1 %.4f, UPOS of aligned words %.4f", gold.POSAccuracy(), raw.WordF1(), raw.POSAccuracy())
			if gold.POSAccuracy() < tc.pos || raw.WordF1() < tc.words {
				t.Errorf("want UPOS of at least %.2f and words of at least %.2f", tc.pos, tc.words)
			}
		})
	}
}
