package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// attention writes the tiles of attention. All of them hold h×16 sums in
// registers, each summed in the order of k, and walk over panels of 16 columns
// inside, because with narrow heads a tile is soon done.
func attention() {
	for h := 1; h <= 6; h++ {
		attentionScores(h)
		attentionProbs(h)
		attentionGrad(h)
		attentionMul(h)
	}
	for _, h := range []int{8, 12} {
		attentionScoresWide(h)
		attentionProbsWide(h)
		attentionGradWide(h)
		attentionMulWide(h)
	}
	attentionGather()
	attentionScatter()
	attentionTranspose()
}

// rowTile is the part that scores, probabilities and their gradient share:
// for every panel of 16 columns of B, h rows of A (k consecutive elements, lda
// bytes apart) times the panel, then row(i, lo, hi) with the sums of row i.
// next walks to the next panel.
type rowTile struct {
	h     int
	begin func()
	open  func() // before the rows of a panel
	row   func(i int, sum []VecVirtual)
	next  func() // after the rows of a panel
}

func (t rowTile) emit() {
	h := t.h
	a0, lda, b0, panels, step := pointer("a"), pointer("lda"), pointer("b"), pointer("panels"), pointer("step")
	t.begin()
	Label("panel")
	a, a3, b := GP64(), GP64(), GP64()
	MOVQ(a0, a)
	MOVQ(b0, b)
	if h > 3 {
		LEAQ(Mem{Base: lda, Index: lda, Scale: 2}, a3)
		ADDQ(a, a3)
	}
	acc := zeros(2 * h)
	k := pointer("k")
	at := func(u int) {
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
			VBROADCASTSS(m, v)
			VFMADD231PS(b0, v, acc[2*i])
			VFMADD231PS(b1, v, acc[2*i+1])
		}
	}
	forward := func(u int) {
		ADDQ(U32(uint32(64*u)), b)
		ADDQ(Imm(uint64(4*u)), a)
		if h > 3 {
			ADDQ(Imm(uint64(4*u)), a3)
		}
	}
	unrolled(k, 4, at, forward)
	t.open()
	for i := range h {
		t.row(i, acc[2*i:2*i+2])
	}
	t.next()
	ADDQ(step, b0)
	DECQ(panels)
	JNZ(LabelRef("panel"))
}

// unrolled runs step k times, four at a time and then one by one; k ≥ 1.
func unrolled(k GPVirtual, unroll int, step, forward func(u int)) {
	SUBQ(Imm(uint64(unroll)), k)
	JL(LabelRef("rest"))
	Label("four")
	for u := range unroll {
		step(u)
	}
	forward(unroll)
	SUBQ(Imm(uint64(unroll)), k)
	JGE(LabelRef("four"))
	Label("rest")
	ADDQ(Imm(uint64(unroll)), k)
	JZ(LabelRef("summed"))
	Label("one")
	step(0)
	forward(1)
	DECQ(k)
	JNZ(LabelRef("one"))
	Label("summed")
}

// walker is a pointer that goes down the rows of a panel and on to the next.
type walker struct {
	name, ld string
	at, row  GPVirtual
}

func newWalker(name, ld string) *walker { return &walker{name: name, ld: ld, at: pointer(name)} }

func (w *walker) open() {
	w.row = GP64()
	MOVQ(w.at, w.row)
}

func (w *walker) down() { ADDQ(pointer(w.ld), w.row) }

func (w *walker) next() { ADDQ(Imm(64), w.at) }

func (w *walker) mem(j int) Mem { return Mem{Base: w.row, Disp: 32 * j} }

func attentionScores(h int) {
	function(fmt.Sprintf("attnScores%d", h), "func(k int, a *float32, lda int, b *float32, panels, step int, bias *float32, ldbias int, s *float32, lds int, top *float32)",
		fmt.Sprintf("sets s[%d,16·panels] = A·B + bias and top[%d] to the greatest element of\neach row. Rows of A, bias and s and panels of B are so many bytes apart.", h, h))
	local := AllocLocal(32 * h)
	var bias, s *walker
	rowTile{h: h, begin: func() {
		bias, s = newWalker("bias", "ldbias"), newWalker("s", "lds")
		low := load(constantBits(0xff800000))
		for i := range h {
			VMOVUPS(low, local.Offset(32*i))
		}
	}, open: func() { bias.open(); s.open() }, row: func(i int, sum []VecVirtual) {
		top := load(local.Offset(32 * i))
		for j, y := range sum {
			VADDPS(bias.mem(j), y, y)
			VMOVUPS(y, s.mem(j))
			VMAXPS(top, y, top) // a NaN is passed over
		}
		VMOVUPS(top, local.Offset(32*i))
		if i < h-1 {
			bias.down()
			s.down()
		}
	}, next: func() { bias.next(); s.next() }}.emit()
	top := pointer("top")
	for i := range h {
		y := reduce([]VecVirtual{load(local.Offset(32 * i))}, maximum)
		VMOVSS(y.AsX(), Mem{Base: top, Disp: 4 * i})
	}
	finish()
}

