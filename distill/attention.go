package distill

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/teacher"
)

// AttentionMSE is the distance of attention before its softmax (Jiao et al.,
// TinyBERT, arXiv 1909.10351, eq. 7, with the unnormalised scores that the paper
// prefers): Σ over the mapped layers of MSE(Q_S·K_Sᵀ/√d_S, Q_T·K_Tᵀ/√d_T), mean over
// heads and pairs of tokens. The scores are made anew from queries and keys, a head
// at a time. Scores of −100 and below count as 0, as in the authors' code, where
// those are masks; here padding is neither query nor key, and the mean is over what
// is left. Teacher and student must have as many heads.
type AttentionMSE struct {
	// Layers maps the student's layers to the teacher's.
	Layers LayerMap
	// On is the view whose tokens are compared.
	On View
	// From is the teacher whose values are read: 0 is Config.Teacher, 1 the first
	// of MoreTeachers.
	From int
}

// Name is "attention"; beyond the first teacher its number follows, as in "attention@2".
func (l AttentionMSE) Name() string { return nameOf("attention", l.From) }

func (l AttentionMSE) from() int { return l.From }

// View is On.
func (l AttentionMSE) View() View { return l.On }

// Inner implements [Inner].
func (l AttentionMSE) Inner(p *Pair) error { return declareAttention(p, l.From, l.Layers) }

// Build implements [Loss].
func (l AttentionMSE) Build(g *Graph) (*gorgonia.Node, error) {
	return g.attention(l.From, l.Layers, autodiff.ScoreMSE)
}

// check implements checker.
func (l AttentionMSE) check() error { return l.Layers.Validate() }

// AttentionKL is the divergence of attention: Σ over the mapped layers of
// KL(A_T ‖ A_S), mean over heads and queries. On the last layer alone it is the
// first half of MiniLM's loss (Wang et al., arXiv 2002.10957). Padding is neither
// query nor key. Teacher and student must have as many heads.
type AttentionKL struct {
	// Layers maps the student's layers to the teacher's.
	Layers LayerMap
	// On is the view whose tokens are compared.
	On View
	// From is the teacher whose values are read: 0 is Config.Teacher, 1 the first
	// of MoreTeachers.
	From int
}

// Name is "attention_kl"; beyond the first teacher its number follows, as in "attention_kl@2".
func (l AttentionKL) Name() string { return nameOf("attention_kl", l.From) }

func (l AttentionKL) from() int { return l.From }

// View is On.
func (l AttentionKL) View() View { return l.On }

// Inner implements [Inner].
func (l AttentionKL) Inner(p *Pair) error { return declareAttention(p, l.From, l.Layers) }

// Build implements [Loss].
func (l AttentionKL) Build(g *Graph) (*gorgonia.Node, error) {
	return g.attention(l.From, l.Layers, autodiff.RelationKL)
}

// check implements checker.
func (l AttentionKL) check() error { return l.Layers.Validate() }

// mapped are the pairs of layers whose heads are compared one by one.
func (p *Pair) mapped(from int, l LayerMap) ([][2]teacher.Layer, error) {
	s, t, pairs, err := p.layers(from, l, 0)
	if err != nil {
		return nil, err
	}
	out := make([][2]teacher.Layer, len(pairs))
	for i, q := range pairs {
		a, b := s.Layers[q.student], t.Layers[q.teacher]
		if a.Heads != b.Heads {
			return nil, fmt.Errorf("the student has %d attention heads in layer %d and the teacher %d in layer %d, and heads are compared one by one; give the student as many, leave this loss out, or take MiniLMv2 (--alpha-minilm), which splits values anew", a.Heads, q.student, b.Heads, q.teacher)
		}
		out[i] = [2]teacher.Layer{a, b}
	}
	return out, nil
}

// lastLayers are the last layers of both.
func (p *Pair) lastLayers(from int) (s, t teacher.Layer, err error) {
	a, b, err := p.both(from)
	if err != nil {
		return s, t, err
	}
	return a.Layers[len(a.Layers)-1], b.Layers[len(b.Layers)-1], nil
}

func declareAttention(p *Pair, from int, l LayerMap) error {
	layers, err := p.mapped(from, l)
	if err != nil {
		return err
	}
	p = &Pair{p.insides, from}
	for _, q := range layers {
		p.Tap(q[0].Query, q[1].Query)
		p.Tap(q[0].Key, q[1].Key)
	}
	return nil
}

// relationLoss is one of autodiff's losses on relations.
type relationLoss func(x, y, tx, ty, mask *gorgonia.Node, heads int) (*gorgonia.Node, error)

// attention adds up a loss on the attention of mapped layers.
func (g *Graph) attention(from int, l LayerMap, loss relationLoss) (*gorgonia.Node, error) {
	layers, err := g.pair.mapped(from, l)
	if err != nil {
		return nil, err
	}
	terms := make([]*gorgonia.Node, len(layers))
	for i, q := range layers {
		if terms[i], err = g.relation(loss, from, q[0].Heads, [2]string{q[0].Query, q[1].Query}, [2]string{q[0].Key, q[1].Key}); err != nil {
			return nil, err
		}
	}
	return autodiff.Sum(1, terms...)
}

// relation is a loss on the relation of two values, each a name in the student and
// one in the teacher.
func (g *Graph) relation(loss relationLoss, from, heads int, x, y [2]string) (*gorgonia.Node, error) {
	var n [4]*gorgonia.Node
	for i, v := range [][2]string{x, y} {
		if i == 1 && x == y {
			break
		}
		var err error
		if n[2*i], err = g.pass.Tokens(v[0]); err != nil {
			return nil, err
		}
		if n[2*i+1], err = g.TeacherInner(from, v[1]); err != nil {
			return nil, err
		}
	}
	return loss(n[0], n[2], n[1], n[3], g.TokenWeights(), heads)
}
