package augment_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/augment"
	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/predict"
	"github.com/litekit/lite/student"
)

var vocab = strings.Fields("[PAD] [UNK] [CLS] [SEP] [MASK] [unused1] the a film movie was good bad great ##ly ##s 好 坏 . , 7 9 play song old new")

// model is a masked language model that nobody trained.
func model(t testing.TB, head student.Head) *onnx.Model {
	t.Helper()
	tok, err := corpus.NewWordPiece(vocab, true)
	if err != nil {
		t.Fatal(err)
	}
	m, err := distill.NewModel(student.Shape{Layers: 2, Hidden: 32, Heads: 2}, head, tok, 5)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func augmenter(t testing.TB, change func(*augment.Config)) *augment.Augmenter {
	t.Helper()
	cfg := augment.Default()
	cfg.Teacher, cfg.Seed, cfg.Copies, cfg.TopK = model(t, student.MaskedLM()), 3, 6, 4
	if change != nil {
		change(&cfg)
	}
	a, err := augment.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestExample(t *testing.T) {
	a := augmenter(t, func(c *augment.Config) { c.Copies = 40 })
	score := 0.5
	e := corpus.Example{Text: "The old film was goodly, 好!", Pair: "A PLAY", Label: 2, Score: &score}
	copies, err := a.Example(t.Context(), e, 7)
	if err != nil {
		t.Fatal(err)
	}
	if len(copies) < 20 || len(copies) > 40 {
		t.Errorf("%d copies of 40", len(copies))
	}
	seen := map[string]bool{e.Text + e.Pair: true}
	pair, several := false, false
	for _, c := range copies {
		if seen[c.Text+c.Pair] {
			t.Fatalf("%q occurs twice", c.Text)
		}
		seen[c.Text+c.Pair] = true
		if c.Label != 2 || c.Score != &score || !strings.HasSuffix(c.Text, "!") || !strings.Contains(c.Text, ",") {
			t.Errorf("%+v has another label or other marks", c)
		}
		first := c.Text[:1]
		if first != strings.ToUpper(first) && first >= "a" && first <= "z" {
			t.Errorf("%q does not begin with a capital", c.Text)
		}
		pair = pair || c.Pair != e.Pair && strings.ToUpper(c.Pair) == c.Pair
		several = several || !strings.Contains(c.Text, "goodly")
		for _, s := range []string{"##", "[", "unused"} {
			if strings.Contains(c.Text+c.Pair, s) {
				t.Errorf("%q: %s is no word", c.Text, s)
			}
		}
	}
	if !pair || !several {
		t.Errorf("the pair (%v) or the word of two tokens (%v) is never replaced", pair, several)
	}
	again, err := a.Example(t.Context(), e, 7)
	if err != nil || !reflect.DeepEqual(again, copies) {
		t.Errorf("the second time it is different: %v", err)
	}
	if other, _ := a.Example(t.Context(), e, 8); reflect.DeepEqual(other, copies) {
		t.Error("the number of the example changes nothing")
	}
	for _, text := range []string{"", "...", " "} {
		if none, err := a.Example(t.Context(), corpus.Example{Text: text}, 0); err != nil || none != nil {
			t.Errorf("%q: %v, %v", text, none, err)
		}
	}
}

// The candidates of a word are what the model itself fills in at a mask.
func TestCandidatesAreThoseOfTheModel(t *testing.T) {
	const k = 3
	a := augmenter(t, func(c *augment.Config) { c.Copies, c.TopK, c.Probability = 60, k, 1 })
	copies, err := a.Example(t.Context(), corpus.Example{Text: "film ,"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range copies {
		got = append(got, strings.TrimSuffix(c.Text, " ,"))
	}
	p, err := predict.New(model(t, student.MaskedLM()), predict.Options{Top: len(vocab)})
	if err != nil {
		t.Fatal(err)
	}
	filled, err := p.Fill(t.Context(), predict.Texts("[MASK] ,"))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, s := range filled[0].Masks[0] {
		if !strings.ContainsAny(s.Label, "[#.,") && s.Label != "film" && len(want) < k {
			want = append(want, s.Label)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || len(want) != k {
		t.Errorf("replaced by %q, the model expects %q", got, want)
	}
}

func TestWordsMoveWithTheText(t *testing.T) {
	a := augmenter(t, func(c *augment.Config) { c.Probability = 1 })
	const text = "good film was bad."
	var words []corpus.Word
	for _, w := range [][2]int{{0, 4}, {5, 9}, {10, 13}, {14, 17}, {17, 18}} {
		words = append(words, corpus.Word{Span: corpus.Span{Start: w[0], End: w[1]}, POS: "X", Entity: "O"})
	}
	e := corpus.Example{Text: text, Words: words, Sentences: []corpus.Span{{Start: 0, End: len(text)}}}
	copies, err := a.Example(t.Context(), e, 1)
	if err != nil || len(copies) == 0 {
		t.Fatal(len(copies), err)
	}
	for _, c := range copies {
		var forms []string
		for _, w := range c.Words {
			forms = append(forms, c.Text[w.Start:w.End])
		}
		if want := strings.Fields(strings.TrimSuffix(c.Text, ".") + " ."); !slices.Equal(forms, want) || c.Sentences[0] != (corpus.Span{Start: 0, End: len(c.Text)}) {
			t.Errorf("%q has the words %q and sentence %v", c.Text, forms, c.Sentences)
		}
	}
	if !reflect.DeepEqual(e.Words, words) || words[1].Start != 5 {
		t.Error("the example itself was changed")
	}
}

func examples(n int) corpus.Corpus {
	var out []corpus.Example
	for i := range n {
		out = append(out, corpus.Example{Text: strings.Join([]string{"the", vocab[8+i%2], "was", vocab[11+i/2%3], vocab[22+i/6%2]}, " "), Pair: "a play", Label: i % 2})
	}
	return corpus.FromExamples(out, []string{"no", "yes"})
}

func TestFileGoesOnWithTheSameBytes(t *testing.T) {
	c := examples(150)
	dir := t.TempDir()
	whole, parts := filepath.Join(dir, "whole.jsonl"), filepath.Join(dir, "parts.jsonl")
	kernel.SetThreads(1)
	want, err := augmenter(t, nil).File(t.Context(), whole, c)
	kernel.SetThreads(0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stopping := augmenter(t, func(cfg *augment.Config) { cfg.Progress = func(int, int) { cancel() }; cfg.Workers = 3 })
	if _, err := stopping.File(ctx, parts, c); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "after 64 of 150") {
		t.Fatalf("error %v", err)
	}
	var other *corpus.RunError
	if _, err := augmenter(t, func(cfg *augment.Config) { cfg.Seed++ }).File(t.Context(), parts, c); !errors.As(err, &other) {
		t.Errorf("another seed goes on: %v", err)
	}
	got, err := augmenter(t, func(cfg *augment.Config) { cfg.Workers = 4 }).File(t.Context(), parts, c)
	if err != nil || got.Resumed != 64 {
		t.Errorf("%+v, %v", got, err)
	}
	if got.Resumed = 0; got != want || want.Examples != 150 || want.Copies < 50 || want.Copies+want.Duplicates != 900 {
		t.Errorf("%+v, want %+v", got, want)
	}
	x, _ := os.ReadFile(whole)
	y, _ := os.ReadFile(parts)
	if !bytes.Equal(x, y) {
		t.Error("the files differ")
	}
	back, err := corpus.Open([]string{whole}, corpus.Options{})
	if err != nil || back.Len() != 150+want.Copies {
		t.Fatalf("%d examples are read back: %v", back.Len(), err)
	}
	first := map[string]bool{}
	copies := 0
	for i := range back.Len() {
		e, _ := back.At(i)
		if e.Pair == "" || e.Target == "" {
			t.Fatalf("example %d: %+v", i, e)
		}
		if !first[e.Text+"|"+e.Pair] {
			copies++
		}
		first[e.Text+"|"+e.Pair] = true
	}
	if different := 12; copies != want.Copies+different { // the examples themselves repeat
		t.Errorf("%d different texts, want %d", copies, want.Copies+different)
	}
}

func TestStreamOfCopiesOnly(t *testing.T) {
	var b bytes.Buffer
	r, err := augmenter(t, func(c *augment.Config) { c.CopiesOnly = true }).Stream(t.Context(), &b, examples(5))
	if err != nil || r.Copies == 0 || bytes.Count(b.Bytes(), []byte("\n")) != r.Copies {
		t.Errorf("%+v, %v: %s", r, err, b.String())
	}
}

func TestNewRefuses(t *testing.T) {
	bare := model(t, student.MaskedLM())
	bare.Files = nil
	for _, tc := range []struct {
		name   string
		change func(*augment.Config)
		want   string
	}{
		{"no model", func(c *augment.Config) { c.Teacher = nil }, "no masked language model"},
		{"no tokenizer", func(c *augment.Config) { c.Teacher = bare }, "without a tokenizer"},
		{"a classifier", func(c *augment.Config) { c.Teacher = model(t, student.Classification([]string{"a", "b"})) }, "classifies"},
		{"probability", func(c *augment.Config) { c.Probability = 1.5 }, "probability"},
		{"copies", func(c *augment.Config) { c.Copies = -1 }, "Copies"},
	} {
		cfg := augment.Default()
		cfg.Teacher = model(t, student.MaskedLM())
		tc.change(&cfg)
		if _, err := augment.New(cfg); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one with %q", tc.name, err, tc.want)
		}
	}
}
