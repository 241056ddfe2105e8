package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Encodings, by their numbers in the format.
const (
	encodingPlain           = 0
	encodingPlainDictionary = 2
	encodingRLE             = 3
	encodingDeltaBinary     = 5
	encodingDeltaLength     = 6
	encodingDeltaBytes      = 7
	encodingRLEDictionary   = 8
	encodingByteStreamSplit = 9
)

var (
	errShortPage = errors.New("a page is cut short")
	errDamaged   = errors.New("a page cannot be read")
)

// decoder gives the values of a page that are not null.
type decoder interface{ next() (Value, error) }

// decoder returns what decodes the values of a page.
func (r *reader) decoder(h pageHeader, b []byte) (decoder, error) {
	kind := r.col.Kind
	integer := kind == Int32 || kind == Int64
	text := kind == ByteArray || kind == FixedLenByteArray
	switch e := h.encoding; {
	case e == encodingPlain:
		return &plain{col: r.col, b: b}, nil
	case e == encodingPlainDictionary || e == encodingRLEDictionary:
		if len(b) == 0 { // of nulls only
			return &indexed{r.dictionary, hybrid{}}, nil
		}
		if b[0] > 32 {
			return nil, errDamaged
		}
		return &indexed{r.dictionary, hybrid{b: b[1:], width: int(b[0])}}, nil
	case e == encodingRLE && kind == Boolean:
		if len(b) < 4 {
			return nil, errShortPage
		}
		return &indexed{[]Value{{}, {Int: 1}}, hybrid{b: b[4:], width: 1}}, nil
	case e == encodingDeltaBinary && integer:
		d, err := newDelta(b)
		return &integers{d, kind == Int32}, err
	case e == encodingDeltaLength && text:
		lengths, rest, err := deltas(b, h.values)
		return &deltaStrings{suffixes: lengths, b: rest}, err
	case e == encodingDeltaBytes && text:
		prefixes, rest, err := deltas(b, h.values)
		if err != nil {
			return nil, err
		}
		suffixes, rest, err := deltas(rest, h.values)
		return &deltaStrings{prefixes: prefixes, suffixes: suffixes, b: rest}, err
	case e == encodingByteStreamSplit && r.col.width() > 0:
		return &split{plain{col: r.col}, b, 0, len(b) / r.col.width()}, nil
	}
	return nil, UnsupportedError(fmt.Sprintf("values in encoding %d are not read for its type", h.encoding))
}

// width is how many bytes a value takes; 0 where that differs.
func (c *Column) width() int {
	switch c.Kind {
	case Int32, Float:
		return 4
	case Int64, Double:
		return 8
	case Int96:
		return 12
	case FixedLenByteArray:
		return c.size
	}
	return 0
}

// plain decodes PLAIN: values one after another.
type plain struct {
	col *Column
	b   []byte
	bit int // of booleans
}

func (d *plain) next() (v Value, err error) {
	n := d.col.width()
	switch d.col.Kind {
	case Boolean:
		if d.bit>>3 >= len(d.b) {
			return v, errShortPage
		}
		v.Int = int64(d.b[d.bit>>3] >> (d.bit & 7) & 1)
		d.bit++
		return v, nil
	case ByteArray:
		if len(d.b) < 4 {
			return v, errShortPage
		}
		size := binary.LittleEndian.Uint32(d.b)
		if d.b = d.b[4:]; uint64(size) > uint64(len(d.b)) {
			return v, errShortPage
		}
		n = int(size)
	}
	if n > len(d.b) {
		return v, errShortPage
	}
	x := d.b[:n:n]
	d.b = d.b[n:]
	switch d.col.Kind {
	case Int32:
		v.Int = int64(int32(binary.LittleEndian.Uint32(x)))
	case Int64:
		v.Int = int64(binary.LittleEndian.Uint64(x))
	case Float:
		v.Float = float64(math.Float32frombits(binary.LittleEndian.Uint32(x)))
	case Double:
		v.Float = math.Float64frombits(binary.LittleEndian.Uint64(x))
	case Int96:
		v.Null = true
	default:
		v.Bytes = x
	}
	return v, nil
}

// hybrid decodes numbers of up to 32 bits, as runs of equal ones and as packed
// bits in groups of eight.
type hybrid struct {
	b     []byte
	width int
	run   uint64 // numbers that are left of the run
	value uint32 // of all of them,
	bits  []byte // or packed, where not nil
	bit   int
}

func (d *hybrid) next() (uint32, error) {
	for d.run == 0 {
		head, n := binary.Uvarint(d.b)
		if n <= 0 {
			return 0, errShortPage
		}
		d.b = d.b[n:]
		if d.run = head >> 1; head&1 == 1 {
			if d.run > uint64(len(d.b)) && d.width > 0 {
				return 0, errShortPage
			}
			size := min(int(d.run)*d.width, len(d.b)) // the last group may be cut off
			d.bits, d.b, d.bit = d.b[:size:size], d.b[size:], 0
			d.run *= 8
			continue
		}
		size := (d.width + 7) / 8
		if size > len(d.b) {
			return 0, errShortPage
		}
		var x [4]byte
		copy(x[:], d.b[:size])
		d.value, d.bits, d.b = binary.LittleEndian.Uint32(x[:]), nil, d.b[size:]
	}
	d.run--
	if d.bits == nil {
		return d.value, nil
	}
	v, ok := unpackBits(d.bits, d.bit, d.width)
	d.bit += d.width
	if !ok {
		return 0, errShortPage
	}
	return uint32(v), nil
}

// level reads a level of at most most.
func (d *hybrid) level(most int) (int, error) {
	v, err := d.next()
	if err == nil && v > uint32(most) {
		err = errDamaged
	}
	return int(v), err
}

