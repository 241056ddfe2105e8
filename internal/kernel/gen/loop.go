package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const vec = 32 // bytes in a vector of 8 float32

// cur is the width in which loops and functions are written.
var cur = ymm

// both writes what f writes in both widths; f names its functions by suffix.
func both(f func(suffix string)) {
	f("AVX2")
	cur = zmm
	f("AVX512")
	cur = ymm
}

func reg() VecVirtual { return cur.reg() }

var constants = map[uint32]Mem{}

// constant returns a vector of 8 copies of v in read-only memory; see
// spreadConstants for vectors of 16.
func constant(v float64) Mem { return constantBits(math.Float32bits(float32(v))) }

func constantBits(b uint32) Mem {
	if m, ok := constants[b]; ok {
		return m
	}
	m := GLOBL(fmt.Sprintf("const_%08x", b), 8|16) // RODATA|NOPTR
	for i := range 8 {
		DATA(4*i, U32(b))
	}
	constants[b] = m
	return m
}

var maskTable *Mem

// masks is a table of 8 set and 8 clear words: the mask of the first r elements
// begins 8-r words into it.
func masks() Mem {
	if maskTable == nil {
		m := GLOBL("tail_masks", 8|16)
		for i := range 16 {
			v := uint32(0)
			if i < 8 {
				v = math.MaxUint32
			}
			DATA(4*i, U32(v))
		}
		maskTable = &m
	}
	return *maskTable
}

func function(name, signature, doc string) {
	TEXT(name, 4, signature) // NOSPLIT
	Pragma("noescape")
	Doc(strings.Split(name+" "+doc, "\n")...)
}

func pointer(name string) GPVirtual { return Load(Param(name), GP64()).(GPVirtual) }

// scalar broadcasts a float32 parameter.
func scalar(name string) VecVirtual {
	b, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	y := reg()
	VBROADCASTSS(b.Addr, y)
	return y
}

func load(m Op) VecVirtual {
	y := reg()
	VMOVUPS(m, y)
	return y
}

func zero() VecVirtual { return cur.zero() }

// tailMask returns the mask of the first n elements, 0 < n < 8; n is destroyed.
func tailMask(n GPVirtual) VecVirtual {
	table := GP64()
	LEAQ(masks(), table)
	NEGQ(n)
	return load(Mem{Base: table, Index: n, Scale: 4, Disp: 32})
}

// A loop runs body over n elements. body gets one vector from each of the in
// slices and returns one for each of the out slices. In the last, partial
// vector the missing inputs are 0 and mask tells the elements; elsewhere mask
// is nil. lane is the number of the vector within an unrolled step, by which a
// reduction chooses its accumulator.
type loop struct {
	in, out []string
	unroll  int
	body    func(in []VecVirtual, lane int, mask Op) []VecVirtual
}

func (l loop) emit() {
	if cur.bytes == 64 {
		l.wide()
		return
	}
	ptr := map[string]GPVirtual{}
	for _, s := range append(append([]string(nil), l.in...), l.out...) {
		if _, ok := ptr[s]; !ok {
			ptr[s] = pointer(s)
		}
	}
	n := pointer("n")
	i := GP64()
	XORQ(i, i)
	step := func(lane int) {
		var in []VecVirtual
		for _, s := range l.in {
			in = append(in, load(Mem{Base: ptr[s], Index: i, Scale: 1, Disp: lane * vec}))
		}
		for k, y := range l.body(in, lane, nil) {
			VMOVUPS(y, Mem{Base: ptr[l.out[k]], Index: i, Scale: 1, Disp: lane * vec})
		}
	}
	if l.unroll > 1 {
		SUBQ(Imm(uint64(8*l.unroll)), n)
		JL(LabelRef("unrolled"))
		Label("wide")
		for lane := range l.unroll {
			step(lane)
		}
		ADDQ(U32(uint32(vec*l.unroll)), i)
		SUBQ(Imm(uint64(8*l.unroll)), n)
		JGE(LabelRef("wide"))
		Label("unrolled")
		ADDQ(Imm(uint64(8*l.unroll)), n)
	}
	SUBQ(Imm(8), n)
	JL(LabelRef("vectors"))
	Label("single")
	step(0)
	ADDQ(Imm(vec), i)
	SUBQ(Imm(8), n)
	JGE(LabelRef("single"))
	Label("vectors")
	ADDQ(Imm(8), n)
	JZ(LabelRef("done"))
	mask := tailMask(n)
	var in []VecVirtual
	for _, s := range l.in {
		y := YMM()
		VMASKMOVPS(Mem{Base: ptr[s], Index: i, Scale: 1}, mask, y)
		in = append(in, y)
	}
	for k, y := range l.body(in, 0, mask) {
		VMASKMOVPS(y, mask, Mem{Base: ptr[l.out[k]], Index: i, Scale: 1})
	}
	Label("done")
}

