package corpus

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
)

// parquetColumn is one leaf of the schema.
type parquetColumn struct {
	name  string
	list  bool
	full  int      // definition level of a value that is there
	names []string // of a ClassLabel's numbers
}

// readParquet reads a Parquet file, as the Hugging Face hub keeps data sets:
// columns of strings, numbers and lists of them, with the names of ClassLabel
// features from the metadata. Each row then counts as a JSON object. What is not
// a file with random access goes to a temporary file first.
func (l *loader) readParquet(name string, r io.Reader) (err error) {
	defer func() { // the decoder panics on some damaged files
		if x := recover(); x != nil {
			err = fmt.Errorf("corpus: %s: the Parquet file is damaged: %v; download it again", name, x)
		}
	}()
	f, size, done, err := randomAccess(name, r)
	if err != nil {
		return err
	}
	defer done()
	if size == 0 {
		return fmt.Errorf("corpus: %s: the file is empty; check the path and how it was made", name)
	}
	p, err := parquet.OpenFile(f, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return fmt.Errorf("corpus: %s: not a Parquet file: %w; download it again, or set the format", name, err)
	}
	columns := parquetColumns(p, l.opts.Columns.POS)
	n := 0
	buf := make([]parquet.Row, 64)
	for _, group := range p.RowGroups() {
		rows := group.Rows()
		for {
			k, err := rows.ReadRows(buf)
			for _, row := range buf[:k] {
				n++
				if l.full() {
					return rows.Close()
				}
				if err := l.parquetRow(name, n, row, columns); err != nil {
					rows.Close()
					return err
				}
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				rows.Close()
				return fmt.Errorf("corpus: %s: row %d: %w; the file is damaged, download it again", name, n+1, err)
			}
		}
		if err := rows.Close(); err != nil {
			return fmt.Errorf("corpus: %s: %w", name, err)
		}
	}
	return nil
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
	spill, err := newSpillFile()
	if err != nil {
		return nil, 0, nil, fmt.Errorf("corpus: %s: %w; set TMPDIR to a folder that can be written", name, err)
	}
	if size, err = io.Copy(spill.w, plain); err == nil {
		err = spill.w.Flush()
	}
	if err != nil {
		spill.close()
		return nil, 0, nil, fmt.Errorf("corpus: %s: %w", name, err)
	}
	return spill.f, size, spill.close, nil
}

// parquetColumns describes the leaves, by column index; those that are nested
// deeper than a list have no name.
func parquetColumns(p *parquet.File, wantPOS string) []parquetColumn {
	names := classNames(p)
	columns := make([]parquetColumn, 0, 8)
	for _, path := range p.Schema().Columns() {
		leaf, ok := p.Schema().Lookup(path...)
		c := parquetColumn{full: leaf.MaxDefinitionLevel, list: leaf.MaxRepetitionLevel == 1}
		switch {
		case !ok || leaf.MaxRepetitionLevel > 1:
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
func (l *loader) parquetRow(name string, n int, row parquet.Row, columns []parquetColumn) error {
	m := map[string]json.RawMessage{}
	var bad error
	row.Range(func(k int, values []parquet.Value) bool {
		if k >= len(columns) || columns[k].name == "" {
			return true
		}
		c := columns[k]
		items := make([]string, 0, len(values))
		for _, v := range values {
			if c.list && v.IsNull() && v.DefinitionLevel() < c.full && len(values) == 1 {
				break // an empty list
			}
			s, err := c.json(v)
			if err != nil {
				bad = fmt.Errorf("column %q: %w", c.name, err)
				return false
			}
			items = append(items, s)
		}
		switch {
		case c.list:
			m[c.name] = json.RawMessage("[" + strings.Join(items, ",") + "]")
		case len(items) == 1:
			m[c.name] = json.RawMessage(items[0])
		}
		return true
	})
	var e Example
	if bad == nil {
		e, bad = l.fromObject(m)
	}
	if bad != nil {
		return l.bad(fmt.Errorf("corpus: %s: row %d: %w", name, n, bad))
	}
	return l.add(name, n, e)
}

// json writes a value, a ClassLabel's number by its name.
func (c parquetColumn) json(v parquet.Value) (string, error) {
	if v.IsNull() {
		return "null", nil
	}
	var number int64
	switch v.Kind() {
	case parquet.Boolean:
		return strconv.FormatBool(v.Boolean()), nil
	case parquet.Int32:
		number = int64(v.Int32())
	case parquet.Int64:
		number = v.Int64()
	case parquet.Float, parquet.Double:
		x := v.Double()
		if v.Kind() == parquet.Float {
			x = float64(v.Float())
		}
		if x != x || x-x != 0 {
			return "null", nil // JSON has no NaN and no infinity
		}
		return strconv.FormatFloat(x, 'g', -1, 64), nil
	case parquet.ByteArray, parquet.FixedLenByteArray:
		if !utf8.Valid(v.ByteArray()) {
			return "null", nil // an image or the like, of no use here
		}
		s, err := json.Marshal(string(v.ByteArray()))
		return string(s), err
	default:
		return "null", nil
	}
	if c.names != nil && number >= 0 {
		if number >= int64(len(c.names)) {
			return "", fmt.Errorf("the class %d is none of %q", number, c.names)
		}
		s, err := json.Marshal(c.names[number])
		return string(s), err
	}
	return strconv.FormatInt(number, 10), nil
}
