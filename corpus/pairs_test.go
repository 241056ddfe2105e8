package corpus_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
)

// initial returns the one letter that begins the words of a segment.
func initial(t *testing.T, tok *corpus.Tokenizer, ids []int64) byte {
	t.Helper()
	var letter byte
	for _, id := range ids {
		s := tok.Token(id)
		if s == "." || strings.HasPrefix(s, "##") {
			continue
		}
		if letter != 0 && s[0] != letter {
			t.Fatalf("a segment has words of two documents: %c and %s", letter, s)
		}
		letter = s[0]
	}
	return letter
}

func TestNextSentence(t *testing.T) {
	tok, c := letters(t), documents(20) // each document has a letter of its own
	for _, memory := range []int64{0, 1} {
		v, err := corpus.NewDenoiseView(c, tok, corpus.ViewOptions{MaxLength: 48, NextSentence: true, Mask: corpus.MaskOptions{Rate: 1e-9}, Memory: memory})
		if err != nil {
			t.Fatal(err)
		}
		var next [2]int
		for epoch := range 40 {
			for _, b := range batches(t, v, epoch) {
				for r, i := range b.Index {
					e, _ := c.At(i)
					ids := restore(b, r)
					var segments [2][]int64
					for p, id := range ids {
						if !tok.IsSpecial(id) {
							segments[b.Types[r*b.S+p]] = append(segments[b.Types[r*b.S+p]], id)
						}
					}
					first, second := segments[0], segments[1]
					if b.Next[r] < 0 {
						if len(second) > 0 {
							t.Fatalf("example %d: two segments without a label", i)
						}
						continue
					}
					next[b.Next[r]]++
					own := initial(t, tok, first)
					if own != e.Text[0] || first[len(first)-1] != 5 {
						t.Fatalf("example %d: the first segment %v is not whole sentences of it", i, first)
					}
					other := initial(t, tok, second)
					if (b.Next[r] == 0) != (other == own) {
						t.Fatalf("example %d of %c, next %d: the second segment is of %c", i, own, b.Next[r], other)
					}
					if b.Next[r] == 0 && !contains(tok.Encode(e.Text).IDs, slices.Concat(first, second)) {
						t.Fatalf("example %d: segments %v and %v do not follow each other", i, first, second)
					}
					if b.Next[r] == 1 {
						from, _ := c.At(int(other - 'a'))
						if !contains(append([]int64{5}, tok.Encode(from.Text).IDs[1:]...), append([]int64{5}, second...)) {
							t.Fatalf("the second segment %v does not begin a sentence of document %d", second, other-'a')
						}
						if len(first)+len(second) > 45 {
							t.Fatalf("%d tokens with three special ones in 48", len(first)+len(second))
						}
					}
					if b.Order[r] != -1 {
						t.Fatalf("order %d", b.Order[r])
					}
				}
			}
		}
		if share := float64(next[1]) / float64(next[0]+next[1]); next[0]+next[1] < 400 || math.Abs(share-0.5) > 0.06 {
			t.Errorf("%d follow and %d do not", next[0], next[1])
		}
	}
	one := corpus.Take(c, 1)
	if _, err := corpus.NewDenoiseView(one, tok, corpus.ViewOptions{NextSentence: true}); err == nil || !strings.Contains(err.Error(), "another document") {
		t.Errorf("one document: %v", err)
	}
	if _, err := corpus.NewDenoiseView(c, tok, corpus.ViewOptions{NextSentence: true, SentencePairs: true}); err == nil {
		t.Error("order and next sentence in one view: no error")
	}
}

func TestScores(t *testing.T) {
	x := 2.5
	c := corpus.FromExamples([]corpus.Example{{Text: "ab", Pair: "c", Label: -1, Score: &x}, {Text: "d", Label: -1}}, nil)
	v, err := corpus.NewTaskView(c, letters(t), corpus.ViewOptions{BatchSize: 3, FullBatches: true, Window: -1, Memory: 1})
	if err != nil {
		t.Fatal(err)
	}
	b, err := v.Sequential().Batch(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if s := b.Scores; len(s) != 3 || s[0] != 2.5 || s[1] == s[1] || s[2] == s[2] {
		t.Errorf("scores %v, want 2.5 and no others", s)
	}
	if v, err = corpus.NewTaskView(documents(3), letters(t), corpus.ViewOptions{}); err != nil {
		t.Fatal(err)
	}
	if b, err = v.Batch(0, 0); err != nil || b.Scores != nil {
		t.Errorf("scores %v of a corpus without any, %v", b.Scores, err)
	}
}
