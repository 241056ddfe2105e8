package distill

import (
	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/synonym"
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
	// Synonyms, if not nil, corrects true negatives (Zhang, Zhao, Utiyama, Sumita,
	// AAAI 2023): a position where the student's likeliest token is not the right
	// one, but among its synonyms, counts for nothing. The paper has no public code;
	// this is L = −Σ w·log p[y] / Σ w with w = 0 there and 1 elsewhere. The share
	// of the positions that are left out is reported as "corrected".
	Synonyms *synonym.IDs
	// Weighted lets a sequence count by how badly masking damaged it (after Zhang,
	// Zhao, Zhou, EMNLP 2022; the form is our own): by w = d/mean(d), clipped to
	// [0.25, 4], with d = D(H masked, H original) as in [InstanceRegularization]. The
	// weights are constants to the student, and the mean over the positions is
	// a weighted one. It takes two more forward passes. The mean of d is reported
	// as "damage".
	Weighted bool
}

// masks are the options of the masked view.
func (l Denoise) masks() corpus.MaskOptions {
	return corpus.MaskOptions{Rate: l.Mask, Unit: l.Unit, NGram: l.NGram, SpanP: l.SpanP, SpanMax: l.SpanMax, Replace: l.Replace, Random: l.Random}
}

// Name is "mlm".
func (Denoise) Name() string { return "mlm" }

// View is Masked.
func (Denoise) View() View { return Masked }

// Reports implements [Reporter].
func (l Denoise) Reports() (names []string) {
	if l.Synonyms != nil {
		names = append(names, "corrected")
	}
	if l.Weighted {
		names = append(names, "damage")
	}
	return names
}

// Build implements [Loss].
func (l Denoise) Build(g *Graph) (*gorgonia.Node, error) {
	logits, err := g.head(student.KindMaskedLM)
	if err != nil {
		return nil, err
	}
	var h autodiff.Hard
	if l.Synonyms != nil {
		h.Excuse, h.Excused = l.Synonyms.Has, g.Report("corrected")
	}
	if l.Weighted {
		e, err := g.owner.anatomy()
		if err != nil {
			return nil, err
		}
		for _, copied := range []string{"instance masked", "instance gold"} {
			g.hold(copied, g.b, g.s, e.Layers[0].Query.In)
		}
		damage := g.Report("damage")
		h.Weight = g.Floats("instance weights", func(m *Moment) (w []float32, err error) {
			w, *damage, err = m.instanceWeights()
			return w, err
		}, g.Rows())
	}
	return autodiff.HardLabels(logits, g.Tokens(), h)
}
