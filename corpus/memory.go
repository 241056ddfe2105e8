package corpus

import (
	"fmt"
	"hash/fnv"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
)

// Memory is a corpus held in memory.
type Memory struct {
	examples []Example
	labels   []string
}

// FromExamples makes a corpus of examples that the caller no longer changes;
// Example.Label indexes labels.
func FromExamples(examples []Example, labels []string) *Memory {
	return &Memory{examples, labels}
}

// Len returns the number of examples.
func (m *Memory) Len() int { return len(m.examples) }

// Labels returns the class names.
func (m *Memory) Labels() []string { return m.labels }

// At returns example i.
func (m *Memory) At(i int) (Example, error) {
	if i < 0 || i >= len(m.examples) {
		return Example{}, outside(i, len(m.examples))
	}
	return m.examples[i], nil
}

func outside(i, n int) error {
	return fmt.Errorf("corpus: example %d does not exist; the corpus has %d, numbered from 0", i, n)
}

// chosen is a selection of another corpus.
type chosen struct {
	Corpus
	index []int32
}

func (c *chosen) Len() int { return len(c.index) }

func (c *chosen) At(i int) (Example, error) {
	if i < 0 || i >= len(c.index) {
		return Example{}, outside(i, len(c.index))
	}
	return c.Corpus.At(int(c.index[i]))
}

// window is a range of another corpus.
type window struct {
	Corpus
	lo, n int
}

func (w *window) Len() int { return w.n }

func (w *window) At(i int) (Example, error) {
	if i < 0 || i >= w.n {
		return Example{}, outside(i, w.n)
	}
	return w.Corpus.At(w.lo + i)
}

// Take returns the first n examples, or all when there are fewer.
func Take(c Corpus, n int) Corpus { return &window{c, 0, min(max(n, 0), c.Len())} }

// Skip returns what follows the first n examples.
func Skip(c Corpus, n int) Corpus {
	n = min(max(n, 0), c.Len())
	return &window{c, n, c.Len() - n}
}

// Subset returns the examples at the given places, in that order.
func Subset(c Corpus, indices []int) (Corpus, error) {
	s := &chosen{c, make([]int32, len(indices))}
	for k, i := range indices {
		if i < 0 || i >= c.Len() {
			return nil, outside(i, c.Len())
		}
		s.index[k] = int32(i)
	}
	return s, nil
}

// Shuffle returns the examples in an order that depends on seed only.
func Shuffle(c Corpus, seed uint64) Corpus {
	s := &chosen{c, make([]int32, c.Len())}
	for i := range s.index {
		s.index[i] = int32(i)
	}
	r := stream(seed, purposeShuffle, 0, 0)
	r.Shuffle(len(s.index), func(i, j int) { s.index[i], s.index[j] = s.index[j], s.index[i] })
	return s
}

// Split divides a corpus by a hash of each example's texts: about fraction of
// them go to first. Equal texts go to the same side, and an example stays on
// its side when others are added or removed.
func Split(c Corpus, fraction float64, seed uint64) (first, rest Corpus, err error) {
	if !(fraction >= 0 && fraction <= 1) {
		return nil, nil, fmt.Errorf("corpus: split fraction is %v; it must be from 0 to 1", fraction)
	}
	a, b := &chosen{Corpus: c}, &chosen{Corpus: c}
	for i := range c.Len() {
		e, err := c.At(i)
		if err != nil {
			return nil, nil, err
		}
		h := fnv.New64a()
		h.Write([]byte(e.Text))
		h.Write([]byte{0})
		h.Write([]byte(e.Pair))
		e.Tokens.hash(h)
		u := rand.NewPCG(mix(seed), h.Sum64()+purposeHash)
		if float64(u.Uint64()>>11)/(1<<53) < fraction {
			a.index = append(a.index, int32(i))
		} else {
			b.index = append(b.index, int32(i))
		}
	}
	return a, b, nil
}

// unlabeled hides labels.
type unlabeled struct{ Corpus }

func (u unlabeled) Labels() []string { return nil }

func (u unlabeled) At(i int) (Example, error) {
	e, err := u.Corpus.At(i)
	e.Label, e.Target = -1, ""
	return e, err
}

// Unlabeled hides the labels of a corpus; word annotations stay.
func Unlabeled(c Corpus) Corpus { return unlabeled{c} }

// relabeled gives examples other class numbers.
type relabeled struct {
	Corpus
	labels []string
	to     []int // old class → new
}

