package prune

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/onnx"
)

// Criterion says how much each unit matters.
type Criterion interface {
	// Name is the criterion's name in reports.
	Name() string
	// Score scores at least the units asked for.
	Score(ctx context.Context, m *onnx.Model, unit Unit) (Scores, error)
}

// Scores are importances; the lowest are pruned first, ties by position. Only
// their order matters within one layer, their size across layers too.
type Scores struct {
	// Heads is [L][A] and Neurons [L][F], per layer of the model.
	Heads, Neurons [][]float32
	// Weights holds, per initializer, one score per element in the order the
	// initializer stores them.
	Weights map[string][]float32
}

// Criteria lists the names that [NewCriterion] knows.
func Criteria() []string { return []string{"magnitude", "random", "activation"} }

// NewCriterion returns the criterion of that name; seed is for random, data for
// activation. Scores that need gradients come as [Given].
func NewCriterion(name string, seed uint64, data []*corpus.Batch) (Criterion, error) {
	switch name {
	case "magnitude":
		return Magnitude{}, nil
	case "random":
		return Random{Seed: seed}, nil
	case "activation":
		return Activation{Data: data}, nil
	}
	return nil, fmt.Errorf("prune: unknown criterion %q; the criteria are %s", name, strings.Join(Criteria(), ", "))
}

// Given hands over scores computed elsewhere, such as Taylor or Fisher scores
// from [Importance].
type Given struct {
	// Label is the name in reports. Empty: given.
	Label  string
	Scores Scores
}

// Name returns the label.
func (g Given) Name() string {
	if g.Label == "" {
		return "given"
	}
	return g.Label
}

// Score returns the scores.
func (g Given) Score(context.Context, *onnx.Model, Unit) (Scores, error) { return g.Scores, nil }

// Magnitude scores a weight by |w|, a head by the L2 norm of its query, key,
// value and output weights, a neuron by that of its incoming and outgoing weights.
type Magnitude struct{}

// Name returns "magnitude".
func (Magnitude) Name() string { return "magnitude" }

// Score computes the norms in float64, in a fixed order.
func (Magnitude) Score(ctx context.Context, m *onnx.Model, unit Unit) (Scores, error) {
	v, err := viewOf(m)
	if err != nil {
		return Scores{}, err
	}
	var s Scores
	if unit == Weights {
		s.Weights, err = v.eachWeight(ctx, func(_ string, w []float32) []float32 {
			out := make([]float32, len(w))
			for i, x := range w {
				out[i] = float32(math.Abs(float64(x)))
			}
			return out
		})
		return s, err
	}
	for _, l := range v.enc.Layers {
		if err := ctx.Err(); err != nil {
			return Scores{}, err
		}
		heads := make([]float64, l.Heads)
		for _, lin := range []fuse.Linear{l.Query, l.Key, l.Value} {
			if err := v.sumOutputs(lin, l.HeadDim, heads); err != nil {
				return Scores{}, err
			}
		}
		if err := v.sumInputs(l.Output, l.HeadDim, heads); err != nil {
			return Scores{}, err
		}
		neurons := make([]float64, l.Up.Out)
		if err := v.sumOutputs(l.Up, 1, neurons); err != nil {
			return Scores{}, err
		}
		if err := v.sumInputs(l.Down, 1, neurons); err != nil {
			return Scores{}, err
		}
		s.Heads = append(s.Heads, roots(heads))
		s.Neurons = append(s.Neurons, roots(neurons))
	}
	return s, nil
}

func roots(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(math.Sqrt(v))
	}
	return y
}

// Random scores everything at random: the control that a criterion must beat.
type Random struct{ Seed uint64 }

// Name returns "random".
func (Random) Name() string { return "random" }

// Score draws from (Seed, purpose, layer or initializer).
func (r Random) Score(ctx context.Context, m *onnx.Model, unit Unit) (Scores, error) {
	v, err := viewOf(m)
	if err != nil {
		return Scores{}, err
	}
	draw := func(purpose string, n int) []float32 {
		h := fnv.New64a()
		h.Write([]byte(purpose))
		rng := rand.New(rand.NewPCG(r.Seed, h.Sum64()))
		out := make([]float32, n)
		for i := range out {
			out[i] = rng.Float32()
		}
		return out
	}
	var s Scores
	if unit == Weights {
		s.Weights, err = v.eachWeight(ctx, func(name string, w []float32) []float32 { return draw("weights "+name, len(w)) })
		return s, err
	}
	for i, l := range v.enc.Layers {
		s.Heads = append(s.Heads, draw(fmt.Sprintf("heads %d", i), l.Heads))
		s.Neurons = append(s.Neurons, draw(fmt.Sprintf("neurons %d", i), l.Up.Out))
	}
	return s, nil
}

