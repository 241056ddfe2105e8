package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// wideTile is a product of h rows of A and panels of 16 columns of B in vectors of
// 16, two panels at a time: the sums of the narrow tiles, in the same order.
type wideTile struct {
	h     int
	bases []GPVirtual // of rows of A, three to each
	ld    GPVirtual   // between rows of A, in bytes
	b     GPVirtual
}

func newWideTile(h int, ld string) *wideTile {
	t := &wideTile{h: h, ld: pointer(ld)}
	a := pointer("a")
	t.bases = rowBases(h, a, t.ld, func() GPVirtual {
		a2 := GP64()
		LEAQ(Mem{Base: t.ld, Index: t.ld, Scale: 2}, a2)
		LEAQ(Mem{Base: a, Index: a2, Scale: 2}, a2)
		return a2
	})
	t.b = pointer("b")
	return t
}

// blocks runs f for pairs of panels, and for one at the end of an odd number.
func (t *wideTile) blocks(f func(panels int)) {
	left := pointer("panels")
	Label("pairs")
	SUBQ(Imm(2), left)
	JL(LabelRef("single"))
	f(2)
	JMP(LabelRef("pairs"))
	Label("single")
	ADDQ(Imm(2), left)
	JZ(LabelRef("done"))
	f(1)
	Label("done")
}

// product returns the sums over k of so many panels, the second of which lies
// second further; forward moves on to the next term.
func (t *wideTile) product(panels int, second Mem, forward func()) []VecVirtual {
	acc := zeros(panels * t.h)
	k, label := pointer("k"), fmt.Sprintf("terms%d", panels)
	Label(label)
	row := []VecVirtual{load(Mem{Base: t.b})}
	if panels > 1 {
		row = append(row, load(second))
	}
	for i := range t.h {
		v := reg()
		VBROADCASTSS(rowAt(t.bases, t.ld, i, 0), v)
		for j, x := range row {
			VFMADD231PS(x, v, acc[panels*i+j])
		}
	}
	forward()
	DECQ(k)
	JNZ(LabelRef(label))
	return acc
}

// back takes so many bytes for each of the k terms from pointers.
func back(bytes Op, pointers ...GPVirtual) {
	k := pointer("k")
	IMULQ(bytes, k)
	for _, p := range pointers {
		SUBQ(k, p)
	}
}

// panelProduct is product with panels of k rows of 16, step bytes apart, and rows
// of A that lie together; it leaves b at the panel after them.
func (t *wideTile) panelProduct(panels int) []VecVirtual {
	step := pointer("step")
	acc := t.product(panels, Mem{Base: t.b, Index: step, Scale: 1}, func() {
		for _, base := range t.bases {
			ADDQ(Imm(4), base)
		}
		ADDQ(Imm(64), t.b)
	})
	four, line := GP64(), GP64()
	MOVQ(U32(4), four)
	back(four, t.bases...)
	MOVQ(U32(64), line)
	back(line, t.b)
	for range panels {
		ADDQ(pointer("step"), t.b)
	}
	return acc
}

func attentionScoresWide(h int) {
	cur = zmm
	function(fmt.Sprintf("attnScoresz%d", h), "func(k int, a *float32, lda int, b *float32, panels, step int, bias *float32, ldbias int, s *float32, lds int, top *float32)",
		fmt.Sprintf("is attnScores6 for %d rows, to the bit.", h))
	local := AllocLocal(32 * h)
	lowest := load(constantBits(0xff800000))
	for i := range h {
		VMOVUPS(lowest.AsY(), local.Offset(32*i))
	}
	t := newWideTile(h, "lda")
	bias, s := pointer("bias"), pointer("s")
	t.blocks(func(panels int) {
		acc := t.panelProduct(panels)
		biasRow, sRow := GP64(), GP64()
		MOVQ(bias, biasRow)
		MOVQ(s, sRow)
		for i := range h {
			m := reg()
			VMOVAPS(lowest, m)
			for j, y := range acc[panels*i:][:panels] {
				VADDPS(Mem{Base: biasRow, Disp: 64 * j}, y, y)
				VMOVUPS(y, Mem{Base: sRow, Disp: 64 * j})
				VMAXPS(m, y, m) // a NaN is passed over
			}
			hi, top := YMM(), YMM()
			VEXTRACTF64X4(Imm(1), m, hi)
			VMOVUPS(local.Offset(32*i), top)
			VMAXPS(hi, top, top)
			VMAXPS(m.AsY(), top, top)
			VMOVUPS(top, local.Offset(32*i))
			if i < h-1 {
				ADDQ(pointer("ldbias"), biasRow)
				ADDQ(pointer("lds"), sRow)
			}
		}
		ADDQ(Imm(uint64(64*panels)), bias)
		ADDQ(Imm(uint64(64*panels)), s)
	})
	cur = ymm
	top := pointer("top")
	for i := range h {
		y := reduce([]VecVirtual{load(local.Offset(32 * i))}, maximum)
		VMOVSS(y.AsX(), Mem{Base: top, Disp: 4 * i})
	}
	finish()
}

