package autodiff_test

import (
	"math"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/student"
)

// A table that is only looked up in has a gradient in the rows of the batches
// alone. Clearing, norm and AdamW, which go by those rows, do what they would do
// over all of it.
func TestSparseGradients(t *testing.T) {
	const b, s, vocab = 24, 16, 500
	m, err := student.New(student.Shape{Layers: 1, Hidden: 12, Heads: 3, FFN: 20, Vocab: vocab, Positions: 16, Act: "gelu", Eps: 1e-5},
		[]student.Head{student.Classification([]string{"a", "b", "c"})}, 3)
	if err != nil {
		t.Fatal(err)
	}
	p := program(t, m, autodiff.Options{})
	feed := func(step int) autodiff.Feed {
		f := mixed(b, s, 4)
		delete(f.Inputs, "rows")
		for i := range f.Inputs["input_ids"] {
			f.Inputs["input_ids"][i] = int64(i*i*(step+1)%40 + 100*step)
		}
		return autodiff.Feed{Inputs: f.Inputs, Ints: map[string][]int32{"labels": f.Ints["labels"]}}
	}
	passes := []*autodiff.Pass{built(t, p, b, s, 0, clean(t, b)), packedPass(t, p, b, s, 0, feed(0), clean(t, b))}
	params := p.Params()
	var value, first, second, wantFirst, wantSecond [][]float32
	for _, x := range params {
		value = append(value, slices.Clone(x.Value))
		for _, list := range []*[][]float32{&first, &second, &wantFirst, &wantSecond} {
			*list = append(*list, make([]float32, len(x.Value)))
		}
	}
	for step := range 4 {
		p.ZeroGrad()
		run(t, passes[step%2], feed(step))
		if step == 3 { // gradients of two batches
			run(t, passes[0], feed(1))
		}
		for i, x := range params {
			if got, want := x.SumSquares(), kernel.SumSquares(x.Grad); math.Abs(got-want) > 1e-12*want || want == 0 {
				t.Errorf("%s: Σ g² is %v, over all of it %v", x.Name, got, want)
			}
			kernel.AdamW(value[i], x.Grad, wantFirst[i], wantSecond[i], 1e-2, 0.9, 0.999, 1e-8, 0.01, 1, step+1)
			x.AdamW(first[i], second[i], 1e-2, 0.9, 0.999, 1e-8, 0.01, 1, step+1)
			if !slices.Equal(x.Value, value[i]) || !slices.Equal(first[i], wantFirst[i]) || !slices.Equal(second[i], wantSecond[i]) {
				t.Fatalf("step %d: %s is not what a dense step gives", step, x.Name)
			}
			if x.Name != "bert.embeddings.word_embeddings.weight" {
				continue
			}
			rows := 0
			for _, used := range autodiff.Touched(x) {
				if used {
					rows++
				}
			}
			if rows == 0 || rows > 80 {
				t.Errorf("step %d: %d of %d rows have a gradient", step, rows, vocab)
			}
		}
	}
	p.ZeroGrad()
	for _, x := range params {
		if slices.ContainsFunc(x.Grad, func(g float32) bool { return g != 0 }) {
			t.Errorf("%s: ZeroGrad left a gradient", x.Name)
		}
	}
}

// A decoder tied to the embedding gives every row a gradient.
func TestTiedTablesAreDense(t *testing.T) {
	p := program(t, tiny(t, "gelu"), autodiff.Options{Rows: tokenHeads})
	run(t, built(t, p, 3, 5, 4, func(q *autodiff.Pass) []*gorgonia.Node { return allHeads(t, 3, 4)(q) }), allFeed(3, 5, 4))
	for _, x := range p.Params() {
		if table := x.Name == "bert.embeddings.word_embeddings.weight"; table && autodiff.Touched(x) != nil {
			t.Errorf("%s is taken for sparse", x.Name)
		} else if table && x.SumSquares() != kernel.SumSquares(x.Grad) {
			t.Errorf("%s: not all of the gradient counts", x.Name)
		}
	}
}
