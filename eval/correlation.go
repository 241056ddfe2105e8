package eval

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// correlation keeps pairs of score and target. A model with one output per row
// is a regressor: its score is that output; with more, the expected class index.
// The target is Rows.Target, without which it is the class.
type correlation struct {
	name string
	x, y []float64
}

// Pearson is the linear correlation of score and label (or number to predict): for regression heads
// (one output) the output itself, else the expected class under the softmax. NaN for
// fewer than two rows, where either is constant, and where a score is NaN.
func Pearson([]string) Metric { return &correlation{name: "pearson"} }

// Spearman is Pearson's correlation of ranks, ties given their mean rank
// (Spearman 1904); NaN where [Pearson] is.
func Spearman([]string) Metric { return &correlation{name: "spearman"} }

func (c *correlation) Name() string { return c.name }

func (c *correlation) Add(r Rows) {
	r.each(func(i int, row []float32, gold int) {
		target := float64(gold)
		if r.Target != nil {
			target = float64(r.Target[i])
		}
		score := float64(row[0])
		if len(row) > 1 {
			score = 0
			z := logSumExp(row)
			for k, v := range row {
				score += float64(k) * math.Exp(float64(v)-z)
			}
		}
		c.x, c.y = append(c.x, score), append(c.y, target)
	})
}

func (c *correlation) Value() float64 {
	if len(c.x) < 2 || slices.ContainsFunc(c.x, math.IsNaN) {
		return math.NaN() // NaN has no rank
	}
	x, y := c.x, c.y
	if c.name == "spearman" {
		x, y = ranks(x), ranks(y)
	}
	return stat.Correlation(x, y, nil)
}

// ranks gives each value its rank from 1, equal values their mean rank. None may
// be NaN.
func ranks(v []float64) []float64 {
	order := make([]int, len(v))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(v[a], v[b]) })
	out := make([]float64, len(v))
	for i := 0; i < len(order); {
		j := i + 1
		for j < len(order) && v[order[j]] == v[order[i]] {
			j++
		}
		for k := i; k < j; k++ {
			out[order[k]] = float64(i+j+1) / 2
		}
		i = j
	}
	return out
}
