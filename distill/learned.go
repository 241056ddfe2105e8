package distill

import "math"

// uncertaintyName is the name that a [Config.Hook] and a checkpoint know the
// learned weights by; no tensor of a model has a space in it.
const uncertaintyName = "uncertainty of the losses"

// learnWeights adds the logarithms s_i of [Config.LearnWeights] to what is trained.
// They start at 0 and know no weight decay.
func (t *trainer) learnWeights() {
	if !t.cfg.LearnWeights {
		return
	}
	n := len(t.cfg.Loss)
	t.uncertainty = &Param{Name: uncertaintyName, Dims: []int64{int64(n)}, Value: make([]float32, n), Grad: make([]float32, n)}
	t.params = append(t.params, t.uncertainty)
}

// shares are the weights of the terms at a step: by Config.Loss, with what is learned.
func (t *trainer) shares() []float64 {
	w := make([]float64, len(t.cfg.Loss))
	for i, term := range t.cfg.Loss {
		w[i] = term.weight(t.step, t.steps)
		if t.uncertainty != nil {
			w[i] *= math.Exp(-float64(t.uncertainty.Value[i]))
		}
	}
	return w
}

// learn adds the derivative of w·(exp(−s)·L + s) by s of a term with the value L.
func (t *trainer) learn(i int, value float64) {
	if t.uncertainty == nil {
		return
	}
	w := t.cfg.Loss[i].weight(t.step, t.steps)
	t.uncertainty.Grad[i] += float32(w * (1 - math.Exp(-float64(t.uncertainty.Value[i]))*value))
}

// zeroGrad clears all gradients.
func (t *trainer) zeroGrad() {
	t.program.ZeroGrad()
	if t.uncertainty != nil {
		clear(t.uncertainty.Grad)
	}
}

// learned names exp(−s_i), by which the terms' weights are multiplied.
func (t *trainer) learned(values [][]float32) (out []NamedLoss) {
	if t.uncertainty == nil {
		return nil
	}
	s := t.uncertainty.Value
	if values != nil {
		s = values[len(values)-1] // the last of the parameters
	}
	for i, term := range t.cfg.Loss {
		if term.Weight > 0 {
			out = append(out, NamedLoss{term.Loss.Name(), math.Exp(-float64(s[i]))})
		}
	}
	return out
}
