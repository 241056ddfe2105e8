package corpus_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
)

// longTexts makes documents of n words of one to four letters; where chinese,
// of annotated words of two characters.
func longTexts(docs, n int, chinese bool) corpus.Corpus {
	var examples []corpus.Example
	for d := range docs {
		var b strings.Builder
		var words []corpus.Word
		for i := range n {
			start := b.Len()
			if chinese {
				b.WriteString([]string{"中文", "北京"}[(d+i)%2])
				words = append(words, corpus.Word{Span: corpus.Span{Start: start, End: b.Len()}})
				continue
			}
			b.WriteString("abcdefgh"[(d+i)%5 : (d+i)%5+1+(d*7+i*i)%4])
			b.WriteByte(' ')
		}
		examples = append(examples, corpus.Example{Text: b.String(), Label: -1, Words: words})
	}
	return corpus.FromExamples(examples, nil)
}

// maskedUnits are what is counted in the batches of an epoch.
type maskedUnits struct {
	maskable, targets int
	replaced, kept    int
	runs              map[int]int // words in a row → how many
	mixed             int         // spans with more than one fate
	broken            int         // words of which a part is masked
}

func countMasks(t *testing.T, tok *corpus.Tokenizer, v *corpus.View, chinese bool) (u maskedUnits) {
	u.runs = map[int]int{}
	for _, b := range batches(t, v, 0) {
		target := map[int64]int32{}
		for i, p := range b.Rows {
			if b.MLM[i] >= 0 {
				target[p] = b.MLM[i]
				if tok.IsSpecial(int64(b.MLM[i])) {
					t.Fatalf("the special token %d is a target", b.MLM[i])
				}
			}
		}
		for r := range b.B {
			run, fates, pieces, hit := 0, 0, 0, 0
			endWord := func() {
				if hit > 0 && hit < pieces {
					u.broken++
				}
				if hit > 0 {
					run++
				} else if run > 0 {
					u.runs[run]++
					if fates&(fates-1) != 0 {
						u.mixed++
					}
					run, fates = 0, 0
				}
				pieces, hit = 0, 0
			}
			letters := 0
			for s := range b.S {
				p := int64(r*b.S + s)
				id := b.IDs[p]
				orig, isTarget := target[p]
				if isTarget {
					id = int64(orig)
				}
				if b.Mask[p] == 0 || tok.IsSpecial(id) {
					continue
				}
				begins := !strings.HasPrefix(tok.Token(id), "##")
				if chinese {
					begins = letters%2 == 0
				}
				if begins && pieces > 0 {
					endWord()
				}
				letters++
				pieces++
				u.maskable++
				if isTarget {
					hit++
					u.targets++
					switch b.IDs[p] {
					case tok.MaskID():
						u.replaced++
						fates |= 1
					case int64(orig):
						u.kept++
						fates |= 2
					default:
						fates |= 4
					}
				}
			}
			endWord()
			endWord() // a run at the end of the text
		}
	}
	return u
}

func TestMaskUnits(t *testing.T) {
	tok := letters(t)
	for _, c := range []struct {
		name    string
		mask    corpus.MaskOptions
		chinese bool
		mean    float64 // words in a row, where runs are sparse
		most    int
	}{
		{"token", corpus.MaskOptions{}, false, 0, 0},
		{"word", corpus.MaskOptions{Unit: corpus.MaskWord}, false, 0, 0},
		{"chinese words", corpus.MaskOptions{Unit: corpus.MaskWord, Replace: 0.5, Random: 0.25}, true, 0, 0},
		{"ngram", corpus.MaskOptions{Unit: corpus.MaskNGram, Rate: 0.03}, false, 3 / (1 + 1.0/2 + 1.0/3), 3},
		{"long ngram", corpus.MaskOptions{Unit: corpus.MaskNGram, NGram: 5, Rate: 0.03}, true, 5 / (1 + 1.0/2 + 1.0/3 + 1.0/4 + 1.0/5), 5},
		{"span", corpus.MaskOptions{Unit: corpus.MaskSpan, Rate: 0.03}, false, 3.797, 10},
		{"span at 15%", corpus.MaskOptions{Unit: corpus.MaskSpan}, true, 0, 0},
		{"short span", corpus.MaskOptions{Unit: corpus.MaskSpan, SpanP: 0.5, SpanMax: 4, Rate: 0.03}, false, (1 + 2*0.5 + 3*0.25 + 4*0.125) / 1.875, 4},
	} {
		v, err := corpus.NewDenoiseView(longTexts(20, 5000, c.chinese), tok, corpus.ViewOptions{MaxLength: 1 << 14, BatchSize: 4, Mask: c.mask})
		if err != nil {
			t.Fatal(err)
		}
		u, m := countMasks(t, tok, v, c.chinese), v.Options().Mask
		near := func(what string, got, want, within float64) {
			if math.Abs(got-want) > within {
				t.Errorf("%s: %s %.4f, want %.4f", c.name, what, got, want)
			}
		}
		targets := float64(u.targets)
		near("share of targets", targets/float64(u.maskable), m.Rate, 0.02*m.Rate)
		near("share replaced", float64(u.replaced)/targets, m.Replace, 0.04)
		near("share kept", float64(u.kept)/targets, 1-m.Replace-m.Random, 0.04) // a random token may be the same
		if m.Unit != corpus.MaskToken && u.broken > 0 {
			t.Errorf("%s: %d words are masked in part", c.name, u.broken)
		}
		if c.mean == 0 {
			continue
		}
		sum, n, most := 0, 0, 0
		for length, count := range u.runs {
			sum, n, most = sum+length*count, n+count, max(most, length)
		}
		// Units that touch each other count as one, so the mean is a little high.
		near("words in a row", float64(sum)/float64(n), c.mean, 0.07*c.mean)
		if most < c.most {
			t.Errorf("%s: no more than %d words in a row, want up to %d", c.name, most, c.most)
		}
		if m.Unit == corpus.MaskSpan && float64(u.mixed) > 0.08*float64(n) {
			t.Errorf("%s: %d of %d spans have more than one fate", c.name, u.mixed, n)
		}
	}
}

