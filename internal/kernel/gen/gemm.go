package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// A width is one of the two sizes of vector that the matrix kernels exist in.
type width struct {
	suffix  string
	bytes   int
	columns int // vectors in a panel of 16 columns
	reg     func() VecVirtual
}

var (
	ymm = width{"", 32, 2, func() VecVirtual { return YMM() }}
	zmm = width{"z", 64, 1, func() VecVirtual { return ZMM() }}
)

func (w width) zero() VecVirtual {
	v := w.reg()
	VXORPS(v, v, v)
	return v
}

func (w width) scalar(name string) VecVirtual {
	b, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	v := w.reg()
	VBROADCASTSS(b.Addr, v)
	return v
}

// microKernels writes the kernels for each number of rows and of panels of 16
// columns that the registers hold: up to 6 rows of one panel with AVX2, 12 of
// two with AVX-512, and fewer rows of more panels, so that there are always
// enough sums under way to cover the time that an addition takes.
func microKernels() {
	for h := 1; h <= 6; h++ {
		microKernel(ymm, h, 1)
	}
	microKernel(ymm, 1, 4)
	microKernel(ymm, 2, 2)
	microKernel(ymm, 3, 2)
	for panels := 1; panels <= 2; panels++ {
		for h := 1; h <= 12; h++ {
			microKernel(zmm, h, panels)
		}
	}
	for h := 1; h <= 4; h++ {
		microKernel(zmm, h, 4)
	}
}

// rowAt returns the address of row i of A, whose rows are rs bytes apart from
// the bases on, three rows to a base.
func rowAt(bases []GPVirtual, rs GPVirtual, i, disp int) Mem {
	m := Mem{Base: bases[i/3], Disp: disp}
	if i%3 > 0 {
		m.Index, m.Scale = rs, uint8(i%3)
	}
	return m
}

// rowBases makes the bases of rowAt for h rows, of which the seventh and on
// begin at a2.
func rowBases(h int, a, rs GPVirtual, second func() GPVirtual) []GPVirtual {
	bases := []GPVirtual{a}
	if h > 3 {
		rs3 := GP64()
		LEAQ(Mem{Base: rs, Index: rs, Scale: 2}, rs3)
		next := func(from GPVirtual) {
			b := GP64()
			LEAQ(Mem{Base: from, Index: rs3, Scale: 1}, b)
			bases = append(bases, b)
		}
		next(a)
		if h > 6 {
			a2 := second()
			bases = append(bases, a2)
			if h > 9 {
				next(a2)
			}
		}
	}
	return bases
}

// panelBases loads the distance between panels where there are several, and the
// address of the fourth where there is one: Mem scales a distance by no more than 2.
func panelBases(b GPVirtual, panels int) (ps, b3 GPVirtual) {
	if panels > 1 {
		ps = pointer("ps")
	}
	if panels > 3 {
		b3 = GP64()
		LEAQ(Mem{Base: ps, Index: ps, Scale: 2}, b3)
		ADDQ(b, b3)
	}
	return ps, b3
}

func microKernel(w width, h, panels int) {
	name := fmt.Sprintf("micro%s%dx%d", w.suffix, h, 16*panels)
	function(name, "func(k int, a, a2 *float32, rs, cs int, b *float32, bs, ps int, c *float32, ldc int, alpha, beta float32, mask uint64, ahead *float32)",
		fmt.Sprintf("computes C[%d,%d] = alpha·A·B + beta·C. Element (i,p) of A is rs·i + cs·p bytes\nfrom a, from the seventh row on from a2; row p of panel q of B is bs·p + ps·q\nbytes in, row i of C ldc·i. C is not read when beta is 0. The %d-byte form\nwrites only the columns that mask names. The k cache lines from ahead on are\nasked for.", h, 16*panels, 64))
	k, a, rs, cs := pointer("k"), pointer("a"), pointer("rs"), pointer("cs")
	bases := rowBases(h, a, rs, func() GPVirtual { return pointer("a2") })
	b, bs := pointer("b"), pointer("bs")
	ps, b3 := panelBases(b, panels)
	n := panels * w.columns
	acc := make([]VecVirtual, h*n)
	for i := range acc {
		acc[i] = w.zero()
	}
	prefetchC(h, panels)
	ahead := pointer("ahead")

	step := func() {
		var row []VecVirtual
		for q := range panels {
			for v := range w.columns {
				m := Mem{Base: b, Disp: w.bytes * v}
				if q == 3 {
					m.Base = b3
				} else if q > 0 {
					m.Index, m.Scale = ps, uint8(q)
				}
				x := w.reg()
				VMOVUPS(m, x)
				row = append(row, x)
			}
		}
		for i := range h {
			x := w.reg()
			VBROADCASTSS(rowAt(bases, rs, i, 0), x)
			for j := range n {
				VFMADD231PS(row[j], x, acc[i*n+j])
			}
		}
		for _, base := range bases {
			ADDQ(cs, base)
		}
		ADDQ(bs, b)
		if panels > 3 {
			ADDQ(bs, b3)
		}
	}
	unroll := 128 / w.bytes
	SUBQ(Imm(uint64(unroll)), k)
	JL(LabelRef("rest"))
	Label("several")
	for u := range unroll {
		PREFETCHT1(Mem{Base: ahead, Disp: 64 * u})
		step()
	}
	ADDQ(U32(uint32(64*unroll)), ahead)
	SUBQ(Imm(uint64(unroll)), k)
	JGE(LabelRef("several"))
	Label("rest")
	ADDQ(Imm(uint64(unroll)), k)
	JZ(LabelRef("store"))
	Label("one")
	step()
	DECQ(k)
	JNZ(LabelRef("one"))
	Label("store")
	microStore(w, h, panels, acc)
}

