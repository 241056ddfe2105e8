package distill

import (
	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/student"
)

// POS predicts the part of speech of the masked words (Mengzi, arXiv
// 2110.06696; head and positions as in LERT): cross-entropy at the masked
// positions, where the label is not plain to see.
type POS struct{}

// Name is "pos".
func (POS) Name() string { return "pos" }

// View is Masked.
func (POS) View() View { return Masked }

// Build implements [Loss].
func (POS) Build(g *Graph) (*gorgonia.Node, error) {
	logits, err := g.head(student.KindPOS)
	if err != nil {
		return nil, err
	}
	return autodiff.CrossEntropy(logits, g.POS(), 0)
}

// NER predicts the BIO entity tag of the masked words, as [POS] does.
type NER struct{}

// Name is "ner".
func (NER) Name() string { return "ner" }

// View is Masked.
func (NER) View() View { return Masked }

// Build implements [Loss].
func (NER) Build(g *Graph) (*gorgonia.Node, error) {
	logits, err := g.head(student.KindNER)
	if err != nil {
		return nil, err
	}
	return autodiff.CrossEntropy(logits, g.NER(), 0)
}

// SOP is sentence-order prediction (ALBERT, arXiv 1909.11942, section 3.1):
// whether two consecutive segments of a document have been swapped.
type SOP struct{}

// Name is "sop".
func (SOP) Name() string { return "sop" }

// View is Masked.
func (SOP) View() View { return Masked }

// Build implements [Loss].
func (SOP) Build(g *Graph) (*gorgonia.Node, error) {
	logits, err := g.head(student.KindSentenceOrder)
	if err != nil {
		return nil, err
	}
	return autodiff.CrossEntropy(logits, g.Order(), 0)
}
