package corpus_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/litekit/lite/corpus"
)

// Files of GLUE and CLUE are recognised by file, folder or option.
func TestLayouts(t *testing.T) {
	for _, c := range []struct {
		file, data string
		opts       corpus.Options
		want       string
	}{
		{"CoLA/dev.tsv", "gj04\t1\t\tThe sailors.\ngj04\t0\t*\tThe sailors eat.\n", corpus.Options{}, "\"The sailors.\" = 1:1\n\"The sailors eat.\" = 0:0\n"},
		{"CoLA/test.tsv", "index\tsentence\n0\ta\n", corpus.Options{}, "\"a\"\n"},
		{"SST-2/dev.tsv", "sentence\tlabel\na\t1\n", corpus.Options{}, "\"a\" = 1:0\n"},
		{"MRPC/train.tsv", "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\ta\tb\n", corpus.Options{}, "\"a\" + \"b\" = 1:0\n"},
		{"msr_paraphrase_train.txt", "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\ta\tb\n", corpus.Options{Layout: "MRPC"}, "\"a\" + \"b\" = 1:0\n"},
		{"x/qqp.tsv", "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\ta\tb\t0\n", corpus.Options{}, "\"a\" + \"b\" = 0:0\n"},
		{"MNLI/dev_mismatched.tsv", "index\tgenre\tsentence1\tsentence2\tlabel1\tgold_label\n0\tf\ta\tb\tneutral\tneutral\n1\tf\tc\td\tneutral\t-\n", corpus.Options{}, "\"a\" + \"b\" = neutral:0\n\"c\" + \"d\"\n"},
		{"QNLI/dev.tsv", "index\tquestion\tsentence\tlabel\n0\tq\ts\tentailment\n", corpus.Options{}, "\"q\" + \"s\" = entailment:0\n"},
		{"RTE/test.tsv", "index\tsentence1\tsentence2\n0\ta\tb\n", corpus.Options{}, "\"a\" + \"b\"\n"},
		{"tnews/train.json", `{"label":"108","label_desc":"news_edu","sentence":"上课时","keywords":""}`, corpus.Options{}, "\"上课时\" = 108:0\n"},
		{"iflytek/dev.json", `{"label":"11","label_des":"薅羊毛","sentence":"x"}`, corpus.Options{}, "\"x\" = 11:0\n"},
		{"afqmc/dev.json", `{"sentence1":"a","sentence2":"b","label":"0"}`, corpus.Options{}, "\"a\" + \"b\" = 0:0\n"},
		{"cmnli.json", `{"sentence1":"a","sentence2":"b","label":"-"}`, corpus.Options{}, "\"a\" + \"b\"\n"},
		{"csl/dev.json", `{"id":1,"abst":"x","keyword":["k","l"],"label":"1"}`, corpus.Options{}, "\"k l\" + \"x\" = 1:0\n"},
		{"ChnSentiCorp/x.csv", "label,review\n1,好\n", corpus.Options{}, "\"好\" = 1:0\n"},
		{"rte/own.tsv", "text\tlabel\na\t1\n", corpus.Options{}, "\"a\" = 1:0\n"}, // only the folder is called so
		{"a.jsonl", `{"q":"a","a":"b","y":1}`, corpus.Options{Columns: corpus.Columns{Text: "q,a", Label: "y"}}, "\"a\" + \"b\" = 1:0\n"},
		{"a.csv", "text,label\nb,x\n", corpus.Options{Header: corpus.WithoutHeader, Columns: corpus.Columns{Text: "0", Label: "1"}}, "\"text\" = label:0\n\"b\" = x:1\n"},
		{"a.csv", "foo,bar\nb,x\n", corpus.Options{Header: corpus.WithHeader, Columns: corpus.Columns{Text: "1", Label: "foo"}}, "\"x\" = b:0\n"},
	} {
		got, err := corpus.Read(strings.NewReader(c.data), c.file, c.opts)
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
		} else if d := dump(t, got); d != c.want {
			t.Errorf("%s: got\n%swant\n%s", c.file, d, c.want)
		}
	}
	// A column score is a number where nothing else is said and all of it is one.
	for data, scored := range map[string]bool{"text\tscore\na\t1.5\n": true, "text\tscore\na\thigh\n": false, "text\tlabel\tscore\na\tx\t2\n": false} {
		c, err := corpus.Read(strings.NewReader(data), "own.tsv", corpus.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if e, _ := c.At(0); (e.Score != nil) != scored {
			t.Errorf("%q: score %v", data, e.Score)
		}
	}
	for _, file := range []string{"STS-B/dev.tsv", "stsb.tsv"} {
		c, err := corpus.Read(strings.NewReader("index\tsentence1\tsentence2\tscore\n0\ta\tb\t4.75\n"), file, corpus.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if e, _ := c.At(0); e.Score == nil || *e.Score != 4.75 || e.Label != -1 || e.Pair != "b" {
			t.Errorf("%s: %+v", file, e)
		}
	}
}

func TestLayoutErrors(t *testing.T) {
	for _, c := range []struct {
		file, data string
		opts       corpus.Options
		want       string
	}{
		{"a.tsv", "x\ty\n", corpus.Options{Layout: "glue"}, `"cola"`},
		{"a.tsv", "x\ty\n", corpus.Options{Layout: "rte"}, "sentence2"},
		{"a.jsonl", `{"x":1}`, corpus.Options{Layout: "rte"}, "line 1"},
		{"STS-B/dev.tsv", "sentence1\tsentence2\tscore\na\tb\thigh\n", corpus.Options{}, `line 2, column 3: the score "high"`},
		{"a.tsv", "x\n", corpus.Options{Header: "maybe"}, "yes or no"},
		{"a.tsv", "x\n", corpus.Options{SkipBad: -1}, "negative"},
		{"a.txt", "\xfe\xff\x00a", corpus.Options{}, "line 1, byte 1: the file is UTF-16 (big endian)"},
		{"a.txt", "\x00h\x00e\x00l\x00l", corpus.Options{}, "UTF-16BE"},
		{"a.txt.gz", "\x1f\x8b\x08", corpus.Options{}, "gzip"},
		{"a.txt.zst", "\x28\xb5\x2f\xfd\x04", corpus.Options{}, "damaged"},
		{"a.json", `[{"text":"a"},`, corpus.Options{}, "item 2"},
		{"a.json", `[{"text":"a"}] x`, corpus.Options{}, "follows"},
	} {
		_, err := corpus.Read(strings.NewReader(c.data), c.file, c.opts)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: error %v, want %q", c.file, c.data, err, c.want)
		}
	}
}

