package onnx

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
)

// Size is a length, or an integer element of a small value, as far as it is
// known before a run: a number, or an expression of symbols. Sizes of one
// [Inference] can be compared with ==: equal ones are equal in every run.
type Size struct {
	n   int64
	sym int32 // number of the expression, from 1; 0 for a number
}

// SizeOf is the size that is the number n.
func SizeOf(n int64) Size { return Size{n: n} }

// Number returns the size where it is a number.
func (s Size) Number() (int64, bool) { return s.n, s.sym == 0 }

// Is reports whether the size is the number n.
func (s Size) Is(n int64) bool { return s.sym == 0 && s.n == n }

const (
	// maxTerms and maxDegree bound the polynomials that are written out; what
	// is larger becomes a symbol that remembers its two operands.
	maxTerms  = 8
	maxDegree = 8
)

// algebra holds the expressions of an inference. Each distinct one is stored
// once, so that comparing expressions is comparing their numbers.
type algebra struct {
	exprs []expr
	named map[string]Size
	polys map[string]int32
	ops   map[operation]int32
}

type operation struct {
	op   string
	a, b Size
}

// expr is a sum of products, or an atom: a symbol with a name, an operation that
// has no polynomial, or a number that nothing is known of.
type expr struct {
	poly []term
	operation
	name string
	home home
	// wild tells an element of a value, which may be negative, from a length.
	wild bool
}

// home is an axis of a graph input.
type home struct {
	input string
	axis  int
}

type term struct {
	c     int64
	atoms []int32 // ascending, repeated for powers
}

func newAlgebra() *algebra {
	return &algebra{named: map[string]Size{}, polys: map[string]int32{}, ops: map[operation]int32{}}
}

func (z *algebra) add(e expr) Size {
	z.exprs = append(z.exprs, e)
	return Size{sym: int32(len(z.exprs))}
}

func (z *algebra) expr(s Size) *expr { return &z.exprs[s.sym-1] }

// length is a new symbol of which only is known that it is not negative.
func (z *algebra) length() Size { return z.add(expr{}) }

// element is a new symbol of which nothing is known.
func (z *algebra) element() Size { return z.add(expr{wild: true}) }

// symbol is the length of that name.
func (z *algebra) symbol(name string) Size {
	s, ok := z.named[name]
	if !ok {
		s = z.add(expr{name: name})
		z.named[name] = s
	}
	return s
}

// opaque is the symbol of an operation that has no polynomial.
func (z *algebra) opaque(op string, a, b Size) Size {
	k := operation{op, a, b}
	if i, ok := z.ops[k]; ok {
		return Size{sym: i}
	}
	wild := op != "broadcast" && (z.wild(a) || z.wild(b))
	if lo, _, ok, _ := z.bounds(a, Size{}); !wild && op != "broadcast" && op != "Max" {
		lo2, _, ok2, _ := z.bounds(b, Size{})
		wild = !(ok && ok2 && lo >= 0 && lo2 >= 0)
	}
	s := z.add(expr{operation: k, wild: wild})
	z.ops[k] = s.sym
	return s
}

// wild reports whether s has a part that may be any number.
func (z *algebra) wild(s Size) bool {
	if s.sym == 0 {
		return false
	}
	e := z.expr(s)
	if e.poly == nil {
		return e.wild
	}
	for _, t := range e.poly {
		for _, a := range t.atoms {
			if z.exprs[a-1].wild {
				return true
			}
		}
	}
	return false
}

func (z *algebra) terms(s Size) []term {
	switch {
	case s.sym == 0 && s.n == 0:
		return nil
	case s.sym == 0:
		return []term{{c: s.n}}
	case z.expr(s).poly != nil:
		return z.expr(s).poly
	}
	return []term{{c: 1, atoms: []int32{s.sym}}}
}

// size interns a sum of terms; not ok where it is too large.
func (z *algebra) size(ts []term) (Size, bool) {
	slices.SortFunc(ts, func(a, b term) int { return slices.Compare(a.atoms, b.atoms) })
	out := ts[:0]
	for _, t := range ts {
		if k := len(out) - 1; k >= 0 && slices.Equal(out[k].atoms, t.atoms) {
			c, ok := addNumbers(out[k].c, t.c)
			if !ok {
				return Size{}, false
			}
			out[k].c = c
		} else {
			out = append(out, t)
		}
	}
	out = slices.DeleteFunc(out, func(t term) bool { return t.c == 0 })
	switch {
	case len(out) == 0:
		return Size{}, true
	case len(out) == 1 && len(out[0].atoms) == 0:
		return SizeOf(out[0].c), true
	case len(out) == 1 && out[0].c == 1 && len(out[0].atoms) == 1:
		return Size{sym: out[0].atoms[0]}, true
	case len(out) > maxTerms:
		return Size{}, false
	}
	var key []byte
	for _, t := range out {
		if len(t.atoms) > maxDegree {
			return Size{}, false
		}
		key = binary.AppendVarint(key, t.c)
		key = binary.AppendUvarint(key, uint64(len(t.atoms)))
		for _, a := range t.atoms {
			key = binary.AppendUvarint(key, uint64(a))
		}
	}
	if i, ok := z.polys[string(key)]; ok {
		return Size{sym: i}, true
	}
	s := z.add(expr{poly: slices.Clone(out)})
	z.polys[string(key)] = s.sym
	return s, true
}

func addNumbers(a, b int64) (int64, bool) {
	c := a + b
	return c, (c > a) == (b > 0)
}

