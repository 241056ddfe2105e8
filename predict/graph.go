package predict

import (
	"context"
	"fmt"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
)

// Tensor is a value of a graph: Shape, and the elements in row-major order in the
// one slice that Type names: F32 (onnx.Float), F64, I64, I32, U8, I8 or Bool. A
// nil or empty Shape is a scalar. What has no slice of its own is held in a wider
// one: float16 and bfloat16 in F32, small and unsigned integers in I64.
type Tensor = exec.Tensor

// Floats returns a float32 tensor over data, which is not copied.
func Floats(data []float32, shape ...int) *Tensor { return exec.Floats(data, shape...) }

// Int64s returns an int64 tensor over data, which is not copied.
func Int64s(data []int64, shape ...int) *Tensor { return exec.Int64s(data, shape...) }

// Graph runs any ONNX graph on tensors, for what Predictor does not know: answers
// to questions (start and end logits), several outputs, inputs of one's own
// making, graphs that are no encoders. It is safe for concurrent use.
type Graph struct{ session *exec.Session }

// NewGraph prepares a model to run; config.json and tokenizer are not needed, and
// m is not changed.
//
// Errors: a graph that is not sound, operators that cannot be run, all of them in
// one error.
func NewGraph(m *onnx.Model) (*Graph, error) {
	s, err := exec.New(m, exec.Options{})
	if err != nil {
		return nil, fmt.Errorf("predict: %w", err)
	}
	return &Graph{s}, nil
}

// Inputs declares what Run is to be fed. The caller must not change it.
func (g *Graph) Inputs() []*onnx.ValueInfo { return g.session.Inputs() }

// Outputs declares what Run gives where no value is named. The caller must not
// change it.
func (g *Graph) Outputs() []*onnx.ValueInfo { return g.session.Outputs() }

// Run computes the graph's outputs, or the values named, which may be any inside
// the graph; inputs that those do not depend on may be left out. Any batch and
// length will do that the graph allows. The tensors given are only read; those
// returned belong to the caller. The same inputs give the same bytes at any
// number of threads.
//
// Errors name the node, or the input that is missing or of another type or shape.
// When ctx ends, Run returns its cause soon.
func (g *Graph) Run(ctx context.Context, in map[string]*Tensor, outputs ...string) (map[string]*Tensor, error) {
	out, err := g.session.Run(ctx, in, outputs...)
	if err != nil {
		return nil, fmt.Errorf("predict: %w", err)
	}
	return out, nil
}
