package parquet

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"

	"github.com/dsnet/compress/brotli"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

// Types of pages.
const (
	pageData       = 0
	pageDictionary = 2
	pageDataV2     = 3
)

// pageHeader describes a page.
type pageHeader struct {
	kind, plain, packed int   // packed bytes become plain ones
	sum                 int64 // CRC-32, −1 none
	values              int
	encoding            int
	defEncoding         int // of levels, version 1
	repEncoding         int
	defBytes, repBytes  int // of levels, version 2
	uncompressed        bool
}

func (t *thrift) pageHeader() (h pageHeader) {
	h.sum = -1
	h.defEncoding, h.repEncoding = encodingRLE, encodingRLE
	t.fields(func(id int, kind byte) bool {
		switch {
		case id == 1:
			h.kind = int(t.number())
		case id == 2:
			h.plain = int(int32(t.number()))
		case id == 3:
			h.packed = int(int32(t.number()))
		case id == 4:
			h.sum = int64(uint32(t.number()))
		case (id == 5 || id == 7 || id == 8) && kind == thriftStruct:
			t.pageMembers(&h, id == 8)
		default:
			return false
		}
		return true
	})
	return h
}

// pageMembers reads the header of a data or dictionary page.
func (t *thrift) pageMembers(h *pageHeader, v2 bool) {
	t.fields(func(id int, kind byte) bool {
		switch {
		case id == 1:
			h.values = int(int32(t.number()))
		case !v2 && id == 2 || v2 && id == 4:
			h.encoding = int(t.number())
		case !v2 && id == 3:
			h.defEncoding = int(t.number())
		case !v2 && id == 4:
			h.repEncoding = int(t.number())
		case v2 && id == 5:
			h.defBytes = int(int32(t.number()))
		case v2 && id == 6:
			h.repBytes = int(int32(t.number()))
		case v2 && id == 7:
			h.uncompressed = kind == thriftFalse
		default:
			return false
		}
		return true
	})
}

// reader reads a column of a row group, page by page.
type reader struct {
	f       *File
	col     *Column
	codec   int
	at, end int64 // bytes of the file that are left
	left    int64 // values of the column that no page had so far

	dictionary []Value
	inPage     int // values that are left in the page
	reps, defs *hybrid
	values     decoder
	rep, def   int  // levels of the next value
	pending    bool // whether they are read
}

func (f *File) reader(k int, c *chunk) (*reader, error) {
	switch {
	case c.encrypted:
		return nil, UnsupportedError("it is encrypted")
	case c.other:
		return nil, UnsupportedError("it is in another file")
	}
	from := c.data
	if c.dictionary > 0 && c.dictionary < from {
		from = c.dictionary
	}
	if from < int64(len(magic)) || c.bytes < 0 || c.bytes > f.size-from {
		return nil, errors.New("it does not lie inside the file")
	}
	return &reader{f: f, col: &f.Columns[k], codec: c.codec, at: from, end: from + c.bytes, left: c.values}, nil
}

// row appends the values of the next row.
func (r *reader) row(to []Value) ([]Value, error) {
	for first := true; ; first = false {
		if !r.pending {
			if err := r.levels(); err != nil {
				if errors.Is(err, io.EOF) && !first {
					return to, nil
				}
				return to, err
			}
		}
		if first != (r.rep == 0) {
			if first {
				return to, errors.New("a row begins inside a list")
			}
			return to, nil
		}
		v := Value{Null: true}
		if r.def == r.col.MaxLevel {
			var err error
			if v, err = r.values.next(); err != nil {
				return to, err
			}
		}
		v.Level = r.def
		to, r.pending = append(to, v), false
		if r.col.Repeated == 0 {
			return to, nil
		}
	}
}

// levels reads the levels of the next value; io.EOF after the last one.
func (r *reader) levels() (err error) {
	for r.inPage == 0 {
		if r.left <= 0 {
			return io.EOF
		}
		if err := r.page(); err != nil {
			return err
		}
	}
	r.inPage--
	r.rep, r.def, r.pending = 0, 0, true
	if r.reps != nil {
		if r.rep, err = r.reps.level(r.col.Repeated); err != nil {
			return err
		}
	}
	if r.defs != nil {
		r.def, err = r.defs.level(r.col.MaxLevel)
	}
	return err
}

