package parquet_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	writer "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"

	"github.com/litekit/lite/internal/parquet"
)

// row has a column of each kind in each encoding that there is for it.
type row struct {
	Bool     bool      `parquet:"bool"`
	Bools    []bool    `parquet:"bools,list"`
	I32      int32     `parquet:"i32"`
	I32Delta int32     `parquet:"i32delta,delta"`
	I32Dict  *int32    `parquet:"i32dict,optional,dict"`
	I64      *int64    `parquet:"i64,optional"`
	I64Delta int64     `parquet:"i64delta,delta"`
	I64Split int64     `parquet:"i64split,split"`
	F32      float32   `parquet:"f32"`
	F32Split float32   `parquet:"f32split,split"`
	F64      *float64  `parquet:"f64,optional"`
	F64Split float64   `parquet:"f64split,split"`
	Text     string    `parquet:"text"`
	Dict     string    `parquet:"dict,dict"`
	Maybe    *string   `parquet:"maybe,optional,dict"`
	Delta    string    `parquet:"delta,delta"`
	Lengths  []byte    `parquet:"lengths,delta"`
	Fixed    [16]byte  `parquet:"fixed,uuid"`
	List     []string  `parquet:"list,list"`
	Numbers  []int64   `parquet:"numbers,list,optional"`
	Bare     []int32   `parquet:"bare"`
	Inner    inner     `parquet:"inner"`
	Deep     [][]int64 `parquet:"deep,list"`
}

type inner struct {
	A string  `parquet:"a"`
	B []int32 `parquet:"b,list"`
}

func rows(n int) []row {
	out := make([]row, n)
	for i := range out {
		r := &out[i]
		r.Bool = i%3 == 0
		r.I32, r.I32Delta = int32(i*7-50), int32(i*i)*(1-2*int32(i%2))
		r.I64Delta, r.I64Split = int64(i)<<40-int64(i%5)<<60, int64(i)*-99999999
		r.F32, r.F32Split, r.F64Split = float32(i)/3, -float32(i)/7, float64(i)/11
		r.Text, r.Dict = strings.Repeat("text ", i%4)+fmt.Sprint(i), fmt.Sprint("class", i%5)
		r.Delta, r.Lengths = fmt.Sprintf("prefix %03d", i), []byte(strings.Repeat("x", i%9))
		copy(r.Fixed[:], fmt.Sprintf("fixed %010d", i))
		if i%2 == 0 {
			v, w, f, s := int32(i%3), int64(i), float64(i)*0.5, fmt.Sprint("maybe", i%7)
			r.I32Dict, r.I64, r.F64, r.Maybe = &v, &w, &f, &s
		}
		for k := range i % 5 {
			r.List, r.Numbers, r.Bare = append(r.List, fmt.Sprint(i, k)), append(r.Numbers, int64(i*k)), append(r.Bare, int32(k-i))
			r.Bools, r.Inner.B = append(r.Bools, k%2 == 0), append(r.Inner.B, int32(k))
		}
		r.Inner.A = fmt.Sprint("inner", i)
	}
	return out
}

