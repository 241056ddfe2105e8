package distill

import (
	"context"

	"github.com/litekit/lite/onnx"
)

// RunCounting is Run for settings that are whole, and tells after how many steps a
// teacher was being asked ahead.
func RunCounting(ctx context.Context, m *onnx.Model, c Config) (out *onnx.Model, ahead int, err error) {
	t, err := newTrainer(m, &c)
	if err != nil {
		return nil, 0, err
	}
	defer t.close()
	c.Hook = func(int, []*Param) {
		if t.ahead != nil {
			ahead++
		}
	}
	if err := t.train(ctx); err != nil {
		return nil, ahead, err
	}
	out, err = t.result(t.chosen())
	return out, ahead, err
}
