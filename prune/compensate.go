package prune

import (
	"fmt"
	"slices"

	"github.com/litekit/lite/internal/fuse"
	"gonum.org/v1/gonum/mat"
)

// damping is λ of the ridge regression over the mean diagonal of the covariance.
const damping = 0.01

// moment is what is known of the inputs x [n] of a linear layer over tokens.
type moment struct {
	mean []float64 // E x
	// second is E (x−shift)ᵀ(x−shift) [n,n], nil where only the mean was
	// measured. The shift, the first token's x, keeps float32 sums from
	// cancelling when the mean is taken out.
	second []float32
	shift  []float32
}

// cov is the covariance of inputs i and j.
func (x *moment) cov(i, j int) float64 {
	n := len(x.mean)
	return float64(x.second[i*n+j]) - (x.mean[i]-float64(x.shift[i]))*(x.mean[j]-float64(x.shift[j]))
}

// repair is what is added to a linear layer that loses inputs.
type repair struct {
	kept   []int
	weight *mat.Dense // A [kept,out]; nil for the mean alone
	bias   []float64  // c [out]
}

// apply adds A to the kept rows of a copy of w.
func (r *repair) apply(w []float32, l fuse.Linear) []float32 {
	w = slices.Clone(w)
	t := target{l.Weight, l.In, l.Out, l.TransB}
	for k, i := range r.kept {
		for o := range l.Out {
			p := t.at(i, o)
			w[p] = float32(float64(w[p]) + r.weight.At(k, o))
		}
	}
	return w
}

// repair computes the compensation for inputs gone of a linear layer, nil
// where nothing was measured.
func (s *surgeon) repair(l fuse.Linear, act *activations, of func(*activations) *moment, gone []int) (*repair, error) {
	if act == nil {
		return nil, nil
	}
	w, err := s.matrix(l)
	if err != nil {
		return nil, err
	}
	x, t := of(act), target{l.Weight, l.In, l.Out, l.TransB}
	r := &repair{bias: make([]float64, l.Out)}
	wg := mat.NewDense(len(gone), l.Out, nil)
	for g, i := range gone {
		for o := range l.Out {
			wg.Set(g, o, float64(w[t.at(i, o)]))
			r.bias[o] += x.mean[i] * wg.At(g, o)
		}
	}
	if x.second == nil {
		return r, nil
	}
	for i := range l.In {
		if _, lost := slices.BinarySearch(gone, i); !lost {
			r.kept = append(r.kept, i)
		}
	}
	if r.weight, err = x.regress(r.kept, gone, wg); err != nil {
		return nil, fmt.Errorf("weight %q: %w", l.Weight, err)
	}
	for k, i := range r.kept {
		for o := range r.bias {
			r.bias[o] -= x.mean[i] * r.weight.At(k, o)
		}
	}
	return r, nil
}

// regress solves (Cov_kk + λI)·A = Cov_kg·W_g.
func (x *moment) regress(kept, gone []int, wg *mat.Dense) (*mat.Dense, error) {
	kk, trace := mat.NewSymDense(len(kept), nil), 0.0
	for a, i := range kept {
		for b := a; b < len(kept); b++ {
			kk.SetSym(a, b, x.cov(i, kept[b]))
		}
		trace += max(0, kk.At(a, a))
	}
	// Inputs that never vary leave nothing to fit with; 1 keeps the system solvable.
	ridge := damping * trace / float64(len(kept))
	if ridge == 0 {
		ridge = 1
	}
	for a := range kept {
		kk.SetSym(a, a, kk.At(a, a)+ridge)
	}
	kg := mat.NewDense(len(kept), len(gone), nil)
	for a, i := range kept {
		for b, j := range gone {
			kg.Set(a, b, x.cov(i, j))
		}
	}
	var right, out mat.Dense
	right.Mul(kg, wg)
	var chol mat.Cholesky
	if !chol.Factorize(kk) {
		return nil, fmt.Errorf("the covariance of its inputs is not positive definite; use more calibration data, or the mean compensation")
	}
	if err := chol.SolveTo(&out, &right); err != nil {
		return nil, fmt.Errorf("compensation: %w", err)
	}
	return &out, nil
}
