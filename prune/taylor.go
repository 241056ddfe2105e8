package prune

import (
	"fmt"
	"math"

	"github.com/litekit/lite/onnx"
)

// Gradient is a parameter with the gradient of a loss, both in the order its
// initializer stores them.
type Gradient struct {
	Name        string // initializer
	Value, Grad []float32
}

// MaskGradients returns the gradients of a loss with respect to masks ξ that
// multiply each head's and each neuron's output, at ξ = 1, from the gradients
// of the weights alone. A head's context reaches the residual stream through
// its rows of the attention output matrix, so ∂L/∂ξ_h = Σ W_h ∘ ∂L/∂W_h over
// those rows, exactly (Michel et al. 2019); a neuron's is the same sum
// over its row of the second feed-forward matrix. Values are signed: summed
// over batches in [Importance] they give E|∂L/∂ξ| or the Fisher information.
//
// params must hold the output weights of every layer's attention and feed-forward; more
// are ignored. Errors: a missing or misfitting parameter.
func MaskGradients(m *onnx.Model, params []Gradient) (Scores, error) {
	v, err := viewOf(m)
	if err != nil {
		return Scores{}, err
	}
	byName := make(map[string]Gradient, len(params))
	for _, p := range params {
		byName[p.Name] = p
	}
	products := func(name string, rows, groups, cols int, trans bool) ([]float32, error) {
		p, ok := byName[name]
		if !ok {
			return nil, fmt.Errorf("prune: no gradient for %q; train it, or freeze nothing while scoring", name)
		}
		if len(p.Value) != rows*cols || len(p.Grad) != rows*cols {
			return nil, fmt.Errorf("prune: %q has %d values and %d gradients; the model's has %d", name, len(p.Value), len(p.Grad), rows*cols)
		}
		sums := make([]float64, groups)
		for i, w := range p.Value {
			row := i / cols
			if trans {
				row = i % rows
			}
			sums[row/(rows/groups)] += float64(w) * float64(p.Grad[i])
		}
		out := make([]float32, groups)
		for i, s := range sums {
			out[i] = float32(s)
		}
		return out, nil
	}
	var s Scores
	for _, l := range v.enc.Layers {
		h, err := products(l.Output.Weight, l.Output.In, l.Heads, l.Output.Out, l.Output.TransB)
		if err != nil {
			return Scores{}, err
		}
		n, err := products(l.Down.Weight, l.Down.In, l.Down.In, l.Down.Out, l.Down.TransB)
		if err != nil {
			return Scores{}, err
		}
		s.Heads = append(s.Heads, h)
		s.Neurons = append(s.Neurons, n)
	}
	return s, nil
}

// Importance averages mask gradients over batches. The zero value is ready.
type Importance struct {
	n                  int
	headAbs, neuronAbs [][]float64
	headSq, neuronSq   [][]float64
}

// Add takes the mask gradients of one batch, or of one example.
func (a *Importance) Add(s Scores) error {
	if a.n == 0 {
		a.headAbs, a.headSq = zerosLike(s.Heads), zerosLike(s.Heads)
		a.neuronAbs, a.neuronSq = zerosLike(s.Neurons), zerosLike(s.Neurons)
	}
	if !sameShape(a.headAbs, s.Heads) || !sameShape(a.neuronAbs, s.Neurons) {
		return fmt.Errorf("prune: mask gradients of another model: the number of layers, heads or neurons differs from the first batch's")
	}
	accumulate(a.headAbs, a.headSq, s.Heads)
	accumulate(a.neuronAbs, a.neuronSq, s.Neurons)
	a.n++
	return nil
}

// Taylor returns E|∂L/∂ξ|, the first-order change of the loss (Michel et al. 2019;
// for neurons Hou et al. 2020, DynaBERT).
func (a *Importance) Taylor() Scores {
	return Scores{Heads: mean(a.headAbs, a.n), Neurons: mean(a.neuronAbs, a.n)}
}

// Fisher returns E(∂L/∂ξ)², the diagonal of the masks' empirical Fisher
// information (Kwon et al. 2022, up to a factor that does not depend on the unit).
func (a *Importance) Fisher() Scores {
	return Scores{Heads: mean(a.headSq, a.n), Neurons: mean(a.neuronSq, a.n)}
}

func zerosLike(x [][]float32) [][]float64 {
	y := make([][]float64, len(x))
	for i := range x {
		y[i] = make([]float64, len(x[i]))
	}
	return y
}

func sameShape(a [][]float64, b [][]float32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if len(a[i]) != len(b[i]) {
			return false
		}
	}
	return true
}

func accumulate(abs, sq [][]float64, x [][]float32) {
	for i, row := range x {
		for j, v := range row {
			abs[i][j] += math.Abs(float64(v))
			sq[i][j] += float64(v) * float64(v)
		}
	}
}

func mean(x [][]float64, n int) [][]float32 {
	out := make([][]float32, len(x))
	for i, row := range x {
		out[i] = make([]float32, len(row))
		for j, v := range row {
			out[i][j] = float32(v / float64(max(n, 1)))
		}
	}
	return out
}
