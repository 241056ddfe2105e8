package corpus_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/shared"
)

func openTokenizer(t testing.TB, name string) *corpus.Tokenizer {
	t.Helper()
	tok, err := corpus.OpenTokenizer(shared.Path(t, "tokenizer/"+name))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func golden(t *testing.T, name string, f func(text string, ids []int64, tokens []string)) {
	t.Helper()
	file, err := os.Open(shared.Path(t, "tokenizer/"+name+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	n := 0
	sc := bufio.NewScanner(file)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var c struct {
			Text   string
			IDs    []int64
			Tokens []string
		}
		if err := json.Unmarshal(sc.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		f(c.Text, c.IDs, c.Tokens)
		n++
	}
	if n != 302 {
		t.Errorf("%d golden cases, want 302", n)
	}
}

func TestGoldens(t *testing.T) {
	for _, name := range []string{"uncased-en", "zh"} {
		t.Run(name, func(t *testing.T) {
			tok := openTokenizer(t, name)
			// What Files writes must behave the same, with and without tokenizer.json.
			files := tok.Files()
			made, err := corpus.NewWordPiece(strings.Split(strings.TrimSuffix(string(files["vocab.txt"]), "\n"), "\n"), tok.Lowercase())
			if err != nil {
				t.Fatal(err)
			}
			again, err := corpus.LoadTokenizer(made.Files())
			if err != nil {
				t.Fatal(err)
			}
			withoutJSON := made.Files()
			delete(withoutJSON, "tokenizer.json")
			vocab, err := corpus.LoadTokenizer(withoutJSON)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, func(text string, ids []int64, tokens []string) {
				for kind, tok := range map[string]*corpus.Tokenizer{"tokenizer.json": tok, "NewWordPiece": made, "written and read": again, "vocab.txt": vocab} {
					e := tok.Encode(text)
					if !slices.Equal(e.IDs, ids) || !slices.Equal(e.Tokens, tokens) {
						t.Errorf("%s: %q:\n got %v\nwant %v", kind, text, e.Tokens, tokens)
					}
					if err := checkOffsets(text, e); err != nil {
						t.Errorf("%s: %q: %v", kind, text, err)
					}
				}
			})
		})
	}
}

// checkOffsets reports offsets that leave the text or go backwards.
func checkOffsets(text string, e corpus.Encoding) error {
	last, word := 0, 0
	for i, s := range e.Offsets {
		if e.Seq[i] < 0 {
			if s != (corpus.Span{}) || e.Word[i] != -1 {
				return fmt.Errorf("special token %d has span %v and word %d", i, s, e.Word[i])
			}
			continue
		}
		if s.Start < last || s.End < s.Start || s.End > len(text) {
			return fmt.Errorf("token %d %q has span %v after %d in a text of %d bytes", i, e.Tokens[i], s, last, len(text))
		}
		if e.Word[i] < word || e.Word[i] > word+1 {
			return fmt.Errorf("token %d has word %d after %d", i, e.Word[i], word)
		}
		last, word = s.Start, e.Word[i]
	}
	return nil
}
