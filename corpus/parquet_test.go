package corpus_test

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/litekit/lite/corpus"
)

func parquetOf[T any](t testing.TB, rows []T, opts ...parquet.WriterOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, opts...)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type sentenceRow struct {
	Sentence string `parquet:"sentence,zstd"`
	Label    int64  `parquet:"label,snappy"`
	Idx      int32  `parquet:"idx"`
}

type taggedRow struct {
	Tokens []string `parquet:"tokens,list"`
	POS    []int64  `parquet:"pos_tags,list"`
	NER    []int64  `parquet:"ner_tags,list"`
}

const features = `{"info": {"features": {"sentence": {"dtype": "string", "_type": "Value"}, "label": {"names": ["negative", "positive"], "_type": "ClassLabel"},
"pos_tags": {"feature": {"names": ["NN", "VB"], "_type": "ClassLabel"}, "_type": "Sequence"},
"ner_tags": {"feature": {"names": ["O", "B-PER"], "_type": "ClassLabel"}, "_type": "Sequence"}}}}`

func TestParquet(t *testing.T) {
	meta := parquet.KeyValueMetadata("huggingface", features)
	rows := []sentenceRow{{"good 好", 1, 0}, {"bad", 0, 1}, {"test", -1, 2}}
	tagged := []taggedRow{{[]string{"Anna", "reads"}, []int64{0, 1}, []int64{1, 0}}}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write(parquetOf(t, rows, meta))
	z.Close()
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"named classes", parquetOf(t, rows, meta), "\"good 好\" = positive:1\n\"bad\" = negative:0\n\"test\"\n"},
		{"numbers", parquetOf(t, rows), "\"good 好\" = 1:1\n\"bad\" = 0:0\n\"test\"\n"},
		{"gzip", zipped.Bytes(), "\"good 好\" = positive:1\n\"bad\" = negative:0\n\"test\"\n"},
		{"tags", parquetOf(t, tagged, meta), "\"Anna reads\" Anna//B-PER reads//O\n"},
	} {
		got, err := corpus.Read(bytes.NewReader(c.data), "a.parquet", corpus.Options{})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if d := dump(t, got); d != c.want {
			t.Errorf("%s: got\n%swant\n%s", c.name, d, c.want)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "train-00000-of-00001.parquet"), parquetOf(t, rows, meta), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := corpus.Open([]string{dir}, corpus.Options{Limit: 2}); err != nil || c.Len() != 2 {
		t.Errorf("folder: %v", err)
	}
}

func TestParquetErrors(t *testing.T) {
	whole := parquetOf(t, []sentenceRow{{"a", 5, 0}}, parquet.KeyValueMetadata("huggingface", features))
	plain := parquetOf(t, []sentenceRow{{strings.Repeat("long text ", 50), 1, 0}})
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":          {nil, "empty"},
		"text":           {[]byte("sentence\tlabel\na\t1\n"), "not a Parquet file"},
		"cut":            {plain[:len(plain)/2], "not a Parquet file"},
		"class":          {whole, "row 1: column \"label\": the class 5"},
		"no text column": {parquetOf(t, []struct{ X int64 }{{1}}), "no text"},
	} {
		if _, err := corpus.Read(bytes.NewReader(c.data), "a.parquet", corpus.Options{}); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "a.parquet") {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
	for at := 4; at < len(plain)-8; at += 7 { // damage must never be a panic
		data := bytes.Clone(plain)
		data[at] ^= 0x55
		corpus.Read(bytes.NewReader(data), "a.parquet", corpus.Options{})
	}
}

func TestDedupeAndOverlap(t *testing.T) {
	of := func(texts ...string) corpus.Corpus {
		var es []corpus.Example
		for _, s := range texts {
			a, b, _ := strings.Cut(s, "|")
			es = append(es, corpus.Example{Text: a, Pair: b, Label: -1})
		}
		return corpus.FromExamples(es, nil)
	}
	c, err := corpus.Dedupe(of("a", "b", "a", "a|b", "ab", "b"))
	if err != nil {
		t.Fatal(err)
	}
	if got := dump(t, c); got != dump(t, of("a", "b", "a|b", "ab")) {
		t.Errorf("got %s", got)
	}
	at, err := corpus.Overlap(of("x", "a", "p|q", "a"), of("a", "b", "p|q", "pq", "a"))
	if err != nil || !reflect.DeepEqual(at, []int{0, 2, 4}) {
		t.Errorf("overlap %v, %v", at, err)
	}
}

func TestWeighted(t *testing.T) {
	make := func(name string, n int) corpus.Corpus {
		es := []corpus.Example{}
		for range n {
			es = append(es, corpus.Example{Text: name, Target: name, Label: 0})
		}
		return corpus.FromExamples(es, []string{name})
	}
	cs := []corpus.Corpus{make("b", 10), make("a", 100), make("c", 7)}
	c, err := corpus.Weighted(cs, []float64{2.5, 0.1, 0}, 3)
	if err != nil {
		t.Fatal(err)
	}
	got := dump(t, c)
	if strings.Count(got, "\"b\" = b:1") != 25 || strings.Count(got, "\"a\" = a:0") != 10 || c.Len() != 35 {
		t.Errorf("got %s", got)
	}
	for _, w := range [][]float64{{1}, {1, -1, 1}, {1, 1, 1001}} {
		if _, err := corpus.Weighted(cs, w, 0); err == nil {
			t.Errorf("%v: no error", w)
		}
	}
}
