package quantize_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/litekit/lite/quantize"
)

// values are normal numbers, each channel of [outer, channels] at its own scale.
func values(outer, channels int, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	x := make([]float32, outer*channels)
	for i := range x {
		x[i] = float32(r.NormFloat64() * math.Exp2(float64(i%channels%7)-3))
	}
	return x
}

// TestSchemeValues works small cases out by hand.
func TestSchemeValues(t *testing.T) {
	for _, c := range []struct {
		name   string
		scheme quantize.Scheme
		x      []float32
		q      []int8
		scale  float32
		zero   int8
	}{
		{"symmetric", quantize.Scheme{}, []float32{-127, 127, 63.4, 0}, []int8{-127, 127, 63, 0}, 1, 0},
		{"half to even", quantize.Scheme{}, []float32{127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5}, []int8{127, 0, 2, 2, 0, -2, -2}, 1, 0},
		{"never −128", quantize.Scheme{}, []float32{-254, 10}, []int8{-127, 5}, 2, 0},
		{"reduced", quantize.Scheme{ReduceRange: true}, []float32{-126, 126, 3}, []int8{-63, 63, 2}, 2, 0},
		{"asymmetric", quantize.Scheme{Asymmetric: true}, []float32{0, 255, 128}, []int8{-128, 127, 0}, 1, -128},
		{"asymmetric contains 0", quantize.Scheme{Asymmetric: true}, []float32{51, 255}, []int8{-77, 127}, 1, -128},
		{"asymmetric negative", quantize.Scheme{Asymmetric: true}, []float32{-510, -2}, []int8{-128, 126}, 2, 127},
		{"asymmetric reduced", quantize.Scheme{Asymmetric: true, ReduceRange: true}, []float32{-27, 100}, []int8{-64, 63}, 1, -37},
		{"zeros", quantize.Scheme{}, []float32{0, 0}, []int8{0, 0}, 1, 0},
		{"asymmetric zeros", quantize.Scheme{Asymmetric: true}, []float32{0, 0}, []int8{0, 0}, 1, 0},
	} {
		q := c.scheme.Quantize(c.x, 1, 1, len(c.x))
		if !slices.Equal(q.Q, c.q) || len(q.Scale) != 1 || q.Scale[0] != c.scale || q.Zero[0] != c.zero {
			t.Errorf("%s: %v scale %v zero %v; want %v %v %v", c.name, q.Q, q.Scale, q.Zero, c.q, c.scale, c.zero)
		}
	}
}

// TestSchemeBounds holds for every scheme: the error is at most half a step,
// the limits are kept, MaxError and SQNR say what the values say.
func TestSchemeBounds(t *testing.T) {
	const outer, channels = 37, 11
	x := values(outer, channels, 3)
	for c := range 16 {
		s := quantize.Scheme{PerChannel: c&1 != 0, Asymmetric: c&2 != 0, ReduceRange: c&4 != 0}
		// The same numbers with channels innermost, and as rows.
		inner, o, in := 1, outer, x
		if c&8 != 0 {
			inner, o = outer, 1
			in = make([]float32, len(x))
			for i := range x {
				in[i%channels*outer+i/channels] = x[i]
			}
		}
		q := s.Quantize(in, o, channels, inner)
		lo, hi := -127, 127
		if s.Asymmetric {
			lo = -128
		}
		if s.ReduceRange {
			lo, hi = -63, 63
			if s.Asymmetric {
				lo = -64
			}
		}
		var worst, signal, noise float64
		for i, v := range in {
			g := 0
			if s.PerChannel {
				g = i / inner % channels
			}
			if int(q.Q[i]) < lo || int(q.Q[i]) > hi {
				t.Fatalf("%+v: value %d outside [%d, %d]", s, q.Q[i], lo, hi)
			}
			d := math.Abs(float64(int(q.Q[i])-int(q.Zero[g]))*float64(q.Scale[g]) - float64(v))
			if d > float64(q.Scale[g])/2*(1+1e-5) {
				t.Fatalf("%+v: error %v above half of scale %v", s, d, q.Scale[g])
			}
			worst = max(worst, d)
			signal += float64(v) * float64(v)
			noise += d * d
		}
		if db := 10 * math.Log10(signal/noise); math.Abs(worst-q.MaxError) > 1e-9 || math.Abs(db-q.SQNR) > 1e-6 {
			t.Errorf("%+v: reports error %v, %v dB; it is %v, %v dB", s, q.MaxError, q.SQNR, worst, db)
		}
	}
}

// TestPerChannelIsFiner compares squared errors over weights whose channels differ in scale.
func TestPerChannelIsFiner(t *testing.T) {
	for seed := range uint64(20) {
		x := values(24, 9, seed)
		for _, asymmetric := range []bool{false, true} {
			fine := quantize.Scheme{PerChannel: true, Asymmetric: asymmetric}.Quantize(x, 24, 9, 1)
			coarse := quantize.Scheme{Asymmetric: asymmetric}.Quantize(x, 24, 9, 1)
			if !(fine.SQNR > coarse.SQNR) {
				t.Errorf("seed %d, asymmetric %v: per channel %v dB, per tensor %v dB", seed, asymmetric, fine.SQNR, coarse.SQNR)
			}
		}
	}
}

func TestActivationGrid(t *testing.T) {
	for _, c := range []struct {
		lo, hi float32
		want   quantize.Activation
	}{
		{0, 255, quantize.Activation{Scale: 1}},
		{-128, 127, quantize.Activation{Scale: 1, Zero: 128}},
		{51, 255, quantize.Activation{Scale: 1}},             // widened down to 0
		{-510, -3, quantize.Activation{Scale: 2, Zero: 255}}, // widened up to 0
		{0, 0, quantize.Activation{Scale: 1}},
	} {
		g := quantize.ActivationGrid(c.lo, c.hi)
		if g != c.want {
			t.Errorf("[%v, %v]: %+v; want %+v", c.lo, c.hi, g, c.want)
		}
		for i := range 100 {
			v := c.lo + (c.hi-c.lo)*float32(i)/99
			if d := math.Abs(float64(g.Dequantize(g.Quantize(v)) - v)); d > float64(g.Scale)*0.5001 {
				t.Errorf("[%v, %v]: %v becomes %v", c.lo, c.hi, v, g.Dequantize(g.Quantize(v)))
			}
		}
	}
	g := quantize.ActivationGrid(-128, 127)
	if fmt.Sprint(g.Quantize(-1e9), g.Quantize(1e9), g.Quantize(0.5), g.Quantize(1.5)) != "0 255 128 130" {
		t.Error("values outside the range must saturate and halves round to even")
	}
}
