package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// microKernels writes one kernel for each number of rows: C[h,16] =
// alpha·A·B + beta·C with the 2h vectors of C in registers throughout.
func microKernels() {
	for h := 1; h <= 6; h++ {
		microKernel(h)
	}
}

func microKernel(h int) {
	name := fmt.Sprintf("micro%dx16", h)
	function(name, "func(k int, a *float32, rs, cs int, b, c *float32, ldc int, alpha, beta float32)",
		fmt.Sprintf("computes C[%d,16] = alpha·A·B + beta·C. Element (i,p) of A is rs·i + cs·p\nand row i of C ldc·i bytes in; B is packed. C is not read when beta is 0.", h))
	k, a, rs, cs, b := pointer("k"), pointer("a"), pointer("rs"), pointer("cs"), pointer("b")
	c, ldc := pointer("c"), pointer("ldc")
	a3 := GP64()
	if h > 3 {
		LEAQ(Mem{Base: rs, Index: rs, Scale: 2}, a3)
		ADDQ(a, a3)
	}
	acc := zeros(2 * h)
	prefetch(h, c, ldc)

	step := func(u int) {
		b0, b1 := load(Mem{Base: b, Disp: 64 * u}), load(Mem{Base: b, Disp: 64*u + 32})
		for i := range h {
			m := Mem{Base: a}
			if i >= 3 {
				m.Base = a3
			}
			if i%3 > 0 {
				m.Index, m.Scale = rs, uint8(i%3)
			}
			v := YMM()
			VBROADCASTSS(m, v)
			VFMADD231PS(b0, v, acc[2*i])
			VFMADD231PS(b1, v, acc[2*i+1])
		}
		ADDQ(cs, a)
		if h > 3 {
			ADDQ(cs, a3)
		}
	}
	const unroll = 4
	SUBQ(Imm(unroll), k)
	JL(LabelRef("rest"))
	Label("four")
	for u := range unroll {
		step(u)
	}
	ADDQ(U32(64*unroll), b)
	SUBQ(Imm(unroll), k)
	JGE(LabelRef("four"))
	Label("rest")
	ADDQ(Imm(unroll), k)
	JZ(LabelRef("store"))
	Label("one")
	step(0)
	ADDQ(Imm(64), b)
	DECQ(k)
	JNZ(LabelRef("one"))

	Label("store")
	alpha, beta := scalar("alpha"), scalar("beta")
	VUCOMISS(zero().AsX(), beta.AsX())
	JNE(LabelRef("accumulate"))
	for i := range h {
		for j := range 2 {
			VMULPS(alpha, acc[2*i+j], acc[2*i+j])
			VMOVUPS(acc[2*i+j], Mem{Base: c, Disp: 32 * j})
		}
		ADDQ(ldc, c)
	}
	VZEROUPPER()
	RET()
	Label("accumulate")
	for i := range h {
		for j := range 2 {
			old := YMM()
			VMULPS(Mem{Base: c, Disp: 32 * j}, beta, old)
			VFMADD231PS(alpha, acc[2*i+j], old)
			VMOVUPS(old, Mem{Base: c, Disp: 32 * j})
		}
		ADDQ(ldc, c)
	}
	finish()
}

// prefetch asks for the rows of C while the product is made.
func prefetch(h int, c, ldc GPVirtual) {
	p := GP64()
	MOVQ(c, p)
	for i := range h {
		PREFETCHT0(Mem{Base: p})
		PREFETCHT0(Mem{Base: p, Disp: 60})
		if i < h-1 {
			ADDQ(ldc, p)
		}
	}
}

func packing() {
	function("pack16", "func(dst, b *float32, ldb, k int)", "copies k rows of 16 elements, ldb bytes apart, into a panel.")
	dst, b, ld, k := pointer("dst"), pointer("b"), pointer("ldb"), pointer("k")
	Label("row")
	y0, y1 := load(Mem{Base: b}), load(Mem{Base: b, Disp: 32})
	VMOVUPS(y0, Mem{Base: dst})
	VMOVUPS(y1, Mem{Base: dst, Disp: 32})
	ADDQ(ld, b)
	ADDQ(Imm(64), dst)
	DECQ(k)
	JNZ(LabelRef("row"))
	finish()

	function("packRows6", "func(dst, a *float32, ld, k int)", "copies k rows of 6 elements, ld bytes apart, one behind the other.")
	dst, b, ld, k = pointer("dst"), pointer("a"), pointer("ld"), pointer("k")
	Label("row")
	x, g := XMM(), GP64()
	VMOVUPS(Mem{Base: b}, x)
	MOVQ(Mem{Base: b, Disp: 16}, g)
	VMOVUPS(x, Mem{Base: dst})
	MOVQ(g, Mem{Base: dst, Disp: 16})
	ADDQ(ld, b)
	ADDQ(Imm(24), dst)
	DECQ(k)
	JNZ(LabelRef("row"))
	RET()

	packTransposed()
}

