// Package parquet reads Apache Parquet files row by row: what corpora need of
// the format, and no more. It reads all encodings of values, data pages of both
// versions, the codecs snappy, gzip, zstd, brotli and LZ4, and checksums where
// they are written; a page of each column is in memory at a time. Not read:
// encrypted files, LZO, columns in other files, levels in the BIT_PACKED encoding
// that Parquet 2 dropped; INT96 values are null.
//
// The format: https://parquet.apache.org/docs/file-format/. Libraries that write
// Parquet too bring an HTTP server and protocol buffers into every program.
package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

// Kind is how the values of a column are stored.
type Kind int

// The kinds, by their numbers in the format.
const (
	Boolean Kind = iota
	Int32
	Int64
	Int96
	Float
	Double
	ByteArray
	FixedLenByteArray
)

// Value is a value of a column.
type Value struct {
	Null bool
	// Level is the definition level: how many of the optional and repeated fields
	// on the value's path are there.
	Level int
	Int   int64   // of Boolean (0 or 1), Int32 and Int64
	Float float64 // of Float and Double
	Bytes []byte  // of ByteArray and FixedLenByteArray; not to be changed
}

// Column is a leaf of the schema.
type Column struct {
	Path []string
	Kind Kind
	// Repeated is how many fields on the path are repeated; MaxLevel the level of
	// a value that is there, and ItemLevel that of an item of the innermost list,
	// below which the list is empty or missing.
	Repeated, MaxLevel, ItemLevel int

	size int // of FixedLenByteArray
}

// UnsupportedError reports what the package does not read in a file that may be
// in order.
type UnsupportedError string

func (e UnsupportedError) Error() string { return string(e) }

// File is a Parquet file.
type File struct {
	Columns []Column
	r       io.ReaderAt
	size    int64
	notes   map[string]string
	groups  []group
}

// group is a part of the rows.
type group struct {
	rows   int64
	chunks []chunk
}

// chunk is a column of a group.
type chunk struct {
	codec            int
	values           int64
	data, dictionary int64 // where pages begin; 0 none
	bytes            int64
	encrypted, other bool // other: in another file
}

// schemaElement is a node of the schema, as the file lists it.
type schemaElement struct {
	kind, size, repetition, children int
	name                             string
}

// magic begins and ends a file; one whose footer is encrypted ends in another.
const (
	magic          = "PAR1"
	magicEncrypted = "PARE"
)

// maxFooter bounds the description of a file in bytes.
const maxFooter = 1 << 28

// Open reads the description of a file of size bytes.
func Open(r io.ReaderAt, size int64) (*File, error) {
	var tail [8]byte
	if size < int64(len(magic)+len(tail)) {
		return nil, errors.New("it is too short")
	}
	if _, err := r.ReadAt(tail[:], size-int64(len(tail))); err != nil {
		return nil, err
	}
	switch string(tail[4:]) {
	case magic:
	case magicEncrypted:
		return nil, UnsupportedError("it is encrypted")
	default:
		return nil, fmt.Errorf("it does not end in %s", magic)
	}
	n := int64(binary.LittleEndian.Uint32(tail[:]))
	if n > size-int64(len(magic)+len(tail)) || n > maxFooter {
		return nil, errors.New("its description does not fit into it")
	}
	b := make([]byte, n)
	if _, err := r.ReadAt(b, size-int64(len(tail))-n); err != nil {
		return nil, err
	}
	f := &File{r: r, size: size, notes: map[string]string{}}
	return f, f.describe(b)
}

// Lookup returns a note that the writer left.
func (f *File) Lookup(key string) (string, bool) {
	s, ok := f.notes[key]
	return s, ok
}

// describe reads FileMetaData.
func (f *File) describe(b []byte) error {
	t := &thrift{b: b}
	var schema []schemaElement
	encrypted := false
	t.fields(func(id int, kind byte) bool {
		switch {
		case id == 2 && kind == thriftList:
			t.structs(func() { schema = append(schema, t.schemaElement()) })
		case id == 4 && kind == thriftList:
			t.structs(func() { f.groups = append(f.groups, t.group()) })
		case id == 5 && kind == thriftList:
			t.structs(func() {
				key, value := t.note()
				f.notes[key] = value
			})
		case id == 8:
			encrypted = true
			return false
		default:
			return false
		}
		return true
	})
	switch {
	case t.err != nil:
		return t.err
	case encrypted:
		return UnsupportedError("it is encrypted")
	case len(schema) == 0:
		return errors.New("it has no schema")
	}
	rest, err := f.leaves(schema[1:], schema[0].children, Column{}, 0)
	if err == nil && len(rest) > 0 {
		err = errors.New("its schema has nodes that belong nowhere")
	}
	for _, g := range f.groups {
		if err == nil && len(g.chunks) != len(f.Columns) {
			err = fmt.Errorf("a row group has %d columns, the schema %d", len(g.chunks), len(f.Columns))
		}
	}
	return err
}

