package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func int8Kernels() {
	for h := 1; h <= 6; h++ {
		int8Kernel(h)
	}
	for h := 1; h <= 6; h++ {
		vnniKernel(h)
	}
	widen()
	sumBytes()
	quantize()

	function("subScaledAVX2", "func(row, sums *int32, n int, z, c int32)", "sets row -= z·sums + c over n elements, a multiple of 8, not 0.")
	row, sums, n := pointer("row"), pointer("sums"), pointer("n")
	z, c := scalar("z"), scalar("c")
	Label("step")
	y := YMM()
	VPMULLD(Mem{Base: sums}, z, y)
	VPADDD(c, y, y)
	r := load(Mem{Base: row})
	VPSUBD(y, r, r)
	VMOVUPS(r, Mem{Base: row})
	ADDQ(Imm(32), row)
	ADDQ(Imm(32), sums)
	SUBQ(Imm(8), n)
	JNZ(LabelRef("step"))
	finish()
}

// int8Kernel keeps both halves of two rows of B in registers and runs all rows
// of A over them. Products of 9-bit and 8-bit numbers in pairs fit 32 bits with
// room to spare, so nothing saturates.
func int8Kernel(h int) {
	function(fmt.Sprintf("int8x%d", h), "func(k2 int, a *int16, lda int, b *int8, c *int32, ldc int)",
		fmt.Sprintf("computes C[%d,16] = A·B over k2 > 0 pairs of rows of an interleaved panel;\nrows of A are lda and rows of C ldc bytes apart.", h))
	k, a, lda, b, c, ldc := pointer("k2"), pointer("a"), pointer("lda"), pointer("b"), pointer("c"), pointer("ldc")
	a3 := GP64()
	if h > 3 {
		LEAQ(Mem{Base: lda, Index: lda, Scale: 2}, a3)
		ADDQ(a, a3)
	}
	acc := zeros(2 * h)
	step := func(u int) {
		b0, b1 := YMM(), YMM()
		VPMOVSXBW(Mem{Base: b, Disp: 32 * u}, b0)
		VPMOVSXBW(Mem{Base: b, Disp: 32*u + 16}, b1)
		for i := range h {
			m := Mem{Base: a, Disp: 4 * u}
			if i >= 3 {
				m.Base = a3
			}
			if i%3 > 0 {
				m.Index, m.Scale = lda, uint8(i%3)
			}
			v, p := YMM(), YMM()
			VPBROADCASTD(m, v)
			VPMADDWD(b0, v, p)
			VPADDD(p, acc[2*i], acc[2*i])
			VPMADDWD(b1, v, v)
			VPADDD(v, acc[2*i+1], acc[2*i+1])
		}
	}
	advance := func(u int) {
		ADDQ(Imm(uint64(4*u)), a)
		if h > 3 {
			ADDQ(Imm(uint64(4*u)), a3)
		}
		ADDQ(Imm(uint64(32*u)), b)
	}
	SUBQ(Imm(2), k)
	JL(LabelRef("rest"))
	Label("two")
	step(0)
	step(1)
	advance(2)
	SUBQ(Imm(2), k)
	JGE(LabelRef("two"))
	Label("rest")
	ADDQ(Imm(2), k)
	JZ(LabelRef("store"))
	step(0)
	Label("store")
	for i := range h {
		VMOVUPS(acc[2*i], Mem{Base: c})
		VMOVUPS(acc[2*i+1], Mem{Base: c, Disp: 32})
		ADDQ(ldc, c)
	}
	finish()
}

