package autodiff

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// total is the weighted sum of the loss terms; the weights are fed.
type total struct {
	core
	sum *gorgonia.F32
}

func (q *Pass) total(terms []*gorgonia.Node) (*gorgonia.Node, error) {
	t := &total{core: core{kind: "Total"}, sum: gorgonia.NewF32(0)}
	return q.attach(t, &t.core, tensor.Float32, nil, terms...)
}

// weight is the weight of a term in this run.
func (q *Pass) weight(i int) float32 {
	if q.weights == nil {
		return 1
	}
	return q.weights[i]
}

// Do adds up.
func (t *total) Do(vals ...gorgonia.Value) (gorgonia.Value, error) {
	if err := t.enter(); err != nil {
		return nil, err
	}
	var sum float32
	for i, v := range vals {
		x, err := floatsOf(v)
		if err != nil {
			return nil, t.fail(err)
		}
		sum += t.pass.weight(i) * x[0]
	}
	*t.sum = gorgonia.F32(sum)
	return t.sum, nil
}

func (t *total) DiffWRT(n int) []bool {
	d := make([]bool, n)
	for i := range d {
		d[i] = true
	}
	return d
}

// SymDiff gives each term its weight times the incoming gradient.
func (t *total) SymDiff(inputs gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	out := make(gorgonia.Nodes, len(inputs))
	for i := range inputs {
		w := &weigh{core: core{kind: "Weight"}, term: i, out: gorgonia.NewF32(0)}
		var err error
		if out[i], err = t.pass.attach(w, &w.core, tensor.Float32, nil, grad); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// weigh is the gradient of the total with respect to one term.
type weigh struct {
	core
	term int
	out  *gorgonia.F32
}

// Do multiplies.
func (w *weigh) Do(vals ...gorgonia.Value) (gorgonia.Value, error) {
	if err := w.enter(); err != nil {
		return nil, err
	}
	x, err := floatsOf(vals[0])
	if err != nil {
		return nil, w.fail(err)
	}
	*w.out = gorgonia.F32(w.pass.weight(w.term) * x[0])
	return w.out, nil
}

func (w *weigh) DiffWRT(int) []bool { return []bool{false} }
func (w *weigh) SymDiff(gorgonia.Nodes, *gorgonia.Node, *gorgonia.Node) (gorgonia.Nodes, error) {
	return nil, errSecond
}
