package distill

import "gorgonia.org/gorgonia"

// View says which form of the text a loss reads.
type View int

const (
	// Clean text, as it will be met in use.
	Clean View = iota
	// Masked text, packed into segments; its losses read the selected rows.
	Masked
)

// Loss is one objective. Build adds it to the graph of one batch shape and
// returns a scalar, a mean over what it is computed from.
type Loss interface {
	// Name is the stable name in reports and checkpoints, such as "kd".
	Name() string
	// View says which form of the text Build finds in its graph.
	View() View
	// Build adds the loss to g, once for each batch shape. The node is a scalar
	// of float32.
	Build(g *Graph) (*gorgonia.Node, error)
}

// Taught is a loss that reads the teacher's logits, [Graph.Teacher]. The
// method does nothing; a loss without it finds no teacher.
type Taught interface {
	Loss
	// Taught is never called.
	Taught()
}

// Term is a loss and its share in the sum.
type Term struct {
	Loss   Loss
	Weight float64
	// Ramp is the share of the steps over which the weight rises from 0 in a
	// line (LERT); 0 means full weight from the start.
	Ramp float64
}

// Sum is what training minimises: Σ weight·loss.
type Sum []Term

// Scale gives a loss a constant weight.
func Scale(weight float64, loss Loss) Term { return Term{Loss: loss, Weight: weight} }

// weight is the term's share at a step.
func (t Term) weight(step, steps int) float64 {
	if ramp := t.Ramp * float64(steps); ramp > 0 && float64(step) < ramp {
		return t.Weight * float64(step) / ramp
	}
	return t.Weight
}

// of returns the terms on one view.
func (s Sum) of(v View) Sum {
	var out Sum
	for _, t := range s {
		if t.Loss.View() == v && t.Weight > 0 {
			out = append(out, t)
		}
	}
	return out
}
