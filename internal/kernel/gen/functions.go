package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// poly evaluates c[0] + c[1]·x + … by Horner's rule.
func poly(x VecVirtual, c ...float64) VecVirtual {
	y := load(constant(c[len(c)-1]))
	for i := len(c) - 2; i >= 0; i-- {
		VFMADD213PS(constant(c[i]), x, y)
	}
	return y
}

// magic added to a float32 of moderate size leaves its nearest integer in the
// low bits, in two's complement; subtracting it again gives that integer.
const magic = 3 << 22

// exp returns e^x for -87 ≤ x ≤ 88 to about 1e-7: x = n·ln2 + r, a polynomial
// fitted to the least relative error (3e-9) on r, and 2^n as a factor, which
// unlike adding n to the exponent keeps NaN. x is destroyed.
func exp(x VecVirtual) VecVirtual {
	z, n := load(constant(magic)), reg()
	VFMADD231PS(constant(1.44269504088896341), x, z)
	VSUBPS(constant(magic), z, n)
	VFNMADD231PS(constant(0.693359375), n, x)
	VFNMADD231PS(constant(-2.12194440e-4), n, x)
	p := poly(x, 1, 1, 0.49999993431830314, 0.16666520394700254, 0.0416683908306449, 0.008368745600002971, 0.001381453933248858)
	VPSLLD(Imm(23), z, z)
	VPADDD(constant(1), z, z)
	VMULPS(z, p, p)
	return p
}

// expBelow returns e^x for x ≤ 0; results below the normal range are exactly 0.
func expBelow(x VecVirtual) VecVirtual {
	keep, low, mask := reg(), load(constant(-87)), K()
	if cur.bytes == 64 {
		VCMPPS(Imm(5), low, x, mask) // not less: true for NaN
	} else {
		VCMPPS(Imm(5), low, x, keep)
	}
	// The operand that may be NaN comes first in Go's order: it is passed on.
	VMAXPS(x, low, x)
	p := exp(x)
	if cur.bytes == 64 {
		VMOVUPS_Z(p, mask, p)
	} else {
		VANDPS(keep, p, p)
	}
	return p
}

const signBit, absBits = 0x80000000, 0x7fffffff

// normalTail returns a = min(|x|, 13), e = exp(-a²/2) and Q(a), the upper tail
// of the normal distribution, as e·t·P(t) with t = 1/(1+0.36·a). P was fitted to
// the least relative error, 1e-6, which makes 2e-7 of GELU at most.
func normalTail(x VecVirtual) (a, e, q VecVirtual) {
	a, q = reg(), reg()
	VANDPS(constantBits(absBits), x, a)
	VMOVUPS(constant(13), q)
	VMINPS(a, q, a)
	half := reg()
	VMULPS(constant(-0.5), a, half)
	VMULPS(a, half, half)
	e = exp(half)
	t := reg()
	VMOVUPS(constant(1), q)
	VMOVUPS(constant(0.36), t)
	VFMADD213PS(q, a, t)
	VDIVPS(t, q, t)
	q = poly(t, 0.1437090494058286, 0.14182923985987417, 0.1394063434026359, 0.027409427657737108,
		0.17970256327769155, -0.17884483870943957, 0.04678779218028367)
	VMULPS(t, q, q)
	VMULPS(e, q, q)
	return a, e, q
}

// gelu returns x·Φ(x) = max(x,0) - |x|·Q(|x|).
func gelu(x VecVirtual) VecVirtual {
	a, _, q := normalTail(x)
	return geluOf(x, a, q)
}

func geluOf(x, a, q VecVirtual) VecVirtual {
	y := relu(x)
	VFNMADD231PS(q, a, y)
	return y
}

// geluGrad returns Φ(x) + x·φ(x).
func geluGrad(x VecVirtual) VecVirtual {
	a, e, q := normalTail(x)
	return geluGradOf(x, a, e, q)
}

