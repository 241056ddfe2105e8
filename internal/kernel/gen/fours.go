package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// fourBits writes what reads panels of 4-bit weights: 32 columns, of which 16
// bytes hold a row, columns 0 to 15 in the low bits and 16 to 31 in the high
// ones; and for each block of rows 32 scales and 32 zero points.
func fourBits() {
	for _, w := range []width{ymm, zmm} {
		unpackFours(w)
		most := 2
		if w.bytes == 64 {
			most = 4
		}
		for h := 1; h <= most; h++ {
			multiplyFours(w, h)
		}
	}
}

// fours is where a function stands in a panel.
type fours struct {
	width
	low               VecVirtual
	b, params         GPVirtual
	k, left, block, r GPVirtual
}

func startFours(w width) fours {
	f := fours{width: w, low: w.reg(), b: pointer("b"), params: pointer("params"), k: pointer("k"), left: pointer("left"), block: pointer("block")}
	bits := GP32()
	MOVL(U32(15), bits)
	x := XMM()
	VMOVD(bits, x)
	VPBROADCASTD(x, f.low)
	return f
}

// row returns (q - zero)·scale of a row.
func (f fours) row() []VecVirtual {
	n := 64 / f.bytes // vectors of 16 columns
	out := make([]VecVirtual, 2*n)
	for v := range n {
		lo, hi := f.reg(), f.reg()
		VPMOVZXBD(Mem{Base: f.b, Disp: f.bytes / 4 * v}, hi)
		if f.bytes == 64 {
			VPANDD(f.low, hi, lo)
		} else {
			VPAND(f.low, hi, lo)
		}
		VPSRLD(Imm(4), hi, hi)
		out[v], out[n+v] = lo, hi
	}
	for i, x := range out {
		VCVTDQ2PS(x, x)
		VSUBPS(Mem{Base: f.params, Disp: 128 + f.bytes*i}, x, x)
		VMULPS(Mem{Base: f.params, Disp: f.bytes * i}, x, x)
	}
	return out
}

// loop runs body for each row, over k > 0 rows of which left are in the first
// block.
func (f fours) loop(body func(row []VecVirtual)) {
	Label("row")
	body(f.row())
	ADDQ(Imm(16), f.b)
	DECQ(f.k)
	JZ(LabelRef("done"))
	DECQ(f.left)
	JNZ(LabelRef("row"))
	MOVQ(f.block, f.left)
	ADDQ(U32(256), f.params)
	JMP(LabelRef("row"))
	Label("done")
}

func unpackFours(w width) {
	function("unpackFours"+w.suffix, "func(dst *float32, ps int, b *uint8, params *float32, k, left, block int)",
		"writes k > 0 rows of a panel of 4-bit weights to two panels of floats that are\nps bytes apart; left rows are in the first block and block in the others.")
	f := startFours(w)
	dst, ps := pointer("dst"), pointer("ps")
	f.loop(func(row []VecVirtual) {
		for i, x := range row {
			m := Mem{Base: dst, Disp: w.bytes * i % 64}
			if i >= len(row)/2 {
				m.Index, m.Scale = ps, 1
			}
			VMOVUPS(x, m)
		}
		ADDQ(Imm(64), dst)
	})
	finish()
}

func multiplyFours(w width, h int) {
	function(fmt.Sprintf("fours%s%dx32", w.suffix, h), "func(k int, a *float32, rs int, b *uint8, params *float32, left, block int, c *float32, beta float32)",
		fmt.Sprintf("computes C[%d,32] = A·B + beta·C over k > 0 rows of a panel of 4-bit weights;\nrows of A are rs bytes apart, left rows of B are in the first block and block in\nthe others. C is not read when beta is 0.", h))
	f := startFours(w)
	a, rs := pointer("a"), pointer("rs")
	bases := rowBases(h, a, rs, nil)
	n := 128 / w.bytes
	acc := make([]VecVirtual, h*n)
	for i := range acc {
		acc[i] = w.zero()
	}
	f.loop(func(row []VecVirtual) {
		for i := range h {
			x := w.reg()
			VBROADCASTSS(rowAt(bases, rs, i, 0), x)
			for j := range n {
				VFMADD231PS(row[j], x, acc[i*n+j])
			}
		}
		for _, base := range bases {
			ADDQ(Imm(4), base)
		}
	})
	c, beta := pointer("c"), w.scalar("beta")
	none := XMM()
	VXORPS(none, none, none)
	VUCOMISS(none, beta.AsX())
	JE(LabelRef("write"))
	for i := range acc {
		old := w.reg()
		VMULPS(Mem{Base: c, Disp: w.bytes * i}, beta, old)
		VADDPS(old, acc[i], acc[i])
	}
	Label("write")
	for i := range acc {
		VMOVUPS(acc[i], Mem{Base: c, Disp: w.bytes * i})
	}
	finish()
}
