package tokenizer

import (
	"sync"
	"unicode/utf8"
)

// machine matches one program, or with its own stack one nested in another.
type machine struct {
	b     []byte
	regs  []int
	stack []frame
	steps int
}

// frame is a place to go on from: at pc with the text at at; for a run of
// single characters, with fewer of them down to floor. pc < 0 puts a register
// back to at.
type frame struct{ pc, at, floor int }

var machines = sync.Pool{New: func() any { return new(machine) }}

// find returns the first match at or after from, lo −1 if
// there is none.
func (re *Regexp) find(b []byte, from int) (lo, hi int) {
	m := machines.Get().(*machine)
	defer func() { m.b = nil; machines.Put(m) }()
	m.b, m.stack = b, m.stack[:0]
	if cap(m.regs) < re.regs {
		m.regs = make([]int, re.regs)
	}
	m.regs = m.regs[:re.regs]
	m.steps = 1<<16 + 256*(len(b)-from)
	for at := from; at <= len(b); {
		if end := m.run(re.prog, at); end >= at {
			return at, end
		}
		if m.steps <= 0 || at == len(b) {
			break
		}
		_, w := utf8.DecodeRune(b[at:])
		at += w
	}
	return -1, -1
}

// run matches prog at b[at:] and returns the end of the match, −1 if there is
// none.
func (m *machine) run(prog []inst, at int) int {
	base := len(m.stack)
	defer func() { m.stack = m.stack[:base] }()
	pc := 0
	for {
		if m.steps--; m.steps <= 0 {
			return -1
		}
		ok := true
		switch in := &prog[pc]; in.op {
		case opMatch:
			return at
		case opSet:
			var w int
			if w, ok = m.one(in.set, at); ok {
				at += w
			}
		case opRun, opPoss:
			at, ok = m.many(in, pc, at)
		case opSplit:
			m.stack = append(m.stack, frame{in.y, at, at})
			pc = in.x
			continue
		case opJump:
			pc = in.x
			continue
		case opMark:
			m.stack = append(m.stack, frame{^in.x, m.regs[in.x], 0})
			m.regs[in.x] = at
		case opMoved:
			ok = m.regs[in.x] != at
		case opAhead:
			ok = (m.run(in.sub, at) >= 0) != in.negative
		case opBehind:
			ok = m.behind(in, at) != in.negative
		case opAtomic:
			if end := m.run(in.sub, at); end >= 0 {
				at = end
			} else {
				ok = false
			}
		case opAssert:
			ok = assertHolds(in.assert, m.b, at)
		}
		if ok {
			pc++
			continue
		}
		if pc, at, ok = m.back(base); !ok {
			return -1
		}
	}
}

// one matches a character of the set.
func (m *machine) one(set *runeSet, at int) (width int, ok bool) {
	if at >= len(m.b) {
		return 0, false
	}
	if c := m.b[at]; c < utf8.RuneSelf {
		return 1, set.ascii[c>>6]>>(c&63)&1 != 0
	}
	r, w := utf8.DecodeRune(m.b[at:])
	return w, set.wide(r)
}

// many matches as many characters as the instruction allows.
func (m *machine) many(in *inst, pc, at int) (end int, ok bool) {
	floor := at
	for n := 0; in.y < 0 || n < in.y; n++ {
		w, ok := m.one(in.set, at)
		if !ok {
			if n < in.x {
				return at, false
			}
			break
		}
		at += w
		if n < in.x {
			floor = at
		}
	}
	m.steps -= (at - floor) / 8
	if in.op == opRun && at > floor {
		m.stack = append(m.stack, frame{pc + 1, at, floor})
	}
	return at, true
}

// behind matches the sub-program so that it ends at at.
func (m *machine) behind(in *inst, at int) bool {
	from := at
	for range in.x {
		_, w := utf8.DecodeLastRune(m.b[:from])
		if w == 0 {
			return false
		}
		from -= w
	}
	return m.run(in.sub, from) == at
}

// back returns to the last place where there was a choice.
func (m *machine) back(base int) (pc, at int, ok bool) {
	for len(m.stack) > base {
		f := &m.stack[len(m.stack)-1]
		if f.pc < 0 {
			m.regs[^f.pc] = f.at
			m.stack = m.stack[:len(m.stack)-1]
			continue
		}
		if f.at == f.floor { // an alternative, not a run
			pc, at = f.pc, f.at
			m.stack = m.stack[:len(m.stack)-1]
			return pc, at, true
		}
		_, w := utf8.DecodeLastRune(m.b[:f.at])
		f.at -= w
		pc, at = f.pc, f.at
		if f.at == f.floor {
			m.stack = m.stack[:len(m.stack)-1]
		}
		return pc, at, true
	}
	return 0, 0, false
}