// geluBoth returns gelu(x) and its derivative.
func geluBoth(x VecVirtual) (y, grad VecVirtual) {
	a, e, q := normalTail(x)
	y = geluOf(x, a, q)
	return y, geluGradOf(x, a, e, q)
}

// geluGradOf takes what normalTail returned: with d = Q(|x|) - |x|·φ(x), the
// derivative is d for negative x and 1-d for the others. e and d are destroyed.
func geluGradOf(x, a, e, d VecVirtual) VecVirtual {
	VMULPS(constant(0.3989422804014327), e, e)
	VFNMADD231PS(e, a, d)
	y := load(constant(1))
	VSUBPS(d, y, y)
	if cur.bytes == 64 {
		negative := K()
		VPMOVD2M(x, negative)
		VBLENDMPS(d, y, negative, y)
	} else {
		VBLENDVPS(x, d, y, y)
	}
	return y
}

// tanhArgument returns -2·sqrt(2/π)·(x + 0.044715·x³) and x².
func tanhArgument(x VecVirtual) (u, square VecVirtual) {
	square, u = reg(), reg()
	VMULPS(x, x, square)
	VMULPS(constant(-2*0.7978845608028654*0.044715), square, u)
	VADDPS(constant(-2*0.7978845608028654), u, u)
	VMULPS(x, u, u)
	return u, square
}

// geluTanh returns x·sigmoid(2u), which is the same as x/2·(1+tanh u).
func geluTanh(x VecVirtual) VecVirtual {
	t, w := load(constant(-10)), reg() // at -10 the result is -1e-37 already
	VMAXPS(x, t, x)
	VMOVUPS(constant(9.9), t)
	VMINPS(x, t, w)
	u, _ := tanhArgument(w)
	e := exp(u)
	VADDPS(constant(1), e, e)
	VDIVPS(e, x, e)
	return e
}

// geluTanhGrad returns s + x·s·(1-s)·2u' with s = sigmoid(2u). Beyond -10 and 9.9 it is
// constant, and within, exp(-2u)·s is 1-s without cancellation.
func geluTanhGrad(x VecVirtual) VecVirtual {
	t := load(constant(-10))
	VMAXPS(x, t, x)
	VMOVUPS(constant(9.9), t)
	VMINPS(x, t, x)
	u, square := tanhArgument(x)
	e := exp(u)
	s := load(constant(1))
	t = reg()
	VADDPS(e, s, t)
	VDIVPS(t, s, s)
	return geluTanhGradOf(x, square, e, s)
}

// geluTanhBoth returns geluTanh(x) and its derivative.
func geluTanhBoth(x VecVirtual) (y, grad VecVirtual) {
	t, w := load(constant(-10)), reg()
	VMAXPS(x, t, x)
	VMOVUPS(constant(9.9), t)
	VMINPS(x, t, w)
	u, square := tanhArgument(w)
	e := exp(u)
	s := load(constant(1))
	t = reg()
	VADDPS(e, s, t)
	VDIVPS(t, x, x)
	VDIVPS(t, s, s)
	return x, geluTanhGradOf(w, square, e, s)
}

// geluTanhGradOf takes x between its bounds, its square, exp(-2u) and s.
func geluTanhGradOf(x, square, e, s VecVirtual) VecVirtual {
	du := load(constant(2 * 0.7978845608028654))
	VMULPS(constant(2*0.7978845608028654*3*0.044715), square, square)
	VADDPS(square, du, du)
	VMULPS(x, du, du)
	VMULPS(s, e, e)
	VMULPS(e, du, du)
	VFMADD213PS(s, s, du)
	return du
}

func relu(x VecVirtual) VecVirtual {
	y := zero()
	VMAXPS(x, y, y)
	return y
}

