package student

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/rand/v2"

	"github.com/litekit/lite/onnx"
)

// initializerRange is the standard deviation of fresh embeddings, and of fresh
// matrices in encoders of BERT's width (Devlin et al. 2019).
const initializerRange = 0.02

// matrixRange is the standard deviation of fresh matrices that read H values:
// 0.02·√(768/H), at least 0.02. It keeps the gain σ·√H of BERT-base. With 0.02
// itself an encoder of 64 values passes on a sixth of its signal in each
// product, and gradients reach the embeddings so faint that a masked-LM loss,
// which has its own way to them, drowns every other.
func matrixRange(hidden int) float64 {
	return initializerRange * max(1, math.Sqrt(768/float64(hidden)))
}

// freshWeights draws a tensor from the normal distribution of standard
// deviation sigma truncated at two standard deviations. The values depend on
// the seed and the parameter's name alone, so adding a head or a layer leaves
// every other parameter as it was.
func freshWeights(seed uint64, name string, sigma float64, dims ...int64) *onnx.Tensor {
	h := fnv.New64a()
	h.Write([]byte(name))
	r := rand.New(rand.NewPCG(seed, h.Sum64()))
	return generated(name, func() float32 {
		for {
			if x := r.NormFloat64(); math.Abs(x) <= 2 {
				return float32(sigma * x)
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
