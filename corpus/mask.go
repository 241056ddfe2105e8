package corpus

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// MaskUnit is what is masked together.
type MaskUnit string

// The units. A word is the annotated word where there is one, else the
// pre-token, which is one character in Chinese.
const (
	MaskToken MaskUnit = "token" // single pieces (Devlin et al., arXiv 1810.04805)
	MaskWord  MaskUnit = "word"  // all pieces of a word (Cui et al., arXiv 1906.08101)
	MaskNGram MaskUnit = "ngram" // n words in a row, n with probability ∝ 1/n (Lan et al., arXiv 1909.11942, section 3.1)
	MaskSpan  MaskUnit = "span"  // words in a row, their number geometric (Joshi et al., arXiv 1907.10529, section 3.1)
)

// MaskUnits returns all units.
func MaskUnits() []MaskUnit { return []MaskUnit{MaskToken, MaskWord, MaskNGram, MaskSpan} }

// MaskOptions says how a denoise view damages its input: BERT's masked language
// modelling (Devlin et al., arXiv 1810.04805, section 3.1), by pieces or by more
// at a time. What is drawn depends on (seed, epoch, sequence) alone.
type MaskOptions struct {
	// Rate is the share of the maskable tokens that become targets, (0, 1];
	// 0 = 0.15. The count is rounded, at least one per sequence; units of
	// several tokens stay below it where the next one would go beyond.
	Rate float64
	// Replace and Random are the shares of the targets that are replaced by
	// [MASK] and by a random token; the rest stays as it is. Both 0 = 0.8, 0.1.
	// A span has one of the three fates as a whole.
	Replace, Random float64
	// Unit is what is masked together; "" = MaskToken. Where nothing tells
	// words, as in a corpus of token ids, each token counts as one.
	Unit MaskUnit
	// NGram is the most words of an n-gram; 0 = 3.
	NGram int
	// SpanP is p of the geometric distribution of a span's words, (0, 1);
	// 0 = 0.2. SpanMax is the most words, 0 = 10: the distribution is cut off
	// there, so that the mean is 3.8.
	SpanP   float64
	SpanMax int
}

// maxRun bounds NGram and SpanMax.
const maxRun = 1 << 10

func (m MaskOptions) check() (MaskOptions, error) {
	if m.Rate == 0 {
		m.Rate = 0.15
	}
	if m.Replace == 0 && m.Random == 0 {
		m.Replace, m.Random = 0.8, 0.1
	}
	if m.Unit == "" {
		m.Unit = MaskToken
	}
	if m.NGram == 0 {
		m.NGram = 3
	}
	if m.SpanP == 0 {
		m.SpanP = 0.2
	}
	if m.SpanMax == 0 {
		m.SpanMax = 10
	}
	switch {
	case !(m.Rate > 0 && m.Rate <= 1):
		return m, fmt.Errorf("corpus: mask rate %v; it must be above 0 and at most 1", m.Rate)
	case !(m.Replace >= 0 && m.Random >= 0 && m.Replace+m.Random <= 1+1e-9):
		return m, fmt.Errorf("corpus: mask shares %v replaced and %v random; both must be at least 0 and their sum at most 1", m.Replace, m.Random)
	case !slices.Contains(MaskUnits(), m.Unit):
		return m, fmt.Errorf("corpus: mask unit %q is none of %q", m.Unit, MaskUnits())
	case m.NGram < 1 || m.NGram > maxRun || m.SpanMax < 1 || m.SpanMax > maxRun:
		return m, fmt.Errorf("corpus: n-grams of %d words and spans of %d; both must be from 1 to %d", m.NGram, m.SpanMax, maxRun)
	case !(m.SpanP > 0 && m.SpanP < 1):
		return m, fmt.Errorf("corpus: the probability of a span's end is %v; it must be above 0 and below 1", m.SpanP)
	}
	return m, nil
}

// Check reports the first option that is out of its range.
func (m MaskOptions) Check() error {
	_, err := m.check()
	return err
}

// masker draws targets and damages them. It is immutable.
type masker struct {
	opts    MaskOptions
	special []bool
	mask    int32
	fill    []int32   // ids that a random replacement may be
	runs    []float64 // runs[n−1]: probability of at most n words in a row; nil for single units
}

