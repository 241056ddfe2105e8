package corpus

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/litekit/lite/internal/parquet"
)

// parquetColumn is one leaf of the schema.
type parquetColumn struct {
	parquet.Column
	name  string // "" is not read
	list  bool
	names []string // of a ClassLabel's numbers
}

// readParquet reads a Parquet file, as the Hugging Face hub keeps data sets:
// columns of strings, numbers and lists of them, with the names of ClassLabel
// features from the metadata. Each row then counts as a JSON object. What is not
// a file with random access goes to a temporary file first.
func (l *loader) readParquet(name string, r io.Reader) error {
	f, size, done, err := randomAccess(name, r)
	if err != nil {
		return err
	}
	defer done()
	if size == 0 {
		return fmt.Errorf("corpus: %s: the file is empty; check the path and how it was made", name)
	}
	p, err := parquet.Open(f, size)
	if err != nil {
		return parquetFault(name, "", fmt.Errorf("not a Parquet file: %w", err), "download it again, or set the format")
	}
	columns := parquetColumns(p, l.opts.Columns.POS)
	n := 0
	for row, err := range p.Rows(func(k int) bool { return columns[k].name != "" }) {
		n++
		if err != nil {
			return parquetFault(name, fmt.Sprintf("row %d: ", n), err, "the file is damaged, download it again")
		}
		if l.full() {
			return nil
		}
		if err := l.parquetRow(name, n, row, columns); err != nil {
			return err
		}
	}
	return nil
}

// parquetFault says what to do about a file that cannot be read.
func parquetFault(name, where string, err error, more string) error {
	var other parquet.UnsupportedError
	if errors.As(err, &other) {
		return fmt.Errorf("corpus: %s: %s%w; write the file with another setting, or as jsonl", name, where, err)
	}
	return fmt.Errorf("corpus: %s: %s%w; %s", name, where, err, more)
}

// randomAccess returns r as a file.
func randomAccess(name string, r io.Reader) (f *os.File, size int64, done func(), err error) {
	if f, ok := r.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			return f, info.Size(), func() {}, nil
		}
	}
	plain, stop, err := decompress(name, r)
	if err != nil {
		return nil, 0, nil, err
	}
	defer stop()
	if f, err = os.CreateTemp("", "lite-parquet-*"); err != nil {
		return nil, 0, nil, fmt.Errorf("corpus: %s: %w; set TMPDIR to a folder that can be written", name, err)
	}
	done = func() {
		f.Close()
		os.Remove(f.Name())
	}
	if size, err = io.Copy(f, plain); err != nil {
		done()
		return nil, 0, nil, fmt.Errorf("corpus: %s: %w", name, err)
	}
	return f, size, done, nil
}

// parquetColumns describes the leaves, by column index; those that are nested
// deeper than a list have no name.
func parquetColumns(p *parquet.File, wantPOS string) []parquetColumn {
	names := classNames(p)
	columns := make([]parquetColumn, 0, 8)
	for _, leaf := range p.Columns {
		c := parquetColumn{Column: leaf, list: leaf.Repeated == 1}
		path := leaf.Path
		switch {
		case leaf.Repeated > 1:
		case c.list && (len(path) == 1 || len(path) <= 3 && path[len(path)-1] != path[0] && slices.Contains([]string{"list", "bag", "array", "element"}, path[1])):
			c.name = path[0]
		case !c.list:
			c.name = strings.Join(path, ".")
		}
		c.names = names[c.name]
		foreign := func(s string) bool { return !slices.Contains(upos, s) }
		if c.name != wantPOS && slices.Contains(posNames, c.name) && slices.ContainsFunc(c.names, foreign) {
			c.name = "" // tags of another set, as CoNLL-2003's
		}
		columns = append(columns, c)
	}
	return columns
}

// classNames reads the features that the datasets library notes in a file.
func classNames(p *parquet.File) map[string][]string {
	type feature struct {
		Names   []string        `json:"names"`
		Feature json.RawMessage `json:"feature"`
	}
	var meta struct {
		Info struct {
			Features map[string]json.RawMessage `json:"features"`
		} `json:"info"`
	}
	text, _ := p.Lookup("huggingface")
	out := map[string][]string{}
	if json.Unmarshal([]byte(text), &meta) != nil {
		return out // other writers have no such note
	}
	for name, data := range meta.Info.Features {
		var f, inner feature
		if len(data) > 0 && data[0] == '[' { // a list is written [feature] by some versions
			var list []json.RawMessage
			if json.Unmarshal(data, &list) == nil && len(list) == 1 {
				data = list[0]
			}
		}
		if json.Unmarshal(data, &f) != nil {
			continue
		}
		if f.Names == nil && json.Unmarshal(f.Feature, &inner) == nil {
			f.Names = inner.Names
		}
		out[name] = f.Names
	}
	return out
}

// parquetRow adds a row.
func (l *loader) parquetRow(name string, n int, row [][]parquet.Value, columns []parquetColumn) error {
	m := map[string]json.RawMessage{}
	var bad error
	for k, c := range columns {
		if c.name == "" {
			continue
		}
		if m[c.name], bad = c.member(row[k]); bad != nil {
			bad = fmt.Errorf("column %q: %w", c.name, bad)
			break
		}
	}
	var e Example
	if bad == nil {
		e, bad = l.fromObject(m)
	}
	if bad != nil {
		return l.bad(fmt.Errorf("corpus: %s: line %d: %w", name, n, bad))
	}
	return l.add(name, n, e)
}

// member writes the values of a row.
func (c parquetColumn) member(values []parquet.Value) (json.RawMessage, error) {
	if !c.list {
		s, err := c.json(values[0])
		return json.RawMessage(s), err
	}
	items := make([]string, 0, len(values))
	for _, v := range values {
		if v.Level < c.ItemLevel {
			break // an empty list
		}
		s, err := c.json(v)
		if err != nil {
			return nil, err
		}
		items = append(items, s)
	}
	return json.RawMessage("[" + strings.Join(items, ",") + "]"), nil
}

// json writes a value, a ClassLabel's number by its name.
func (c parquetColumn) json(v parquet.Value) (string, error) {
	if v.Null {
		return "null", nil
	}
	switch c.Kind {
	case parquet.Boolean:
		return strconv.FormatBool(v.Int != 0), nil
	case parquet.Int32, parquet.Int64:
	case parquet.Float, parquet.Double:
		if math.IsNaN(v.Float) || math.IsInf(v.Float, 0) {
			return "null", nil // JSON has neither
		}
		return strconv.FormatFloat(v.Float, 'g', -1, 64), nil
	case parquet.ByteArray, parquet.FixedLenByteArray:
		if !utf8.Valid(v.Bytes) {
			return "null", nil // an image or the like, of no use here
		}
		s, err := json.Marshal(string(v.Bytes))
		return string(s), err
	default:
		return "null", nil
	}
	number := v.Int
	if c.names != nil && number >= 0 {
		if number >= int64(len(c.names)) {
			return "", fmt.Errorf("the class %d is none of %q", number, c.names)
		}
		s, err := json.Marshal(c.names[number])
		return string(s), err
	}
	return strconv.FormatInt(number, 10), nil
}