func reluGrad(x VecVirtual) VecVirtual {
	z, m := zero(), reg()
	if cur.bytes == 64 {
		mask := K()
		VCMPPS(Imm(0x1e), z, x, mask)
		VMOVUPS_Z(constant(1), mask, m)
		VCMPPS(Imm(3), x, x, mask)
		VMOVUPS(constantBits(math.MaxUint32), mask, m)
		return m
	}
	VCMPPS(Imm(0x1e), z, x, m) // greater
	VANDPS(constant(1), m, m)
	VCMPPS(Imm(3), x, x, z) // unordered: all ones, a NaN
	VORPS(z, m, m)
	return m
}

// tanh follows Cephes' tanhf: a polynomial below 0.625, 1 - 2/(e^2|x|+1) above.
func tanh(x VecVirtual) VecVirtual {
	a, t := reg(), reg()
	VANDPS(constantBits(absBits), x, a)
	VMOVUPS(constant(40), t)
	VMINPS(a, t, a)
	square := reg()
	VMULPS(x, x, square)
	small := poly(square, -3.33332819422e-1, 1.33314422036e-1, -5.37397155531e-2, 2.06390887954e-2, -5.70498872745e-3)
	VMULPS(square, small, small)
	VFMADD213PS(x, x, small)
	mask := K()
	if cur.bytes == 64 {
		VCMPPS(Imm(1), constant(0.625), a, mask) // less
	} else {
		VCMPPS(Imm(1), constant(0.625), a, square)
	}
	VADDPS(a, a, a)
	e := exp(a)
	VADDPS(constant(1), e, e)
	VMOVUPS(constant(2), t)
	VDIVPS(e, t, e)
	VMOVUPS(constant(1), t)
	VSUBPS(e, t, e)
	VANDPS(constantBits(signBit), x, t)
	VORPS(t, e, e)
	if cur.bytes == 64 {
		VBLENDMPS(small, e, mask, e)
	} else {
		VBLENDVPS(square, small, e, e)
	}
	return e
}

func tanhGrad(x VecVirtual) VecVirtual {
	_, grad := tanhBoth(x)
	return grad
}

// tanhBoth returns tanh(x) and its derivative (1+y)·(1-y).
func tanhBoth(x VecVirtual) (y, grad VecVirtual) {
	y = tanh(x)
	t := load(constant(1))
	VADDPS(y, t, x)
	VSUBPS(y, t, t)
	VMULPS(x, t, t)
	return y, t
}

func functions() {
	function("expSumAVX2", "func(y, x *float32, n int, top, scale float32) float32", "sets y = exp(scale·(x-top)), for no x above top, and returns the sum.")
	top, scale := scalar("top"), scalar("scale")
	acc := zeros(2)
	loop{in: []string{"x"}, out: []string{"y"}, unroll: 2, body: func(in []VecVirtual, lane int, mask Op) []VecVirtual {
		VSUBPS(top, in[0], in[0])
		VMULPS(scale, in[0], in[0])
		e := expBelow(in[0])
		if mask != nil {
			VANDPS(mask, e, e)
		}
		VADDPS(e, acc[lane], acc[lane])
		return one(e)
	}}.emit()
	Store(reduce(acc, add).AsX(), ReturnIndex(0))
	finish()

	both(func(suffix string) {
		function("expScale"+suffix, "func(y, x *float32, n int, top, scale, c float32)", "sets y = c·exp(scale·(x-top)), for no x above top.")
		top, scale, c := scalar("top"), scalar("scale"), scalar("c")
		loop{in: []string{"x"}, out: []string{"y"}, unroll: 2, body: func(in []VecVirtual, _ int, _ Op) []VecVirtual {
			VSUBPS(top, in[0], in[0])
			VMULPS(scale, in[0], in[0])
			e := expBelow(in[0])
			VMULPS(c, e, e)
			return one(e)
		}}.emit()
		finish()

		function("expAdd"+suffix, "func(y, x *float32, n int, top, scale, c float32)", "adds c·exp(scale·(x-top)) to y, for no x above top.")
		top, scale, c = scalar("top"), scalar("scale"), scalar("c")
		loop{in: []string{"x", "y"}, out: []string{"y"}, unroll: 2, body: func(in []VecVirtual, _ int, _ Op) []VecVirtual {
			VSUBPS(top, in[0], in[0])
			VMULPS(scale, in[0], in[0])
			VFMADD231PS(c, expBelow(in[0]), in[1])
			return in[1:]
		}}.emit()
		finish()
	})

	for _, f := range activations {
		both(func(suffix string) {
			f.forward(suffix)
			f.backward(suffix)
		})
	}
	expSumWide()
}