func attentionProbs(h int) {
	function(fmt.Sprintf("attnProbs%d", h), "func(k int, a *float32, lda int, b *float32, panels, step int, bias *float32, ldbias int, p *float32, ldp int, lse *float32)",
		fmt.Sprintf("sets p[%d,16·panels] = exp(A·B + bias - lse), with one lse for each row.", h))
	var bias, p *walker
	rowTile{h: h, begin: func() { bias, p = newWalker("bias", "ldbias"), newWalker("p", "ldp") },
		open: func() { bias.open(); p.open() }, row: func(i int, sum []VecVirtual) {
			lse := pointer("lse")
			for j, y := range sum {
				c := YMM()
				VBROADCASTSS(Mem{Base: lse, Disp: 4 * i}, c)
				VADDPS(bias.mem(j), y, y)
				VSUBPS(c, y, y)
				VMOVUPS(expBelow(y), p.mem(j))
			}
			if i < h-1 {
				bias.down()
				p.down()
			}
		}, next: func() { bias.next(); p.next() }}.emit()
	finish()
}

func attentionGrad(h int) {
	function(fmt.Sprintf("attnGrad%d", h), "func(k int, a *float32, lda int, b *float32, panels, step int, p *float32, ldp int, ds *float32, delta *float32)",
		fmt.Sprintf("sets ds[%d,16·panels] = p·(A·B - delta), with one delta for each row; the\nrows of ds are as far apart as those of p.", h))
	var p, ds *walker
	rowTile{h: h, begin: func() { p, ds = newWalker("p", "ldp"), newWalker("ds", "ldp") },
		open: func() { p.open(); ds.open() }, row: func(i int, sum []VecVirtual) {
			c := YMM()
			VBROADCASTSS(Mem{Base: pointer("delta"), Disp: 4 * i}, c)
			for j, y := range sum {
				VSUBPS(c, y, y)
				VMULPS(p.mem(j), y, y)
				VMOVUPS(y, ds.mem(j))
			}
			if i < h-1 {
				p.down()
				ds.down()
			}
		}, next: func() { p.next(); ds.next() }}.emit()
	finish()
}

// attentionMul is the product with both operands where they lie.
func attentionMul(h int) {
	function(fmt.Sprintf("attnMul%d", h), "func(k int, a *float32, rs, cs int, b *float32, ldb int, c *float32, ldc, panels, add int)",
		fmt.Sprintf("sets C[%d,16·panels] = A·B, or adds it where add is not 0. Element (i,p) of A\nis rs·i + cs·p, rows of B and C are ldb and ldc bytes apart.", h))
	a0, rs, cs, b0, ldb, c0, panels := pointer("a"), pointer("rs"), pointer("cs"), pointer("b"), pointer("ldb"), pointer("c"), pointer("panels")
	Label("panel")
	a, a3, b := GP64(), GP64(), GP64()
	MOVQ(a0, a)
	MOVQ(b0, b)
	if h > 3 {
		LEAQ(Mem{Base: rs, Index: rs, Scale: 2}, a3)
		ADDQ(a, a3)
	}
	acc := zeros(2 * h)
	k := pointer("k")
	step := func(int) {
		b0, b1 := load(Mem{Base: b}), load(Mem{Base: b, Disp: 32})
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
		ADDQ(ldb, b)
		ADDQ(cs, a)
		if h > 3 {
			ADDQ(cs, a3)
		}
	}
	unrolled(k, 4, step, func(int) {})
	c, ldc, add := GP64(), pointer("ldc"), pointer("add")
	MOVQ(c0, c)
	TESTQ(add, add)
	JZ(LabelRef("store"))
	for i := range h {
		for j := range 2 {
			m := Mem{Base: c, Disp: 32 * j}
			VADDPS(m, acc[2*i+j], acc[2*i+j])
			VMOVUPS(acc[2*i+j], m)
		}
		ADDQ(ldc, c)
	}
	JMP(LabelRef("next"))
	Label("store")
	for i := range h {
		for j := range 2 {
			VMOVUPS(acc[2*i+j], Mem{Base: c, Disp: 32 * j})
		}
		ADDQ(ldc, c)
	}
	Label("next")
	ADDQ(Imm(64), b0)
	ADDQ(Imm(64), c0)
	DECQ(panels)
	JNZ(LabelRef("panel"))
	finish()
}

