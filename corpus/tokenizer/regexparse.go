package tokenizer

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// node is a part of a regular expression.
type node struct {
	kind     nodeKind
	set      *runeSet
	subs     []*node
	min, max int // of a repetition; max −1 is no limit
	lazy     bool
	atomic   bool // possessive
	negative bool // of a look-around
	assert   rune // 'b' 'B' 'A' 'z' 'Z' '^' '$'
}

type nodeKind int

const (
	nodeSet nodeKind = iota // one character
	nodeCat
	nodeAlt
	nodeRepeat
	nodeAhead
	nodeBehind
	nodeAtomic
	nodeAssert
)

// regexParser reads Oniguruma's syntax as far as tokenizers use it.
type regexParser struct {
	s     string
	at    int
	fold  bool // (?i)
	dot   bool // (?m) in Ruby's sense: . matches a newline
	space bool // (?x)
	depth int
}

const maxRegexDepth = 200

func (p *regexParser) more() bool { return p.at < len(p.s) }

func (p *regexParser) take(prefix string) bool {
	if strings.HasPrefix(p.s[p.at:], prefix) {
		p.at += len(prefix)
		return true
	}
	return false
}

func (p *regexParser) rune() rune {
	r, w := utf8.DecodeRuneInString(p.s[p.at:])
	p.at += w
	return r
}

// alternatives reads up to a closing parenthesis or the end.
func (p *regexParser) alternatives() (*node, error) {
	if p.depth++; p.depth > maxRegexDepth {
		return nil, fmt.Errorf("groups are nested more than %d deep", maxRegexDepth)
	}
	fold, dot, space := p.fold, p.dot, p.space
	defer func() { p.depth--; p.fold, p.dot, p.space = fold, dot, space }()
	alt := &node{kind: nodeAlt}
	for {
		cat := &node{kind: nodeCat}
		for p.more() && p.s[p.at] != '|' && p.s[p.at] != ')' {
			n, err := p.item()
			if err != nil {
				return nil, err
			}
			if n != nil {
				cat.subs = append(cat.subs, n)
			}
		}
		alt.subs = append(alt.subs, cat)
		if !p.take("|") {
			break
		}
	}
	if len(alt.subs) == 1 {
		return alt.subs[0], nil
	}
	return alt, nil
}

// item reads one atom with its quantifiers; nil for a comment or an option.
func (p *regexParser) item() (*node, error) {
	n, err := p.atom()
	if err != nil || n == nil {
		return n, err
	}
	for p.more() {
		lo, hi, ok := p.quantifier()
		if !ok {
			break
		}
		n = &node{kind: nodeRepeat, subs: []*node{n}, min: lo, max: hi}
		if p.take("?") {
			n.lazy = true
		} else if p.take("+") {
			n.atomic = true
		}
	}
	return n, nil
}

func (p *regexParser) quantifier() (lo, hi int, ok bool) {
	switch p.s[p.at] {
	case '*':
		p.at++
		return 0, -1, true
	case '+':
		p.at++
		return 1, -1, true
	case '?':
		p.at++
		return 0, 1, true
	case '{':
		end := strings.IndexByte(p.s[p.at:], '}')
		if end < 0 {
			return 0, 0, false
		}
		body := p.s[p.at+1 : p.at+end]
		a, b, comma := strings.Cut(body, ",")
		if body == "" || comma && a == "" && b == "" {
			return 0, 0, false
		}
		lo, err := 0, error(nil)
		if a != "" {
			if lo, err = strconv.Atoi(a); err != nil || lo < 0 {
				return 0, 0, false
			}
		}
		hi := lo
		if comma {
			if hi = -1; b != "" {
				if hi, err = strconv.Atoi(b); err != nil || hi < lo {
					return 0, 0, false
				}
			}
		}
		p.at += end + 1
		return lo, hi, true
	}
	return 0, 0, false
}

func (p *regexParser) one(has func(r rune) bool) *node {
	if p.fold {
		has = folded(has)
	}
	return &node{kind: nodeSet, set: newRuneSet(has)}
}

func (p *regexParser) atom() (*node, error) {
	switch r := p.rune(); r {
	case '(':
		return p.group()
	case '[':
		has, err := p.class()
		if err != nil {
			return nil, err
		}
		return p.one(has), nil
	case '.':
		all := p.dot
		return &node{kind: nodeSet, set: newRuneSet(func(r rune) bool { return all || r != '\n' })}, nil
	case '^', '$':
		return &node{kind: nodeAssert, assert: r}, nil
	case '\\':
		return p.escape()
	case '*', '+', '?':
		return nil, fmt.Errorf("%c at byte %d repeats nothing", r, p.at-1)
	case ' ', '\t', '\n', '\r':
		if p.space {
			return nil, nil
		}
		return p.one(func(x rune) bool { return x == r }), nil
	case '#':
		if p.space {
			for p.more() && p.rune() != '\n' {
			}
			return nil, nil
		}
		return p.one(func(x rune) bool { return x == r }), nil
	default:
		return p.one(func(x rune) bool { return x == r }), nil
	}
}

