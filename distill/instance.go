package distill

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/student"
)

// Instance is a form of instance regularization.
type Instance string

const (
	// Additive is D(H_c, H_p), as released by the authors. Their sum also has
	// D(H_p, H_g), which has no gradient in their code either: it is reported as
	// "restored" and not part of the loss.
	Additive Instance = "additive"
	// Guided is D(H_c, H_g), our own form: the masked text is to be seen as the
	// original is.
	Guided Instance = "guided"
)

// InstanceRegularization makes the strength of an update follow how badly a
// sample was damaged by masking (Zhang, Zhao, Zhou: Instance Regularization for
// Discriminative Language Model Pre-training, EMNLP 2022). H_c are the last hidden
// states of the masked text, H_p those where each masked token is replaced by one
// that the student draws from its own prediction, H_g those of the original text.
// D(a, b) is the mean over tokens of KL(softmax(b) ‖ softmax(a)) over the hidden
// dimension. Gradients flow through H_c alone.
//
// H_p, H_g and the prediction come from passes of the student as it stands, without
// dropout: one more for Guided, three for Additive. What is drawn follows
// from (seed, batch). It stands beside [Denoise]. The third form, weights of the
// sequences, is [Denoise.Weighted].
type InstanceRegularization struct {
	// Form is Additive where it is not set.
	Form Instance
}

// Name is "ir".
func (InstanceRegularization) Name() string { return "ir" }

// View is Masked.
func (InstanceRegularization) View() View { return Masked }

// Reports implements [Reporter].
func (l InstanceRegularization) Reports() []string {
	if l.Form == Guided {
		return nil
	}
	return []string{"restored"}
}

// Build implements [Loss].
func (l InstanceRegularization) Build(g *Graph) (*gorgonia.Node, error) {
	e, err := g.owner.anatomy()
	if err != nil {
		return nil, err
	}
	hidden, err := g.pass.Output(lastHidden(e))
	if err != nil {
		return nil, err
	}
	name, feed := "instance gold", func(m *Moment) ([]float32, error) { return m.gold() }
	if l.Form != Guided {
		g.hold("instance gold", hidden.Shape()...)
		restored := g.Report("restored")
		name, feed = "instance predicted", func(m *Moment) ([]float32, error) {
			p, err := m.predicted()
			if err != nil {
				return nil, err
			}
			*restored, err = m.distance(p, m.gold)
			return p, err
		}
	}
	tokens := g.Floats("tokens that count", func(m *Moment) ([]float32, error) { return realTokens(m.Batch), nil }, g.b*g.s)
	return autodiff.KL(hidden, g.Floats(name, feed, hidden.Shape()...), 1, tokens)
}

// realTokens [B·S] is 1 on the tokens of examples and 0 on padding.
func realTokens(b *corpus.Batch) []float32 {
	w := make([]float32, b.B*b.S)
	for i, m := range b.Mask {
		if m != 0 && b.Index[i/b.S] >= 0 {
			w[i] = 1
		}
	}
	return w
}

// lastHidden is the value that the heads read.
func lastHidden(e *fuse.Encoder) string { return e.Layers[len(e.Layers)-1].Hidden }

// looksInside reports whether any loss reads the hidden states of its own.
func (s Sum) looksInside() bool {
	return slices.ContainsFunc(s.of(Masked), func(t Term) bool {
		switch l := t.Loss.(type) {
		case InstanceRegularization:
			return true
		case Denoise:
			return l.Weighted
		}
		return false
	})
}

// anatomy describes the student's encoder.
func (t *trainer) anatomy() (*fuse.Encoder, error) {
	if t.encoder == nil {
		e, err := fuse.Detect(fuse.Untie(t.model)) // as the trained model names its weights
		if err != nil {
			return nil, fmt.Errorf("distill: the student's encoder: %w", err)
		}
		t.encoder = e
	}
	return t.encoder, nil
}

// glance is a forward pass without dropout.
type glance struct {
	pass *autodiff.Pass
	node *gorgonia.Node
}

type glanceKey struct {
	output  string
	b, s, r int
}

// glance is the forward pass for an output at the shape of a batch.
func (t *trainer) glance(b *corpus.Batch, output string) (*glance, error) {
	key := glanceKey{output, b.B, b.S, b.R}
	if g := t.glances[key]; g != nil {
		return g, nil
	}
	if len(t.glances) >= maxShapes {
		clear(t.glances)
	}
	pass, err := t.program.NewForward(b.B, b.S, b.R)
	if err != nil {
		return nil, fmt.Errorf("distill: %w", err)
	}
	g := &glance{pass: pass}
	if g.node, err = pass.Output(output); err != nil {
		return nil, err
	}
	if err := pass.Compile(nil); err != nil {
		return nil, fmt.Errorf("distill: %w", err)
	}
	t.glances[key] = g
	return g, nil
}

