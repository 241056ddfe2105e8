package corpus_test

import (
	"reflect"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/litekit/lite/corpus"
)

func TestTokenBudget(t *testing.T) {
	c, tok := documents(700), letters(t)
	for _, o := range []corpus.ViewOptions{
		{BatchTokens: 512, Seed: 3},
		{BatchTokens: 64, MaxLength: 60, Seed: 3, Memory: 1},
		{BatchTokens: 1000, MaxLength: 70, PadMultiple: 16, FullBatches: true, Seed: 1},
	} {
		for _, denoise := range []bool{false, true} {
			v, err := newView(c, tok, o, denoise)
			if err != nil {
				t.Fatal(err)
			}
			plain := o
			plain.BatchTokens = 0
			fixed, err := newView(c, tok, plain, denoise)
			if err != nil {
				t.Fatal(err)
			}
			var orders [][]int
			for epoch := range 3 {
				all := batches(t, v, epoch)
				var order []int
				rows, slots, real := 0, 0, 0
				for _, b := range all {
					if b.B*b.S > o.BatchTokens {
						t.Fatalf("a batch of %d×%d with %d tokens", b.B, b.S, o.BatchTokens)
					}
					if full := o.BatchTokens / b.S; o.FullBatches && b.B != full {
						t.Errorf("%d rows of %d tokens, want %d", b.B, b.S, full)
					}
					slots += b.B * b.S
					for r, i := range b.Index {
						if i >= 0 {
							order, rows = append(order, i), rows+1
							real += count(b.Mask[r*b.S:(r+1)*b.S], 1)
						}
					}
				}
				if rows != v.Len() || real != v.Tokens() {
					t.Errorf("epoch %d: %d of %d sequences, %d of %d tokens", epoch, rows, v.Len(), real, v.Tokens())
				}
				if waste := 1 - float64(real)/float64(slots); !o.FullBatches && waste > 0.15 {
					t.Errorf("%.0f %% of the positions are padding", 100*waste)
				}
				if len(all) > 4*fixed.Batches(0) && o.BatchTokens > 64 {
					t.Errorf("%d batches, %d of fixed size", len(all), fixed.Batches(0))
				}
				orders = append(orders, order)
			}
			if slices.Equal(orders[0], orders[1]) {
				t.Error("two epochs have the same order")
			}
			slices.Sort(orders[0])
			slices.Sort(orders[2])
			if !slices.Equal(orders[0], orders[2]) {
				t.Error("two epochs have other sequences")
			}
			// A batch is the same when it is the first thing that a view is asked for.
			again, err := newView(c, tok, o, denoise)
			if err != nil {
				t.Fatal(err)
			}
			want := batches(t, v, 2)
			k := len(want) / 2
			if got, err := again.Nth(2*len(want) + k); err != nil || !reflect.DeepEqual(got, want[k]) {
				t.Errorf("batch %d of epoch 2 is another one when asked for alone (%v)", k, err)
			}
			last := 0
			for _, b := range batches(t, v.Sequential(), 0) {
				if b.S < last {
					t.Errorf("in order, %d tokens follow %d", b.S, last)
				}
				last = b.S
			}
		}
	}
	if _, err := corpus.NewTaskView(c, tok, corpus.ViewOptions{BatchTokens: 64}); err == nil {
		t.Error("a budget below one sequence: no error")
	}
}

func TestPrefetch(t *testing.T) {
	v, err := corpus.NewDenoiseView(documents(100), letters(t), corpus.ViewOptions{BatchSize: 8, Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	n := v.Batches(0)
	for _, first := range []int{0, n - 2, 3*n + 1} {
		for _, depth := range []int{0, 1, 4} {
			p := v.Prefetch(first, depth)
			for k := first; k < first+n+3; k++ {
				want, err := v.Batch(k/n, k%n)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := p.Next(); err != nil || !reflect.DeepEqual(got, want) {
					t.Fatalf("batch %d from %d on differs (%v)", k, first, err)
				}
			}
			p.Close()
			p.Close()
		}
	}
	if _, err := v.Prefetch(-1, 1).Next(); err == nil {
		t.Error("batch −1: no error")
	}
	unread := v.Prefetch(0, 2)
	unread.Close()
	if _, err := unread.Next(); err == nil {
		for err == nil { // one that was ready may still come
			_, err = unread.Next()
		}
	}
	var none *corpus.Prefetch
	none.Close()
	// On a machine that is busy a goroutine may take long to notice.
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if runtime.NumGoroutine() <= before+1 { // one is never closed above
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}
