package corpus_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/litekit/lite/corpus"
)

// letters is a tokenizer in which every letter is a piece, so that words have as
// many pieces as letters, and a Chinese character is one.
func letters(t testing.TB) *corpus.Tokenizer {
	t.Helper()
	vocab := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "。", "中", "文", "北", "京"}
	for c := 'a'; c <= 'z'; c++ {
		vocab = append(vocab, string(c), "##"+string(c))
	}
	tok, err := corpus.NewWordPiece(vocab, false)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// documents makes n documents of random sentences; document i uses only words
// that begin with its own letter.
func documents(n int) corpus.Corpus {
	r := rand.New(rand.NewPCG(1, 2))
	var examples []corpus.Example
	for i := range n {
		var b strings.Builder
		for range 1 + r.IntN(6) {
			for range 1 + r.IntN(9) {
				b.WriteByte(byte('a' + i%20))
				b.WriteString(strings.Repeat("z", r.IntN(4)))
				b.WriteByte(' ')
			}
			b.WriteString(". ")
		}
		examples = append(examples, corpus.Example{Text: strings.TrimSpace(b.String()), Label: i % 3, Target: "abc"[i%3 : i%3+1]})
	}
	return corpus.FromExamples(examples, []string{"a", "b", "c"})
}

func batches(t testing.TB, v *corpus.View, epoch int) []*corpus.Batch {
	t.Helper()
	var out []*corpus.Batch
	for i := range v.Batches(epoch) {
		b, err := v.Batch(epoch, i)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkBatch(b); err != nil {
			t.Fatalf("epoch %d, batch %d: %v", epoch, i, err)
		}
		out = append(out, b)
	}
	return out
}

// checkBatch checks what every batch must keep.
func checkBatch(b *corpus.Batch) error {
	n := b.B * b.S
	if len(b.IDs) != n || len(b.Mask) != n || len(b.Types) != n || len(b.Index) != b.B || len(b.Labels) != b.B || len(b.Order) != b.B {
		return fmt.Errorf("lengths do not fit B %d, S %d", b.B, b.S)
	}
	if len(b.Rows) != b.R || len(b.MLM) != b.R || len(b.POS) != b.R || len(b.NER) != b.R {
		return fmt.Errorf("lengths do not fit R %d", b.R)
	}
	for i := range n {
		if real := b.IDs[i] != 0; real != (b.Mask[i] == 1) || !real && b.Types[i] != 0 {
			return fmt.Errorf("position %d: id %d, mask %d, type %d", i, b.IDs[i], b.Mask[i], b.Types[i])
		}
	}
	last := int64(-1)
	for i, p := range b.Rows {
		padding := i > 0 && p == b.Rows[0]
		switch {
		case padding && (b.MLM[i] != -1 || b.POS[i] != -1 || b.NER[i] != -1):
			return fmt.Errorf("padding row %d has a target", i)
		case !padding && (p <= last || p >= int64(n) || b.Mask[p] != 1):
			return fmt.Errorf("row %d is position %d after %d", i, p, last)
		case !padding:
			last = p
		}
	}
	return nil
}

func TestViewShapes(t *testing.T) {
	c := documents(45)
	for _, o := range []corpus.ViewOptions{
		{BatchSize: 8},
		{BatchSize: 8, PadMultiple: 1, RowMultiple: 1, MaxLength: 20, Window: -1},
		{BatchSize: 7, PadMultiple: 16, RowMultiple: 64, MaxLength: 30, FullBatches: true, SentencePairs: true},
	} {
		for _, denoise := range []bool{false, true} {
			v, err := newView(c, letters(t), o, denoise)
			if err != nil {
				t.Fatal(err)
			}
			o := v.Options()
			seen := map[int]int{}
			rows, tokens := 0, 0
			all := batches(t, v, 0)
			for _, b := range all {
				if b.S > o.MaxLength || b.S%o.PadMultiple != 0 && b.S != o.MaxLength {
					t.Errorf("S = %d with %+v", b.S, o)
				}
				if b.R%o.RowMultiple != 0 || denoise != (b.R > 0) {
					t.Errorf("R = %d with %+v", b.R, o)
				}
				if o.FullBatches && b.B != o.BatchSize {
					t.Errorf("B = %d with %+v", b.B, o)
				}
				for r, i := range b.Index {
					if i < 0 {
						if b.Labels[r] != -1 || b.Order[r] != -1 || b.IDs[r*b.S] == 0 {
							t.Errorf("padding row %d: label %d, order %d, first id %d", r, b.Labels[r], b.Order[r], b.IDs[r*b.S])
						}
						continue
					}
					seen[i]++
					rows++
					if int(b.Labels[r]) != i%3 {
						t.Errorf("example %d has label %d", i, b.Labels[r])
					}
					for _, m := range b.Mask[r*b.S : (r+1)*b.S] {
						tokens += int(m)
					}
				}
			}
			if len(seen) != c.Len() || rows != v.Len() || tokens != v.Tokens() || !denoise && rows != c.Len() {
				t.Errorf("denoise %v: %d examples, %d of %d sequences, %d of %d tokens", denoise, len(seen), rows, v.Len(), tokens, v.Tokens())
			}
		}
	}
}

