package tokenizer

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// Regexp is a compiled regular expression in Oniguruma's syntax, as
// tokenizer.json has them: Unicode classes, look-around, lazy and possessive
// repetition, atomic groups. It has no back-references. The leftmost match wins,
// and of several the one that the order of the alternatives prefers.
//
// Matching backtracks, with a limit on the steps of one search that grows with
// the text; a search that exceeds it ends without a match. So a hostile pattern
// costs time in proportion to the text.
type Regexp struct {
	prog []inst
	regs int
}

// inst is one instruction.
type inst struct {
	op       opcode
	set      *runeSet
	x, y     int // targets; for opRun the least and the greatest number
	sub      []inst
	negative bool
	assert   rune
}

type opcode int

const (
	opSet    opcode = iota // one character of set
	opRun                  // x to y characters of set, as many as there are, giving back one by one
	opPoss                 // the same, giving back none
	opSplit                // go to x, or else to y
	opJump                 // to x
	opMark                 // remember the place in register x
	opMoved                // fail unless the place has moved since opMark
	opAhead                // look-ahead of sub
	opBehind               // look-behind of sub, x characters long
	opAtomic               // sub without giving back
	opAssert
	opMatch
)

// maxRegexProg bounds what repetition counts can unroll to.
const maxRegexProg = 1 << 15

// CompileRegexp compiles a pattern. Errors: what is not the syntax, back-references,
// look-behind without a fixed length, repetition counts that are too large.
func CompileRegexp(pattern string) (*Regexp, error) {
	p := &regexParser{s: pattern}
	n, err := p.alternatives()
	if err == nil && p.more() {
		err = fmt.Errorf("the parenthesis at byte %d closes nothing", p.at)
	}
	c := &regexCompiler{}
	if err == nil {
		err = c.node(n)
	}
	if err != nil {
		return nil, fmt.Errorf("regular expression %q: %w", pattern, err)
	}
	return &Regexp{prog: append(c.prog, inst{op: opMatch}), regs: c.regs}, nil
}

type regexCompiler struct {
	prog []inst
	regs int
	size int
}

func (c *regexCompiler) emit(i inst) int {
	c.prog = append(c.prog, i)
	c.size++
	return len(c.prog) - 1
}

// sub compiles a node into a program of its own.
func (c *regexCompiler) sub(n *node) ([]inst, error) {
	s := &regexCompiler{regs: c.regs, size: c.size}
	if err := s.node(n); err != nil {
		return nil, err
	}
	c.regs, c.size = s.regs, s.size
	return append(s.prog, inst{op: opMatch}), nil
}

func (c *regexCompiler) node(n *node) error {
	if c.size > maxRegexProg {
		return errors.New("its repetitions are too large")
	}
	switch n.kind {
	case nodeSet:
		c.emit(inst{op: opSet, set: n.set})
	case nodeCat:
		for _, s := range n.subs {
			if err := c.node(s); err != nil {
				return err
			}
		}
	case nodeAlt:
		return c.alternatives(n.subs)
	case nodeRepeat:
		return c.repeat(n)
	case nodeAhead, nodeAtomic:
		sub, err := c.sub(n.subs[0])
		if err != nil {
			return err
		}
		op := opAtomic
		if n.kind == nodeAhead {
			op = opAhead
		}
		c.emit(inst{op: op, sub: sub, negative: n.negative})
	case nodeBehind:
		return c.behind(n)
	case nodeAssert:
		c.emit(inst{op: opAssert, assert: n.assert})
	}
	return nil
}

func (c *regexCompiler) alternatives(subs []*node) error {
	var ends []int
	for i, s := range subs {
		if i == len(subs)-1 {
			if err := c.node(s); err != nil {
				return err
			}
			break
		}
		split := c.emit(inst{op: opSplit, x: len(c.prog) + 1})
		if err := c.node(s); err != nil {
			return err
		}
		ends = append(ends, c.emit(inst{op: opJump}))
		c.prog[split].y = len(c.prog)
	}
	for _, at := range ends {
		c.prog[at].x = len(c.prog)
	}
	return nil
}

