package tagger

import (
	"slices"
	"strings"
)

// sequence is something whose steps get labels one after another.
type sequence interface {
	len() int
	// emit appends the features of step i that depend on no label.
	emit(i int, to []uint32) []uint32
	// context appends those that depend on the labels of the steps before i.
	context(i int, labels []int16, to []uint32) []uint32
}

// weight is the weight of a feature for a label.
type weight struct {
	label int16
	value int16
}

// model gives each step the label with the largest sum of weights, from left to
// right, given the labels it has chosen before. It is immutable.
type model struct {
	labels []string
	hashes []uint32 // of the features, ascending
	first  []int32  // [len(hashes)+1]: weights of feature k are weights[first[k]:first[k+1]]
	// weights have labels ascending within a feature.
	weights []weight
	// after tells for a label, and at len(labels) for the beginning, which ones
	// may not follow; nil where all may.
	forbidden [][]bool
	index     table
}

// prepare makes what prediction needs beside the stored members.
func (m *model) prepare() {
	m.index = newTable(m.hashes)
	m.forbidden = forbidden(m.labels)
}

// forbidden applies the rule of BIO tags: I-X follows B-X or I-X.
func forbidden(labels []string) [][]bool {
	out := make([][]bool, len(labels)+1)
	any := false
	for prev := range out {
		out[prev] = make([]bool, len(labels))
		for l, tag := range labels {
			kind, inside := strings.CutPrefix(tag, "I-")
			if !inside {
				continue
			}
			any = true
			out[prev][l] = prev == len(labels) || labels[prev] != "B-"+kind && labels[prev] != tag
		}
	}
	if !any {
		return nil
	}
	return out
}

// table finds the number of a feature: open addressing with linear probing.
type table struct {
	keys []uint32
	rows []int32 // −1 empty
	mask uint32
}

func newTable(hashes []uint32) table {
	size := 8
	for size < 2*len(hashes) {
		size *= 2
	}
	t := table{keys: make([]uint32, size), rows: make([]int32, size), mask: uint32(size - 1)}
	for i := range t.rows {
		t.rows[i] = -1
	}
	for row, h := range hashes {
		at := h & t.mask
		for t.rows[at] >= 0 {
			at = (at + 1) & t.mask
		}
		t.keys[at], t.rows[at] = h, int32(row)
	}
	return t
}

// row returns the number of a feature, −1 if there is none.
func (t *table) row(h uint32) int32 {
	for at := h & t.mask; ; at = (at + 1) & t.mask {
		if r := t.rows[at]; r < 0 || t.keys[at] == h {
			return r
		}
	}
}

// scratch is what decoding works in.
type scratch struct {
	features []uint32
	scores   []int32
	labels   []int16
}

// decode labels the steps of s; fixed[i] ≥ 0 is decided already. The result is
// valid until the next call with the same scratch.
func (m *model) decode(s sequence, fixed func(i int) int16, w *scratch) []int16 {
	w.labels = slices.Grow(w.labels[:0], s.len())[:s.len()]
	w.scores = slices.Grow(w.scores[:0], len(m.labels))[:len(m.labels)]
	for i := range w.labels {
		if fixed != nil {
			if l := fixed(i); l >= 0 {
				w.labels[i] = l
				continue
			}
		}
		w.features = s.emit(i, w.features[:0])
		w.features = s.context(i, w.labels, w.features)
		clear(w.scores)
		for _, h := range w.features {
			if row := m.index.row(h); row >= 0 {
				for _, x := range m.weights[m.first[row]:m.first[row+1]] {
					w.scores[x.label] += int32(x.value)
				}
			}
		}
		w.labels[i] = best(w.scores, m.forbid(w.labels, i))
	}
	return w.labels
}

// forbid returns which labels may not stand at step i.
func (m *model) forbid(labels []int16, i int) []bool {
	if m.forbidden == nil {
		return nil
	}
	if i == 0 {
		return m.forbidden[len(m.labels)]
	}
	return m.forbidden[labels[i-1]]
}

// best returns the label with the largest score, the first of equal ones.
func best(scores []int32, forbidden []bool) int16 {
	at := -1
	for l, x := range scores {
		if (forbidden == nil || !forbidden[l]) && (at < 0 || x > scores[at]) {
			at = l
		}
	}
	return int16(at)
}
