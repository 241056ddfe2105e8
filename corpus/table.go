package corpus

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/litekit/lite/corpus/tokenizer"
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

// readTable reads tsv and csv.
func (l *loader) readTable(name string, data []byte, comma rune) error {
	rows, err := tableRows(name, data, comma)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return fmt.Errorf("corpus: %s: every row is empty; check the path and how it was made", name)
	}
	cols, header, err := tableColumns(name, rows, l.opts.Columns)
	if err != nil {
		return err
	}
	if header {
		rows = rows[1:]
	}
	tagged := taggedColumns(rows, cols)
	for _, r := range rows {
		if l.full() {
			return nil
		}
		if len(r.fields) != cols.width {
			return fmt.Errorf("corpus: %s: line %d: %d columns instead of %d; quote or remove the separator inside a text, or complete the line", name, r.line, len(r.fields), cols.width)
		}
		e := Example{Text: r.fields[cols.text]}
		if cols.pair >= 0 {
			e.Pair = strings.TrimSpace(r.fields[cols.pair])
		}
		if cols.label >= 0 {
			e.Target = strings.TrimSpace(r.fields[cols.label])
		}
		if tagged {
			words, tags := splitTagged(e.Text), splitTagged(e.Target)
			if len(words) != len(tags) {
				return fmt.Errorf("corpus: %s: line %d, column %d: %d tags for %d characters or words; there must be one for each", name, r.line, cols.label+1, len(tags), len(words))
			}
			e = fromWords(words)
			for i, t := range tags {
				e.Words[i].Entity = t
			}
		} else if e.Text = strings.TrimSpace(e.Text); e.Text == "" && e.Pair == "" {
			return fmt.Errorf("corpus: %s: line %d, column %d: the text is empty; remove the line or name another text column", name, r.line, cols.text+1)
		}
		l.add(name, r.line, e)
	}
	return nil
}

func tableRows(name string, data []byte, comma rune) ([]row, error) {
	var rows []row
	if comma == '\t' { // quotes mean nothing in GLUE's files
		for n, line := range lines(data) {
			if strings.TrimSpace(line) != "" {
				rows = append(rows, row{n, strings.Split(line, "\t")})
			}
		}
		return rows, nil
	}
	r := csv.NewReader(bytes.NewReader(data))
	r.Comma, r.FieldsPerRecord = comma, -1
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		var pe *csv.ParseError
		if errors.As(err, &pe) {
			return nil, fmt.Errorf("corpus: %s: line %d, byte %d: %w; double the quotes inside a quoted text", name, pe.Line, pe.Column, pe.Err)
		}
		if err != nil {
			return nil, fmt.Errorf("corpus: %s: %w", name, err)
		}
		line, _ := r.FieldPos(0)
		if len(rec) > 1 || strings.TrimSpace(rec[0]) != "" {
			rows = append(rows, row{line, rec})
		}
	}
}

// columns are the places of the data in a row; −1 absent.
type columns struct{ text, pair, label, width int }

// tableColumns finds the columns and whether the first row is a header.
func tableColumns(name string, rows []row, want Columns) (c columns, header bool, err error) {
	first := rows[0]
	c = columns{text: -1, pair: -1, label: -1, width: len(first.fields)}
	names := make([]string, len(first.fields))
	for i, s := range first.fields {
		names[i] = strings.ToLower(strings.TrimSpace(s))
	}
	known := func(s string) bool {
		return slices.Contains(textNames, s) || slices.Contains(pairNames, s) || slices.Contains(labelNames, s)
	}
	header = slices.ContainsFunc(names, known)
	for _, s := range []string{want.Text, want.Pair, want.Label} {
		header = header || s != "" && slices.Contains(names, strings.ToLower(s))
	}
	pick := func(kind, want string, usual []string) (int, error) {
		if want == "" {
			if header {
				for _, s := range usual {
					if i := slices.Index(names, s); i >= 0 {
						return i, nil
					}
				}
			}
			return -1, nil
		}
		if i := slices.Index(names, strings.ToLower(want)); header && i >= 0 {
			return i, nil
		}
		if i, err := strconv.Atoi(want); err == nil && i >= 0 && i < c.width {
			return i, nil
		}
		return -1, fmt.Errorf("corpus: %s: line %d: no %s column %q among %q; name one of them, or its number from 0", name, first.line, kind, want, first.fields)
	}
	if c.text, err = pick("text", want.Text, textNames); err != nil {
		return c, header, err
	}
	if c.pair, err = pick("pair", want.Pair, pairNames); err != nil {
		return c, header, err
	}
	if c.label, err = pick("label", want.Label, labelNames); err != nil {
		return c, header, err
	}
	if c.text < 0 && header {
		for i := range c.width { // a single unknown column is the text
			if i != c.pair && i != c.label {
				if c.text >= 0 {
					return c, header, fmt.Errorf("corpus: %s: line %d: which of the columns %q is the text? Set the text column", name, first.line, first.fields)
				}
				c.text = i
			}
		}
		if c.text < 0 {
			return c, header, fmt.Errorf("corpus: %s: line %d: none of the columns %q is left for the text; set the text column", name, first.line, first.fields)
		}
	}
	if !header {
		err = c.guess(name, rows, want)
	}
	return c, header, err
}

// guess places the columns of a table without a header: the label is a column
// whose values are short and few, the others are texts.
func (c *columns) guess(name string, rows []row, want Columns) error {
	if c.width > 3 && (c.text < 0) {
		return fmt.Errorf("corpus: %s: line %d: %d columns and no header; set the text column by its number from 0", name, rows[0].line, c.width)
	}
	taken := func(i int) bool { return i == c.text || i == c.pair || i == c.label }
	if c.label < 0 && c.width > 1 && want.Text == "" {
		for _, i := range []int{c.width - 1, 0} {
			if !taken(i) && labelLike(rows, i) {
				c.label = i
				break
			}
		}
	}
	for i := range c.width {
		switch {
		case taken(i):
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
