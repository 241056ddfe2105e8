package prune_test

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/internal/modeltest"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/prune"
	"github.com/litekit/lite/student"
)

// norm is the L2 norm of the elements of w [·,cols] in rows and columns that both hold.
func norm(w []float32, cols int, row, col func(int) bool) float64 {
	sum := 0.0
	for i, x := range w {
		if row(i/cols) && col(i%cols) {
			sum += float64(x) * float64(x)
		}
	}
	return math.Sqrt(sum)
}

func all(int) bool { return true }

// within tells the numbers of the n-th of groups of a size.
func within(n, size int) func(int) bool { return func(i int) bool { return i/size == n } }

func score(t *testing.T, c prune.Criterion, m *onnx.Model, unit prune.Unit) prune.Scores {
	t.Helper()
	s, err := c.Score(context.Background(), m, unit)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func same(t *testing.T, what string, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d scores, want %d", what, len(got), len(want))
	}
	for i := range got {
		if math.Abs(got[i]-want[i]) > 1e-4*math.Abs(want[i]) {
			t.Errorf("%s %d scores %v, want %v", what, i, got[i], want[i])
		}
	}
}

func wide(x []float32) []float64 {
	out := make([]float64, len(x))
	for i := range x {
		out[i] = float64(x[i])
	}
	return out
}

// The norms, from the parameters by their names.
func TestMagnitudeScores(t *testing.T) {
	m := modeltest.New(t, tiny, 5, student.MaskedLM())
	s := score(t, prune.Magnitude{}, m, prune.HeadsAndNeurons)
	for l, p := range []string{"bert.encoder.layer.0.", "bert.encoder.layer.1."} {
		var heads, neurons []float64
		for h := range 3 {
			sum := math.Pow(norm(values(t, m, p+"attention.output.dense.weight"), 24, within(h, 8), all), 2)
			for _, x := range []string{"query", "key", "value"} {
				sum += math.Pow(norm(values(t, m, p+"attention.self."+x+".weight"), 24, all, within(h, 8)), 2)
			}
			heads = append(heads, math.Sqrt(sum))
		}
		for n := range 40 {
			up, down := norm(values(t, m, p+"intermediate.dense.weight"), 40, all, within(n, 1)), norm(values(t, m, p+"output.dense.weight"), 24, within(n, 1), all)
			neurons = append(neurons, math.Hypot(up, down))
		}
		same(t, "head", wide(s.Heads[l]), heads)
		same(t, "neuron", wide(s.Neurons[l]), neurons)
	}
	for name, got := range score(t, prune.Magnitude{}, m, prune.Weights).Weights {
		for i, x := range values(t, m, name) {
			if got[i] != float32(math.Abs(float64(x))) {
				t.Fatalf("%s: element %d of %v scores %v", name, i, x, got[i])
			}
		}
	}
}

