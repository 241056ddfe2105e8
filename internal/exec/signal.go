package exec

import (
	"fmt"
	"math"
	"math/bits"
	"math/cmplx"
	"slices"

	"github.com/litekit/lite/onnx"
)

// signalOps are the operators of audio front ends.
func signalOps() map[string]operator {
	return map[string]operator{
		"HannWindow": {run: window(0.5, 0.5, 0), inputs: 1}, "HammingWindow": {run: window(25.0/46, 21.0/46, 0), inputs: 1},
		"BlackmanWindow": {run: window(0.42, 0.5, 0.08), inputs: 1},
		"DFT":            {run: dft, inputs: 1}, "STFT": {run: stft, inputs: 2}, "MelWeightMatrix": {run: melWeights, inputs: 5},
	}
}

// reals makes output 0 of real numbers in any numeric type.
func (c *call) reals(t onnx.DataType, v []float64, shape ...int) error {
	wide := &Tensor{Type: onnx.Double, Shape: shape, F64: v}
	if !supported(t) {
		return errType(t)
	}
	out, err := c.cast(wide, widen(t))
	c.out[0] = out
	return err
}

// size returns the single element of input i as a number of elements, at most
// what a value of float64 can have.
func (c *call) size(i int) (int, error) {
	v, err := c.scalar(i, -1)
	if err != nil {
		return 0, err
	}
	if v < 0 || v > int64(c.mem.limit/32) {
		return 0, fmt.Errorf("input %d is %d; 0 to %d is possible", i, v, c.mem.limit/32)
	}
	return int(v), nil
}

// window is a − b·cos(2πn/N) + z·cos(4πn/N), where N is the size, one less
// where the window is symmetric.
func window(a, b, z float64) func(*call) error {
	return func(c *call) error {
		n, err := c.size(0)
		if err != nil {
			return err
		}
		period := float64(n)
		if c.node.Int("periodic", 1) == 0 {
			period = max(period-1, 1)
		}
		v := make([]float64, n)
		for i := range v {
			w := 2 * math.Pi * float64(i) / period
			v[i] = a - b*math.Cos(w) + z*math.Cos(2*w)
		}
		return c.reals(onnx.DataType(c.node.Int("output_datatype", 1)), v, n)
	}
}

// transform is the discrete Fourier transform of x, unscaled; sign is −1
// forward and 1 backward. Even lengths are halved (Cooley and Tukey 1965), long
// odd ones become a convolution (Bluestein 1970).
func transform(x []complex128, sign float64) []complex128 {
	n := len(x)
	y := make([]complex128, n)
	if n%2 == 0 && n > 0 {
		h := n / 2
		half := make([]complex128, n)
		for i := range h {
			half[i], half[h+i] = x[2*i], x[2*i+1]
		}
		even, odd := transform(half[:h], sign), transform(half[h:], sign)
		for k := range h {
			t := cmplx.Rect(1, sign*2*math.Pi*float64(k)/float64(n)) * odd[k]
			y[k], y[k+h] = even[k]+t, even[k]-t
		}
		return y
	}
	if n > 64 {
		return chirp(x, sign)
	}
	root := make([]complex128, n)
	for i := range root {
		root[i] = cmplx.Rect(1, sign*2*math.Pi*float64(i)/float64(n))
	}
	for k := range y {
		at := 0
		for _, v := range x {
			y[k] += v * root[at]
			if at += k; at >= n {
				at -= n
			}
		}
	}
	return y
}

// chirp is transform by jk = (j² + k² − (k−j)²)/2: a convolution with a chirp,
// done by transforms whose length is a power of two.
func chirp(x []complex128, sign float64) []complex128 {
	n := len(x)
	m := 1 << bits.Len(uint(2*n-2))
	w := make([]complex128, n)
	for k := range w {
		w[k] = cmplx.Rect(1, sign*math.Pi*float64(k*k%(2*n))/float64(n))
	}
	a, b := make([]complex128, m), make([]complex128, m)
	for k, v := range x {
		a[k] = v * w[k]
		b[k] = cmplx.Conj(w[k])
		b[(m-k)%m] = b[k]
	}
	a, b = transform(a, -1), transform(b, -1)
	for k := range a {
		a[k] *= b[k]
	}
	a = transform(a, 1)
	for k := range w {
		w[k] *= a[k] / complex(float64(m), 0)
	}
	return w
}