// behind compiles a look-behind: each alternative has a length of its own.
func (c *regexCompiler) behind(n *node) error {
	alts := []*node{n.subs[0]}
	for len(alts) == 1 && alts[0].kind == nodeCat && len(alts[0].subs) == 1 {
		alts[0] = alts[0].subs[0]
	}
	if alts[0].kind == nodeAlt {
		alts = alts[0].subs
	}
	var looks []*inst
	for _, a := range alts {
		width, ok := a.width()
		if !ok {
			return errors.New("a look-behind has no fixed length")
		}
		sub, err := c.sub(a)
		if err != nil {
			return err
		}
		looks = append(looks, &inst{op: opBehind, sub: sub, x: width, negative: n.negative})
	}
	if n.negative { // none of them
		for _, l := range looks {
			c.emit(*l)
		}
		return nil
	}
	var ends []int
	for i, l := range looks {
		if i == len(looks)-1 {
			c.emit(*l)
			break
		}
		c.emit(inst{op: opSplit, x: len(c.prog) + 1, y: len(c.prog) + 3})
		c.emit(*l)
		ends = append(ends, c.emit(inst{op: opJump}))
	}
	for _, at := range ends {
		c.prog[at].x = len(c.prog)
	}
	return nil
}

// width is the number of characters that a node matches, if it is fixed.
func (n *node) width() (int, bool) {
	switch n.kind {
	case nodeSet:
		return 1, true
	case nodeAhead, nodeBehind, nodeAssert:
		return 0, true
	case nodeRepeat:
		w, ok := n.subs[0].width()
		return w * n.min, ok && n.min == n.max
	case nodeAlt:
		w, ok := n.subs[0].width()
		for _, s := range n.subs[1:] {
			x, fixed := s.width()
			ok = ok && fixed && x == w
		}
		return w, ok
	}
	sum := 0
	for _, s := range n.subs {
		w, ok := s.width()
		if !ok {
			return 0, false
		}
		sum += w
	}
	return sum, true
}

func (c *regexCompiler) repeat(n *node) error {
	if n.atomic {
		greedy := *n
		greedy.atomic = false
		if s := n.subs[0]; s.kind == nodeSet {
			c.emit(inst{op: opPoss, set: s.set, x: n.min, y: n.max})
			return nil
		}
		return c.node(&node{kind: nodeAtomic, subs: []*node{&greedy}})
	}
	s := n.subs[0]
	if s.kind == nodeSet && !n.lazy {
		c.emit(inst{op: opRun, set: s.set, x: n.min, y: n.max})
		return nil
	}
	for range n.min {
		if err := c.node(s); err != nil {
			return err
		}
	}
	split := func() int { return c.emit(inst{op: opSplit}) }
	point := func(at, body, after int) {
		c.prog[at].x, c.prog[at].y = body, after
		if n.lazy {
			c.prog[at].x, c.prog[at].y = after, body
		}
	}
	if n.max < 0 {
		at, reg := split(), c.regs
		c.regs++
		c.emit(inst{op: opMark, x: reg})
		if err := c.node(s); err != nil {
			return err
		}
		c.emit(inst{op: opMoved, x: reg})
		c.emit(inst{op: opJump, x: at})
		point(at, at+1, len(c.prog))
		return nil
	}
	var splits []int
	for range n.max - n.min {
		splits = append(splits, split())
		if err := c.node(s); err != nil {
			return err
		}
	}
	for _, at := range splits {
		point(at, at+1, len(c.prog))
	}
	return nil
}

// assertHolds checks an assertion at b[at:].
func assertHolds(kind rune, b []byte, at int) bool {
	switch kind {
	case 'A':
		return at == 0
	case 'z':
		return at == len(b)
	case 'Z':
		return at == len(b) || at == len(b)-1 && b[at] == '\n'
	case '^':
		return at == 0 || b[at-1] == '\n' && at < len(b)
	case '$':
		return at == len(b) || b[at] == '\n'
	}
	before, _ := utf8.DecodeLastRune(b[:at])
	after, _ := utf8.DecodeRune(b[at:])
	boundary := (at > 0 && isWord(before)) != (at < len(b) && isWord(after))
	return boundary == (kind == 'b')
}