func file[T any](t testing.TB, rows []T, opts ...writer.WriterOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w := writer.NewGenericWriter[T](&b, opts...)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// theirs reads a file as the library does that wrote it.
func theirs(t testing.TB, data []byte) (out []string) {
	t.Helper()
	f, err := writer.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range f.RowGroups() {
		in := g.Rows()
		buf := make([]writer.Row, 16)
		for {
			n, err := in.ReadRows(buf)
			for _, r := range buf[:n] {
				line := ""
				r.Range(func(_ int, values []writer.Value) bool {
					for _, v := range values {
						line += fmt.Sprintf(" %d", v.DefinitionLevel())
						switch {
						case v.IsNull():
						case v.Kind() == writer.Boolean:
							line += fmt.Sprint("=", map[bool]int{true: 1}[v.Boolean()])
						case v.Kind() == writer.Int32:
							line += fmt.Sprint("=", v.Int32())
						case v.Kind() == writer.Int64:
							line += fmt.Sprint("=", v.Int64())
						case v.Kind() == writer.Float:
							line += fmt.Sprint("=", float64(v.Float()))
						case v.Kind() == writer.Double:
							line += fmt.Sprint("=", v.Double())
						default:
							line += fmt.Sprintf("=%q", v.ByteArray())
						}
					}
					line += ";"
					return true
				})
				out = append(out, line)
			}
			if err != nil {
				break
			}
		}
		in.Close()
	}
	return out
}

func ours(data []byte) (out []string, err error) {
	f, err := parquet.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	for r, err := range f.Rows(func(int) bool { return true }) {
		if err != nil {
			return out, err
		}
		line := ""
		for k, values := range r {
			for _, v := range values {
				line += fmt.Sprintf(" %d", v.Level)
				switch {
				case v.Null:
				case f.Columns[k].Kind <= parquet.Int64:
					line += fmt.Sprint("=", v.Int)
				case f.Columns[k].Kind <= parquet.Double:
					line += fmt.Sprint("=", v.Float)
				default:
					line += fmt.Sprintf("=%q", v.Bytes)
				}
			}
			line += ";"
		}
		out = append(out, line)
	}
	return out, nil
}

var codecs = map[string]compress.Codec{
	"none": &writer.Uncompressed, "snappy": &writer.Snappy, "gzip": &writer.Gzip, "brotli": &writer.Brotli, "zstd": &writer.Zstd, "lz4": &writer.Lz4Raw,
}

// Every kind, encoding, codec and page version gives what the library that wrote
// the file reads in it.
func TestSameAsWriter(t *testing.T) {
	data := rows(333)
	for name, codec := range codecs {
		for version := 1; version <= 2; version++ {
			for _, page := range []int{200, 1 << 20} {
				b := file(t, data, writer.Compression(codec), writer.DataPageVersion(version), writer.PageBufferSize(page), writer.MaxRowsPerRowGroup(150))
				want := theirs(t, b)
				got, err := ours(b)
				if err != nil || len(want) != len(data) {
					t.Fatalf("%s, version %d, pages of %d: %d rows of %d: %v", name, version, page, len(got), len(want), err)
				}
				for i := range want {
					if got[i] != want[i] {
						t.Fatalf("%s, version %d, pages of %d: row %d:\n got %s\nwant %s", name, version, page, i, got[i], want[i])
					}
				}
			}
		}
	}
}

func TestColumns(t *testing.T) {
	b := file(t, rows(3), writer.KeyValueMetadata("key", "value"))
	f, err := parquet.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if s, ok := f.Lookup("key"); s != "value" || !ok {
		t.Errorf("note %q, %v", s, ok)
	}
	found := map[string]parquet.Column{}
	for _, c := range f.Columns {
		found[strings.Join(c.Path, ".")] = c
	}
	for path, want := range map[string][4]int{ // kind, repeated, level, of an item
		"bool": {int(parquet.Boolean)}, "maybe": {int(parquet.ByteArray), 0, 1}, "list.list.element": {int(parquet.ByteArray), 1, 1, 1},
		"bare": {int(parquet.Int32), 1, 1, 1}, "inner.a": {int(parquet.ByteArray)}, "fixed": {int(parquet.FixedLenByteArray)},
		"numbers.list.element": {int(parquet.Int64), 1, 2, 2},
	} {
		c, ok := found[path]
		if got := [4]int{int(c.Kind), c.Repeated, c.MaxLevel, c.ItemLevel}; !ok || got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	for r, err := range f.Rows(func(k int) bool { return f.Columns[k].Path[0] == "text" }) {
		if err != nil {
			t.Fatal(err)
		}
		for k, values := range r {
			if (len(values) == 1) != (f.Columns[k].Path[0] == "text") {
				t.Fatalf("column %v has %d values", f.Columns[k].Path, len(values))
			}
		}
		break // and no more rows
	}
}

// Whatever is damaged is an error or other values, never a panic or much memory.
func TestDamage(t *testing.T) {
	for name, codec := range codecs {
		b := file(t, rows(12), writer.Compression(codec), writer.DataPageVersion(1+len(name)%2))
		for at := 0; at < len(b); at += 37 {
			damaged := bytes.Clone(b)
			damaged[at] ^= byte(1 << (at % 8))
			ours(damaged)
			ours(damaged[:at])
		}
	}
	for _, s := range []string{"", "PAR1", "PAR1\x00\x00\x00\x00PAR1", "PAR1\x00\x00\x00\x00PARE", "PAR1\xff\xff\xff\x7fPAR1"} {
		if _, err := ours([]byte(s)); err == nil {
			t.Errorf("%q: no error", s)
		}
	}
}

func TestChecksum(t *testing.T) {
	type one struct {
		Text string `parquet:"text,plain"`
	}
	b := file(t, []one{{"some text that is long enough"}}, writer.Compression(&writer.Uncompressed))
	whole, err := ours(b)
	if err != nil {
		t.Fatal(err)
	}
	caught := false
	for at := range b { // the text stands in statistics too, which nobody reads
		if !bytes.HasPrefix(b[at:], []byte("long")) {
			continue
		}
		damaged := bytes.Clone(b)
		damaged[at] = 'L'
		got, err := ours(damaged)
		if err == nil && !reflect.DeepEqual(got, whole) {
			t.Errorf("damage was read: %q", got)
		}
		caught = caught || err != nil && strings.Contains(err.Error(), "checksum")
	}
	if !caught {
		t.Error("no checksum was wrong")
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(file(f, rows(3)))
	f.Add(file(f, rows(9), writer.Compression(&writer.Lz4Raw), writer.DataPageVersion(1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := ours(data)
		b, err2 := ours(data)
		if !reflect.DeepEqual(a, b) || (err == nil) != (err2 == nil) {
			t.Fatalf("%v and %v, %v and %v", a, b, err, err2)
		}
	})
}
