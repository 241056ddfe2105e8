package corpus

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	mathbits "math/bits" // bits is a function of ids.go
	"slices"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"
)

// plainDictionary is what the first writers called RLEDictionary.
const plainDictionary format.Encoding = 2

// parquetChunk reads the values of one leaf in one row group, page by page.
type parquetChunk struct {
	parquetLeaf
	codec format.CompressionCodec
	size  int64
	src   *bufio.Reader
	dict  *parquetValues
	page  parquetPage
	raw   []byte // a page as it lies in the file
	plain []byte // the same decompressed
}

// parquetPage is a page as it is read: next is the level that comes next, value
// the value.
type parquetPage struct {
	n, next, value int
	reps, defs     []byte // nil where all are 0 or all are maxDef
	index          []int32
	values         *parquetValues // by index, if there is one
}

// row calls item for each value of the next row: for number i of values, or with
// nil for a null or an empty list.
func (c *parquetChunk) row(item func(values *parquetValues, i int)) error {
	p := &c.page
	for k := 0; ; k++ {
		for p.next == p.n {
			if err := c.readPage(); err == io.EOF && k > 0 {
				return nil
			} else if err == io.EOF {
				return errors.New("it has fewer values than rows")
			} else if err != nil {
				return err
			}
		}
		if k > 0 && (p.reps == nil || p.reps[p.next] == 0) {
			return nil
		}
		values, i := p.values, p.value
		if p.defs != nil && int(p.defs[p.next]) < c.maxDef {
			values = nil
		} else {
			if p.index != nil {
				i = int(p.index[i])
			}
			p.value++
		}
		p.next++
		item(values, i)
	}
}

// readPage goes on to the next page of values; the error is io.EOF behind the
// last one.
func (c *parquetChunk) readPage() error {
	for {
		if _, err := c.src.Peek(1); err != nil {
			return err
		}
		var h format.PageHeader
		if err := thrift.NewDecoder((&thrift.CompactProtocol{}).NewReader(c.src)).Decode(&h); err != nil {
			return fmt.Errorf("the header of a page: %w", err)
		}
		if h.CompressedPageSize < 0 || int64(h.CompressedPageSize) > c.size || h.UncompressedPageSize < 0 {
			return fmt.Errorf("a page of %d bytes, %d uncompressed", h.CompressedPageSize, h.UncompressedPageSize)
		}
		c.raw = slices.Grow(c.raw[:0], int(h.CompressedPageSize))[:h.CompressedPageSize]
		if _, err := io.ReadFull(c.src, c.raw); err != nil {
			return fmt.Errorf("a page: %w", io.ErrUnexpectedEOF)
		}
		if h.CRC != 0 && crc32.ChecksumIEEE(c.raw) != uint32(h.CRC) {
			return errors.New("a page has another checksum than its header says")
		}
		switch h.Type {
		case format.DictionaryPage:
			data, err := c.decompress(c.raw, int(h.UncompressedPageSize))
			if err == nil {
				c.dict, err = c.decode(format.Plain, data, int(h.DictionaryPageHeader.V.NumValues))
			}
			if err != nil {
				return fmt.Errorf("the dictionary: %w", err)
			}
		case format.DataPage:
			return c.dataPage(&h.DataPageHeader.V, int(h.UncompressedPageSize))
		case format.DataPageV2:
			return c.dataPageV2(&h.DataPageHeaderV2.V, int(h.UncompressedPageSize))
		}
	}
}

// dataPage reads a page of the first version: levels and values, compressed
// together.
func (c *parquetChunk) dataPage(h *format.DataPageHeader, size int) error {
	data, err := c.decompress(c.raw, size)
	if err != nil {
		return err
	}
	levels := func(most int, enc format.Encoding) (runs []byte, err error) {
		if most == 0 {
			return nil, nil
		}
		if enc != format.RLE {
			return nil, fmt.Errorf("levels in the encoding %v, %w; write the file with RLE levels, as newer programs do", enc, errForm)
		}
		if len(data) < 4 || uint64(binary.LittleEndian.Uint32(data)) > uint64(len(data)-4) {
			return nil, errors.New("levels are cut short")
		}
		n := 4 + int(binary.LittleEndian.Uint32(data))
		runs, data = data[4:n], data[n:]
		return runs, nil
	}
	reps, err := levels(c.maxRep, h.RepetitionLevelEncoding)
	if err != nil {
		return err
	}
	defs, err := levels(c.maxDef, h.DefinitionLevelEncoding)
	if err != nil {
		return err
	}
	return c.setPage(int(h.NumValues), reps, defs, h.Encoding, data)
}

// dataPageV2 reads a page of the second version, whose levels are never
// compressed.
func (c *parquetChunk) dataPageV2(h *format.DataPageHeaderV2, size int) error {
	r, d := int(h.RepetitionLevelsByteLength), int(h.DefinitionLevelsByteLength)
	if r < 0 || d < 0 || r > len(c.raw) || d > len(c.raw)-r || r+d > size {
		return errors.New("levels are cut short")
	}
	data := c.raw[r+d:]
	if h.IsCompressed.V || !h.IsCompressed.Valid {
		var err error
		if data, err = c.decompress(data, size-r-d); err != nil {
			return err
		}
	}
	return c.setPage(int(h.NumValues), c.raw[:r], c.raw[r:r+d], h.Encoding, data)
}

