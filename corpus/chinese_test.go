package corpus_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/shared"
)

func chinese(t testing.TB) corpus.Annotator {
	t.Helper()
	a, err := corpus.Chinese()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// show writes words as form/POS, with /entity where there is one.
func show(text string, words []corpus.Word) string {
	var b strings.Builder
	for _, w := range words {
		fmt.Fprintf(&b, " %s/%s", text[w.Start:w.End], w.POS)
		if w.Entity != "O" {
			fmt.Fprintf(&b, "/%s", w.Entity)
		}
	}
	return strings.TrimSpace(b.String())
}

func TestChinese(t *testing.T) {
	a := chinese(t)
	for text, want := range map[string]string{
		"":            "",
		" \n\t":       "",
		"小李在北京大学学习。":  "小李/PROPN 在/ADP 北京大学/PROPN/B-ORG 学习/VERB 。/PUNCT",
		"2004年涨了3.5%": "2004/NUM 年/NOUN 涨/VERB 了/AUX 3.5/NUM %/SYM",
		"我买的iPhone……": "我/PRON 买/VERB 的/SCONJ iPhone/X ……/PUNCT",
		"中国的上海":       "中国/PROPN/B-LOC 的/PART 上海/PROPN/B-LOC",
	} {
		words, err := a.Annotate(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := show(text, words); got != want {
			t.Errorf("%q:\n got %s\nwant %s", text, got, want)
		}
	}
}

// The tags come from a dictionary; this is what they are worth, and a guard
// against losing it. Words count where annotator and treebank cut alike.
func TestChineseOnTreebank(t *testing.T) {
	c, err := corpus.Open([]string{shared.Path(t, "data/ud/zh_gsdsimp-ud-test.conllu")}, corpus.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a := chinese(t)
	gold, found, aligned, right := 0, 0, 0, 0
	for i := range c.Len() {
		e, _ := c.At(i)
		words, err := a.Annotate(e.Text)
		if err != nil {
			t.Fatal(err)
		}
		pos := map[corpus.Span]string{}
		for _, w := range words {
			pos[w.Span] = w.POS
			if !slices.Contains(corpus.UPOS(), w.POS) {
				t.Fatalf("%q: %q is not a universal tag", e.Text[w.Start:w.End], w.POS)
			}
		}
		gold, found = gold+len(e.Words), found+len(words)
		for _, w := range e.Words {
			if p, ok := pos[w.Span]; ok {
				aligned++
				if p == w.POS {
					right++
				}
			}
		}
	}
	accuracy, f1 := float64(right)/float64(aligned), 2*float64(aligned)/float64(gold+found)
	t.Logf("words F1 %.3f, UPOS %.3f of %d aligned words", f1, accuracy, aligned)
	if accuracy < 0.80 || f1 < 0.77 {
		t.Errorf("words F1 %.3f (at least 0.77), UPOS %.3f (at least 0.80)", f1, accuracy)
	}
}

func TestChineseEntities(t *testing.T) {
	c, err := corpus.Open([]string{shared.Path(t, "data/msra_ner/dev.tsv")}, corpus.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a := chinese(t)
	gold, found, right := 0, 0, 0
	for i := range c.Len() {
		e, _ := c.At(i)
		words, err := a.Annotate(e.Text)
		if err != nil {
			t.Fatal(err)
		}
		want, got := entities(e.Words), entities(words)
		gold, found = gold+len(want), found+len(got)
		for s, kind := range got {
			if want[s] == kind {
				right++
			}
		}
	}
	f1 := 2 * float64(right) / float64(gold+found)
	t.Logf("entity F1 %.3f", f1)
	if f1 < 0.55 {
		t.Errorf("entity F1 %.3f, want at least 0.55", f1)
	}
}

// entities decodes BIO tags.
func entities(words []corpus.Word) map[corpus.Span]string {
	out := map[corpus.Span]string{}
	var s corpus.Span
	for i, w := range words {
		if strings.HasPrefix(w.Entity, "B-") {
			s.Start = w.Start
		}
		s.End = w.End
		if w.Entity != "O" && (i+1 == len(words) || !strings.HasPrefix(words[i+1].Entity, "I-")) {
			out[s] = w.Entity[2:]
		}
	}
	return out
}

func TestAnnotateIsTheSameForAnyWorkers(t *testing.T) {
	c, err := corpus.Open([]string{shared.Path(t, "data/chnsenticorp/dev.tsv")}, corpus.Options{Limit: 300})
	if err != nil {
		t.Fatal(err)
	}
	one, err := corpus.Annotate(t.Context(), c, chinese(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	four, err := corpus.Annotate(t.Context(), c, chinese(t), 4)
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.Len() {
		a, _ := one.At(i)
		b, _ := four.At(i)
		e, _ := c.At(i)
		if !reflect.DeepEqual(a, b) || a.Text != e.Text || a.Label != e.Label || len(a.Words) == 0 {
			t.Fatalf("example %d: %+v and %+v", i, a, b)
		}
	}
	if !slices.Equal(one.Labels(), c.Labels()) {
		t.Errorf("labels %q, want %q", one.Labels(), c.Labels())
	}
}

// fake annotates the whole text as one word.
type fake func(text string) ([]corpus.Word, error)

func (f fake) Annotate(text string) ([]corpus.Word, error) { return f(text) }

func TestAnnotate(t *testing.T) {
	known := []corpus.Word{{Span: corpus.Span{Start: 0, End: 1}, POS: "X"}}
	c := corpus.FromExamples([]corpus.Example{{Text: "a", Words: known, Label: -1}, {Text: "b", Label: -1}, {Text: "bad", Label: -1}, {Text: "bad too", Label: -1}}, nil)
	boom := errors.New("boom")
	whole := fake(func(text string) ([]corpus.Word, error) {
		if strings.HasPrefix(text, "bad") {
			return nil, fmt.Errorf("%s: %w", text, boom)
		}
		return []corpus.Word{{Span: corpus.Span{End: len(text)}, POS: "NOUN"}}, nil
	})
	out, err := corpus.Annotate(t.Context(), corpus.Take(c, 2), whole, 3)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := out.At(0)
	b, _ := out.At(1)
	if a.Words[0].POS != "X" || b.Words[0].POS != "NOUN" {
		t.Errorf("got %+v and %+v; the annotated example must stay", a, b)
	}
	if _, err = corpus.Annotate(t.Context(), c, whole, 3); !errors.Is(err, boom) || !strings.Contains(err.Error(), "example 2: bad: boom") {
		t.Errorf("error %v, want that of example 2", err)
	}
	outside := fake(func(string) ([]corpus.Word, error) { return []corpus.Word{{Span: corpus.Span{End: 99}}}, nil })
	if _, err = corpus.Annotate(t.Context(), c, outside, 1); err == nil {
		t.Error("a word outside the text is accepted")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = corpus.Annotate(ctx, c, whole, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}
