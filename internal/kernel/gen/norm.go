package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func normLoops() {
	both(func(suffix string) {
		function("normalize"+suffix, "func(y, x, gamma, beta *float32, n int, mean, rstd float32)", "sets y = (x-mean)·rstd·gamma + beta.")
		mean, rstd := scalar("mean"), scalar("rstd")
		loop{in: []string{"x", "gamma", "beta"}, out: []string{"y"}, unroll: 2, body: func(in []VecVirtual, _ int, _ Op) []VecVirtual {
			VSUBPS(mean, in[0], in[0])
			VMULPS(rstd, in[0], in[0])
			VFMADD213PS(in[2], in[1], in[0])
			return in[:1]
		}}.emit()
		finish()
	})

	function("normGradSumsAVX2", "func(dgamma, dbeta, dy, x, gamma *float32, n int, mean, rstd float32) (sg, sgh float32)",
		"adds dy·h to dgamma and dy to dbeta, with h = (x-mean)·rstd,\nand returns Σ dy·gamma and Σ dy·gamma·h.")
	mean, rstd := scalar("mean"), scalar("rstd")
	sg, sgh := zeros(2), zeros(2)
	loop{in: []string{"dy", "x", "gamma", "dgamma", "dbeta"}, out: []string{"dgamma", "dbeta"}, unroll: 2, body: func(in []VecVirtual, lane int, _ Op) []VecVirtual {
		dy, h, g, dgamma, dbeta := in[0], in[1], in[2], in[3], in[4]
		VSUBPS(mean, h, h)
		VMULPS(rstd, h, h)
		VMULPS(dy, g, g)
		VADDPS(dy, dbeta, dbeta)
		VFMADD231PS(h, dy, dgamma)
		VADDPS(g, sg[lane], sg[lane])
		VFMADD231PS(h, g, sgh[lane])
		return []VecVirtual{dgamma, dbeta}
	}}.emit()
	Store(reduce(sg, add).AsX(), ReturnIndex(0))
	Store(reduce(sgh, add).AsX(), ReturnIndex(1))
	finish()

	cur = zmm
	function("normGradSumsAVX512", "func(dgamma, dbeta, dy, x, gamma *float32, n int, mean, rstd float32) (sg, sgh float32)", "is normGradSumsAVX2, to the bit.")
	mean, rstd = scalar("mean"), scalar("rstd")
	sg, sgh = zeros(1), zeros(1)
	sums{in: []string{"dy", "x", "gamma", "dgamma", "dbeta"}, out: []string{"dgamma", "dbeta"}, vectors: 1, body: func(in []VecVirtual, _ int, mask Op) []VecVirtual {
		dy, h, g, dgamma, dbeta := in[0], in[1], in[2], in[3], in[4]
		VSUBPS(mean, h, h)
		VMULPS(rstd, h, h)
		VMULPS(dy, g, g)
		VADDPS(dy, dbeta, dbeta)
		VFMADD231PS(h, dy, dgamma)
		masked(VADDPS, mask, g, sg[0], sg[0])
		masked(VFMADD231PS, mask, h, g, sgh[0])
		return []VecVirtual{dgamma, dbeta}
	}}.emit()
	Store(reduceWide(sg[0], add).AsX(), ReturnIndex(0))
	Store(reduceWide(sgh[0], add).AsX(), ReturnIndex(1))
	finish()
	cur = ymm

	both(func(suffix string) {
		function("normGradDx"+suffix, "func(dx, dy, x, gamma *float32, n int, mean, rstd, c1, c2 float32)",
			"sets dx = rstd·(dy·gamma - c1 - h·c2), with h = (x-mean)·rstd.")
		mean, rstd, c1, c2 := scalar("mean"), scalar("rstd"), scalar("c1"), scalar("c2")
		loop{in: []string{"dy", "x", "gamma"}, out: []string{"dx"}, unroll: 2, body: func(in []VecVirtual, _ int, _ Op) []VecVirtual {
			g, h := in[0], in[1]
			VSUBPS(mean, h, h)
			VMULPS(rstd, h, h)
			VFMSUB213PS(c1, in[2], g)
			VFNMADD231PS(c2, h, g)
			VMULPS(rstd, g, g)
			return in[:1]
		}}.emit()
		finish()
	})
}

