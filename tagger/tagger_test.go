package tagger_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/tagger"
)

// made is a small treebank: sentences over a few patterns, with names.
func made(t testing.TB, n int) corpus.Corpus {
	t.Helper()
	people, places := strings.Fields("Anna Ben Clara David Eve"), strings.Fields("Paris Rome Berlin Oslo")
	verbs, nouns := strings.Fields("sees likes paints leaves"), strings.Fields("houses rivers streets bridges")
	var b strings.Builder
	for i := range n {
		k := 0
		word := func(form, pos, entity string, space bool) {
			k++
			misc := "NER=" + entity
			if !space {
				misc += "|SpaceAfter=No"
			}
			fmt.Fprintf(&b, "%d\t%s\t_\t%s\t_\t_\t_\t_\t_\t%s\n", k, form, pos, misc)
		}
		word(people[i%5], "PROPN", "B-PER", i%7 != 0)
		if i%7 == 0 {
			word("n't", "PART", "O", true)
		}
		word(verbs[i%4], "VERB", "O", true)
		if i%3 == 0 {
			word("the", "DET", "O", true)
			word(nouns[i/3%4], "NOUN", "O", true)
			word("of", "ADP", "O", true)
		}
		word("New", "PROPN", "B-LOC", true)
		word(places[i/2%4], "PROPN", "I-LOC", false)
		word(".", "PUNCT", "O", true)
		b.WriteByte('\n')
	}
	c, err := corpus.Read(strings.NewReader(b.String()), "made.conllu", corpus.Options{Format: corpus.CoNLLU})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func train(t testing.TB, c, dev corpus.Corpus, opts tagger.Options) *tagger.Tagger {
	t.Helper()
	a, err := tagger.Train(t.Context(), c, dev, opts)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func show(text string, words []corpus.Word) string {
	var out []string
	for _, w := range words {
		out = append(out, text[w.Start:w.End]+"/"+w.POS+"/"+w.Entity)
	}
	return strings.Join(out, " ")
}

func TestTrainAndAnnotate(t *testing.T) {
	var seen []tagger.Progress
	opts := tagger.Options{Epochs: 3, Seed: 4, Progress: func(p tagger.Progress) { seen = append(seen, p) }}
	a := train(t, made(t, 80), made(t, 30), opts)
	if a.Words() != tagger.Learned || a.Hints() != "" || !slices.Equal(a.NERTags(), []string{"O", "B-LOC", "I-LOC", "B-PER", "I-PER"}) || len(a.POSTags()) != 7 {
		t.Errorf("words %s, hints %q, %q, %q", a.Words(), a.Hints(), a.NERTags(), a.POSTags())
	}
	const text = " Benn't likes the bridges\nof New Rome."
	words, err := a.Annotate(text)
	if err != nil {
		t.Fatal(err)
	}
	const want = "Ben/PROPN/B-PER n't/PART/O likes/VERB/O the/DET/O bridges/NOUN/O of/ADP/O New/PROPN/B-LOC Rome/PROPN/I-LOC ./PUNCT/O"
	if got := show(text, words); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if len(seen) != 9 {
		t.Errorf("%d epochs are told of, want 3 of 3 models", len(seen))
	}
	for _, p := range seen {
		if !p.Scored || p.Dev < 0.5 || p.Dev > 1 || p.Epochs != 3 {
			t.Errorf("progress %+v", p)
		}
	}
	for _, text := range []string{"", " \n", "\xff\xfe a", "。", strings.Repeat("x", 5000), "a\x00b"} {
		words, err := a.Annotate(text)
		if err != nil {
			t.Errorf("%.20q: %v", text, err)
		}
		after := 0
		for _, w := range words {
			if w.Start < after || w.End <= w.Start || w.End > len(text) {
				t.Errorf("%.20q: word %+v", text, w)
			}
			after = w.End
		}
	}
}

func TestTagKeepsWhatItDoesNotGive(t *testing.T) {
	const text = "Anna sees New Oslo."
	bio, err := corpus.Read(strings.NewReader(strings.Repeat("Anna B-PER\nsees O\nNew B-LOC\nOslo I-LOC\n. O\n\n", 20)), "x.bio", corpus.Options{Format: corpus.BIO})
	if err != nil {
		t.Fatal(err)
	}
	a := train(t, bio, nil, tagger.Options{Epochs: 2})
	if a.Words() != tagger.Rules || a.POSTags() != nil {
		t.Errorf("words %s, parts of speech %q; the data is split by spaces and has none", a.Words(), a.POSTags())
	}
	words := []corpus.Word{{Span: corpus.Span{Start: 0, End: 4}, POS: "X", Entity: "B-Q"}, {Span: corpus.Span{Start: 5, End: 9}, POS: "VERB"}}
	got, err := a.Tag(text, words, nil)
	if err != nil {
		t.Fatal(err)
	}
	if show(text, got) != "Anna/X/B-PER sees/VERB/O" || words[0].Entity != "B-Q" {
		t.Errorf("got %s, and the words given are now %+v", show(text, got), words)
	}
	for _, bad := range [][]corpus.Word{{{Span: corpus.Span{Start: 3, End: 2}}}, {{Span: corpus.Span{Start: 0, End: 99}}}, {words[1], words[0]}} {
		if _, err := a.Tag(text, bad, nil); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

// I-X stands after B-X or I-X only, whatever the text.
func TestEntityTagsAreValid(t *testing.T) {
	a := train(t, made(t, 60), nil, tagger.Options{Epochs: 1})
	for _, text := range []string{"Rome Rome New New Paris", "of Oslo. Oslo", "New New. Paris Paris"} {
		words, err := a.Annotate(text)
		if err != nil {
			t.Fatal(err)
		}
		last := "O"
		for _, w := range words {
			if kind, ok := strings.CutPrefix(w.Entity, "I-"); ok && last != "B-"+kind && last != "I-"+kind {
				t.Errorf("%s", show(text, words))
			}
			last = w.Entity
		}
	}
}

func TestSameSeedSameBytes(t *testing.T) {
	c := made(t, 60)
	b := func(seed uint64) []byte {
		b, err := train(t, c, c, tagger.Options{Epochs: 2, Seed: seed}).Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	one := b(1)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if !bytes.Equal(one, b(1)) {
		t.Error("one thread gives other bytes")
	}
	if bytes.Equal(one, b(2)) {
		t.Error("the seed changes nothing")
	}
}

func TestSaveAndOpen(t *testing.T) {
	a := train(t, made(t, 60), nil, tagger.Options{Epochs: 2})
	path := filepath.Join(t.TempDir(), "x.tagger")
	if err := a.Save(path); err != nil {
		t.Fatal(err)
	}
	b, err := tagger.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	const text = "Eve sees the rivers of New Paris. Clara likes New Berlin."
	x, _ := a.Annotate(text)
	y, err := b.Annotate(text)
	if err != nil || !reflect.DeepEqual(x, y) {
		t.Errorf("read back: %s (%v), was %s", show(text, y), err, show(text, x))
	}
	p, _ := a.Bytes()
	if q, _ := b.Bytes(); !bytes.Equal(p, q) {
		t.Error("written again it has other bytes")
	}
	if err := a.Save(filepath.Join(path, "below a file")); err == nil {
		t.Error("it can be saved below a file")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
}

func TestReadRefuses(t *testing.T) {
	a := train(t, made(t, 30), nil, tagger.Options{Epochs: 1})
	whole, err := a.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	content := whole[:len(whole)-sha256.Size]
	changed := func(at int, to byte) []byte {
		b := bytes.Clone(whole)
		b[at] = to
		return b
	}
	with := func(from, to string) []byte {
		return tagger.Seal(bytes.Replace(content, []byte(from), []byte(to), 1))
	}
	for _, tc := range []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "not a tagger"},
		{"a model", []byte("\x08\x07onnx"), "not a tagger"},
		{"half", whole[:len(whole)/2], "checksum"},
		{"the magic only", whole[:8], "checksum"},
		{"a flipped bit", changed(len(whole)/2, whole[len(whole)/2]^1), "checksum"},
		{"a byte too many", tagger.Seal(append(bytes.Clone(content), 0)), "left over"},
		{"a part missing", tagger.Seal(bytes.Clone(content[:len(content)-5])), "damaged"},
		{"other words", with(`"words":"learned"`, `"words":"guessed"`), "guessed"},
		{"a tag that is none", with(`"ADP"`, `"ODP"`), "ODP"},
		{"a tag twice", with(`"ADP"`, `"DET"`), "DET"},
		{"an entity tag that is none", with(`"B-LOC"`, `"X-LOC"`), "X-LOC"},
		{"no JSON", with(`{"words`, `["words`), "header"},
	} {
		_, err := tagger.Read(bytes.NewReader(tc.data), "some.file")
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "some.file") {
			t.Errorf("%s: error %v, want one with %q", tc.name, err, tc.want)
		}
	}
	if _, err := tagger.Open("not there"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	if _, err := tagger.Read(io.MultiReader(bytes.NewReader(whole), failing{}), "x"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func FuzzRead(f *testing.F) {
	b, err := train(f, made(f, 2), nil, tagger.Options{Epochs: 1}).Bytes()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[:len(b)-sha256.Size])
	f.Add([]byte("litetg01\x02{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<20 {
			return
		}
		a, err := tagger.Read(bytes.NewReader(tagger.Seal(bytes.Clone(data))), "fuzz")
		if err != nil {
			return
		}
		if _, err := a.Annotate("Anna sees New Oslo. 去北京"); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Bytes(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTrainRefuses(t *testing.T) {
	words := func(pos, entity string) corpus.Corpus {
		return corpus.FromExamples([]corpus.Example{{Text: "a", Label: -1, Words: []corpus.Word{{Span: corpus.Span{End: 1}, POS: pos, Entity: entity}}}}, nil)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tc := range []struct {
		name  string
		train corpus.Corpus
		opts  tagger.Options
		ctx   context.Context
		want  string
	}{
		{"no data", nil, tagger.Options{}, t.Context(), "no training data"},
		{"plain text", corpus.FromExamples([]corpus.Example{{Text: "a"}}, nil), tagger.Options{}, t.Context(), "no example has words"},
		{"words without tags", words("_", ""), tagger.Options{}, t.Context(), "no example has words"},
		{"other tags", words("NN", ""), tagger.Options{}, t.Context(), `"NN" is not a universal`},
		{"tags that are not BIO", words("", "PER"), tagger.Options{}, t.Context(), "PER"},
		{"epochs", words("X", ""), tagger.Options{Epochs: -1}, t.Context(), "epochs"},
		{"counts", words("X", ""), tagger.Options{MinCount: -1}, t.Context(), "at least 1"},
		{"hints", words("X", ""), tagger.Options{Hints: "en"}, t.Context(), "hints"},
		{"words", words("X", ""), tagger.Options{Words: "x"}, t.Context(), "choose"},
		{"stopped", made(t, 9), tagger.Options{}, stopped, "stopped in epoch 1"},
	} {
		if _, err := tagger.Train(tc.ctx, tc.train, nil, tc.opts); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one with %q", tc.name, err, tc.want)
		}
	}
}

func TestRules(t *testing.T) {
	bio, err := corpus.Read(strings.NewReader("Anna B-PER\nsees O\n\n"), "x.bio", corpus.Options{Format: corpus.BIO})
	if err != nil {
		t.Fatal(err)
	}
	a := train(t, bio, nil, tagger.Options{Epochs: 1, MinCount: 1})
	for text, want := range map[string]string{
		"It's 3.5%, isn't it?":         "It 's 3.5 % , is n't it ?",
		"AT&T's well-known site... OK": "AT&T 's well-known site ... OK",
		"(he'll) “go”":                 "( he 'll ) “ go ”",
		"我爱Go语言":                       "我 爱 Go 语 言",
		"-- a.":                        "-- a .",
		"'s n't":                       "'s n't",
		"naïve café’s":                 "naïve café ’s",
	} {
		words, err := a.Annotate(text)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, w := range words {
			got = append(got, text[w.Start:w.End])
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("%q: got %q, want %q", text, g, want)
		}
	}
}

func TestScore(t *testing.T) {
	w := func(a, b int, pos, entity string) corpus.Word {
		return corpus.Word{Span: corpus.Span{Start: a, End: b}, POS: pos, Entity: entity}
	}
	var s tagger.Score
	s.Add(
		[]corpus.Word{w(0, 2, "NOUN", "B-PER"), w(2, 4, "VERB", "I-PER"), w(5, 6, "", "O"), w(6, 9, "X", "B-LOC"), w(9, 10, "X", "B-LOC")},
		[]corpus.Word{w(0, 2, "NOUN", "B-PER"), w(2, 4, "NOUN", "I-PER"), w(5, 6, "X", "I-PER"), w(6, 8, "X", "B-LOC"), w(8, 10, "X", "I-LOC")})
	want := tagger.Score{Gold: 5, Found: 5, Aligned: 3, POS: 2, POSRight: 1, POSGold: 4, EntitiesGold: 3, EntitiesFound: 2, EntitiesRight: 0, Tagged: 5}
	if s != want {
		t.Errorf("got %+v\nwant %+v", s, want)
	}
	s.Add([]corpus.Word{w(0, 1, "X", "B-A")}, []corpus.Word{w(0, 1, "X", "B-A")})
	s.Add([]corpus.Word{w(0, 1, "X", "")}, []corpus.Word{w(0, 1, "X", "B-A")})
	if s.WordF1() != 5.0/7 || s.POSAccuracy() != 0.75 || s.EntityF1() != 2.0/7 {
		t.Errorf("%v, %v, %v", s.WordF1(), s.POSAccuracy(), s.EntityF1())
	}
	if z := (&tagger.Score{}); z.WordF1() != 0 || z.POSAccuracy() != 0 || z.EntityF1() != 0 {
		t.Error("nothing has a score")
	}
}
