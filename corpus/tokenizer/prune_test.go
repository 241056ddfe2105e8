package tokenizer_test

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus/tokenizer"
)

// story repeats words, so that all trainers have something to join.
var story = strings.Repeat("The cat sat on the mat. The dog's cat, the small cat, sat on the small mat!\nDogs don't sit; 中文分词 很好。 Naïve café 123 456.\n", 20)

func trained(t testing.TB) map[string]*tokenizer.Tokenizer {
	t.Helper()
	out := map[string]*tokenizer.Tokenizer{}
	for kind, train := range map[string]func() (*tokenizer.Tokenizer, error){
		"WordPiece": func() (*tokenizer.Tokenizer, error) {
			return tokenizer.TrainWordPiece(strings.Lines(story), 120, tokenizer.TrainOptions{Lowercase: true})
		},
		"BPE": func() (*tokenizer.Tokenizer, error) {
			return tokenizer.TrainBPE(strings.Lines(story), 330, tokenizer.TrainOptions{Special: []string{"<e>"}})
		},
		"Unigram": func() (*tokenizer.Tokenizer, error) {
			return tokenizer.TrainUnigram(strings.Lines(story), 90, tokenizer.TrainOptions{})
		},
	} {
		tok, err := train()
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if tok.Kind() != kind {
			t.Errorf("%s: kind %s", kind, tok.Kind())
		}
		out[kind] = tok
	}
	return out
}

func TestTrainedTokenizers(t *testing.T) {
	again := trained(t)
	for kind, tok := range trained(t) {
		if !maps.EqualFunc(tok.Files(), again[kind].Files(), bytes.Equal) {
			t.Errorf("%s: two runs differ", kind)
		}
		read, err := tokenizer.Load(tok.Files())
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(story) {
			e := tok.Encode(line)
			if !slices.Equal(e.IDs, read.Encode(line).IDs) {
				t.Fatalf("%s: what is written reads %q otherwise", kind, line)
			}
			if kind != "WordPiece" && slices.Contains(e.IDs, tok.UnkID()) {
				t.Errorf("%s: %q has unknown tokens: %q", kind, line, e.Tokens)
			}
		}
		for _, id := range []int64{tok.PadID(), tok.ClsID(), tok.SepID(), tok.MaskID(), tok.UnkID()} {
			if id < 0 || !tok.IsSpecial(id) {
				t.Errorf("%s: a special token is missing", kind)
			}
		}
		if got := tok.Decode(tok.Encode("the cat sat on the mat").IDs, true); got != "the cat sat on the mat" {
			t.Errorf("%s: decodes to %q", kind, got)
		}
		if e := tok.Encode("The cat"); e.Len() != 4 {
			t.Errorf("%s: %q: frequent words are not whole", kind, e.Tokens)
		}
	}
}

// A word begins where one would say so, whatever the tokenizer.
func TestWords(t *testing.T) {
	for kind, tok := range trained(t) {
		text := " The dog, 中文, mat"
		e := tok.Encode(text)
		words := map[int]string{}
		for i, s := range e.Offsets {
			if s = tokenizer.Trim(text, s); e.Word[i] >= 0 && s.Len() > 0 && text[s.Start] != ' ' {
				words[e.Word[i]] += text[s.Start:s.End]
			}
		}
		var got []string
		for _, k := range slices.Sorted(maps.Keys(words)) {
			got = append(got, words[k])
		}
		// Bytes of one character cover it each.
		s := strings.Join(got, "|")
		if want := "The|dog|,|中|文|,|mat"; s != want && kind != "BPE" || kind == "BPE" && !strings.HasPrefix(s, "The|dog|,") {
			t.Errorf("%s: words %s, want %s (%q)", kind, s, want, e.Tokens)
		}
	}
}

func TestPrune(t *testing.T) {
	text := "The cat sat on the small mat, 中文!"
	for kind, tok := range trained(t) {
		used := map[int64]bool{}
		for _, p := range tok.Pieces(text, nil) {
			used[int64(p.ID)] = true
		}
		small, old, err := tok.Prune(func(id int64) bool { return used[id] })
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if small.VocabSize() != len(old) || len(old) >= tok.VocabSize() {
			t.Errorf("%s: %d of %d tokens stay, %d ids", kind, small.VocabSize(), tok.VocabSize(), len(old))
		}
		again, err := tokenizer.Load(small.Files())
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		for _, s := range []*tokenizer.Tokenizer{small, again} {
			want, got := tok.EncodePair(text, text), s.EncodePair(text, text)
			for i := range got.IDs {
				got.IDs[i] = old[got.IDs[i]]
			}
			if !slices.Equal(got.IDs, want.IDs) || !slices.Equal(got.Tokens, want.Tokens) || !slices.Equal(got.Offsets, want.Offsets) {
				t.Errorf("%s: %q\n got %v %q\nwant %v %q", kind, text, got.IDs, got.Tokens, want.IDs, want.Tokens)
			}
			if s.Token(s.MaskID()) != tok.Token(tok.MaskID()) || s.Token(s.PadID()) != tok.Token(tok.PadID()) {
				t.Errorf("%s: special tokens are lost", kind)
			}
		}
	}
}
