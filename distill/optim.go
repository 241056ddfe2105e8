package distill

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// Param is a trained tensor, as a [Config.Hook] sees it.
type Param = autodiff.Param

// Optimizer is how a gradient becomes an update.
type Optimizer string

// AdamW is Adam with decoupled weight decay (Loshchilov, Hutter, arXiv 1711.05101).
// LAMB scales the step of each matrix by the ratio of its norm to that of its
// update, for large batches (You et al., arXiv 1904.00962, algorithm 2); biases and
// LayerNorm, to which no weight decay applies, are moved as by AdamW.
const (
	AdamW Optimizer = "adamw"
	LAMB  Optimizer = "lamb"
)

// The constants of the moments.
const (
	beta1   = 0.9
	beta2   = 0.999
	epsilon = 1e-8
	// lambEpsilon is the paper's.
	lambEpsilon = 1e-6
)

// optimizer is the one that is used.
func (c *Config) optimizer() Optimizer {
	if c.Optimizer == "" {
		return AdamW
	}
	return c.Optimizer
}

// update clips the gradient, takes one step of the optimiser and returns the
// norm before clipping. A norm that is not finite is an error, and then no weight
// has changed: what is saved afterwards is still good.
func (t *trainer) update() (float64, error) {
	scale := 1 / float32(t.cfg.Accumulate)
	var squares float64
	for _, p := range t.params {
		squares += p.SumSquares()
	}
	norm := math.Sqrt(squares) * float64(scale)
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return norm, t.badGradient(norm)
	}
	if c := t.cfg.ClipNorm; c > 0 && norm > c {
		scale *= float32(c / norm)
	}
	rate := t.cfg.rate(t.step, t.steps)
	for i, p := range t.params {
		var decay float32
		if p.Decay {
			decay = float32(t.cfg.WeightDecay)
		}
		own := float32(rate)
		if t.share != nil {
			own = float32(rate * t.share[i])
		}
		if t.cfg.Optimizer == LAMB {
			kernel.LAMB(p.Value, p.Grad, t.first[i], t.second[i], own, beta1, beta2, lambEpsilon, decay, scale, t.step+1, p.Decay)
			continue
		}
		p.AdamW(t.first[i], t.second[i], own, beta1, beta2, epsilon, decay, scale, t.step+1)
	}
	return norm, nil
}

// layerRates are the shares of the learning rate that the parameters learn
// with: 1 for heads and the pooler, less by the factor decay for each layer
// further down, least for the embeddings (Clark et al., ELECTRA, arXiv
// 2003.10555, appendix; Howard and Ruder, arXiv 1801.06146, section 3.2). nil where
// all learn alike. The layers are found in the graph by their structure.
func (c *Config) layerRates(m *onnx.Model, params []*Param) ([]float64, error) {
	if c.LayerDecay == 0 || c.LayerDecay == 1 {
		return nil, nil
	}
	e, err := fuse.Detect(fuse.Untie(m)) // as the trained model names its weights
	if err != nil {
		return nil, fmt.Errorf("distill: the learning rate cannot decay by layers: %w", err)
	}
	depth := depths(e)
	out := make([]float64, len(params))
	for i, p := range params {
		out[i] = 1
		if d, ok := depth[p.Name]; ok {
			out[i] = math.Pow(c.LayerDecay, float64(len(e.Layers)+1-d))
		}
	}
	return out, nil
}

// depths are the distances of an encoder's weights from the tokens: 0 for the
// embeddings, then the number of the layer from 1.
func depths(e *fuse.Encoder) map[string]int {
	out := map[string]int{}
	put := func(depth int, names ...string) {
		for _, n := range names {
			if n != "" {
				out[n] = depth
			}
		}
	}
	for i, l := range slices.Backward(e.Layers) {
		for _, x := range []fuse.Linear{l.Query, l.Key, l.Value, l.Output, l.Up, l.Down} {
			put(i+1, x.Weight, x.Bias)
		}
		put(i+1, l.AttentionNorm.Gamma, l.AttentionNorm.Beta, l.FFNNorm.Gamma, l.FFNNorm.Beta)
	}
	put(0, e.Word, e.Position, e.Type, e.EmbeddingNorm.Gamma, e.EmbeddingNorm.Beta)
	if e.Projection != nil {
		put(0, e.Projection.Weight, e.Projection.Bias)
	}
	for _, l := range e.Projected {
		put(0, l.Weight, l.Bias)
	}
	return out
}

// follow lets the moving averages of the weights follow a step. Early in a run
// the average is shorter, min(EMA, (1+n)/(10+n)) after n steps, as the weights it
// began with mean nothing soon.
func (t *trainer) follow() {
	if t.mean == nil {
		return
	}
	keep := float32(min(t.cfg.EMA, (1+float64(t.step))/(10+float64(t.step))))
	for i, p := range t.params {
		mean, value := t.mean[i], p.Value
		kernel.Parallel(len(mean), 1<<15, func(lo, hi int) {
			for j := lo; j < hi; j++ {
				mean[j] += (1 - keep) * (value[j] - mean[j])
			}
		})
	}
}

// with runs f while the parameters have other values, such as their averages;
// nil leaves them as they are.
func (t *trainer) with(values [][]float32, f func() error) error {
	swap := func() {
		for i, v := range values {
			t.params[i].Value, values[i] = v, t.params[i].Value
		}
	}
	swap()
	defer swap()
	return f()
}

// checkOptimizer refuses settings of the optimiser that are outside their ranges.
func (c *Config) checkOptimizer() error {
	switch {
	case !slices.Contains(Optimizers(), c.optimizer()):
		return fmt.Errorf("distill: optimizer %q is none of %v", c.Optimizer, Optimizers())
	case !(c.LayerDecay >= 0 && c.LayerDecay <= 1):
		return fmt.Errorf("distill: layer decay %v is a factor of the learning rate, above 0 to 1", c.LayerDecay)
	case !(c.EMA >= 0 && c.EMA < 1):
		return fmt.Errorf("distill: EMA %v is the share of the average that a step keeps, 0 up to but not 1", c.EMA)
	case c.Evaluate != nil && c.DevLoss != nil:
		return errors.New("distill: Config.Evaluate and DevLoss both tell the best model; set one")
	case !c.measures() && (c.Patience != 0 || c.EvalEvery != 0):
		return errors.New("distill: evaluation while training needs Config.Evaluate or DevLoss")
	case c.Patience < 0 || c.EvalEvery < 0:
		return fmt.Errorf("distill: evaluation every %d steps with patience %d; neither may be negative", c.EvalEvery, c.Patience)
	case c.KeepCheckpoints < 0:
		return fmt.Errorf("distill: %d checkpoints to keep; give at least 1", c.KeepCheckpoints)
	}
	return nil
}

// Optimizers lists the optimisers.
func Optimizers() []Optimizer { return []Optimizer{AdamW, LAMB} }