// optimizer writes the updates of AdamW and LAMB; the fields of adamConst and
// lambConst are read in order.
func optimizer() {
	both(adamW)
	lamb()
}

// fields loads n floats from c on, each into all elements of a vector.
func fields(n int) []VecVirtual {
	c, k := pointer("c"), make([]VecVirtual, n)
	for i := range k {
		k[i] = reg()
		VBROADCASTSS(Mem{Base: c, Disp: 4 * i}, k[i])
	}
	return k
}

func adamW(suffix string) {
	function("adamW"+suffix, "func(w, grad, m, v *float32, n int, c *float32)", "takes one step; c holds the fields of adamConst.")
	k := fields(9)
	beta1, beta2, rest1, rest2, keep, rate, unbias2, eps, scale := k[0], k[1], k[2], k[3], k[4], k[5], k[6], k[7], k[8]
	loop{in: []string{"w", "grad", "m", "v"}, out: []string{"w", "m", "v"}, body: func(in []VecVirtual, _ int, _ Op) []VecVirtual {
		w, g, m, v := in[0], in[1], in[2], in[3]
		t := reg()
		VMULPS(scale, g, g)
		VMULPS(rest1, g, t)
		VFMADD213PS(t, beta1, m)
		VMULPS(rest2, g, t)
		VMULPS(g, t, t)
		VFMADD213PS(t, beta2, v)
		VSQRTPS(v, t)
		VFMADD213PS(eps, unbias2, t)
		VMULPS(rate, m, g)
		VDIVPS(t, g, t)
		VFMSUB213PS(t, keep, w)
		return []VecVirtual{w, m, v}
	}}.emit()
	finish()
}

func lamb() {
	// direction leaves u = m·unbias1/(sqrt(v)·unbias2+eps) + decay·w in u; t is scratch.
	direction := func(w, m, v, unbias1, unbias2, eps, decay, u, t VecVirtual) {
		VSQRTPS(v, t)
		VFMADD213PS(eps, unbias2, t)
		VMULPS(unbias1, m, u)
		VDIVPS(t, u, u)
		VFMADD231PS(w, decay, u)
	}

	function("lambMomentsAVX2", "func(w, grad, m, v *float32, n int, c *float32) float64", "updates the moments and returns Σ u² in float64;\nc holds the fields of lambConst.")
	k := fields(8)
	sum := zero()
	loop{in: []string{"w", "grad", "m", "v"}, out: []string{"m", "v"}, body: func(in []VecVirtual, _ int, mask Op) []VecVirtual {
		w, g, m, v := in[0], in[1], in[2], in[3]
		t := YMM()
		VMULPS(k[2], g, t)
		VFMADD213PS(t, k[0], m)
		VMULPS(k[3], g, t)
		VMULPS(g, t, t)
		VFMADD213PS(t, k[1], v)
		direction(w, m, v, k[4], k[5], k[6], k[7], g, t)
		if mask != nil {
			VANDPS(mask, g, g)
		}
		VEXTRACTF128(Imm(1), g, t.AsX())
		VCVTPS2PD(g.AsX(), g)
		VCVTPS2PD(t.AsX(), t)
		VFMADD231PD(g, g, sum)
		VFMADD231PD(t, t, sum)
		return []VecVirtual{m, v}
	}}.emit()
	hi := YMM()
	VEXTRACTF128(Imm(1), sum, hi.AsX())
	VADDPD(hi.AsX(), sum.AsX(), sum.AsX())
	VPERMILPD(Imm(1), sum.AsX(), hi.AsX())
	VADDSD(hi.AsX(), sum.AsX(), sum.AsX())
	Store(sum.AsX(), ReturnIndex(0))
	finish()

	both(func(suffix string) {
		function("lambStep"+suffix, "func(w, m, v *float32, n int, c *float32)", "sets w -= rate·u; c holds the fields of lambConst.")
		k := fields(9)
		loop{in: []string{"w", "m", "v"}, out: []string{"w"}, body: func(in []VecVirtual, _ int, _ Op) []VecVirtual {
			u, t := reg(), reg()
			direction(in[0], in[1], in[2], k[4], k[5], k[6], k[7], u, t)
			VFNMADD231PS(u, k[8], in[0])
			return in[:1]
		}}.emit()
		finish()
	})
}
