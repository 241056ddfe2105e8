package distill

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/student"
)

// SoftNegatives is the soft regularization of true negatives (Zhang, Zhao,
// Utiyama, Sumita, AAAI 2023; without public code, so the form is our own):
// the mean over masked positions of Σ p[v]·(1 − cos(E_v, E_y)) over the Top
// likeliest tokens v, y the right one: probability is to lie on tokens that are
// near the right one in meaning. E are the student's word embeddings, constants
// here; the gradient is that of p, whose softmax is over the whole vocabulary. It
// stands beside [Denoise], with λ as its weight in the sum.
type SoftNegatives struct {
	// Top is the number of tokens k; 0 means 10.
	Top int
}

// Name is "negatives".
func (SoftNegatives) Name() string { return "negatives" }

// View is Masked.
func (SoftNegatives) View() View { return Masked }

// Build implements [Loss].
func (l SoftNegatives) Build(g *Graph) (*gorgonia.Node, error) {
	logits, err := g.head(student.KindMaskedLM)
	if err != nil {
		return nil, err
	}
	e, err := g.owner.anatomy()
	if err != nil {
		return nil, err
	}
	words := g.owner.program.Param(e.Word)
	if words == nil {
		return nil, fmt.Errorf("distill: the student's word embeddings %q are no weight that is trained", e.Word)
	}
	top := l.Top
	if top == 0 {
		top = 10
	}
	return autodiff.Distances(logits, g.Tokens(), words, top, nil)
}
