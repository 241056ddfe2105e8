package autodiff

import (
	"errors"
	"slices"

	"gorgonia.org/gorgonia"
)

// Memory is how many bytes of the program's arena a compiled pass uses: its
// activations, what the backward pass keeps, gradients of activations and
// scratch. All passes of a program share one arena, of the size of the largest.
// Parameters, their gradients, fed data and what kernels take for the time of a
// call are beside it.
func (q *Pass) Memory() int64 { return 4 * int64(q.need) }

// Estimate is the [Pass.Memory] that a padded training pass of batch sequences
// of seq tokens and rows selected rows is going to need, without running it:
// with a cross-entropy and a divergence on each output of the model. Outputs of
// Options.Rows count where rows is not 0. It takes the time of [Pass.Compile].
//
// Errors: sizes that are not positive, and shapes that the graph cannot have,
// such as more tokens than positions.
func (p *Program) Estimate(batch, seq, rows int) (bytes int64, err error) {
	q, err := p.NewPass(batch, seq, rows)
	if err != nil {
		return 0, err
	}
	var terms []*gorgonia.Node
	for _, o := range p.fused.Outputs {
		if !p.learned[o.Name] || slices.Contains(p.opts.Outputs, o.Name) || rows == 0 && slices.Contains(p.opts.Rows, o.Name) {
			continue
		}
		x, err := q.Output(o.Name)
		if err != nil {
			return 0, err
		}
		v := q.values[x]
		if v == nil || v.grad == nil || v.width() == 0 {
			continue
		}
		ce, err := CrossEntropy(x, q.Ints("labels of "+o.Name, v.rows()), 0)
		if err != nil {
			return 0, err
		}
		kl, err := KL(x, q.Floats("teacher of "+o.Name, v.shape...), 1, nil)
		if err != nil {
			return 0, err
		}
		terms = append(terms, ce, kl)
	}
	if len(terms) == 0 {
		return 0, errors.New("autodiff: no output of the model depends on a parameter that is trained, so a pass has no gradient")
	}
	if err := q.Compile(terms); err != nil {
		return 0, err
	}
	return q.Memory(), nil
}
