package prune_test

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/modeltest"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/prune"
	"github.com/litekit/lite/student"
)

func values(t *testing.T, m *onnx.Model, name string) []float32 {
	t.Helper()
	v, err := m.Graph.Initializer(name).Floats()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func zeros(v []float32) (n int) {
	for _, x := range v {
		if x == 0 {
			n++
		}
	}
	return n
}

func linears(m *onnx.Model) (names []string) {
	for _, w := range m.Graph.Initializers {
		if strings.Contains(w.Name, "encoder.layer") && len(w.Dims) == 2 {
			names = append(names, w.Name)
		}
	}
	return names
}

func TestExactNumberOfWeights(t *testing.T) {
	m := modeltest.New(t, tiny, 1, student.MaskedLM())
	before := m.Hash()
	for _, s := range []float64{0.1, 0.333, 0.5, 0.9, 0.999} {
		local, r := apply(t, prune.Config{Unit: prune.Weights, Sparsity: s}, m)
		total, all := 0, 0
		for _, name := range linears(m) {
			v := values(t, m, name)
			want := int(math.Round(s * float64(len(v))))
			if got := zeros(values(t, local, name)); got != want {
				t.Errorf("%v: %s has %d zeros, want %d", s, name, got, want)
			}
			all += len(v)
		}
		global, rg := apply(t, prune.Config{Unit: prune.Weights, Sparsity: s, Scope: prune.Global}, m)
		for _, name := range linears(m) {
			total += zeros(values(t, global, name))
		}
		if want := int(math.Round(s * float64(all))); total != want {
			t.Errorf("%v global: %d zeros, want %d", s, total, want)
		}
		if math.Abs(r.Sparsity-s) > 1e-3 || rg.Sparsity != float64(total)/float64(all) || len(r.Tensors) != len(linears(m)) {
			t.Errorf("%v: reports say %v and %v", s, r.Sparsity, rg.Sparsity)
		}
		if zeros(values(t, local, "bert.embeddings.word_embeddings.weight")) != 0 {
			t.Error("the embeddings were pruned")
		}
	}
	if m.Hash() != before {
		t.Error("the model that was given has changed")
	}
	out, _ := apply(t, prune.Config{Unit: prune.Weights, Sparsity: 0.5, Embeddings: true}, m)
	if got := zeros(values(t, out, "bert.embeddings.word_embeddings.weight")); got != 60*24/2 {
		t.Errorf("%d zeros in the embeddings", got)
	}
	if err := modeltest.Near(modeltest.Run(t, out, modeltest.Inputs(60, 2, 7, 4))["logits"].F32, modeltest.RunORT(t, out, modeltest.Inputs(60, 2, 7, 4))["logits"], 1e-4); err != nil {
		t.Error(err)
	}
}

// TestGlobalChoiceIsTheLowest compares the linear-time choice with sorting.
func TestGlobalChoiceIsTheLowest(t *testing.T) {
	m := modeltest.New(t, tiny, 4)
	r := rand.New(rand.NewPCG(1, 1))
	scores := map[string][]float32{}
	type item struct {
		name string
		i    int
		s    float32
	}
	var all []item
	for _, name := range linears(m) {
		s := make([]float32, len(values(t, m, name)))
		for i := range s {
			s[i] = float32(r.IntN(40)-20) / 8 // many ties, some negative
			all = append(all, item{name, i, s[i]})
		}
		scores[name] = s
	}
	out, _ := apply(t, prune.Config{Unit: prune.Weights, Sparsity: 0.37, Scope: prune.Global,
		Criterion: prune.Given{Scores: prune.Scores{Weights: scores}}}, m)
	slices.SortStableFunc(all, func(a, b item) int { return cmp.Compare(a.s, b.s) })
	k := int(math.Round(0.37 * float64(len(all))))
	for i, it := range all {
		if gone := values(t, out, it.name)[it.i] == 0; gone != (i < k) {
			t.Fatalf("element %d of %s, %d-th lowest of %d to go: gone is %v", it.i, it.name, i, k, gone)
		}
	}
}

func TestPatterns(t *testing.T) {
	s := tiny
	s.FFN = 42 // not a multiple of 4: the last two inputs of the second matrix stay
	m := modeltest.New(t, s, 1)
	export := map[string]*onnx.Model{"student": m}
	for _, p := range []prune.Pattern{{N: 2, M: 4}, {N: 4, M: 8}, {N: 1, M: 3}} {
		for _, m := range export {
			out, _ := apply(t, prune.Config{Unit: prune.Weights, Pattern: p}, m)
			for _, name := range linears(m) {
				w, old, dims := values(t, out, name), values(t, m, name), m.Graph.Initializer(name).Dims
				in, cols := int(dims[0]), int(dims[1])
				for o := range cols {
					for g := 0; g < in; g += p.M {
						checkGroup(t, name, w, old, g, min(g+p.M, in), o, cols, p)
					}
				}
			}
		}
	}
}

func checkGroup(t *testing.T, name string, w, old []float32, lo, hi, o, cols int, p prune.Pattern) {
	t.Helper()
	n, largest, smallest := 0, 0.0, math.Inf(1)
	for i := lo; i < hi; i++ {
		x := math.Abs(float64(old[i*cols+o]))
		if w[i*cols+o] == 0 {
			n++
			largest = max(largest, x)
		} else {
			smallest = min(smallest, x)
		}
	}
	want := p.N
	if hi-lo < p.M {
		want = 0
	}
	if n != want || largest > smallest {
		t.Fatalf("%s: %d zeros in inputs %d–%d of output %d (want %d); %v went, %v stayed", name, n, lo, hi, o, want, largest, smallest)
	}
}

func TestMasks(t *testing.T) {
	m := modeltest.New(t, tiny, 1, student.MaskedLM())
	masks, err := prune.Masks(m)
	if err != nil || len(masks) != 0 {
		t.Fatalf("a dense model has masks: %v, %v", masks, err)
	}
	out, _ := apply(t, prune.Config{Unit: prune.Weights, Sparsity: 0.6}, m)
	if masks, err = prune.Masks(out); err != nil || len(masks) != len(linears(m)) {
		t.Fatalf("%d masks, %v", len(masks), err)
	}
	for name, mask := range masks {
		w := values(t, out, name)
		trained := make([]float32, len(w))
		for i := range trained {
			trained[i] = 1
		}
		if err := prune.ApplyMask(trained, mask); err != nil {
			t.Fatal(err)
		}
		for i := range w {
			if (trained[i] == 0) != (w[i] == 0) || mask.Pruned(i) != (w[i] == 0) {
				t.Fatalf("%s: element %d", name, i)
			}
		}
		if mask.Count() != zeros(w) {
			t.Errorf("%s: %d pruned, %d zeros", name, mask.Count(), zeros(w))
		}
		if err := prune.ApplyMask(trained[1:], mask); err == nil {
			t.Error("a mask of another size was applied")
		}
	}
	// Pruning further keeps the zeros there are.
	more, _ := apply(t, prune.Config{Unit: prune.Weights, Sparsity: 0.8}, out)
	for name, mask := range masks {
		for i, x := range values(t, more, name) {
			if mask.Pruned(i) && x != 0 {
				t.Fatalf("%s: element %d came back", name, i)
			}
		}
	}
}

func TestCubicSparsity(t *testing.T) {
	for _, c := range []struct {
		step int
		want float64
	}{{0, 0.1}, {100, 0.1}, {150, 0.9 - 0.8/8}, {200, 0.9}, {500, 0.9}} {
		if got := prune.CubicSparsity(0.1, 0.9, c.step, 100, 200); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("step %d: %v, want %v", c.step, got, c.want)
		}
	}
	if got := prune.CubicSparsity(0, 0.5, 3, 3, 3); got != 0.5 {
		t.Errorf("no steps: %v", got)
	}
}

