package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func one(y VecVirtual) []VecVirtual { return []VecVirtual{y} }

// plainLoops writes the elementwise loops without functions.
func plainLoops() {
	both(func(suffix string) {
		function("add"+suffix, "func(dst, a, b *float32, n int)", "sets dst = a + b.")
		loop{in: []string{"a", "b"}, out: []string{"dst"}, unroll: 2, body: func(in []VecVirtual, _ int, _ Op) []VecVirtual {
			VADDPS(in[1], in[0], in[0])
			return in[:1]
		}}.emit()
		finish()
	})

	both(func(suffix string) {
		function("mul"+suffix, "func(dst, a, b *float32, n int)", "sets dst = a·b.")
		loop{in: []string{"a", "b"}, out: []string{"dst"}, unroll: 2, body: func(in []VecVirtual, _ int, _ Op) []VecVirtual {
			VMULPS(in[1], in[0], in[0])
			return in[:1]
		}}.emit()
		finish()

		function("axpy"+suffix, "func(x, y *float32, n int, alpha float32)", "sets y += alpha·x.")
		alpha := scalar("alpha")
		loop{in: []string{"x", "y"}, out: []string{"y"}, unroll: 2, body: func(in []VecVirtual, _ int, _ Op) []VecVirtual {
			VFMADD231PS(alpha, in[0], in[1])
			return in[1:]
		}}.emit()
		finish()

		function("scale"+suffix, "func(x *float32, n int, alpha float32)", "sets x = alpha·x.")
		alpha = scalar("alpha")
		loop{in: []string{"x"}, out: []string{"x"}, unroll: 2, body: func(in []VecVirtual, _ int, _ Op) []VecVirtual {
			VMULPS(alpha, in[0], in[0])
			return in
		}}.emit()
		finish()

		function("affine"+suffix, "func(x *float32, n int, alpha, beta float32)", "sets x = alpha·x + beta.")
		alpha, beta := scalar("alpha"), scalar("beta")
		loop{in: []string{"x"}, out: []string{"x"}, unroll: 2, body: func(in []VecVirtual, _ int, _ Op) []VecVirtual {
			VFMADD213PS(beta, alpha, in[0])
			return in
		}}.emit()
		finish()
	})

	function("shiftAVX2", "func(y, x *float32, n int, a, b float32)", "sets y = (x - a) - b.")
	alpha, beta := scalar("a"), scalar("b")
	loop{in: []string{"x"}, out: []string{"y"}, unroll: 2, body: func(in []VecVirtual, _ int, _ Op) []VecVirtual {
		VSUBPS(alpha, in[0], in[0])
		VSUBPS(beta, in[0], in[0])
		return in
	}}.emit()
	finish()

	function("blendAVX2", "func(y, x *float32, n int, alpha, beta float32)", "sets y = alpha·y + beta·x.")
	alpha, beta = scalar("alpha"), scalar("beta")
	loop{in: []string{"y", "x"}, out: []string{"y"}, unroll: 2, body: func(in []VecVirtual, _ int, _ Op) []VecVirtual {
		VMULPS(beta, in[1], in[1])
		VFMADD213PS(in[1], alpha, in[0])
		return in[:1]
	}}.emit()
	finish()
}

// dropout zeroes elements by a hash of their place; see dropoutGo.
func dropout() {
	steps := GLOBL("lane_numbers", 8|16)
	for i := range 16 {
		DATA(4*i, U32(uint32(i)))
	}
	both(func(suffix string) {
		function("dropout"+suffix, "func(y, x *float32, n int, from, key0, key1, limit uint32, scale float32)", "sets y to 0 where the hash of from + i is below limit, elsewhere to scale·x.")
		word := func(name string) VecVirtual {
			x, y := XMM(), reg()
			VMOVD(Load(Param(name), GP32()), x)
			VPBROADCASTD(x, y)
			return y
		}
		i, key0, key1, limit, scale := word("from"), word("key0"), word("key1"), word("limit"), scalar("scale")
		VPADDD(steps, i, i)
		loop{in: []string{"x"}, out: []string{"y"}, unroll: 2, body: func(in []VecVirtual, _ int, _ Op) []VecVirtual {
			h, t := reg(), reg()
			xor := func(a, b, d Op) {
				if cur.bytes == 64 {
					VPXORD(a, b, d)
				} else {
					VPXOR(a, b, d)
				}
			}
			mix := func(shift uint64) {
				VPSRLD(Imm(shift), h, t)
				xor(t, h, h)
			}
			xor(key0, i, h)
			VPADDD(constantBits(uint32(cur.bytes/4)), i, i)
			mix(16)
			VPMULLD(constantBits(dropoutMul0), h, h)
			mix(15)
			xor(key1, h, h)
			VPMULLD(constantBits(dropoutMul1), h, h)
			mix(16)
			VPSRLD(Imm(1), h, h)
			VMULPS(scale, in[0], in[0])
			if cur.bytes == 64 {
				kept := K()
				VPCMPD(Imm(2), h, limit, kept) // limit ≤ h
				VMOVUPS_Z(in[0], kept, in[0])
				return in
			}
			VPCMPGTD(h, limit, t)
			VANDNPS(in[0], t, in[0])
			return in
		}}.emit()
		finish()
	})
}