// setPage makes a page the one that is read.
func (c *parquetChunk) setPage(n int, reps, defs []byte, enc format.Encoding, data []byte) error {
	if n < 0 {
		return fmt.Errorf("a page of %d values", n)
	}
	p := parquetPage{n: n}
	there := n
	var err error
	if c.maxRep > 0 {
		if p.reps, err = parquetLevels(reps, c.maxRep, n); err != nil {
			return err
		}
	}
	if c.maxDef > 0 {
		if p.defs, err = parquetLevels(defs, c.maxDef, n); err != nil {
			return err
		}
		there = bytes.Count(p.defs, []byte{byte(c.maxDef)})
	}
	have := 0
	if enc == format.RLEDictionary || enc == plainDictionary {
		if p.index, err = c.lookups(data, there); err != nil {
			return err
		}
		p.values, have = c.dict, len(p.index)
	} else {
		if p.values, err = c.decode(enc, data, there); err != nil {
			return err
		}
		have = p.values.n
	}
	if have < there {
		return fmt.Errorf("a page has %d values, its levels say %d", have, there)
	}
	c.page = p
	return nil
}

// lookups reads places in the dictionary, never nil.
func (c *parquetChunk) lookups(data []byte, n int) ([]int32, error) {
	if n == 0 {
		return []int32{}, nil // writers may leave out the dictionary too
	}
	if c.dict == nil || len(data) == 0 {
		return nil, errors.New("a page without its dictionary")
	}
	if err := checkRuns(data[1:], int(data[0]), n); err != nil {
		return nil, err
	}
	index, err := new(rle.DictionaryEncoding).DecodeInt32(nil, data)
	if err != nil {
		return nil, err
	}
	index = index[:min(n, len(index))]
	for _, i := range index {
		if i < 0 || int(i) >= c.dict.n {
			return nil, fmt.Errorf("value %d of a dictionary of %d", i, c.dict.n)
		}
	}
	return index, nil
}

// parquetLevels reads n repetition or definition levels from 0 to most.
func parquetLevels(data []byte, most, n int) ([]byte, error) {
	width := mathbits.Len(uint(most))
	if err := checkRuns(data, width, n); err != nil {
		return nil, err
	}
	levels, err := (&rle.Encoding{BitWidth: width}).DecodeLevels(nil, data)
	if err != nil {
		return nil, err
	}
	if len(levels) < n {
		return nil, fmt.Errorf("a page of %d values has %d levels", n, len(levels))
	}
	levels = levels[:n]
	if top := slices.Max(append(levels, 0)); int(top) > most {
		return nil, fmt.Errorf("a level of %d, the most is %d", top, most)
	}
	return levels, nil
}

// checkRuns refuses what holds far more than n values, for which the decoder
// would ask for memory as damaged bytes say. Some more are allowed: writers fill
// up the last run.
func checkRuns(data []byte, width, n int) error {
	if width > 32 {
		return fmt.Errorf("values of %d bits", width)
	}
	for left := uint64(n) + 512; len(data) > 0; {
		run, k := binary.Uvarint(data)
		if k <= 0 || run > 1<<32 {
			return errors.New("the length of a run is damaged")
		}
		count, size := run>>1, uint64(width+7)/8
		if run&1 != 0 { // packed by eights
			count, size = 8*count, count*uint64(width)
		}
		if count > left {
			return errors.New("more values than the page has")
		}
		left -= count
		if data = data[k:]; size > uint64(len(data)) {
			return errors.New("a run is cut short")
		}
		data = data[size:]
	}
	return nil
}

// decompress returns a page of the size given.
func (c *parquetChunk) decompress(data []byte, size int) ([]byte, error) {
	if c.codec == format.Uncompressed {
		return data, nil
	}
	if size == 0 {
		return nil, nil
	}
	c.plain = slices.Grow(c.plain[:0], size)[:size]
	n, err := 0, error(nil)
	switch c.codec {
	case format.Snappy:
		if n, err = snappy.DecodedLen(data); err == nil && n == size {
			_, err = snappy.Decode(c.plain, data)
		}
	case format.Gzip:
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(data)); err == nil {
			n, err = io.ReadFull(z, c.plain)
		}
	case format.Zstd:
		var z *zstd.Decoder
		if z, err = parquetZstd(); err == nil {
			var plain []byte
			plain, err = z.DecodeAll(data, c.plain[:0:size])
			n = len(plain)
			c.plain = plain
		}
	case format.Lz4Raw:
		n, err = lz4.UncompressBlock(data, c.plain)
	default:
		return nil, fmt.Errorf("it is compressed by %v, %w; write the file with zstd, snappy, gzip or LZ4_RAW", c.codec, errForm)
	}
	if err != nil {
		return nil, fmt.Errorf("%v: %w", c.codec, err)
	}
	if n != size {
		return nil, fmt.Errorf("%v: a page of %d bytes, its header says %d", c.codec, n, size)
	}
	return c.plain, nil
}
