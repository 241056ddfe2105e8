package distill

import (
	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/internal/autodiff"
)

// Scores is regression on the corpus's scores (Example.Score): the mean over
// the examples that have one of (z − y)², as fine-tuning on STS-B takes it
// (Devlin et al., arXiv 1810.04805, section 4.1). Examples without a score
// count for nothing.
type Scores struct{}

// Name is "mse".
func (Scores) Name() string { return "mse" }

// View is Clean.
func (Scores) View() View { return Clean }

// Build implements [Loss].
func (Scores) Build(g *Graph) (*gorgonia.Node, error) {
	z, err := g.Student("")
	if err != nil {
		return nil, err
	}
	target := g.Floats("scores", func(m *Moment) ([]float32, error) { y, _ := scoresOf(m); return y, nil }, g.b, 1)
	known := g.Floats("scored", func(m *Moment) ([]float32, error) { _, w := scoresOf(m); return w, nil }, g.b)
	return autodiff.MSE(z, target, known)
}

// scoresOf are a batch's scores, and 1 for each that is known.
func scoresOf(m *Moment) (score, known []float32) {
	score, known = make([]float32, m.Batch.B), make([]float32, m.Batch.B)
	for i, y := range m.Batch.Scores {
		if y == y {
			score[i], known[i] = y, 1
		}
	}
	return score, known
}

// SoftScores is regression on the teacher's scores: the mean over examples of
// (z_S − z_T)², the distillation of a regression head (as DistilBERT and
// TinyBERT distil STS-B, arXiv 1909.10351, section 4.2). It has no temperature.
type SoftScores struct{}

// Name is "kd".
func (SoftScores) Name() string { return "kd" }

// View is Clean.
func (SoftScores) View() View { return Clean }

// Taught implements [Taught].
func (SoftScores) Taught() {}

// Build implements [Loss].
func (SoftScores) Build(g *Graph) (*gorgonia.Node, error) { return vectorLoss(g, autodiff.MSE) }
