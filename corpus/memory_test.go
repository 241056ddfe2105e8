package corpus_test

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/shared"
)

func read(t testing.TB, name, data string, opts corpus.Options) corpus.Corpus {
	t.Helper()
	c, err := corpus.Read(strings.NewReader(data), name, opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSelections(t *testing.T) {
	c := read(t, "a.tsv", "text\tlabel\na\tx\nb\ty\nc\tx\nd\tz\n", corpus.Options{})
	texts := func(c corpus.Corpus) string {
		var b strings.Builder
		for i := range c.Len() {
			e, err := c.At(i)
			if err != nil {
				t.Fatal(err)
			}
			b.WriteString(e.Text)
		}
		return b.String()
	}
	subset, err := corpus.Subset(c, []int{3, 0, 3})
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][2]string{
		"Take 2":           {texts(corpus.Take(c, 2)), "ab"},
		"Take 9":           {texts(corpus.Take(c, 9)), "abcd"},
		"Take -1":          {texts(corpus.Take(c, -1)), ""},
		"Skip 3":           {texts(corpus.Skip(c, 3)), "d"},
		"Skip 9":           {texts(corpus.Skip(c, 9)), ""},
		"Skip then Take":   {texts(corpus.Take(corpus.Skip(c, 1), 2)), "bc"},
		"Subset":           {texts(subset), "dad"},
		"Shuffle":          {texts(corpus.Shuffle(c, 3)), texts(corpus.Shuffle(c, 3))},
		"Shuffle holds":    {sorted(texts(corpus.Shuffle(c, 3))), "abcd"},
		"Unlabeled labels": {fmt.Sprint(corpus.Unlabeled(c).Labels()), "[]"},
		"Unlabeled":        {dump(t, corpus.Take(corpus.Unlabeled(c), 1)), "\"a\"\n"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: got %q, want %q", name, got[0], got[1])
		}
	}
	for _, c := range []corpus.Corpus{c, corpus.Take(c, 4), corpus.Skip(c, 0), corpus.Shuffle(c, 1)} {
		for _, i := range []int{-1, 4} {
			if _, err := c.At(i); err == nil {
				t.Errorf("%T: At(%d) gives no error", c, i)
			}
		}
	}
	if _, err := corpus.Subset(c, []int{4}); err == nil {
		t.Error("Subset outside the corpus gives no error")
	}
}

func sorted(s string) string {
	b := []byte(s)
	slices.Sort(b)
	return string(b)
}

func TestConcatMergesLabelsByName(t *testing.T) {
	a := read(t, "a.tsv", "text\tlabel\na\ty\nb\tz\n", corpus.Options{})
	b := read(t, "b.tsv", "text\tlabel\nc\tx\nd\tz\n", corpus.Options{})
	c, err := corpus.Concat(a, corpus.Unlabeled(a), b)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := dump(t, c), "\"a\" = y:1\n\"b\" = z:2\n\"a\"\n\"b\"\n\"c\" = x:0\n\"d\" = z:2\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if c, err := corpus.Concat(); err != nil || c.Len() != 0 {
		t.Errorf("nothing joined: %v, %v", c, err)
	}
}

func TestWithLabels(t *testing.T) {
	c := read(t, "a.tsv", "text\tlabel\na\tneg\nb\tpos\n", corpus.Options{})
	got, err := corpus.WithLabels(c, []string{"pos", "neutral", "neg"})
	if err != nil {
		t.Fatal(err)
	}
	if d := dump(t, got); d != "\"a\" = neg:2\n\"b\" = pos:0\n" {
		t.Error(d)
	}
	if _, err := corpus.WithLabels(c, []string{"pos"}); err == nil || !strings.Contains(err.Error(), "neg") {
		t.Errorf("error %v, want one that names neg", err)
	}
	numbers := read(t, "a.tsv", "text\tlabel\na\t0\nb\t1\n", corpus.Options{})
	if got, err = corpus.WithLabels(numbers, []string{"NEG", "POS"}); err != nil {
		t.Fatal(err)
	}
	if e, _ := got.At(1); e.Label != 1 {
		t.Errorf("label %d, want 1", e.Label)
	}
}

