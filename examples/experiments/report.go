package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// fileName makes a folder's name of a variant's.
func fileName(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(s))
}

// readFigures returns what a finished run left, nil if there is none.
func readFigures(dir string) (figures map[string]float64, err error) {
	b, err := os.ReadFile(filepath.Join(dir, "figures.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &figures)
	}
	return figures, err
}

func writeFigures(dir string, figures map[string]float64) error {
	b, err := json.Marshal(figures)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	temp := filepath.Join(dir, "figures.json.tmp")
	if err := os.WriteFile(temp, append(b, '\n'), 0o666); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(dir, "figures.json"))
}

// abreast is how many figures stand side by side; a table with more of them is
// written as several.
const abreast = 2

// print writes the table as Markdown: of each figure the values of all seeds and
// their mean, and the mean difference from the first row, and from the row's
// control where there are any, seed by seed, with its standard error.
func (t table) print(w io.Writer, rows [][]map[string]float64) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n", t.title)
	controls := map[string]int{}
	controlled := false
	for i, v := range t.variants {
		controls[v.name] = i
		controlled = controlled || v.control != ""
	}
	cells, heads := "|---|---|---", " | %s | mean | Δ ± s.e."
	if controlled {
		cells, heads = cells+"|---", heads+" | Δ from control"
	}
	for columns := range slices.Chunk(t.columns, abreast) {
		b.WriteString("\n|")
		for _, c := range columns {
			fmt.Fprintf(&b, heads, c.name)
		}
		b.WriteString(" |\n|---" + strings.Repeat(cells, len(columns)) + "|\n")
		for i, v := range t.variants {
			fmt.Fprintf(&b, "| %s", v.name)
			for _, c := range columns {
				x := c.values(rows[i])
				fmt.Fprintf(&b, " | %s | %s | ", c.write(x), figure(c.format, mean(x)))
				if i > 0 {
					b.WriteString(c.difference(x, c.values(rows[0])))
				}
				if controlled {
					b.WriteString(" | ")
				}
				if v.control != "" {
					b.WriteString(c.difference(x, c.values(rows[controls[v.control]])))
				}
			}
			b.WriteString(" |\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// values are the column's figures of a row, one for each seed; NaN where there
// is none.
func (c column) values(row []map[string]float64) (out []float64) {
	for _, figures := range row {
		x, ok := figures[c.name]
		if !ok {
			x = math.NaN()
		}
		out = append(out, x)
	}
	return out
}

func (c column) write(values []float64) string {
	var out []string
	for _, x := range values {
		out = append(out, figure(c.format, x))
	}
	return strings.Join(out, " ")
}

// difference is the mean of x − y with its standard error, nothing where there
// are no figures.
func (c column) difference(x, y []float64) string {
	d := make([]float64, len(x))
	for i := range x {
		d[i] = x[i] - y[i]
	}
	m, n, squares := mean(d), float64(len(d)), 0.0
	if math.IsNaN(m) {
		return ""
	}
	for _, v := range d {
		squares += (v - m) * (v - m)
	}
	signed := figure("%+"+c.format[1:], m)
	if n < 2 {
		return signed
	}
	return fmt.Sprintf("%s ± %s", signed, figure(c.format, math.Sqrt(squares/(n-1)/n)))
}

func mean(x []float64) (m float64) {
	for _, v := range x {
		m += v / float64(len(x))
	}
	return m
}

// figure writes a number, or nothing where there is none.
func figure(format string, x float64) string {
	if math.IsNaN(x) {
		return "–"
	}
	return fmt.Sprintf(format, x)
}
