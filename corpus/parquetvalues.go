package corpus

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding"
	"github.com/parquet-go/parquet-go/encoding/bytestreamsplit"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/plain"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/format"
)

// parquetEncodings are those of values; pages with dictionaries are decoded by
// parquetChunk.lookups.
var parquetEncodings = map[format.Encoding]encoding.Encoding{
	format.Plain:                &plain.Encoding{},
	format.RLE:                  &rle.Encoding{BitWidth: 1},
	format.DeltaBinaryPacked:    &delta.BinaryPackedEncoding{},
	format.DeltaLengthByteArray: &delta.LengthByteArrayEncoding{},
	format.DeltaByteArray:       &delta.ByteArrayEncoding{},
	format.ByteStreamSplit:      &bytestreamsplit.Encoding{},
}

// parquetZstd is the decoder of all pages.
var parquetZstd = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(decoderMemory))
})

// parquetValues are n values of one type.
type parquetValues struct {
	typ     format.Type
	n       int
	bits    []byte // booleans
	ints    []int64
	singles []float32
	doubles []float64
	data    []byte // strings, from offsets[i] to offsets[i+1]
	offsets []uint32
}

// decode reads the values of a page, n or more.
func (c *parquetChunk) decode(enc format.Encoding, data []byte, n int) (*parquetValues, error) {
	e := parquetEncodings[enc]
	if e == nil || enc == format.RLE && c.typ != format.Boolean {
		return nil, fmt.Errorf("%v values in the encoding %v, %w; write the file with plain values or dictionaries", c.typ, enc, errForm)
	}
	if n < 0 {
		return nil, fmt.Errorf("a page of %d values", n)
	}
	if err := checkEncoded(enc, data, n); err != nil {
		return nil, err
	}
	v := &parquetValues{typ: c.typ}
	var err error
	switch c.typ {
	case format.Boolean:
		v.bits, err = e.DecodeBoolean(nil, data)
		v.n = 8 * len(v.bits)
	case format.Int32:
		var ints []int32
		ints, err = e.DecodeInt32(nil, data)
		for _, x := range ints {
			v.ints = append(v.ints, int64(x))
		}
		v.n = len(ints)
	case format.Int64:
		v.ints, err = e.DecodeInt64(nil, data)
		v.n = len(v.ints)
	case format.Float:
		v.singles, err = e.DecodeFloat(nil, data)
		v.n = len(v.singles)
	case format.Double:
		v.doubles, err = e.DecodeDouble(nil, data)
		v.n = len(v.doubles)
	case format.ByteArray:
		v.data, v.offsets, err = e.DecodeByteArray(nil, data, nil)
		v.n = max(len(v.offsets)-1, 0)
	case format.FixedLenByteArray:
		if c.width <= 0 {
			return nil, fmt.Errorf("values of %d bytes", c.width)
		}
		v.data, err = e.DecodeFixedLenByteArray(nil, data, c.width)
		v.n = len(v.data) / c.width
		for i := range v.n + 1 {
			v.offsets = append(v.offsets, uint32(i*c.width))
		}
	default: // INT96, old times of day, of no use here
		v.n = n
	}
	return v, err
}

// checkEncoded refuses what says that it holds more values than the page, for
// which the decoder would ask for memory.
func checkEncoded(enc format.Encoding, data []byte, n int) error {
	switch enc {
	case format.RLE:
		if len(data) < 4 {
			return errors.New("values are cut short")
		}
		size := binary.LittleEndian.Uint32(data)
		return checkRuns(data[4:][:min(int(size), len(data)-4)], 1, n)
	case format.DeltaBinaryPacked, format.DeltaLengthByteArray, format.DeltaByteArray:
		var head [3]uint64 // size of a block, its parts, values
		for i := range head {
			x, k := binary.Uvarint(data)
			if k <= 0 {
				return errors.New("values are cut short")
			}
			head[i], data = x, data[k:]
		}
		if head[0] > 1<<20 || head[2] > uint64(n) {
			return fmt.Errorf("%d values in blocks of %d in a page of %d values", head[2], head[0], n)
		}
	}
	return nil
}

// json writes value i of a column, the number of a ClassLabel by its name; v nil
// is a null.
func (c parquetColumn) json(v *parquetValues, i int) (string, error) {
	if v == nil {
		return "null", nil
	}
	switch v.typ {
	case format.Boolean:
		return strconv.FormatBool(v.bits[i/8]>>(i%8)&1 != 0), nil
	case format.Int32, format.Int64:
		return c.number(v.ints[i])
	case format.Float:
		return jsonFloat(float64(v.singles[i])), nil
	case format.Double:
		return jsonFloat(v.doubles[i]), nil
	case format.ByteArray, format.FixedLenByteArray:
		s := v.data[v.offsets[i]:v.offsets[i+1]]
		if !utf8.Valid(s) {
			return "null", nil // an image or the like, of no use here
		}
		out, err := json.Marshal(string(s))
		return string(out), err
	}
	return "null", nil
}

// number writes an integer, or the name of the class.
func (c parquetColumn) number(x int64) (string, error) {
	if c.names == nil || x < 0 {
		return strconv.FormatInt(x, 10), nil
	}
	if x >= int64(len(c.names)) {
		return "", fmt.Errorf("the class %d is none of %q", x, c.names)
	}
	out, err := json.Marshal(c.names[x])
	return string(out), err
}

// jsonFloat writes a number; JSON has no NaN and no infinity.
func jsonFloat(x float64) string {
	if x-x != 0 {
		return "null"
	}
	return strconv.FormatFloat(x, 'g', -1, 64)
}
