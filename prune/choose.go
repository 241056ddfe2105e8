package prune

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// limits is what a choice of groups must leave.
type limits struct{ min, multiple int }

// choose returns, per layer, the groups to remove in ascending order: the
// lowest scores, ties by layer and position.
func choose(what string, scores [][]float32, sizes []int, c Config, lim limits) ([][]int, error) {
	if len(scores) != len(sizes) {
		return nil, fmt.Errorf("prune: the criterion %s scores the %s of %d layers; the model has %d", c.Criterion.Name(), what, len(scores), len(sizes))
	}
	for l, row := range scores {
		if len(row) != sizes[l] {
			return nil, fmt.Errorf("prune: the criterion %s gives %d scores for the %d %s of layer %d", c.Criterion.Name(), len(row), sizes[l], what, l)
		}
		for i, s := range row {
			if s != s {
				return nil, fmt.Errorf("prune: the criterion %s gives no number for %s %d of layer %d", c.Criterion.Name(), what, i, l)
			}
		}
	}
	if c.Normalize {
		scores = normalize(scores)
	}
	removed := make([][]int, len(sizes))
	if c.Scope == Global {
		chooseGlobal(scores, sizes, c.Sparsity, lim, removed)
	} else {
		for l, row := range scores {
			n := min(quota(sizes[l], c.Sparsity), max(0, sizes[l]-lim.min))
			removed[l] = order(row)[:n]
		}
	}
	for l := range removed {
		// The last ones taken are the best; they are given back first.
		keep := sizes[l] - len(removed[l])
		if r := keep % lim.multiple; r != 0 {
			removed[l] = removed[l][:max(0, len(removed[l])-(lim.multiple-r))]
		}
		slices.Sort(removed[l])
	}
	return removed, nil
}

// order lists the positions of a row by rising score, ties by position.
func order(row []float32) []int {
	idx := make([]int, len(row))
	for i := range idx {
		idx[i] = i
	}
	slices.SortStableFunc(idx, func(a, b int) int { return cmp.Compare(row[a], row[b]) })
	return idx
}

func chooseGlobal(scores [][]float32, sizes []int, sparsity float64, lim limits, removed [][]int) {
	type item struct {
		score    float32
		layer, i int
	}
	var all []item
	for l, row := range scores {
		for i, s := range row {
			all = append(all, item{s, l, i})
		}
	}
	slices.SortStableFunc(all, func(a, b item) int { return cmp.Compare(a.score, b.score) })
	left := quota(len(all), sparsity)
	for _, it := range all {
		if left == 0 {
			return
		}
		if sizes[it.layer]-len(removed[it.layer]) > lim.min {
			removed[it.layer] = append(removed[it.layer], it.i)
			left--
		}
	}
}

// normalize divides each layer's scores by their L2 norm.
func normalize(scores [][]float32) [][]float32 {
	out := make([][]float32, len(scores))
	for l, row := range scores {
		sum := 0.0
		for _, s := range row {
			sum += float64(s) * float64(s)
		}
		out[l] = slices.Clone(row)
		if norm := math.Sqrt(sum); norm > 0 && !math.IsInf(norm, 0) {
			for i := range out[l] {
				out[l][i] = float32(float64(row[i]) / norm)
			}
		}
	}
	return out
}

// key orders float32 as unsigned integers do; −0 equals 0.
func key(f float32) uint32 {
	b := math.Float32bits(f + 0)
	if b>>31 == 1 {
		return ^b
	}
	return b | 1<<31
}

// threshold finds the k-th smallest of the scores, 1 ≤ k ≤ n, by counting the two
// halves of their keys: linear time, no copy. It returns its key and how many
// scores are below it.
func threshold(scores [][]float32, k int) (t uint32, below int) {
	var counts [1 << 16]int
	for _, row := range scores {
		for _, s := range row {
			counts[key(s)>>16]++
		}
	}
	high := uint32(0)
	for below+counts[high] < k {
		below += counts[high]
		high++
	}
	counts = [1 << 16]int{}
	for _, row := range scores {
		for _, s := range row {
			if v := key(s); v>>16 == high {
				counts[v&0xffff]++
			}
		}
	}
	low := uint32(0)
	for below+counts[low] < k {
		below += counts[low]
		low++
	}
	return high<<16 | low, below
}

// lowest marks the k smallest of all rows together, ties by row and position.
func lowest(rows [][]float32, marks []Mask, k int) {
	if k <= 0 {
		return
	}
	t, below := threshold(rows, k)
	ties := k - below
	for r, row := range rows {
		for i, s := range row {
			v := key(s)
			if v == t && ties > 0 {
				ties--
			} else if v >= t {
				continue
			}
			marks[r].Bits[i/64] |= 1 << (i % 64)
		}
	}
}
