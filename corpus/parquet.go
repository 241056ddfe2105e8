package corpus

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// parquetColumn is one leaf of the schema that is read.
type parquetColumn struct {
	name  string
	leaf  int
	list  bool
	names []string // of a ClassLabel's numbers
	chunk *parquetChunk
	items []string // of the row
	last  *parquetValues
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
	p, err := openParquet(f, size)
	if err != nil {
		if errors.Is(err, errForm) {
			return fmt.Errorf("corpus: %s: %w", name, err)
		}
		return fmt.Errorf("corpus: %s: not a Parquet file: %w; download it again, or set the format", name, err)
	}
	columns := parquetColumns(p, l.opts.Columns.POS)
	n := 0
	for i := range p.meta.RowGroups {
		group := &p.meta.RowGroups[i]
		for k := range columns {
			c := &columns[k]
			if c.chunk, err = p.chunk(group, c.leaf); err != nil {
				return parquetError(fmt.Errorf("corpus: %s: column %q: %w", name, c.name, err))
			}
		}
		for range group.NumRows {
			n++
			if l.full() {
				return nil
			}
			if err := l.parquetRow(name, n, columns); err != nil {
				return err
			}
		}
	}
	return nil
}

// errForm is part of errors about what a sound file may have, which say themselves
// what to do.
var errForm = errors.New("which lite does not read")

// parquetError adds what to do to an error that comes of damage.
func parquetError(err error) error {
	if errors.Is(err, errForm) {
		return err
	}
	return fmt.Errorf("%w; the file is damaged, download it again", err)
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

// parquetColumns describes the leaves that are read: all but those that are
// nested deeper than a list.
func parquetColumns(p *parquetFile, wantPOS string) []parquetColumn {
	names := classNames(p)
	var columns []parquetColumn
	for i, leaf := range p.leaves {
		path := leaf.path
		c := parquetColumn{leaf: i, list: leaf.maxRep == 1}
		switch {
		case leaf.maxRep > 1:
		case c.list && (len(path) == 1 || len(path) <= 3 && path[len(path)-1] != path[0] && slices.Contains([]string{"list", "bag", "array", "element"}, path[1])):
			c.name = path[0]
		case !c.list:
			c.name = strings.Join(path, ".")
		}
		c.names = names[c.name]
		foreign := func(s string) bool { return !slices.Contains(upos, s) }
		if c.name == "" || c.name != wantPOS && slices.Contains(posNames, c.name) && slices.ContainsFunc(c.names, foreign) {
			continue // the latter are tags of another set, as CoNLL-2003's
		}
		columns = append(columns, c)
	}
	return columns
}

// classNames reads the features that the datasets library notes in a file.
func classNames(p *parquetFile) map[string][]string {
	type feature struct {
		Names   []string        `json:"names"`
		Feature json.RawMessage `json:"feature"`
	}
	var meta struct {
		Info struct {
			Features map[string]json.RawMessage `json:"features"`
		} `json:"info"`
	}
	out := map[string][]string{}
	if json.Unmarshal([]byte(p.note("huggingface")), &meta) != nil {
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
func (l *loader) parquetRow(name string, n int, columns []parquetColumn) error {
	m, bad, err := readParquetRow(columns)
	if err != nil {
		return parquetError(fmt.Errorf("corpus: %s: row %d: %w", name, n, err))
	}
	var e Example
	if bad == nil {
		e, bad = l.fromObject(m)
	}
	if bad != nil {
		return l.bad(fmt.Errorf("corpus: %s: row %d: %w", name, n, bad))
	}
	return l.add(name, n, e)
}

// readParquetRow reads the next row of each column; bad is what is wrong with
// this row only.
func readParquetRow(columns []parquetColumn) (m map[string]json.RawMessage, bad, err error) {
	m = map[string]json.RawMessage{}
	for k := range columns {
		c := &columns[k]
		c.items, c.last = c.items[:0], nil
		err := c.chunk.row(func(v *parquetValues, i int) {
			s, err := c.json(v, i)
			if err != nil && bad == nil {
				bad = fmt.Errorf("column %q: %w", c.name, err)
			}
			c.items, c.last = append(c.items, s), v
		})
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("column %q: %w", c.name, err)
		case c.list && len(c.items) == 1 && c.last == nil: // an empty list
			m[c.name] = json.RawMessage("[]")
		case c.list:
			m[c.name] = json.RawMessage("[" + strings.Join(c.items, ",") + "]")
		default:
			m[c.name] = json.RawMessage(c.items[0])
		}
	}
	return m, bad, nil
}