// packTransposed turns 8 rows of B[n,k] into half of a panel, 8 columns of k at
// a time.
func packTransposed() {
	function("packT8", "func(dst, b *float32, ldb, k int)", "transposes 8 rows, ldb bytes apart, of k elements (a multiple of 8, not 0)\ninto 8 of the 16 columns of a panel.")
	dst, b, ld, k := pointer("dst"), pointer("b"), pointer("ldb"), pointer("k")
	b3, b6 := GP64(), GP64()
	LEAQ(Mem{Base: ld, Index: ld, Scale: 2}, b3)
	LEAQ(Mem{Base: b, Index: b3, Scale: 2}, b6)
	ADDQ(b, b3)
	Label("block")
	bases := []GPVirtual{b, b, b, b3, b3, b3, b6, b6}
	var r, s [8]VecVirtual
	for i := range 8 {
		m := Mem{Base: bases[i]}
		if i%3 > 0 {
			m.Index, m.Scale = ld, uint8(i%3)
		}
		r[i] = load(m)
	}
	for i := 0; i < 8; i += 2 {
		s[i], s[i+1] = YMM(), YMM()
		VUNPCKLPS(r[i+1], r[i], s[i])
		VUNPCKHPS(r[i+1], r[i], s[i+1])
	}
	for q := 0; q < 8; q += 4 {
		for i := range 2 {
			VSHUFPS(Imm(0x44), s[q+2+i], s[q+i], r[q+2*i])
			VSHUFPS(Imm(0xee), s[q+2+i], s[q+i], r[q+2*i+1])
		}
	}
	for i := range 4 {
		lo, hi := YMM(), YMM()
		VPERM2F128(Imm(0x20), r[i+4], r[i], lo)
		VPERM2F128(Imm(0x31), r[i+4], r[i], hi)
		VMOVUPS(lo, Mem{Base: dst, Disp: 64 * i})
		VMOVUPS(hi, Mem{Base: dst, Disp: 64 * (i + 4)})
	}
	ADDQ(Imm(32), b)
	ADDQ(Imm(32), b3)
	ADDQ(Imm(32), b6)
	ADDQ(U32(512), dst)
	SUBQ(Imm(8), k)
	JNZ(LabelRef("block"))
	finish()
}

// vecMat writes y[64] = x·B and its 8-column form with a mask.
func vecMat() {
	function("vecMat64", "func(y, x, b *float32, ldb, k int)", "computes y[64] = x[k]·B[k,64], rows of B ldb bytes apart.")
	y, x, b, ld, k := pointer("y"), pointer("x"), pointer("b"), pointer("ldb"), pointer("k")
	acc := zeros(8)
	Label("row")
	v := YMM()
	VBROADCASTSS(Mem{Base: x}, v)
	for j := range acc {
		VFMADD231PS(Mem{Base: b, Disp: 32 * j}, v, acc[j])
	}
	ADDQ(Imm(4), x)
	ADDQ(ld, b)
	DECQ(k)
	JNZ(LabelRef("row"))
	for j := range acc {
		VMOVUPS(acc[j], Mem{Base: y, Disp: 32 * j})
	}
	finish()

	function("vecMat8", "func(y, x, b *float32, ldb, k, n int)", "computes y[n] = x[k]·B[k,n] for 1 ≤ n ≤ 8.")
	y, x, b, ld, k = pointer("y"), pointer("x"), pointer("b"), pointer("ldb"), pointer("k")
	mask := tailMask(pointer("n"))
	sum := zero()
	Label("row")
	w := YMM()
	VMASKMOVPS(Mem{Base: b}, mask, w)
	VBROADCASTSS(Mem{Base: x}, v)
	VFMADD231PS(w, v, sum)
	ADDQ(Imm(4), x)
	ADDQ(ld, b)
	DECQ(k)
	JNZ(LabelRef("row"))
	VMASKMOVPS(sum, mask, Mem{Base: y})
	finish()

	function("colSum64", "func(y, x *float32, ld, rows int)", "computes y[64] = Σ_rows x, rows ld bytes apart.")
	y, x, ld, k = pointer("y"), pointer("x"), pointer("ld"), pointer("rows")
	acc = zeros(8)
	Label("row")
	for j := range acc {
		VADDPS(Mem{Base: x, Disp: 32 * j}, acc[j], acc[j])
	}
	ADDQ(ld, x)
	DECQ(k)
	JNZ(LabelRef("row"))
	for j := range acc {
		VMOVUPS(acc[j], Mem{Base: y, Disp: 32 * j})
	}
	finish()

	function("colSum8", "func(y, x *float32, ld, rows, n int)", "computes y[n] = Σ_rows x for 1 ≤ n ≤ 8.")
	y, x, ld, k = pointer("y"), pointer("x"), pointer("ld"), pointer("rows")
	mask = tailMask(pointer("n"))
	sum = zero()
	Label("row")
	VMASKMOVPS(Mem{Base: x}, mask, w)
	VADDPS(w, sum, sum)
	ADDQ(ld, x)
	DECQ(k)
	JNZ(LabelRef("row"))
	VMASKMOVPS(sum, mask, Mem{Base: y})
	finish()
}
