package prune

import (
	"context"
	"fmt"
	"slices"

	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/onnx"
)

// compensator is a criterion that has moments of the activations.
type compensator interface {
	Criterion
	moments(ctx context.Context, m *onnx.Model, second bool) (*activations, error)
}

// structure removes heads, neurons or both from out, which is a copy of m.
func (c Config) structure(ctx context.Context, m, out *onnx.Model, enc *fuse.Encoder, r *Report) error {
	if err := noRows(enc); err != nil {
		return err
	}
	scores, err := c.Criterion.Score(ctx, m, c.Unit)
	if err != nil {
		return err
	}
	r.Criterion = c.Criterion.Name()
	heads, neurons := make([][]int, len(enc.Layers)), make([][]int, len(enc.Layers))
	headSizes, neuronSizes := make([]int, len(enc.Layers)), make([]int, len(enc.Layers))
	for i, l := range enc.Layers {
		headSizes[i], neuronSizes[i] = l.Heads, l.Up.Out
	}
	removed, total := 0, 0
	if c.Unit != Neurons {
		if heads, err = choose("heads", scores.Heads, headSizes, c, limits{c.MinHeads, 1}); err != nil {
			return err
		}
		removed, total = removed+count(heads), total+sum(headSizes)
	}
	if c.Unit != Heads {
		if neurons, err = choose("neurons", scores.Neurons, neuronSizes, c, limits{c.MinNeurons, c.NeuronMultiple}); err != nil {
			return err
		}
		removed, total = removed+count(neurons), total+sum(neuronSizes)
	}
	r.Sparsity = float64(removed) / float64(max(1, total))
	if removed == 0 {
		return nil
	}
	var act *activations
	if c.Compensation != NoCompensation {
		if act, err = c.Criterion.(compensator).moments(ctx, m, c.Compensation == LinearCompensation); err != nil {
			return err
		}
	}
	s := newSurgeon(out, enc)
	for i, l := range enc.Layers {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.layer(i, l, heads[i], neurons[i], act); err != nil {
			return fmt.Errorf("prune: layer %d: %w", i, err)
		}
		rep := &r.Layers[i]
		rep.RemovedHeads, rep.RemovedNeurons = heads[i], neurons[i]
		rep.Heads -= len(heads[i])
		rep.Neurons -= len(neurons[i])
	}
	// Declared shapes of inner values may have changed; they are optional.
	out.Graph.Values = nil
	out.Graph.Prune()
	return updateConfig(out, r)
}

func count(x [][]int) int {
	n := 0
	for _, row := range x {
		n += len(row)
	}
	return n
}

func sum(x []int) int {
	n := 0
	for _, v := range x {
		n += v
	}
	return n
}

// surgeon cuts slices out of an encoder's weights.
type surgeon struct {
	*view
	producers map[string]*onnx.Node
	consumers map[string][]*onnx.Node
}

func newSurgeon(m *onnx.Model, enc *fuse.Encoder) *surgeon {
	return &surgeon{newView(m, enc), m.Graph.Producers(), m.Graph.Consumers()}
}

// layer removes heads and neurons of one layer.
func (s *surgeon) layer(i int, l fuse.Layer, heads, neurons []int, act *activations) error {
	if len(heads) > 0 {
		gone := expand(heads, l.HeadDim)
		fix, err := s.repair(l.Output, act, func(a *activations) *moment { return a.context[i] }, gone)
		if err != nil {
			return err
		}
		for _, lin := range []fuse.Linear{l.Query, l.Key, l.Value} {
			if err := s.cutOutputs(lin, gone); err != nil {
				return err
			}
		}
		if err := s.cutInputs(l.Output, gone, fix); err != nil {
			return err
		}
		if err := s.reshape(l, l.Heads-len(heads)); err != nil {
			return err
		}
	}
	if len(neurons) > 0 {
		fix, err := s.repair(l.Down, act, func(a *activations) *moment { return a.inner[i] }, neurons)
		if err != nil {
			return err
		}
		if err := s.cutOutputs(l.Up, neurons); err != nil {
			return err
		}
		return s.cutInputs(l.Down, neurons, fix)
	}
	return nil
}

