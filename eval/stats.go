package eval

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Interval is a 95% confidence interval, in the units of what it is of; its
// bounds are NaN where nothing was measured.
type Interval struct {
	Low  Float `json:"low"`
	High Float `json:"high"`
}

// z95 is the standard normal deviate that 95% of draws do not exceed in size.
const z95 = 1.959963984540054

// Wilson is the 95% score interval of a proportion (Wilson 1927): right of n.
// It stays inside [0, 1] and is honest for small n; n = 0 gives [NaN, NaN].
func Wilson(right, n int) Interval {
	if n <= 0 {
		return Interval{Float(math.NaN()), Float(math.NaN())}
	}
	const z = z95
	p, m := float64(right)/float64(n), float64(n)
	mid := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return Interval{Float(math.Max(0, mid-half)), Float(math.Min(1, mid+half))}
}

// Bootstrap is the 95% percentile interval of value over samples resampled
// from n items: draws times, value is called with n indices drawn with
// replacement (Efron & Tibshirani 1993, ch. 13). Draws for which value gives NaN,
// such as the correlation of a constant, do not count; [NaN, NaN] where none does.
// The same seed gives the same interval.
func Bootstrap(n, draws int, seed uint64, value func(index []int) float64) Interval {
	if n <= 0 || draws <= 0 {
		return Interval{Float(math.NaN()), Float(math.NaN())}
	}
	rng := rand.New(rand.NewPCG(seed, 0xb007))
	index, got := make([]int, n), make([]float64, 0, draws)
	for range draws {
		for i := range index {
			index[i] = rng.IntN(n)
		}
		if v := value(index); !math.IsNaN(v) {
			got = append(got, v)
		}
	}
	if len(got) == 0 {
		return Interval{Float(math.NaN()), Float(math.NaN())}
	}
	slices.Sort(got)
	at := func(q float64) Float { return Float(got[min(int(q*float64(len(got))), len(got)-1)]) }
	return Interval{at(0.025), at(0.975)}
}

// McNemar is the exact two-sided p-value that two classifiers tested on the
// same examples err equally often: b examples only the first got right, c only
// the second. 2·P(X ≤ min(b, c)), X ~ Binomial(b+c, ½), at most 1 (McNemar 1947
// in its exact form); 1 where they never differ.
func McNemar(b, c int) float64 {
	n, k := b+c, min(b, c)
	if n == 0 {
		return 1
	}
	lgN, _ := math.Lgamma(float64(n + 1))
	p := 0.0
	for i := 0; i <= k; i++ {
		lgI, _ := math.Lgamma(float64(i + 1))
		lgR, _ := math.Lgamma(float64(n - i + 1))
		p += math.Exp(lgN - lgI - lgR - float64(n)*math.Ln2)
	}
	return math.Min(1, 2*p)
}
