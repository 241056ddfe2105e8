package corpus

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/litekit/lite/corpus/tokenizer"
	"github.com/litekit/lite/internal/misfit"
)

// Names that columns and JSON members usually have, in order of preference.
var (
	textNames  = []string{"text", "text_a", "sentence", "sentence1", "content", "review", "premise", "question1", "question", "query", "document", "tokens", "words", "data"}
	pairNames  = []string{"pair", "text_b", "sentence2", "hypothesis", "question2", "answer", "title2"}
	labelNames = []string{"label", "labels", "class", "category", "target", "gold_label", "sentiment", "is_duplicate", "tags", "ner_tags"}
)

// row is one record of a table and the line it starts on.
type row struct {
	line   int
	fields []string
}

// lookahead is how many rows decide which column is what.
const lookahead = 1000

// readTable reads tsv and csv.
func (l *loader) readTable(t *textReader, comma rune) error {
	next := l.tableRows(t, comma)
	var rows []row
	for len(rows) < lookahead {
		r, ok, err := next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		rows = append(rows, r)
	}
	if len(rows) == 0 {
		if !t.seen {
			return nil
		}
		return fmt.Errorf("corpus: %s: every row is empty; check the path and how it was made", t.name)
	}
	cols, header, err := l.tableColumns(t.name, rows)
	if err != nil {
		return err
	}
	if header {
		rows = rows[1:]
	}
	tagged := taggedColumns(rows, cols)
	for _, r := range rows {
		if err := l.row(t.name, r, cols, tagged); err != nil {
			return err
		}
	}
	for !l.full() {
		r, ok, err := next()
		if err != nil || !ok {
			return err
		}
		if err := l.row(t.name, r, cols, tagged); err != nil {
			return err
		}
	}
	return nil
}

// row adds one row, or skips a bad one.
func (l *loader) row(name string, r row, cols columns, tagged bool) error {
	e, err := cols.example(r, tagged)
	if err != nil {
		return l.bad(fmt.Errorf("corpus: %s: line %d%w", name, r.line, err))
	}
	if l.layout != nil && e.Target == "-" {
		e.Target = "" // annotators did not agree
	}
	return l.add(name, r.line, e)
}

// example reads a row; the error goes on after the line number.
func (c columns) example(r row, tagged bool) (e Example, err error) {
	if len(r.fields) != c.width {
		return e, fmt.Errorf(": %d columns instead of %d; quote or remove the separator inside a text, or complete the line", len(r.fields), c.width)
	}
	e.Text = r.fields[c.text]
	if c.pair >= 0 {
		e.Pair = strings.TrimSpace(r.fields[c.pair])
	}
	if c.label >= 0 {
		e.Target = strings.TrimSpace(r.fields[c.label])
	}
	if c.score >= 0 {
		x, err := strconv.ParseFloat(strings.TrimSpace(r.fields[c.score]), 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return e, fmt.Errorf(", column %d: the score %q is not a number", c.score+1, r.fields[c.score])
		}
		e.Score = &x
	}
	if tagged {
		words, tags := splitTagged(e.Text), splitTagged(e.Target)
		if len(words) != len(tags) {
			return e, fmt.Errorf(", column %d: %d tags for %d characters or words; there must be one for each", c.label+1, len(tags), len(words))
		}
		e = fromWords(words)
		for i, t := range tags {
			e.Words[i].Entity = t
		}
	} else if e.Text = strings.TrimSpace(e.Text); e.Text == "" && e.Pair == "" {
		return e, fmt.Errorf(", column %d: the text is empty; remove the line or name another text column", c.text+1)
	}
	return e, nil
}

// tableRows returns a function that gives the rows that are not empty, one at a
// time; false at the end.
func (l *loader) tableRows(t *textReader, comma rune) func() (row, bool, error) {
	if comma == '\t' { // quotes mean nothing in GLUE's files
		return func() (row, bool, error) {
			for t.next() {
				if len(bytes.TrimSpace(t.buf)) > 0 {
					return row{t.n, strings.Split(string(t.buf), "\t")}, true, nil
				}
			}
			return row{}, false, t.err
		}
	}
	r := csv.NewReader(t)
	r.Comma, r.FieldsPerRecord = comma, -1
	return func() (row, bool, error) {
		for {
			t.taken = 0
			rec, err := r.Read()
			var pe *csv.ParseError
			switch {
			case errors.Is(err, io.EOF):
				return row{}, false, nil
			case t.err != nil:
				return row{}, false, t.err
			case errors.As(err, &pe):
				err = l.bad(fmt.Errorf("corpus: %s: line %d, byte %d: %w; double the quotes inside a quoted text", t.name, pe.Line, pe.Column, pe.Err))
				if err != nil {
					return row{}, false, err
				}
				continue
			case err != nil:
				return row{}, false, fmt.Errorf("corpus: %s: %w", t.name, err)
			}
			line, _ := r.FieldPos(0)
			if len(rec) > 1 || strings.TrimSpace(rec[0]) != "" {
				return row{line, rec}, true, nil
			}
		}
	}
}

