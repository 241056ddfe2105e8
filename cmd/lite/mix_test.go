package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
)

func TestMixFlags(t *testing.T) {
	for _, c := range []struct {
		mix        mixFlags
		files, dev []string
		want       string
	}{
		{mixFlags{split: 0.1}, []string{"a"}, []string{"b"}, "exclude"},
		{mixFlags{split: 1}, []string{"a"}, nil, "nothing to train on"},
		{mixFlags{dedupe: true}, nil, nil, "need --data"},
		{mixFlags{weights: []float64{1}}, []string{"a", "b"}, nil, "one for each"},
		{mixFlags{weights: []float64{-1}}, []string{"a"}, nil, "from 0"},
	} {
		if err := c.mix.check(c.files, c.dev); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want %q", c.mix, err, c.want)
		}
	}
	dir := t.TempDir()
	var files []string
	for _, name := range []string{"x", "y"} {
		var b strings.Builder
		b.WriteString("text\tlabel\n")
		for i := range 100 {
			b.WriteString(strings.Repeat(name, i%50+1) + "\t" + name + "\n")
		}
		f := filepath.Join(dir, name+".tsv")
		if err := os.WriteFile(f, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	var out, errs bytes.Buffer
	a := newApp(nil, &out, &errs)
	x := mixFlags{dedupe: true, split: 0.2, weights: []float64{2, 1}}
	train, dev, err := x.open(a, &dataFlags{app: a}, files, 1)
	if err != nil {
		t.Fatal(err)
	}
	at, err := corpus.Overlap(train, dev)
	if err != nil || len(at) > 0 || dev.Len() < 5 || dev.Len() > 40 || train.Len() <= 100-dev.Len() {
		t.Errorf("%d and %d examples, %d common, %v", train.Len(), dev.Len(), len(at), err)
	}
	if err := warnOverlap(a, "--text", train, "--dev-split", train); err != nil || !strings.Contains(errs.String(), "examples of --dev-split also occur in --text") || !strings.Contains(errs.String(), "50 of 100 examples left out") {
		t.Errorf("notes %q, error %v", errs.String(), err)
	}
}
