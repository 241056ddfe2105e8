package eval

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"
)

// cells lays the table out as strings: a header and a line for each row.
// Columns that no row has a value for are left out.
func (t *Table) cells() [][]string {
	type column struct {
		title string
		value func(Row) string
	}
	shape := ""
	if t.Shape != nil {
		shape = fmt.Sprintf(" %d×%d", t.Shape.Batch, t.Shape.Length)
	}
	columns := []column{
		{"model", func(r Row) string { return r.Name }},
		{t.Metric, func(r Row) string { return number(r.Quality, 4) }},
		{"95% interval", func(r Row) string {
			if math.IsNaN(float64(r.Low)) {
				return ""
			}
			return number(r.Low, 3) + "–" + number(r.High, 3)
		}},
		{"drop", func(r Row) string { return number(r.Drop, 4) }},
		{"bytes", func(r Row) string { return fmt.Sprint(r.Bytes) }},
		{"smaller", func(r Row) string { return times(r.Ratio) }},
		{"p50" + shape, func(r Row) string { return milliseconds(r.P50) }},
		{"p95" + shape, func(r Row) string { return milliseconds(r.P95) }},
		{"faster", func(r Row) string { return times(r.Speedup) }},
		{"agreement", func(r Row) string { return number(r.Agreement, 4) }},
		{"p", func(r Row) string { return number(r.PValue, 3) }},
	}
	out := make([][]string, len(t.Rows)+1)
	for _, c := range columns {
		any := false
		line := []string{c.title}
		for _, r := range t.Rows {
			v := c.value(r)
			any = any || v != ""
			line = append(line, v)
		}
		if !any {
			continue
		}
		for i, v := range line {
			out[i] = append(out[i], v)
		}
	}
	return out
}

// number formats with a fixed number of decimals; NaN is empty and negative
// zero is zero.
func number(f Float, decimals int) string {
	if math.IsNaN(float64(f)) {
		return ""
	}
	s := fmt.Sprintf("%.*f", decimals, float64(f))
	if strings.Trim(s, "-0.") == "" {
		s = strings.TrimPrefix(s, "-")
	}
	return s
}

func times(f Float) string {
	if math.IsNaN(float64(f)) {
		return ""
	}
	return fmt.Sprintf("%.2f×", float64(f))
}

func milliseconds(f Float) string {
	if math.IsNaN(float64(f)) {
		return ""
	}
	return fmt.Sprintf("%.2f ms", float64(f))
}

// WriteText writes the table with aligned columns: the first to the left, the
// others to the right.
func (t *Table) WriteText(w io.Writer) error {
	cells := t.cells()
	width := widths(cells)
	var b strings.Builder
	for _, line := range cells {
		var row strings.Builder
		for i, v := range line {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(v))
			if i == 0 {
				row.WriteString(v + pad)
			} else {
				row.WriteString("  " + pad + v)
			}
		}
		b.WriteString(strings.TrimRight(row.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteMarkdown writes the table as GitHub Markdown.
func (t *Table) WriteMarkdown(w io.Writer) error {
	cells := t.cells()
	for _, line := range cells {
		for i, v := range line {
			line[i] = strings.ReplaceAll(v, "|", "\\|")
		}
	}
	width := widths(cells)
	var b strings.Builder
	for n, line := range cells {
		for i, v := range line {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(v))
			if i == 0 {
				b.WriteString("| " + v + pad)
			} else {
				b.WriteString(" | " + pad + v)
			}
		}
		b.WriteString(" |\n")
		if n > 0 {
			continue
		}
		for i := range line {
			if i == 0 {
				b.WriteString("|" + strings.Repeat("-", width[i]+2))
			} else {
				b.WriteString("|" + strings.Repeat("-", width[i]+1) + ":")
			}
		}
		b.WriteString("|\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteJSON writes the table, every result included, as indented JSON.
func (t *Table) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(t)
}

// String is the text form.
func (t *Table) String() string {
	var b strings.Builder
	_ = t.WriteText(&b) // a Builder does not fail
	return b.String()
}

// widths is the greatest number of characters in each column.
func widths(cells [][]string) []int {
	out := make([]int, len(cells[0]))
	for _, line := range cells {
		for i, v := range line {
			out[i] = max(out[i], utf8.RuneCountInString(v))
		}
	}
	return out
}

// WriteScores writes a result as aligned text: a line for each head and
// metric, with its interval and the constant guess beside it, and a line for
// each head that was skipped.
func (r *Result) WriteScores(w io.Writer) error {
	cells := [][]string{{"head", "metric", "value", "95% interval", "guess", "rows"}}
	for _, s := range r.Scores {
		interval, guess := "", ""
		if s.Interval != nil {
			interval = number(s.Interval.Low, 3) + "–" + number(s.Interval.High, 3)
		}
		if s.Baseline != nil && !math.IsNaN(float64(*s.Baseline)) {
			guess = number(*s.Baseline, 4) + " " + s.BaselineName
		}
		cells = append(cells, []string{string(s.Head), s.Metric, number(s.Value, 4), interval, guess, fmt.Sprint(s.Count)})
	}
	width := widths(cells)
	var b strings.Builder
	for _, line := range cells {
		for i, v := range line {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(v))
			switch {
			case i == 0:
				b.WriteString(v + pad)
			case i == 1:
				b.WriteString("  " + v + pad)
			default:
				b.WriteString("  " + pad + v)
			}
		}
		b.WriteString("\n")
	}
	for _, s := range r.Skipped {
		b.WriteString("not scored: " + s + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
