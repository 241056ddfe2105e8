package tokenizer_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus/tokenizer"
)

func letters(t testing.TB) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := tokenizer.NewWordPiece(strings.Fields("[PAD] [UNK] [CLS] [SEP] [MASK] a b c d e f g h ##s"), true)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestWindows(t *testing.T) {
	tok := letters(t)
	for _, tc := range []struct {
		a, b string
		tr   tokenizer.Truncation
		want string // windows of tokens; an error begins with !
	}{
		{"a b c", "", tokenizer.Truncation{}, "[CLS]abc[SEP]"},
		{"a b c d e", "", tokenizer.Truncation{MaxLength: 4}, "[CLS]ab[SEP] [CLS]cd[SEP] [CLS]e[SEP]"},
		{"a b c d e", "", tokenizer.Truncation{MaxLength: 5, Stride: 1}, "[CLS]abc[SEP] [CLS]cde[SEP]"},
		{"a b c d e", "", tokenizer.Truncation{MaxLength: 5, Stride: 2, Direction: "Left"}, "[CLS]cde[SEP] [CLS]bcd[SEP] [CLS]abc[SEP]"},
		{"a b c d", "e f", tokenizer.Truncation{MaxLength: 7, Strategy: "OnlyFirst"}, "[CLS]ab[SEP]ef[SEP] [CLS]cd[SEP]ef[SEP]"},
		{"a b", "c d e f", tokenizer.Truncation{MaxLength: 8, Strategy: "OnlySecond", Stride: 1}, "[CLS]ab[SEP]cde[SEP] [CLS]ab[SEP]ef[SEP]"},
		{"a b c", "d e f", tokenizer.Truncation{MaxLength: 7}, "[CLS]ab[SEP]de[SEP] [CLS]c[SEP]de[SEP] [CLS]c[SEP]f[SEP] [CLS]ab[SEP]f[SEP]"},
		{"a b", "", tokenizer.Truncation{MaxLength: 3, Strategy: "OnlySecond"}, "!needs a pair"},
		{"a b c", "d e f", tokenizer.Truncation{MaxLength: 5, Strategy: "OnlyFirst"}, "!cannot bring"},
		{"a b c", "", tokenizer.Truncation{MaxLength: 4, Stride: 2}, "!stride 2"},
		{"a b c", "", tokenizer.Truncation{MaxLength: 1}, "!cannot bring"},
		{"a", "", tokenizer.Truncation{Strategy: "Shortest"}, "!Shortest"},
		{"a", "", tokenizer.Truncation{Direction: "Up"}, "!Up"},
		{"a", "", tokenizer.Truncation{MaxLength: -1}, "!negative"},
	} {
		es, err := tok.Windows(tc.a, tc.b, tc.tr)
		if want, bad := strings.CutPrefix(tc.want, "!"); bad {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q %q %+v: error %v, want one with %q", tc.a, tc.b, tc.tr, err, want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q %q %+v: %v", tc.a, tc.b, tc.tr, err)
			continue
		}
		var got []string
		for _, e := range es {
			got = append(got, strings.Join(e.Tokens, ""))
		}
		if s := strings.Join(got, " "); s != tc.want {
			t.Errorf("%q %q %+v:\n got %s\nwant %s", tc.a, tc.b, tc.tr, s, tc.want)
		}
	}
}

func TestEncodeMaxSides(t *testing.T) {
	files := letters(t).Files()
	files["tokenizer_config.json"] = []byte(`{"truncation_side":"left","padding_side":"left"}`)
	tok, err := tokenizer.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	e := []tokenizer.Encoding{tok.EncodeMax("a b c d", "", 4), tok.Encode("a")}
	if got := fmt.Sprint(e[0].Tokens); got != "[[CLS] c d [SEP]]" {
		t.Error(got)
	}
	masks := tok.Padding().Pad(e)
	if got := fmt.Sprint(e[1].Tokens, masks[1], e[1].Offsets[1:3]); got != "[[PAD] [CLS] a [SEP]] [0 1 1 1] [{0 0} {0 1}]" {
		t.Error(got)
	}
	p := tokenizer.Padding{Length: 5, Multiple: 4, ID: 7, Token: "c"}
	if masks = p.Pad(e); e[0].Len() != 8 || e[0].IDs[7] != 7 || !slices.Equal(masks[0], []int64{1, 1, 1, 1, 0, 0, 0, 0}) {
		t.Error(e[0], masks[0])
	}
}

func TestPaddingAndTruncationOfFile(t *testing.T) {
	files := letters(t).Files()
	files["tokenizer.json"] = []byte(strings.NewReplacer(`"truncation": null`, `"truncation": {"direction":"Left","max_length":5,"strategy":"OnlyFirst","stride":1}`,
		`"padding": null`, `"padding": {"strategy":{"Fixed":9},"direction":"Left","pad_to_multiple_of":null,"pad_id":0,"pad_type_id":1,"pad_token":"[PAD]"}`).Replace(string(files["tokenizer.json"])))
	tok, err := tokenizer.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	if tr, ok := tok.Truncation(); !ok || tr != (tokenizer.Truncation{MaxLength: 5, Stride: 1, Strategy: "OnlyFirst", Direction: "Left"}) {
		t.Error(tr, ok)
	}
	if p := tok.Padding(); p != (tokenizer.Padding{Length: 9, Left: true, Type: 1, Token: "[PAD]"}) {
		t.Error(p)
	}
	if e := tok.Encode("a b c d e f g"); e.Len() != 9 {
		t.Errorf("Encode cuts to %d tokens; the file's truncation is for Windows", e.Len())
	}
}
