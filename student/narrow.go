package student

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/litekit/lite/onnx"
)

// CopyNarrow is [CopyReport] for a student that may also be narrower than src, in
// hidden size, heads, width of heads or feed-forward size: what is left out is
// what has the least magnitude, the same everywhere it occurs.
//
//   - Hidden values: Σ over all LayerNorms of γ² + β², the mean square of the value
//     behind a LayerNorm.
//   - Heads: ‖W_V‖·‖W_O‖ over the head's columns of the one and rows of the other.
//   - Values of a head: ‖W_Q‖·‖W_K‖ for queries and keys, ‖W_V‖·‖W_O‖ for values, of
//     their columns and rows. Queries are scaled by √(d'/d), because scores are
//     divided by the root of the head's width.
//   - Feed-forward neurons: ‖W_up‖·‖W_down‖.
//
// Factorised embeddings are those of [Copy], of the hidden values that are kept; of
// equal widths they are copied whole, and the projection leads to those values.
//
// What is cut so is in [Transfer.Narrowed]. Where the student has more of
// something than src, what depends on it stays as it was. The rule is ours; that
// magnitude tells heads and neurons apart is usual in pruning.
func CopyNarrow(dst, src *onnx.Model, layers []int) (*onnx.Model, Transfer, error) {
	return copyWeights(dst, src, layers, true)
}

// narrowing says which parts of the source a narrower student takes.
type narrowing struct {
	hidden []int // values of the hidden states
	plain  bool  // the embeddings of both models have the width of the hidden states
	layers []narrowLayer
}

// narrowLayer is that of one layer of the student; lists are nil where the layer
// is to be left fresh.
type narrowLayer struct {
	queries, values []int   // of A·d
	neurons         []int   // of F
	scale           float32 // of queries
}

// newNarrowing scores the source.
func newNarrowing(dst, src *anatomy, layers []int) (*narrowing, error) {
	want, have := dst.shape().Hidden, src.shape().Hidden
	if want > have {
		return nil, fmt.Errorf("student: the student's hidden size %d is above the source's %d; it can only be narrower", want, have)
	}
	n := &narrowing{plain: !dst.shape().factorised() && !src.shape().factorised()}
	scores := make([]float64, have)
	for _, s := range src.slots {
		if !strings.Contains(s.name, "LayerNorm") || !strings.HasPrefix(s.name, "bert.") {
			continue
		}
		v, _, err := src.values(s)
		if err != nil {
			return nil, err
		}
		if len(v) != have {
			continue // of factorised embeddings
		}
		for j, x := range v {
			scores[j] += float64(x) * float64(x)
		}
	}
	n.hidden = greatest(scores, want)
	for i, l := range layers {
		cut, err := narrowOf(dst, src, i, l)
		if err != nil {
			return nil, err
		}
		n.layers = append(n.layers, cut)
	}
	return n, nil
}

// narrowOf scores layer l of the source for layer i of the student.
func narrowOf(dst, src *anatomy, i, l int) (cut narrowLayer, err error) {
	d, s := dst.enc.Layers[i], src.enc.Layers[l]
	name := layerName(l)
	norms := func(role string, columns bool) []float64 {
		if err != nil {
			return nil
		}
		j, ok := src.byRol[name+role]
		if !ok {
			err = fmt.Errorf("student: the source has no %s", name+role)
			return nil
		}
		var v []float32
		var dims []int64
		if v, dims, err = src.values(src.slots[j]); err != nil {
			return nil
		}
		return squares(v, int(dims[0]), int(dims[1]), columns)
	}
	up, down := norms(".intermediate.dense.weight", true), norms(".output.dense.weight", false)
	q, k := norms(".attention.self.query.weight", true), norms(".attention.self.key.weight", true)
	v, o := norms(".attention.self.value.weight", true), norms(".attention.output.dense.weight", false)
	if err != nil {
		return cut, err
	}
	if d.Up.Out <= s.Up.Out {
		cut.neurons = greatest(products(up, down), d.Up.Out)
	}
	if d.Heads > s.Heads || d.HeadDim > s.HeadDim {
		return cut, nil
	}
	cut.scale = float32(math.Sqrt(float64(d.HeadDim) / float64(s.HeadDim)))
	for _, h := range greatest(products(perHead(v, s.HeadDim), perHead(o, s.HeadDim)), d.Heads) {
		from, to := h*s.HeadDim, (h+1)*s.HeadDim
		for _, c := range greatest(products(q[from:to], k[from:to]), d.HeadDim) {
			cut.queries = append(cut.queries, from+c)
		}
		for _, c := range greatest(products(v[from:to], o[from:to]), d.HeadDim) {
			cut.values = append(cut.values, from+c)
		}
	}
	return cut, nil
}

// squares are the sums of squares of the columns, or of the rows, of a matrix.
func squares(v []float32, rows, cols int, columns bool) []float64 {
	out := make([]float64, rows)
	if columns {
		out = make([]float64, cols)
	}
	for r := range rows {
		for c := range cols {
			x := float64(v[r*cols+c])
			if columns {
				out[c] += x * x
			} else {
				out[r] += x * x
			}
		}
	}
	return out
}

