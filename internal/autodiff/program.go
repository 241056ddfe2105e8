package autodiff

import (
	"errors"
	"fmt"
	"slices"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/onnx"
)

// Options says how a model is trained.
type Options struct {
	// Rows lists graph outputs [B,S,·] that are computed for selected rows only,
	// [R,·]; see [fuse.SelectRows]. Passes that ask for them are fed "rows".
	Rows []string
	// Outputs lists values inside the graph, besides its outputs, that passes may
	// ask for, such as the hidden states of the layers. They are computed whole.
	Outputs []string
	// Dropout is the probability of dropping an element, in [0, 1); see the
	// package documentation for the places. 0 is none.
	Dropout float32
	// Recompute saves memory for time: of all encoder layers but the last only
	// the inputs are kept, and the backward pass computes the rest of each again
	// when it comes to it. Losses and gradients have the same bits.
	Recompute bool
	// Frozen tells the parameters, by name, that are not trained. Nil trains all.
	Frozen func(param string) bool
}

// Program is a model made ready for training: its parameters, and what its
// passes share. It is not safe for concurrent use.
type Program struct {
	opts   Options
	model  *onnx.Model // what Model returns, with the old weights
	fused  *onnx.Graph
	opset  int64
	params []*Param
	reads  map[string]reading // initializers that are parameters
	consts map[string]*onnx.Tensor
	inputs map[string]*onnx.ValueInfo
	nodes  map[string]*onnx.Node // by the value they compute
	index  map[*onnx.Node]int
	// learned are the values that depend on a parameter.
	learned map[string]bool
	// sizes are the Shape and Size nodes of such values, by what they compute: no
	// gradient passes them. sizeOf remembers what they give.
	sizes  map[string]*onnx.Node
	sizeOf map[sizeKey]*exec.Tensor
	// embedding marks the normalisations of nothing but embeddings.
	embedding map[*onnx.Node]bool
	lowerings map[string]lowering // operators that have a gradient, by opName
	data      *exec.Session       // the part of the graph that depends on no parameter
	packing   *packing            // nil where passes cannot be packed
	arena     *arena
}

// New prepares a model for training. m is not changed. Its weights must be
// float32.
//
// The error names the node that has no gradient, the weight that is not
// float32, or the output that does not exist.
func New(m *onnx.Model, opts Options) (*Program, error) {
	if m == nil || m.Graph == nil {
		return nil, errors.New("autodiff: the model has no graph; open it with onnx.Open or build one")
	}
	if !(opts.Dropout >= 0 && opts.Dropout < 1) {
		return nil, fmt.Errorf("autodiff: dropout %v; want 0 ≤ dropout < 1", opts.Dropout)
	}
	if err := checkWeights(m); err != nil {
		return nil, err
	}
	p := &Program{
		opts: opts, model: fuse.Untie(m), arena: &arena{},
		reads: map[string]reading{}, inputs: map[string]*onnx.ValueInfo{}, nodes: map[string]*onnx.Node{},
		index: map[*onnx.Node]int{}, learned: map[string]bool{}, embedding: map[*onnx.Node]bool{}, lowerings: allLowerings(),
		sizes: map[string]*onnx.Node{}, sizeOf: map[sizeKey]*exec.Tensor{},
	}
	for _, o := range m.Opsets {
		if o.Domain == "" || o.Domain == "ai.onnx" {
			p.opset = o.Version
		}
	}
	if err := p.fuse(); err != nil {
		return nil, err
	}
	if err := p.findParams(); err != nil {
		return nil, err
	}
	if err := p.spread(); err != nil {
		return nil, err
	}
	if err := p.try(); err != nil {
		return nil, err
	}
	p.packing = p.findPacking()
	p.findSparse()
	return p, nil
}

// checkWeights refuses weights that training cannot change.
func checkWeights(m *onnx.Model) error {
	for _, t := range m.Graph.Initializers {
		switch t.Type {
		case onnx.Int8, onnx.Uint8:
			if t.Len() > 1 {
				return fmt.Errorf("autodiff: weight %q is %v; train the float32 model and quantize it afterwards", t.Name, t.Type)
			}
		case onnx.Float16, onnx.BFloat16, onnx.Double:
			if t.Len() > 1 {
				return fmt.Errorf("autodiff: weight %q is %v; training needs float32 weights, so convert the model first", t.Name, t.Type)
			}
		}
	}
	for _, n := range m.Graph.Nodes {
		switch n.Op {
		case "DynamicQuantizeLinear", "QuantizeLinear", "DequantizeLinear", "MatMulInteger", "QLinearMatMul":
			return fmt.Errorf("autodiff: node %s: %s has no gradient; train the float32 model and quantize it afterwards", nodeName(n), n.Op)
		}
	}
	return nil
}

func nodeName(n *onnx.Node) string {
	switch {
	case n.Name != "":
		return n.Name
	case len(n.Outputs) > 0:
		return n.Outputs[0]
	}
	return n.Op
}

// fuse makes the graph that passes are built from.
func (p *Program) fuse() error {
	m := p.model.Clone()
	made := m.Graph.Producers()
	for _, name := range p.opts.Outputs {
		if m.Graph.IsOutput(name) {
			continue
		}
		if made[name] == nil {
			return fmt.Errorf("autodiff: Options.Outputs names %q, which no node of the model computes", name)
		}
		m.Graph.Outputs = append(m.Graph.Outputs, &onnx.ValueInfo{Name: name, Type: onnx.Float})
	}
	f, err := fuse.Fuse(m)
	if err != nil {
		return fmt.Errorf("autodiff: %w", err)
	}
	m = f.Model
	if len(p.opts.Rows) > 0 {
		if m, err = fuse.SelectRows(m, p.opts.Rows); err != nil {
			return fmt.Errorf("autodiff: %w", err)
		}
	}
	p.fused = m.Graph
	p.consts = m.Graph.InitializerMap()
	for _, in := range m.Graph.Inputs {
		if p.consts[in.Name] == nil {
			p.inputs[in.Name] = in
		}
	}
	for i, n := range m.Graph.Nodes {
		p.index[n] = i
		for _, o := range n.Outputs {
			if o != "" {
				p.nodes[o] = n
			}
		}
	}
	return nil
}