func batches(vocab int) []*corpus.Batch {
	var out []*corpus.Batch
	for _, s := range []int{6, 11} {
		in := modeltest.Inputs(vocab, 3, s, s/2)
		out = append(out, &corpus.Batch{B: 3, S: s, IDs: in["input_ids"].I64, Mask: in["attention_mask"].I64, Types: in["token_type_ids"].I64})
	}
	return out
}

// TestActivationScores: silent units score zero, and nothing else does.
func TestActivationScores(t *testing.T) {
	m := silence(t, modeltest.New(t, tiny, 1, student.MaskedLM()), 0, 1, 8, []int{4, 30})
	for _, data := range [][]*corpus.Batch{batches(60)} {
		s, err := prune.Activation{Data: data}.Score(context.Background(), m, prune.HeadsAndNeurons)
		if err != nil {
			t.Fatal(err)
		}
		for l := range s.Heads {
			for h, x := range s.Heads[l] {
				if silent := l == 0 && h == 1; (x == 0) != silent || x < 0 {
					t.Errorf("head %d of layer %d scores %v", h, l, x)
				}
			}
			for n, x := range s.Neurons[l] {
				if silent := l == 0 && (n == 4 || n == 30); (x == 0) != silent || x < 0 {
					t.Errorf("neuron %d of layer %d scores %v", n, l, x)
				}
			}
		}
		out, _ := apply(t, prune.Config{Unit: prune.Heads, Scope: prune.Global, Sparsity: 1. / 6, Criterion: prune.Activation{Data: data}}, m)
		in := modeltest.Inputs(60, 3, 9, 5)
		if err := modeltest.Near(modeltest.Run(t, out, in)["logits"].F32, modeltest.Run(t, m, in)["logits"].F32, 1e-6); err != nil {
			t.Error(err)
		}
	}
}