// The multipliers of lowbias32 (Wellons 2018).
const dropoutMul0, dropoutMul1 = 0x7feb352d, 0x846ca68b

// reductions writes the loops that return a number. Each keeps four vectors of
// partial results, folded in one order.
func reductions() {
	const lanes = 4
	result := func(y VecVirtual) {
		Store(y.AsX(), ReturnIndex(0))
		finish()
	}

	function("sumAVX2", "func(x *float32, n int) float32", "returns Σ x.")
	acc := zeros(lanes)
	loop{in: []string{"x"}, unroll: lanes, body: func(in []VecVirtual, lane int, _ Op) []VecVirtual {
		VADDPS(in[0], acc[lane], acc[lane])
		return nil
	}}.emit()
	result(reduce(acc, add))

	function("dotAVX2", "func(a, b *float32, n int) float32", "returns Σ a·b.")
	acc = zeros(lanes)
	loop{in: []string{"a", "b"}, unroll: lanes, body: func(in []VecVirtual, lane int, _ Op) []VecVirtual {
		VFMADD231PS(in[0], in[1], acc[lane])
		return nil
	}}.emit()
	result(reduce(acc, add))

	function("dotDiffAVX2", "func(e, u, s *float32, n int, shift float32) float32", "returns Σ e·((u-s)-shift) where e is not 0.")
	shift, none := scalar("shift"), zero()
	acc = zeros(2)
	loop{in: []string{"e", "u", "s"}, unroll: 2, body: func(in []VecVirtual, lane int, _ Op) []VecVirtual {
		VSUBPS(in[2], in[1], in[1])
		VSUBPS(shift, in[1], in[1])
		VCMPPS(Imm(4), none, in[0], in[2]) // e ≠ 0
		VANDPS(in[2], in[1], in[1])
		VFMADD231PS(in[0], in[1], acc[lane])
		return nil
	}}.emit()
	result(reduce(acc, add))

	function("squaredDiffAVX2", "func(x *float32, n int, mean float32) float32", "returns Σ (x-mean)².")
	mean := scalar("mean")
	acc = zeros(lanes)
	loop{in: []string{"x"}, unroll: lanes, body: func(in []VecVirtual, lane int, mask Op) []VecVirtual {
		VSUBPS(mean, in[0], in[0])
		if mask != nil {
			VANDPS(mask, in[0], in[0])
		}
		VFMADD231PS(in[0], in[0], acc[lane])
		return nil
	}}.emit()
	result(reduce(acc, add))

	function("sumSquaresAVX2", "func(x *float32, n int) float64", "returns Σ x² in float64.")
	acc = zeros(lanes)
	loop{in: []string{"x"}, unroll: 2, body: func(in []VecVirtual, lane int, _ Op) []VecVirtual {
		lo, hi := YMM(), YMM()
		VEXTRACTF128(Imm(1), in[0], hi.AsX())
		VCVTPS2PD(in[0].AsX(), lo)
		VCVTPS2PD(hi.AsX(), hi)
		VFMADD231PD(lo, lo, acc[2*lane])
		VFMADD231PD(hi, hi, acc[2*lane+1])
		return nil
	}}.emit()
	VADDPD(acc[2], acc[0], acc[0])
	VADDPD(acc[3], acc[1], acc[1])
	VADDPD(acc[1], acc[0], acc[0])
	VEXTRACTF128(Imm(1), acc[0], acc[1].AsX())
	VADDPD(acc[1].AsX(), acc[0].AsX(), acc[0].AsX())
	VPERMILPD(Imm(1), acc[0].AsX(), acc[1].AsX())
	VADDSD(acc[1].AsX(), acc[0].AsX(), acc[0].AsX())
	result(acc[0])

	wideReductions()
	wideReduction("sumAVX512", "func(x *float32, n int) float32", "is sumAVX2, to the bit.", nil, func(v, acc VecVirtual, _ Op, _ VecVirtual) {
		VADDPS(v, acc, acc)
	})
	wideReduction("squaredDiffAVX512", "func(x *float32, n int, mean float32) float32", "is squaredDiffAVX2, to the bit.", []string{"mean"}, func(v, acc VecVirtual, mask Op, mean VecVirtual) {
		if mask != nil {
			VSUBPS_Z(mean, v, mask, v)
		} else {
			VSUBPS(mean, v, v)
		}
		VFMADD231PS(v, v, acc)
	})

	lowest := constantBits(0xff800000) // -Inf
	fill := func(n int) []VecVirtual {
		acc := make([]VecVirtual, n)
		for i := range acc {
			acc[i] = load(lowest)
		}
		return acc
	}
	// The element comes second, so that a NaN is passed over.
	function("maxAVX2", "func(x *float32, n int) float32", "returns the greatest element, -Inf for none.")
	acc = fill(lanes)
	loop{in: []string{"x"}, unroll: lanes, body: func(in []VecVirtual, lane int, mask Op) []VecVirtual {
		if mask != nil {
			VBLENDVPS(mask, in[0], acc[lane], in[0])
		}
		VMAXPS(acc[lane], in[0], acc[lane])
		return nil
	}}.emit()
	result(reduce(acc, maximum))

	cur = zmm
	function("maxAVX512", "func(x *float32, n int) float32", "is maxAVX2.")
	acc = fill(2)
	sums{in: []string{"x"}, vectors: 2, body: func(in []VecVirtual, v int, mask Op) []VecVirtual {
		masked(VMAXPS, mask, acc[v], in[0], acc[v])
		return nil
	}}.emit()
	maximum(acc[1], acc[0], acc[0])
	result(reduceWide(acc[0], maximum))
	cur = ymm

	function("minMaxAVX2", "func(x *float32, n int) (low, high float32)", "returns the extrema of x and 0.")
	low, high := zeros(2), zeros(2)
	loop{in: []string{"x"}, unroll: 2, body: func(in []VecVirtual, lane int, _ Op) []VecVirtual {
		VMINPS(low[lane], in[0], low[lane])
		VMAXPS(high[lane], in[0], high[lane])
		return nil
	}}.emit()
	Store(reduce(low, minimum).AsX(), ReturnIndex(0))
	Store(reduce(high, maximum).AsX(), ReturnIndex(1))
	finish()
}

