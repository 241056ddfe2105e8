package distill

import (
	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/student"
)

// Denoise is masked language modelling (Devlin et al., arXiv 1810.04805):
// cross-entropy of the masked tokens, mean over them.
type Denoise struct {
	// Mask is the share of tokens to predict; 0 means 0.15.
	Mask float64
	// WholeWord masks all pieces of a word together.
	WholeWord bool
}

// Name is "mlm".
func (Denoise) Name() string { return "mlm" }

// View is Masked.
func (Denoise) View() View { return Masked }

// Build implements [Loss].
func (Denoise) Build(g *Graph) (*gorgonia.Node, error) {
	logits, err := g.head(student.KindMaskedLM)
	if err != nil {
		return nil, err
	}
	return autodiff.CrossEntropy(logits, g.Tokens(), 0)
}
