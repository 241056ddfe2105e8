package corpus_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
)

// Examples know where they were read from, in memory and in temporary files, and
// through selections of selections.
func TestOrigins(t *testing.T) {
	for name, tc := range map[string]struct {
		data string
		want []string
	}{
		"a.txt":     {"one\ntwo\n\n\nthree\n", []string{"a.txt: line 1", "a.txt: line 5"}},
		"a.tsv":     {"text\tlabel\none\tx\n\ntwo\ty\n", []string{"a.tsv: line 2", "a.tsv: line 4"}},
		"a.csv":     {"text,label\n\"one\none\",x\ntwo,y\n", []string{"a.csv: line 2", "a.csv: line 4"}},
		"a.jsonl":   {"{\"text\":\"one\"}\n\n{\"text\":\"two\"}\n", []string{"a.jsonl: line 1", "a.jsonl: line 3"}},
		"a.json":    {"[{\"text\":\"one\"},\n{\"text\":\"two\"}]", []string{"a.json: item 1", "a.json: item 2"}},
		"a.bio":     {"a O\nb O\n\nc O\n", []string{"a.bio: line 1", "a.bio: line 4"}},
		"a.conllu":  {"# newdoc\n1\ta\t_\tX\t_\t_\t_\t_\t_\t_\n\n# newdoc\n1\tb\t_\tX\t_\t_\t_\t_\t_\t_\n", []string{"a.conllu: line 2", "a.conllu: line 5"}},
		"a.parquet": {string(parquetOf(t, []sentenceRow{{"one", 1, 0}, {"two", 0, 1}})), []string{"a.parquet: row 1", "a.parquet: row 2"}},
	} {
		for _, memory := range []int64{0, 1} {
			c, err := corpus.Read(bytes.NewReader([]byte(tc.data)), name, corpus.Options{Memory: memory})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			two, err := corpus.Concat(corpus.Unlabeled(c), corpus.Shuffle(corpus.Skip(c, 1), 3))
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range append(tc.want, tc.want[1]) {
				if e, err := two.At(i); err != nil || e.Origin.String() != want {
					t.Errorf("%s, memory %d: example %d is of %q, %v; want %q", name, memory, i, e.Origin, err, want)
				}
			}
		}
	}
	c := corpus.FromExamples(make([]corpus.Example, 20), nil)
	lines := read(t, "b.txt", strings.Repeat("x\n", 12), corpus.Options{LinePerDocument: true})
	all, err := corpus.Concat(lines, c)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := corpus.Where(all, []int{0, 2, -1, 14, 15, 3}), "b.txt: line 1, 3; example 14, 15; b.txt: line 4"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := corpus.Where(lines, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}), "b.txt: line 1, 2, 3, 4, 5, 6, 7, 8 …"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Rows of batches are found in the files, those of long documents by the sentence.
func TestPlaces(t *testing.T) {
	const text = "a b c. d e f.\ng h i. j k l.\n\na a a.\n"
	for _, memory := range []int64{0, 1} {
		c := read(t, "docs.txt", text, corpus.Options{})
		v, err := corpus.NewDenoiseView(c, letters(t), corpus.ViewOptions{BatchSize: 1, MaxLength: 8, Memory: memory, Seed: 4})
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]string{}
		for k := range 3 * v.Batches(0) {
			b, err := v.Nth(k)
			if err != nil {
				t.Fatal(err)
			}
			p, err := v.Place(k, 0)
			if err != nil || p.Example != b.Index[0] {
				t.Fatalf("batch %d: %+v, %v; the batch has example %d", k, p, err, b.Index[0])
			}
			found[p.Where] = p.Excerpt
		}
		for where, want := range map[string]string{
			"docs.txt: line 1 (sentence 1 of the document of line 1)": "a b c. d e f.\ng h i. j k l.",
			"docs.txt: line 2 (sentence 3 of the document of line 1)": "g h i. j k l.",
			"docs.txt: line 4": "a a a.",
		} {
			if found[where] != want {
				t.Errorf("memory %d: %s is %q, want %q; all: %q", memory, where, found[where], want, found)
			}
		}
		if p, err := v.Place(0, 7); err != nil || p.Example != -1 {
			t.Errorf("a padding row is %+v, %v", p, err)
		}
	}
}