// columns are the places of the data in a row; −1 absent.
type columns struct{ text, pair, label, score, width int }

// heading is the first row of a table, which may be its header.
type heading struct {
	file   string
	row    row
	names  []string // of the columns, in lower case
	header bool
}

func newHeading(file string, first row) *heading {
	h := &heading{file: file, row: first}
	for _, s := range first.fields {
		h.names = append(h.names, strings.ToLower(strings.TrimSpace(s)))
	}
	return h
}

func (h *heading) has(s string) bool { return slices.Contains(h.names, s) }

// fault is an error at the first row.
func (h *heading) fault(format string, args ...any) error {
	return fmt.Errorf("corpus: %s: line %d: "+format, append([]any{h.file, h.row.line}, args...)...)
}

// pick finds the column that holds a kind of data: the one wanted, by name or by
// number from 0, else in a header the first of its usual names; −1 absent.
func (h *heading) pick(kind, want string, usual []string) (int, error) {
	if want == "" {
		for _, s := range usual {
			if i := slices.Index(h.names, s); h.header && i >= 0 {
				return i, nil
			}
		}
		return -1, nil
	}
	if i := slices.Index(h.names, strings.ToLower(want)); h.header && i >= 0 {
		return i, nil
	}
	if i, err := strconv.Atoi(want); err == nil && i >= 0 && i < len(h.names) {
		return i, nil
	}
	return -1, misfit.Of(h.fault("no %s column %q among %q; name one of them, or its number from 0", kind, want, h.row.fields))
}

// tableColumns finds the columns and whether the first row is a header.
func (l *loader) tableColumns(name string, rows []row) (c columns, header bool, err error) {
	h, want := newHeading(name, rows[0]), l.opts.Columns
	c = columns{text: -1, pair: -1, label: -1, score: -1, width: len(h.names)}
	if l.layout != nil {
		var whole bool
		if want, whole, err = l.byLayout(h, &c); whole || err != nil {
			return c, h.header, err
		}
	}
	h.header = slices.ContainsFunc(h.names, func(s string) bool {
		return slices.Contains(textNames, s) || slices.Contains(pairNames, s) || slices.Contains(labelNames, s)
	})
	for _, s := range []string{want.Text, want.Pair, want.Label, want.Score} {
		h.header = h.header || s != "" && h.has(strings.ToLower(s))
	}
	if l.opts.Header != "" {
		h.header = l.opts.Header == WithHeader
	}
	if err := c.pick(h, want, rows); err != nil {
		return c, h.header, err
	}
	if h.header {
		return c, true, c.remaining(h)
	}
	return c, false, c.guess(name, rows, want)
}

// byLayout places the columns of the file's layout. whole tells that all are
// placed; else want names them.
func (l *loader) byLayout(h *heading, c *columns) (want Columns, whole bool, err error) {
	fits, ok := l.layout.columns(h.has)
	plain := l.layout.plain
	switch {
	case ok && l.opts.Header != WithoutHeader:
		if fits.Label == "" && fits.Score == "" { // a test set: no guessing
			c.text, c.pair = slices.Index(h.names, fits.Text), slices.Index(h.names, fits.Pair)
			h.header = true
			return fits, true, nil
		}
		return fits, false, nil
	case plain[0] == c.width && l.opts.Header != WithHeader:
		c.text, c.label = plain[1], plain[2]
		return want, true, nil
	case l.stated:
		return want, false, h.fault("the columns are %q; layout %q wants the text in %q and its pair in %q", h.row.fields, l.opts.Layout, l.layout.text, l.layout.pair)
	}
	return l.opts.Columns, false, nil
}

// pick places the columns that are wanted or have a usual name. A column named
// score is the number to predict where there is no label and all of it is
// numbers.
func (c *columns) pick(h *heading, want Columns, rows []row) (err error) {
	if c.text, err = h.pick("text", want.Text, textNames); err != nil {
		return err
	}
	if c.pair, err = h.pick("pair", want.Pair, pairNames); err != nil {
		return err
	}
	if want.Label != "" || want.Score == "" {
		if c.label, err = h.pick("label", want.Label, labelNames); err != nil {
			return err
		}
	}
	if want.Score != "" {
		c.score, err = h.pick("score", want.Score, nil)
		return err
	}
	if i := slices.Index(h.names, "score"); h.header && c.label < 0 && c.text >= 0 && numbers(rows[1:], i) {
		c.score = i
	}
	return nil
}