func attentionGather() {
	function("attnGather", "func(dst *float32, n int, src *float32, ld, rows int, mask *float32, scale float32)",
		"sets dst[rows,n] to scale times rows of src, ld bytes apart, where mask[n] is\nset, and 0 elsewhere; n is a multiple of 8.")
	dst, n, src, ld, rows, mask := pointer("dst"), pointer("n"), pointer("src"), pointer("ld"), pointer("rows"), pointer("mask")
	scale := scalar("scale")
	SHLQ(Imm(2), n)
	Label("row")
	i := GP64()
	XORQ(i, i)
	Label("vector")
	m, y := load(Mem{Base: mask, Index: i, Scale: 1}), YMM()
	VMASKMOVPS(Mem{Base: src, Index: i, Scale: 1}, m, y)
	VMULPS(scale, y, y)
	VMOVUPS(y, Mem{Base: dst, Index: i, Scale: 1})
	ADDQ(Imm(vec), i)
	CMPQ(i, n)
	JL(LabelRef("vector"))
	ADDQ(n, dst)
	ADDQ(ld, src)
	DECQ(rows)
	JNZ(LabelRef("row"))
	finish()
}

func attentionScatter() {
	function("attnScatter", "func(dst *float32, ld int, src *float32, n, d, rows int, mask, scale *float32, step int)",
		"sets d elements of rows of dst, ld bytes apart, to src[rows,n] times scale, which\nis step bytes further for each row. mask is set for the elements beyond the last\nfull vector.")
	dst, ld, src, n, d, rows, mask, scale, step := pointer("dst"), pointer("ld"), pointer("src"), pointer("n"), pointer("d"), pointer("rows"), pointer("mask"), pointer("scale"), pointer("step")
	SHLQ(Imm(2), n)
	SHLQ(Imm(2), d)
	full := GP64()
	MOVQ(d, full)
	ANDQ(I32(-vec), full)
	tail := load(Mem{Base: mask, Index: full, Scale: 1})
	Label("row")
	i, s := GP64(), YMM()
	XORQ(i, i)
	VBROADCASTSS(Mem{Base: scale}, s)
	JMP(LabelRef("test"))
	Label("vector")
	y := YMM()
	VMULPS(Mem{Base: src, Index: i, Scale: 1}, s, y)
	VMOVUPS(y, Mem{Base: dst, Index: i, Scale: 1})
	ADDQ(Imm(vec), i)
	Label("test")
	CMPQ(i, full)
	JL(LabelRef("vector"))
	CMPQ(i, d)
	JGE(LabelRef("next"))
	VMULPS(Mem{Base: src, Index: i, Scale: 1}, s, y)
	VMASKMOVPS(y, tail, Mem{Base: dst, Index: i, Scale: 1})
	Label("next")
	ADDQ(n, src)
	ADDQ(ld, dst)
	ADDQ(step, scale)
	DECQ(rows)
	JNZ(LabelRef("row"))
	finish()
}

// attentionTranspose turns 16 rows of n into a panel of n rows of 16.
func attentionTranspose() {
	function("attnTranspose", "func(dst, src *float32, n int)", "sets dst[n,16] to the transpose of src[16,n]; n is a multiple of 8.")
	dst, src, n := pointer("dst"), pointer("src"), pointer("n")
	ld, ld3, half := GP64(), GP64(), GP64()
	MOVQ(n, ld)
	SHLQ(Imm(2), ld)
	LEAQ(Mem{Base: ld, Index: ld, Scale: 2}, ld3)
	MOVQ(U32(2), half)
	Label("half")
	s0, d0, k := GP64(), GP64(), GP64()
	MOVQ(src, s0)
	MOVQ(dst, d0)
	MOVQ(n, k)
	Label("block")
	b3, b6 := GP64(), GP64()
	LEAQ(Mem{Base: s0, Index: ld3, Scale: 1}, b3)
	LEAQ(Mem{Base: s0, Index: ld3, Scale: 2}, b6)
	transpose8([3]GPVirtual{s0, b3, b6}, ld, d0)
	ADDQ(Imm(32), s0)
	ADDQ(U32(512), d0)
	SUBQ(Imm(8), k)
	JNZ(LabelRef("block"))
	LEAQ(Mem{Base: src, Index: ld, Scale: 8}, src)
	ADDQ(Imm(32), dst)
	DECQ(half)
	JNZ(LabelRef("half"))
	finish()
}

// transpose8 moves an 8×8 block to rows 64 bytes apart. Its rows are ld bytes
// apart; base holds the addresses of rows 0, 3 and 6.
func transpose8(base [3]GPVirtual, ld, dst GPVirtual) {
	var r, s [8]VecVirtual
	for i := range 8 {
		m := Mem{Base: base[i/3]}
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
}
