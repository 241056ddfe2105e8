package student

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/rand/v2"

	"github.com/litekit/lite/onnx"
)

// initializerRange is the standard deviation of fresh weights (Devlin et al. 2019).
const initializerRange = 0.02

// freshWeights draws a tensor from the normal distribution of standard
// deviation 0.02 truncated at two standard deviations. The values depend on
// the seed and the parameter's name alone, so adding a head or a layer leaves
// every other parameter as it was.
func freshWeights(seed uint64, name string, dims ...int64) *onnx.Tensor {
	h := fnv.New64a()
	h.Write([]byte(name))
	r := rand.New(rand.NewPCG(seed, h.Sum64()))
	return generated(name, func() float32 {
		for {
			if x := r.NormFloat64(); math.Abs(x) <= 2 {
				return float32(initializerRange * x)
			}
		}
	}, dims...)
}

// constant is a tensor of equal values.
func constant(name string, value float32, dims ...int64) *onnx.Tensor {
	return generated(name, func() float32 { return value }, dims...)
}

func generated(name string, next func() float32, dims ...int64) *onnx.Tensor {
	t := &onnx.Tensor{Name: name, Type: onnx.Float, Dims: dims}
	t.Raw = make([]byte, 4*t.Len())
	for i := 0; i < len(t.Raw); i += 4 {
		binary.LittleEndian.PutUint32(t.Raw[i:], math.Float32bits(next()))
	}
	return t
}
