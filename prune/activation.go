package prune

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/teacher"
)

// Activation scores by what units contribute on calibration data, without
// gradients. A head or neuron scores the root mean square over real tokens of
// the norm of what it adds to the residual stream: √E‖c_h·W_h‖², with c_h its
// context [d] and W_h its rows of the attention output matrix, and
// √(E a_j²)·‖W_j‖ for a neuron of activation a_j. A single weight scores
// |W_ij|·‖X_i‖₂ (Wanda, Sun et al. 2024; it compares within an output, which is
// the scope PerOutput). The dense model is measured once; Wanda as published
// goes layer by layer and feeds pruned activations forward.
type Activation struct {
	// Data is the calibration text. Required.
	Data []*corpus.Batch
}

// Name returns "activation".
func (Activation) Name() string { return "activation" }

// activations are moments over the tokens of the calibration data.
type activations struct {
	tokens         int
	context, inner []*moment            // of the attention context [A·d] and of the neurons [F], per layer
	gram           [][]float64          // per layer, E c_hᵀc_h of each head: [A,d,d]
	innerSq        [][]float64          // E a² [F]
	inputs         map[string][]float64 // by value, Σ x² of each input of a linear layer
	rows           []float32            // scratch
}

// Score runs the model over the data.
func (a Activation) Score(ctx context.Context, m *onnx.Model, unit Unit) (Scores, error) {
	v, err := viewOf(m)
	if err != nil {
		return Scores{}, err
	}
	act, err := a.measure(ctx, v, unit == Weights, false)
	if err != nil {
		return Scores{}, err
	}
	var s Scores
	if unit == Weights {
		s.Weights, err = wanda(v, act)
		return s, err
	}
	for i, l := range v.enc.Layers {
		heads, err := headNorms(v, l, act.gram[i])
		if err != nil {
			return Scores{}, err
		}
		rows := make([]float64, l.Down.In)
		if err := v.sumInputs(l.Down, 1, rows); err != nil {
			return Scores{}, err
		}
		neurons := make([]float64, l.Down.In)
		for j := range neurons {
			neurons[j] = act.innerSq[i][j] * rows[j]
		}
		s.Heads = append(s.Heads, roots(heads))
		s.Neurons = append(s.Neurons, roots(neurons))
	}
	return s, nil
}

func (a Activation) moments(ctx context.Context, m *onnx.Model, second bool) (*activations, error) {
	v, err := viewOf(m)
	if err != nil {
		return nil, err
	}
	return a.measure(ctx, v, false, second)
}

// headNorms is tr(W_hᵀ·C_h·W_h) for every head, C_h = E c_hᵀc_h.
func headNorms(v *view, l fuse.Layer, gram []float64) ([]float64, error) {
	w, err := v.matrix(l.Output)
	if err != nil {
		return nil, err
	}
	t, d := target{l.Output.Weight, l.Output.In, l.Output.Out, l.Output.TransB}, l.HeadDim
	out := make([]float64, l.Heads)
	for h := range out {
		c := gram[h*d*d : (h+1)*d*d]
		for i := range d {
			for j := range d {
				dot := 0.0
				for o := range l.Output.Out {
					dot += float64(w[t.at(h*d+i, o)]) * float64(w[t.at(h*d+j, o)])
				}
				out[h] += c[i*d+j] * dot
			}
		}
		out[h] = max(0, out[h])
	}
	return out, nil
}

// wanda is |W_ij|·‖X_i‖₂ in the order the weights are stored.
func wanda(v *view, act *activations) (map[string][]float32, error) {
	out := map[string][]float32{}
	for _, l := range v.linears() {
		if out[l.Weight] != nil {
			return nil, fmt.Errorf("prune: weight %q serves two linear layers; the activation criterion needs one input for each", l.Weight)
		}
		w, err := v.matrix(l)
		if err != nil {
			return nil, err
		}
		t := target{l.Weight, l.In, l.Out, l.TransB}
		x := act.inputs[l.X]
		s := make([]float32, len(w))
		for i := range l.In {
			norm := math.Sqrt(x[i])
			for o := range l.Out {
				p := t.at(i, o)
				s[p] = float32(math.Abs(float64(w[p])) * norm)
			}
		}
		out[l.Weight] = s
	}
	return out, nil
}

