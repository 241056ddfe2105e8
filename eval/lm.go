package eval

import "math"

// perplexity is exp of the mean negative log-likelihood.
type perplexity struct {
	n            int
	sum, squares float64 // of −log p
	counts       []int
}

// Perplexity is exp(mean −log softmax(z)[gold]) over the scored rows. Its
// baseline is the perplexity of the unigram distribution of the scored labels
// themselves, exp(entropy): the best that any guess ignoring the context can
// reach on these rows, so a model above it in quality has learned from context.
func Perplexity([]string) Metric { return &perplexity{} }

func (p *perplexity) Name() string { return "perplexity" }

func (p *perplexity) Add(r Rows) {
	r.each(func(_ int, row []float32, gold int) {
		p.n++
		p.counts = count(p.counts, gold)
		if gold >= len(row) {
			p.sum = math.Inf(1)
			return
		}
		v := logSumExp(row) - float64(row[gold])
		p.sum += v
		p.squares += v * v
	})
}

func (p *perplexity) Value() float64 {
	if p.n == 0 {
		return math.NaN()
	}
	return math.Exp(p.sum / float64(p.n))
}

func (p *perplexity) Baseline() (string, float64) {
	if p.n == 0 {
		return "unigram", math.NaN()
	}
	h, n := 0.0, float64(p.n)
	for _, c := range p.counts {
		if c > 0 {
			h -= float64(c) / n * math.Log(float64(c)/n)
		}
	}
	return "unigram", math.Exp(h)
}

// logSumExp is log Σ exp(x) in float64 without overflow.
func logSumExp(x []float32) float64 {
	top := math.Inf(-1)
	for _, v := range x {
		top = math.Max(top, float64(v))
	}
	if math.IsInf(top, 0) || math.IsNaN(top) {
		return top
	}
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(float64(v) - top)
	}
	return top + math.Log(sum)
}

// agreement is the share of rows on which the argmax equals the reference's.
type agreement struct{ n, same int }

// Agreement is the share of rows on which the model's greatest score and the
// reference's are at the same class. Labels do not matter, only which rows are scored.
func Agreement([]string) Metric { return &agreement{} }

func (a *agreement) Name() string { return "agreement" }

func (a *agreement) Add(r Rows) {
	for i := 0; i < len(r.Reference)/max(r.Classes, 1); i++ {
		lo, hi := i*r.Classes, (i+1)*r.Classes
		a.n++
		if Argmax(r.Logits[lo:hi]) == Argmax(r.Reference[lo:hi]) {
			a.same++
		}
	}
}

func (a *agreement) Value() float64 { return ratio(a.same, a.n) }

// meanKL is the mean divergence from the reference's distribution.
type meanKL struct {
	n   int
	sum float64
}

// MeanKL is the mean over rows of KL(softmax(reference) ‖ softmax(model)), in nats.
func MeanKL([]string) Metric { return &meanKL{} }

func (m *meanKL) Name() string { return "kl" }

func (m *meanKL) Add(r Rows) {
	for i := 0; i < len(r.Reference)/max(r.Classes, 1); i++ {
		lo, hi := i*r.Classes, (i+1)*r.Classes
		z, t := r.Logits[lo:hi], r.Reference[lo:hi]
		lz, lt := logSumExp(z), logSumExp(t)
		for j := range z {
			logT := float64(t[j]) - lt
			if p := math.Exp(logT); p > 0 {
				m.sum += p * (logT - (float64(z[j]) - lz))
			}
		}
		m.n++
	}
}

func (m *meanKL) Value() float64 {
	if m.n == 0 {
		return math.NaN()
	}
	return m.sum / float64(m.n)
}