// wideReduction writes a reduction of four sums of 8 as two of 16.
func wideReduction(name, signature, doc string, scalars []string, body func(v, acc VecVirtual, mask Op, arg VecVirtual)) {
	cur = zmm
	function(name, signature, doc)
	var arg VecVirtual
	for _, s := range scalars {
		arg = scalar(s)
	}
	acc := zeros(2)
	sums{in: []string{"x"}, vectors: 2, body: func(in []VecVirtual, v int, mask Op) []VecVirtual {
		body(in[0], acc[v], mask, arg)
		return nil
	}}.emit()
	VADDPS(acc[1], acc[0], acc[0])
	Store(reduceWide(acc[0], add).AsX(), ReturnIndex(0))
	finish()
	cur = ymm
}

// wideReductions writes those of two sums of 8 as one of 16.
func wideReductions() {
	cur = zmm
	function("dotDiffAVX512", "func(e, u, s *float32, n int, shift float32) float32", "is dotDiffAVX2, to the bit.")
	shift, none, sum := scalar("shift"), zero(), zero()
	sums{in: []string{"e", "u", "s"}, vectors: 1, body: func(in []VecVirtual, _ int, _ Op) []VecVirtual {
		some := K()
		VSUBPS(in[2], in[1], in[1])
		VSUBPS(shift, in[1], in[1])
		VCMPPS(Imm(4), none, in[0], some) // e ≠ 0
		VMOVUPS_Z(in[1], some, in[1])
		VFMADD231PS(in[0], in[1], sum)
		return nil
	}}.emit()
	Store(reduceWide(sum, add).AsX(), ReturnIndex(0))
	finish()

	function("sumSquaresAVX512", "func(x *float32, n int) float64", "is sumSquaresAVX2, to the bit.")
	acc := zeros(2)
	sums{in: []string{"x"}, vectors: 1, body: func(in []VecVirtual, _ int, _ Op) []VecVirtual {
		hi, lo := YMM(), reg()
		VEXTRACTF32X8(Imm(1), in[0], hi)
		VCVTPS2PD(in[0].AsY(), lo)
		VCVTPS2PD(hi, in[0])
		VFMADD231PD(lo, lo, acc[0])
		VFMADD231PD(in[0], in[0], acc[1])
		return nil
	}}.emit()
	VADDPD(acc[1], acc[0], acc[0])
	y, hi := acc[0].AsY().(VecVirtual), YMM()
	VEXTRACTF64X4(Imm(1), acc[0], hi)
	VADDPD(hi, y, y)
	VEXTRACTF128(Imm(1), y, hi.AsX())
	VADDPD(hi.AsX(), y.AsX(), y.AsX())
	VPERMILPD(Imm(1), y.AsX(), hi.AsX())
	VADDSD(hi.AsX(), y.AsX(), y.AsX())
	Store(y.AsX(), ReturnIndex(0))
	finish()
	cur = ymm
}
