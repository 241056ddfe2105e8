package distill

import (
	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/internal/autodiff"
)

// VectorCosine draws the student's vector of a text to the teacher's: the mean
// over examples of 1 − cos(v_S, v_T). Only directions are learned, which is all
// that a search by cosine reads.
type VectorCosine struct{}

// Name is "kd".
func (VectorCosine) Name() string { return "kd" }

// View is Clean.
func (VectorCosine) View() View { return Clean }

// Taught implements [Taught].
func (VectorCosine) Taught() {}

// Build implements [Loss].
func (VectorCosine) Build(g *Graph) (*gorgonia.Node, error) { return vectorLoss(g, autodiff.Cosine) }

// VectorMSE draws the student's vector of a text to the teacher's: the mean over
// examples and elements of (v_S − v_T)² (Reimers and Gurevych, arXiv 2004.09813,
// equation 1, here over one language).
type VectorMSE struct{}

// Name is "kd".
func (VectorMSE) Name() string { return "kd" }

// View is Clean.
func (VectorMSE) View() View { return Clean }

// Taught implements [Taught].
func (VectorMSE) Taught() {}

// Build implements [Loss].
func (VectorMSE) Build(g *Graph) (*gorgonia.Node, error) { return vectorLoss(g, autodiff.MSE) }

// vectorLoss compares the primary output with the teacher's rows.
func vectorLoss(g *Graph, loss func(x, target, weight *gorgonia.Node) (*gorgonia.Node, error)) (*gorgonia.Node, error) {
	v, err := g.Student("")
	if err != nil {
		return nil, err
	}
	target, err := g.Teacher()
	if err != nil {
		return nil, err
	}
	return loss(v, target, g.RowWeights())
}