// TestCompensation: with everything but what is constant scored high, a unit of
// constant activation is replaced by a bias without loss.
func TestCompensation(t *testing.T) {
	s := tiny
	s.Act = "relu"
	m := modeltest.New(t, s, 1, student.MaskedLM()).Clone()
	// Neurons 3 and 5 of layer 1 read nothing and have biases: their activations
	// are constant, and small, so that the criterion finds them.
	w := slices.Clone(values(t, m, "bert.encoder.layer.1.intermediate.dense.weight"))
	down := slices.Clone(values(t, m, "bert.encoder.layer.1.output.dense.weight"))
	bias := make([]float32, 40)
	for n := range bias {
		bias[n] = 5
	}
	for i := range 24 {
		w[i*40+3], w[i*40+5] = 0, 0
		down[3*24+i], down[5*24+i] = down[3*24+i]*3, down[5*24+i]*3
	}
	bias[3], bias[5] = 0.5, 0.4
	m.Graph.SetInitializer(onnx.NewFloats("bert.encoder.layer.1.intermediate.dense.weight", w, 24, 40))
	m.Graph.SetInitializer(onnx.NewFloats("bert.encoder.layer.1.intermediate.dense.bias", bias, 40))
	m.Graph.SetInitializer(onnx.NewFloats("bert.encoder.layer.1.output.dense.weight", down, 40, 24))
	m.Graph.SetInitializer(onnx.NewFloats("bert.encoder.layer.0.intermediate.dense.bias", slices.Repeat([]float32{50}, 40), 40))
	in := modeltest.Inputs(60, 3, 9, 5)
	want := modeltest.Run(t, m, in)["logits"].F32
	for _, c := range []prune.Compensation{prune.NoCompensation, prune.MeanCompensation, prune.LinearCompensation} {
		out, r := apply(t, prune.Config{Unit: prune.Neurons, Scope: prune.Global, Sparsity: 2. / 80,
			Criterion: prune.Activation{Data: batches(60)}, Compensation: c}, m)
		if !slices.Equal(r.Layers[1].RemovedNeurons, []int{3, 5}) {
			t.Fatalf("removed %v", r.Layers[1].RemovedNeurons)
		}
		if err := modeltest.Near(modeltest.Run(t, out, in)["logits"].F32, want, 1e-5); (err == nil) != (c != prune.NoCompensation) {
			t.Errorf("compensation %q: %v", c, err)
		}
	}
}

// TestLinearCompensation: a neuron that is a multiple of another is taken over
// by it, a head that repeats another by that one.
func TestLinearCompensation(t *testing.T) {
	m := modeltest.New(t, tiny, 1, student.MaskedLM()).Clone()
	double := func(name string, from, to, n int) {
		w := m.Graph.Initializer(name)
		v, cols := slices.Clone(values(t, m, name)), int(w.Dims[len(w.Dims)-1])
		for i := range len(v) / cols {
			for j := range n {
				v[i*cols+to+j] = v[i*cols+from+j]
			}
		}
		m.Graph.SetInitializer(onnx.NewFloats(name, v, w.Dims...))
	}
	// Large weights, so that what goes can be missed.
	for _, name := range linears(m) {
		v := slices.Clone(values(t, m, name))
		for i := range v {
			v[i] *= 10
		}
		m.Graph.SetInitializer(onnx.NewFloats(name, v, m.Graph.Initializer(name).Dims...))
	}
	p := "bert.encoder.layer.0."
	double(p+"intermediate.dense.weight", 0, 1, 1)
	for _, x := range []string{"query", "key", "value"} {
		double(p+"attention.self."+x+".weight", 0, 8, 8)
	}
	in := modeltest.Inputs(60, 3, 9, 5)
	want := modeltest.Run(t, m, in)["logits"].F32
	for _, unit := range []prune.Unit{prune.Heads, prune.Neurons} {
		var loss [3]float64
		for i, c := range []prune.Compensation{prune.NoCompensation, prune.MeanCompensation, prune.LinearCompensation} {
			s := given([][2]int{{3, 40}, {3, 40}}, map[int][]int{0: {1}}, map[int][]int{0: {1}})
			sparsity := 1. / 6
			if unit == prune.Neurons {
				sparsity = 1. / 80
			}
			out, _ := apply(t, prune.Config{Unit: unit, Scope: prune.Global, Sparsity: sparsity, Compensation: c,
				Criterion: chosen{prune.Activation{Data: batches(60)}, s.Scores}}, m)
			for j, x := range modeltest.Run(t, out, in)["logits"].F32 {
				loss[i] += math.Pow(float64(x-want[j]), 2)
			}
		}
		if !(loss[2] < 0.25*min(loss[0], loss[1])) {
			t.Errorf("%s: squared errors of no, mean and linear compensation %v", unit, loss)
		}
	}
}

