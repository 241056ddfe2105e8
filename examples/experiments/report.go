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

// print writes the table as Markdown: of each figure the values of all seeds and
// their mean, and the mean difference from the first row, seed by seed, with its
// standard error.
func (t table) print(w io.Writer, rows [][]map[string]float64) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n\n|", t.title)
	for _, c := range t.columns {
		fmt.Fprintf(&b, " | %s | mean | Δ ± s.e.", c.name)
	}
	b.WriteString(" |\n|---" + strings.Repeat("|---|---|---", len(t.columns)) + "|\n")
	for i, v := range t.variants {
		fmt.Fprintf(&b, "| %s", v.name)
		for _, c := range t.columns {
			value := func(row, seed int) float64 {
				if x, ok := rows[row][seed][c.name]; ok {
					return x
				}
				return math.NaN()
			}
			var values []string
			var mean, difference, squares float64
			n := float64(len(rows[i]))
			for s := range rows[i] {
				values = append(values, figure(c.format, value(i, s)))
				mean += value(i, s) / n
				difference += (value(i, s) - value(0, s)) / n
			}
			for s := range rows[i] {
				d := value(i, s) - value(0, s) - difference
				squares += d * d
			}
			fmt.Fprintf(&b, " | %s | %s | ", strings.Join(values, " "), figure(c.format, mean))
			switch {
			case i == 0 || math.IsNaN(difference):
			case n > 1:
				fmt.Fprintf(&b, "%s ± %s", figure("%+"+c.format[1:], difference), figure(c.format, math.Sqrt(squares/(n-1)/n)))
			default:
				b.WriteString(figure("%+"+c.format[1:], difference))
			}
		}
		b.WriteString(" |\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// figure writes a number, or nothing where there is none.
func figure(format string, x float64) string {
	if math.IsNaN(x) {
		return "–"
	}
	return fmt.Sprintf(format, x)
}