// view gives the weights of an encoder.
type view struct {
	m     *onnx.Model
	enc   *fuse.Encoder
	inits map[string]*onnx.Tensor
}

func viewOf(m *onnx.Model) (*view, error) {
	if m == nil || m.Graph == nil {
		return nil, fmt.Errorf("prune: the model has no graph")
	}
	enc, err := fuse.Detect(m)
	if err != nil {
		return nil, fmt.Errorf("prune: no encoder found: %w", err)
	}
	return newView(m, enc), nil
}

func newView(m *onnx.Model, enc *fuse.Encoder) *view {
	return &view{m: m, enc: enc, inits: m.Graph.InitializerMap()}
}

// linears lists the linear layers of the encoder in order.
func (v *view) linears() []fuse.Linear {
	var out []fuse.Linear
	for _, l := range v.enc.Layers {
		out = append(out, l.Query, l.Key, l.Value, l.Output, l.Up, l.Down)
	}
	return out
}

// floats returns an initializer's values.
func (v *view) floats(name string) ([]float32, error) {
	t := v.inits[name]
	if t == nil {
		return nil, fmt.Errorf("prune: weight %q is not an initializer; fold constants into initializers first", name)
	}
	if t.Type != onnx.Float {
		return nil, fmt.Errorf("prune: weight %q is not float32; prune before quantizing or converting", name)
	}
	x, err := t.Floats()
	if err != nil {
		return nil, fmt.Errorf("prune: %w", err)
	}
	return x, nil
}

// matrix returns a linear layer's weight as stored, its size checked.
func (v *view) matrix(l fuse.Linear) ([]float32, error) {
	if l.Quantized {
		return nil, fmt.Errorf("prune: weight %q is quantized; prune before quantizing", l.Weight)
	}
	w, err := v.floats(l.Weight)
	if err == nil && len(w) != l.In*l.Out {
		err = fmt.Errorf("prune: weight %q has %d elements; a linear layer of %d×%d has %d", l.Weight, len(w), l.In, l.Out, l.In*l.Out)
	}
	return w, err
}

// eachWeight scores every distinct linear weight of the encoder and the word embedding.
func (v *view) eachWeight(ctx context.Context, score func(name string, w []float32) []float32) (map[string][]float32, error) {
	out := map[string][]float32{}
	for _, l := range v.linears() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if out[l.Weight] != nil {
			continue
		}
		w, err := v.matrix(l)
		if err != nil {
			return nil, err
		}
		out[l.Weight] = score(l.Weight, w)
	}
	if t := v.inits[v.enc.Word]; t != nil && t.Type == onnx.Float {
		w, err := v.floats(v.enc.Word)
		if err != nil {
			return nil, err
		}
		out[v.enc.Word] = score(v.enc.Word, w)
	}
	return out, nil
}

// sumOutputs adds to sums[g] the squared weights of output units g·size … (g+1)·size.
func (v *view) sumOutputs(l fuse.Linear, size int, sums []float64) error {
	return v.sum(l, size, sums, l.Out, l.TransB)
}

// sumInputs adds to sums[g] the squared weights of input units g·size … (g+1)·size.
func (v *view) sumInputs(l fuse.Linear, size int, sums []float64) error {
	return v.sum(l, size, sums, l.In, !l.TransB)
}

func (v *view) sum(l fuse.Linear, size int, sums []float64, units int, byRow bool) error {
	w, err := v.matrix(l)
	if err != nil {
		return err
	}
	if units != size*len(sums) {
		return fmt.Errorf("prune: weight %q has %d units; %d groups of %d are expected", l.Weight, units, len(sums), size)
	}
	for i, x := range w {
		u := i % units
		if byRow {
			u = i / (len(w) / units)
		}
		sums[u/size] += float64(x) * float64(x)
	}
	return nil
}