func newView(c corpus.Corpus, tok *corpus.Tokenizer, o corpus.ViewOptions, denoise bool) (*corpus.View, error) {
	if denoise {
		return corpus.NewDenoiseView(c, tok, o)
	}
	return corpus.NewTaskView(c, tok, o)
}

// A batch depends on options, seed, epoch and index only: not on what was asked
// before, and not on which goroutine asks.
func TestViewRandomAccess(t *testing.T) {
	c, tok := documents(120), letters(t)
	o := corpus.ViewOptions{BatchSize: 8, MaxLength: 32, SentencePairs: true, Window: 3, Seed: 5, RowMultiple: 4}
	v, err := corpus.NewDenoiseView(c, tok, o)
	if err != nil {
		t.Fatal(err)
	}
	epochs := [][]*corpus.Batch{batches(t, v, 0), batches(t, v, 1), batches(t, v, 2)}
	if reflect.DeepEqual(epochs[0], epochs[1]) {
		t.Error("two epochs are the same")
	}
	again, err := corpus.NewDenoiseView(c, tok, o)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, k := range rand.Perm(3 * len(epochs[0])) {
		wg.Go(func() {
			epoch, i := k%3, k/3
			b, err := again.Batch(epoch, i)
			if err != nil || !reflect.DeepEqual(b, epochs[epoch][i]) {
				t.Errorf("batch %d of epoch %d differs out of order (error %v)", i, epoch, err)
			}
		})
	}
	wg.Wait()
	o.Seed = 6
	other, err := corpus.NewDenoiseView(c, tok, o)
	if err != nil {
		t.Fatal(err)
	}
	if reflect.DeepEqual(batches(t, other, 0), epochs[0]) {
		t.Error("the seed changes nothing")
	}
	for _, p := range [][2]int{{0, -1}, {0, v.Batches(0)}, {-1, 0}} {
		if _, err := v.Batch(p[0], p[1]); err == nil {
			t.Errorf("batch %d of epoch %d: no error", p[1], p[0])
		}
	}
}

func TestSequentialView(t *testing.T) {
	v, err := corpus.NewTaskView(documents(30), letters(t), corpus.ViewOptions{BatchSize: 7, Window: -1})
	if err != nil {
		t.Fatal(err)
	}
	next := 0
	for _, b := range batches(t, v.Sequential(), 0) {
		for _, i := range b.Index {
			if i != next {
				t.Fatalf("example %d, want %d", i, next)
			}
			next++
		}
	}
	if !reflect.DeepEqual(batches(t, v.Sequential(), 0), batches(t, v.Sequential(), 9)) {
		t.Error("epochs of a sequential task view differ")
	}
}

