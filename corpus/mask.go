package corpus

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// MaskOptions says how a denoise view damages its input: BERT's masked language
// modelling (Devlin et al., arXiv 1810.04805, section 3.1).
type MaskOptions struct {
	// Rate is the share of the maskable tokens that become targets, (0, 1];
	// 0 = 0.15. The count is rounded, at least one per sequence.
	Rate float64
	// Replace and Random are the shares of the targets that are replaced by
	// [MASK] and by a random token; the rest stays as it is. Both 0 = 0.8, 0.1.
	Replace, Random float64
	// WholeWord masks all pieces of a word together: the annotated word where
	// there is one, else the pre-token (which is one character in Chinese).
	WholeWord bool
}

func (m MaskOptions) check() (MaskOptions, error) {
	if m.Rate == 0 {
		m.Rate = 0.15
	}
	if m.Replace == 0 && m.Random == 0 {
		m.Replace, m.Random = 0.8, 0.1
	}
	if !(m.Rate > 0 && m.Rate <= 1) {
		return m, fmt.Errorf("corpus: mask rate %v; it must be above 0 and at most 1", m.Rate)
	}
	if !(m.Replace >= 0 && m.Random >= 0 && m.Replace+m.Random <= 1+1e-9) {
		return m, fmt.Errorf("corpus: mask shares %v replaced and %v random; both must be at least 0 and their sum at most 1", m.Replace, m.Random)
	}
	return m, nil
}

// masker draws targets and damages them. It is immutable.
type masker struct {
	opts    MaskOptions
	special []bool
	mask    int32
	fill    []int32 // ids that a random replacement may be
}

func newMasker(t *Tokenizer, opts MaskOptions) masker {
	m := masker{opts: opts, special: make([]bool, t.VocabSize()), mask: int32(t.MaskID())}
	for id := range m.special {
		m.special[id] = t.IsSpecial(int64(id))
		if t.Token(int64(id)) != "" && !m.special[id] {
			m.fill = append(m.fill, int32(id))
		}
	}
	return m
}

func (m *masker) maskable(id int32) bool { return !m.special[id] }

// targets marks in chosen (all false, one per token) which tokens of ids are to
// be predicted; flags carry groupStart. It returns their number.
func (m *masker) targets(r *rand.Rand, ids []int32, flags []uint8, chosen []bool) int {
	groups := make([][2]int32, 0, len(ids)) // token ranges without specials
	total := 0
	for i, id := range ids {
		if !m.maskable(id) {
			continue
		}
		total++
		if n := len(groups); m.opts.WholeWord && n > 0 && flags[i]&groupStart == 0 && groups[n-1][1] == int32(i) {
			groups[n-1][1]++
			continue
		}
		groups = append(groups, [2]int32{int32(i), int32(i) + 1})
	}
	if total == 0 {
		return 0
	}
	want := max(1, int(math.Round(m.opts.Rate*float64(total))))
	have := 0
	for k := range groups { // partial Fisher-Yates: draws only what is used
		j := k + r.IntN(len(groups)-k)
		groups[k], groups[j] = groups[j], groups[k]
		g := groups[k]
		if n := int(g[1] - g[0]); have > 0 && have+n > want {
			continue // a long word would overshoot; try another
		}
		for i := g[0]; i < g[1]; i++ {
			chosen[i] = true
			have++
		}
		if have >= want {
			break
		}
	}
	return have
}

// damage returns what the model sees instead of a target.
func (m *masker) damage(r *rand.Rand, id int32) int32 {
	switch u := r.Float64(); {
	case u < m.opts.Replace:
		return m.mask
	case u < m.opts.Replace+m.opts.Random:
		return m.fill[r.IntN(len(m.fill))]
	}
	return id
}
