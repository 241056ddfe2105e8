package autodiff_test

import (
	"math"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/internal/fuse"
)

// insides are the values inside tiny's last layer, and a teacher's of 18 values.
type insides struct {
	query, key, value, hidden string
}

func insideOf(t *testing.T) (p *autodiff.Program, in insides) {
	t.Helper()
	m := tiny(t, "gelu")
	e, err := fuse.Detect(m)
	if err != nil {
		t.Fatal(err)
	}
	l := e.Layers[1]
	in = insides{query: l.Query.Y, key: l.Key.Y, value: l.Value.Y, hidden: l.Hidden}
	return program(t, m, autodiff.Options{Rows: tokenHeads, Outputs: []string{in.query, in.key, in.value, in.hidden, e.Layers[0].Hidden}}), in
}

// losses builds all that compare values inside, for a teacher of twice the width.
func (in insides) losses(t *testing.T, b, s int) func(q *autodiff.Pass) []*gorgonia.Node {
	ok := must(t)
	return func(q *autodiff.Pass) []*gorgonia.Node {
		mask := q.Floats("mask", b, s, 1)
		fed := func(name string, n int) *gorgonia.Node { return q.Floats(name, b, s, n) }
		query, key, value := ok(q.Tokens(in.query)), ok(q.Tokens(in.key)), ok(q.Tokens(in.value))
		hidden := ok(q.Tokens(in.hidden))
		attention := ok(autodiff.RelationKL(query, key, fed("tq", 24), fed("tk", 24), mask, 3))
		return []*gorgonia.Node{
			attention,
			ok(autodiff.ScoreMSE(query, key, fed("tq", 24), fed("tk", 24), mask, 3)),
			ok(autodiff.RelationKL(value, nil, fed("tk", 24), nil, mask, 4)),
			ok(autodiff.Sum(0.5, ok(autodiff.MSE(hidden, fed("th", 12), mask)), ok(autodiff.Cosine(hidden, fed("th", 12), mask)))),
			ok(autodiff.Sum(2, attention)),
		}
	}
}

// insideFeed is a batch with padding and a teacher's values.
func insideFeed(b, s int) autodiff.Feed {
	f := autodiff.Feed{Inputs: texts(b, s, 23), Floats: map[string][]float32{
		"tq": normals(b*s*24, 1), "tk": normals(b*s*24, 2), "th": normals(b*s*12, 3), "mask": make([]float32, b*s)}}
	mask := f.Inputs["attention_mask"]
	for i := range mask {
		mask[i] = 0
		if i%s == 0 || i%s < s-(i/s*5)%s {
			mask[i] = 1
		}
		f.Floats["mask"][i] = float32(mask[i])
	}
	return f
}

// The gradients of losses on values inside are those of differences.
func TestGradientsOfLossesInside(t *testing.T) {
	const b, s = 3, 5
	p, in := insideOf(t)
	q := built(t, p, b, s, 0, in.losses(t, b, s))
	f := insideFeed(b, s)
	for term := range 5 {
		f.Weights = make([]float32, 5)
		f.Weights[term] = 1
		checkGrads(t, p, q, f, 0.02)
	}
	l := run(t, q, f)
	if math.Abs(float64(l[4]-2*l[0])) > 1e-5 {
		t.Errorf("twice %v is %v", l[0], l[4])
	}
}

// In a packed pass they have the values and gradients of the padded one, and what a
// teacher says of padding means nothing.
func TestLossesInsidePackedPasses(t *testing.T) {
	const b, s = 24, 16
	f := insideFeed(b, s)
	padded, in := insideOf(t)
	packed, _ := insideOf(t)
	want := run(t, built(t, padded, b, s, 0, in.losses(t, b, s)), f)
	for i, m := range f.Floats["mask"] {
		if m == 0 {
			for name, n := range map[string]int{"tq": 24, "tk": 24, "th": 12} {
				f.Floats[name][i*n] = 1e6
			}
		}
	}
	n := packed.Tokens(b, s, f.Inputs)
	if n == 0 {
		t.Fatal("the batch is not packed")
	}
	q, err := packed.NewPackedPass(b, s, 0, n)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Compile(in.losses(t, b, s)(q)); err != nil {
		t.Fatal(err)
	}
	near(t, "losses", run(t, q, f), want, 1e-5)
	for i, x := range packed.Params() {
		near(t, x.Name, x.Grad, padded.Params()[i].Grad, 2e-5)
	}
}

func TestRelationsThatCannotBe(t *testing.T) {
	const b, s = 2, 3
	p, in := insideOf(t)
	q, err := p.NewPass(b, s, 0)
	if err != nil {
		t.Fatal(err)
	}
	x := must(t)(q.Tokens(in.query))
	teacher, mask := q.Floats("t", b, s, 18), q.Floats("m", b, s, 1)
	for want, err := range map[string]error{
		"must divide":        second(autodiff.RelationKL(x, nil, teacher, nil, mask, 5)),
		"in pairs":           second(autodiff.RelationKL(x, x, teacher, nil, mask, 3)),
		"want 6 tokens":      second(autodiff.ScoreMSE(x, nil, q.Floats("short", b, 18), nil, mask, 3)),
		"a sum of no":        second(autodiff.Sum(1)),
		"want a finite":      second(autodiff.Sum(float32(math.NaN()), x)),
		"scalar node of thi": second(autodiff.Sum(2, x)),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func second(_ *gorgonia.Node, err error) error { return err }