// complexes reads a real or complex tensor: [..., 1] or [..., 2].
func (c *call) complexes(i int) (func(at int) complex128, int, error) {
	x := c.in[i]
	rank := len(x.Shape)
	if rank < 2 || x.Shape[rank-1] != 1 && x.Shape[rank-1] != 2 {
		return nil, 0, fmt.Errorf("input %d has shape %v; [..., 1] (real) or [..., 2] (complex) is needed", i, x.Shape)
	}
	wide, err := c.cast(x, onnx.Double)
	if err != nil {
		return nil, 0, err
	}
	v := slices.Clone(wide.F64)
	c.mem.release(wide)
	if x.Shape[rank-1] == 1 {
		return func(at int) complex128 { return complex(v[at], 0) }, len(v), nil
	}
	return func(at int) complex128 { return complex(v[2*at], v[2*at+1]) }, len(v) / 2, nil
}

// dft transforms one axis, which is an attribute before opset 20 and input 2 since.
func dft(c *call) error {
	x := c.in[0]
	at, _, err := c.complexes(0)
	if err != nil {
		return err
	}
	a := c.node.Int("axis", 1)
	if c.opset >= 20 {
		if a, err = c.scalar(2, -2); err != nil {
			return err
		}
	}
	d, err := axis(a, len(x.Shape))
	if err != nil {
		return err
	}
	if d == len(x.Shape)-1 {
		return fmt.Errorf("axis %d of shape %v holds real and imaginary parts", a, x.Shape)
	}
	n := x.Shape[d]
	if c.arg(1) != nil {
		if n, err = c.size(1); err != nil {
			return err
		}
	}
	inverse, bins := c.node.Int("inverse", 0) != 0, n
	if c.node.Int("onesided", 0) != 0 {
		if inverse {
			return fmt.Errorf("an inverse one-sided transform: %w", ErrType)
		}
		bins = n/2 + 1
	}
	shape := slices.Clone(x.Shape)
	shape[len(shape)-1], shape[d] = 1, n
	if total, ok := elements(shape); n == 0 || !ok || total > c.mem.limit/32 {
		return fmt.Errorf("a transform of length %d of shape %v", n, x.Shape)
	}
	from := lanesOf(append(slices.Clone(x.Shape[:len(shape)-1]), 1), d)
	shape[d] = bins
	to := lanesOf(shape, d)
	shape[len(shape)-1] = 2
	y := make([]float64, product(shape))
	c.parallel(from.count, 1, func(lo, hi int) {
		lane := make([]complex128, n)
		for l := lo; l < hi; l++ {
			clear(lane)
			for i := range min(n, from.n) {
				lane[i] = at(from.start(l) + i*from.step)
			}
			sign, scale := -1.0, 1.0
			if inverse {
				sign, scale = 1, 1/float64(n)
			}
			for k, v := range transform(lane, sign)[:bins] {
				p := 2 * (to.start(l) + k*to.step)
				y[p], y[p+1] = realPart(v)*scale, imag(v)*scale
			}
		}
	})
	return c.reals(x.Type, y, shape...)
}

// realPart is the real part: the package's real is a constraint.
func realPart(v complex128) float64 { return imag(v * 1i) }

