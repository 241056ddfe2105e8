package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/shared"
)

func TestShuffledTags(t *testing.T) {
	var b strings.Builder
	for _, sentence := range []string{"Dogs/NOUN bark/VERB loudly/ADV", "Cats/NOUN sleep/VERB"} {
		for i, word := range strings.Fields(sentence) {
			form, tag, _ := strings.Cut(word, "/")
			fmt.Fprintf(&b, "%d\t%s\t_\t%s\t_\t_\t_\t_\t_\t_\n", i+1, form, tag)
		}
		b.WriteString("\n")
	}
	c, err := corpus.Read(strings.NewReader(b.String()), "x.conllu", corpus.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tags := func(c corpus.Corpus) (all []string, count map[string]int) {
		count = map[string]int{}
		for i := range c.Len() {
			e, err := c.At(i)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range e.Words {
				all = append(all, w.POS)
				count[w.POS]++
			}
		}
		return all, count
	}
	before, counted := tags(c)
	moved := false
	for seed := range uint64(5) {
		s, err := shuffledTags(c, seed)
		if err != nil {
			t.Fatal(err)
		}
		after, again := tags(s)
		for tag, n := range counted {
			if again[tag] != n {
				t.Errorf("seed %d: %d times %s, want %d", seed, again[tag], tag, n)
			}
		}
		moved = moved || strings.Join(after, " ") != strings.Join(before, " ")
	}
	if still, _ := tags(c); !moved || strings.Join(still, " ") != strings.Join(before, " ") {
		t.Error("nothing was shuffled, or the corpus itself was")
	}
}

// A run that was stopped after some of its figures makes the rest and prints all.
func TestTable(t *testing.T) {
	dir := t.TempDir()
	runs := 0
	stop := errors.New("stop")
	give := func(base float64) func(context.Context, string, uint64) (map[string]float64, error) {
		return func(_ context.Context, _ string, seed uint64) (map[string]float64, error) {
			if runs++; runs == 4 {
				return nil, stop
			}
			return map[string]float64{"accuracy": base + float64(seed)/100}, nil
		}
	}
	tab := table{id: "9", title: "Title", columns: []column{accuracy, perplexity},
		variants: []variant{{"one", give(0.5)}, {"two, again", give(0.75)}}}
	e := &experiments{out: dir, log: io.Discard, print: io.Discard, seeds: []uint64{1, 2, 3}}
	if err := e.make(t.Context(), tab, "en"); !errors.Is(err, stop) {
		t.Fatalf("error %v", err)
	}
	if err := e.make(t.Context(), tab, "en"); err != nil {
		t.Fatal(err)
	}
	if runs != 7 {
		t.Errorf("%d runs, want 6 and the one that was stopped", runs)
	}
	rows := make([][]map[string]float64, 2)
	for i, v := range tab.variants {
		for _, seed := range []string{"1", "2", "3"} {
			f, err := readFigures(filepath.Join(dir, "table-9", "en", fileName(v.name), seed))
			if err != nil || f == nil {
				t.Fatal(f, err)
			}
			rows[i] = append(rows[i], f)
		}
	}
	var b strings.Builder
	if err := tab.print(&b, rows); err != nil {
		t.Fatal(err)
	}
	want := "| two, again | 0.7600 0.7700 0.7800 | 0.7700 | +0.2500 ± 0.0000 | – – – | – |  |\n"
	if !strings.HasSuffix(b.String(), want) {
		t.Errorf("printed %s\nwant it to end in %s", b.String(), want)
	}
}

// Every table of both languages can be set up from the shared data.
func TestLanguages(t *testing.T) {
	e := &experiments{data: shared.Path(t, "data"), models: shared.Path(t, "models"), out: t.TempDir(), log: io.Discard, print: io.Discard, steps: 1, seeds: []uint64{1}}
	// Stands for what the annotator makes, which takes a while.
	for _, name := range []string{"documents", "titles", "reviews"} {
		line := strings.Repeat(`{"text": "我爱北京", "words": [{"text": "我", "start": 0, "end": 1, "pos": "PRON"}]}`+"\n", 300)
		if err := os.WriteFile(filepath.Join(e.out, name+".jsonl"), []byte(line), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"en", "zh"} {
		l, err := e.language(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"1", "2", "3", "4"} {
			tab, err := l.table(id)
			if err != nil {
				t.Fatal(err)
			}
			if len(tab.variants) < 3 || tab.variants[0].run == nil {
				t.Errorf("%s: table %s has too few rows", name, tab.id)
			}
		}
		if n, err := corpus.Overlap(l.task, l.dev); err != nil || len(n) > 0 {
			t.Errorf("%s: %d examples of the dev part are in the training part (%v)", name, len(n), err)
		}
	}
}