// taken tells whether a column is placed.
func (c *columns) taken(i int) bool {
	return i == c.text || i == c.pair || i == c.label || i == c.score
}

// remaining takes the only column that is left under a header as the text.
func (c *columns) remaining(h *heading) error {
	if c.text >= 0 {
		return nil
	}
	text := -1
	for i := range c.width {
		if c.taken(i) {
			continue
		}
		if text >= 0 {
			return h.fault("which of the columns %q is the text? Set the text column", h.row.fields)
		}
		text = i
	}
	if c.text = text; text < 0 {
		return h.fault("none of the columns %q is left for the text; set the text column", h.row.fields)
	}
	return nil
}

// numbers reports whether a column holds numbers.
func numbers(rows []row, column int) bool {
	for _, r := range rows {
		if column < 0 || column >= len(r.fields) {
			return false
		}
		if x, err := strconv.ParseFloat(strings.TrimSpace(r.fields[column]), 64); err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return false
		}
	}
	return len(rows) > 0 && column >= 0
}

// guess places the columns of a table without a header: the label is a column
// whose values are short and few, the others are texts.
func (c *columns) guess(name string, rows []row, want Columns) error {
	if c.width > 3 && (c.text < 0) {
		return fmt.Errorf("corpus: %s: line %d: %d columns and no header; set the text column by its number from 0", name, rows[0].line, c.width)
	}
	if c.label < 0 && c.width > 1 && want.Text == "" {
		for _, i := range []int{c.width - 1, 0} {
			if !c.taken(i) && labelLike(rows, i) {
				c.label = i
				break
			}
		}
	}
	for i := range c.width {
		switch {
		case c.taken(i):
		case c.text < 0:
			c.text = i
		case c.pair < 0 && want.Text == "":
			c.pair = i
		}
	}
	return nil
}

// labelLike tells whether column i looks like class names.
func labelLike(rows []row, i int) bool {
	seen := map[string]bool{}
	n := 0
	for _, r := range rows[:min(len(rows), 1000)] {
		if i >= len(r.fields) {
			continue
		}
		s := strings.TrimSpace(r.fields[i])
		if len(s) > 32 || strings.ContainsRune(s, ' ') {
			return false
		}
		seen[s] = true
		n++
	}
	return len(seen) <= max(2, n/3)
}

// taggedColumns recognises MSRA-NER: the text column holds separated characters
// or words and the label column one BIO tag for each.
func taggedColumns(rows []row, c columns) bool {
	if c.label < 0 {
		return false
	}
	many := false
	for _, r := range rows[:min(len(rows), 200)] {
		if c.label >= len(r.fields) || c.text >= len(r.fields) {
			continue
		}
		tags := splitTagged(r.fields[c.label])
		for _, t := range tags {
			if _, ok := entityType(t); t != "O" && !ok {
				return false
			}
		}
		many = many || len(tags) > 1
	}
	return many
}

// splitTagged splits at white space, or at the \x02 of some distributions.
func splitTagged(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r == '\x02' })
}

// fromWords joins words to a text: with spaces between, except beside Chinese,
// Japanese or full-width characters, and none at all where every word is a
// single character.
func fromWords(words []string) Example {
	chars := true
	for _, w := range words {
		chars = chars && utf8.RuneCountInString(w) == 1
	}
	unspaced := chars && hasWide(words)
	var b strings.Builder
	e := Example{Words: make([]Word, len(words))}
	for i, w := range words {
		if i > 0 && !unspaced {
			last, _ := utf8.DecodeLastRuneInString(words[i-1])
			next, _ := utf8.DecodeRuneInString(w)
			if !isWide(last) && !isWide(next) {
				b.WriteByte(' ')
			}
		}
		e.Words[i].Start = b.Len()
		b.WriteString(w)
		e.Words[i].End = b.Len()
	}
	e.Text = b.String()
	return e
}

func hasWide(words []string) bool {
	return slices.ContainsFunc(words, func(w string) bool {
		r, _ := utf8.DecodeRuneInString(w)
		return isWide(r)
	})
}

// isWide tells characters of scripts that are written without spaces.
func isWide(r rune) bool {
	return tokenizer.IsChinese(r) || r >= 0x3000 && r <= 0x30FF || r >= 0xFF00 && r <= 0xFFEF || r == '“' || r == '”' || r == '‘' || r == '’' || r == '…' || r == '—' || r == '·'
}