// leaves collects the columns of n children, which come first in list; parent
// has the path to them. It returns what follows them.
func (f *File) leaves(list []schemaElement, n int, parent Column, depth int) ([]schemaElement, error) {
	if depth > deepest {
		return nil, errors.New("its schema is nested too deep")
	}
	for range n {
		if len(list) == 0 {
			return nil, errors.New("its schema is cut short")
		}
		e := list[0]
		list = list[1:]
		c := parent
		c.Path = append(append([]string{}, parent.Path...), e.name)
		switch e.repetition {
		case 1:
			c.MaxLevel++
		case 2:
			c.MaxLevel++
			c.Repeated++
			c.ItemLevel = c.MaxLevel
		}
		if e.children > 0 {
			var err error
			if list, err = f.leaves(list, e.children, c, depth+1); err != nil {
				return nil, err
			}
			continue
		}
		c.Kind, c.size = Kind(e.kind), e.size
		if c.Kind < Boolean || c.Kind > FixedLenByteArray || c.Kind == FixedLenByteArray && c.size <= 0 {
			return nil, fmt.Errorf("column %q has no known type", strings.Join(c.Path, "."))
		}
		f.Columns = append(f.Columns, c)
	}
	return list, nil
}

func (t *thrift) schemaElement() (e schemaElement) {
	e.kind = -1
	t.fields(func(id int, _ byte) bool {
		switch id {
		case 1:
			e.kind = int(t.number())
		case 2:
			e.size = int(int32(t.number()))
		case 3:
			e.repetition = int(t.number())
		case 4:
			e.name = string(t.bytes())
		case 5:
			e.children = int(int32(t.number()))
		default:
			return false
		}
		return true
	})
	return e
}

func (t *thrift) note() (key, value string) {
	t.fields(func(id int, _ byte) bool {
		switch id {
		case 1:
			key = string(t.bytes())
		case 2:
			value = string(t.bytes())
		default:
			return false
		}
		return true
	})
	return key, value
}

func (t *thrift) group() (g group) {
	t.fields(func(id int, kind byte) bool {
		switch {
		case id == 1 && kind == thriftList:
			t.structs(func() { g.chunks = append(g.chunks, t.chunk()) })
		case id == 3:
			g.rows = t.number()
		default:
			return false
		}
		return true
	})
	return g
}

func (t *thrift) chunk() (c chunk) {
	t.fields(func(id int, kind byte) bool {
		switch {
		case id == 3 && kind == thriftStruct:
			t.chunkData(&c)
			return true
		case id == 1:
			c.other = true
		case id == 8:
			c.encrypted = true
		}
		return false
	})
	return c
}

// chunkData reads ColumnMetaData.
func (t *thrift) chunkData(c *chunk) {
	t.fields(func(id int, _ byte) bool {
		switch id {
		case 4:
			c.codec = int(t.number())
		case 5:
			c.values = t.number()
		case 7:
			c.bytes = t.number()
		case 9:
			c.data = t.number()
		case 11:
			c.dictionary = t.number()
		default:
			return false
		}
		return true
	})
}

// Rows gives the rows in order, each as the values of its columns: one where the
// column is not repeated, otherwise one or more, the list's items or a null for
// an empty list. Columns that want does not want are not read and have none. A
// row is valid until the next one. After an error there are no more rows.
func (f *File) Rows(want func(column int) bool) iter.Seq2[[][]Value, error] {
	return func(yield func([][]Value, error) bool) {
		row := make([][]Value, len(f.Columns))
		for _, g := range f.groups {
			readers := make([]*reader, len(f.Columns))
			for k := range readers {
				if !want(k) {
					continue
				}
				var err error
				if readers[k], err = f.reader(k, &g.chunks[k]); err != nil {
					yield(nil, f.in(k, err))
					return
				}
			}
			for range g.rows {
				for k, r := range readers {
					if r == nil {
						continue
					}
					var err error
					if row[k], err = r.row(row[k][:0]); err != nil {
						yield(nil, f.in(k, err))
						return
					}
				}
				if !yield(row, nil) {
					return
				}
			}
		}
	}
}

// in says which column an error is of.
func (f *File) in(k int, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it has fewer values than the file says")
	}
	return fmt.Errorf("column %q: %w", strings.Join(f.Columns[k].Path, "."), err)
}
