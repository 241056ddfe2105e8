package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// logarithm returns log(w) for w ≥ 0 to about 1e-7, relative also near 1, since t is
// w - 1 as it was before w was rounded. w = 2^e·(1+r) with 1+r between √½ and √2, and
// log(1+r) = r - r²/2 + r³·P(r), P fitted to the least relative error (6e-9). log(0)
// is finite: factors of 0 are to stay so.
func logarithm(w, t VecVirtual) VecVirtual {
	e, r, mask := reg(), reg(), zero()
	VPSUBD(constantBits(0x3f3504f3), w, e)
	VPSRAD(Imm(23), e, e)
	VPSLLD(Imm(23), e, r)
	VPSUBD(r, w, r)
	VSUBPS(constant(1), r, r)
	VPCMPEQD(mask, e, mask)
	VBLENDVPS(mask, t, r, r)
	VCVTDQ2PS(e, e)
	p := poly(r, 0.33333331707946984, -0.2500082103710333, 0.20001226850250675, -0.1662335723480997,
		0.14201758559153507, -0.13160183988566798, 0.1276157369735899, -0.07634488153642714)
	square := reg()
	VMULPS(r, r, square)
	VMULPS(r, p, p)
	VADDPS(constant(-0.5), p, p)
	VMULPS(square, p, p)
	VFMADD231PS(constant(-2.12194440e-4), e, p)
	VADDPS(r, p, p)
	VFMADD231PS(constant(0.693359375), e, p)
	return p
}

// halfLog returns ½·a·log(a/m) with m = (a+b)/2, from 1/m and b-a over a+b.
func halfLog(a, inverse, t VecVirtual) VecVirtual {
	w := reg()
	VMULPS(a, inverse, w)
	y := logarithm(w, t)
	VMULPS(a, y, y)
	VMULPS(constant(0.5), y, y)
	return y
}

// means returns 1/m, m = (p+q)/2, and (q-p)/(q+p), both finite where p and q are 0.
func means(p, q VecVirtual) (inverse, t VecVirtual) {
	sum, least := reg(), load(constant(1.1754944e-38))
	VADDPS(p, q, sum)
	VMAXPS(sum, least, sum) // the operand that may be NaN comes first: it is passed on
	one := load(constant(1))
	inverse, t = reg(), reg()
	VDIVPS(sum, one, inverse)
	VSUBPS(p, q, t)
	VMULPS(inverse, t, t)
	VADDPS(inverse, inverse, inverse)
	return inverse, t
}

// jensenShannon writes the loops of FormJS.
func jensenShannon() {
	function("jsTermsAVX2", "func(ours, both, p, q *float32, n int)", "sets ours = ½·q·log(q/m) and both = ours + ½·p·log(p/m), m = (p+q)/2.")
	loop{in: []string{"p", "q"}, out: []string{"ours", "both"}, unroll: 1, body: func(in []VecVirtual, _ int, _ Op) []VecVirtual {
		p, q := in[0], in[1]
		inverse, t := means(p, q)
		ours := halfLog(q, inverse, t)
		VXORPS(constantBits(signBit), t, t)
		both := halfLog(p, inverse, t)
		VADDPS(ours, both, both)
		return []VecVirtual{ours, both}
	}}.emit()
	finish()

	function("jsGradAVX2", "func(acc, p, q *float32, n int, c, mean float32)", "adds c·(½·q·log(q/m) - mean·q) to acc, m = (p+q)/2.")
	c, mean := scalar("c"), scalar("mean")
	loop{in: []string{"p", "q", "acc"}, out: []string{"acc"}, unroll: 1, body: func(in []VecVirtual, _ int, _ Op) []VecVirtual {
		p, q, acc := in[0], in[1], in[2]
		inverse, t := means(p, q)
		y := halfLog(q, inverse, t)
		VFNMADD231PS(mean, q, y)
		VFMADD231PS(c, y, acc)
		return one(acc)
	}}.emit()
	finish()
}
