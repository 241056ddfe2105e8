package exec

import (
	"fmt"

	"github.com/litekit/lite/onnx"
)

// tensorOps are the operators of convolutional, recurrent and vision models
// and the larger functions of newer opsets.
func tensorOps() map[string]operator {
	return merge(lossOps(), normOps(), convOps(), poolOps(), attentionOps(), resizeOps(), recurrentOps(), rearrangeOps(), visionOps())
}

// real is what these operators compute on; sums are kept in float64.
type real interface{ float32 | float64 }

// byReal runs the implementation for the element type of input 0.
func byReal(f32, f64 func(*call) error) func(*call) error {
	return func(c *call) error {
		switch c.in[0].Type {
		case onnx.Float, onnx.Float16, onnx.BFloat16:
			return f32(c)
		case onnx.Double:
			return f64(c)
		}
		return errType(c.in[0].Type)
	}
}

// typed returns the elements of input i, nil where it is omitted; they must
// have the type of input 0, whose elements are T.
func typed[T number](c *call, i int) ([]T, error) {
	t := c.arg(i)
	if t == nil {
		return nil, nil
	}
	if t.Type != c.in[0].Type {
		return nil, fmt.Errorf("input %d is %s and input 0 is %s; they must be of one type", i, typeName(t.Type), typeName(c.in[0].Type))
	}
	return data[T](t), nil
}

// channels returns input i, one number for each of n channels; def fills an omitted one.
func channels[T real](c *call, i, n int, def T) ([]T, error) {
	t := c.arg(i)
	if t == nil {
		v := make([]T, n)
		fill(v, def)
		return v, nil
	}
	if t.Len() != n {
		return nil, fmt.Errorf("input %d has shape %v; %d elements are needed, one for each channel", i, t.Shape, n)
	}
	switch t.Type {
	case onnx.Float, onnx.Float16, onnx.BFloat16:
		return converted[T](t.F32), nil
	case onnx.Double:
		return converted[T](t.F64), nil
	}
	return nil, fmt.Errorf("input %d: %w", i, errType(t.Type))
}

func converted[D, S real](src []S) []D {
	if same, ok := any(src).([]D); ok {
		return same
	}
	dst := make([]D, len(src))
	for i, v := range src {
		dst[i] = D(v)
	}
	return dst
}

// needRank refuses an input of fewer dimensions.
func (c *call) needRank(i, rank int) error {
	if got := len(c.in[i].Shape); got < rank {
		return fmt.Errorf("input %d has shape %v; at least %d dimensions are needed", i, c.in[i].Shape, rank)
	}
	return nil
}