func TestSegmentsStayInTheirDocument(t *testing.T) {
	tok := letters(t)
	c := documents(300)
	v, err := corpus.NewDenoiseView(c, tok, corpus.ViewOptions{MaxLength: 24, SentencePairs: true, Mask: corpus.MaskOptions{Rate: 1e-9, Random: 1e-12}})
	if err != nil {
		t.Fatal(err)
	}
	var order [2]int
	long := 0
	for _, b := range batches(t, v, 0) {
		for r, i := range b.Index {
			e, _ := c.At(i)
			own, _ := tok.ID(e.Text[:1])
			ids := restore(b, r)
			var segments [2][]int64
			for p, id := range ids {
				switch {
				case tok.IsSpecial(id):
				case id >= 11 && id%2 == 1 && id != own: // an initial letter
					t.Fatalf("example %d has the word %q of another document", i, tok.Token(id))
				default:
					segments[b.Types[r*b.S+p]] = append(segments[b.Types[r*b.S+p]], id)
				}
			}
			if b.Order[r] < 0 {
				if len(segments[1]) > 0 {
					t.Fatalf("example %d: two segments without an order", i)
				}
				continue
			}
			order[b.Order[r]]++
			first, second := segments[0], segments[1]
			if b.Order[r] == 1 {
				first, second = second, first
			}
			// In order, they are neighbours in the text, and the first ends a sentence.
			whole := tok.Encode(e.Text).IDs
			if !contains(whole, slices.Concat(first, second)) || first[len(first)-1] != 5 {
				t.Fatalf("example %d, order %d: segments %v and %v are not neighbours", i, b.Order[r], segments[0], segments[1])
			}
			long++
		}
	}
	if share := float64(order[1]) / float64(order[0]+order[1]); long < 100 || share < 0.4 || share > 0.6 {
		t.Errorf("%d pairs, %d in order and %d swapped", long, order[0], order[1])
	}
}

func TestPairsAreCutLongestFirst(t *testing.T) {
	c := corpus.FromExamples([]corpus.Example{{Text: "a b c d e f g h", Pair: "x y", Label: 0}}, []string{"l"})
	for _, denoise := range []bool{false, true} {
		v, err := newView(c, letters(t), corpus.ViewOptions{MaxLength: 8, Mask: corpus.MaskOptions{Rate: 1e-9}}, denoise)
		if err != nil {
			t.Fatal(err)
		}
		b, err := v.Batch(0, 0)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, id := range restore(b, 0) {
			got = append(got, letters(t).Token(id))
		}
		if s := strings.Join(got, " "); s != "[CLS] a b c [SEP] x y [SEP]" || !slices.Equal(b.Types, []int64{0, 0, 0, 0, 0, 1, 1, 1}) {
			t.Errorf("denoise %v: %s, types %v", denoise, s, b.Types)
		}
	}
}

func TestViewErrors(t *testing.T) {
	bare, err := corpus.NewWordPiece([]string{"[UNK]", "a"}, false)
	if err != nil {
		t.Fatal(err)
	}
	noMask, err := corpus.NewWordPiece([]string{"[PAD]", "[UNK]", "a"}, false)
	if err != nil {
		t.Fatal(err)
	}
	unknown := corpus.FromExamples([]corpus.Example{{Text: "a", Label: -1, Words: []corpus.Word{{Span: corpus.Span{End: 1}, POS: "NN"}}}}, nil)
	for name, f := range map[string]func() (*corpus.View, error){
		"no padding": func() (*corpus.View, error) { return corpus.NewTaskView(documents(1), bare, corpus.ViewOptions{}) },
		"no mask":    func() (*corpus.View, error) { return corpus.NewDenoiseView(documents(1), noMask, corpus.ViewOptions{}) },
		"empty": func() (*corpus.View, error) {
			return corpus.NewTaskView(documents(0), letters(t), corpus.ViewOptions{})
		},
		"nil": func() (*corpus.View, error) { return corpus.NewTaskView(nil, nil, corpus.ViewOptions{}) },
		"batch size": func() (*corpus.View, error) {
			return corpus.NewTaskView(documents(1), letters(t), corpus.ViewOptions{BatchSize: -1})
		},
		"length": func() (*corpus.View, error) {
			return corpus.NewTaskView(documents(1), letters(t), corpus.ViewOptions{MaxLength: 4})
		},
		"mask rate": func() (*corpus.View, error) {
			return corpus.NewDenoiseView(documents(1), letters(t), corpus.ViewOptions{Mask: corpus.MaskOptions{Rate: 2}})
		},
		"unknown tag": func() (*corpus.View, error) { return corpus.NewDenoiseView(unknown, letters(t), corpus.ViewOptions{}) },
		"repeated tag": func() (*corpus.View, error) {
			return corpus.NewDenoiseView(documents(1), letters(t), corpus.ViewOptions{POSTags: []string{"A", "A"}})
		},
		"nothing to mask": func() (*corpus.View, error) {
			return corpus.NewDenoiseView(corpus.FromExamples([]corpus.Example{{Text: "!!", Label: -1}}, nil), letters(t), corpus.ViewOptions{})
		},
	} {
		if v, err := f(); err == nil {
			t.Errorf("%s: no error, %d sequences", name, v.Len())
		}
	}
}
