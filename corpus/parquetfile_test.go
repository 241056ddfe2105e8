package corpus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/format"
)

// everyKind has a column for each type and encoding.
type everyKind struct {
	Plain  string   `parquet:"plain,plain"`
	Dict   string   `parquet:"dict,dict"`
	Delta  string   `parquet:"delta,delta"`
	Front  []byte   `parquet:"front,delta"`
	Maybe  *string  `parquet:"maybe,optional,dict"`
	Bool   bool     `parquet:"bool"`
	Int32  int32    `parquet:"int32"`
	Packed int32    `parquet:"packed,delta"`
	Int64  int64    `parquet:"int64,dict"`
	Wide   int64    `parquet:"wide,delta"`
	Float  float32  `parquet:"float,split"`
	Double float64  `parquet:"double,split"`
	Single *float64 `parquet:"single,optional"`
	Fixed  [4]byte  `parquet:"fixed"`
	Words  []string `parquet:"words,list"`
	Bare   []int32  `parquet:"bare"`
	Inside struct {
		Deep *int64 `parquet:"deep,optional"`
	} `parquet:"inside"`
}

func everyKindRows(n int) []everyKind {
	rng := rand.New(rand.NewPCG(1, 2))
	word := func() string { return strings.Repeat("aé北\"", rng.IntN(4)) + fmt.Sprint(rng.IntN(50)) }
	rows := make([]everyKind, n)
	for i := range rows {
		r := &rows[i]
		*r = everyKind{Plain: word(), Dict: word(), Delta: word(), Front: []byte(word()), Bool: rng.IntN(3) == 0,
			Int32: rng.Int32() - 1<<30, Packed: rng.Int32N(1000) - 500, Int64: rng.Int64N(9) - 4, Wide: rng.Int64() - 1<<62,
			Float: float32(rng.NormFloat64()), Double: rng.NormFloat64(), Fixed: [4]byte([]byte(fmt.Sprintf("%04d", rng.IntN(9999))))}
		if i/100%2 == 0 || rng.IntN(2) == 0 { // stretches with all of them there
			s, x, k := word(), rng.Float64(), rng.Int64()
			r.Maybe, r.Single, r.Inside.Deep = &s, &x, &k
		}
		for range rng.IntN(5) {
			r.Words, r.Bare = append(r.Words, word()), append(r.Bare, rng.Int32N(100))
		}
	}
	return rows
}

// asJSON is what a row must become.
func (r everyKind) asJSON() string {
	list := func(s string) json.RawMessage {
		if s == "null" {
			s = "[]"
		}
		return json.RawMessage(s)
	}
	text := func(v any) string { b, _ := json.Marshal(v); return string(b) }
	m := map[string]any{"plain": r.Plain, "dict": r.Dict, "delta": r.Delta, "front": string(r.Front), "maybe": r.Maybe,
		"bool": r.Bool, "int32": r.Int32, "packed": r.Packed, "int64": r.Int64, "wide": r.Wide, "float": float64(r.Float),
		"double": r.Double, "single": r.Single, "fixed": string(r.Fixed[:]), "words": list(text(r.Words)), "bare": list(text(r.Bare)), "inside.deep": r.Inside.Deep}
	return text(m)
}

