package quantize_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/quantize"
)

// activations has a few far outliers among normal values, as BERT's have.
func activations(n int) []float32 {
	r := rand.New(rand.NewPCG(5, 5))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64() * math.Exp2(float64(r.IntN(40))-38))
		if i%1000 == 0 {
			x[i] = float32(20 + r.Float64())
		}
	}
	return x
}

// TestObserversIgnoreOrderAndBatching shows one sequence whole, cut up, and
// shuffled; the moving average alone may differ.
func TestObserversIgnoreOrderAndBatching(t *testing.T) {
	x := activations(20000)
	for _, c := range append(quantize.Calibrators(), quantize.Percentile{Bins: 100}, quantize.MSE{Bins: 7, Steps: 9}) {
		if c.Name() == "moving-average" {
			continue
		}
		whole := c.New()
		whole.Observe(x)
		lo, hi := whole.Range()
		for seed := range uint64(3) {
			y := slices.Clone(x)
			r := rand.New(rand.NewPCG(seed, 0))
			r.Shuffle(len(y), func(i, j int) { y[i], y[j] = y[j], y[i] })
			o := c.New()
			for len(y) > 0 {
				n := min(len(y), 1+r.IntN(3000))
				o.Observe(y[:n])
				y = y[n:]
			}
			if l, h := o.Range(); l != lo || h != hi {
				t.Errorf("%s: [%v, %v] in one batch, [%v, %v] in another order", c.Name(), lo, hi, l, h)
			}
		}
	}
}

func TestObserverRanges(t *testing.T) {
	x := activations(200000)
	lo, hi := slices.Min(x), slices.Max(x)
	for _, c := range []struct {
		calibrator quantize.Calibrator
		ok         func(l, h float32) bool
		want       string
	}{
		{quantize.MinMax{}, func(l, h float32) bool { return l == lo && h == hi }, "the least and greatest value"},
		{quantize.MovingAverage{}, func(l, h float32) bool { return l == lo && h == hi }, "one batch's ends"},
		{quantize.Percentile{P: 99}, func(l, h float32) bool { return l >= lo && h < 8 && h > 0.1 }, "no outlier"},
		{quantize.Percentile{P: 100}, func(l, h float32) bool { return l == lo && h == hi }, "everything"},
		{quantize.MSE{}, func(l, h float32) bool { return l >= lo && h <= hi && h > 10 }, "the outliers, which weigh most in squared error"},
	} {
		o := c.calibrator.New()
		o.Observe(x)
		if l, h := o.Range(); !c.ok(l, h) {
			t.Errorf("%#v: [%v, %v] of [%v, %v]; want %s", c.calibrator, l, h, lo, hi, c.want)
		}
		if l, h := c.calibrator.New().Range(); l != 0 || h != 0 {
			t.Errorf("%#v: [%v, %v] of nothing", c.calibrator, l, h)
		}
		one := c.calibrator.New()
		one.Observe([]float32{-1e-30})
		one.Observe([]float32{3e38})
		if l, h := one.Range(); l > h || h <= 0 {
			t.Errorf("%#v: [%v, %v] of two far values", c.calibrator, l, h)
		}
	}
}

// TestMSEClips: a single outlier among many values is not worth its cost.
func TestMSEClips(t *testing.T) {
	x := make([]float32, 100001)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range x {
		x[i] = r.Float32()*2 - 1
	}
	x[7] = 4
	o := quantize.MSE{}.New()
	o.Observe(x)
	if _, h := o.Range(); h >= 4 || h < 0.9 {
		t.Errorf("clips at %v; want between 0.9 and 4", h)
	}
}

func TestMovingAverage(t *testing.T) {
	o := quantize.MovingAverage{Decay: 0.5}.New()
	for _, b := range [][]float32{{-1, 1}, {}, {-3, 2}, {0, 5.5}} {
		o.Observe(b)
	}
	if lo, hi := o.Range(); lo != -1 || hi != 3.5 {
		t.Errorf("[%v, %v]; want [-1, 3.5]", lo, hi)
	}
}

func TestCalibratorByName(t *testing.T) {
	for _, c := range quantize.Calibrators() {
		if got, err := quantize.CalibratorByName(c.Name()); err != nil || got != c {
			t.Errorf("%s: %v, %v", c.Name(), got, err)
		}
	}
	if _, err := quantize.CalibratorByName("magic"); err == nil || !strings.Contains(err.Error(), "minmax, moving-average, percentile, mse") {
		t.Errorf("error is %v", err)
	}
}