func (r *relabeled) Labels() []string { return r.labels }

func (r *relabeled) At(i int) (Example, error) {
	e, err := r.Corpus.At(i)
	if err == nil && e.Label >= 0 {
		if e.Label >= len(r.to) {
			return e, fmt.Errorf("corpus: %s has label %d, but the corpus names %d classes", e.Where(i), e.Label, len(r.to))
		}
		e.Label = r.to[e.Label]
	}
	return e, err
}

// WithLabels numbers the classes of c by labels, usually a model's id2label.
// Names are matched first; failing that, integers are taken as indices.
func WithLabels(c Corpus, labels []string) (Corpus, error) {
	old := c.Labels()
	if slices.Equal(old, labels) {
		return c, nil
	}
	m := newLabelMap(labels)
	r := &relabeled{Corpus: c, labels: labels, to: make([]int, len(old))}
	for i, s := range old {
		var err error
		if r.to[i], err = m.find(s); err != nil {
			return nil, fmt.Errorf("corpus: %s%w", firstOf(c, i), err)
		}
	}
	return r, nil
}

// firstOf says where a label first occurs, for the beginning of an error.
func firstOf(c Corpus, label int) string {
	for i := range c.Len() {
		if e, err := c.At(i); err == nil && e.Label == label {
			return e.Where(i) + ": "
		}
	}
	return ""
}

// concat is several corpora in a row.
type concat struct {
	parts  []Corpus
	ends   []int
	labels []string
}

func (c *concat) Len() int { return c.ends[len(c.ends)-1] }

func (c *concat) Labels() []string { return c.labels }

func (c *concat) At(i int) (Example, error) {
	if i < 0 || i >= c.Len() {
		return Example{}, outside(i, c.Len())
	}
	k, _ := slices.BinarySearch(c.ends, i+1)
	if k > 0 {
		i -= c.ends[k-1]
	}
	return c.parts[k].At(i)
}

// Concat joins corpora; their classes are merged by name.
func Concat(cs ...Corpus) (Corpus, error) {
	if len(cs) == 0 {
		return FromExamples(nil, nil), nil
	}
	seen := map[string]bool{}
	same := true
	for _, c := range cs {
		for _, s := range c.Labels() {
			seen[s] = true
		}
		same = same && slices.Equal(c.Labels(), cs[0].Labels())
	}
	out := &concat{labels: cs[0].Labels()}
	if !same {
		out.labels = sortLabels(slices.Collect(maps.Keys(seen)))
	}
	n := 0
	for _, c := range cs {
		if !same && len(c.Labels()) > 0 {
			var err error
			if c, err = WithLabels(c, out.labels); err != nil {
				return nil, err
			}
		}
		n += c.Len()
		out.parts, out.ends = append(out.parts, c), append(out.ends, n)
	}
	return out, nil
}

// Texts gives the first and the second text of each example, in order, token ids
// left out; it ends early where an example cannot be read.
func Texts(c Corpus) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range c.Len() {
			e, err := c.At(i)
			if err != nil || e.Tokens == nil && !yield(e.Text) || e.Pair != "" && !yield(e.Pair) {
				return
			}
		}
	}
}

// sortLabels orders class names: by number if all are integers, else by bytes.
func sortLabels(s []string) []string {
	slices.Sort(s)
	num := make(map[string]int, len(s))
	for _, x := range s {
		n, err := strconv.Atoi(x)
		if err != nil {
			return s
		}
		num[x] = n
	}
	slices.SortStableFunc(s, func(a, b string) int { return num[a] - num[b] })
	return s
}

// labelMap finds the class of a label as written in a file.
type labelMap struct {
	labels []string
	ids    map[string]int
}

func newLabelMap(labels []string) labelMap {
	m := labelMap{labels, make(map[string]int, len(labels))}
	for i, s := range labels {
		m.ids[s] = i
	}
	return m
}

func (m labelMap) find(s string) (int, error) {
	if i, ok := m.ids[s]; ok {
		return i, nil
	}
	if i, err := strconv.Atoi(s); err == nil && i >= 0 && i < len(m.labels) {
		return i, nil
	}
	shown := m.labels
	if len(shown) > 12 {
		shown = shown[:12]
	}
	return -1, fmt.Errorf("label %q is none of the %d classes %q; correct the label or give the model's labels", s, len(m.labels), shown)
}
