package autodiff

import (
	"errors"
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Sum adds factor·Σ of scalar loss nodes of one pass, such as those of several
// layers.
func Sum(factor float32, terms ...*gorgonia.Node) (*gorgonia.Node, error) {
	switch {
	case len(terms) == 0:
		return nil, errors.New("autodiff: a sum of no losses")
	case math.IsNaN(float64(factor)) || math.IsInf(float64(factor), 0):
		return nil, fmt.Errorf("autodiff: a sum times %v; want a finite number", factor)
	case len(terms) == 1 && factor == 1:
		return terms[0], nil
	}
	q, err := passOf(terms[0])
	if err != nil {
		return nil, err
	}
	for i, t := range terms {
		if t == nil || t.Graph() != q.graph || !t.IsScalar() || t.Dtype() != tensor.Float32 {
			return nil, fmt.Errorf("autodiff: term %d of a sum is %v; want a float32 scalar node of this pass", i, t)
		}
	}
	s := &sum{core: core{kind: "Sum"}, factor: factor, out: gorgonia.NewF32(0)}
	return q.attach(s, &s.core, tensor.Float32, nil, terms...)
}

// sum is the scaled sum of losses, and with one input also its own gradient.
type sum struct {
	core
	factor float32
	out    *gorgonia.F32
}

// Do adds up.
func (s *sum) Do(vals ...gorgonia.Value) (gorgonia.Value, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	total := 0.0
	for _, v := range vals {
		x, err := floatsOf(v)
		if err != nil {
			return nil, s.fail(err)
		}
		total += float64(x[0])
	}
	*s.out = gorgonia.F32(float64(s.factor) * total)
	return s.out, nil
}

func (s *sum) DiffWRT(n int) []bool {
	d := make([]bool, n)
	for i := range d {
		d[i] = true
	}
	return d
}

// SymDiff gives every term the incoming gradient times the factor.
func (s *sum) SymDiff(inputs gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	out := make(gorgonia.Nodes, len(inputs))
	for i := range inputs {
		g := &sum{core: core{kind: "SumGrad"}, factor: s.factor, out: gorgonia.NewF32(0)}
		var err error
		if out[i], err = s.pass.attach(g, &g.core, tensor.Float32, nil, grad); err != nil {
			return nil, err
		}
	}
	return out, nil
}
