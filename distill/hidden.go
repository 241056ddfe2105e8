package distill

import (
	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/internal/autodiff"
)

// HiddenMSE is the distance of hidden states (Jiao et al., TinyBERT, arXiv
// 1909.10351, eq. 8): Σ over the mapped layers of MSE(H_S·W_h, H_T), mean over
// tokens and over the teacher's H. Where the widths agree there is no W_h; where
// they differ it is one learned matrix for all layers, as in the authors' code
// but without its bias, and is not part of the result. Padding does not count,
// unlike in that code.
type HiddenMSE struct {
	// Layers maps the student's layers to the teacher's.
	Layers LayerMap
	// On is the view whose tokens are compared.
	On View
	// From is the teacher whose values are read: 0 is Config.Teacher, 1 the first
	// of MoreTeachers.
	From int
}

// Name is "hidden"; beyond the first teacher its number follows, as in "hidden@2".
func (l HiddenMSE) Name() string { return nameOf("hidden", l.From) }

func (l HiddenMSE) from() int { return l.From }

// View is On.
func (l HiddenMSE) View() View { return l.On }

// Inner implements [Inner].
func (l HiddenMSE) Inner(p *Pair) error {
	matches, err := p.hidden(l.From, l.Layers, 0)
	if err == nil {
		declare(p, l.Name(), matches)
	}
	return err
}

// Build implements [Loss].
func (l HiddenMSE) Build(g *Graph) (*gorgonia.Node, error) {
	matches, err := g.pair.hidden(l.From, l.Layers, 0)
	if err != nil {
		return nil, err
	}
	return compare(g, l.Name(), matches, g.TokenWeights(), 1, autodiff.MSE)
}

// check implements checker.
func (l HiddenMSE) check() error { return l.Layers.Validate() }

// EmbeddingMSE is the distance of the embeddings (TinyBERT, eq. 9):
// MSE(E_S·W_e, E_T) behind the embedding LayerNorm, mean over tokens and over the
// teacher's width. Where widths agree there is no W_e; where they differ it is
// learned, and is not part of the result.
type EmbeddingMSE struct {
	// On is the view whose tokens are compared.
	On View
	// From is the teacher whose values are read: 0 is Config.Teacher, 1 the first
	// of MoreTeachers.
	From int
}

// Name is "embedding"; beyond the first teacher its number follows, as in "embedding@2".
func (l EmbeddingMSE) Name() string { return nameOf("embedding", l.From) }

func (l EmbeddingMSE) from() int { return l.From }

// View is On.
func (l EmbeddingMSE) View() View { return l.On }

func (l EmbeddingMSE) matches(p *Pair) ([]match, error) {
	s, t, err := p.both(l.From)
	if err != nil {
		return nil, err
	}
	return []match{{s.Embeddings, t.Embeddings, s.EmbeddingWidth, t.EmbeddingWidth, l.From, false}}, nil
}

// Inner implements [Inner].
func (l EmbeddingMSE) Inner(p *Pair) error {
	matches, err := l.matches(p)
	if err == nil {
		declare(p, l.Name(), matches)
	}
	return err
}

// Build implements [Loss].
func (l EmbeddingMSE) Build(g *Graph) (*gorgonia.Node, error) {
	matches, err := l.matches(g.pair)
	if err != nil {
		return nil, err
	}
	return compare(g, l.Name(), matches, g.TokenWeights(), 1, autodiff.MSE)
}

// HiddenCosine is the distance in direction of the last hidden states (Sanh et
// al., DistilBERT, arXiv 1910.01108, section 3): 1 − cos(h_S, h_T), mean over
// tokens. Where the widths differ, which DistilBERT does not foresee, the
// student's states go through a learned matrix that is not part of the result.
type HiddenCosine struct {
	// On is the view whose tokens are compared.
	On View
	// From is the teacher whose values are read: 0 is Config.Teacher, 1 the first
	// of MoreTeachers.
	From int
}

// Name is "cosine"; beyond the first teacher its number follows, as in "cosine@2".
func (l HiddenCosine) Name() string { return nameOf("cosine", l.From) }

func (l HiddenCosine) from() int { return l.From }

// View is On.
func (l HiddenCosine) View() View { return l.On }

func (l HiddenCosine) matches(p *Pair) ([]match, error) {
	s, t, err := p.both(l.From)
	if err != nil {
		return nil, err
	}
	return []match{{s.Layers[len(s.Layers)-1].Hidden, t.Layers[len(t.Layers)-1].Hidden, s.Width, t.Width, l.From, false}}, nil
}

// Inner implements [Inner].
func (l HiddenCosine) Inner(p *Pair) error {
	matches, err := l.matches(p)
	if err == nil {
		declare(p, l.Name(), matches)
	}
	return err
}

// Build implements [Loss].
func (l HiddenCosine) Build(g *Graph) (*gorgonia.Node, error) {
	matches, err := l.matches(g.pair)
	if err != nil {
		return nil, err
	}
	return compare(g, l.Name(), matches, g.TokenWeights(), 1, autodiff.Cosine)
}

// PKD is patient knowledge distillation (Sun et al., arXiv 1908.09355, eq. 7):
// Σ over the mapped layers of ‖h_S/‖h_S‖ − h_T/‖h_T‖‖² of the [CLS] state, mean over
// examples; it equals 2·(1 − cos), and is computed so. As in the paper the
// student's last layer has no part in it where the map is a rule: the soft labels
// teach it. Where the widths differ, which the paper does not foresee, the
// student's states go through a learned matrix that is not part of the result.
type PKD struct {
	// Layers maps the student's layers to the teacher's; "skip" and "last" are
	// the paper's, for a student of half the depth.
	Layers LayerMap
	// On is the view whose examples are compared.
	On View
	// From is the teacher whose values are read: 0 is Config.Teacher, 1 the first
	// of MoreTeachers.
	From int
}

// Name is "pkd"; beyond the first teacher its number follows, as in "pkd@2".
func (l PKD) Name() string { return nameOf("pkd", l.From) }

func (l PKD) from() int { return l.From }

// View is On.
func (l PKD) View() View { return l.On }

// Inner implements [Inner].
func (l PKD) Inner(p *Pair) error {
	matches, err := p.hidden(l.From, l.Layers, 1)
	if err == nil {
		declare(p, l.Name(), matches)
	}
	return err
}

// Build implements [Loss].
func (l PKD) Build(g *Graph) (*gorgonia.Node, error) {
	matches, err := g.pair.hidden(l.From, l.Layers, 1)
	if err != nil {
		return nil, err
	}
	return compare(g, l.Name(), matches, g.FirstWeights(), 2, autodiff.Cosine)
}

// check implements checker.
func (l PKD) check() error { return l.Layers.Validate() }