func newMasker(t *Tokenizer, opts MaskOptions) masker {
	m := masker{opts: opts, special: make([]bool, t.VocabSize()), mask: int32(t.MaskID())}
	for id := range m.special {
		m.special[id] = t.IsSpecial(int64(id))
		if t.Token(int64(id)) != "" && !m.special[id] {
			m.fill = append(m.fill, int32(id))
		}
	}
	switch opts.Unit {
	case MaskNGram:
		m.runs = cumulative(opts.NGram, func(n int) float64 { return 1 / float64(n) })
	case MaskSpan:
		m.runs = cumulative(opts.SpanMax, func(n int) float64 { return math.Pow(1-opts.SpanP, float64(n-1)) })
	}
	return m
}

// cumulative is the distribution over 1 … n in proportion to weight.
func cumulative(n int, weight func(n int) float64) []float64 {
	out, sum := make([]float64, n), 0.0
	for i := range out {
		sum += weight(i + 1)
		out[i] = sum
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

func (m *masker) maskable(id int32) bool { return !m.special[id] }

// targets marks in chosen (all 0, one per token) which tokens of ids are to be
// predicted, with the number of their unit from 1 on; flags carry groupStart. It
// returns their number.
func (m *masker) targets(r *rand.Rand, ids []int32, flags []uint8, chosen []int32) int {
	groups := make([][2]int32, 0, len(ids)) // token ranges without specials
	total := 0
	for i, id := range ids {
		if !m.maskable(id) {
			continue
		}
		total++
		if n := len(groups); m.opts.Unit != MaskToken && n > 0 && flags[i]&groupStart == 0 && groups[n-1][1] == int32(i) {
			groups[n-1][1]++
			continue
		}
		groups = append(groups, [2]int32{int32(i), int32(i) + 1})
	}
	if total == 0 {
		return 0
	}
	want := max(1, int(math.Round(m.opts.Rate*float64(total))))
	if m.runs != nil {
		return m.chooseRuns(r, groups, want, chosen)
	}
	return choose(r, groups, want, chosen)
}

// choose takes single groups.
func choose(r *rand.Rand, groups [][2]int32, want int, chosen []int32) int {
	have := 0
	for k := range groups { // partial Fisher-Yates: draws only what is used
		j := k + r.IntN(len(groups)-k)
		groups[k], groups[j] = groups[j], groups[k]
		g := groups[k]
		if n := int(g[1] - g[0]); have > 0 && have+n > want {
			continue // a long word would overshoot; try another
		}
		for i := g[0]; i < g[1]; i++ {
			chosen[i] = int32(k) + 1
			have++
		}
		if have >= want {
			break
		}
	}
	return have
}

// chooseRuns takes groups in a row: a length is drawn, then a place among those
// where so many free groups fit; where none is left, the length shrinks.
func (m *masker) chooseRuns(r *rand.Rand, groups [][2]int32, want int, chosen []int32) int {
	have := 0
	for unit := int32(1); have < want; unit++ {
		u := r.Float64()
		n := 1
		for n < len(m.runs) && m.runs[n-1] <= u {
			n++
		}
		first := -1
		for ; n > 0; n-- {
			places := countPlaces(groups, chosen, n, want-have, -1)
			if places > 0 {
				first = countPlaces(groups, chosen, n, want-have, r.IntN(places))
				break
			}
		}
		if first < 0 {
			if have > 0 {
				break // what is left is longer than what is wanted
			}
			first, n = r.IntN(len(groups)), 1
		}
		for i := groups[first][0]; i < groups[first+n-1][1]; i++ {
			chosen[i] = unit
			have++
		}
	}
	return have
}

// countPlaces counts the places where n free groups in a row have at most room
// tokens; with k ≥ 0 it returns the first group of place k instead.
func countPlaces(groups [][2]int32, chosen []int32, n, room, k int) int {
	count, run := 0, 0
	for i, g := range groups {
		switch {
		case chosen[g[0]] != 0:
			run = 0
			continue
		case i > 0 && groups[i-1][1] != g[0]:
			run = 1
		default:
			run++
		}
		if first := i - n + 1; run >= n && int(g[1]-groups[first][0]) <= room {
			if count == k {
				return first
			}
			count++
		}
	}
	return count
}

// fate is what becomes of a target.
type fate int

const (
	replaced fate = iota
	randomized
	kept
)

func (m *masker) fate(r *rand.Rand) fate {
	switch u := r.Float64(); {
	case u < m.opts.Replace:
		return replaced
	case u < m.opts.Replace+m.opts.Random:
		return randomized
	}
	return kept
}

// damage returns what the model sees instead of a target.
func (m *masker) damage(r *rand.Rand, id int32, f fate) int32 {
	switch f {
	case replaced:
		return m.mask
	case randomized:
		return m.fill[r.IntN(len(m.fill))]
	}
	return id
}