// chosen is the activation criterion with other scores.
type chosen struct {
	prune.Activation
	scores prune.Scores
}

func (c chosen) Score(context.Context, *onnx.Model, prune.Unit) (prune.Scores, error) {
	return c.scores, nil
}

func TestWandaWithEqualNormsIsMagnitudePerOutput(t *testing.T) {
	// With the same norm for every input the scores are |w| times a constant:
	// scores given so must choose what magnitude chooses.
	m := modeltest.New(t, tiny, 1)
	scores := map[string][]float32{}
	for _, name := range linears(m) {
		for _, x := range values(t, m, name) {
			scores[name] = append(scores[name], float32(math.Abs(float64(x)))*4)
		}
	}
	a, _ := apply(t, prune.Config{Unit: prune.Weights, Sparsity: 0.5, Scope: prune.PerOutput}, m)
	b, _ := apply(t, prune.Config{Unit: prune.Weights, Sparsity: 0.5, Scope: prune.PerOutput, Criterion: prune.Given{Scores: prune.Scores{Weights: scores}}}, m)
	if a.Hash() != b.Hash() {
		t.Error("another choice")
	}
	for _, name := range linears(m) {
		w, dims := values(t, a, name), m.Graph.Initializer(name).Dims
		for o := range int(dims[1]) {
			n := 0
			for i := range int(dims[0]) {
				if w[i*int(dims[1])+o] == 0 {
					n++
				}
			}
			if n != int(dims[0])/2 {
				t.Fatalf("%s: output %d has %d zeros of %d", name, o, n, dims[0])
			}
		}
	}
}

func TestMaskGradients(t *testing.T) {
	m := modeltest.New(t, tiny, 1)
	var params []prune.Gradient
	r := rand.New(rand.NewPCG(2, 2))
	for _, name := range linears(m) {
		g := make([]float32, len(values(t, m, name)))
		for i := range g {
			g[i] = r.Float32() - 0.5
		}
		params = append(params, prune.Gradient{Name: name, Value: values(t, m, name), Grad: g})
	}
	s, err := prune.MaskGradients(m, params)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range params {
		switch p.Name {
		case "bert.encoder.layer.1.attention.output.dense.weight":
			sum := 0.0
			for i := 8 * 24; i < 16*24; i++ {
				sum += float64(p.Value[i]) * float64(p.Grad[i])
			}
			if got := s.Heads[1][1]; math.Abs(float64(got)-sum) > 1e-6 {
				t.Errorf("head 1: %v, want %v", got, sum)
			}
		case "bert.encoder.layer.0.output.dense.weight":
			sum := 0.0
			for i := 5 * 24; i < 6*24; i++ {
				sum += float64(p.Value[i]) * float64(p.Grad[i])
			}
			if got := s.Neurons[0][5]; math.Abs(float64(got)-sum) > 1e-6 {
				t.Errorf("neuron 5: %v, want %v", got, sum)
			}
		}
	}
	if _, err := prune.MaskGradients(m, params[1:4]); err == nil {
		t.Error("missing gradients were not missed")
	}

	var imp prune.Importance
	for _, v := range []float32{3, -1} {
		if err := imp.Add(prune.Scores{Heads: [][]float32{{v, 0}}, Neurons: [][]float32{{2 * v}}}); err != nil {
			t.Fatal(err)
		}
	}
	if a, f := imp.Taylor(), imp.Fisher(); a.Heads[0][0] != 2 || f.Heads[0][0] != 5 || a.Neurons[0][0] != 4 || f.Neurons[0][0] != 20 {
		t.Errorf("Taylor %v, Fisher %v", a, f)
	}
	if err := imp.Add(prune.Scores{Heads: [][]float32{{1}}}); err == nil {
		t.Error("gradients of another model were added")
	}
}
