package autodiff_test

import (
	"fmt"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/student"
)

// Layers that are computed again give the same bits, padded, packed, with
// dropout, with losses inside, and pass after pass.
func TestRecomputeSameBits(t *testing.T) {
	const b, s, r = 24, 16, 40
	m, err := student.New(student.Shape{Layers: 4, Hidden: 12, Heads: 3, FFN: 20, Vocab: 23, Positions: 16, Act: "gelu", Eps: 1e-5},
		[]student.Head{student.Classification([]string{"a", "b", "c"}), student.MaskedLM(), student.POS([]string{"N", "V"}), student.NER([]string{"O", "B-X", "I-X"}), student.SentenceOrder()}, 3)
	if err != nil {
		t.Fatal(err)
	}
	m = shaken(m, 0.2)
	enc, err := fuse.Detect(m)
	if err != nil {
		t.Fatal(err)
	}
	inner := []string{enc.Layers[0].Hidden, enc.Layers[2].Hidden}
	f := mixed(b, s, r)
	f.Floats["hidden"] = normals(b*s*12, 3)
	withHidden := func(q *autodiff.Pass) []*gorgonia.Node {
		ok := must(t)
		terms := heads(t, b, r)(q)
		for i, name := range inner {
			terms[i] = ok(autodiff.MSE(ok(q.Output(name)), q.Floats("hidden", b, s, 12), nil))
		}
		// One loss through operators of Gorgonia.
		terms[2] = ok(gorgonia.Mean(ok(gorgonia.Square(ok(q.Output(inner[0]))))))
		return terms
	}
	for _, c := range []struct {
		name   string
		terms  func(q *autodiff.Pass) []*gorgonia.Node
		packed bool
	}{{"padded", heads(t, b, r), false}, {"packed", heads(t, b, r), true}, {"losses inside", withHidden, false}} {
		t.Run(c.name, func(t *testing.T) {
			var losses []float32
			var want [][]float32
			var need int
			for _, again := range []bool{false, true} {
				p := program(t, m, autodiff.Options{Rows: tokenHeads, Outputs: inner, Dropout: 0.1, Recompute: again})
				var q *autodiff.Pass
				if c.packed {
					q = packedPass(t, p, b, s, r, f, c.terms)
				} else {
					q = built(t, p, b, s, r, c.terms)
				}
				if !again {
					losses, want, need = run(t, q, f), grads(p), autodiff.Need(q)
					continue
				}
				small := built(t, p, 2, 3, 0, clean(t, 2))
				for range 2 {
					p.ZeroGrad()
					if got := run(t, q, f); !slices.Equal(got, losses) {
						t.Errorf("losses %v, want %v", got, losses)
					}
					for i, g := range grads(p) {
						if !slices.Equal(g, want[i]) {
							t.Errorf("the gradient of %s differs", p.Params()[i].Name)
						}
					}
					run(t, small, autodiff.Feed{Inputs: texts(2, 3, 23), Ints: map[string][]int32{"labels": {1, 2}}})
				}
				if got := autodiff.Need(q); got >= need*9/10 {
					t.Errorf("%d floats, and %d without computing again", got, need)
				}
			}
		})
	}
}

// Of a layer that is computed again its input alone is kept, and one layer at
// a time is there in full.
func TestRecomputeMemory(t *testing.T) {
	const b, s, vocab, hidden, heads, ffn = 2, 64, 50, 16, 2, 64
	need := map[bool][]int{}
	for _, again := range []bool{false, true} {
		for _, layers := range []int{4, 8} {
			m, err := student.New(student.Shape{Layers: layers, Hidden: hidden, Heads: heads, FFN: ffn, Vocab: vocab, Positions: s, Act: "gelu", Eps: 1e-12},
				[]student.Head{student.Classification([]string{"a", "b"})}, 1)
			if err != nil {
				t.Fatal(err)
			}
			p := program(t, m, autodiff.Options{Recompute: again})
			need[again] = append(need[again], autodiff.Need(built(t, p, b, s, 0, clean(t, b))))
		}
	}
	for again, n := range need {
		each := float64(n[1]-n[0]) / 4 / (b * s)
		t.Logf("again %v: %.1f floats for each token and layer", again, each)
		if most := float64(hidden + 2); again && each > most {
			t.Errorf("%.1f floats for each token and layer, want at most %v", each, most)
		}
	}
}

func TestEstimate(t *testing.T) {
	m := tiny(t, "gelu")
	for _, again := range []bool{false, true} {
		for _, c := range [][3]int{{1, 16, 1}, {8, 8, 16}, {24, 16, 40}, {64, 16, 200}, {5, 7, 100}} {
			b, s, r := c[0], c[1], c[2]
			t.Run(fmt.Sprint(c, again), func(t *testing.T) {
				p := program(t, m, autodiff.Options{Rows: tokenHeads, Dropout: 0.1, Recompute: again})
				got, err := p.Estimate(b, s, r)
				if err != nil {
					t.Fatal(err)
				}
				q := built(t, p, b, s, r, allHeads(t, b, r))
				run(t, q, allFeed(b, s, r))
				used := autodiff.Arena(p)
				if q.Memory() != used {
					t.Errorf("Memory is %d, the arena has %d bytes", q.Memory(), used)
				}
				if ratio := float64(got) / float64(used); ratio < 0.9 || ratio > 1.1 {
					t.Errorf("estimate %d, used %d bytes: %.2f", got, used, ratio)
				}
			})
		}
	}
	p := program(t, m, autodiff.Options{Rows: tokenHeads})
	if without, err := p.Estimate(8, 8, 0); err != nil || without <= 0 {
		t.Errorf("without rows: %d, %v", without, err)
	}
	if _, err := p.Estimate(8, 17, 0); err == nil {
		t.Error("17 tokens for 16 positions were accepted")
	}
	if _, err := p.Estimate(0, 8, 0); err == nil {
		t.Error("a batch of nothing was accepted")
	}
}
