package distill

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/litekit/lite/teacher"
)

// LayerMap says which layer of the teacher each layer of the student learns from.
// Layers count from 0; M are the student's, N the teacher's.
//
//	""         uniform
//	uniform    i ↔ (i+1)·N/M − 1, rounded down (Jiao et al., arXiv 1909.10351): the
//	           last layer learns from the last
//	first      i ↔ i
//	last       i ↔ N − M + i
//	skip       i ↔ 2·i + 1, every second layer (Sun et al., arXiv 1908.09355)
//	skip(n)    i ↔ n·(i+1) − 1
//	0:0,1:3    student:teacher, for the layers named
//
// It holds for hidden states behind the layers and for the attention in them.
type LayerMap string

// pairing is a layer of the student and one of the teacher.
type pairing struct{ student, teacher int }

// resolve lists the pairs for a student of m and a teacher of n layers. Of maps
// that are rules the student's last layers are left out, so many as drop says.
func (l LayerMap) resolve(m, n, drop int) ([]pairing, error) {
	text := strings.TrimSpace(string(l))
	if strings.Contains(text, ":") {
		return l.explicit(m, n)
	}
	var rule func(i int) int
	step, skips := l.step(text)
	switch {
	case text == "" || text == "uniform":
		rule = func(i int) int { return (i+1)*n/m - 1 }
	case text == "first":
		rule = func(i int) int { return i }
	case text == "last":
		rule = func(i int) int { return n - m + i }
	case skips:
		rule = func(i int) int { return step*(i+1) - 1 }
	default:
		return nil, fmt.Errorf("layer map %q is none of uniform, first, last, skip, skip(n), nor pairs student:teacher such as 0:0,1:3", text)
	}
	if m > n {
		return nil, fmt.Errorf("the student has %d layers and the teacher %d; name the layers of each in pairs student:teacher, such as 0:0,1:%d", m, n, n-1)
	}
	var out []pairing
	for i := range m - drop {
		p := pairing{i, rule(i)}
		if p.teacher >= n {
			return nil, fmt.Errorf("layer map %s takes layer %d of the student to layer %d of the teacher, which has layers 0 to %d", text, i, p.teacher, n-1)
		}
		out = append(out, p)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the student has %d layer, and its last one has no part in this loss where the map is a rule, since the soft labels teach it; give the student another layer, or a map of pairs student:teacher such as 0:%d (--layer-map 0:%d)", m, n-1, n-1)
	}
	return out, nil
}

// step reads skip and skip(n).
func (LayerMap) step(text string) (n int, ok bool) {
	rest, ok := strings.CutPrefix(text, "skip")
	if !ok || rest == "" {
		return 2, ok
	}
	n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(rest, "("), ")"))
	return n, err == nil && n > 0 && rest[0] == '(' && strings.HasSuffix(rest, ")")
}

// explicit reads pairs.
func (l LayerMap) explicit(m, n int) ([]pairing, error) {
	var out []pairing
	for _, part := range strings.Split(string(l), ",") {
		s, t, ok := strings.Cut(strings.TrimSpace(part), ":")
		i, err1 := strconv.Atoi(strings.TrimSpace(s))
		j, err2 := strconv.Atoi(strings.TrimSpace(t))
		switch {
		case !ok || err1 != nil || err2 != nil:
			return nil, fmt.Errorf("layer map %q: %q is no pair student:teacher of layers that count from 0", l, strings.TrimSpace(part))
		case i < 0 || i >= m:
			return nil, fmt.Errorf("layer map %q: the student has no layer %d, only 0 to %d", l, i, m-1)
		case j < 0 || j >= n:
			return nil, fmt.Errorf("layer map %q: the teacher has no layer %d, only 0 to %d", l, j, n-1)
		case slices.ContainsFunc(out, func(p pairing) bool { return p.student == i }):
			return nil, fmt.Errorf("layer map %q names layer %d of the student twice", l, i)
		}
		out = append(out, pairing{i, j})
	}
	return out, nil
}

// Validate reports a map that is no rule and no list of pairs.
func (l LayerMap) Validate() error {
	const any = 1 << 20 // layers: ranges are checked when the models are known
	_, err := l.resolve(1, any, 0)
	if err != nil && strings.Contains(string(l), ":") {
		_, err = l.resolve(any, any, 0)
	}
	if err != nil {
		return fmt.Errorf("distill: %w", err)
	}
	return nil
}

// both describes the student and a teacher.
func (p *Pair) both(from int) (s, t *teacher.Encoder, err error) {
	if p, err = p.Of(from); err != nil {
		return nil, nil, err
	}
	if s, err = p.Student(); err != nil {
		return nil, nil, err
	}
	t, err = p.Teacher()
	return s, t, err
}

// layers resolves a map for the student and a teacher.
func (p *Pair) layers(from int, l LayerMap, drop int) (s, t *teacher.Encoder, pairs []pairing, err error) {
	if s, t, err = p.both(from); err != nil {
		return nil, nil, nil, err
	}
	pairs, err = l.resolve(len(s.Layers), len(t.Layers), drop)
	return s, t, pairs, err
}

// hidden are the matches of hidden states behind mapped layers.
func (p *Pair) hidden(from int, l LayerMap, drop int) ([]match, error) {
	s, t, pairs, err := p.layers(from, l, drop)
	if err != nil {
		return nil, err
	}
	out := make([]match, len(pairs))
	for i, q := range pairs {
		out[i] = match{s.Layers[q.student].Hidden, t.Layers[q.teacher].Hidden, s.Width, t.Width, from, false}
	}
	return out, nil
}