// maxPage bounds a page in bytes.
const maxPage = 1 << 30

// header reads the header of the next page.
func (r *reader) header() (h pageHeader, err error) {
	for n := int64(1 << 12); ; n *= 16 {
		b := make([]byte, min(n, r.end-r.at))
		if len(b) == 0 {
			return h, io.EOF
		}
		if _, err := r.f.r.ReadAt(b, r.at); err != nil {
			return h, err
		}
		t := &thrift{b: b}
		h = t.pageHeader()
		if errors.Is(t.err, errShort) && n < r.end-r.at && n < 1<<24 {
			continue // statistics may be long
		}
		if t.err != nil {
			return h, t.err
		}
		r.at += int64(len(b) - len(t.b))
		if h.packed < 0 || h.plain < 0 || h.plain > maxPage || int64(h.packed) > r.end-r.at || h.values < 0 {
			return h, errors.New("a page does not lie inside its column")
		}
		return h, nil
	}
}

// page reads the next page; where that is not one of data, the column stays
// without values for now.
func (r *reader) page() error {
	h, err := r.header()
	if err != nil {
		return err
	}
	if h.kind != pageData && h.kind != pageDataV2 && h.kind != pageDictionary {
		r.at += int64(h.packed)
		return nil
	}
	b := make([]byte, h.packed)
	if _, err := r.f.r.ReadAt(b, r.at); err != nil {
		return err
	}
	r.at += int64(h.packed)
	if h.sum >= 0 && int64(crc32.ChecksumIEEE(b)) != h.sum {
		return errors.New("the checksum of a page is not that of its content")
	}
	if h.kind == pageDictionary {
		return r.readDictionary(h, b)
	}
	if int64(h.values) > r.left {
		return errors.New("a page has more values than its column")
	}
	r.left -= int64(h.values)
	r.inPage = h.values
	if h.kind == pageDataV2 {
		return r.dataV2(h, b)
	}
	return r.dataV1(h, b)
}

func (r *reader) readDictionary(h pageHeader, b []byte) error {
	b, err := unpack(r.codec, b, h.plain)
	if err != nil {
		return err
	}
	d := &plain{col: r.col, b: b}
	r.dictionary = nil
	for range h.values {
		v, err := d.next()
		if err != nil {
			return err
		}
		r.dictionary = append(r.dictionary, v)
	}
	return nil
}

// dataV1 reads a page whose levels are packed with the values.
func (r *reader) dataV1(h pageHeader, b []byte) error {
	b, err := unpack(r.codec, b, h.plain)
	if err != nil {
		return err
	}
	level := func(most, encoding int) *hybrid {
		if most == 0 || err != nil {
			return nil
		}
		if encoding != encodingRLE {
			err = UnsupportedError(fmt.Sprintf("levels in encoding %d are not read", encoding))
			return nil
		}
		if len(b) < 4 || uint64(binary.LittleEndian.Uint32(b)) > uint64(len(b)-4) {
			err = errShortPage
			return nil
		}
		n := 4 + int(binary.LittleEndian.Uint32(b))
		out := &hybrid{b: b[4:n], width: bits.Len(uint(most))}
		b = b[n:]
		return out
	}
	r.reps = level(r.col.Repeated, h.repEncoding)
	r.defs = level(r.col.MaxLevel, h.defEncoding)
	if err != nil {
		return err
	}
	r.values, err = r.decoder(h, b)
	return err
}