// stft transforms overlapping frames of a signal [batch, length, 1 or 2].
func stft(c *call) error {
	x := c.in[0]
	at, _, err := c.complexes(0)
	if err != nil {
		return err
	}
	step, err := c.size(1)
	if err != nil {
		return err
	}
	w := c.arg(2)
	if len(x.Shape) != 3 || step == 0 {
		return fmt.Errorf("the signal has shape %v and the step is %d; [batch, length, 1 or 2] and at least 1 are needed", x.Shape, step)
	}
	size := 0
	switch {
	case c.arg(3) != nil:
		if size, err = c.size(3); err != nil {
			return err
		}
	case w != nil:
		size = w.Len()
	}
	batch, length := x.Shape[0], x.Shape[1]
	if size < 1 || size > length || w != nil && w.Len() != size {
		return fmt.Errorf("frames of %d do not fit a signal of %d and its window", size, length)
	}
	weights := make([]float64, size)
	fill(weights, 1)
	if w != nil {
		wide, err := c.cast(w, onnx.Double)
		if err != nil {
			return err
		}
		copy(weights, wide.F64)
		c.mem.release(wide)
	}
	frames, bins := (length-size)/step+1, size
	if c.node.Int("onesided", 1) != 0 {
		bins = size/2 + 1
	}
	if total, ok := elements([]int{batch, frames, bins, 2}); !ok || total > c.mem.limit/32 {
		return fmt.Errorf("a result of shape [%d %d %d 2] is too large", batch, frames, bins)
	}
	y := make([]float64, batch*frames*bins*2)
	c.parallel(batch*frames, 1, func(lo, hi int) {
		frame := make([]complex128, size)
		for f := lo; f < hi; f++ {
			for i := range frame {
				frame[i] = at(f/frames*length+f%frames*step+i) * complex(weights[i], 0)
			}
			for k, v := range transform(frame, -1)[:bins] {
				y[2*(f*bins+k)], y[2*(f*bins+k)+1] = realPart(v), imag(v)
			}
		}
	})
	return c.reals(x.Type, y, batch, frames, bins, 2)
}

// melWeights is the matrix [dft_length/2 + 1, mel bins] of triangular filters.
func melWeights(c *call) error {
	bands, err := c.size(0)
	if err != nil {
		return err
	}
	length, err := c.size(1)
	if err != nil {
		return err
	}
	rate, err := c.scalar(2, 0)
	if err != nil {
		return err
	}
	var edge [2]float64
	for i := range edge {
		wide, err := c.cast(c.in[3+i], onnx.Double)
		if err != nil {
			return err
		}
		if wide.Len() != 1 {
			return fmt.Errorf("input %d has shape %v; a scalar is needed", 3+i, wide.Shape)
		}
		edge[i] = 2595 * math.Log10(1+wide.F64[0]/700)
		c.mem.release(wide)
	}
	rows := length/2 + 1
	if total, ok := elements([]int{rows, bands}); !ok || total > c.mem.limit/32 || rate <= 0 {
		return fmt.Errorf("%d bands of %d bins at %d Hz", bands, rows, rate)
	}
	bin := make([]int, bands+2)
	for i := range bin {
		mel := edge[0] + float64(i)*(edge[1]-edge[0])/float64(len(bin))
		b := math.Floor(float64(length+1) * 700 * (math.Pow(10, mel/2595) - 1) / float64(rate))
		if !(b >= 0 && b < float64(rows)) {
			return fmt.Errorf("band %d begins at bin %g of %d; the frequencies must be between 0 and half the sample rate", i, b, rows)
		}
		bin[i] = int(b)
	}
	y := make([]float64, rows*bands)
	for i := range bands {
		lower, center, upper := bin[i], bin[i+1], bin[i+2]
		if lower == center {
			y[center*bands+i] = 1
		}
		for j := lower; j <= center && lower < center; j++ {
			y[j*bands+i] = float64(j-lower) / float64(center-lower)
		}
		for j := center; j < upper; j++ {
			y[j*bands+i] = float64(upper-j) / float64(upper-center)
		}
	}
	return c.reals(onnx.DataType(c.node.Int("output_datatype", 1)), y, rows, bands)
}
