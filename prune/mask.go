package prune

import (
	"fmt"
	"math/bits"

	"github.com/litekit/lite/onnx"
)

// Mask marks the pruned elements of a parameter of N elements, one bit each,
// in the order the initializer stores them.
type Mask struct {
	N    int      // elements of the parameter
	Bits []uint64 // [⌈N/64⌉], element i is bit i%64 of word i/64
}

func newMask(n int) Mask { return Mask{N: n, Bits: make([]uint64, (n+63)/64)} }

// Pruned reports whether element i is pruned.
func (k Mask) Pruned(i int) bool { return k.Bits[i/64]>>(i%64)&1 == 1 }

// Count is the number of pruned elements.
func (k Mask) Count() int {
	n := 0
	for _, b := range k.Bits {
		n += bits.OnesCount64(b)
	}
	return n
}

// Masks returns, by initializer, the zeros of the encoder's linear weights,
// and of the word embedding where it has any; parameters without zeros have no
// entry. A trainer that applies them after every update keeps an
// unstructured pruning. Errors: no encoder is found.
func Masks(m *onnx.Model) (map[string]Mask, error) {
	v, err := viewOf(m)
	if err != nil {
		return nil, err
	}
	names := []string{v.enc.Word}
	for _, l := range v.linears() {
		names = append(names, l.Weight)
	}
	out := map[string]Mask{}
	for _, name := range names {
		if _, ok := out[name]; ok || v.inits[name] == nil || v.inits[name].Type != onnx.Float {
			continue
		}
		w, err := v.floats(name)
		if err != nil {
			return nil, err
		}
		mask := newMask(len(w))
		for i, x := range w {
			if x == 0 {
				mask.Bits[i/64] |= 1 << (i % 64)
			}
		}
		if mask.Count() > 0 {
			out[name] = mask
		}
	}
	return out, nil
}

// ApplyMask sets the pruned elements of a parameter (or of its gradient or
// optimizer state) to zero, in place. A mask of another size is an error.
func ApplyMask(param []float32, mask Mask) error {
	if len(param) != mask.N {
		return fmt.Errorf("prune: a mask of %d elements for a parameter of %d", mask.N, len(param))
	}
	for i, b := range mask.Bits {
		if b == 0 {
			continue
		}
		for j := i * 64; j < min(mask.N, i*64+64); j++ {
			if b>>(j%64)&1 == 1 {
				param[j] = 0
			}
		}
	}
	return nil
}

// CubicSparsity is the sparsity at a step of gradual pruning,
// s_t = s_f + (s_i − s_f)(1 − τ)³ with τ = (step − begin)/(end − begin)
// (Zhu & Gupta 2017, eq. 1): initial up to begin, final from end on.
func CubicSparsity(initial, final float64, step, begin, end int) float64 {
	switch {
	case step >= end:
		return final
	case step <= begin:
		return initial
	}
	r := 1 - float64(step-begin)/float64(end-begin)
	return final + (initial-final)*r*r*r
}