// expand turns head numbers into the columns they own.
func expand(heads []int, d int) []int {
	out := make([]int, 0, len(heads)*d)
	for _, h := range heads {
		for j := range d {
			out = append(out, h*d+j)
		}
	}
	return out
}

// cutOutputs removes output units: columns of W [in,out] and elements of the bias.
func (s *surgeon) cutOutputs(l fuse.Linear, gone []int) error {
	w, err := s.matrix(l)
	if err != nil {
		return err
	}
	left := int64(l.Out - len(gone))
	if l.TransB {
		err = s.replace(l.MatMul, l.Weight, cut(w, l.Out, l.In, gone, nil), left, int64(l.In))
	} else {
		err = s.replace(l.MatMul, l.Weight, cut(w, l.In, l.Out, nil, gone), int64(l.In), left)
	}
	if err != nil || l.Bias == "" {
		return err
	}
	b, err := s.floats(l.Bias)
	if err != nil {
		return err
	}
	switch len(b) {
	case l.Out:
		return s.replace(biasNode(l), l.Bias, cut(b, 1, l.Out, nil, gone), left)
	case 1:
		return nil // broadcast over the units
	}
	return fmt.Errorf("bias %q has %d elements; the linear layer has %d outputs", l.Bias, len(b), l.Out)
}

// cutInputs removes input units: rows of W [in,out]. fix, where not nil, is
// added to what stays.
func (s *surgeon) cutInputs(l fuse.Linear, gone []int, fix *repair) error {
	w, err := s.matrix(l)
	if err != nil {
		return err
	}
	if fix != nil && fix.weight != nil {
		w = fix.apply(w, l)
	}
	left := int64(l.In - len(gone))
	if l.TransB {
		err = s.replace(l.MatMul, l.Weight, cut(w, l.Out, l.In, nil, gone), int64(l.Out), left)
	} else {
		err = s.replace(l.MatMul, l.Weight, cut(w, l.In, l.Out, gone, nil), left, int64(l.Out))
	}
	if err != nil || fix == nil {
		return err
	}
	if l.Bias == "" {
		return fmt.Errorf("weight %q has no bias to compensate in; prune without compensation", l.Weight)
	}
	b, err := s.floats(l.Bias)
	if err != nil {
		return err
	}
	if len(b) != l.Out {
		return fmt.Errorf("bias %q has %d elements; the linear layer has %d outputs", l.Bias, len(b), l.Out)
	}
	sum := make([]float32, len(b))
	for i := range b {
		sum[i] = float32(float64(b[i]) + fix.bias[i])
	}
	return s.replace(biasNode(l), l.Bias, sum, int64(l.Out))
}

func biasNode(l fuse.Linear) *onnx.Node {
	if l.Add != nil {
		return l.Add
	}
	return l.MatMul
}

// cut copies x [rows,cols] without some rows or columns, given in ascending order.
func cut(x []float32, rows, cols int, goneRows, goneCols []int) []float32 {
	out := make([]float32, 0, (rows-len(goneRows))*(cols-len(goneCols)))
	for r := range rows {
		if _, gone := slices.BinarySearch(goneRows, r); gone {
			continue
		}
		row, from := x[r*cols:(r+1)*cols], 0
		for _, c := range goneCols {
			out = append(out, row[from:c]...)
			from = c + 1
		}
		out = append(out, row[from:]...)
	}
	return out
}

