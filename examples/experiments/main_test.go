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
	"github.com/litekit/lite/distill"
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
		variants: []variant{{name: "one", run: give(0.5)}, {name: "two, again", run: give(0.75)}}}
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

// A row is compared with its control, and more figures than stand abreast make
// a second part.
func TestControls(t *testing.T) {
	tab := table{id: "9", title: "Title", columns: []column{accuracy, perplexity, {"order", "%.4f"}},
		variants: []variant{{name: "one"}, {name: "two", control: "two, shuffled"}, {name: "two, shuffled"}}}
	row := func(a, p float64) []map[string]float64 {
		return []map[string]float64{{"accuracy": a, "perplexity": p, "order": a}, {"accuracy": a + 0.02, "perplexity": p, "order": a}}
	}
	var b strings.Builder
	if err := tab.print(&b, [][]map[string]float64{row(0.5, 30), row(0.75, 10), row(0.25, 15)}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\n| | accuracy | mean | Δ ± s.e. | Δ from control | perplexity | mean | Δ ± s.e. | Δ from control |\n",
		"\n|---|---|---|---|---|---|---|---|---|\n",
		"\n| one | 0.5000 0.5200 | 0.5100 |  |  | 30.0 30.0 | 30.0 |  |  |\n",
		"\n| two | 0.7500 0.7700 | 0.7600 | +0.2500 ± 0.0000 | +0.5000 ± 0.0000 | 10.0 10.0 | 10.0 | -20.0 ± 0.0 | -5.0 ± 0.0 |\n",
		"\n| | order | mean | Δ ± s.e. | Δ from control |\n",
		"\n| two, shuffled | 0.2500 0.2500 | 0.2500 | -0.2500 ± 0.0000 |  |\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("printed %s\nwant it to contain %s", b.String(), want)
		}
	}
}

func TestSentencePairs(t *testing.T) {
	c := corpus.FromExamples([]corpus.Example{{Text: strings.Repeat("一。二。三。四。", 20), Label: -1}, {Text: "一。", Label: -1}}, nil)
	pairs, err := sentencePairs(c)
	if err != nil {
		t.Fatal(err)
	}
	if pairs.Len() != 79 {
		t.Fatalf("%d pairs of 80 sentences and of one, want 79", pairs.Len())
	}
	next, count := map[string]string{"一。": "二。", "二。": "三。", "三。": "四。", "四。": "一。"}, [2]int{}
	for i := range pairs.Len() {
		e, err := pairs.At(i)
		if err != nil {
			t.Fatal(err)
		}
		first, second := e.Text, e.Pair
		if e.Label == 1 {
			first, second = second, first
		}
		if count[e.Label]++; next[first] != second {
			t.Errorf("pair %d: %s after %s, label %d", i, e.Pair, e.Text, e.Label)
		}
	}
	if count[0] < 20 || count[1] < 20 {
		t.Errorf("%d in order, %d swapped; want a coin", count[0], count[1])
	}
}

// languages opens the shared data, with a stand-in for what the annotator makes,
// which takes a while.
func languages(t *testing.T) map[string]*language {
	t.Helper()
	e := &experiments{data: shared.Path(t, "data"), models: shared.Path(t, "models"), out: t.TempDir(), log: io.Discard, print: io.Discard, steps: 1, seeds: []uint64{1}}
	for _, name := range []string{"documents", "titles", "reviews"} {
		line := strings.Repeat(`{"text": "我爱北京。你呢？", "tokens": [{"start": 0, "end": 1, "pos": "PRON"}, {"start": 2, "end": 4, "pos": "PROPN"}], "ents": [{"start": 2, "end": 4, "label": "LOC"}]}`+"\n", 750)
		if err := os.WriteFile(filepath.Join(e.out, name+".jsonl"), []byte(line), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	out := map[string]*language{}
	for _, name := range []string{"en", "zh"} {
		l, err := e.language(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = l
	}
	return out
}

// Every table of both languages can be set up from the shared data.
func TestLanguages(t *testing.T) {
	for name, l := range languages(t) {
		for _, id := range []string{"1", "2", "3", "4"} {
			tab, err := l.table(id)
			if err != nil {
				t.Fatal(err)
			}
			names := map[string]bool{}
			for _, v := range tab.variants {
				names[v.name] = v.run != nil
			}
			for _, v := range tab.variants {
				if !names[v.name] || v.control != "" && !names[v.control] {
					t.Errorf("%s: table %s, row %q: it or its control %q cannot be run", name, tab.id, v.name, v.control)
				}
			}
			if len(tab.variants) < 3 {
				t.Errorf("%s: table %s has too few rows", name, tab.id)
			}
		}
		if n, err := corpus.Overlap(l.task, l.dev); err != nil || len(n) > 0 {
			t.Errorf("%s: %d examples of the dev part are in the training part (%v)", name, len(n), err)
		}
		probes, err := l.probes()
		if err != nil {
			t.Fatal(err)
		}
		if want := map[string]int{"en": 3, "zh": 4}[name]; len(probes) != want {
			t.Errorf("%s: %d probes, want %d", name, len(probes), want)
		}
		for _, p := range probes {
			if p.train.Len() == 0 || p.test.Len() == 0 || p.train.Len() > 1000 && name == "zh" {
				t.Errorf("%s, %s: %d examples to learn from, %d to measure", name, p.column.name, p.train.Len(), p.test.Len())
			}
		}
	}
}

// A row of table 3 has a figure for every probe, whether its objective is true,
// shuffled or a constant guess, and leaves only the common start behind.
func TestLinguisticRows(t *testing.T) {
	l := languages(t)["zh"]
	if err := l.learnTokens(); err != nil {
		t.Fatal(err)
	}
	probes, err := l.probes()
	if err != nil {
		t.Fatal(err)
	}
	for i := range probes {
		p := &probes[i]
		p.train, p.test, p.epochs = corpus.Take(p.train, 8), corpus.Take(p.test, 8), 1
	}
	l.held = corpus.Take(l.held, 8)
	all := distill.Sum{distill.Scale(1, distill.Denoise{}), distill.Scale(1, distill.POS{}), distill.Scale(1, distill.NER{}), distill.Scale(1, distill.SOP{})}
	for name, run := range map[string]func(context.Context, string, uint64) (map[string]float64, error){
		"all":              l.goOn(pretraining{loss: all, steps: 1, batch: 4}, probes),
		"all, shuffled":    l.goOn(pretraining{loss: all, steps: 1, batch: 4, shuffled: true}, probes),
		"not gone on with": l.asItIs(probes),
		"a constant guess": l.guess(probes),
	} {
		dir := filepath.Join(l.out, fileName(name))
		figures, err := run(t.Context(), dir, 1)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(figures) != len(probes)+1 {
			t.Errorf("%s: figures %v of %d probes", name, figures, len(probes))
		}
		if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
			t.Errorf("%s: %v stayed behind (%v)", name, left, err)
		}
	}
}