// perHead sums the values of each head.
func perHead(x []float64, d int) []float64 {
	out := make([]float64, len(x)/d)
	for i := range out {
		for _, v := range x[i*d : (i+1)*d] {
			out[i] += v
		}
	}
	return out
}

func products(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] * b[i]
	}
	return out
}

// greatest lists the places of the n greatest scores in order; of equal ones the
// first count more.
func greatest(scores []float64, n int) []int {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	order = order[:n]
	slices.Sort(order)
	return order
}

// cut takes the student's part of a parameter, given by its role within the
// source's layout; false where there is none. layer is the student's, −1 outside.
func (n *narrowing) cut(role string, layer int, v []float32, dims, want []int64) ([]float32, bool) {
	if !n.plain && (strings.HasPrefix(role, "bert.embeddings.") || strings.HasPrefix(role, transformLN)) {
		return nil, false // their width is not that of the hidden states
	}
	rows, cols, scale := n.axes(role, layer)
	shape, target := dims, want
	switch {
	case len(dims) != len(want) || len(dims) < 1 || len(dims) > 2:
		return nil, false
	case len(dims) == 1: // a bias, or of a LayerNorm
		rows, shape, target = nil, []int64{1, dims[0]}, []int64{1, want[0]}
	case role == positionName || role == typeName:
		rows = firstOf(int(min(dims[0], want[0])))
	}
	if rows == nil {
		rows = firstOf(int(shape[0]))
	}
	if cols == nil {
		cols = firstOf(int(shape[1]))
	}
	if int64(len(rows)) != target[0] || int64(len(cols)) != target[1] || !within(rows, shape[0]) || !within(cols, shape[1]) {
		return nil, false
	}
	out := make([]float32, 0, len(rows)*len(cols))
	for _, r := range rows {
		for _, c := range cols {
			out = append(out, v[r*int(shape[1])+c]*scale)
		}
	}
	return out, true
}

// axes says which rows and columns a role takes; nil is all of them.
func (n *narrowing) axes(role string, layer int) (rows, cols []int, scale float32) {
	scale = 1
	if layer >= 0 {
		l := n.layers[layer]
		_, part, _ := strings.Cut(role, ".layer.")
		_, part, _ = strings.Cut(part, ".")
		switch {
		case strings.Contains(part, "LayerNorm"):
			return nil, n.hidden, 1
		case strings.HasPrefix(part, "attention.self.query."):
			return n.hidden, some(l.queries), l.scale
		case strings.HasPrefix(part, "attention.self.key."):
			return n.hidden, some(l.queries), 1
		case strings.HasPrefix(part, "attention.self.value."):
			return n.hidden, some(l.values), 1
		case strings.HasPrefix(part, "attention.output.dense."):
			return some(l.values), n.hidden, 1
		case strings.HasPrefix(part, "intermediate.dense."):
			return n.hidden, some(l.neurons), 1
		}
		return some(l.neurons), n.hidden, 1 // output.dense
	}
	switch {
	case role == decoderBias:
		return nil, nil, 1
	case strings.HasPrefix(role, "bert.embeddings."), strings.Contains(role, "LayerNorm"), strings.HasPrefix(role, projectName):
		return nil, n.hidden, 1
	case strings.HasPrefix(role, transformFC) && !n.plain:
		return n.hidden, nil, 1
	case strings.HasPrefix(role, poolerName), strings.HasPrefix(role, transformFC):
		return n.hidden, n.hidden, 1
	case !n.plain && (role == decoderName || strings.HasPrefix(role, "cls.pos.") || strings.HasPrefix(role, "cls.ner.")):
		return nil, nil, 1 // they read the transform
	case strings.HasSuffix(role, ".bias"):
		return nil, nil, 1 // of classes
	}
	return n.hidden, nil, 1 // of a head over the hidden states
}

// chosen sets the projection behind tables as wide as the source's hidden states:
// it leads to the hidden values that are kept.
func (c *copier) chosen(s slot) bool {
	e, h := c.dst.shape().EmbeddingWidth(), len(c.narrow.hidden)
	if !strings.HasPrefix(s.name, projectName) || !c.took(wordName) || e != c.src.shape().Hidden {
		return false
	}
	if s.name == projectName+".bias" {
		c.set(s, make([]float32, h), []int64{int64(h)})
	} else {
		v := make([]float32, e*h)
		for j, i := range c.narrow.hidden {
			v[i*h+j] = 1
		}
		c.set(s, v, []int64{int64(e), int64(h)})
	}
	c.report.Narrowed = append(c.report.Narrowed, s.name)
	return true
}

// some is a list that is not nil, so that nothing is taken for what is not there.
func some(list []int) []int {
	if list == nil {
		return []int{}
	}
	return list
}

// within tells whether ascending places lie below n.
func within(list []int, n int64) bool { return len(list) > 0 && int64(list[len(list)-1]) < n }

func firstOf(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}
