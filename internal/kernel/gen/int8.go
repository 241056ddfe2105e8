package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// An integer kernel multiplies bytes in fours, by the VNNI instruction or, without
// it, by VPMADDUBSW, whose 16-bit sums A is made to fit beforehand (centre).
type integerKernel struct {
	width
	name string
	vnni bool
}

func int8Kernels() {
	for h := 1; h <= 6; h++ {
		integerKernel{ymm, "avxvnni", true}.emit(h, 1)
	}
	for h := 1; h <= 4; h++ {
		integerKernel{ymm, "quads", false}.emit(h, 1)
		integerKernel{zmm, "vnniz", true}.emit(h, 4)
	}
	for panels := 1; panels <= 2; panels++ {
		for h := 1; h <= 8; h++ {
			integerKernel{zmm, "quadsz", false}.emit(h, panels)
		}
		for h := 1; h <= 12; h++ {
			integerKernel{zmm, "vnniz", true}.emit(h, panels)
		}
	}
	for h := 1; h <= 3; h++ {
		wordProduct(h)
	}
	addExcess()
	centre()
	dequantize()
	finishSums()
	scaleBytes()
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
		fmt.Sprintf("computes C[%d,%d] = A·B over k > 0 groups of four interleaved rows of panels that\nare ps bytes apart; rows of A are lda bytes apart from a, from the seventh on\nfrom a2, and rows of C ldc bytes.\nAs many bytes as a panel has are asked for from ahead on.", h, 16*panels))
	k, a, lda := pointer("k"), pointer("a"), pointer("lda")
	bases := rowBases(h, a, lda, func() GPVirtual { return pointer("a2") })
	b := pointer("b")
	ps, b3 := panelBases(b, panels)
	n := panels * w.columns
	acc := make([]VecVirtual, h*n)
	for i := range acc {
		acc[i] = w.zero()
	}
	p := product{w, panels, bases, lda, b, b3, ps, acc, w.ones()}
	advance := func(u int) {
		for _, base := range bases {
			ADDQ(Imm(uint64(4*u)), base)
		}
		ADDQ(U32(uint32(64*u)), b)
		if panels > 3 {
			ADDQ(U32(uint32(64*u)), b3)
		}
	}
	ahead := pointer("ahead")
	SUBQ(Imm(2), k)
	JL(LabelRef("rest"))
	Label("two")
	PREFETCHT1(Mem{Base: ahead})
	PREFETCHT1(Mem{Base: ahead, Disp: 64})
	p.two()
	advance(2)
	ADDQ(U32(128), ahead)
	SUBQ(Imm(2), k)
	JGE(LabelRef("two"))
	Label("rest")
	ADDQ(Imm(2), k)
	JZ(LabelRef("store"))
	p.one(0)
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

// wordProduct multiplies words of A by bytes of B that are widened on the way. A
// register of sums holds two for each of four columns.
func wordProduct(h int) {
	function(fmt.Sprintf("words%dx16", h), "func(k int, a *int16, lda int, b *int8, c *int32, ldc int)",
		fmt.Sprintf("computes C[%d,16] = A·B over k > 0 groups of four interleaved rows of a panel of\nunsigned bytes; rows of A are lda bytes apart and rows of C ldc.", h))
	k, a, lda, b := pointer("k"), pointer("a"), pointer("lda"), pointer("b")
	const n = 4
	var acc [3 * n]VecVirtual
	for i := range h * n {
		acc[i] = zero()
	}
	Label("step")
	var fours [3]VecVirtual
	for i := range h {
		fours[i] = YMM()
		VPBROADCASTQ(rowAt([]GPVirtual{a}, lda, i, 0), fours[i])
	}
	for j := range n {
		x := YMM()
		VPMOVZXBW(Mem{Base: b, Disp: 16 * j}, x)
		for i := range h {
			p := x // the last row needs it no longer
			if i < h-1 {
				p = YMM()
			}
			VPMADDWD(fours[i], x, p)
			VPADDD(p, acc[i*n+j], acc[i*n+j])
		}
	}
	ADDQ(Imm(8), a)
	ADDQ(U32(64), b)
	DECQ(k)
	JNZ(LabelRef("step"))
	c, ldc := pointer("c"), pointer("ldc")
	for i := range h {
		for j := 0; j < n; j += 2 {
			sum := acc[i*n+j]
			VPHADDD(acc[i*n+j+1], sum, sum)
			VPERMQ(Imm(0xd8), sum, sum)
			VMOVUPS(sum, Mem{Base: c, Disp: 16 * j})
		}
		if i < h-1 {
			ADDQ(ldc, c)
		}
	}
	finish()
}

// ones is words of 1, in a register where the instruction would spread its operand:
// none on words does.
func (w integerKernel) ones() Op {
	if w.vnni || w.width.bytes < 64 {
		return constantBits(0x00010001)
	}
	x := w.reg()
	VBROADCASTSS(constantBits(0x00010001), x)
	return x
}

// product is the body of an integer kernel.
type product struct {
	integerKernel
	panels int
	bases  []GPVirtual // of rows of A, lda bytes apart
	lda    GPVirtual
	b, b3  GPVirtual // panels of B, ps bytes apart
	ps     GPVirtual
	acc    []VecVirtual
	ones   Op
}

