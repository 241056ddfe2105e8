package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// An integer kernel multiplies words in pairs, which fit 32 bits with room to
// spare, or bytes in fours; neither saturates.
type integerKernel struct {
	width
	name  string
	bytes bool // of A in fours, by the VNNI instruction; else words in pairs
}

func int8Kernels() {
	for _, kernel := range []integerKernel{{ymm, "words", false}, {ymm, "avxvnni", true}} {
		for h := 1; h <= 6; h++ {
			kernel.emit(h, 1)
		}
	}
	for _, kernel := range []integerKernel{{zmm, "wordsz", false}, {zmm, "vnniz", true}} {
		for panels := 1; panels <= 2; panels++ {
			for h := 1; h <= 12; h++ {
				kernel.emit(h, panels)
			}
		}
	}
	for h := 1; h <= 4; h++ {
		integerKernel{zmm, "vnniz", true}.emit(h, 4)
	}
	dequantize()
	finishSums()
	scaleBytes()
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

// emit writes the kernel of h rows and so many panels. Both halves of a row of
// each panel stay in registers while all rows of A run over them.
func (w integerKernel) emit(h, panels int) {
	function(fmt.Sprintf("%s%dx%d", w.name, h, 16*panels), "func(k int, a, a2 *uint8, lda int, b *int8, ps int, c *int32, ldc int, ahead *int8)",
		fmt.Sprintf("computes C[%d,%d] = A·B over k > 0 groups of interleaved rows of panels that\nare ps bytes apart; rows of A are lda bytes apart from a, from the seventh on\nfrom a2, and rows of C ldc bytes.\nAs many bytes as a panel has are asked for from ahead on.", h, 16*panels))
	k, a, lda := pointer("k"), pointer("a"), pointer("lda")
	bases := rowBases(h, a, lda, func() GPVirtual { return pointer("a2") })
	b := pointer("b")
	ps, b3 := panelBases(b, panels)
	n := panels * w.columns
	acc := make([]VecVirtual, h*n)
	for i := range acc {
		acc[i] = w.zero()
	}
	size := w.width.bytes // of B in one register
	if !w.bytes {
		size /= 2
	}
	step := func(u int) {
		var row []VecVirtual
		for q := range panels {
			for v := range w.columns {
				m := Mem{Base: b, Disp: size * (u*w.columns + v)}
				if q == 3 {
					m.Base = b3
				} else if q > 0 {
					m.Index, m.Scale = ps, uint8(q)
				}
				x := w.reg()
				if w.bytes {
					VMOVUPS(m, x)
				} else {
					VPMOVSXBW(m, x)
				}
				row = append(row, x)
			}
		}
		for i := range h {
			x := w.reg()
			VPBROADCASTD(rowAt(bases, lda, i, 4*u), x)
			for j := range n {
				if w.bytes {
					VPDPBUSD(row[j], x, acc[i*n+j])
					continue
				}
				p := w.reg()
				VPMADDWD(row[j], x, p)
				VPADDD(p, acc[i*n+j], acc[i*n+j])
			}
		}
	}
	advance := func(u int) {
		for _, base := range bases {
			ADDQ(Imm(uint64(4*u)), base)
		}
		ADDQ(U32(uint32(size*w.columns*u)), b)
		if panels > 3 {
			ADDQ(U32(uint32(size*w.columns*u)), b3)
		}
	}
	ahead, line := pointer("ahead"), size*w.columns // bytes of a panel in a step
	SUBQ(Imm(2), k)
	JL(LabelRef("rest"))
	Label("two")
	PREFETCHT1(Mem{Base: ahead})
	step(0)
	if line == 64 {
		PREFETCHT1(Mem{Base: ahead, Disp: 64})
	}
	step(1)
	advance(2)
	ADDQ(U32(uint32(2*line)), ahead)
	SUBQ(Imm(2), k)
	JGE(LabelRef("two"))
	Label("rest")
	ADDQ(Imm(2), k)
	JZ(LabelRef("store"))
	step(0)
	Label("store")
	c, ldc := pointer("c"), pointer("ldc")
	for i := range h {
		for j := range n {
			VMOVUPS(acc[i*n+j], Mem{Base: c, Disp: w.width.bytes * j})
		}
		if i < h-1 {
			ADDQ(ldc, c)
		}
	}
	finish()
}

func dequantize() {
	function("dequantizeAVX2", "func(y *float32, acc, sums *int32, scale *float32, n int, z, c int32)",
		"sets y = float(acc - z·sums - c)·scale over n elements, a multiple of 8, not 0.")
	dst, acc, sums, scale, n := pointer("y"), pointer("acc"), pointer("sums"), pointer("scale"), pointer("n")
	z, c := scalar("z"), scalar("c")
	Label("step")
	x := YMM()
	VPMULLD(Mem{Base: sums}, z, x)
	VPADDD(c, x, x)
	r := load(Mem{Base: acc})
	VPSUBD(x, r, r)
	VCVTDQ2PS(r, r)
	VMULPS(Mem{Base: scale}, r, r)
	VMOVUPS(r, Mem{Base: dst})
	for _, p := range []GPVirtual{dst, acc, sums, scale} {
		ADDQ(Imm(32), p)
	}
	SUBQ(Imm(8), n)
	JNZ(LabelRef("step"))
	finish()
}

// finishSums is the end of a product in one pass.
func finishSums() {
	for _, f := range append([]activation{{name: "none", doc: "x", value: func(x VecVirtual) VecVirtual { return x }}}, activations...) {
		both(func(suffix string) {
			function(f.name+"Sums"+suffix, "func(y *float32, acc, sums *int32, scale, bias *float32, n int, z, c int32)",
				"sets y to "+f.doc+" with x = float(acc - z·sums - c)·scale + bias.")
			z, c := scalar("z"), scalar("c")
			loop{in: []string{"acc", "sums", "scale", "bias"}, out: []string{"y"}, body: func(in []VecVirtual, _ int, _ Op) []VecVirtual {
				x := in[0]
				VPMULLD(z, in[1], in[1])
				VPADDD(c, in[1], in[1])
				VPSUBD(in[1], x, x)
				VCVTDQ2PS(x, x)
				VMULPS(in[2], x, x)
				VADDPS(in[3], x, x)
				return one(f.value(x))
			}}.emit()
			finish()
		})
	}
}

// scaleBytes is a row of a table of 8-bit numbers.
func scaleBytes() {
	function("scaleBytesAVX2", "func(y *float32, x *int8, n int, scale float32)", "sets y = scale·x over n elements, a multiple of 8, not 0.")
	y, x, n, scale := pointer("y"), pointer("x"), pointer("n"), scalar("scale")
	Label("step")
	v := YMM()
	VPMOVSXBD(Mem{Base: x}, v)
	VCVTDQ2PS(v, v)
	VMULPS(scale, v, v)
	VMOVUPS(v, Mem{Base: y})
	ADDQ(Imm(8), x)
	ADDQ(Imm(32), y)
	SUBQ(Imm(8), n)
	JNZ(LabelRef("step"))
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
	cur = zmm
	function("quantizeAVX512", "func(dst *uint8, x *float32, n int, scale float32, zero int32)",
		"sets dst = saturate(round(x/scale) + zero), half to even, over n elements,\na multiple of 16, not 0.")
	to, from, left := pointer("dst"), pointer("x"), pointer("n")
	unit, shift, least := scalar("scale"), scalar("zero"), zero()
	Label("step")
	v := load(Mem{Base: from})
	VDIVPS(unit, v, v)
	VMINPS(constant(1<<30), v, v) // beyond the range of int32 is no number
	VCVTPS2DQ(v, v)
	VPADDD(shift, v, v)
	VPMAXSD(least, v, v)
	VPMOVUSDB(v, Mem{Base: to})
	ADDQ(Imm(64), from)
	ADDQ(Imm(16), to)
	SUBQ(Imm(16), left)
	JNZ(LabelRef("step"))
	finish()
	cur = ymm

	function("quantizeAVX2", "func(dst *uint8, x *float32, n int, scale float32, zero int32)",
		"sets dst = saturate(round(x/scale) + zero), half to even, over n elements,\na multiple of 8, not 0.")
	dst, x, n := pointer("dst"), pointer("x"), pointer("n")
	scale, z := scalar("scale"), scalar("zero")
	Label("step")
	y, hi := load(Mem{Base: x}), YMM()
	VDIVPS(scale, y, y)
	VMINPS(constant(1<<30), y, y) // beyond the range of int32 is no number
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
