package distill

import (
	"errors"
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/student"
)

// Positions says at which tokens tags are learned.
type Positions string

// The positions: the masked ones, whose tag is not plain to see; every token
// of an annotated word, masked or not; or the first token of each such word.
const (
	MaskedWords Positions = "masked"
	AllWords    Positions = "all"
	FirstPieces Positions = "first-subword"
)

// TagPositions lists the positions.
func TagPositions() []Positions { return []Positions{MaskedWords, AllWords, FirstPieces} }

// POS predicts the part of speech of words in masked text (Mengzi, arXiv
// 2110.06696; the head is LERT's, arXiv 2211.05344): cross-entropy, mean over
// the positions.
type POS struct {
	// Positions is MaskedWords where it is not set. POS and NER have the same.
	Positions Positions
}

// Name is "pos".
func (POS) Name() string { return "pos" }

// View is Masked.
func (POS) View() View { return Masked }

// Build implements [Loss].
func (POS) Build(g *Graph) (*gorgonia.Node, error) {
	return g.classify(student.KindPOS, g.POS())
}

// NER predicts the BIO entity tag of words, as [POS] does the part of speech.
type NER struct {
	// Positions is MaskedWords where it is not set. POS and NER have the same.
	Positions Positions
}

// Name is "ner".
func (NER) Name() string { return "ner" }

// View is Masked.
func (NER) View() View { return Masked }

// Build implements [Loss].
func (NER) Build(g *Graph) (*gorgonia.Node, error) {
	return g.classify(student.KindNER, g.NER())
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
	return g.classify(student.KindSentenceOrder, g.Order())
}

// NSP is next-sentence prediction (Devlin et al., arXiv 1810.04805, section 3.1):
// whether the second segment follows the first in its document or is of
// another one. It is here for comparison; it excludes [SOP].
type NSP struct{}

// Name is "nsp".
func (NSP) Name() string { return "nsp" }

// View is Masked.
func (NSP) View() View { return Masked }

// Build implements [Loss].
func (NSP) Build(g *Graph) (*gorgonia.Node, error) {
	return g.classify(student.KindNextSentence, g.Next())
}

// classify is the cross-entropy of a head with labels.
func (g *Graph) classify(kind student.Kind, labels *gorgonia.Node) (*gorgonia.Node, error) {
	logits, err := g.head(kind)
	if err != nil {
		return nil, err
	}
	return autodiff.CrossEntropy(logits, labels, 0)
}

// positions are those of a loss on tags.
func positions(l Loss) (p Positions, tags bool) {
	switch l := l.(type) {
	case POS:
		p, tags = l.Positions, true
	case NER:
		p, tags = l.Positions, true
	}
	if tags && p == "" {
		p = MaskedWords
	}
	return p, tags
}

// tagPositions are those of the losses on tags.
func (c *Config) tagPositions() Positions {
	for _, t := range c.Loss.of(Masked) {
		if p, ok := positions(t.Loss); ok {
			return p
		}
	}
	return MaskedWords
}

// checkMasked refuses losses on masked text that do not go together.
func (c *Config) checkMasked() error {
	has := map[string]bool{}
	for _, t := range c.Loss.of(Masked) {
		has[t.Loss.Name()] = true
		p, tags := positions(t.Loss)
		switch {
		case tags && !slices.Contains(TagPositions(), p):
			return fmt.Errorf("distill: positions %q of %s are none of %v", p, t.Loss.Name(), TagPositions())
		case tags && p != c.tagPositions():
			return errors.New("distill: pos and ner learn tags at different positions; give both the same")
		}
		if l, ok := t.Loss.(InstanceRegularization); ok && l.Form != "" && l.Form != Additive && l.Form != Guided {
			return fmt.Errorf("distill: instance regularization %q is none of %s, %s (weights of sequences are Denoise.Weighted)", l.Form, Additive, Guided)
		}
		if l, ok := t.Loss.(SoftNegatives); ok && l.Top < 0 {
			return fmt.Errorf("distill: the %d likeliest tokens of negatives; give a number above 0", l.Top)
		}
	}
	switch {
	case has["sop"] && has["nsp"]:
		return errors.New("distill: a batch has pairs of segments for sop or for nsp, not for both; leave one of them out")
	case has["ir"] && !has["mlm"]:
		return errors.New("distill: the loss ir stands beside mlm; give that a weight too")
	case has["negatives"] && !has["mlm"]:
		return errors.New("distill: the loss negatives stands beside mlm; give that a weight too")
	}
	return nil
}

// selectRows are the outputs that are computed at the selected rows only. Those of
// tags are small and computed whole where they are learned at every token.
func (c *Config) selectRows(h *heads) ([]string, error) {
	if c.tagPositions() == MaskedWords {
		return h.rows, nil
	}
	if h.kind == student.KindPOS || h.kind == student.KindNER {
		return nil, unfit("the student's own head is a tagger, so pos and ner beside it learn at masked positions only; leave the positions %s out", c.tagPositions())
	}
	return slices.DeleteFunc(slices.Clone(h.rows), func(name string) bool {
		return name == h.output[student.KindPOS] || name == h.output[student.KindNER]
	}), nil
}

// spread takes the tags off a batch that has a row for every token, to a place
// for each token [B·S], and leaves it the rows of masked tokens: a masked language
// model's logits are wanted there alone.
func (s *stream) spread(b *corpus.Batch) (masked *corpus.Batch, pos, ner []int32) {
	if s.tags == MaskedWords {
		return b, nil, nil
	}
	out := *b
	out.Rows, out.MLM, out.POS, out.NER = nil, nil, nil, nil
	none := func(n int) []int32 { return slices.Repeat([]int32{-1}, n) }
	pos, ner = none(b.B*b.S), none(b.B*b.S)
	for r, at := range b.Rows {
		if b.POS[r] >= 0 {
			pos[at] = b.POS[r]
		}
		if b.NER[r] >= 0 {
			ner[at] = b.NER[r]
		}
		if b.MLM[r] >= 0 {
			out.Rows, out.MLM = append(out.Rows, at), append(out.MLM, b.MLM[r])
		}
	}
	for len(out.Rows) > 0 && len(out.Rows)%rowMultiple != 0 {
		out.Rows, out.MLM = append(out.Rows, out.Rows[0]), append(out.MLM, -1)
	}
	out.R = len(out.Rows)
	out.POS, out.NER = none(out.R), none(out.R)
	return &out, pos, ner
}