// measure runs the batches and takes the moments; inputs adds those of every
// linear layer's input, second the full second moments of context and neurons.
func (a Activation) measure(ctx context.Context, v *view, inputs, second bool) (*activations, error) {
	if len(a.Data) == 0 {
		return nil, fmt.Errorf("prune: the activation criterion has no calibration data; give it a few hundred sentences")
	}
	s, err := exec.New(v.m, exec.Options{})
	if err != nil {
		return nil, fmt.Errorf("prune: %w", err)
	}
	act := &activations{inputs: map[string][]float64{}}
	var names []string
	want := map[string]bool{}
	add := func(name string) {
		if !want[name] {
			want[name] = true
			names = append(names, name)
		}
	}
	for _, l := range v.enc.Layers {
		act.context = append(act.context, newMoment(l.Output.In, second))
		act.inner = append(act.inner, newMoment(l.Down.In, second))
		act.innerSq = append(act.innerSq, make([]float64, l.Down.In))
		act.gram = append(act.gram, make([]float64, l.Heads*l.HeadDim*l.HeadDim))
		add(l.Output.X)
		add(l.Down.X)
	}
	if inputs {
		for _, l := range v.linears() {
			add(l.X)
			act.inputs[l.X] = make([]float64, l.In)
		}
	}
	var given []string
	for _, in := range s.Inputs() {
		given = append(given, in.Name)
	}
	for _, b := range a.Data {
		values, err := s.Run(ctx, teacher.Feed(b, given), names...)
		if err != nil {
			return nil, fmt.Errorf("prune: calibration: %w", err)
		}
		if err := act.add(v, b, values); err != nil {
			return nil, err
		}
	}
	if act.tokens == 0 {
		return nil, fmt.Errorf("prune: the calibration data holds padding only")
	}
	act.divide()
	return act, nil
}

// add accumulates one batch.
func (a *activations) add(v *view, b *corpus.Batch, values map[string]*exec.Tensor) error {
	rows := func(name string, n int) ([]float32, error) {
		t := values[name]
		if t == nil || len(t.F32) != b.B*b.S*n {
			return nil, fmt.Errorf("prune: calibration: value %q is not [%d,%d,%d]", name, b.B, b.S, n)
		}
		return t.F32, nil
	}
	for i, l := range v.enc.Layers {
		c, err := rows(l.Output.X, l.Output.In)
		if err != nil {
			return err
		}
		u, err := rows(l.Down.X, l.Down.In)
		if err != nil {
			return err
		}
		for r, on := range b.Mask {
			if on == 0 {
				continue
			}
			outer(a.gram[i], c[r*l.Output.In:(r+1)*l.Output.In], l.HeadDim)
			for j, x := range u[r*l.Down.In : (r+1)*l.Down.In] {
				a.innerSq[i][j] += float64(x) * float64(x)
			}
		}
		a.rows = a.context[i].add(c, b.Mask, a.rows)
		a.rows = a.inner[i].add(u, b.Mask, a.rows)
	}
	for name, sum := range a.inputs { // each entry by itself: order does not matter
		x, err := rows(name, len(sum))
		if err != nil {
			return err
		}
		for r, on := range b.Mask {
			if on == 0 {
				continue
			}
			for j, e := range x[r*len(sum) : (r+1)*len(sum)] {
				sum[j] += float64(e) * float64(e)
			}
		}
	}
	for _, on := range b.Mask {
		if on != 0 {
			a.tokens++
		}
	}
	return nil
}

// outer adds c_hᵀc_h for every head of one token's context.
func outer(gram []float64, row []float32, d int) {
	for h := 0; h*d < len(row); h++ {
		c, g := row[h*d:(h+1)*d], gram[h*d*d:(h+1)*d*d]
		for i, x := range c {
			for j, y := range c {
				g[i*d+j] += float64(x) * float64(y)
			}
		}
	}
}

// divide turns sums into means; the inputs stay sums, as Wanda's norms are.
func (a *activations) divide() {
	n := float64(a.tokens)
	for _, group := range [][][]float64{a.innerSq, a.gram} {
		for _, row := range group {
			scale(row, n)
		}
	}
	for i := range a.context {
		for _, m := range []*moment{a.context[i], a.inner[i]} {
			scale(m.mean, n)
			for j := range m.second {
				m.second[j] = float32(float64(m.second[j]) / n)
			}
		}
	}
}

func scale(x []float64, n float64) {
	for i := range x {
		x[i] /= n
	}
}

func newMoment(n int, second bool) *moment {
	m := &moment{mean: make([]float64, n)}
	if second {
		m.second = make([]float32, n*n)
	}
	return m
}

// add adds the real tokens of x [tokens,n] to the sums; rows is scratch, returned grown.
func (m *moment) add(x []float32, mask []int64, rows []float32) []float32 {
	n, k := len(m.mean), 0
	rows = rows[:0]
	for r, on := range mask {
		if on == 0 {
			continue
		}
		row := x[r*n : (r+1)*n]
		for j, e := range row {
			m.mean[j] += float64(e)
		}
		if m.second == nil {
			continue
		}
		if m.shift == nil {
			m.shift = slices.Clone(row)
		}
		for j, e := range row {
			rows = append(rows, e-m.shift[j])
		}
		k++
	}
	if k > 0 {
		kernel.Gemm(true, false, n, n, k, 1, rows, n, rows, n, 1, m.second, n)
	}
	return rows
}
