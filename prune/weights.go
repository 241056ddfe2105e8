package prune

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/onnx"
)

// target is one parameter under unstructured pruning: out units of in inputs,
// stored [in,out], or [out,in] where trans. A word embedding is V units of H.
type target struct {
	name    string
	in, out int
	trans   bool
}

// at is where input i of output o is stored.
func (t target) at(i, o int) int {
	if t.trans {
		return o*t.in + i
	}
	return i*t.out + o
}

func (c Config) targets(v *view) []target {
	var out []target
	add := func(t target) {
		if !slices.ContainsFunc(out, func(o target) bool { return o.name == t.name }) {
			out = append(out, t)
		}
	}
	for _, l := range v.linears() {
		add(target{l.Weight, l.In, l.Out, l.TransB})
	}
	if t := v.inits[v.enc.Word]; c.Embeddings && t != nil && len(t.Dims) == 2 {
		add(target{v.enc.Word, int(t.Dims[1]), int(t.Dims[0]), true})
	}
	return out
}

// weights sets the lowest weights of out to zero.
func (c Config) weights(ctx context.Context, m, out *onnx.Model, enc *fuse.Encoder, r *Report) error {
	scores, err := c.Criterion.Score(ctx, m, Weights)
	if err != nil {
		return err
	}
	r.Criterion = c.Criterion.Name()
	v := newView(out, enc)
	targets := c.targets(v)
	rows, marks := make([][]float32, len(targets)), make([]Mask, len(targets))
	for i, t := range targets {
		if _, err := v.floats(t.name); err != nil {
			return err
		}
		s := scores.Weights[t.name]
		if len(s) != t.in*t.out {
			return fmt.Errorf("prune: the criterion %s gives %d scores for the %d weights of %q", c.Criterion.Name(), len(s), t.in*t.out, t.name)
		}
		for j, x := range s {
			if x != x {
				return fmt.Errorf("prune: the criterion %s gives no number for element %d of %q", c.Criterion.Name(), j, t.name)
			}
		}
		rows[i], marks[i] = s, newMask(len(s))
	}
	skipped := c.mark(targets, rows, marks)
	elements, zeros := 0, 0
	for i, t := range targets {
		if err := ctx.Err(); err != nil {
			return err
		}
		rep, err := zero(out, v, t, marks[i])
		if err != nil {
			return err
		}
		rep.PatternSkipped = skipped[i]
		r.Tensors = append(r.Tensors, rep)
		elements += rep.Elements
		zeros += rep.Zeros
	}
	r.Sparsity = float64(zeros) / float64(max(1, elements))
	return nil
}

// mark chooses what goes; it returns the elements that no pattern covers.
func (c Config) mark(targets []target, rows [][]float32, marks []Mask) []int {
	skipped := make([]int, len(targets))
	if c.Pattern.M == 0 && c.Scope == Global {
		n := 0
		for _, s := range rows {
			n += len(s)
		}
		lowest(rows, marks, quota(n, c.Sparsity))
		return skipped
	}
	for i, t := range targets {
		switch {
		case c.Pattern.M > 0:
			skipped[i] = t.in % c.Pattern.M * t.out
			for o := range t.out {
				for g := 0; g+c.Pattern.M <= t.in; g += c.Pattern.M {
					markRun(t, rows[i], marks[i], o, g, g+c.Pattern.M, c.Pattern.N)
				}
			}
		case c.Scope == PerOutput:
			for o := range t.out {
				markRun(t, rows[i], marks[i], o, 0, t.in, quota(t.in, c.Sparsity))
			}
		default:
			lowest(rows[i:i+1], marks[i:i+1], quota(len(rows[i]), c.Sparsity))
		}
	}
	return skipped
}

// markRun marks the k lowest of inputs lo … hi of output o, ties by input.
func markRun(t target, scores []float32, mark Mask, o, lo, hi, k int) {
	if k == 0 {
		return
	}
	// Key and input in one word: sorting orders both.
	run := make([]uint64, 0, 8)
	for i := lo; i < hi; i++ {
		run = append(run, uint64(key(scores[t.at(i, o)]))<<32|uint64(i))
	}
	slices.Sort(run)
	for _, e := range run[:k] {
		p := t.at(int(uint32(e)), o)
		mark.Bits[p/64] |= 1 << (p % 64)
	}
}

// zero replaces a parameter by one with the marked elements zero. A parameter
// that would not change keeps its tensor.
func zero(m *onnx.Model, v *view, t target, mark Mask) (TensorReport, error) {
	w, err := v.floats(t.name)
	if err != nil {
		return TensorReport{}, err
	}
	rep := TensorReport{Name: t.name, Elements: len(w)}
	changed := false
	for i, x := range w {
		if x == 0 {
			rep.ZerosBefore++
		}
		if x == 0 || mark.Pruned(i) {
			rep.Zeros++
		}
		changed = changed || mark.Pruned(i) && math.Float32bits(x) != 0
	}
	if !changed {
		return rep, nil
	}
	old := v.inits[t.name]
	z := slices.Clone(w)
	if err := ApplyMask(z, mark); err != nil {
		return TensorReport{}, err
	}
	m.Graph.SetInitializer(onnx.NewFloats(t.name, z, old.Dims...))
	return rep, nil
}
