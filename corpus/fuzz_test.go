package corpus_test

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
)

// Whatever is read has words and sentences inside its text, and survives
// writing and reading.
func FuzzRead(f *testing.F) {
	for _, s := range [][2]string{
		{"txt", "One.\n\n二。"},
		{"tsv", "sentence\tlabel\na\t1\n"},
		{"tsv", "text_a\tlabel\n北 京\tB-LOC I-LOC\n"},
		{"tsv", "\tlABel\n㌗ 0\tB-0 B-\f"},
		{"csv", "a,\"b\nc\",1\n"},
		{"jsonl", `{"text":"é北","ents":[{"start":1,"end":2,"label":"X"}],"tokens":[{"start":0,"end":1,"pos":"X","ner":"I-X"},{"start":1,"end":2}],"sents":[{"start":0,"end":2}],"label":1}`},
		{"jsonl", `[{"tokens":["a","b"],"ner_tags":["O","B-X"]}]`},
		{"conllu", "# newdoc\n1-2\tau\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No\n1\tà\t_\tADP\t_\t_\t0\t_\t_\t_\n2\tle\t_\tDET\t_\t_\t0\t_\t_\tNER=B-X\n\n"},
		{"jsonl", `{"input_ids":[2,5,3,0],"token_type_ids":[0,0,1,0],"attention_mask":[1,1,1,0],"labels":["","B-X","I-X",null],"score":1}`},
		{"jsonl", `{"input_ids":[2,70000],"label":-1}`},
		{"jsonl", `{"sentence1":"a","sentence2":"b","score":2.5}`},
		{"tsv", "\xff\xfea\x00"},
		{"tsv", "\x1f\x8b\x08\x00"},
		{"txt", "\x28\xb5\x2f\xfd\x04"},
		{"bio", "a B-X\nb I-X\n\nc S-Y\n"},
	} {
		f.Add(s[0], s[1])
	}
	f.Add("parquet", string(parquetOf(f, []sentenceRow{{"a", 1, 0}, {"b", -1, 1}})))
	f.Add("parquet", string(parquetOf(f, []taggedRow{{[]string{"a", "b"}, nil, nil}})))
	f.Fuzz(func(t *testing.T, format, data string) {
		c, err := corpus.Read(strings.NewReader(data), "fuzz", corpus.Options{Format: corpus.Format(format)})
		// The same from a temporary file, and with bad lines skipped.
		spilled, err2 := corpus.Read(strings.NewReader(data), "fuzz", corpus.Options{Format: corpus.Format(format), Memory: 1, SkipBad: 3})
		if err != nil {
			return
		}
		if err2 != nil {
			t.Fatalf("only with a temporary file: %v", err2)
		}
		if a, b := dump(t, c), dump(t, spilled); a != b {
			t.Fatalf("from a temporary file:\n%swant\n%s", b, a)
		}
		if _, err := corpus.NERTags(c); err != nil && format != "jsonl" { // JSONL keeps any "ner"
			t.Fatal(err)
		}
		for i := range c.Len() {
			e, err := c.At(i)
			if err != nil {
				t.Fatal(err)
			}
			after := 0
			for _, w := range e.Words {
				if w.Start < after || w.End < w.Start || w.End > len(e.Text) {
					t.Fatalf("word %v after %d in a text of %d bytes", w, after, len(e.Text))
				}
				after = w.End
			}
			if e.Tokens != nil {
				if err := e.Tokens.Check(1 << 29); err != nil {
					t.Fatal(err)
				}
			}
			if e.Label < -1 || e.Label >= len(c.Labels()) || (e.Label >= 0) != (e.Target != "") {
				t.Fatalf("label %d of %q, target %q", e.Label, c.Labels(), e.Target)
			}
		}
		var b bytes.Buffer
		if err := corpus.WriteJSONL(&b, c); err != nil {
			t.Fatal(err)
		}
		again, err := corpus.Read(&b, "again.jsonl", corpus.Options{Labels: c.Labels()})
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.Len() {
			want, _ := c.At(i)
			got, _ := again.At(i)
			want.Origin = got.Origin // the place differs
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("example %d:\n got %+v\nwant %+v", i, got, want)
			}
		}
	})
}

func FuzzChinese(f *testing.F) {
	a := chinese(f)
	f.Add("小明在北京大学学习3.5年。卡洛斯·阿马特……")
	f.Add("的·的\xff中")
	f.Fuzz(func(t *testing.T, text string) {
		words, err := a.Annotate(text)
		if err != nil {
			t.Fatal(err)
		}
		after, last := 0, "O"
		for _, w := range words {
			if w.Start < after || w.End <= w.Start || w.End > len(text) || !slices.Contains(corpus.UPOS(), w.POS) {
				t.Fatalf("word %+v after %d in a text of %d bytes", w, after, len(text))
			}
			if strings.HasPrefix(w.Entity, "I-") && (last == "O" || last[2:] != w.Entity[2:]) {
				t.Fatalf("%s after %s in %q", w.Entity, last, text)
			}
			after, last = w.End, w.Entity
		}
	})
}