func attentionMulWide(h int) {
	cur = zmm
	function(fmt.Sprintf("attnMulz%d", h), "func(k int, a *float32, rs, cs int, b *float32, ldb int, c *float32, ldc, panels, add int)",
		fmt.Sprintf("is attnMul6 for %d rows, to the bit.", h))
	t := newWideTile(h, "rs")
	cs, c := pointer("cs"), pointer("c")
	t.blocks(func(panels int) {
		ldb := pointer("ldb")
		acc := t.product(panels, Mem{Base: t.b, Disp: 64}, func() {
			for _, base := range t.bases {
				ADDQ(cs, base)
			}
			ADDQ(ldb, t.b)
		})
		back(cs, t.bases...)
		back(pointer("ldb"), t.b)
		ADDQ(Imm(uint64(64*panels)), t.b)
		row, ldc, add := GP64(), pointer("ldc"), pointer("add")
		MOVQ(c, row)
		TESTQ(add, add)
		JZ(LabelRef(fmt.Sprintf("store%d", panels)))
		for i := range h {
			for j := range panels {
				m := Mem{Base: row, Disp: 64 * j}
				VADDPS(m, acc[panels*i+j], acc[panels*i+j])
				VMOVUPS(acc[panels*i+j], m)
			}
			ADDQ(ldc, row)
		}
		JMP(LabelRef(fmt.Sprintf("next%d", panels)))
		Label(fmt.Sprintf("store%d", panels))
		for i := range h {
			for j := range panels {
				VMOVUPS(acc[panels*i+j], Mem{Base: row, Disp: 64 * j})
			}
			ADDQ(ldc, row)
		}
		Label(fmt.Sprintf("next%d", panels))
		ADDQ(Imm(uint64(64*panels)), c)
	})
	cur = ymm
	finish()
}

func attentionProbsWide(h int) {
	cur = zmm
	function(fmt.Sprintf("attnProbsz%d", h), "func(k int, a *float32, lda int, b *float32, panels, step int, bias *float32, ldbias int, p *float32, ldp int, lse *float32)",
		fmt.Sprintf("is attnProbs6 for %d rows, to the bit.", h))
	t := newWideTile(h, "lda")
	bias, p := pointer("bias"), pointer("p")
	t.blocks(func(panels int) {
		acc := t.panelProduct(panels)
		biasRow, row, lse := GP64(), GP64(), pointer("lse")
		MOVQ(bias, biasRow)
		MOVQ(p, row)
		for i := range h {
			c := reg()
			VBROADCASTSS(Mem{Base: lse, Disp: 4 * i}, c)
			for j, y := range acc[panels*i:][:panels] {
				VADDPS(Mem{Base: biasRow, Disp: 64 * j}, y, y)
				VSUBPS(c, y, y)
				VMOVUPS(expBelow(y), Mem{Base: row, Disp: 64 * j})
			}
			if i < h-1 {
				ADDQ(pointer("ldbias"), biasRow)
				ADDQ(pointer("ldp"), row)
			}
		}
		ADDQ(Imm(uint64(64*panels)), bias)
		ADDQ(Imm(uint64(64*panels)), p)
	})
	cur = ymm
	finish()
}

func attentionGradWide(h int) {
	cur = zmm
	function(fmt.Sprintf("attnGradz%d", h), "func(k int, a *float32, lda int, b *float32, panels, step int, p *float32, ldp int, ds *float32, delta *float32)",
		fmt.Sprintf("is attnGrad6 for %d rows, to the bit.", h))
	t := newWideTile(h, "lda")
	p, ds := pointer("p"), pointer("ds")
	t.blocks(func(panels int) {
		acc := t.panelProduct(panels)
		from, to, delta := GP64(), GP64(), pointer("delta")
		MOVQ(p, from)
		MOVQ(ds, to)
		for i := range h {
			c := reg()
			VBROADCASTSS(Mem{Base: delta, Disp: 4 * i}, c)
			for j, y := range acc[panels*i:][:panels] {
				VSUBPS(c, y, y)
				VMULPS(Mem{Base: from, Disp: 64 * j}, y, y)
				VMOVUPS(y, Mem{Base: to, Disp: 64 * j})
			}
			if i < h-1 {
				ADDQ(pointer("ldp"), from)
				ADDQ(pointer("ldp"), to)
			}
		}
		ADDQ(Imm(uint64(64*panels)), p)
		ADDQ(Imm(uint64(64*panels)), ds)
	})
	cur = ymm
	finish()
}