// parquetRows reads all rows of a file as JSON.
func parquetRows(data []byte) (rows []string, err error) {
	p, err := openParquet(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	columns := parquetColumns(p, "")
	for i := range p.meta.RowGroups {
		group := &p.meta.RowGroups[i]
		for k := range columns {
			if columns[k].chunk, err = p.chunk(group, columns[k].leaf); err != nil {
				return nil, err
			}
		}
		for range group.NumRows {
			m, bad, err := readParquetRow(columns)
			if err != nil || bad != nil {
				return rows, fmt.Errorf("%w %w", err, bad)
			}
			for name, v := range m { // floats as Marshal spells them
				var x any
				d := json.NewDecoder(bytes.NewReader(v))
				if name != "float" && name != "double" && name != "single" {
					d.UseNumber()
				}
				if err := d.Decode(&x); err != nil {
					return rows, err
				}
				m[name], _ = json.Marshal(x)
			}
			text, err := json.Marshal(m)
			if err != nil {
				return rows, err
			}
			rows = append(rows, string(text))
		}
	}
	return rows, nil
}

func writeParquet(t *testing.T, rows []everyKind, opts ...parquet.WriterOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[everyKind](&b, opts...)
	for i := 0; i < len(rows); i += 400 {
		if _, err := w.Write(rows[i:min(i+400, len(rows))]); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil { // a row group
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Every type, encoding, codec and version of pages, in row groups of many pages.
func TestParquetEveryKind(t *testing.T) {
	rows := everyKindRows(900)
	for _, codec := range []compress.Codec{&parquet.Uncompressed, &parquet.Snappy, &parquet.Gzip, &parquet.Zstd, &parquet.Lz4Raw} {
		for version := 1; version <= 2; version++ {
			data := writeParquet(t, rows, parquet.Compression(codec), parquet.DataPageVersion(version), parquet.PageBufferSize(4<<10))
			got, err := parquetRows(data)
			if err != nil || len(got) != len(rows) {
				t.Errorf("%v, pages of version %d: %d rows, want %d: %v", codec, version, len(got), len(rows), err)
				continue
			}
			for i, r := range rows {
				if want := r.asJSON(); got[i] != want {
					t.Errorf("%v, pages of version %d, row %d:\n got %s\nwant %s", codec, version, i, got[i], want)
					break
				}
			}
		}
	}
	if _, err := parquetRows(writeParquet(t, rows[:5], parquet.Compression(&parquet.Brotli))); err == nil || !strings.Contains(err.Error(), "BROTLI, which lite does not read; write the file with zstd") {
		t.Errorf("brotli: %v", err)
	}
}

// A sound file that lite does not read is not called damaged, and the error says
// what to do; one that is cut short is.
func TestParquetForms(t *testing.T) {
	whole := writeParquet(t, everyKindRows(5))
	sealed := bytes.Clone(whole)
	copy(sealed, "PARE")
	broken := bytes.Clone(whole)
	copy(broken[4:], bytes.Repeat([]byte{0xff}, 16)) // the header of the first page
	for _, c := range []struct {
		data    []byte
		want    string
		damaged bool
	}{
		{writeParquet(t, everyKindRows(5), parquet.Compression(&parquet.Brotli)), "write the file with zstd", false},
		{sealed, "decrypt it first", false},
		{broken, "damaged", true},
	} {
		path := filepath.Join(t.TempDir(), "x.parquet")
		if err := os.WriteFile(path, c.data, 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := Open([]string{path}, Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "download it again") != c.damaged {
			t.Errorf("want %q: %v", c.want, err)
		}
	}
}

// Damage is an error or passes unnoticed; readParquet turns the panics of the
// decoders into errors.
func TestParquetDamage(t *testing.T) {
	whole := writeParquet(t, everyKindRows(40), parquet.PageBufferSize(256))
	rng := rand.New(rand.NewPCG(3, 4))
	noticed := 0
	for range 400 {
		data := bytes.Clone(whole)
		data[4+rng.IntN(len(data)-8)] ^= byte(1 + rng.IntN(255))
		func() {
			defer func() {
				if x := recover(); x != nil {
					noticed++
				}
			}()
			if _, err := parquetRows(data); err != nil {
				noticed++
			}
		}()
	}
	if noticed < 200 {
		t.Errorf("%d of 400 damaged files were noticed", noticed)
	}
}

// Pages without checksums, as most writers make them: whatever the bytes are,
// they give no more values than they may, and so ask for no more memory.
func TestParquetDamagedPages(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	few := func(what any, n int) {
		if n > 2000 { // 100 values of a bit each in 200 bytes are 1600
			t.Errorf("%v: %d values", what, n)
		}
	}
	for round := range 4000 {
		data := make([]byte, rng.IntN(200))
		for i := range data {
			data[i] = byte(rng.Uint32())
			if round%2 == 0 {
				data[i] &= byte(rng.Uint32()) // small numbers
			}
		}
		typ := format.Type(rng.IntN(8))
		c := &parquetChunk{parquetLeaf: parquetLeaf{typ: typ, width: 3}, dict: &parquetValues{n: 5}}
		for enc := range parquetEncodings {
			func() {
				defer func() { recover() }()
				if v, err := c.decode(enc, data, 100); err == nil {
					few(enc, v.n)
				}
			}()
		}
		func() {
			defer func() { recover() }()
			if index, err := c.lookups(data, 100); err == nil {
				few("lookups", len(index))
			}
			if levels, err := parquetLevels(data, 3, 100); err == nil {
				few("levels", len(levels))
			}
		}()
	}
}

func TestCheckRuns(t *testing.T) {
	for _, c := range []struct {
		data     string
		width, n int
		ok       bool
	}{
		{"", 1, 0, true},
		{"\x08\x01", 1, 4, true},                                  // 4 times 1
		{"\x03\xaa", 1, 3, true},                                  // 8 packed, 3 of them used
		{"\x90\x4e\x01", 1, 4000, false},                          // 5000
		{"\x03", 1, 8, false},                                     // cut short
		{"\xfe\xff\xff\xff\x0f\x01", 1, 9, false},                 // 2³¹ - 1
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 1, 9, false}, // no number
		{"\x08\x01\x00\x00", 33, 4, false},
	} {
		if err := checkRuns([]byte(c.data), c.width, c.n); (err == nil) != c.ok {
			t.Errorf("%q, width %d, %d values: %v", c.data, c.width, c.n, err)
		}
	}
	for enc, c := range parquetEncodings {
		if c.Encoding() != enc {
			t.Errorf("%v has the decoder of %v", enc, c.Encoding())
		}
	}
}
