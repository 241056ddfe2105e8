package tagger_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/tagger"
)

// raw is c without words, n times.
func raw(t testing.TB, c corpus.Corpus, n int) corpus.Corpus {
	t.Helper()
	var out []corpus.Example
	for range n {
		for i := range c.Len() {
			e, err := c.At(i)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, corpus.Example{Text: e.Text, Pair: "second", Label: i % 2})
		}
	}
	return corpus.FromExamples(out, []string{"a", "b"})
}

// stopAfter is an annotator that ends the run after a number of texts.
type stopAfter struct {
	corpus.Annotator
	left int
	stop context.CancelFunc
}

func (s *stopAfter) Annotate(text string) ([]corpus.Word, error) {
	if s.left--; s.left == 0 {
		s.stop()
	}
	return s.Annotator.Annotate(text)
}

func TestJobGoesOnWithTheSameBytes(t *testing.T) {
	a := train(t, made(t, 60), nil, tagger.Options{Epochs: 1})
	c := raw(t, made(t, 100), 9)
	dir := t.TempDir()
	whole, parts := filepath.Join(dir, "whole.jsonl"), filepath.Join(dir, "parts.jsonl")
	want, err := tagger.Job{Annotator: a, Name: "a", Workers: 4}.File(t.Context(), whole, c)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := tagger.Job{Annotator: &stopAfter{a, 400, cancel}, Name: "a"}.File(ctx, parts, c)
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "of 900 examples") {
			t.Fatalf("error %v", err)
		}
	}
	var run *corpus.RunError
	if _, err := (tagger.Job{Annotator: a, Name: "other"}).File(t.Context(), parts, c); !errors.As(err, &run) {
		t.Errorf("another annotator goes on: %v", err)
	}
	told := 0
	got, err := tagger.Job{Annotator: a, Name: "a", Progress: func(done, total int) { told = done }}.File(t.Context(), parts, c)
	if err != nil || got.Resumed != 512 || told != 900 {
		t.Errorf("%d examples were there, %d done (%v)", got.Resumed, told, err)
	}
	if got.Resumed = 0; got != want || want.Examples != 900 || want.Words < 4000 || want.Entities < 1500 || want.Raw.Gold != 0 {
		t.Errorf("report %+v, want %+v", got, want)
	}
	x, _ := os.ReadFile(whole)
	if y, _ := os.ReadFile(parts); !bytes.Equal(x, y) || bytes.Count(x, []byte("\n")) != 900 {
		t.Error("the files differ")
	}
}

func TestJobScoresAndFillsIn(t *testing.T) {
	c := made(t, 40)
	a := train(t, c, nil, tagger.Options{Epochs: 4})
	var examples []corpus.Example
	for i := range c.Len() {
		e, _ := c.At(i)
		if i%2 == 0 { // half of them lack parts of speech
			for k := range e.Words {
				e.Words[k].POS = ""
			}
		}
		e.Words[0].Entity = "B-ORG" // and all have an entity that the tagger will not give
		examples = append(examples, e)
	}
	run := func(replace bool) (tagger.Report, []corpus.Example) {
		var b bytes.Buffer
		r, err := tagger.Job{Annotator: a, Replace: replace}.Stream(t.Context(), &b, corpus.FromExamples(examples, nil))
		if err != nil {
			t.Fatal(err)
		}
		back, err := corpus.Read(&b, "x.jsonl", corpus.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var out []corpus.Example
		for i := range back.Len() {
			e, _ := back.At(i)
			out = append(out, e)
		}
		return r, out
	}
	r, out := run(false)
	if r.Raw.POSAccuracy() != 1 || r.GoldWords.POSAccuracy() != 1 || r.Raw.WordF1() != 1 || r.GoldWords.POS != r.GoldWords.POSGold {
		t.Errorf("scores %+v", r)
	}
	if r.Raw.EntitiesGold != 80 || r.Raw.EntitiesRight != 40 || r.GoldWords.EntitiesRight != 40 {
		t.Errorf("entities %+v; half of them are wrong", r.Raw)
	}
	for i, e := range out {
		if e.Words[0].POS != "PROPN" || e.Words[0].Entity != "B-ORG" {
			t.Fatalf("example %d: %s; what was there must stay, and what was not be added", i, show(e.Text, e.Words))
		}
	}
	again, out := run(true)
	if again.Raw != r.Raw || out[0].Words[0].Entity != "B-PER" {
		t.Errorf("%s, scores %+v", show(out[0].Text, out[0].Words), again)
	}
	if _, err := (tagger.Job{}).Stream(t.Context(), &bytes.Buffer{}, c); err == nil {
		t.Error("no annotator is accepted")
	}
}