func packed(t *testing.T, kind, data string) []byte {
	t.Helper()
	var b bytes.Buffer
	switch kind {
	case "gz":
		w := gzip.NewWriter(&b)
		w.Write([]byte(data))
		w.Close()
	case "zst":
		w, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(data))
		w.Close()
	default:
		b.WriteString(data)
	}
	return b.Bytes()
}

func TestOpenSources(t *testing.T) {
	dir := t.TempDir()
	for name, kind := range map[string]string{"a.txt": "", "b.txt.gz": "gz", "c.txt.zst": "zst", "d.txt": "gz"} {
		if err := os.WriteFile(filepath.Join(dir, name), packed(t, kind, name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := "\"a.txt\"\n\"b.txt.gz\"\n\"c.txt.zst\"\n\"d.txt\"\n"
	for path, want := range map[string]string{"": all, "*.txt*": all, "[bc]*": "\"b.txt.gz\"\n\"c.txt.zst\"\n"} {
		c, err := corpus.Open([]string{filepath.Join(dir, path)}, corpus.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := dump(t, c); got != want {
			t.Errorf("%q: got %s, want %s", path, got, want)
		}
	}
	if _, err := corpus.Open([]string{filepath.Join(dir, "z*")}, corpus.Options{}); err == nil || !strings.Contains(err.Error(), "pattern") {
		t.Errorf("error %v", err)
	}
	whole := packed(t, "gz", strings.Repeat("text and more\n\n", 5000))
	if _, err := corpus.Read(bytes.NewReader(whole[:len(whole)/2]), "cut.txt.gz", corpus.Options{}); err == nil || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("a file cut short: error %v", err)
	}
}

func TestOpenStdin(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	old := os.Stdin
	os.Stdin = r
	defer func() { os.Stdin = old; r.Close() }()
	w.WriteString("text\tlabel\na\tx\n")
	w.Close()
	c, err := corpus.Open([]string{"-"}, corpus.Options{Format: corpus.TSV})
	if err != nil {
		t.Fatal(err)
	}
	if got := dump(t, c); got != "\"a\" = x:0\n" {
		t.Errorf("got %s", got)
	}
}

func TestSkipBad(t *testing.T) {
	for _, c := range []struct {
		file, data, want string
		skipped          int
	}{
		{"a.tsv", "text\tlabel\na\t1\nb\nc\t\xff\n\t1\nd\t0\n", "\"a\" = 1:1\n\"d\" = 0:0\n", 3},
		{"a.csv", "text,label\na \"b,1\nc,1\n", "\"c\" = 1:0\n", 1},
		{"a.jsonl", "{\n{\"text\":\"a\"}\n{\"x\":1}\n", "\"a\"\n", 2},
		{"a.bio", "a O\nb X\nc O\n\nd O\n", "\"d\" d//O\n", 1},
		{"a.conllu", "1\ta\n2\tb\n\n1\tc\t_\tX\t_\t_\t0\t_\t_\t_\n", "\"c\" c/X/ <c>\n", 1},
		// Of a document only the sentence with the bad line goes, words before it too.
		{"a.conllu", "# newdoc\n1\tc\t_\tX\t_\t_\t0\t_\t_\t_\n\n1\ta\t_\tX\t_\t_\t0\t_\t_\t_\n2\tb\n3\tc\t_\tX\t_\t_\t0\t_\t_\t_\n\n1\td\t_\tX\t_\t_\t0\t_\t_\t_\n", "\"c d\" c/X/ d/X/ <c> <d>\n", 1},
		{"a.conllu", "1\ta\t_\tX\t_\t_\t0\t_\t_\t_\n2\tb\n\n1\td\t_\tX\t_\t_\t0\t_\t_\t_\n", "\"d\" d/X/ <d>\n", 1},
		{"a.txt", "a\n\x00\n\nb\n", "\"a\"\n\"b\"\n", 1},
	} {
		var told []error
		opts := corpus.Options{SkipBad: c.skipped, OnSkip: func(err error) { told = append(told, err) }}
		got, err := corpus.Read(strings.NewReader(c.data), c.file, opts)
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		if d := dump(t, got); d != c.want || len(told) != c.skipped {
			t.Errorf("%s: skipped %q, got\n%swant\n%s", c.file, told, d, c.want)
		}
		for _, err := range told {
			if !strings.Contains(err.Error(), c.file+": line ") {
				t.Errorf("%v names no line", err)
			}
		}
		opts.SkipBad--
		if _, err := corpus.Read(strings.NewReader(c.data), c.file, opts); err == nil {
			t.Errorf("%s: %d bad lines pass where %d may", c.file, c.skipped, opts.SkipBad)
		}
	}
	opts := corpus.Options{SkipBad: 1, Labels: []string{"no", "yes"}}
	if c, err := corpus.Read(strings.NewReader("text\tlabel\na\tmaybe\nb\tyes\n"), "a.tsv", opts); err != nil || dump(t, c) != "\"b\" = yes:1\n" {
		t.Errorf("unknown label: %v", err)
	}
}

// A corpus that does not fit the memory allowed is the same, from any goroutine.
func TestTemporaryFile(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var b strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&b, "{\"text\":\"text %d 北京\",\"label\":\"c%d\",\"score\":%d.5,\"tokens\":[{\"start\":0,\"end\":4,\"pos\":\"NOUN\"}],\"ents\":[],\"sents\":[{\"start\":0,\"end\":6}]}\n", i, 9-i%7, i)
	}
	want, err := corpus.Read(strings.NewReader(b.String()), "a.jsonl", corpus.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := corpus.Read(strings.NewReader(b.String()), "a.jsonl", corpus.Options{Memory: 10000})
	if err != nil {
		t.Fatal(err)
	}
	if _, held := c.(*corpus.Memory); held {
		t.Fatal("the corpus is in memory")
	}
	same := dump(t, want)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if got := dump(t, c); got != same {
				t.Error("the examples differ")
			}
		})
	}
	wg.Wait()
	if e, _ := c.At(7); e.Score == nil || *e.Score != 7.5 {
		t.Errorf("score of example 7: %+v", e)
	}
	for _, i := range []int{-1, 3000} {
		if _, err := c.At(i); err == nil {
			t.Errorf("example %d: no error", i)
		}
	}
}

// The examples of docs/data.md are read as it says; a second word on the fence
// is a layout.
func TestDocumentedExamples(t *testing.T) {
	doc, err := os.ReadFile("../docs/data.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, m := range regexp.MustCompile("(?ms)^```(tsv|csv|txt|jsonl|conllu|bio)(?: (\\w+))?\n(.*?)^```").FindAllStringSubmatch(string(doc), -1) {
		c, err := corpus.Read(strings.NewReader(m[3]), "example", corpus.Options{Format: corpus.Format(m[1]), Layout: corpus.Layout(m[2])})
		if err != nil || c.Len() == 0 {
			t.Errorf("%s: %v", m[0], err)
		}
		n++
	}
	if n < 13 {
		t.Errorf("only %d examples found", n)
	}
}
