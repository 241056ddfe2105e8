package corpus_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/shared"
)

// dump writes a corpus on one line for each example: text | pair | target:label
// | words.
func dump(t testing.TB, c corpus.Corpus) string {
	t.Helper()
	var b strings.Builder
	for i := range c.Len() {
		e, err := c.At(i)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%q", e.Text)
		if e.Pair != "" {
			fmt.Fprintf(&b, " + %q", e.Pair)
		}
		if e.Target != "" || e.Label != -1 {
			fmt.Fprintf(&b, " = %s:%d", e.Target, e.Label)
		}
		for _, w := range e.Words {
			fmt.Fprintf(&b, " %s/%s/%s", e.Text[w.Start:w.End], w.POS, w.Entity)
		}
		for _, s := range e.Sentences {
			fmt.Fprintf(&b, " <%s>", e.Text[s.Start:s.End])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestRead(t *testing.T) {
	conll := func(rows ...string) string {
		for i, r := range rows {
			if r != "" && r[0] != '#' { // id form upos misc → the ten columns
				f := strings.Fields(r)
				rows[i] = strings.Join([]string{f[0], f[1], "_", f[2], "_", "_", "0", "root", "_", f[3]}, "\t")
			}
		}
		return strings.Join(rows, "\n") + "\n"
	}
	for _, c := range []struct {
		name, file, data string
		opts             corpus.Options
		want             string
	}{
		{name: "documents", file: "a.txt", data: "\ufeffOne.\r\nTwo.\r\n\r\n\r\n 三。 \n", want: "\"One.\\nTwo.\"\n\"三。\"\n"},
		{name: "lines", file: "a.txt", data: "One.\nTwo.\n", opts: corpus.Options{LinePerDocument: true}, want: "\"One.\"\n\"Two.\"\n"},
		{name: "SST-2", file: "a.tsv", data: "sentence\tlabel\nit 's \"good \t1\nbad\t0\n", want: "\"it 's \\\"good\" = 1:1\n\"bad\" = 0:0\n"},
		{name: "ChnSentiCorp", file: "a.tsv", data: "label\ttext_a\n1\t好\n0\t不好\n", want: "\"好\" = 1:1\n\"不好\" = 0:0\n"},
		{name: "no header, label last", file: "a.tsv", data: "good day\t1\nbad day\t0\nso so\t0\n", want: "\"good day\" = 1:1\n\"bad day\" = 0:0\n\"so so\" = 0:0\n"},
		{name: "no header, label first", file: "a.tsv", data: "pos\tgood day\nneg\tbad day\nneg\tso so\n", want: "\"good day\" = pos:1\n\"bad day\" = neg:0\n\"so so\" = neg:0\n"},
		{name: "no header, text only", file: "a.tsv", data: "good day\nbad day\n", want: "\"good day\"\n\"bad day\"\n"},
		{name: "numbered columns", file: "a.tsv", data: "7\tx\tgood\tyes\n8\ty\tbad\tno\n", opts: corpus.Options{Columns: corpus.Columns{Text: "2", Label: "3"}}, want: "\"good\" = yes:1\n\"bad\" = no:0\n"},
		{name: "pair", file: "a.csv", data: "sentence1,sentence2,label\n\"a, \"\"b\"\"\nc\",d,x\n", want: "\"a, \\\"b\\\"\\nc\" + \"d\" = x:0\n"},
		{name: "named columns", file: "a.csv", data: "id,Comment,Stars\n1,good,5\n2,bad,10\n", opts: corpus.Options{Columns: corpus.Columns{Text: "comment", Label: "stars"}}, want: "\"good\" = 5:0\n\"bad\" = 10:1\n"},
		{name: "labels of a model, by name and number", file: "a.tsv", data: "text\tlabel\na\tPOS\nb\t0\n", opts: corpus.Options{Labels: []string{"NEG", "POS"}}, want: "\"a\" = POS:1\n\"b\" = 0:0\n"},
		{name: "limit", file: "a.tsv", data: "text\na\nb\nc\n", opts: corpus.Options{Limit: 2}, want: "\"a\"\n\"b\"\n"},
		{name: "MSRA", file: "a.tsv", data: "text_a\tlabel\n我 爱 北 京 A P P\tO O B-LOC I-LOC O O O\n", want: "\"我爱北京APP\" 我//O 爱//O 北//B-LOC 京//I-LOC A//O P//O P//O\n"},
		{name: "MSRA with control characters", file: "a.tsv", data: "text_a\tlabel\n北\x02京\tB-LOC\x02I-LOC\n", want: "\"北京\" 北//B-LOC 京//I-LOC\n"},
		{name: "objects", file: "a.jsonl", data: "{\"text\":\"a\",\"label\":1}\n\n{\"sentence\":\"b\",\"label\":-1,\"id\":3}\n{\"text_a\":\"c\",\"text_b\":\"d\",\"label\":null}\n{\"text\":\"e\",\"label\":false}\n", want: "\"a\" = 1:1\n\"b\"\n\"c\" + \"d\"\n\"e\" = 0:0\n"},
		{name: "array", file: "a.json", data: " [{\"text\":\"a\"},\n{\"text\":\"b\"}]\n", want: "\"a\"\n\"b\"\n"},
		{name: "word arrays", file: "a.jsonl", data: `{"tokens":["in","New","York"],"ner_tags":["O","B-LOC","I-LOC"],"upos":["ADP","PROPN","PROPN"]}`, want: "\"in New York\" in/ADP/O New/PROPN/B-LOC York/PROPN/I-LOC\n"},
		{name: "word arrays with numbers", file: "a.jsonl", data: `{"tokens":["北","京"],"ner_tags":[1,2]}`, opts: corpus.Options{Tags: []string{"O", "B-LOC", "I-LOC"}}, want: "\"北京\" 北//B-LOC 京//I-LOC\n"},
		{name: "spaCy", file: "a.jsonl", data: `{"text":"去é北京。","ents":[{"start":2,"end":4,"label":"GPE"}],"sents":[{"start":0,"end":5}],"tokens":[{"id":0,"start":0,"end":1,"pos":"VERB"},{"start":1,"end":2,"pos":"X"},{"start":2,"end":4,"pos":"PROPN"},{"start":4,"end":5,"pos":"PUNCT"}]}`,
			want: "\"去é北京。\" 去/VERB/O é/X/O 北京/PROPN/B-GPE 。/PUNCT/O <去é北京。>\n"},
		{name: "entities without tokens", file: "a.jsonl", data: `{"text":"in New York.","ents":[{"start":3,"end":11,"label":"GPE"}]}`, want: "\"in New York.\" in//O New//B-GPE York//I-GPE .//O\n"},
		{name: "CoNLL-U sentences", file: "a.conllu", data: conll("# text = a", "1 Go VERB _", "2 home ADV SpaceAfter=No", "3 . PUNCT _", "", "1 Yes INTJ NER=O", ""), want: "\"Go home.\" Go/VERB/ home/ADV/ ./PUNCT/ <Go home.>\n\"Yes\" Yes/INTJ/O <Yes>\n"},
		{name: "CoNLL-U documents", file: "a.conllu", data: conll("# newdoc id = 1", "1 One NUM _", "", "# newpar", "1 Two NUM _", "", "# newdoc", "1 三 NUM SpaceAfter=No", ""), want: "\"One\\nTwo\" One/NUM/ Two/NUM/ <One> <Two>\n\"三\" 三/NUM/ <三>\n"},
		{name: "CoNLL-U words of a token", file: "a.conllu", data: conll("1-2 didn't _ _", "1 did AUX _", "2 n't PART _", "3 du X _", "4-5 au _ SpaceAfter=No", "4 à ADP _", "5 le DET _", "5.1 ghost VERB _", "6 . PUNCT _", ""), want: "\"didn't du au.\" did/AUX/ n't/PART/ du/X/ au/ADP/ ./PUNCT/ <didn't du au.>\n"},
		{name: "CoNLL-2003", file: "a.conll", data: "-DOCSTART- -X- O O\n\nU.N. NNP I-NP I-ORG\nofficial NN I-NP O\n\nPeter NNP I-NP B-PER\n", want: "\"U.N. official\" U.N.//B-ORG official//O\n\"Peter\" Peter//B-PER\n"},
		{name: "BIO of characters", file: "a.bio", data: "海 B-LOC\n南 E-LOC\n岛\tO\n京 S-LOC\n", want: "\"海南岛京\" 海//B-LOC 南//I-LOC 岛//O 京//B-LOC\n"},
		{name: "BIO with mixed scripts", file: "a.bio", data: "用 O\niPhone B-PRODUCT\n15 I-PRODUCT\n拍 O\n", want: "\"用iPhone 15拍\" 用//O iPhone//B-PRODUCT 15//I-PRODUCT 拍//O\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := corpus.Read(strings.NewReader(c.data), c.file, c.opts)
			if err != nil {
				t.Fatal(err)
			}
			if d := dump(t, got); d != c.want {
				t.Errorf("got\n%swant\n%s", d, c.want)
			}
		})
	}
}

// Every message names the file and, where there is one, the line.
func TestReadErrors(t *testing.T) {
	for _, c := range []struct {
		name, file, data string
		opts             corpus.Options
		want             []string // in the message
	}{
		{"empty", "a.txt", "", corpus.Options{}, []string{"a.txt", "empty"}},
		{"blank", "a.jsonl", " \n\n", corpus.Options{}, []string{"empty"}},
		{"extension", "a.xyz", "a", corpus.Options{}, []string{".xyz", "txt, tsv"}},
		{"format", "a", "a", corpus.Options{Format: "pdf"}, []string{"pdf"}},
		{"UTF-16 with mark", "a.tsv", "\xff\xfeh\x00i\x00", corpus.Options{}, []string{"a.tsv", "line 1", "UTF-16", "iconv"}},
		{"UTF-16 without mark", "a.tsv", "h\x00e\x00l\x00l\x00o\x00", corpus.Options{}, []string{"line 1", "UTF-16"}},
		{"GBK", "a.tsv", "text\nok\n\xc4\xe3\xba\xc3\n", corpus.Options{}, []string{"line 3, byte 1", "GB18030"}},
		{"Latin-1", "a.tsv", "text\ncaf\xe9 au lait\n", corpus.Options{}, []string{"line 2, byte 4", "LATIN1"}},
		{"NUL", "a.tsv", "text\nok\nab\x00c and much more text\n", corpus.Options{}, []string{"line 3, byte 3", "NUL"}},
		{"ragged tsv", "a.tsv", "text\tlabel\na\t1\nb\n", corpus.Options{}, []string{"line 3", "1 columns instead of 2"}},
		{"ragged csv", "a.csv", "text,label\na,1\nb,1,2\n", corpus.Options{}, []string{"line 3", "3 columns instead of 2"}},
		{"quote", "a.csv", "text,label\na \"b,1\n", corpus.Options{}, []string{"line 2", "quote"}},
		{"empty text", "a.tsv", "text\tlabel\na\t1\n \t1\n", corpus.Options{}, []string{"line 3, column 1", "empty"}},
		{"empty rows", "a.csv", "\"\"\n", corpus.Options{}, []string{"every row is empty"}},
		{"header only", "a.tsv", "text\tlabel\n", corpus.Options{}, []string{"no examples"}},
		{"unknown column", "a.tsv", "text\tlabel\na\t1\n", corpus.Options{Columns: corpus.Columns{Text: "body"}}, []string{"body", `"text"`}},
		{"unknown label", "a.tsv", "text\tlabel\na\t0\nb\tgood\n", corpus.Options{Labels: []string{"neg", "pos"}}, []string{"line 3", `"good"`, `"pos"`}},
		{"label number", "a.tsv", "text\tlabel\na\t2\n", corpus.Options{Labels: []string{"neg", "pos"}}, []string{"line 2", `"2"`}},
		{"many columns", "a.tsv", "a\tb\tc\td\n", corpus.Options{}, []string{"4 columns and no header"}},
		{"MSRA length", "a.tsv", "text_a\tlabel\n我 爱\tO O\n我 爱\tO\n", corpus.Options{}, []string{"line 3", "1 tags for 2"}},
		{"object", "a.jsonl", "{\"text\":\"a\"}\n{\"text\":\n", corpus.Options{}, []string{"line 2", "complete JSON"}},
		{"no text", "a.jsonl", "{\"foo\":\"a\"}\n", corpus.Options{}, []string{"line 1", "foo"}},
		{"no token ids", "a.jsonl", "{\"text\":\"a\"}\n", corpus.Options{Columns: corpus.Columns{Text: "input_ids"}}, []string{"line 1", "input_ids", "text"}},
		{"ids of text", "a.jsonl", "{\"input_ids\":[\"a\"]}\n", corpus.Options{}, []string{"line 1", "input_ids", "array"}},
		{"no ids", "a.jsonl", "{\"input_ids\":[5],\"attention_mask\":[0]}\n", corpus.Options{}, []string{"line 1", "no token"}},
		{"negative id", "a.jsonl", "{\"input_ids\":[5,-1]}\n", corpus.Options{}, []string{"line 1", "-1 at 1"}},
		{"type", "a.jsonl", "{\"input_ids\":[5],\"token_type_ids\":[2]}\n", corpus.Options{}, []string{"line 1", "token_type_ids", "0 or 1"}},
		{"mask length", "a.jsonl", "{\"input_ids\":[5,6],\"attention_mask\":[1]}\n", corpus.Options{}, []string{"line 1", "attention_mask", "1 numbers for 2 ids"}},
		{"numbered tags of ids", "a.jsonl", "{\"input_ids\":[5,6],\"labels\":[-100,3]}\n", corpus.Options{}, []string{"line 1", "labels", "number 3", "--tags"}},
		{"tags of ids", "a.jsonl", "{\"input_ids\":[5,6],\"labels\":[\"O\"]}\n", corpus.Options{}, []string{"line 1", "labels", "1 tags for 2 ids"}},
		{"tag of ids", "a.jsonl", "{\"input_ids\":[5,6],\"labels\":[\"O\",\"NOUN\"]}\n", corpus.Options{}, []string{"line 1", "labels", "NOUN"}},
		{"text number", "a.jsonl", "{\"text\":1}\n", corpus.Options{}, []string{"line 1", "string"}},
		{"label array", "a.jsonl", "{\"text\":\"a\",\"label\":[1]}\n", corpus.Options{}, []string{"line 1", "label"}},
		{"tag numbers", "a.jsonl", `{"tokens":["a"],"ner_tags":[4]}`, corpus.Options{}, []string{"line 1", "Tags"}},
		{"tag count", "a.jsonl", `{"tokens":["a","b"],"ner_tags":["O"]}`, corpus.Options{}, []string{"1 tags for 2 words"}},
		{"span", "a.jsonl", `{"text":"ab","tokens":[{"start":0,"end":3}]}`, corpus.Options{}, []string{"tokens[0]", "outside"}},
		{"spans overlap", "a.jsonl", `{"text":"abc","tokens":[{"start":0,"end":2},{"start":1,"end":3}]}`, corpus.Options{}, []string{"tokens[1]", "sort"}},
		{"CoNLL-U columns", "a.conllu", "# x\n1 a b\n", corpus.Options{}, []string{"line 2", "10"}},
		{"CoNLL-U number", "a.conllu", "x\ta\t_\tX\t_\t_\t0\t_\t_\t_\n", corpus.Options{}, []string{"line 1", `"x"`}},
		{"BIO tag", "a.bio", "a O\nb NNP\n", corpus.Options{}, []string{"line 2, column 2", "NNP"}},
		{"BIO columns", "a.bio", "a\n", corpus.Options{}, []string{"line 1", "1 columns"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := corpus.Read(strings.NewReader(c.data), c.file, c.opts)
			if err == nil {
				t.Fatal("no error")
			}
			for _, s := range c.want {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not contain %q", err, s)
				}
			}
		})
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{"b.tsv": "text\tlabel\nb\ty\n", "a.jsonl": `{"text":"a","label":"x"}`, "notes.md": "no"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := corpus.Open([]string{dir}, corpus.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := dump(t, c), "\"a\" = x:0\n\"b\" = y:1\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, paths := range [][]string{nil, {filepath.Join(dir, "absent.tsv")}, {t.TempDir()}} {
		if _, err := corpus.Open(paths, corpus.Options{}); err == nil {
			t.Errorf("%q: no error", paths)
		}
	}
}

func TestSharedFiles(t *testing.T) {
	for _, c := range []struct {
		file   string
		n      int
		labels []string
		text   string // of the first example, its beginning
		words  bool
	}{
		{"sst2/dev.tsv", 872, []string{"0", "1"}, "it 's a charming and often affecting journey .", false},
		{"chnsenticorp/dev.tsv", 0, []string{"0", "1"}, "這間酒店環境", false},
		{"msra_ner/dev.tsv", 0, nil, "在这里恕弟不恭之罪，", true},
		{"text/tnews-unlabeled.jsonl", 0, nil, "老公病重，娘家只借给我2千", false},
		{"text/cluecorpus-documents.txt", 0, nil, "兰州公交集团:明起", false},
		{"ud/zh_gsdsimp-ud-test.conllu", 500, nil, "然而，这样的处理也衍生了一些问题。", true},
		{"ud/en_ewt-ud-test.conllu", 0, nil, "What if Google Morphed", true},
	} {
		t.Run(c.file, func(t *testing.T) {
			got, err := corpus.Open([]string{shared.Path(t, "data/"+c.file)}, corpus.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if c.n > 0 && got.Len() != c.n {
				t.Errorf("%d examples, want %d", got.Len(), c.n)
			}
			if !slices.Equal(got.Labels(), c.labels) {
				t.Errorf("labels %q, want %q", got.Labels(), c.labels)
			}
			e, err := got.At(0)
			if err != nil || !strings.HasPrefix(e.Text, c.text) || (len(e.Words) > 0) != c.words {
				t.Errorf("first example %.60q, %d words, error %v", e.Text, len(e.Words), err)
			}
		})
	}
}

// The text put together from words must be the one that the treebank states.
func TestCoNLLUText(t *testing.T) {
	for _, name := range []string{"zh_gsdsimp-ud-test", "en_ewt-ud-test"} {
		path := shared.Path(t, "data/ud/"+name+".conllu")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for line := range strings.Lines(string(data)) {
			if s, ok := strings.CutPrefix(line, "# text = "); ok {
				want = append(want, strings.ReplaceAll(strings.TrimSpace(s), "\u00a0", " "))
			}
		}
		c, err := corpus.Open([]string{path}, corpus.Options{})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for i := range c.Len() {
			e, _ := c.At(i)
			for _, s := range e.Sentences {
				if got := e.Text[s.Start:s.End]; n < len(want) && got != want[n] {
					t.Errorf("%s: sentence %d is %q, want %q", name, n, got, want[n])
				}
				n++
			}
		}
		if n != len(want) {
			t.Errorf("%s: %d sentences, want %d", name, n, len(want))
		}
	}
}

func TestSplitSentences(t *testing.T) {
	for text, want := range map[string][]string{
		"他说：“好。”她走了！真的？！ 是；对":                   {"他说：“好。”", "她走了！", "真的？！", "是；", "对"},
		"One (two.) Three 3.5 four… Five?\nsix": {"One (two.)", "Three 3.5 four…", "Five?", "six"},
		"  \n":     nil,
		"第一行\n第二行": {"第一行", "第二行"},
		"等等……然后。好": {"等等……然后。", "好"},
	} {
		var got []string
		for _, s := range corpus.SplitSentences(text) {
			got = append(got, text[s.Start:s.End])
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
