package corpus

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
)

// key stands for the texts of an example; two texts share one by chance about
// never (128 bits).
type key [16]byte

func keyOf(e *Example) key {
	h := sha256.New()
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(e.Text)))
	h.Write(n[:])
	h.Write([]byte(e.Text))
	h.Write([]byte(e.Pair))
	e.Tokens.hash(h)
	return key(h.Sum(nil)[:16])
}

// Dedupe leaves out examples whose texts occurred before, whatever their label:
// the first one stays. It holds 16 bytes an example while it works.
func Dedupe(c Corpus) (Corpus, error) {
	seen := make(map[key]bool, c.Len())
	out := &chosen{Corpus: c}
	for i := range c.Len() {
		e, err := c.At(i)
		if err != nil {
			return nil, err
		}
		if k := keyOf(&e); !seen[k] {
			seen[k] = true
			out.index = append(out.index, int32(i))
		}
	}
	return out, nil
}

// Overlap returns the numbers of the examples of dev whose texts also occur in
// train: what is measured on them says nothing about unseen text.
func Overlap(train, dev Corpus) ([]int, error) {
	want := make(map[key][]int, dev.Len())
	for i := range dev.Len() {
		e, err := dev.At(i)
		if err != nil {
			return nil, err
		}
		k := keyOf(&e)
		want[k] = append(want[k], i)
	}
	found := make([]bool, dev.Len())
	for i := range train.Len() {
		e, err := train.At(i)
		if err != nil {
			return nil, err
		}
		k := keyOf(&e)
		for _, j := range want[k] {
			found[j] = true
		}
		delete(want, k)
	}
	var out []int
	for j, yes := range found {
		if yes {
			out = append(out, j)
		}
	}
	return out, nil
}

// Weighted joins corpora so that each example of cs[i] occurs weights[i] times:
// 2 is twice, 0.5 a random half drawn by seed, 1.5 each once and a half of them
// twice. Classes are merged by name.
func Weighted(cs []Corpus, weights []float64, seed uint64) (Corpus, error) {
	if len(cs) != len(weights) {
		return nil, fmt.Errorf("corpus: %d weights for %d corpora; give one for each", len(weights), len(cs))
	}
	parts := make([]Corpus, len(cs))
	for k, c := range cs {
		w := weights[k]
		if !(w >= 0 && w <= 1000) {
			return nil, fmt.Errorf("corpus: weight %d is %v; it must be from 0 to 1000", k+1, w)
		}
		whole := math.Floor(w)
		some := int(math.Round((w - whole) * float64(c.Len())))
		if total := whole*float64(c.Len()) + float64(some); total > math.MaxInt32 {
			return nil, fmt.Errorf("corpus: weight %v makes %.0f examples; at most %d fit", w, total, math.MaxInt32)
		}
		index := make([]int, 0, int(whole)*c.Len()+some)
		for range int(whole) {
			for i := range c.Len() {
				index = append(index, i)
			}
		}
		index = append(index, stream(seed, purposeShuffle, k+1, 0).Perm(c.Len())[:some]...)
		var err error
		if parts[k], err = Subset(c, index); err != nil {
			return nil, err
		}
	}
	return Concat(parts...)
}