func TestMaskErrors(t *testing.T) {
	for name, m := range map[string]corpus.MaskOptions{
		"unit": {Unit: "sentence"}, "n-gram": {NGram: -1}, "p": {SpanP: 1}, "span": {SpanMax: 1 << 20}, "shares": {Replace: 0.9, Random: 0.2}, "rate": {Rate: -1},
	} {
		if err := m.Check(); err == nil {
			t.Errorf("%s: no error for %+v", name, m)
		}
	}
	if err := (corpus.MaskOptions{}).Check(); err != nil {
		t.Error(err)
	}
}

func TestMaskStatistics(t *testing.T) {
	tok := letters(t)
	mask := tok.MaskID()
	v, err := corpus.NewDenoiseView(documents(4000), tok, corpus.ViewOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var maskable, targets, masked, kept, random float64
	for _, b := range batches(t, v, 0) {
		for i := range b.IDs {
			if b.Mask[i] == 1 && (!tok.IsSpecial(b.IDs[i]) || b.IDs[i] == mask) {
				maskable++
			}
		}
		for i, p := range b.Rows {
			if b.MLM[i] < 0 {
				continue
			}
			targets++
			switch id := b.IDs[p]; {
			case id == mask:
				masked++
			case id == int64(b.MLM[i]):
				kept++
			case tok.IsSpecial(id):
				t.Fatalf("a target is replaced by the special token %d", id)
			default:
				random++
			}
		}
	}
	// A random token is the original one in 1 case of the vocabulary's size.
	for _, c := range []struct {
		what      string
		got, want float64
	}{{"targets", targets / maskable, 0.15}, {"masked", masked / targets, 0.8}, {"kept", kept / targets, 0.1}, {"random", random / targets, 0.1}} {
		if math.Abs(c.got-c.want) > 0.01 {
			t.Errorf("%s: %.4f, want %.2f", c.what, c.got, c.want)
		}
	}
}

func TestMaskAll(t *testing.T) {
	v, err := corpus.NewDenoiseView(documents(50), letters(t), corpus.ViewOptions{Mask: corpus.MaskOptions{Rate: 1, Replace: 1}, RowMultiple: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range batches(t, v, 0) {
		for i, p := range b.Rows {
			if b.IDs[p] != 4 || b.MLM[i] < 5 {
				t.Fatalf("row %d: id %d for %d", i, b.IDs[p], b.MLM[i])
			}
		}
	}
}

func TestWholeWord(t *testing.T) {
	tok := letters(t)
	c := corpus.FromExamples([]corpus.Example{
		{Text: "abc def ghij kl mnopq", Label: -1}, // pre-tokens
		{Text: "中文 北京 中文 北京", Label: -1, Words: []corpus.Word{ // annotated words
			{Span: corpus.Span{Start: 0, End: 6}}, {Span: corpus.Span{Start: 7, End: 13}}, {Span: corpus.Span{Start: 14, End: 20}}, {Span: corpus.Span{Start: 21, End: 27}}}},
	}, nil)
	groups := [][]int{{3, 3, 4, 2, 5}, {2, 2, 2, 2}}
	v, err := corpus.NewDenoiseView(c, tok, corpus.ViewOptions{BatchSize: 1, Mask: corpus.MaskOptions{Unit: corpus.MaskWord, Rate: 0.4}, Window: -1, RowMultiple: 1})
	if err != nil {
		t.Fatal(err)
	}
	chosen := map[string]int{}
	for epoch := range 50 {
		for _, b := range batches(t, v, epoch) {
			at := int64(1) // after [CLS]
			for g, n := range groups[b.Index[0]] {
				hits := 0
				for k := range n {
					if slices.Contains(b.Rows, at+int64(k)) {
						hits++
					}
				}
				if hits != 0 && hits != n {
					t.Fatalf("%d of the %d pieces of word %d of example %d are chosen: %v", hits, n, g, b.Index[0], b.Rows)
				}
				if hits > 0 {
					chosen[fmt.Sprint(b.Index[0], g)]++
				}
				at += int64(n)
			}
		}
	}
	if len(chosen) != 9 {
		t.Errorf("only the words %v are ever chosen", chosen)
	}
}

// restore undoes the masks of row r.
func restore(b *corpus.Batch, r int) []int64 {
	ids := slices.Clone(b.IDs)
	for i, p := range b.Rows {
		if b.MLM[i] >= 0 {
			ids[p] = int64(b.MLM[i])
		}
	}
	ids = ids[r*b.S : (r+1)*b.S]
	return ids[:len(ids)-count(b.Mask[r*b.S:(r+1)*b.S], 0)]
}

func count(s []int64, x int64) (n int) {
	for _, v := range s {
		if v == x {
			n++
		}
	}
	return n
}

func contains(s, part []int64) bool {
	for i := 0; i+len(part) <= len(s); i++ {
		if slices.Equal(s[i:i+len(part)], part) {
			return true
		}
	}
	return false
}