// microStore ends a kernel: it scales the sums and writes them to C.
func microStore(w width, h, panels int, acc []VecVirtual) {
	n := panels * w.columns
	alpha, beta := w.scalar("alpha"), w.scalar("beta")
	c, ldc := pointer("c"), pointer("ldc")
	var masks []Op
	if w.bytes == 64 {
		mask := pointer("mask")
		for j := range n {
			km := K()
			KMOVW(mask.As32(), km)
			masks = append(masks, km)
			if j < n-1 {
				SHRQ(Imm(16), mask)
			}
		}
	}
	none := XMM()
	VXORPS(none, none, none)
	VUCOMISS(none, beta.AsX())
	JNE(LabelRef("accumulate"))
	for i := range h {
		for j := range n {
			VMULPS(alpha, acc[n*i+j], acc[n*i+j])
			m := Mem{Base: c, Disp: w.bytes * j}
			if masks != nil {
				VMOVUPS(acc[n*i+j], masks[j], m)
			} else {
				VMOVUPS(acc[n*i+j], m)
			}
		}
		ADDQ(ldc, c)
	}
	finish()
	Label("accumulate")
	for i := range h {
		for j := range n {
			old, m := w.reg(), Mem{Base: c, Disp: w.bytes * j}
			if masks != nil {
				VMULPS_Z(m, beta, masks[j], old)
			} else {
				VMULPS(m, beta, old)
			}
			VFMADD231PS(alpha, acc[n*i+j], old)
			if masks != nil {
				VMOVUPS(old, masks[j], m)
			} else {
				VMOVUPS(old, m)
			}
		}
		ADDQ(ldc, c)
	}
	finish()
}

// prefetchC asks for the rows of C while the product is made.
func prefetchC(h, panels int) {
	p, ldc := pointer("c"), pointer("ldc")
	for i := range h {
		for q := range panels {
			PREFETCHT0(Mem{Base: p, Disp: 64 * q})
		}
		PREFETCHT0(Mem{Base: p, Disp: 64*panels - 4})
		if i < h-1 {
			ADDQ(ldc, p)
		}
	}
}

func packing() {
	function("packPanels", "func(dst, b *float32, ldb, rows, panels, ps int)",
		"copies rows (a multiple of 4, not 0) of 16·panels elements, ldb bytes apart,\ninto panels that are ps bytes apart.")
	dst, b, ld, panels, ps := pointer("dst"), pointer("b"), pointer("ldb"), pointer("panels"), pointer("ps")
	ld3 := GP64()
	LEAQ(Mem{Base: ld, Index: ld, Scale: 2}, ld3)
	Label("panel")
	from, to, n := GP64(), GP64(), GP64()
	MOVQ(b, from)
	MOVQ(dst, to)
	Load(Param("rows"), n)
	Label("row")
	var half [8]VecVirtual
	for i := range 4 {
		m := Mem{Base: from}
		switch i {
		case 1, 2:
			m.Index, m.Scale = ld, uint8(i)
		case 3:
			m.Index, m.Scale = ld3, 1
		}
		half[2*i] = load(m)
		m.Disp = 32
		half[2*i+1] = load(m)
		m.Disp = 256
		PREFETCHT0(m)
	}
	for i, y := range half {
		VMOVUPS(y, Mem{Base: to, Disp: 32 * i})
	}
	LEAQ(Mem{Base: from, Index: ld, Scale: 4}, from)
	ADDQ(U32(256), to)
	SUBQ(Imm(4), n)
	JNZ(LabelRef("row"))
	ADDQ(Imm(64), b)
	ADDQ(ps, dst)
	DECQ(panels)
	JNZ(LabelRef("panel"))
	finish()

	for _, w := range []int{6, 12} {
		function(fmt.Sprintf("packRows%d", w), "func(dst, a *float32, ld, k, panels, ps int)",
			fmt.Sprintf("copies k rows of %d·panels elements, ld bytes apart, into panels that are ps\nbytes apart.", w))
		dst, a, ld, k, panels, ps := pointer("dst"), pointer("a"), pointer("ld"), pointer("k"), pointer("panels"), pointer("ps")
		from, to, n := GP64(), GP64(), GP64()
		Label("row")
		MOVQ(a, from)
		MOVQ(dst, to)
		MOVQ(panels, n)
		Label("panel")
		// The rows are far apart: no prefetcher of the processor follows them.
		PREFETCHT0(Mem{Base: from, Index: ld, Scale: 8})
		x := XMM()
		if w == 6 {
			g := GP64()
			VMOVUPS(Mem{Base: from}, x)
			MOVQ(Mem{Base: from, Disp: 16}, g)
			VMOVUPS(x, Mem{Base: to})
			MOVQ(g, Mem{Base: to, Disp: 16})
		} else {
			y := load(Mem{Base: from})
			VMOVUPS(Mem{Base: from, Disp: 32}, x)
			VMOVUPS(y, Mem{Base: to})
			VMOVUPS(x, Mem{Base: to, Disp: 32})
		}
		ADDQ(Imm(uint64(4*w)), from)
		ADDQ(ps, to)
		DECQ(n)
		JNZ(LabelRef("panel"))
		ADDQ(ld, a)
		ADDQ(Imm(uint64(4*w)), dst)
		DECQ(k)
		JNZ(LabelRef("row"))
		finish()
	}

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
	transpose8([3]GPVirtual{b, b3, b6}, ld, dst)
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