// group reads what follows an opening parenthesis.
func (p *regexParser) group() (*node, error) {
	n := &node{kind: nodeCat}
	switch {
	case p.take("?#"):
		end := strings.IndexByte(p.s[p.at:], ')')
		if end < 0 {
			return nil, errors.New("a comment has no end")
		}
		p.at += end + 1
		return nil, nil
	case p.take("?:"):
	case p.take("?="):
		n.kind = nodeAhead
	case p.take("?!"):
		n.kind, n.negative = nodeAhead, true
	case p.take("?<="):
		n.kind = nodeBehind
	case p.take("?<!"):
		n.kind, n.negative = nodeBehind, true
	case p.take("?>"):
		n.kind = nodeAtomic
	case p.take("?<"), p.take("?P<"):
		end := strings.IndexByte(p.s[p.at:], '>')
		if end < 0 {
			return nil, errors.New("the name of a group has no end")
		}
		p.at += end + 1
	case p.take("?"):
		return p.options()
	}
	sub, err := p.alternatives()
	if err != nil {
		return nil, err
	}
	if !p.take(")") {
		return nil, errors.New("a group has no end")
	}
	n.subs = []*node{sub}
	return n, nil
}

// options reads (?i) and (?i-x:…).
func (p *regexParser) options() (*node, error) {
	fold, dot, space := p.fold, p.dot, p.space
	on := true
	for p.more() {
		switch r := p.rune(); r {
		case '-':
			on = false
		case 'i':
			p.fold = on
		case 'm':
			p.dot = on
		case 'x':
			p.space = on
		case ')': // holds up to the end of the group around it
			return nil, nil
		case ':':
			sub, err := p.alternatives()
			if err != nil {
				return nil, err
			}
			if !p.take(")") {
				return nil, errors.New("a group has no end")
			}
			p.fold, p.dot, p.space = fold, dot, space
			return sub, nil
		default:
			return nil, fmt.Errorf("(?%c is not supported", r)
		}
	}
	return nil, errors.New("a group has no end")
}

// escape reads what follows a backslash outside a class.
func (p *regexParser) escape() (*node, error) {
	if !p.more() {
		return nil, errors.New(`\ at the end`)
	}
	switch c := p.s[p.at]; c {
	case 'b', 'B', 'A', 'z', 'Z':
		p.at++
		return &node{kind: nodeAssert, assert: rune(c)}, nil
	case 'G', 'K', 'k', 'g', 'X':
		return nil, fmt.Errorf(`\%c is not supported`, c)
	case 'R':
		p.at++
		crlf := &node{kind: nodeCat, subs: []*node{p.one(func(r rune) bool { return r == '\r' }), p.one(func(r rune) bool { return r == '\n' })}}
		single := p.one(func(r rune) bool { return r >= '\n' && r <= '\r' || r == 0x85 || r == 0x2028 || r == 0x2029 })
		return &node{kind: nodeAtomic, subs: []*node{{kind: nodeAlt, subs: []*node{crlf, single}}}}, nil
	}
	if c := p.s[p.at]; c >= '1' && c <= '9' {
		return nil, fmt.Errorf(`the back-reference \%c is not supported`, c)
	}
	has, _, err := p.escaped()
	if err != nil {
		return nil, err
	}
	return p.one(has), nil
}

// escaped reads a class or a character after a backslash; r is −1 for a class.
func (p *regexParser) escaped() (has func(r rune) bool, r rune, err error) {
	if !p.more() {
		return nil, 0, errors.New(`\ at the end`)
	}
	c := p.rune()
	if has, ok := escapes[c]; ok {
		return has, -1, nil
	}
	if has, ok := escapes[c|0x20]; ok && c >= 'A' && c <= 'Z' {
		return negated(has), -1, nil
	}
	switch c {
	case 'p', 'P':
		if !p.take("{") {
			return nil, 0, errors.New(`\p needs a name in braces`)
		}
		end := strings.IndexByte(p.s[p.at:], '}')
		if end < 0 {
			return nil, 0, errors.New(`\p{ has no end`)
		}
		name, not := p.s[p.at:p.at+end], c == 'P'
		p.at += end + 1
		if strings.HasPrefix(name, "^") {
			name, not = name[1:], !not
		}
		if has, err = property(name); err == nil && not {
			has = negated(has)
		}
		return has, -1, err
	case 'n':
		r = '\n'
	case 't':
		r = '\t'
	case 'r':
		r = '\r'
	case 'f':
		r = '\f'
	case 'v':
		r = '\v'
	case 'a':
		r = '\a'
	case 'e':
		r = 0x1b
	case '0':
		r = 0
	case 'x', 'u':
		if r, err = p.hex(c == 'u'); err != nil {
			return nil, 0, err
		}
	default:
		r = c
	}
	return func(x rune) bool { return x == r }, r, nil
}