// unpackBits reads the number of width bits, at most 64, at a bit.
func unpackBits(b []byte, bit, width int) (v uint64, ok bool) {
	if width == 0 {
		return 0, true
	}
	if bit+width > 8*len(b) {
		return 0, false
	}
	at, shift := bit>>3, bit&7
	var x [9]byte
	copy(x[:], b[at:])
	v = binary.LittleEndian.Uint64(x[:]) >> shift
	if shift > 0 {
		v |= uint64(x[8]) << (64 - shift)
	}
	return v & (1<<width - 1), true // 1<<64 is 0
}

// indexed decodes numbers of a dictionary's values.
type indexed struct {
	dictionary []Value
	numbers    hybrid
}

func (d *indexed) next() (Value, error) {
	i, err := d.numbers.next()
	if err == nil && uint64(i) >= uint64(len(d.dictionary)) {
		err = errDamaged
	}
	if err != nil {
		return Value{}, err
	}
	return d.dictionary[i], nil
}

// delta decodes DELTA_BINARY_PACKED: the first number, then blocks of differences,
// less the smallest of the block, in miniblocks of one width each.
type delta struct {
	b         []byte
	left      uint64 // numbers
	last      int64
	begun     bool
	mini      int   // numbers of a miniblock
	least     int64 // difference of the block
	each      int   // miniblocks of a block
	widths    []byte
	bits      []byte
	bit, size int // in the miniblock; width of its numbers
	inMini    int // numbers that are left of it
}

func newDelta(b []byte) (*delta, error) {
	t := &thrift{b: b}
	block, minis, n, first := t.unsigned(), t.unsigned(), t.unsigned(), t.number()
	if t.err != nil || block == 0 || block > 1<<20 || minis == 0 || minis > block || block%minis != 0 || block/minis%8 != 0 {
		return nil, errDamaged
	}
	return &delta{b: t.b, left: n, last: first, mini: int(block / minis), each: int(minis)}, nil
}

func (d *delta) next() (int64, error) {
	if d.left == 0 {
		return 0, errShortPage
	}
	if !d.begun {
		d.begun = true
		d.left--
		return d.last, nil
	}
	if d.inMini == 0 {
		if err := d.miniblock(); err != nil {
			return 0, err
		}
	}
	v, ok := unpackBits(d.bits, d.bit, d.size)
	if !ok {
		return 0, errShortPage
	}
	d.bit += d.size
	d.inMini--
	d.left--
	d.last += d.least + int64(v)
	return d.last, nil
}

// miniblock begins the next one.
func (d *delta) miniblock() error {
	if len(d.widths) == 0 {
		t := &thrift{b: d.b}
		d.least = t.number()
		if t.err != nil || len(t.b) < d.each {
			return errShortPage
		}
		d.widths, d.b = t.b[:d.each], t.b[d.each:]
	}
	d.size, d.widths = int(d.widths[0]), d.widths[1:]
	if d.size > 64 {
		return errDamaged
	}
	n := min(d.mini*d.size/8, len(d.b)) // some writers cut off the last one
	d.bits, d.b, d.bit, d.inMini = d.b[:n], d.b[n:], 0, d.mini
	return nil
}

// maxDeltas bounds the numbers that are held at once.
const maxDeltas = 1 << 24

// deltas decodes all numbers of a sequence, at most most, and returns what
// follows it.
func deltas(b []byte, most int) (out []int64, rest []byte, err error) {
	d, err := newDelta(b)
	if err != nil {
		return nil, nil, err
	}
	if d.left > uint64(most) || d.left > maxDeltas {
		return nil, nil, errDamaged
	}
	for range d.left {
		v, err := d.next()
		if err != nil {
			return nil, nil, err
		}
		out = append(out, v)
	}
	return out, d.b, nil
}

// integers are deltas as values; those of 32 bits wrap around.
type integers struct {
	*delta
	short bool
}

func (d *integers) next() (Value, error) {
	v, err := d.delta.next()
	if d.short {
		v = int64(int32(v))
	}
	return Value{Int: v}, err
}

// deltaStrings decodes DELTA_LENGTH_BYTE_ARRAY, and with prefixes DELTA_BYTE_ARRAY,
// where a value begins like the one before.
type deltaStrings struct {
	prefixes, suffixes []int64
	b, last            []byte
	k                  int
}

func (d *deltaStrings) next() (v Value, err error) {
	if d.k >= len(d.suffixes) || d.prefixes != nil && d.k >= len(d.prefixes) {
		return v, errShortPage
	}
	n := d.suffixes[d.k]
	if n < 0 || n > int64(len(d.b)) {
		return v, errDamaged
	}
	v.Bytes, d.b = d.b[:n:n], d.b[n:]
	if d.prefixes != nil {
		p := d.prefixes[d.k]
		if p < 0 || p > int64(len(d.last)) {
			return v, errDamaged
		}
		if p > 0 {
			v.Bytes = append(append(make([]byte, 0, p+n), d.last[:p]...), v.Bytes...)
		}
		d.last = v.Bytes
	}
	d.k++
	return v, nil
}

// split decodes BYTE_STREAM_SPLIT: the first bytes of all values, then the
// second ones, and so on.
type split struct {
	one  plain
	b    []byte
	k, n int
}

func (d *split) next() (Value, error) {
	if d.k >= d.n {
		return Value{}, errShortPage
	}
	x := make([]byte, d.one.col.width())
	for i := range x {
		x[i] = d.b[i*d.n+d.k]
	}
	d.k++
	d.one.b = x
	return d.one.next()
}
