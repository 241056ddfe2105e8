package distill

import (
	"fmt"
	"math"

	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/internal/kernel"
)

// Param is a trained tensor, as a [Config.Hook] sees it.
type Param = autodiff.Param

// AdamW's constants (Loshchilov, Hutter, arXiv 1711.05101).
const (
	beta1   = 0.9
	beta2   = 0.999
	epsilon = 1e-8
)

// update clips the gradient, takes one AdamW step and returns the norm before
// clipping. A norm that is not finite is an error, and then no weight has changed:
// what is saved afterwards is still good.
func (t *trainer) update() (float64, error) {
	scale := 1 / float32(t.cfg.Accumulate)
	var squares float64
	for _, p := range t.params {
		squares += kernel.SumSquares(p.Grad)
	}
	norm := math.Sqrt(squares) * float64(scale)
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return norm, fmt.Errorf("distill: step %d: the gradient's norm is %v; lower the learning rate", t.step+1, norm)
	}
	if c := t.cfg.ClipNorm; c > 0 && norm > c {
		scale *= float32(c / norm)
	}
	rate := float32(t.cfg.rate(t.step, t.steps))
	for i, p := range t.params {
		var decay float32
		if p.Decay {
			decay = float32(t.cfg.WeightDecay)
		}
		kernel.AdamW(p.Value, p.Grad, t.first[i], t.second[i], rate, beta1, beta2, epsilon, decay, scale, t.step+1)
	}
	return norm, nil
}
