package corpus

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// parquetFile is the footer of a Parquet file. Of parquet-go only the packages
// that hold the format and its encodings are in use: the reader above them
// brings net/http, TLS and protocol buffers into a program, 5 MB.
type parquetFile struct {
	r      io.ReaderAt
	size   int64
	meta   format.FileMetaData
	leaves []parquetLeaf
}

// parquetLeaf is one column of values. A value is there where its definition
// level is maxDef; one with the repetition level 0 begins a row.
type parquetLeaf struct {
	path           []string
	typ            format.Type
	width          int // bytes of a FIXED_LEN_BYTE_ARRAY
	maxDef, maxRep int
}

// parquetMagic stands at both ends of a file.
const parquetMagic = "PAR1"

// openParquet reads the footer.
func openParquet(r io.ReaderAt, size int64) (*parquetFile, error) {
	head, tail := make([]byte, 4), make([]byte, 8)
	if size < 12 {
		return nil, fmt.Errorf("it has %d bytes", size)
	}
	if _, err := r.ReadAt(head, 0); err != nil {
		return nil, err
	}
	if _, err := r.ReadAt(tail, size-8); err != nil {
		return nil, err
	}
	if string(head) == "PARE" || string(tail[4:]) == "PARE" {
		return nil, fmt.Errorf("it is encrypted, %w; decrypt it first", errForm)
	}
	if string(head) != parquetMagic || string(tail[4:]) != parquetMagic {
		return nil, fmt.Errorf("it begins with %q and ends with %q", head, tail[4:])
	}
	n := int64(binary.LittleEndian.Uint32(tail))
	if n > size-12 {
		return nil, fmt.Errorf("a footer of %d bytes in a file of %d", n, size)
	}
	footer := make([]byte, n)
	if _, err := r.ReadAt(footer, size-8-n); err != nil {
		return nil, err
	}
	p := &parquetFile{r: r, size: size}
	protocol := &thrift.CompactProtocol{}
	if err := thrift.NewDecoder(protocol.NewReaderFromBytes(footer)).Decode(&p.meta); err != nil {
		return nil, err
	}
	if len(p.meta.Schema) == 0 {
		return nil, errors.New("it has no schema")
	}
	rest, err := p.fields(p.meta.Schema[1:], p.meta.Schema[0], parquetLeaf{})
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d columns are outside the schema", len(rest))
	}
	return p, err
}

// fields adds the leaves below group, whose elements come first in schema, and
// returns what follows them.
func (p *parquetFile) fields(schema []format.SchemaElement, group format.SchemaElement, above parquetLeaf) ([]format.SchemaElement, error) {
	for range group.NumChildren.V {
		if len(schema) == 0 || len(above.path) > 100 {
			return nil, errors.New("the schema is cut short")
		}
		e := schema[0]
		schema = schema[1:]
		leaf := above
		leaf.path = append(above.path[:len(above.path):len(above.path)], e.Name)
		switch e.RepetitionType.V {
		case format.Optional:
			leaf.maxDef++
		case format.Repeated:
			leaf.maxDef++
			leaf.maxRep++
		}
		if e.Type.Valid {
			leaf.typ, leaf.width = e.Type.V, int(e.TypeLength.V)
			p.leaves = append(p.leaves, leaf)
			continue
		}
		var err error
		if schema, err = p.fields(schema, e, leaf); err != nil {
			return nil, err
		}
	}
	return schema, nil
}

// note returns an entry of the metadata.
func (p *parquetFile) note(key string) string {
	for _, kv := range p.meta.KeyValueMetadata {
		if kv.Key == key {
			return kv.Value
		}
	}
	return ""
}

// chunk opens column k of a row group.
func (p *parquetFile) chunk(group *format.RowGroup, k int) (*parquetChunk, error) {
	if len(group.Columns) != len(p.leaves) {
		return nil, fmt.Errorf("%d columns in a row group, %d in the schema", len(group.Columns), len(p.leaves))
	}
	c, leaf := &group.Columns[k], p.leaves[k]
	m := &c.MetaData
	start := m.DataPageOffset
	if m.DictionaryPageOffset > 0 && m.DictionaryPageOffset < start {
		start = m.DictionaryPageOffset
	}
	switch {
	case c.FilePath != "":
		return nil, fmt.Errorf("its values are in another file, %s, %w; write all into one", c.FilePath, errForm)
	case m.Type != leaf.typ:
		return nil, fmt.Errorf("the values are %v, by the schema %v", m.Type, leaf.typ)
	case start < 0 || m.TotalCompressedSize < 0 || start > p.size || m.TotalCompressedSize > p.size-start:
		return nil, errors.New("its values are outside the file")
	case max(leaf.maxDef, leaf.maxRep) > 127:
		return nil, fmt.Errorf("it is nested %d deep", max(leaf.maxDef, leaf.maxRep))
	}
	src := io.NewSectionReader(p.r, start, m.TotalCompressedSize)
	return &parquetChunk{parquetLeaf: leaf, codec: m.Codec, size: m.TotalCompressedSize, src: bufio.NewReaderSize(src, 1<<16)}, nil
}
