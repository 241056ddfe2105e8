package onnx

import "slices"

// arith is an elementwise operation of integers; truth is 1 or 0.
func (z *algebra) arith(op string, a, b Size) Size {
	switch op {
	case "Add":
		return z.sum(a, b, 1)
	case "Sub":
		return z.sum(a, b, -1)
	case "Mul":
		return z.product2(a, b)
	case "Div":
		return z.divide(a, b)
	case "Mod":
		return z.modulo(a, b)
	case "And", "Or":
		return z.logic(op, a, b)
	}
	lo, hi, okLo, okHi := z.bounds(a, b)
	switch op {
	case "Min", "Max":
		if okLo && lo >= 0 {
			return pick(op == "Max", a, b)
		}
		if okHi && hi <= 0 {
			return pick(op == "Max", b, a)
		}
		return z.commute(op, a, b)
	case "Equal":
		if a == b {
			return SizeOf(1)
		}
		if okLo && lo > 0 || okHi && hi < 0 {
			return SizeOf(0)
		}
		return z.commute(op, a, b)
	case "Greater", "LessOrEqual":
		if okLo && lo > 0 || okHi && hi <= 0 {
			return truth((okLo && lo > 0) == (op == "Greater"))
		}
	case "Less", "GreaterOrEqual":
		if okHi && hi < 0 || okLo && lo >= 0 {
			return truth((okHi && hi < 0) == (op == "Less"))
		}
	default:
		return z.element()
	}
	return z.opaque(op, a, b)
}

func pick(first bool, a, b Size) Size {
	if first {
		return a
	}
	return b
}

func truth(b bool) Size {
	if b {
		return SizeOf(1)
	}
	return SizeOf(0)
}

func (z *algebra) logic(op string, a, b Size) Size {
	for range 2 {
		switch {
		case a.sym == 0 && (a.n != 0) == (op == "Or"):
			return truth(op == "Or")
		case a.sym == 0 || a == b:
			return b
		}
		a, b = b, a
	}
	return z.commute(op, a, b)
}

// divide is the quotient as ONNX's Div of integers has it, towards zero.
func (z *algebra) divide(a, b Size) Size {
	switch {
	case b.Is(0):
		return z.element()
	case a.sym == 0 && b.sym == 0:
		if b.n == -1 {
			return z.sum(Size{}, a, -1)
		}
		return SizeOf(a.n / b.n)
	case b.Is(1):
		return a
	case a == b && !z.wild(a): // a length of zero would stop the run
		return SizeOf(1)
	}
	if q, ok := z.exact(a, b); ok {
		return q
	}
	return z.opaque("Div", a, b)
}

// exact divides a by one term where nothing is left over.
func (z *algebra) exact(a, b Size) (Size, bool) {
	d := z.terms(b)
	if len(d) != 1 || d[0].c == 0 {
		return Size{}, false
	}
	var ts []term
	for _, t := range z.terms(a) {
		if t.c%d[0].c != 0 || d[0].c == -1 {
			return Size{}, false
		}
		at := t.atoms
		for _, x := range d[0].atoms {
			i := slices.Index(at, x)
			if i < 0 {
				return Size{}, false
			}
			at = slices.Delete(slices.Clone(at), i, i+1)
		}
		ts = append(ts, term{t.c / d[0].c, at})
	}
	return z.size(ts)
}

// modulo has the sign of the divisor.
func (z *algebra) modulo(a, b Size) Size {
	if b.Is(0) {
		return z.element()
	}
	if a.sym == 0 && b.sym == 0 {
		if b.n == -1 {
			return Size{}
		}
		r := a.n % b.n
		if r != 0 && (r < 0) != (b.n < 0) {
			r += b.n
		}
		return SizeOf(r)
	}
	if b.Is(1) || a == b {
		return Size{}
	}
	if _, ok := z.exact(a, b); ok {
		return Size{}
	}
	return z.opaque("Mod", a, b)
}

// ceilDiv is ⌈a/n⌉ of a length.
func (z *algebra) ceilDiv(a Size, n int64) Size {
	return z.divide(z.sum(a, SizeOf(n-1), 1), SizeOf(n))
}
