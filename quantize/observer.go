package quantize

import (
	"fmt"
	"math"
	"math/bits"
	"strings"
)

// Observer learns the range of one activation from the values it is shown.
type Observer interface {
	// Observe takes the values of one batch: finite, padding left out.
	Observe(x []float32)
	// Range is the range learned; [0, 0] where nothing was observed.
	Range() (lo, hi float32)
}

// Calibrator makes an observer for each activation.
type Calibrator interface {
	// Name is the stable name, such as "minmax".
	Name() string
	// New makes an observer that has seen nothing.
	New() Observer
}

// Calibrators lists the calibrators with their default settings, by name.
func Calibrators() []Calibrator {
	return []Calibrator{MinMax{}, MovingAverage{}, Percentile{}, MSE{}}
}

// CalibratorByName returns the calibrator of that name with its default settings.
func CalibratorByName(name string) (Calibrator, error) {
	var names []string
	for _, c := range Calibrators() {
		if c.Name() == name {
			return c, nil
		}
		names = append(names, c.Name())
	}
	return nil, fmt.Errorf("quantize: calibration method %q is not known; choose from %s", name, strings.Join(names, ", "))
}

// MinMax takes the least and greatest value seen.
type MinMax struct{}

// Name is "minmax".
func (MinMax) Name() string { return "minmax" }

// New implements [Calibrator].
func (MinMax) New() Observer { return &minMax{} }

type minMax struct {
	lo, hi float32
	seen   bool
}

func (m *minMax) Observe(x []float32) {
	for _, v := range x {
		if !m.seen {
			m.lo, m.hi, m.seen = v, v, true
		}
		m.lo, m.hi = min(m.lo, v), max(m.hi, v)
	}
}

func (m *minMax) Range() (lo, hi float32) { return m.lo, m.hi }

// MovingAverage averages each batch's least and greatest value exponentially,
// which forgives a single odd batch. Unlike the other calibrators it depends
// on the order and the size of the batches.
type MovingAverage struct {
	// Decay is the weight of the past, 0 < Decay < 1; 0 is 0.9.
	Decay float64
}

// Name is "moving-average".
func (MovingAverage) Name() string { return "moving-average" }

// New implements [Calibrator].
func (a MovingAverage) New() Observer {
	d := a.Decay
	if d <= 0 || d >= 1 {
		d = 0.9
	}
	return &movingAverage{decay: d}
}

type movingAverage struct {
	decay, lo, hi float64
	seen          bool
}

func (a *movingAverage) Observe(x []float32) {
	if len(x) == 0 {
		return
	}
	var m minMax
	m.Observe(x)
	lo, hi := float64(m.lo), float64(m.hi)
	if !a.seen {
		a.lo, a.hi, a.seen = lo, hi, true
		return
	}
	a.lo = a.decay*a.lo + (1-a.decay)*lo
	a.hi = a.decay*a.hi + (1-a.decay)*hi
}

func (a *movingAverage) Range() (lo, hi float32) { return float32(a.lo), float32(a.hi) }

// histogram counts values in bins of equal width over [−edge, edge). edge is a
// power of two; when a value lies outside, edge doubles and pairs of bins
// merge, so memory does not depend on how much is observed and the result does
// not depend on how the values were cut into batches.
type histogram struct {
	minMax
	edge  float64
	bins  []int64
	total int64
}

func newHistogram(bins int) *histogram { return &histogram{bins: make([]int64, bins)} }

func (h *histogram) Observe(x []float32) {
	h.minMax.Observe(x)
	for _, f := range x {
		v := math.Abs(float64(f))
		if h.edge == 0 {
			// Start far below any plausible activation; growing costs one merge per octave.
			h.edge = math.Ldexp(1, -40)
		}
		for v >= h.edge {
			h.grow()
		}
		n := len(h.bins)
		i := n/2 + int(math.Floor(float64(f)/(2*h.edge)*float64(n)))
		h.bins[min(max(i, 0), n-1)]++
		h.total++
	}
}