// spread finds the values that depend on a parameter, and makes the session
// that computes those that do not.
func (p *Program) spread() error {
	sums := map[string]bool{} // values made of embeddings alone
	data := &onnx.Graph{Name: "data", Inputs: slices.Clone(p.fused.Inputs), Initializers: p.fused.Initializers}
	wanted := map[string]bool{}
	for _, n := range p.fused.Nodes {
		learned := false
		for _, in := range n.Inputs {
			_, isParam := p.reads[in]
			learned = learned || isParam || p.learned[in]
		}
		if !learned {
			data.Nodes = append(data.Nodes, n)
			continue
		}
		if readsSize(n) {
			p.sizes[n.Outputs[0]] = n
			data.Inputs = append(data.Inputs, &onnx.ValueInfo{Name: n.Outputs[0], Type: onnx.Int64})
			continue
		}
		for _, in := range n.Inputs {
			if in != "" && p.nodes[in] != nil && !p.learned[in] {
				wanted[in] = true
			}
		}
		for _, o := range n.Outputs {
			p.learned[o] = o != ""
		}
		switch isSum := n.Op == "Gather" || n.Op == "Add"; {
		case isSum:
			for _, in := range n.Inputs {
				isSum = isSum && (!p.learned[in] || sums[in])
			}
			sums[n.Outputs[0]] = isSum
		case n.Domain == fuse.Domain && n.Op == fuse.OpLayerNorm && sums[n.Inputs[0]]:
			p.embedding[n] = true
		}
	}
	for _, n := range data.Nodes {
		for _, o := range n.Outputs {
			if wanted[o] || o != "" && p.fused.IsOutput(o) {
				data.Outputs = append(data.Outputs, &onnx.ValueInfo{Name: o})
			}
		}
	}
	if len(data.Outputs) == 0 {
		return nil
	}
	m := &onnx.Model{IRVersion: p.model.IRVersion, Opsets: slices.Clone(p.model.Opsets), Functions: p.model.Functions, Graph: data.Clone()}
	m.Opsets = append(m.Opsets, onnx.Opset{Domain: fuse.Domain, Version: fuse.DomainVersion})
	m.Graph.Prune()
	var err error
	if p.data, err = exec.New(m, exec.Options{Unfused: true}); err != nil {
		return fmt.Errorf("autodiff: values that depend on no parameter: %w", err)
	}
	return nil
}

// try builds every output once, for a small batch, so that what cannot be
// trained is known before any training.
func (p *Program) try() error {
	if len(p.params) == 0 {
		return errors.New("autodiff: the model has no parameter to train; all are frozen, or it has no float32 weights")
	}
	for _, n := range p.fused.Nodes {
		if p.learned[n.Outputs[0]] && p.lowerings[opName(n)] == nil {
			return fmt.Errorf("autodiff: node %s: no gradient for operator %s; export the model without it", nodeName(n), opName(n))
		}
	}
	b, s := 1, 2
	for _, in := range p.inputs {
		if in.Name == fuse.RowsInput {
			continue
		}
		for i, d := range in.Dims {
			switch {
			case d.Known && d.Size > 0 && i == 0 && len(in.Dims) > 1:
				b = max(b, int(d.Size))
			case d.Known && d.Size > 0 && i == 1:
				s = max(s, int(d.Size))
			}
		}
	}
	q, err := p.NewPass(b, s, 1)
	if err != nil {
		return err
	}
	for _, o := range p.fused.Outputs {
		if !p.learned[o.Name] {
			continue
		}
		if _, err := q.Output(o.Name); err != nil {
			return err
		}
	}
	return nil
}

// Params lists the parameters that are trained, in the order of the model's
// initializers.
func (p *Program) Params() []*Param { return slices.Clone(p.params) }

// ZeroGrad clears all gradients.
func (p *Program) ZeroGrad() {
	for _, x := range p.params {
		x.zero()
	}
}

// Release lets go of the memory of activations and gradients, which is most of what
// a program holds. No pass may run afterwards; Params and Model stay.
func (p *Program) Release() {
	p.arena.release()
	for _, x := range p.params {
		x.Grad = nil
	}
}

// Param is the parameter of that name, also a frozen one; nil if there is none.
func (p *Program) Param(name string) *Param { return p.reads[name].param }

// NewForward is NewPass without dropout, for passes that only look at the model.
func (p *Program) NewForward(batch, seq, rows int) (*Pass, error) {
	q, err := p.NewPass(batch, seq, rows)
	if err == nil {
		q.WithoutDropout()
	}
	return q, err
}

// NewPass starts the graph of one batch shape: batch sequences of seq tokens,
// and rows selected rows (0 where no output of Options.Rows is asked for).
func (p *Program) NewPass(batch, seq, rows int) (*Pass, error) {
	if batch < 1 || seq < 1 || rows < 0 {
		return nil, fmt.Errorf("autodiff: a pass of %d sequences, %d tokens, %d rows; want at least 1, 1 and 0", batch, seq, rows)
	}
	q := newPass(p, p.arena)
	q.B, q.S, q.R = batch, seq, rows
	q.data = newDataFeed(q)
	return q, nil
}