// vnniKernel is the same for groups of four rows of B and unwidened bytes of A.
func vnniKernel(h int) {
	function(fmt.Sprintf("vnni%d", h), "func(k4 int, a *uint8, lda int, b *int8, c *int32, ldc int)",
		fmt.Sprintf("computes C[%d,16] = A·B over k4 > 0 groups of four rows of an interleaved panel;\nrows of A are lda and rows of C ldc bytes apart. It needs AVX512_VNNI and AVX512VL.", h))
	k, a, lda, b, c, ldc := pointer("k4"), pointer("a"), pointer("lda"), pointer("b"), pointer("c"), pointer("ldc")
	a3 := GP64()
	if h > 3 {
		LEAQ(Mem{Base: lda, Index: lda, Scale: 2}, a3)
		ADDQ(a, a3)
	}
	acc := zeros(2 * h)
	step := func(u int) {
		b0, b1 := load(Mem{Base: b, Disp: 64 * u}), load(Mem{Base: b, Disp: 64*u + 32})
		for i := range h {
			m := Mem{Base: a, Disp: 4 * u}
			if i >= 3 {
				m.Base = a3
			}
			if i%3 > 0 {
				m.Index, m.Scale = lda, uint8(i%3)
			}
			v := YMM()
			VPBROADCASTD(m, v)
			VPDPBUSD(b0, v, acc[2*i])
			VPDPBUSD(b1, v, acc[2*i+1])
		}
	}
	advance := func(u int) {
		ADDQ(Imm(uint64(4*u)), a)
		if h > 3 {
			ADDQ(Imm(uint64(4*u)), a3)
		}
		ADDQ(U32(uint32(64*u)), b)
	}
	const unroll = 4
	SUBQ(Imm(unroll), k)
	JL(LabelRef("rest"))
	Label("four")
	for u := range unroll {
		step(u)
	}
	advance(unroll)
	SUBQ(Imm(unroll), k)
	JGE(LabelRef("four"))
	Label("rest")
	ADDQ(Imm(unroll), k)
	JZ(LabelRef("store"))
	Label("one")
	step(0)
	advance(1)
	DECQ(k)
	JNZ(LabelRef("one"))
	Label("store")
	for i := range h {
		VMOVUPS(acc[2*i], Mem{Base: c})
		VMOVUPS(acc[2*i+1], Mem{Base: c, Disp: 32})
		ADDQ(ldc, c)
	}
	finish()
}

func sumBytes() {
	function("sumBytesAVX2", "func(a *uint8, n int) int64", "returns the sum of n bytes, a multiple of 32, not 0.")
	a, n := pointer("a"), pointer("n")
	sum, none := zero(), zero()
	Label("step")
	y := YMM()
	VPSADBW(Mem{Base: a}, none, y)
	VPADDQ(y, sum, sum)
	ADDQ(Imm(32), a)
	SUBQ(Imm(32), n)
	JNZ(LabelRef("step"))
	storeQuads(sum, y)
}

// storeQuads returns the sum of the four 64-bit words of sum.
func storeQuads(sum, t VecVirtual) {
	VEXTRACTI128(Imm(1), sum, t.AsX())
	VPADDQ(t.AsX(), sum.AsX(), sum.AsX())
	VPSRLDQ(Imm(8), sum.AsX(), t.AsX())
	VPADDQ(t.AsX(), sum.AsX(), sum.AsX())
	total := GP64()
	VMOVQ(sum.AsX(), total)
	Store(total, ReturnIndex(0))
	finish()
}

func widen() {
	function("widenAVX2", "func(dst *int16, a *uint8, n int) int64", "widens n bytes, a multiple of 32, not 0, and returns their sum.")
	dst, a, n := pointer("dst"), pointer("a"), pointer("n")
	sum, none := zero(), zero()
	Label("step")
	y, lo, hi := load(Mem{Base: a}), YMM(), YMM()
	VPMOVZXBW(Mem{Base: a}, lo)
	VPMOVZXBW(Mem{Base: a, Disp: 16}, hi)
	VMOVUPS(lo, Mem{Base: dst})
	VMOVUPS(hi, Mem{Base: dst, Disp: 32})
	VPSADBW(none, y, y)
	VPADDQ(y, sum, sum)
	ADDQ(Imm(32), a)
	ADDQ(Imm(64), dst)
	SUBQ(Imm(32), n)
	JNZ(LabelRef("step"))
	storeQuads(sum, y)
}

func quantize() {
	function("quantizeAVX2", "func(dst *uint8, x *float32, n int, scale float32, zero int32)",
		"sets dst = saturate(round(x/scale) + zero), half to even, over n elements,\na multiple of 8, not 0.")
	dst, x, n := pointer("dst"), pointer("x"), pointer("n")
	scale, z := scalar("scale"), scalar("zero")
	Label("step")
	y, hi := load(Mem{Base: x}), YMM()
	VDIVPS(scale, y, y)
	VCVTPS2DQ(y, y)
	VPADDD(z, y, y)
	VEXTRACTI128(Imm(1), y, hi.AsX())
	VPACKUSDW(hi.AsX(), y.AsX(), y.AsX())
	// 0…65535 as signed words would wrap: cap first.
	VPMINUW(constantBits(0x00ff00ff), y, y)
	VPACKUSWB(y.AsX(), y.AsX(), y.AsX())
	VMOVQ(y.AsX(), Mem{Base: dst})
	ADDQ(Imm(32), x)
	ADDQ(Imm(8), dst)
	SUBQ(Imm(8), n)
	JNZ(LabelRef("step"))
	finish()
}
