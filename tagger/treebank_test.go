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

func TestTreebanks(t *testing.T) {
	for _, tc := range []struct {
		name, train, test string
		hints             string
		epochs            int
		pos, words        float64 // at least
	}{
		{"English", "data/ud/en_ewt-ud-train.part.conllu", "data/ud/en_ewt-ud-test.conllu", "", 2, 0.92, 0.98},
		{"Chinese", "data/ud/zh_gsdsimp-ud-dev.conllu", "data/ud/zh_gsdsimp-ud-test.conllu", tagger.NoHints, 4, 0.85, 0.80},
		{"Chinese with the dictionary", "data/ud/zh_gsdsimp-ud-dev.conllu", "data/ud/zh_gsdsimp-ud-test.conllu", "zh", 3, 0.87, 0.89},
	} {
		t.Run(tc.name, func(t *testing.T) {
			opts := tagger.Default()
			opts.Hints, opts.Epochs = tc.hints, tc.epochs
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
			raw, gold, err := a.Evaluate(t.Context(), test, 1)
			if err != nil {
				t.Fatal(err)
			}
			per := time.Since(began) / time.Duration(raw.Found+gold.Found)
			t.Logf("trained in %v, %d features, %d bytes; %v a word", took, a.Features(), info.Size(), per)
			t.Logf("gold words: UPOS %.4f; raw text: words F1 %.4f, UPOS of aligned words %.4f", gold.POSAccuracy(), raw.WordF1(), raw.POSAccuracy())
			if gold.POSAccuracy() < tc.pos || raw.WordF1() < tc.words {
				t.Errorf("want UPOS of at least %.2f and words of at least %.2f", tc.pos, tc.words)
			}
		})
	}
}

// The characters of MSRA-NER: four fifths to learn from, one to be scored on.
func TestEntities(t *testing.T) {
	c := open(t, "data/msra_ner/dev.tsv")
	opts := tagger.Default()
	for _, tc := range []struct {
		hints  string
		epochs int
		least  float64
	}{{tagger.NoHints, 3, 0.52}, {"zh", 2, 0.68}} {
		opts.Hints, opts.Epochs = tc.hints, tc.epochs
		a, err := tagger.Train(t.Context(), corpus.Take(c, c.Len()*4/5), nil, opts)
		if err != nil {
			t.Fatal(err)
		}
		raw, gold, err := a.Evaluate(t.Context(), corpus.Skip(c, c.Len()*4/5), 2)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("hints %s, words %s: entities F1 %.4f, of raw text %.4f", tc.hints, a.Words(), gold.EntityF1(), raw.EntityF1())
		if gold.EntityF1() < tc.least || raw.EntityF1() < tc.least {
			t.Errorf("want entities F1 of at least %.2f", tc.least)
		}
	}
}

func BenchmarkAnnotate(b *testing.B) {
	for _, tc := range []struct{ name, train, test, hints string }{
		{"English", "data/ud/en_ewt-ud-dev.conllu", "data/ud/en_ewt-ud-test.conllu", tagger.NoHints},
		{"Chinese", "data/ud/zh_gsdsimp-ud-dev.conllu", "data/ud/zh_gsdsimp-ud-test.conllu", tagger.NoHints},
		{"ChineseHints", "data/ud/zh_gsdsimp-ud-dev.conllu", "data/ud/zh_gsdsimp-ud-test.conllu", "zh"},
	} {
		opts := tagger.Default()
		opts.Hints, opts.Epochs = tc.hints, 3
		a, err := tagger.Train(b.Context(), open(b, tc.train), nil, opts)
		if err != nil {
			b.Fatal(err)
		}
		test := open(b, tc.test)
		b.Run(tc.name, func(b *testing.B) {
			words := 0
			for b.Loop() {
				for i := range test.Len() {
					e, _ := test.At(i)
					w, err := a.Annotate(e.Text)
					if err != nil {
						b.Fatal(err)
					}
					words += len(w)
				}
			}
			b.ReportMetric(float64(words)/b.Elapsed().Seconds(), "words/s")
		})
	}
}