// activation is one of the activation functions and its derivative.
type activation struct {
	name, doc   string
	value, grad func(VecVirtual) VecVirtual
	both        func(VecVirtual) (y, grad VecVirtual)
}

var activations = []activation{
	{"gelu", "x·Φ(x)", gelu, geluGrad, geluBoth},
	{"geluTanh", "GELU's tanh approximation of x", geluTanh, geluTanhGrad, geluTanhBoth},
	{"relu", "max(x, 0)", relu, reluGrad, func(x VecVirtual) (y, grad VecVirtual) { return relu(x), reluGrad(x) }},
	{"tanh", "tanh x", tanh, tanhGrad, tanhBoth},
}

func (f activation) forward(suffix string) {
	function(f.name+suffix, "func(y, x *float32, n int)", "sets y to "+f.doc+".")
	loop{in: []string{"x"}, out: []string{"y"}, body: func(in []VecVirtual, _ int, _ Op) []VecVirtual {
		return one(f.value(in[0]))
	}}.emit()
	finish()
	function(f.name+"Bias"+suffix, "func(y, bias *float32, n int)", "sets y to "+f.doc+" with x = y + bias.")
	loop{in: []string{"y", "bias"}, out: []string{"y"}, body: func(in []VecVirtual, _ int, _ Op) []VecVirtual {
		VADDPS(in[1], in[0], in[0])
		return one(f.value(in[0]))
	}}.emit()
	finish()
}

func (f activation) backward(suffix string) {
	function(f.name+"Grad"+suffix, "func(dx, x, dy *float32, n int)", "sets dx to dy times the derivative of "+f.doc+".")
	loop{in: []string{"x", "dy"}, out: []string{"dx"}, body: func(in []VecVirtual, _ int, _ Op) []VecVirtual {
		g := f.grad(in[0])
		VMULPS(in[1], g, g)
		return one(g)
	}}.emit()
	finish()
	function(f.name+"Both"+suffix, "func(y, slope, x *float32, n int)", "sets y to "+f.doc+" and slope to its derivative.")
	loop{in: []string{"x"}, out: []string{"y", "slope"}, body: func(in []VecVirtual, _ int, _ Op) []VecVirtual {
		y, g := f.both(in[0])
		return []VecVirtual{y, g}
	}}.emit()
	finish()
}

// expSumWide is expSumAVX2 in vectors of 16, of which the halves are its two sums.
func expSumWide() {
	cur = zmm
	function("expSumAVX512", "func(y, x *float32, n int, top, scale float32) float32", "sets y = exp(scale·(x-top)), for no x above top, and returns the sum, to the bit\nof expSumAVX2.")
	top, scale, acc := scalar("top"), scalar("scale"), zero()
	sums{in: []string{"x"}, out: []string{"y"}, vectors: 1, body: func(in []VecVirtual, _ int, mask Op) []VecVirtual {
		VSUBPS(top, in[0], in[0])
		VMULPS(scale, in[0], in[0])
		e := expBelow(in[0])
		masked(VADDPS, mask, e, acc, acc)
		return one(e)
	}}.emit()
	Store(reduceWide(acc, add).AsX(), ReturnIndex(0))
	finish()
	cur = ymm
}

// reduceWide folds the halves of a vector of 16 and then as reduce does.
func reduceWide(acc VecVirtual, op func(a, b, d Op)) VecVirtual {
	hi := YMM()
	VEXTRACTF64X4(Imm(1), acc, hi)
	lo := acc.AsY().(VecVirtual)
	op(hi, lo, lo)
	return reduce([]VecVirtual{lo}, op)
}