// grow doubles the edge: the old bins become the middle half.
func (h *histogram) grow() {
	n := len(h.bins)
	next := make([]int64, n)
	for i, c := range h.bins {
		next[n/4+i/2] += c
	}
	h.bins = next
	h.edge *= 2
}

// at is the left end of bin i.
func (h *histogram) at(i int) float64 { return -h.edge + 2*h.edge*float64(i)/float64(len(h.bins)) }

// Percentile clips the values beyond a percentile: half of the remainder at each end.
type Percentile struct {
	// P is the share kept in percent, 50 < P ≤ 100; 0 is 99.999.
	P float64
	// Bins is the size of the histogram, at least 4 and rounded down to a power
	// of two; 0 is 2048.
	Bins int
}

// Name is "percentile".
func (Percentile) Name() string { return "percentile" }

// New implements [Calibrator].
func (p Percentile) New() Observer {
	if p.P <= 50 || p.P > 100 {
		p.P = 99.999
	}
	return &percentile{histogram: newHistogram(binCount(p.Bins)), p: p.P}
}

// binCount makes the number of bins a power of two, so that the bin of a value
// is exact in floating point: merging bins then gives what counting anew would.
func binCount(n int) int {
	if n <= 0 {
		return 2048
	}
	return 1 << (bits.Len(uint(max(n, 4))) - 1)
}

type percentile struct {
	*histogram
	p float64
}

func (p *percentile) Range() (lo, hi float32) {
	if p.total == 0 {
		return 0, 0
	}
	cut := (100 - p.p) / 200 * float64(p.total)
	lo, hi = p.lo, p.hi
	seen := 0.0
	for i, c := range p.bins {
		if seen+float64(c) > cut {
			lo = max(lo, float32(p.at(i)))
			break
		}
		seen += float64(c)
	}
	seen = 0
	for i := len(p.bins) - 1; i >= 0; i-- {
		if seen+float64(p.bins[i]) > cut {
			hi = min(hi, float32(p.at(i+1)))
			break
		}
		seen += float64(p.bins[i])
	}
	return lo, hi
}

// MSE sweeps shrunken ranges and keeps the one whose uint8 rounding has the
// least expected squared error under the observed histogram.
type MSE struct {
	// Bins is the size of the histogram, at least 4 and rounded down to a power
	// of two; 0 is 2048.
	Bins int
	// Steps is the number of ranges tried; 0 is 100.
	Steps int
}

// Name is "mse".
func (MSE) Name() string { return "mse" }

// New implements [Calibrator].
func (m MSE) New() Observer {
	if m.Steps <= 0 {
		m.Steps = 100
	}
	return &mse{histogram: newHistogram(binCount(m.Bins)), steps: m.Steps}
}

type mse struct {
	*histogram
	steps int
}

func (m *mse) Range() (lo, hi float32) {
	best := math.Inf(1)
	for s := m.steps; s > 0; s-- {
		f := float32(s) / float32(m.steps)
		l, h := m.lo*f, m.hi*f
		if e := m.loss(l, h); e < best {
			best, lo, hi = e, l, h
		}
	}
	return lo, hi
}

// loss is the expected squared error of the grid of [lo, hi]: the rounding
// noise s²/12 inside it and the distance to its end outside.
func (m *mse) loss(lo, hi float32) float64 {
	g := ActivationGrid(lo, hi)
	l, h := float64(g.Dequantize(0)), float64(g.Dequantize(255))
	inside := float64(g.Scale) * float64(g.Scale) / 12
	half := (m.at(1) - m.at(0)) / 2
	sum := 0.0
	for i, c := range m.bins {
		if c == 0 {
			continue
		}
		v := m.at(i) + half
		switch {
		case v < l:
			sum += float64(c) * (l - v) * (l - v)
		case v > h:
			sum += float64(c) * (v - h) * (v - h)
		default:
			sum += float64(c) * inside
		}
	}
	return sum
}