// group loads group u of B, all columns.
func (p *product) group(u int) (row []VecVirtual) {
	for q := range p.panels {
		for v := range p.columns {
			m := Mem{Base: p.b, Disp: p.width.bytes * (u*p.columns + v)}
			if q == 3 {
				m.Base = p.b3
			} else if q > 0 {
				m.Index, m.Scale = p.ps, uint8(q)
			}
			x := p.reg()
			VMOVUPS(m, x)
			row = append(row, x)
		}
	}
	return row
}

// four spreads group u of row i of A.
func (p *product) four(i, u int) VecVirtual {
	x := p.reg()
	VPBROADCASTD(rowAt(p.bases, p.lda, i, 4*u), x)
	return x
}

// one multiplies group u.
func (p *product) one(u int) {
	row := p.group(u)
	n := len(row)
	for i := range len(p.acc) / n {
		x := p.four(i, u)
		for j := range n {
			if sum := p.acc[i*n+j]; p.vnni {
				VPDPBUSD(row[j], x, sum)
			} else {
				y := p.reg()
				VPMADDUBSW(x, row[j], y)
				addWords(y, sum, p.ones)
			}
		}
	}
}

// two multiplies the first two groups.
func (p *product) two() {
	if p.vnni {
		p.one(0)
		p.one(1)
		return
	}
	even, odd := p.group(0), p.group(1)
	n := len(even)
	for i := range len(p.acc) / n {
		x, y := p.four(i, 0), p.four(i, 1)
		for j := range n {
			s, t := x, y // the last columns need them no longer
			if j < n-1 {
				s, t = p.reg(), p.reg()
			}
			VPMADDUBSW(x, even[j], s)
			VPMADDUBSW(y, odd[j], t)
			VPADDW(t, s, s)
			addWords(s, p.acc[i*n+j], p.ones)
		}
	}
}

// addWords adds the words of p in pairs to sum; ones has words of 1.
func addWords(p, sum VecVirtual, ones Op) {
	VPMADDWD(ones, p, p)
	VPADDD(p, sum, sum)
}

func addExcess() {
	function("addExcessAVX2", "func(c *int32, ldc, h int, counts *int32, list *uint8, b *int8)",
		"adds to h rows of 16 columns of C, ldc bytes apart, what A has beside the\nbytes that the kernel took: for row i counts[i] fours of list, a 32-bit\ndistance from b to its group of the panel, and four signed bytes.")
	c, ldc, h, counts, list, b := pointer("c"), pointer("ldc"), pointer("h"), pointer("counts"), pointer("list"), pointer("b")
	Label("row")
	n := GP64()
	MOVLQSX(Mem{Base: counts}, n)
	TESTQ(n, n)
	JZ(LabelRef("next"))
	sums := [2]VecVirtual{load(Mem{Base: c}), load(Mem{Base: c, Disp: 32})}
	Label("four")
	at, x := GP64(), YMM()
	MOVLQSX(Mem{Base: list}, at)
	VPBROADCASTD(Mem{Base: list, Disp: 4}, x)
	for j, sum := range sums {
		p := load(Mem{Base: b, Index: at, Scale: 1, Disp: 32 * j})
		VPMADDUBSW(x, p, p)
		addWords(p, sum, constantBits(0x00010001))
	}
	ADDQ(Imm(8), list)
	DECQ(n)
	JNZ(LabelRef("four"))
	VMOVUPS(sums[0], Mem{Base: c})
	VMOVUPS(sums[1], Mem{Base: c, Disp: 32})
	Label("next")
	ADDQ(ldc, c)
	ADDQ(Imm(4), counts)
	DECQ(h)
	JNZ(LabelRef("row"))
	finish()
}

// centre finds where bytes that share a word sum up to more than 126 on one side
// of zero: times 255 they might not fit 16 bits. A byte that saturates is more than
// that by itself.
func centre() {
	function("centreAVX2", "func(dst, a *uint8, n int, c uint32, over *uint64)",
		"sets dst = saturate(a - 128 - c), signed, over n bytes, a multiple of 32, not 0;\nc has a signed byte four times. over has a word for each 32 bytes: in its high half\nthe bits of pairs are set that sum up to more than 126 on one side of zero, in its\nlow half, among those of eight bytes, the first or second two if they do with the\nthird or fourth, and the others as above.")
	dst, a, n, over := pointer("dst"), pointer("a"), pointer("n"), pointer("over")
	c, none := scalar("c"), zero()
	ones, most := load(constantBits(0x01010101)), load(constantBits(126<<16|126))
	Label("step")
	x, up, down := load(Mem{Base: a}), YMM(), YMM()
	VPXOR(constantBits(0x80808080), x, x)
	VPSUBSB(c, x, x)
	VMOVUPS(x, Mem{Base: dst})
	VPMAXSB(none, x, up)
	VPABSB(x, down)
	VPSUBB(up, down, down)
	report := func(disp int) {
		m, bits := YMM(), GP32()
		VPMAXSW(down, up, m)
		VPCMPGTW(most, m, m)
		VPMOVMSKB(m, bits)
		MOVL(bits, Mem{Base: over, Disp: disp})
	}
	sides := []VecVirtual{up, down}
	for _, side := range sides {
		VPMADDUBSW(ones, side, side)
	}
	report(4)
	for _, side := range sides {
		t := YMM()
		VPSRLQ(Imm(32), side, t)
		VPADDW(t, side, side)
	}
	report(0)
	ADDQ(Imm(32), a)
	ADDQ(Imm(32), dst)
	ADDQ(Imm(8), over)
	SUBQ(Imm(32), n)
	JNZ(LabelRef("step"))
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