// wide writes the loop with vectors of 16.
func (l loop) wide() {
	ptr := map[string]GPVirtual{}
	for _, s := range append(append([]string(nil), l.in...), l.out...) {
		if _, ok := ptr[s]; !ok {
			ptr[s] = pointer(s)
		}
	}
	n, i := pointer("n"), GP64()
	XORQ(i, i)
	at := func(s string) Mem { return Mem{Base: ptr[s], Index: i, Scale: 1} }
	SUBQ(Imm(16), n)
	JL(LabelRef("vectors"))
	Label("single")
	var in []VecVirtual
	for _, s := range l.in {
		in = append(in, load(at(s)))
	}
	for k, z := range l.body(in, 0, nil) {
		VMOVUPS(z, at(l.out[k]))
	}
	ADDQ(Imm(64), i)
	SUBQ(Imm(16), n)
	JGE(LabelRef("single"))
	Label("vectors")
	ADDQ(Imm(16), n)
	JZ(LabelRef("done"))
	mask := firstLanes(n)
	in = nil
	for _, s := range l.in {
		z := reg()
		VMOVUPS_Z(at(s), mask, z)
		in = append(in, z)
	}
	for k, z := range l.body(in, 0, mask) {
		VMOVUPS(z, mask, at(l.out[k]))
	}
	Label("done")
}

// sums is a loop in vectors of 16 that adds up to the bit what a loop in vectors of
// 8 does in twice as many sums: those of each vector here are two of the ones
// there. What is left of vectors·16 elements goes to the first of them, 8 at a time, as
// there; then mask tells the elements, for sums that zeros would change.
type sums struct {
	in, out []string
	vectors int
	body    func(in []VecVirtual, vector int, mask Op) []VecVirtual
}

func (l sums) emit() {
	ptr := map[string]GPVirtual{}
	for _, s := range append(append([]string(nil), l.in...), l.out...) {
		if _, ok := ptr[s]; !ok {
			ptr[s] = pointer(s)
		}
	}
	n, i, step := pointer("n"), GP64(), uint64(16*l.vectors)
	XORQ(i, i)
	at := func(s string, v int) Mem { return Mem{Base: ptr[s], Index: i, Scale: 1, Disp: 64 * v} }
	SUBQ(Imm(step), n)
	JL(LabelRef("rest"))
	Label("wide")
	for v := range l.vectors {
		var in []VecVirtual
		for _, s := range l.in {
			in = append(in, load(at(s, v)))
		}
		for k, z := range l.body(in, v, nil) {
			VMOVUPS(z, at(l.out[k], v))
		}
	}
	ADDQ(U32(uint32(4*step)), i)
	SUBQ(Imm(step), n)
	JGE(LabelRef("wide"))
	Label("rest")
	ADDQ(Imm(step), n)
	JZ(LabelRef("summed"))
	Label("eight")
	some := GP64()
	MOVQ(U32(8), some)
	CMPQ(n, some)
	CMOVQLT(n, some)
	mask := firstLanes(some)
	var in []VecVirtual
	for _, s := range l.in {
		z := reg()
		VMOVUPS_Z(at(s, 0), mask, z)
		in = append(in, z)
	}
	for k, z := range l.body(in, 0, mask) {
		VMOVUPS(z, mask, at(l.out[k], 0))
	}
	ADDQ(Imm(32), i)
	SUBQ(Imm(8), n)
	JG(LabelRef("eight"))
	Label("summed")
}

// masked is an instruction that changes only the elements of the mask, if there is
// one.
func masked(op func(...Op), mask Op, ops ...Op) {
	if mask != nil {
		ops = slices.Insert(ops, len(ops)-1, mask)
	}
	op(ops...)
}

// firstLanes returns the mask of the first n elements, n < 16.
func firstLanes(n GPVirtual) OpmaskVirtual {
	bits, mask := GP32(), K()
	MOVL(U32(0xffff), bits)
	BZHIL(n.As32(), bits, bits)
	KMOVW(bits, mask)
	return mask
}

func finish() {
	VZEROUPPER()
	RET()
}

// reduce folds the accumulators with op and then the 8 elements pairwise, and
// returns the result in the low element.
func reduce(acc []VecVirtual, op func(a, b, d Op)) VecVirtual {
	for half := len(acc) / 2; half > 0; half /= 2 {
		for i := range half {
			op(acc[i+half], acc[i], acc[i])
		}
	}
	hi := YMM()
	VEXTRACTF128(Imm(1), acc[0], hi.AsX())
	lo := acc[0]
	opX := func(a, b, d Op) { op(a.(VecVirtual).AsX(), b.(VecVirtual).AsX(), d.(VecVirtual).AsX()) }
	opX(hi, lo, lo)
	VPERMILPS(Imm(0x4e), lo.AsX(), hi.AsX())
	opX(hi, lo, lo)
	VPERMILPS(Imm(0xb1), lo.AsX(), hi.AsX())
	opX(hi, lo, lo)
	return lo
}

func add(a, b, d Op) { VADDPS(a, b, d) }

func maximum(a, b, d Op) { VMAXPS(a, b, d) }

func minimum(a, b, d Op) { VMINPS(a, b, d) }

func zeros(n int) []VecVirtual {
	acc := make([]VecVirtual, n)
	for i := range acc {
		acc[i] = zero()
	}
	return acc
}
