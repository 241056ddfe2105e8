package onnxgo

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
)

// types are the element types that an input can be converted to.
var types = map[tensor.Dtype]onnx.DataType{
	tensor.Float32: onnx.Float, tensor.Float64: onnx.Double,
	tensor.Int64: onnx.Int64, tensor.Int32: onnx.Int32,
}

// read gives the elements of an input in the type that the model declares.
// Programs for onnx-go, its suite too, give counts and indices as float32:
// numbers are converted where all of them stay what they are.
func (v *value) read() (*exec.Tensor, error) {
	x, err := fromGorgonia(v.tensor)
	if err != nil {
		return nil, err
	}
	want, known := types[v.declared]
	if !known || want == x.Type {
		return x, nil
	}
	var list []float64
	exact := true
	switch x.Type {
	case onnx.Float:
		for _, f := range x.F32 {
			list = append(list, float64(f))
		}
	case onnx.Double:
		list = x.F64
	case onnx.Int32:
		for _, i := range x.I32 {
			list = append(list, float64(i))
		}
	case onnx.Int64:
		for _, i := range x.I64 {
			list = append(list, float64(i))
			exact = exact && i <= 1<<53 && i >= -1<<53
		}
	default:
		exact = false
	}
	out := &exec.Tensor{Type: want, Shape: x.Shape}
	switch want {
	case onnx.Float:
		out.F32, known = exactly[float32](list)
	case onnx.Double:
		out.F64, known = exactly[float64](list)
	case onnx.Int64:
		out.I64, known = exactly[int64](list)
	case onnx.Int32:
		out.I32, known = exactly[int32](list)
	}
	if !exact || !known {
		return nil, fmt.Errorf("the tensor holds %v, the model declares %v, and not every element is the same in both; convert it first", x.Type, want)
	}
	return out, nil
}

// exactly converts numbers; false where one does not stay the same.
func exactly[T float32 | float64 | int32 | int64](list []float64) ([]T, bool) {
	out := make([]T, len(list))
	for i, f := range list {
		// The bounds keep the conversion to integers defined.
		if !(f >= -1<<53 && f <= 1<<53) {
			return nil, false
		}
		if out[i] = T(f); float64(out[i]) != f {
			return nil, false
		}
	}
	return out, true
}
