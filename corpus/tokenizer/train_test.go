package tokenizer_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/shared"
)

func TestTrainWordPiece(t *testing.T) {
	// "low" is merged first (l+##o, then lo+##w: 7 times), as in the example of
	// Sennrich et al.; Chinese characters and marks stay alone.
	text := strings.Repeat("low ", 5) + strings.Repeat("lower ", 2) + strings.Repeat("newest ", 6) + strings.Repeat("widest ", 3) + "中文中文。 rare"
	tok, err := corpus.TrainWordPiece(slices.Values([]string{text}), 60, corpus.TrainOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"} {
		if tok.Token(int64(i)) != s || !tok.IsSpecial(int64(i)) {
			t.Errorf("id %d is %q, want the special token %q", i, tok.Token(int64(i)), s)
		}
	}
	for _, s := range []string{"中", "文", "low", "newest", "##est", "widest"} {
		if _, ok := tok.ID(s); !ok {
			t.Errorf("%q is not in the vocabulary", s)
		}
	}
	for _, s := range []string{"##中", "中文", "rare", "##。", "。"} {
		if _, ok := tok.ID(s); ok {
			t.Errorf("%q is in the vocabulary", s)
		}
	}
	if got := tok.Encode("lowest 中").Tokens; !slices.Equal(got, []string{"[CLS]", "low", "##est", "中", "[SEP]"}) {
		t.Errorf("lowest 中 → %q", got)
	}
}

func TestTrainIsDeterministic(t *testing.T) {
	c, err := corpus.Open([]string{shared.Path(t, "data/sst2/dev.tsv"), shared.Path(t, "data/chnsenticorp/dev.tsv")}, corpus.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var first map[string][]byte
	for range 2 {
		tok, err := corpus.TrainWordPiece(corpus.Texts(c), 4000, corpus.TrainOptions{Lowercase: true, Special: []string{"[E1]"}})
		if err != nil {
			t.Fatal(err)
		}
		if n := tok.VocabSize(); n != 4000 {
			t.Errorf("%d entries, want 4000", n)
		}
		if got := tok.Encode("[E1] It's GREAT！").Tokens; got[1] != "[E1]" || slices.Contains(got, "[UNK]") {
			t.Errorf("got %q", got)
		}
		files := tok.Files()
		if first == nil {
			first = files
		} else if !maps.EqualFunc(first, files, bytes.Equal) {
			t.Error("two runs differ")
		}
		again, err := corpus.LoadTokenizer(files)
		if err != nil {
			t.Fatal(err)
		}
		e, _ := c.At(7)
		if !slices.Equal(tok.Encode(e.Text).IDs, again.Encode(e.Text).IDs) {
			t.Error("the written tokenizer differs")
		}
	}
}

func TestTrainLimits(t *testing.T) {
	text := slices.Values([]string{strings.Repeat("a b c d e ab ", 9) + strings.Repeat("a ", 50)})
	tok, err := corpus.TrainWordPiece(text, 100, corpus.TrainOptions{Alphabet: 2})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(tok.Encode("a b ab ba c").Tokens); got != "[[CLS] a b ab b ##a [UNK] [SEP]]" {
		t.Error(got)
	}
	for name, f := range map[string]func() error{
		"size": func() error { _, err := corpus.TrainWordPiece(text, 5, corpus.TrainOptions{}); return err },
		"repeated": func() error {
			_, err := corpus.TrainWordPiece(text, 50, corpus.TrainOptions{Special: []string{"[PAD]"}})
			return err
		},
		"frequency": func() error {
			_, err := corpus.TrainWordPiece(text, 50, corpus.TrainOptions{MinFrequency: -1})
			return err
		},
		"no words": func() error {
			_, err := corpus.TrainWordPiece(slices.Values([]string{" ", ""}), 50, corpus.TrainOptions{})
			return err
		},
	} {
		if f() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func BenchmarkTrainWordPiece(b *testing.B) {
	data, err := os.ReadFile(shared.Path(b, "data/text/wikitext2-valid.txt"))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	for range b.N {
		if _, err := corpus.TrainWordPiece(strings.Lines(string(data)), 20000, corpus.TrainOptions{Lowercase: true}); err != nil {
			b.Fatal(err)
		}
	}
}
