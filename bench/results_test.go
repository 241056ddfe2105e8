package main

import (
	"path/filepath"
	"slices"
	"testing"
)

// TestResults keeps tables: rows of one name are replaced, others and the text
// around them stay.
func TestResults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "RESULTS.md")
	r, err := readResults(file)
	if err != nil {
		t.Fatal(err)
	}
	r.lines = append(r.lines, "", "By hand.", begin("a"), end, "More by hand.")
	p := part{name: "a", head: []string{"model", "batch", "ratio"}, key: 2, ratio: 2}
	for _, c := range [][]string{{"x", "1×2", "2.00", "day 1"}, {"y", "1×2", "8.00", "day 1"}, {"x", "1×2", "0.50", "day 2"}} {
		if err := r.put(p, c, "machine"); err != nil {
			t.Fatal(err)
		}
		if err := r.write(file); err != nil {
			t.Fatal(err)
		}
		if r, err = readResults(file); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"# Results", "", "By hand.", begin("a"),
		"| model | batch | ratio | measured |", "|---|---|---|---|", "| x | 1×2 | 0.50 | day 2 |", "| y | 1×2 | 8.00 | day 1 |",
		"", "Geometric mean 2.00, least 0.50. machine.", end, "More by hand."}
	if !slices.Equal(r.lines, want) {
		t.Errorf("got  %q\nwant %q", r.lines, want)
	}
	r.lines = r.lines[:8]
	if err := r.put(p, []string{"x", "1×2", "1", "day 3"}, "machine"); err == nil {
		t.Error("a table without an end is no error")
	}
}

// TestWanted holds -only to parts and rows.
func TestWanted(t *testing.T) {
	for _, tc := range []struct {
		only      []string
		part, row string
		want      bool
	}{
		{nil, "float", "4x312 1×32", true},
		{[]string{"float"}, "float", "4x312 1×32", true},
		{[]string{"float"}, "int8", "4x312 1×32", false},
		{[]string{"int8", "float:6x384"}, "float", "4x312 1×32", false},
		{[]string{"int8", "float:6x384"}, "float", "6x384 1×32", true},
	} {
		if got := (&bench{only: tc.only}).wanted(tc.part, tc.row); got != tc.want {
			t.Errorf("-only %v: %s %s is wanted: %v, want %v", tc.only, tc.part, tc.row, got, tc.want)
		}
	}
}
