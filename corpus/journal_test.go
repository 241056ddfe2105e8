package corpus_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
)

func TestJournalGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.jsonl")
	write := func(j *corpus.Journal, to int) {
		t.Helper()
		for i := j.Done(); i < to; i++ {
			if err := j.Add(1, fmt.Appendf(nil, "line %d\n", i), i); err != nil {
				t.Fatal(err)
			}
		}
	}
	open := func(run string, done, state int) *corpus.Journal {
		t.Helper()
		got := -1
		j, err := corpus.OpenJournal(path, run, &got)
		if err != nil {
			t.Fatal(err)
		}
		if j.Done() != done || got != state {
			t.Fatalf("%d items are done with state %d, want %d with %d", j.Done(), got, done, state)
		}
		return j
	}
	j := open("run", 0, -1)
	write(j, 5)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	part, err := os.OpenFile(path+".part", os.O_APPEND|os.O_WRONLY, 0) // what a killed process had written since
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.WriteString("line 5\nli"); err != nil {
		t.Fatal(err)
	}
	part.Close()
	j = open("run", 5, 4)
	write(j, 9)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	var other *corpus.RunError
	if _, err := corpus.OpenJournal(path, "another", nil); !errors.As(err, &other) || !strings.Contains(err.Error(), "out.jsonl.part") {
		t.Fatalf("error %v, want a RunError", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Fatal("the file has its name before it is whole")
	}
	j = open("run", 9, 8)
	write(j, 12)
	if err := j.Finish(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Count(string(text), "\n") != 12 || !strings.HasPrefix(string(text), "line 0\nline 1\n") || !strings.HasSuffix(string(text), "line 11\n") {
		t.Errorf("%q, %v", text, err)
	}
	if left, _ := filepath.Glob(path + "?*"); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
}

func TestJournalBeginsAnewWhatIsDamaged(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"a changed byte": func(p string) error { return os.WriteFile(p+".part", []byte("abX"), 0o666) },
		"cut short":      func(p string) error { return os.Truncate(p+".part", 1) },
		"no part":        func(p string) error { return os.Remove(p + ".part") },
		"no note":        func(p string) error { return os.Remove(p + ".part.json") },
		"half a note":    func(p string) error { return os.Truncate(p+".part.json", 20) },
	} {
		path := filepath.Join(t.TempDir(), "out")
		j, err := corpus.OpenJournal(path, "run", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(j.Add(1, []byte("abc"), nil), j.Close(), damage(path)); err != nil {
			t.Fatal(err)
		}
		if j, err = corpus.OpenJournal(path, "run", nil); err != nil || j.Done() != 0 {
			t.Fatalf("%s: %v, or something is done", name, err)
		}
		if err := errors.Join(j.Add(1, []byte("new"), nil), j.Finish()); err != nil {
			t.Fatal(err)
		}
		if text, _ := os.ReadFile(path); string(text) != "new" {
			t.Errorf("%s: %q", name, text)
		}
	}
	if _, err := corpus.OpenJournal(filepath.Join(t.TempDir(), "no", "out"), "run", nil); err == nil {
		t.Error("a file in a folder that is not there is begun")
	}
}

func TestHash(t *testing.T) {
	a := []corpus.Example{{Text: "a", Label: 0}, {Text: "b", Label: 1}}
	hash := func(e []corpus.Example, labels ...string) string {
		h, err := corpus.Hash(corpus.FromExamples(e, labels))
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	if again := hash(a, "x", "y"); hash(a, "x", "y") != again {
		t.Error("equal corpora differ")
	}
	if hash(a, "x", "y") == hash(a, "y", "x") || hash(a, "x", "y") == hash(a[:1], "x", "y") {
		t.Error("different corpora are equal")
	}
}

func TestJournalHasOneWriter(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out.jsonl")
	j, err := corpus.OpenJournal(path, "run", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := corpus.OpenJournal(path, "run", nil); err == nil || !strings.Contains(err.Error(), "in use") || !strings.Contains(err.Error(), "out.jsonl.part") {
		t.Fatalf("a second writer: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
		t.Fatalf("nothing was written, and this is left: %v, %v", list, err)
	}
	if j, err = corpus.OpenJournal(path, "run", nil); err != nil {
		t.Fatal(err)
	}
	if err := j.Add(1, []byte("line\n"), nil); err != nil {
		t.Fatal(err)
	}
	if err := j.Finish(); err != nil {
		t.Fatal(err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 || list[0].Name() != "out.jsonl" {
		t.Fatalf("at the end: %v, %v", list, err)
	}
}
