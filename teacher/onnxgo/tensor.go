package onnxgo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"gorgonia.org/tensor"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
)

// fromGorgonia gives the elements of t in row-major order; those of a
// contiguous tensor are shared.
func fromGorgonia(t tensor.Tensor) (*exec.Tensor, error) {
	if t == nil {
		return nil, errors.New("no tensor is set")
	}
	x := &exec.Tensor{Shape: slices.Clone([]int(t.Shape()))}
	var err error
	switch d := t.Data().(type) {
	case []float32, float32:
		x.Type = onnx.Float
		x.F32, err = flat[float32](t, d)
	case []float64, float64:
		x.Type = onnx.Double
		x.F64, err = flat[float64](t, d)
	case []int64, int64:
		x.Type = onnx.Int64
		x.I64, err = flat[int64](t, d)
	case []int32, int32:
		x.Type = onnx.Int32
		x.I32, err = flat[int32](t, d)
	case []uint8, uint8:
		x.Type = onnx.Uint8
		x.U8, err = flat[uint8](t, d)
	case []int8, int8:
		x.Type = onnx.Int8
		x.I8, err = flat[int8](t, d)
	case []bool, bool:
		x.Type = onnx.Bool
		x.Bool, err = flat[bool](t, d)
	case []int, int:
		x.Type = onnx.Int64
		x.I64, err = widen[int](t, d)
	case []int16, int16:
		x.Type = onnx.Int16
		x.I64, err = widen[int16](t, d)
	case []uint16, uint16:
		x.Type = onnx.Uint16
		x.I64, err = widen[uint16](t, d)
	case []uint32, uint32:
		x.Type = onnx.Uint32
		x.I64, err = widen[uint32](t, d)
	case []uint64, uint64:
		x.Type = onnx.Uint64
		x.I64, err = widen[uint64](t, d)
	default:
		return nil, fmt.Errorf("a tensor of %v; numbers and booleans are supported", t.Dtype())
	}
	return x, err
}

// flat gives the elements of t, whose data are []T or for a scalar T.
func flat[T any](t tensor.Tensor, data any) ([]T, error) {
	if v, ok := data.(T); ok {
		return []T{v}, nil
	}
	all, shape, strides := data.([]T), t.Shape(), t.Strides()
	n, dense := 1, true
	for i := len(shape) - 1; i >= 0; i-- {
		if i < len(strides) && shape[i] != 1 && strides[i] != n {
			dense = false
		}
		n *= shape[i]
	}
	if dense || len(strides) != len(shape) {
		if len(all) < n {
			return nil, fmt.Errorf("%d elements for shape %v", len(all), shape)
		}
		return all[:n:n], nil
	}
	out, at := make([]T, 0, n), make([]int, len(shape))
	for range n {
		k := 0
		for i, p := range at {
			k += p * strides[i]
		}
		if k < 0 || k >= len(all) {
			return nil, fmt.Errorf("%d elements for shape %v with strides %v", len(all), shape, strides)
		}
		out = append(out, all[k])
		for i := len(at) - 1; i >= 0; i-- {
			if at[i]++; at[i] < shape[i] {
				break
			}
			at[i] = 0
		}
	}
	return out, nil
}

func widen[T int | int16 | uint16 | uint32 | uint64](t tensor.Tensor, data any) ([]int64, error) {
	list, err := flat[T](t, data)
	return convert[int64](list), err
}

func convert[T, S int | int16 | int64 | uint16 | uint32 | uint64](list []S) []T {
	out := make([]T, len(list))
	for i, v := range list {
		out[i] = T(v)
	}
	return out
}

// toGorgonia makes a tensor of Gorgonia of a result.
func toGorgonia(x *exec.Tensor) (t tensor.Tensor, err error) {
	if x.Len() == 0 {
		return nil, fmt.Errorf("the result has shape %v; tensors of Gorgonia cannot be empty", x.Shape)
	}
	switch x.Type {
	case onnx.Uint16:
		return dense(x.Shape, convert[uint16](x.I64)), nil
	case onnx.Int16:
		return dense(x.Shape, convert[int16](x.I64)), nil
	case onnx.Uint32:
		return dense(x.Shape, convert[uint32](x.I64)), nil
	case onnx.Uint64:
		return dense(x.Shape, convert[uint64](x.I64)), nil
	}
	switch {
	case x.F32 != nil:
		return dense(x.Shape, x.F32), nil
	case x.F64 != nil:
		return dense(x.Shape, x.F64), nil
	case x.I64 != nil:
		return dense(x.Shape, x.I64), nil
	case x.I32 != nil:
		return dense(x.Shape, x.I32), nil
	case x.U8 != nil:
		return dense(x.Shape, x.U8), nil
	case x.I8 != nil:
		return dense(x.Shape, x.I8), nil
	case x.Bool != nil:
		return dense(x.Shape, x.Bool), nil
	}
	return nil, fmt.Errorf("tensors of Gorgonia cannot hold %v; add a Cast to the model", x.Type)
}

func dense[T any](shape []int, data []T) tensor.Tensor {
	if len(shape) == 0 {
		return tensor.New(tensor.FromScalar(data[0]))
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
}

// constant makes a weight or attribute of t; the elements are copied.
func constant(t tensor.Tensor) (*onnx.Tensor, error) {
	x, err := fromGorgonia(t)
	if err != nil {
		return nil, err
	}
	c := &onnx.Tensor{Type: x.Type}
	for _, n := range x.Shape {
		c.Dims = append(c.Dims, int64(n))
	}
	le := binary.LittleEndian
	c.Raw = make([]byte, 0, x.Len()*max(1, x.Type.Size()))
	switch x.Type {
	case onnx.Float:
		for _, v := range x.F32 {
			c.Raw = le.AppendUint32(c.Raw, math.Float32bits(v))
		}
	case onnx.Double:
		for _, v := range x.F64 {
			c.Raw = le.AppendUint64(c.Raw, math.Float64bits(v))
		}
	default:
		return c, appendIntegers(c, x)
	}
	return c, nil
}

// appendIntegers adds elements that are no floats.
func appendIntegers(c *onnx.Tensor, x *exec.Tensor) (err error) {
	var list any
	switch x.Type {
	case onnx.Int64, onnx.Uint64:
		list = x.I64
	case onnx.Int32:
		list = x.I32
	case onnx.Uint8:
		list = x.U8
	case onnx.Int8:
		list = x.I8
	case onnx.Bool:
		list = x.Bool
	case onnx.Int16, onnx.Uint16:
		list = convert[uint16](x.I64)
	case onnx.Uint32:
		list = convert[uint32](x.I64)
	}
	c.Raw, err = binary.Append(c.Raw, binary.LittleEndian, list)
	return err
}
