package distill

import (
	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/internal/autodiff"
)

// HardLabels is cross-entropy with the corpus's labels, mean over the labelled
// examples of a batch; examples without a label count for nothing. Under a
// primary POS or NER head it is the mean over the tokens of the annotated words.
type HardLabels struct {
	// Smoothing spreads that share of the target over all classes, 0 up to but not 1
	// (Szegedy et al., arXiv 1512.00567, section 7).
	Smoothing float64
}

// Name is "ce".
func (HardLabels) Name() string { return "ce" }

// View is Clean.
func (HardLabels) View() View { return Clean }

// Build implements [Loss].
func (l HardLabels) Build(g *Graph) (*gorgonia.Node, error) {
	student, err := g.Student("")
	if err != nil {
		return nil, err
	}
	return autodiff.CrossEntropy(student, g.targets(), float32(l.Smoothing))
}
