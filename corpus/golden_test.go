package corpus_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/litekit/lite/corpus"
)

// goldenViews are options whose batches must never change: checkpoints and
// published results stand on them.
var goldenViews = []struct {
	name    string
	denoise bool
	opts    corpus.ViewOptions
	// hashes of three epochs: shuffled, and in order
	want, sequential string
}{
	{"task", false, corpus.ViewOptions{BatchSize: 8, Seed: 1}, "d94b4a71e0cdfef5", "1ce2e30c9fc72cb2"},
	{"task full", false, corpus.ViewOptions{BatchSize: 7, Seed: 2, FullBatches: true, MaxLength: 24, Window: 2}, "bc7e801e90a34ab3", "e1f035d1c40582f8"},
	{"tags", false, corpus.ViewOptions{BatchSize: 8, Seed: 1, TokenLabels: true, MaxLength: 20}, "c84722c49f8e22c5", "6aaca79c21c12042"},
	{"masked", true, corpus.ViewOptions{BatchSize: 8, Seed: 3, MaxLength: 32}, "09f95ed353a93cde", "102042398a6f37d0"},
	{"masked words", true, corpus.ViewOptions{BatchSize: 8, Seed: 3, RowsAll: true, Mask: corpus.MaskOptions{Unit: corpus.MaskWord, Rate: 0.3}}, "44690866f437a002", "79bad1e36782599f"},
	{"order", true, corpus.ViewOptions{BatchSize: 8, Seed: 4, MaxLength: 40, SentencePairs: true, FullBatches: true}, "a0df6d266a930597", "732f5b2d9bd4f323"},
}

// goldenCorpus has documents, pairs and annotated text.
func goldenCorpus() corpus.Corpus {
	var examples []corpus.Example
	c := documents(700)
	for i := range c.Len() {
		e, _ := c.At(i)
		switch {
		case i%5 == 0:
			e.Pair = "ab cd. ef"
		case i%7 == 0:
			e.Words = []corpus.Word{{Span: corpus.Span{Start: 0, End: 1}, POS: "NOUN", Entity: "B-PER"}}
		}
		examples = append(examples, e)
	}
	return corpus.FromExamples(examples, c.Labels())
}

func hashBatches(t *testing.T, v *corpus.View) string {
	t.Helper()
	h := sha256.New()
	for epoch := range 3 {
		for i := range v.Batches(epoch) {
			b, err := v.Batch(epoch, i)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(h, b.B, b.S, b.R, b.Index, b.IDs, b.Mask, b.Types, b.Labels, b.Rows, b.MLM, b.POS, b.NER, b.Order)
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

func TestGoldenBatches(t *testing.T) {
	c, tok := goldenCorpus(), letters(t)
	for _, g := range goldenViews {
		for _, memory := range []int64{0, 1, 1 << 14} { // in memory, in files from the start, and from somewhere on
			g.opts.Memory = memory
			v, err := newView(c, tok, g.opts, g.denoise)
			if err != nil {
				t.Fatal(err)
			}
			if got := hashBatches(t, v); got != g.want {
				t.Errorf("%s, %d bytes held: the batches are %q, want %q", g.name, memory, got, g.want)
			}
			if got := hashBatches(t, v.Sequential()); got != g.sequential {
				t.Errorf("%s, %d bytes held: the batches in order are %q, want %q", g.name, memory, got, g.sequential)
			}
		}
	}
}