// measured are the values of a name for the real tokens of all batches, [tokens,n].
func measured(t *testing.T, m *onnx.Model, data []*corpus.Batch, name string) (rows [][]float32) {
	t.Helper()
	s, err := exec.New(m, exec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range data {
		out, err := s.Run(context.Background(), map[string]*exec.Tensor{"input_ids": exec.Int64s(b.IDs, b.B, b.S),
			"attention_mask": exec.Int64s(b.Mask, b.B, b.S), "token_type_ids": exec.Int64s(b.Types, b.B, b.S)}, name)
		if err != nil {
			t.Fatal(err)
		}
		n := len(out[name].F32) / len(b.Mask)
		for r, on := range b.Mask {
			if on != 0 {
				rows = append(rows, out[name].F32[r*n:(r+1)*n])
			}
		}
	}
	return rows
}

// added is the root mean square, over tokens, of the norm of what inputs
// from … from+size of a layer with weight w [·,cols] add.
func added(rows [][]float32, w []float32, cols, from, size int) float64 {
	sum := 0.0
	for _, x := range rows {
		for o := range cols {
			y := 0.0
			for i := from; i < from+size; i++ {
				y += float64(x[i]) * float64(w[i*cols+o])
			}
			sum += y * y
		}
	}
	return math.Sqrt(sum / float64(len(rows)))
}

// What units add to the residual stream, token by token.
func TestActivationScoresAreWhatUnitsAdd(t *testing.T) {
	m, data := modeltest.New(t, tiny, 5, student.MaskedLM()), batches(60)
	enc, err := fuse.Detect(m)
	if err != nil {
		t.Fatal(err)
	}
	s := score(t, prune.Activation{Data: data}, m, prune.HeadsAndNeurons)
	weights := score(t, prune.Activation{Data: data}, m, prune.Weights).Weights
	for l, layer := range enc.Layers {
		context, inner := measured(t, m, data, layer.Output.X), measured(t, m, data, layer.Down.X)
		var heads, neurons []float64
		for h := range 3 {
			heads = append(heads, added(context, values(t, m, layer.Output.Weight), 24, 8*h, 8))
		}
		for n := range 40 {
			neurons = append(neurons, added(inner, values(t, m, layer.Down.Weight), 24, n, 1))
		}
		same(t, "head", wide(s.Heads[l]), heads)
		same(t, "neuron", wide(s.Neurons[l]), neurons)
		// Wanda: |W_ij|·‖X_i‖, here of the first feed-forward matrix.
		w, x := values(t, m, layer.Up.Weight), measured(t, m, data, layer.Up.X)
		var want []float64
		for i, v := range w {
			sum := 0.0
			for _, row := range x {
				sum += float64(row[i/40]) * float64(row[i/40])
			}
			want = append(want, math.Abs(float64(v))*math.Sqrt(sum))
		}
		same(t, "weight", wide(weights[layer.Up.Weight]), want)
	}
}

func TestRandomScores(t *testing.T) {
	m := modeltest.New(t, tiny, 5)
	a, again, b := score(t, prune.Random{Seed: 1}, m, prune.Heads), score(t, prune.Random{Seed: 1}, m, prune.Heads), score(t, prune.Random{Seed: 2}, m, prune.Heads)
	for l := range a.Heads {
		if !slices.Equal(a.Heads[l], again.Heads[l]) || slices.Equal(a.Heads[l], b.Heads[l]) {
			t.Errorf("layer %d: heads %v, again %v, with another seed %v", l, a.Heads[l], again.Heads[l], b.Heads[l])
		}
	}
	if slices.Equal(a.Heads[0], a.Heads[1]) || slices.Equal(a.Neurons[0], a.Neurons[1]) {
		t.Error("two layers have the same scores")
	}
	w := score(t, prune.Random{Seed: 1}, m, prune.Weights).Weights
	if p := "bert.encoder.layer.0.attention.self."; len(w) == 0 || slices.Equal(w[p+"query.weight"], w[p+"key.weight"]) {
		t.Errorf("%d parameters have scores, or two the same", len(w))
	}
}

// Of a layer whose scores are a hundredth of the other's all heads but one go;
// divided by their norms both layers lose their own lowest.
func TestNormalizedScoresCompeteFairly(t *testing.T) {
	m := modeltest.New(t, tiny, 5)
	g := prune.Given{Scores: prune.Scores{Heads: [][]float32{{3, 1, 2}, {0.02, 0.03, 0.01}}}}
	for normalize, want := range map[bool][2][]int{false: {nil, {0, 2}}, true: {{1}, {2}}} {
		_, r := apply(t, prune.Config{Unit: prune.Heads, Sparsity: 1. / 3, Scope: prune.Global, Normalize: normalize, Criterion: g}, m)
		for l := range want {
			if !slices.Equal(r.Layers[l].RemovedHeads, want[l]) {
				t.Errorf("normalized %v: of layer %d heads %v went, want %v", normalize, l, r.Layers[l].RemovedHeads, want[l])
			}
		}
	}
}

// Zeros of both signs are equal, so that position decides.
func TestZerosOfBothSignsTie(t *testing.T) {
	m := modeltest.New(t, tiny, 5)
	scores := map[string][]float32{}
	for _, name := range linears(m) {
		for i := range values(t, m, name) {
			scores[name] = append(scores[name], float32(math.Copysign(0, float64(1-2*(i%2)))))
		}
	}
	out, _ := apply(t, prune.Config{Unit: prune.Weights, Sparsity: 0.5, Criterion: prune.Given{Scores: prune.Scores{Weights: scores}}}, m)
	for _, name := range linears(m) {
		w := values(t, out, name)
		for i, x := range w {
			if gone := i < len(w)/2; gone != (x == 0) {
				t.Fatalf("%s: element %d of %d is %v", name, i, len(w), x)
			}
		}
	}
}