// replace gives a node new values for the initializer name that it reads,
// directly or through Identity or Transpose. An initializer that others read
// too stays as it is for them.
func (s *surgeon) replace(n *onnx.Node, name string, v []float32, dims ...int64) error {
	if n == nil {
		return fmt.Errorf("weight %q: the node that reads it is not known", name)
	}
	reader, slot, private := s.reader(n, name)
	if reader == nil {
		return fmt.Errorf("node %s does not read %q; its weight cannot be cut", n.Label(), name)
	}
	if private && !s.m.Graph.IsOutput(name) {
		t := onnx.NewFloats(name, v, dims...)
		s.m.Graph.SetInitializer(t)
		s.inits[name] = t
		return nil
	}
	if reader != n && reader.Op != "Identity" {
		if len(s.consumers[reader.Outputs[0]]) > 1 {
			return fmt.Errorf("node %s: weight %q is shared after node %s; it cannot be cut for one reader alone", n.Label(), name, reader.Label())
		}
	} else if reader != n {
		// An Identity that exporters put where equal weights were merged: n reads a
		// weight of its own instead.
		for i, in := range n.Inputs {
			if s.reaches(in, name) {
				reader, slot = n, i
			}
		}
	}
	t := onnx.NewFloats(s.freshName(reader.Inputs[slot], name), v, dims...)
	s.m.Graph.Initializers = append(s.m.Graph.Initializers, t)
	s.inits[t.Name] = t
	reader.Inputs[slot] = t.Name
	s.consumers[t.Name] = []*onnx.Node{reader}
	s.consumers[name] = slices.DeleteFunc(slices.Clone(s.consumers[name]), func(x *onnx.Node) bool { return x == reader })
	return nil
}

// reader follows the inputs of n back to the initializer: the node and slot
// that read it, and whether every step on the way serves n alone.
func (s *surgeon) reader(n *onnx.Node, name string) (reader *onnx.Node, slot int, private bool) {
	for i, in := range n.Inputs {
		if in == name {
			return n, i, len(s.consumers[name]) == 1 && countOf(n.Inputs, name) == 1
		}
	}
	for _, in := range n.Inputs {
		p := s.producers[in]
		if p == nil || len(p.Inputs) != 1 || p.Op != "Identity" && p.Op != "Transpose" {
			continue
		}
		if r, i, ok := s.reader(p, name); r != nil {
			return r, i, ok && len(s.consumers[in]) == 1
		}
	}
	return nil, 0, false
}

func (s *surgeon) reaches(value, name string) bool {
	for value != name {
		p := s.producers[value]
		if p == nil || p.Op != "Identity" {
			return false
		}
		value = p.Inputs[0]
	}
	return true
}

func countOf(list []string, v string) int {
	n := 0
	for _, x := range list {
		if x == v {
			n++
		}
	}
	return n
}

// freshName names a private copy: by the alias it had, made unlike every other name.
func (s *surgeon) freshName(alias, name string) string {
	base := name
	if alias != name {
		base = alias
	}
	taken := func(v string) bool { return s.inits[v] != nil || s.producers[v] != nil }
	candidate := base + "_pruned"
	for i := 1; taken(candidate); i++ {
		candidate = fmt.Sprintf("%s_pruned_%d", base, i)
	}
	return candidate
}

// reshape rewrites the shapes of a layer's attention for a new number of heads.
func (s *surgeon) reshape(l fuse.Layer, heads int) error {
	for _, r := range append(slices.Clone(l.SplitShapes), l.MergeShapes...) {
		v := r.Value
		switch r.Kind {
		case fuse.HeadCount:
			v = int64(heads)
		case fuse.HeadsTimesSize:
			v = int64(heads) * int64(l.HeadDim)
		}
		if err := r.Set(s.m.Graph, v); err != nil {
			return err
		}
	}
	return nil
}

// noRows refuses layers whose products are of rows between two Reshapes: the
// sizes that these name would be those of before.
func noRows(enc *fuse.Encoder) error {
	for _, l := range enc.Layers {
		for _, x := range []fuse.Linear{l.Query, l.Key, l.Value, l.Output, l.Up, l.Down} {
			if x.Rows {
				return fmt.Errorf("prune: node %s: the product stands between two Reshapes, whose sizes cannot be followed; export linear layers as MatMul of [batch, sequence, width], as torch does, or prune weights or layers", x.MatMul.Label())
			}
		}
	}
	return nil
}
