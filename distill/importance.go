package distill

import (
	"context"
	"fmt"

	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/prune"
)

// Importance measures how much the configured losses depend on each attention
// head and feed-forward neuron of m, over the first batches of the training
// data, without changing a weight and without dropout (Michel, Levy, Neubig,
// arXiv 1905.10650; for the Fisher form Kwon et al., arXiv 2204.09656). Hand
// its Taylor or Fisher scores to [prune.Given]. batches ≤ 0 is one epoch.
// Soft labels of m itself have no gradient: give labels, or another teacher.
func Importance(ctx context.Context, m *onnx.Model, c Config, batches int) (*prune.Importance, error) {
	c.Dropout, c.Accumulate, c.Steps, c.Checkpoint = 0, 1, batches, ""
	if batches <= 0 {
		c.Epochs = 1
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	t, err := newTrainer(m, &c)
	if err != nil {
		return nil, err
	}
	defer t.close()
	if err := t.listen(ctx, t.steps); err != nil {
		return nil, err
	}
	total := new(prune.Importance)
	for k := range t.steps {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t.program.ZeroGrad()
		for _, s := range t.streams {
			if err := t.accumulate(ctx, s, k); err != nil {
				return nil, err
			}
		}
		gradients := make([]prune.Gradient, len(t.params))
		for i, p := range t.params {
			gradients[i] = prune.Gradient{Name: p.Name, Value: p.Value, Grad: p.Grad}
		}
		scores, err := prune.MaskGradients(t.model, gradients)
		if err != nil {
			return nil, fmt.Errorf("distill: importance: %w", err)
		}
		if err := total.Add(scores); err != nil {
			return nil, fmt.Errorf("distill: importance: %w", err)
		}
		if c.Progress != nil {
			c.Progress(Progress{Step: k + 1, Steps: t.steps, Tokens: t.tokens})
		}
	}
	return total, nil
}

// KeepZeros returns a [Config.Hook] that holds the pruned weights of m at zero.
func KeepZeros(m *onnx.Model) (func(step int, params []*Param), error) {
	masks, err := prune.Masks(m)
	if err != nil {
		return nil, fmt.Errorf("distill: %w", err)
	}
	return func(_ int, params []*Param) {
		for _, p := range params {
			if mask, ok := masks[p.Name]; ok && mask.N == len(p.Value) {
				_ = prune.ApplyMask(p.Value, mask) // the sizes agree
			}
		}
	}, nil
}