func TestSplit(t *testing.T) {
	var examples []corpus.Example
	for i := range 2000 {
		examples = append(examples, corpus.Example{Text: fmt.Sprint("text ", i%1000), Label: -1})
	}
	c := corpus.FromExamples(examples, nil)
	sides := func(c corpus.Corpus, seed uint64) map[string]int {
		a, b, err := corpus.Split(c, 0.2, seed)
		if err != nil {
			t.Fatal(err)
		}
		if a.Len()+b.Len() != c.Len() {
			t.Fatalf("%d and %d of %d examples", a.Len(), b.Len(), c.Len())
		}
		m := map[string]int{}
		for k, part := range []corpus.Corpus{a, b} {
			for i := range part.Len() {
				e, _ := part.At(i)
				if old, ok := m[e.Text]; ok && old != k {
					t.Fatalf("%q is on both sides", e.Text)
				}
				m[e.Text] = k
			}
		}
		return m
	}
	all := sides(c, 1)
	first := 0
	for _, k := range all {
		first += 1 - k
	}
	if first < 150 || first > 250 {
		t.Errorf("%d of 1000 texts in the first part, want about 200", first)
	}
	for text, k := range sides(corpus.Skip(c, 1700), 1) {
		if all[text] != k {
			t.Fatalf("%q changes sides when others are removed", text)
		}
	}
	if reflect.DeepEqual(all, sides(c, 2)) {
		t.Error("the seed changes nothing")
	}
	if _, _, err := corpus.Split(c, 1.5, 0); err == nil {
		t.Error("fraction 1.5 gives no error")
	}
}

func TestJSONLRoundTrip(t *testing.T) {
	span := func(a, b int) corpus.Span { return corpus.Span{Start: a, End: b} }
	examples := []corpus.Example{
		{Text: "plain <&> \u2028 \"quoted\"\n\tline", Label: -1},
		{Text: "a", Pair: "b", Label: 1, Target: "z"},
		{Text: "去é北京。", Label: 0, Target: "x", Sentences: []corpus.Span{span(0, 5), span(5, 14)}, Words: []corpus.Word{
			{Span: span(0, 3), POS: "VERB", Entity: "O"}, {Span: span(3, 5), POS: "", Entity: "O"},
			{Span: span(5, 11), POS: "PROPN", Entity: "B-LOC"}, {Span: span(11, 14), POS: "PUNCT", Entity: "O"}}},
		{Text: "ab cd", Label: -1, Words: []corpus.Word{{Span: span(0, 2), Entity: "B-PER"}, {Span: span(3, 5), Entity: "I-PER"}}},
		{Text: "abc", Label: -1, Words: []corpus.Word{{Span: span(0, 1), Entity: "B-PER"}, {Span: span(1, 2), Entity: "B-PER"}, {Span: span(2, 3), Entity: "B-LOC"}}},
		{Text: "abc", Label: -1, Words: []corpus.Word{{Span: span(0, 1), Entity: "I-PER"}, {Span: span(1, 2), Entity: ""}, {Span: span(2, 3), Entity: "I-LOC"}}},
		{Text: "abc", Label: -1, Words: []corpus.Word{{Span: span(0, 1), POS: "X"}, {Span: span(1, 3), POS: "NOUN"}}},
		{Text: "none", Label: -1, Words: []corpus.Word{}, Sentences: []corpus.Span{}},
	}
	c := corpus.FromExamples(examples, []string{"x", "z"})
	var b bytes.Buffer
	if err := corpus.WriteJSONL(&b, c); err != nil {
		t.Fatal(err)
	}
	got := read(t, "a.jsonl", b.String(), corpus.Options{})
	for i, want := range examples {
		if e, _ := got.At(i); !reflect.DeepEqual(unplaced(e), unplaced(want)) {
			t.Errorf("example %d:\n got %+v\nwant %+v", i, e, want)
		}
	}
	for name, e := range map[string]corpus.Example{
		"not UTF-8":          {Text: "\xff"},
		"inside a character": {Text: "é", Words: []corpus.Word{{Span: span(0, 1)}}},
		"outside":            {Text: "a", Sentences: []corpus.Span{span(0, 2)}},
	} {
		if err := corpus.WriteJSONL(&b, corpus.FromExamples([]corpus.Example{e}, nil)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Every shared file survives writing and reading.
func TestJSONLRoundTripOfFiles(t *testing.T) {
	for _, file := range []string{"sst2/dev.tsv", "msra_ner/dev.tsv", "ud/zh_gsdsimp-ud-test.conllu", "ud/en_ewt-ud-test.conllu"} {
		c, err := corpus.Open([]string{shared.Path(t, "data/"+file)}, corpus.Options{Limit: 400})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := corpus.WriteJSONL(&b, c); err != nil {
			t.Fatal(err)
		}
		got := read(t, "a.jsonl", b.String(), corpus.Options{})
		for i := range c.Len() {
			want, _ := c.At(i)
			if e, _ := got.At(i); !reflect.DeepEqual(unplaced(e), unplaced(want)) {
				t.Fatalf("%s: example %d:\n got %+v\nwant %+v", file, i, e, want)
			}
		}
	}
}

// unplaced is the example without where it was read from.
func unplaced(e corpus.Example) corpus.Example {
	e.Origin = corpus.Origin{}
	return e
}