// hex reads the digits of \xHH, \x{H…} and \uHHHH.
func (p *regexParser) hex(four bool) (rune, error) {
	digits := ""
	switch {
	case !four && p.take("{"):
		end := strings.IndexByte(p.s[p.at:], '}')
		if end < 0 {
			return 0, errors.New(`\x{ has no end`)
		}
		digits = p.s[p.at : p.at+end]
		p.at += end + 1
	default:
		n := 2
		if four {
			n = 4
		}
		n = min(n, len(p.s)-p.at)
		digits = p.s[p.at : p.at+n]
		p.at += n
	}
	v, err := strconv.ParseUint(digits, 16, 32)
	if err != nil || v > utf8.MaxRune || v > math.MaxInt32 {
		return 0, fmt.Errorf("%q is not the number of a character", digits)
	}
	return rune(v), nil
}

// class reads what follows an opening bracket.
func (p *regexParser) class() (func(r rune) bool, error) {
	if p.depth++; p.depth > maxRegexDepth {
		return nil, fmt.Errorf("classes are nested more than %d deep", maxRegexDepth)
	}
	defer func() { p.depth-- }()
	not := p.take("^")
	var parts, both []func(r rune) bool
	union := func(parts []func(r rune) bool) func(r rune) bool {
		return func(r rune) bool {
			for _, has := range parts {
				if has(r) {
					return true
				}
			}
			return false
		}
	}
	for first := true; ; first = false {
		if !p.more() {
			return nil, errors.New("[ has no end")
		}
		if p.take("]") && !first {
			break
		} else if first && p.at > 0 && p.s[p.at-1] == ']' {
			parts = append(parts, func(r rune) bool { return r == ']' })
			continue
		}
		if p.take("&&") {
			both, parts = append(both, union(parts)), nil
			continue
		}
		has, err := p.member()
		if err != nil {
			return nil, err
		}
		parts = append(parts, has)
	}
	has := union(parts)
	if len(both) > 0 {
		both = append(both, has)
		has = func(r rune) bool {
			for _, h := range both {
				if !h(r) {
					return false
				}
			}
			return true
		}
	}
	if p.fold {
		has = folded(has)
	}
	if not {
		has = negated(has)
	}
	return has, nil
}

// member reads a character, a range or a class within brackets.
func (p *regexParser) member() (func(r rune) bool, error) {
	if p.take("[:") {
		end := strings.Index(p.s[p.at:], ":]")
		if end < 0 {
			return nil, errors.New("[: has no end")
		}
		name, not := p.s[p.at:p.at+end], false
		p.at += end + 2
		if strings.HasPrefix(name, "^") {
			name, not = name[1:], true
		}
		has, ok := namedSets[name]
		if !ok {
			return nil, fmt.Errorf("[:%s:] is not a class that is known", name)
		}
		if not {
			return negated(has), nil
		}
		return has, nil
	}
	if p.take("[") {
		return p.class()
	}
	lo := p.rune()
	if lo == '\\' {
		has, r, err := p.escaped()
		if err != nil || r < 0 {
			return has, err
		}
		lo = r
	}
	if rest := p.s[p.at:]; len(rest) < 2 || rest[0] != '-' || rest[1] == ']' || rest[1] == '[' {
		return func(r rune) bool { return r == lo }, nil
	}
	at := p.at
	p.at++
	hi := p.rune()
	if hi == '\\' {
		_, r, err := p.escaped()
		if err != nil {
			return nil, err
		}
		if r < 0 { // a-\w is a, - and \w
			p.at = at
			return func(r rune) bool { return r == lo }, nil
		}
		hi = r
	}
	if hi < lo {
		return nil, fmt.Errorf("the range %c-%c runs backwards", lo, hi)
	}
	return func(r rune) bool { return r >= lo && r <= hi }, nil
}
