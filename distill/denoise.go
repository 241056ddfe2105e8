package distill

import (
	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/student"
)

// Denoise is masked language modelling (Devlin et al., arXiv 1810.04805):
// cross-entropy of the masked tokens, mean over them.
type Denoise struct {
	// Mask is the share of tokens to predict; 0 means 0.15.
	Mask float64
	// Unit is what is masked together, NGram the most words of an n-gram, SpanP
	// and SpanMax the lengths of spans, Replace and Random the shares of the
	// targets that become [MASK] and a random token: see [corpus.MaskOptions],
	// which also has what zero means.
	Unit            corpus.MaskUnit
	NGram           int
	SpanP           float64
	SpanMax         int
	Replace, Random float64
}

// masks are the options of the masked view.
func (l Denoise) masks() corpus.MaskOptions {
	return corpus.MaskOptions{Rate: l.Mask, Unit: l.Unit, NGram: l.NGram, SpanP: l.SpanP, SpanMax: l.SpanMax, Replace: l.Replace, Random: l.Random}
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
