package quantize

import "math"

// Quantized is the weights of a linear layer or table after quantization: the int8 values in
// the layout of the source, and one scale and zero point per channel (or one).
type Quantized struct {
	Q []int8 // row-major
	// Scale and Zero have one element, or one per channel.
	Scale []float32
	Zero  []int8
	// MaxError is the largest |dequantized − x|; SQNR the signal to
	// quantization noise ratio in dB, +Inf where exact.
	MaxError float64
	SQNR     float64
}

// Scheme is the grid that weights are rounded to.
type Scheme struct {
	// PerChannel, Asymmetric and ReduceRange as in [Config].
	PerChannel, Asymmetric, ReduceRange bool
}

// limits are the grid's ends: ±127, −128…127, ±63 or −64…63.
func (s Scheme) limits() (lo, hi float64) {
	switch {
	case s.Asymmetric && s.ReduceRange:
		return -64, 63
	case s.Asymmetric:
		return -128, 127
	case s.ReduceRange:
		return -63, 63
	}
	return -127, 127
}

// Quantize rounds x, seen as [outer, channels, inner] row-major, to int8. The
// scale of a channel of zeros is 1 (its values are exact), and non-finite
// values are an invariant that the caller has checked.
func (s Scheme) Quantize(x []float32, outer, channels, inner int) *Quantized {
	q := &Quantized{Q: make([]int8, len(x))}
	groups := channels
	if !s.PerChannel {
		groups = 1
	}
	lo, hi := make([]float32, groups), make([]float32, groups)
	s.ranges(x, outer, channels, inner, lo, hi)
	q.Scale, q.Zero = make([]float32, groups), make([]int8, groups)
	for g := range groups {
		q.Scale[g], q.Zero[g] = s.grid(lo[g], hi[g])
	}
	s.round(q, x, outer, channels, inner)
	return q
}

// ranges fills the least and greatest value of each group, 0 included.
func (s Scheme) ranges(x []float32, outer, channels, inner int, lo, hi []float32) {
	for o := range outer {
		block := x[o*channels*inner:][:channels*inner]
		if s.PerChannel && inner == 1 {
			for c, v := range block {
				lo[c], hi[c] = min(lo[c], v), max(hi[c], v)
			}
			continue
		}
		for c := range channels {
			g := 0
			if s.PerChannel {
				g = c
			}
			l, h := lo[g], hi[g]
			for _, v := range block[c*inner : (c+1)*inner] {
				l, h = min(l, v), max(h, v)
			}
			lo[g], hi[g] = l, h
		}
	}
}

// grid is the scale and zero point of a range that contains 0.
func (s Scheme) grid(lo, hi float32) (scale float32, zero int8) {
	qlo, qhi := s.limits()
	if s.Asymmetric {
		scale = float32((float64(hi) - float64(lo)) / (qhi - qlo))
		if scale == 0 {
			return 1, 0
		}
		z := math.RoundToEven(qlo - float64(lo)/float64(scale))
		return scale, int8(math.Max(qlo, math.Min(qhi, z)))
	}
	scale = float32(math.Max(-float64(lo), float64(hi)) / qhi)
	if scale == 0 {
		return 1, 0
	}
	return scale, 0
}

// round fills q.Q and the error figures. Rows of inner == 1 (a weight [K, N]
// with channels along N) walk the scales with the values.
func (s Scheme) round(q *Quantized, x []float32, outer, channels, inner int) {
	if s.PerChannel && inner == 1 {
		scale, zero := make([]float64, channels), make([]float64, channels)
		for c := range channels {
			scale[c], zero[c] = float64(q.Scale[c]), float64(q.Zero[c])
		}
		var e residue
		for o := range outer {
			at := o * channels
			s.roundColumns(q.Q[at:at+channels], x[at:at+channels], scale, zero, &e)
		}
		q.MaxError, q.SQNR = e.max, decibels(e.signal, e.noise)
		return
	}
	var e residue
	for i := range outer * channels {
		g := 0
		if s.PerChannel {
			g = i % channels
		}
		at := i * inner
		s.roundRow(q.Q[at:at+inner], x[at:at+inner], float64(q.Scale[g]), float64(q.Zero[g]), &e)
	}
	q.MaxError, q.SQNR = e.max, decibels(e.signal, e.noise)
}

// residue accumulates what rounding did.
type residue struct{ signal, noise, max float64 }

func (e *residue) add(v, d float64) {
	e.signal += v * v
	e.noise += d * d
	e.max = max(e.max, math.Abs(d))
}

func (s Scheme) roundColumns(dst []int8, x []float32, scale, zero []float64, e *residue) {
	qlo, qhi := s.limits()
	for i, f := range x {
		v := float64(f)
		n := min(qhi, max(qlo, math.RoundToEven(v/scale[i])+zero[i]))
		dst[i] = int8(n)
		e.add(v, (n-zero[i])*scale[i]-v)
	}
}

func (s Scheme) roundRow(dst []int8, x []float32, scale, zero float64, e *residue) {
	qlo, qhi := s.limits()
	for i, f := range x {
		v := float64(f)
		n := min(qhi, max(qlo, math.RoundToEven(v/scale)+zero))
		dst[i] = int8(n)
		e.add(v, (n-zero)*scale-v)
	}
}

// decibels is 10·log10(signal/noise), +Inf where there is no noise.
func decibels(signal, noise float64) float64 {
	if noise == 0 {
		return math.Inf(1)
	}
	return 10 * math.Log10(signal/noise)
}

// Activation is the uint8 grid of an activation: value = (q − Zero)·Scale.
type Activation struct {
	Scale float32
	Zero  uint8
}

// ActivationGrid is the asymmetric uint8 grid of a range, widened to contain
// 0; an empty range [0, 0] gives scale 1.
func ActivationGrid(lo, hi float32) Activation {
	lo, hi = min(lo, 0), max(hi, 0)
	scale := float32((float64(hi) - float64(lo)) / 255)
	if scale == 0 {
		return Activation{Scale: 1}
	}
	z := math.RoundToEven(-float64(lo) / float64(scale))
	return Activation{Scale: scale, Zero: uint8(math.Max(0, math.Min(255, z)))}
}

// Quantize rounds one value to the grid, half to even, saturating.
func (a Activation) Quantize(x float32) uint8 {
	return uint8(math.Max(0, math.Min(255, math.RoundToEven(float64(x/a.Scale))+float64(a.Zero))))
}

// Dequantize returns the value a grid point stands for.
func (a Activation) Dequantize(q uint8) float32 { return float32(int(q)-int(a.Zero)) * a.Scale }
