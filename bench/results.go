package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// results is RESULTS.md: text written by hand, with tables between the lines
//
//	<!-- bench NAME -->
//	<!-- end -->
//
// that this program keeps.
type results struct{ lines []string }

func readResults(file string) (*results, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return &results{lines: []string{"# Results"}}, nil
	}
	if err != nil {
		return nil, err
	}
	return &results{lines: strings.Split(strings.TrimRight(string(text), "\n"), "\n")}, nil
}

func (r *results) write(file string) error {
	tmp := filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+".tmp")
	if err := os.WriteFile(tmp, []byte(strings.Join(r.lines, "\n")+"\n"), 0o666); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}

func begin(name string) string { return "<!-- bench " + name + " -->" }

const end = "<!-- end -->"

// bounds finds the lines between a table's marks, adding the marks at the end
// of the document where there are none.
func (r *results) bounds(name string) (from, to int, err error) {
	from = slices.Index(r.lines, begin(name)) + 1
	if from == 0 {
		r.lines = append(r.lines, "", "## "+name, "", begin(name), end)
		from = len(r.lines) - 1
	}
	n := slices.Index(r.lines[from:], end)
	if n < 0 {
		return 0, 0, fmt.Errorf("the table %s has no line %q after it", name, end)
	}
	return from, from + n, nil
}

// put enters a row, in the place of one that has the same name.
func (r *results) put(p part, cells []string, machine string) error {
	from, to, err := r.bounds(p.name)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, line := range r.lines[from:to] {
		if c := cellsOf(line); len(c) == len(cells) && c[0] != p.head[0] && !strings.HasPrefix(c[0], "---") {
			rows = append(rows, c)
		}
	}
	at := slices.IndexFunc(rows, func(c []string) bool { return slices.Equal(c[:p.key], cells[:p.key]) })
	if at < 0 {
		rows = append(rows, cells)
	} else {
		rows[at] = cells
	}
	head := append(slices.Clone(p.head), "measured")
	out := []string{lineOf(head), "|" + strings.Repeat("---|", len(head))}
	for _, c := range rows {
		out = append(out, lineOf(c))
	}
	out = append(out, "")
	if p.ratio >= 0 {
		out = append(out, summary(rows, p.ratio)+" "+machine+".")
	} else {
		out = append(out, machine+".")
	}
	r.lines = slices.Replace(r.lines, from, to, out...)
	return nil
}

func cellsOf(line string) []string {
	line, ok := strings.CutPrefix(strings.TrimSpace(line), "|")
	if !ok {
		return nil
	}
	cells := strings.Split(strings.TrimSuffix(line, "|"), "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells
}

func lineOf(cells []string) string { return "| " + strings.Join(cells, " | ") + " |" }

// summary tells the geometric mean and the least of a column.
func summary(rows [][]string, column int) string {
	sum, least := 0.0, math.Inf(1)
	for _, c := range rows {
		x, err := strconv.ParseFloat(c[column], 64)
		if err != nil || x <= 0 {
			return "A ratio could not be read."
		}
		sum += math.Log(x)
		least = min(least, x)
	}
	return fmt.Sprintf("Geometric mean %.2f, least %.2f.", math.Exp(sum/float64(len(rows))), least)
}
