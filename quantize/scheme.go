package quantize

import (
	"iter"
	"math"

	"github.com/litekit/lite/onnx"
)

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
	r := s.start(len(x), channels, inner)
	for row := range outer {
		r.widen(x[row*channels*inner:][:channels*inner], 0)
	}
	r.settle()
	for row := range outer {
		at := row * channels * inner
		r.round(r.Q[at:at+channels*inner], x[at:at+channels*inner], 0)
	}
	return r.finish()
}

// quantizeTensor is Quantize of a matrix, whose channels are its rows or its
// columns. It reads the tensor twice, piece by piece.
func (s Scheme) quantizeTensor(t *onnx.Tensor, rows bool) (*Quantized, error) {
	channels, inner := int(t.Dims[1]), 1
	if rows {
		channels, inner = int(t.Dims[0]), int(t.Dims[1])
	}
	r := s.start(t.Len(), channels, inner)
	for _, pass := range []func(at int, x []float32){
		func(at int, x []float32) { r.widen(x, at/inner%channels) },
		func(at int, x []float32) { r.round(r.Q[at:at+len(x)], x, at/inner%channels) },
	} {
		at := 0
		for x, err := range pieces(t, int(t.Dims[1])) {
			if err != nil {
				return nil, err
			}
			pass(at, x)
			at += len(x)
		}
		r.settle()
	}
	return r.finish(), nil
}

// pieceSize is about how many elements of a tensor are read at a time.
const pieceSize = 1 << 16

// pieces are the elements of a tensor in order, some whole rows of n at a time.
// A piece is good until the next.
func pieces(t *onnx.Tensor, n int) iter.Seq2[[]float32, error] {
	return func(yield func([]float32, error) bool) {
		size := max(pieceSize/n, 1) * n
		buf := make([]float32, min(size, t.Len()))
		for at := 0; at < t.Len(); at += size {
			x, err := t.FloatsAt(at, buf[:min(size, t.Len()-at)])
			if !yield(x, err) || err != nil {
				return
			}
		}
	}
}

// rounding is a matrix on its way to int8.
type rounding struct {
	*Quantized
	scheme          Scheme
	channels, inner int
	lo, hi          []float32 // of each group, 0 included
	scale, zero     []float64
	e               residue
	settled         bool
}

func (s Scheme) start(n, channels, inner int) *rounding {
	groups := channels
	if !s.PerChannel {
		groups = 1
	}
	return &rounding{Quantized: &Quantized{Q: make([]int8, n)}, scheme: s, channels: channels, inner: inner,
		lo: make([]float32, groups), hi: make([]float32, groups)}
}

// widen takes the values of whole channels, the first of which is c, or of whole
// rows of channels, into the ranges.
func (r *rounding) widen(x []float32, c int) {
	if r.inner == 1 && r.scheme.PerChannel {
		for len(x) > 0 {
			row := x[:min(len(x), r.channels-c)]
			lo, hi := r.lo[c:][:len(row)], r.hi[c:][:len(row)]
			for i, v := range row {
				if v < lo[i] {
					lo[i] = v
				} else if v > hi[i] {
					hi[i] = v
				}
			}
			x, c = x[len(row):], 0
		}
		return
	}
	if !r.scheme.PerChannel {
		r.lo[0], r.hi[0] = extend(r.lo[0], r.hi[0], x)
		return
	}
	for ; len(x) > 0; x = x[r.inner:] {
		r.lo[c], r.hi[c] = extend(r.lo[c], r.hi[c], x[:r.inner])
		c = (c + 1) % r.channels
	}
}

func extend(lo, hi float32, x []float32) (float32, float32) {
	for _, v := range x {
		if v < lo {
			lo = v
		} else if v > hi {
			hi = v
		}
	}
	return lo, hi
}

// settle makes the grids of the ranges, the first time it is called.
func (r *rounding) settle() {
	if r.settled {
		return
	}
	r.settled = true
	n := len(r.lo)
	r.Scale, r.Zero, r.scale, r.zero = make([]float32, n), make([]int8, n), make([]float64, n), make([]float64, n)
	for g := range n {
		r.Scale[g], r.Zero[g] = r.scheme.grid(r.lo[g], r.hi[g])
		r.scale[g], r.zero[g] = float64(r.Scale[g]), float64(r.Zero[g])
	}
}

// round fills dst; x is as in widen.
func (r *rounding) round(dst []int8, x []float32, c int) {
	if r.inner == 1 && r.scheme.PerChannel {
		for len(x) > 0 {
			n := min(len(x), r.channels-c)
			r.scheme.roundColumns(dst[:n], x[:n], r.scale[c:], r.zero[c:], &r.e)
			x, dst, c = x[n:], dst[n:], 0
		}
		return
	}
	if !r.scheme.PerChannel {
		r.scheme.roundRow(dst, x, r.scale[0], r.zero[0], &r.e)
		return
	}
	for n := r.inner; len(x) > 0; x, dst = x[n:], dst[n:] {
		r.scheme.roundRow(dst[:n], x[:n], r.scale[c], r.zero[c], &r.e)
		c = (c + 1) % r.channels
	}
}

func (r *rounding) finish() *Quantized {
	r.MaxError, r.SQNR = r.e.max, decibels(r.e.signal, r.e.noise)
	return r.Quantized
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

// residue accumulates what rounding did.
type residue struct{ signal, noise, max float64 }

func (s Scheme) roundColumns(dst []int8, x []float32, scale, zero []float64, e *residue) {
	qlo, qhi := s.limits()
	signal, noise, most := e.signal, e.noise, e.max
	scale, zero, dst = scale[:len(x)], zero[:len(x)], dst[:len(x)]
	for i, f := range x {
		v := float64(f)
		n := math.RoundToEven(v/scale[i]) + zero[i]
		if n > qhi {
			n = qhi
		} else if n < qlo {
			n = qlo
		}
		dst[i] = int8(n)
		d := (n-zero[i])*scale[i] - v
		signal += v * v
		noise += d * d
		if d = math.Abs(d); d > most {
			most = d
		}
	}
	e.signal, e.noise, e.max = signal, noise, most
}

func (s Scheme) roundRow(dst []int8, x []float32, scale, zero float64, e *residue) {
	qlo, qhi := s.limits()
	signal, noise, most := e.signal, e.noise, e.max
	dst = dst[:len(x)]
	for i, f := range x {
		v := float64(f)
		n := math.RoundToEven(v/scale) + zero
		if n > qhi {
			n = qhi
		} else if n < qlo {
			n = qlo
		}
		dst[i] = int8(n)
		d := (n-zero)*scale - v
		signal += v * v
		noise += d * d
		if d = math.Abs(d); d > most {
			most = d
		}
	}
	e.signal, e.noise, e.max = signal, noise, most
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
