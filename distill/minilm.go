package distill

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/teacher"
)

// MiniLM distils the self-attention of the last layer (Wang et al., arXiv
// 2002.10957, section 3): KL(A_T ‖ A_S) + KL(VR_T ‖ VR_S), with the attention
// A = softmax(QKᵀ/√d) and the value relation VR = softmax(VVᵀ/√d), mean over heads
// and tokens. Padding takes no part. Widths are free, but teacher and student must
// have as many heads.
type MiniLM struct {
	// On is the view whose tokens are compared.
	On View
	// From is the teacher whose values are read: 0 is Config.Teacher, 1 the first
	// of MoreTeachers.
	From int
}

// Name is "minilm"; beyond the first teacher its number follows, as in "minilm@2".
func (l MiniLM) Name() string { return nameOf("minilm", l.From) }

func (l MiniLM) from() int { return l.From }

// View is On.
func (l MiniLM) View() View { return l.On }

func (l MiniLM) layers(p *Pair) (s, t teacher.Layer, err error) {
	if s, t, err = p.lastLayers(l.From); err == nil && s.Heads != t.Heads {
		err = fmt.Errorf("the student's last layer has %d attention heads and the teacher's %d; give the student as many, or take version 2 of MiniLM (--minilm v2), which needs not", s.Heads, t.Heads)
	}
	return s, t, err
}

// Inner implements [Inner].
func (l MiniLM) Inner(p *Pair) error {
	s, t, err := l.layers(p)
	if err == nil {
		declareQKV(&Pair{p.insides, l.From}, s, t)
	}
	return err
}

// declareQKV taps queries, keys and values.
func declareQKV(p *Pair, s, t teacher.Layer) {
	p.Tap(s.Query, t.Query)
	p.Tap(s.Key, t.Key)
	p.Tap(s.Value, t.Value)
}

// Build implements [Loss].
func (l MiniLM) Build(g *Graph) (*gorgonia.Node, error) {
	s, t, err := l.layers(g.pair)
	if err != nil {
		return nil, err
	}
	attention, err := g.relation(autodiff.RelationKL, l.From, s.Heads, [2]string{s.Query, t.Query}, [2]string{s.Key, t.Key})
	if err != nil {
		return nil, err
	}
	v := [2]string{s.Value, t.Value}
	values, err := g.relation(autodiff.RelationKL, l.From, s.Heads, v, v)
	if err != nil {
		return nil, err
	}
	return autodiff.Sum(1, attention, values)
}

// MiniLMv2 distils relations (Wang et al., arXiv 2012.15828, section 3): queries,
// keys and values of one layer are split into A_r relation heads, whatever heads
// they have, and the loss is the sum over X of Q, K and V of
// KL(softmax(X_T·X_Tᵀ/√d_T) ‖ softmax(X_S·X_Sᵀ/√d_S)), mean over relation heads and
// tokens. Padding takes no part. Widths and heads are free.
type MiniLMv2 struct {
	// Heads is A_r, which must divide the width of both models' queries. 0 takes
	// the paper's 48 where that divides both, otherwise the greatest that does
	// and leaves heads of at least 8 values.
	Heads int
	// Layer of the teacher, from 1 (0: its last). The paper takes the 21st of 24
	// of large teachers and the last of base ones. The student's is its last.
	Layer int
	// On is the view whose tokens are compared.
	On View
	// From is the teacher whose values are read: 0 is Config.Teacher, 1 the first
	// of MoreTeachers.
	From int
}

// Name is "minilm2"; beyond the first teacher its number follows, as in "minilm2@2".
func (l MiniLMv2) Name() string { return nameOf("minilm2", l.From) }

func (l MiniLMv2) from() int { return l.From }

// View is On.
func (l MiniLMv2) View() View { return l.On }

// paperHeads is A_r of the paper for base teachers; leastWidth is that of heads
// that are chosen here.
const (
	paperHeads = 48
	leastWidth = 8
)

// layers returns the two layers and the number of relation heads.
func (l MiniLMv2) layers(p *Pair) (s, t teacher.Layer, heads int, err error) {
	if s, t, err = p.lastLayers(l.From); err != nil {
		return s, t, 0, err
	}
	if _, e, _ := p.both(l.From); l.Layer > len(e.Layers) {
		return s, t, 0, fmt.Errorf("the teacher has no layer %d, only 1 to %d", l.Layer, len(e.Layers))
	} else if l.Layer > 0 {
		t = e.Layers[l.Layer-1]
	}
	ws, wt := s.Heads*s.HeadDim, t.Heads*t.HeadDim
	divides := func(n int) bool { return ws%n == 0 && wt%n == 0 }
	switch {
	case l.Heads > 0 && !divides(l.Heads):
		return s, t, 0, fmt.Errorf("%d relation heads do not divide the widths %d of the student and %d of the teacher; choose a number that divides both", l.Heads, ws, wt)
	case l.Heads > 0:
		return s, t, l.Heads, nil
	case divides(paperHeads):
		return s, t, paperHeads, nil
	}
	for heads = max(1, min(ws, wt)/leastWidth); !divides(heads); heads-- {
	}
	return s, t, heads, nil
}

// Inner implements [Inner].
func (l MiniLMv2) Inner(p *Pair) error {
	s, t, _, err := l.layers(p)
	if err == nil {
		declareQKV(&Pair{p.insides, l.From}, s, t)
	}
	return err
}

// Build implements [Loss].
func (l MiniLMv2) Build(g *Graph) (*gorgonia.Node, error) {
	s, t, heads, err := l.layers(g.pair)
	if err != nil {
		return nil, err
	}
	var terms []*gorgonia.Node
	for _, v := range [][2]string{{s.Query, t.Query}, {s.Key, t.Key}, {s.Value, t.Value}} {
		term, err := g.relation(autodiff.RelationKL, l.From, heads, v, v)
		if err != nil {
			return nil, err
		}
		terms = append(terms, term)
	}
	return autodiff.Sum(1, terms...)
}

// check implements checker.
func (l MiniLMv2) check() error {
	if l.Heads < 0 || l.Layer < 0 {
		return fmt.Errorf("distill: %d relation heads and layer %d of the teacher; neither can be negative", l.Heads, l.Layer)
	}
	return nil
}
