package lite

import (
	"context"
	"errors"
	"fmt"

	"github.com/litekit/lite/onnx"
)

// Step makes a model from a model.
type Step interface {
	// Name says what the step does, in a word, for messages.
	Name() string
	// Apply returns the new model and leaves m as it is. It stops when ctx
	// ends. Where a budget was missed it may return the best model it has
	// together with the error.
	Apply(ctx context.Context, m *onnx.Model) (*onnx.Model, error)
}

// Run applies the steps in order, each to the result of the one before.
//
// An error names the step and wraps the step's own, so that errors.Is and
// errors.As see through it; the model returned with it is the one that the
// step returned: nil or, where a budget was missed, the best there is.
func Run(ctx context.Context, m *onnx.Model, steps ...Step) (*onnx.Model, error) {
	if m == nil {
		return nil, errors.New("lite: no model to start from; open one with onnx.Open")
	}
	for i, s := range steps {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("lite: before step %d (%s): %w", i+1, s.Name(), err)
		}
		var out *onnx.Model
		err := onnx.Guard(func() (err error) { out, err = s.Apply(ctx, m); return err })
		if err == nil && out == nil {
			err = errors.New("the step returned no model")
		}
		if err != nil {
			return out, fmt.Errorf("lite: step %d (%s): %w", i+1, s.Name(), err)
		}
		m = out
	}
	return m, nil
}