// glanceMemory is what the looks at a masked batch need of the passes' memory, in bytes.
func (t *trainer) glanceMemory(b *corpus.Batch) (most int64, err error) {
	if !t.cfg.Loss.looksInside() {
		return 0, nil
	}
	e, err := t.anatomy()
	if err != nil {
		return 0, err
	}
	outputs := []string{lastHidden(e)}
	for _, term := range t.cfg.Loss.of(Masked) {
		if l, ok := term.Loss.(InstanceRegularization); ok && l.Form != Guided {
			outputs = append(outputs, t.heads.output[student.KindMaskedLM])
		}
	}
	for _, output := range outputs {
		g, err := t.glance(b, output)
		if err != nil {
			return 0, err
		}
		most = max(most, g.pass.Memory())
	}
	return most, nil
}

// look runs the student as it stands on ids in place of the batch's and returns an
// output. Its memory is that of all passes: it is valid until the next one runs.
func (t *trainer) look(b *corpus.Batch, ids []int64, output string) ([]float32, error) {
	g, err := t.glance(b, output)
	if err != nil {
		return nil, err
	}
	in := map[string][]int64{"input_ids": ids, "attention_mask": b.Mask, "token_type_ids": b.Types, fuse.RowsInput: b.Rows}
	if _, err := g.pass.Run(autodiff.Feed{Inputs: in}); err != nil {
		return nil, err
	}
	x, ok := g.node.Value().Data().([]float32)
	if !ok {
		return nil, fmt.Errorf("distill: output %q of the student is not float32", output)
	}
	return x, nil
}

// seen are the hidden states [B,S,H] of a batch, each made when it is first asked for.
type seen struct{ masked, predicted, gold []float32 }

// hidden copies the last hidden states for other ids: the memory of passes is
// shared, and the main one comes after.
func (m *Moment) hidden(kept *[]float32, ids func() ([]int64, error)) ([]float32, error) {
	if *kept != nil {
		return *kept, nil
	}
	e, err := m.owner.anatomy()
	if err != nil {
		return nil, err
	}
	tokens, err := ids()
	if err != nil {
		return nil, err
	}
	h, err := m.owner.look(m.Batch, tokens, lastHidden(e))
	*kept = slices.Clone(h)
	return *kept, err
}

// masked is H_c without dropout.
func (m *Moment) masked() ([]float32, error) {
	return m.hidden(&m.seen.masked, func() ([]int64, error) { return m.Batch.IDs, nil })
}

// gold is H_g.
func (m *Moment) gold() ([]float32, error) {
	return m.hidden(&m.seen.gold, func() ([]int64, error) { return m.filled(m.Batch.MLM), nil })
}

// predicted is H_p.
func (m *Moment) predicted() ([]float32, error) {
	return m.hidden(&m.seen.predicted, func() ([]int64, error) {
		b, t := m.Batch, m.owner
		z, err := t.look(b, b.IDs, t.heads.output[student.KindMaskedLM])
		if err != nil {
			return nil, err
		}
		rng, u, drawn := rand.New(rand.NewPCG(t.cfg.Seed^purposeDraw, uint64(m.number))), make([]float32, b.R), make([]int32, b.R)
		for i := range u {
			u[i] = rng.Float32()
		}
		kernel.Sample(drawn, z, u, b.R, len(z)/max(1, b.R))
		return m.filled(drawn), nil
	})
}

// purposeDraw sets the numbers for drawing apart from all others of the same seed.
const purposeDraw = 0x6972_6472_6177_6e21

// filled are the batch's ids with other tokens at the masked positions.
func (m *Moment) filled(tokens []int32) []int64 {
	ids := slices.Clone(m.Batch.IDs)
	for r, at := range m.Batch.Rows {
		if m.Batch.MLM[r] >= 0 {
			ids[at] = int64(tokens[r])
		}
	}
	return ids
}

// distance is D(a, b), for b that is made now.
func (m *Moment) distance(a []float32, b func() ([]float32, error)) (float64, error) {
	target, err := b()
	if err != nil {
		return 0, err
	}
	w := realTokens(m.Batch)
	l := kernel.LogitLoss{Teacher: target, T: 1, Weight: w}
	sum, total := l.Value(a, len(w), len(a)/max(1, len(w)))
	return sum / max(1, total), nil
}

// instanceWeights [R] are the weights of [Denoise.Weighted] at the masked
// positions, and the mean over sequences of D(H_c, H_g).
func (m *Moment) instanceWeights() (w []float32, mean float64, err error) {
	a, err := m.masked()
	if err != nil {
		return nil, 0, err
	}
	gold, err := m.gold()
	if err != nil {
		return nil, 0, err
	}
	b := m.Batch
	n, tokens, d := len(a)/b.B, realTokens(b), make([]float64, b.B)
	count := 0
	for i := range d {
		if b.Index[i] < 0 {
			continue
		}
		l := kernel.LogitLoss{Teacher: gold[i*n : (i+1)*n], T: 1, Weight: tokens[i*b.S : (i+1)*b.S]}
		sum, total := l.Value(a[i*n:(i+1)*n], b.S, n/b.S)
		d[i] = sum / max(1, total)
		mean += d[i]
		count++
	}
	mean /= float64(max(1, count))
	w = make([]float32, b.R)
	for r, at := range b.Rows {
		w[r] = 1
		if mean > 0 {
			w[r] = float32(min(4, max(0.25, d[int(at)/b.S]/mean)))
		}
	}
	return w, mean, nil
}