func mulNumbers(a, b int64) (int64, bool) {
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	return a * b, hi == 0 && lo < 1<<63
}

func magnitude(a int64) uint64 {
	if a < 0 {
		return -uint64(a)
	}
	return uint64(a)
}

// sum is a + k·b.
func (z *algebra) sum(a, b Size, k int64) Size {
	x, y := z.terms(a), z.terms(b)
	ts := make([]term, 0, len(x)+len(y))
	ts = append(ts, x...)
	for _, t := range y {
		c, ok := mulNumbers(t.c, k)
		if !ok {
			return z.element()
		}
		ts = append(ts, term{c, t.atoms})
	}
	if s, ok := z.size(ts); ok {
		return s
	}
	if a.sym == 0 && b.sym == 0 {
		return z.element() // over 64 bits
	}
	if k < 0 {
		return z.opaque("Sub", a, b)
	}
	return z.commute("Add", a, b)
}

func (z *algebra) product2(a, b Size) Size {
	x, y := z.terms(a), z.terms(b)
	if len(x)*len(y) <= 4*maxTerms {
		ts := make([]term, 0, len(x)*len(y))
		for _, t := range x {
			for _, u := range y {
				c, ok := mulNumbers(t.c, u.c)
				if !ok {
					return z.element()
				}
				at := t.atoms
				if len(u.atoms) > 0 {
					at = append(slices.Clone(at), u.atoms...)
					slices.Sort(at)
				}
				ts = append(ts, term{c, at})
			}
		}
		if s, ok := z.size(ts); ok {
			return s
		}
	}
	if a.sym == 0 && b.sym == 0 {
		return z.element()
	}
	return z.commute("Mul", a, b)
}

// commute is opaque for operations whose operands can change places.
func (z *algebra) commute(op string, a, b Size) Size {
	if cmp.Or(cmp.Compare(a.sym, b.sym), cmp.Compare(a.n, b.n)) > 0 {
		a, b = b, a
	}
	return z.opaque(op, a, b)
}

// bounds are the least and greatest values of a − b where they are known.
func (z *algebra) bounds(a, b Size) (lo, hi int64, okLo, okHi bool) {
	if a.sym == 0 && b.sym == 0 {
		d, ok := addNumbers(a.n, -b.n)
		return d, d, ok, ok
	}
	x, y := z.terms(a), z.terms(b)
	ts := make([]term, 0, len(x)+len(y))
	ts = append(ts, x...)
	for _, t := range y {
		ts = append(ts, term{-t.c, t.atoms})
	}
	slices.SortFunc(ts, func(a, b term) int { return slices.Compare(a.atoms, b.atoms) })
	okLo, okHi = true, true
	for i := 0; i < len(ts); {
		c, at := int64(0), ts[i].atoms
		for ; i < len(ts) && slices.Equal(ts[i].atoms, at); i++ {
			var ok bool
			if c, ok = addNumbers(c, ts[i].c); !ok && ts[i].c != 0 {
				return 0, 0, false, false
			}
		}
		switch {
		case c == 0:
		case len(at) == 0:
			lo, hi = c, c
		default:
			wild := slices.ContainsFunc(at, func(a int32) bool { return z.exprs[a-1].wild })
			okLo = okLo && !wild && c > 0
			okHi = okHi && !wild && c < 0
		}
	}
	return lo, hi, okLo, okHi
}

// product multiplies lengths.
func (z *algebra) product(d []Size) Size {
	p := SizeOf(1)
	for _, x := range d {
		p = z.product2(p, x)
	}
	return p
}

// factors splits a product of lengths into its number and its other factors,
// sorted; not ok where the number is over 64 bits.
func (z *algebra) factors(d []Size) (num int64, rest []Size, ok bool) {
	num, ok = 1, true
	for _, x := range d {
		ts := z.terms(x)
		switch {
		case x.sym == 0:
			num, ok = times(num, x.n, ok)
		case len(ts) == 1:
			num, ok = times(num, ts[0].c, ok)
			for _, a := range ts[0].atoms {
				rest = append(rest, Size{sym: a})
			}
		default:
			rest = append(rest, x)
		}
	}
	slices.SortFunc(rest, func(a, b Size) int { return cmp.Compare(a.sym, b.sym) })
	return num, rest, ok
}

func times(a, b int64, ok bool) (int64, bool) {
	c, fits := mulNumbers(a, b)
	return c, ok && fits
}

// ratio is Πa/Πb: the numbers, and the factors that do not cancel.
func (z *algebra) ratio(a, b []Size) (an, bn int64, as, bs []Size, ok bool) {
	an, as, ok = z.factors(a)
	bn, rest, ok2 := z.factors(b)
	for _, x := range rest {
		if i := slices.Index(as, x); i >= 0 {
			as = slices.Delete(as, i, i+1)
		} else {
			bs = append(bs, x)
		}
	}
	return an, bn, as, bs, ok && ok2
}

// broadcast combines two lengths by ONNX's rule; not ok where they cannot fit.
func (z *algebra) broadcast(x, y Size) (Size, bool) {
	switch {
	case x == y || y.Is(1):
		return x, true
	case x.Is(1):
		return y, true
	case x.sym == 0 && y.sym == 0:
		return x, false
	case x.sym == 0: // a length over 1 wins over a symbol
		return x, true
	case y.sym == 0:
		return y, true
	}
	return z.commute("broadcast", x, y), true
}
