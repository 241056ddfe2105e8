package autodiff_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// tiny is a student with all heads whose weights are large enough to matter.
func tiny(t *testing.T, act string) *onnx.Model {
	t.Helper()
	m, err := student.New(student.Shape{Layers: 2, Hidden: 12, Heads: 3, FFN: 20, Vocab: 23, Positions: 16, Act: act, Eps: 1e-5},
		[]student.Head{student.Classification([]string{"a", "b", "c"}), student.MaskedLM(), student.POS([]string{"N", "V"}), student.NER([]string{"O", "B-X", "I-X"}), student.SentenceOrder()}, 3)
	if err != nil {
		t.Fatal(err)
	}
	return shaken(m, 0.2)
}

// shaken adds noise to all float weights.
func shaken(m *onnx.Model, size float32) *onnx.Model {
	m = m.Clone()
	g := rand.New(rand.NewPCG(1, 2))
	for i, w := range m.Graph.Initializers {
		if w.Type != onnx.Float || w.Len() < 2 {
			continue
		}
		v, err := w.Floats()
		if err != nil {
			panic(err)
		}
		v = append([]float32(nil), v...)
		for j := range v {
			v[j] += size * float32(g.NormFloat64())
		}
		m.Graph.Initializers[i] = onnx.NewFloats(w.Name, v, w.Dims...)
	}
	return m
}

func program(t *testing.T, m *onnx.Model, opts autodiff.Options) *autodiff.Program {
	t.Helper()
	p, err := autodiff.New(m, opts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// built makes a compiled pass from a function that adds the loss terms.
func built(t *testing.T, p *autodiff.Program, b, s, r int, terms func(q *autodiff.Pass) []*gorgonia.Node) *autodiff.Pass {
	t.Helper()
	q, err := p.NewPass(b, s, r)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Compile(terms(q)); err != nil {
		t.Fatal(err)
	}
	return q
}

// must unwraps a node.
func must(t *testing.T) func(n *gorgonia.Node, err error) *gorgonia.Node {
	return func(n *gorgonia.Node, err error) *gorgonia.Node {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
}

func run(t *testing.T, q *autodiff.Pass, f autodiff.Feed) []float32 {
	t.Helper()
	l, err := q.Run(f)
	if err != nil {
		t.Fatal(err)
	}
	return append([]float32(nil), l...)
}

// weighted is the sum that Compile differentiates.
func weighted(l []float32, w []float32) float64 {
	sum := 0.0
	for i, x := range l {
		if w != nil {
			sum += float64(w[i]) * float64(x)
		} else {
			sum += float64(x)
		}
	}
	return sum
}

// checkGrads compares the gradients of a pass with central differences along
// random directions, one per parameter, and per element for a few of each.
func checkGrads(t *testing.T, p *autodiff.Program, q *autodiff.Pass, f autodiff.Feed, tol float64) {
	t.Helper()
	p.ZeroGrad()
	run(t, q, f)
	grads := map[*autodiff.Param][]float32{}
	for _, x := range p.Params() {
		grads[x] = append([]float32(nil), x.Grad...)
	}
	g := rand.New(rand.NewPCG(9, 9))
	for _, x := range p.Params() {
		for trial := range 3 {
			dir := make([]float64, len(x.Value))
			if trial == 0 {
				for i := range dir {
					dir[i] = g.NormFloat64() / math.Sqrt(float64(len(dir)))
				}
			} else {
				dir[g.IntN(len(dir))] = 1
			}
			var want float64
			for i, d := range dir {
				want += d * float64(grads[x][i])
			}
			got, noise := numeric(t, q, f, x, dir)
			if math.Abs(got-want) > tol*(0.02+math.Abs(want))+noise {
				t.Errorf("%s, direction %d: gradient %.6g, differences %.6g", x.Name, trial, want, got)
			}
		}
	}
}

// numeric is the derivative along dir, by Richardson's extrapolation of two
// central differences, and how much rounding may have moved it.
func numeric(t *testing.T, q *autodiff.Pass, f autodiff.Feed, x *autodiff.Param, dir []float64) (d, noise float64) {
	t.Helper()
	old := append([]float32(nil), x.Value...)
	size := 0.0
	at := func(h float64) float64 {
		for i := range old {
			x.Value[i] = old[i] + float32(h*dir[i])
		}
		l := weighted(run(t, q, f), f.Weights)
		size = max(size, math.Abs(l))
		copy(x.Value, old)
		return l
	}
	const h = 0.01
	d1 := (at(h) - at(-h)) / (2 * h)
	d2 := (at(2*h) - at(-2*h)) / (4 * h)
	return (4*d1 - d2) / 3, 4 * size * 1.2e-7 / h
}

func ids(b, s, vocab int, seed uint64) []int64 {
	g := rand.New(rand.NewPCG(seed, 5))
	out := make([]int64, b*s)
	for i := range out {
		out[i] = int64(g.IntN(vocab))
	}
	return out
}

// masks pads the end of every sequence but the first.
func masks(b, s int) []int64 {
	out := make([]int64, b*s)
	for i := range out {
		if i%s < s-i/s%s || i%s == 0 {
			out[i] = 1
		}
	}
	return out
}

func normals(n int, seed uint64) []float32 {
	g := rand.New(rand.NewPCG(seed, 7))
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(g.NormFloat64())
	}
	return out
}

func texts(b, s, vocab int) map[string][]int64 {
	types := make([]int64, b*s)
	for i := range types {
		types[i] = int64(i % s * 2 / s)
	}
	return map[string][]int64{"input_ids": ids(b, s, vocab, 1), "attention_mask": masks(b, s), "token_type_ids": types}
}
