package distill

import (
	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/internal/autodiff"
)

// SoftLabels is the distillation of logits (Hinton, Vinyals, Dean,
// arXiv 1503.02531): T²·KL(softmax(z_T/T) ‖ softmax(z_S/T)), summed over
// classes, mean over rows. The T² is included, unlike in some codebases.
type SoftLabels struct {
	// Temperature T; 0 means 1.
	Temperature float64
	// Tokens compares a masked language model's logits at the masked
	// positions instead of a classifier's. It must match the teacher's task.
	Tokens bool
}

// Name is "kd".
func (SoftLabels) Name() string { return "kd" }

// View is Masked for tokens, Clean for classes.
func (l SoftLabels) View() View {
	if l.Tokens {
		return Masked
	}
	return Clean
}

// Taught implements [Taught].
func (SoftLabels) Taught() {}

// Build implements [Loss].
func (l SoftLabels) Build(g *Graph) (*gorgonia.Node, error) {
	student, err := g.Student("")
	if err != nil {
		return nil, err
	}
	teacher, err := g.Teacher()
	if err != nil {
		return nil, err
	}
	return autodiff.KL(student, teacher, float32(l.temperature(0, 1)), g.RowWeights())
}

// temperature is T.
func (l SoftLabels) temperature(_, _ int) float64 {
	if l.Temperature == 0 {
		return 1
	}
	return l.Temperature
}