// dataV2 reads a page whose levels stand before the packed values.
func (r *reader) dataV2(h pageHeader, b []byte) (err error) {
	if h.repBytes < 0 || h.defBytes < 0 || h.repBytes > len(b) || h.defBytes > len(b)-h.repBytes || h.plain < h.repBytes+h.defBytes {
		return errShortPage
	}
	r.reps, r.defs = nil, nil
	if r.col.Repeated > 0 {
		r.reps = &hybrid{b: b[:h.repBytes], width: bits.Len(uint(r.col.Repeated))}
	}
	b = b[h.repBytes:]
	if r.col.MaxLevel > 0 {
		r.defs = &hybrid{b: b[:h.defBytes], width: bits.Len(uint(r.col.MaxLevel))}
	}
	b = b[h.defBytes:]
	if !h.uncompressed && len(b) > 0 {
		if b, err = unpack(r.codec, b, h.plain-h.repBytes-h.defBytes); err != nil {
			return err
		}
	}
	r.values, err = r.decoder(h, b)
	return err
}

// unpack decompresses a page of n bytes.
func unpack(codec int, b []byte, n int) (out []byte, err error) {
	switch codec {
	case 0:
		out = b
	case 1:
		if size, err := snappy.DecodedLen(b); err != nil || size != n {
			return nil, errPacked
		}
		out, err = snappy.Decode(nil, b)
	case 2:
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(b)); err == nil {
			out, err = io.ReadAll(io.LimitReader(z, int64(n)+1))
		}
	case 4:
		var z *brotli.Reader
		if z, err = brotli.NewReader(bytes.NewReader(b), nil); err == nil {
			out, err = io.ReadAll(io.LimitReader(z, int64(n)+1))
		}
	case 5:
		out, err = unpackHadoopLZ4(b, n)
	case 6:
		var z *zstd.Decoder
		if z, err = zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPage)); err == nil {
			out, err = io.ReadAll(io.LimitReader(z, int64(n)+1))
			z.Close()
		}
	case 7:
		out, err = unpackLZ4(b, n)
	case 3:
		return nil, UnsupportedError("it is compressed by LZO, which is not read")
	default:
		return nil, UnsupportedError(fmt.Sprintf("it is compressed by codec %d, which is not known", codec))
	}
	if err == nil && len(out) != n {
		err = errPacked
	}
	if err != nil {
		return nil, fmt.Errorf("a page cannot be decompressed: %w", err)
	}
	return out, nil
}

var errPacked = errors.New("it has not the size that its header says")

// unpackHadoopLZ4 reads the deprecated codec LZ4: blocks with their sizes before
// them, as Hadoop writes them, or, as other writers have it, a plain block.
func unpackHadoopLZ4(b []byte, n int) (out []byte, err error) {
	for rest := b; len(rest) >= 8; {
		plain, packed := int(int32(binary.BigEndian.Uint32(rest))), int(int32(binary.BigEndian.Uint32(rest[4:])))
		if packed < 0 || packed > len(rest)-8 || plain < 0 || plain > n-len(out) {
			break
		}
		part, err := unpackLZ4(rest[8:8+packed], plain)
		if err != nil || len(part) != plain {
			break
		}
		out = append(out, part...)
		if rest = rest[8+packed:]; len(rest) == 0 && len(out) == n {
			return out, nil
		}
	}
	return unpackLZ4(b, n)
}

// unpackLZ4 decompresses a block of LZ4 to at most n bytes.
func unpackLZ4(b []byte, n int) ([]byte, error) {
	out := make([]byte, 0, min(n, 255*len(b)))
	length := func(nibble int) int { // a longer one goes on in bytes
		if nibble < 15 {
			return nibble
		}
		for len(b) > 0 {
			c := b[0]
			b = b[1:]
			if nibble += int(c); c != 255 {
				return nibble
			}
		}
		return maxPage
	}
	for len(b) > 0 {
		token := b[0]
		b = b[1:]
		literal := length(int(token >> 4))
		if literal > len(b) || literal > n-len(out) {
			return nil, errPacked
		}
		out, b = append(out, b[:literal]...), b[literal:]
		if len(b) == 0 {
			break // the last sequence has literals only
		}
		if len(b) < 2 {
			return nil, errPacked
		}
		back := int(binary.LittleEndian.Uint16(b))
		b = b[2:]
		match := length(int(token&15)) + 4
		if back == 0 || back > len(out) || match > n-len(out) {
			return nil, errPacked
		}
		for range match { // a match may reach into what it writes
			out = append(out, out[len(out)-back])
		}
	}
	return out, nil
}
