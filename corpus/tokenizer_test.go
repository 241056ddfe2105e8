package corpus_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/shared"
)

// goldens is the folder of golden cases: LITE_GOLDENS, else the shared one. It
// holds NAME/ with a tokenizer's files and NAME.jsonl with texts, ids and tokens.
func goldens(t testing.TB) string {
	if dir := os.Getenv("LITE_GOLDENS"); dir != "" {
		return dir
	}
	return shared.Path(t, "tokenizer")
}

func golden(t *testing.T, name string, f func(text string, ids []int64, tokens []string)) {
	t.Helper()
	file, err := os.Open(filepath.Join(goldens(t), name+".jsonl"))
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
	if n == 0 {
		t.Error("no golden cases")
	}
}

func TestGoldens(t *testing.T) {
	cases, err := filepath.Glob(filepath.Join(goldens(t), "*.jsonl"))
	if err != nil || len(cases) == 0 {
		t.Fatalf("no golden cases in %s: %v", goldens(t), err)
	}
	for _, path := range cases {
		name := strings.TrimSuffix(filepath.Base(path), ".jsonl")
		t.Run(name, func(t *testing.T) {
			tok, err := corpus.OpenTokenizer(filepath.Join(goldens(t), name))
			if err != nil {
				t.Fatal(err)
			}
			all := map[string]*corpus.Tokenizer{"as it is": tok}
			again, err := corpus.LoadTokenizer(tok.Files())
			if err != nil {
				t.Fatal(err)
			}
			all["written and read"] = again
			if tok.Kind() == "WordPiece" {
				fromVocab(t, tok, all)
			}
			golden(t, name, func(text string, ids []int64, tokens []string) {
				for kind, tok := range all {
					e := tok.Encode(text)
					if !slices.Equal(e.IDs, ids) || tokens != nil && !slices.Equal(e.Tokens, tokens) {
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

// fromVocab adds the tokenizers that are made of vocab.txt alone: what Files
// writes must behave the same, with and without tokenizer.json.
func fromVocab(t *testing.T, tok *corpus.Tokenizer, all map[string]*corpus.Tokenizer) {
	made, err := corpus.NewWordPiece(strings.Split(strings.TrimSuffix(string(tok.Files()["vocab.txt"]), "\n"), "\n"), tok.Lowercase())
	if err != nil {
		t.Fatal(err)
	}
	files := made.Files()
	delete(files, "tokenizer.json")
	vocab, err := corpus.LoadTokenizer(files)
	if err != nil {
		t.Fatal(err)
	}
	all["NewWordPiece"], all["vocab.txt"] = made, vocab
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
