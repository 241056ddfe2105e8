package autodiff

import (
	"fmt"
	"slices"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// Param is a tensor that is trained. Several initializers may be one Param:
// a decoder that equals the transposed word embedding is tied to it.
type Param struct {
	// Name is that of the model's initializer (for tied ones, the embedding).
	Name string
	Dims []int64
	// Value and Grad are row-major. The optimiser changes Value in place; passes
	// add to Grad, and [Program.ZeroGrad] clears it. Whoever else writes to Grad
	// leaves zeros zero: of tables that are only looked up in, passes, ZeroGrad,
	// SumSquares and AdamW touch the rows of the batches alone.
	Value, Grad []float32
	// Decay tells whether weight decay is usual: true for matrices, false for
	// biases and the vectors of LayerNorm.
	Decay bool

	frozen  bool
	sparse  bool      // nothing but Gather on the first axis reads it
	touched []bool    // the rows of Grad that may not be 0, where it is sparse
	ids     []int     // those rows, each once
	copies  []reading // where Model writes it; param is nil here
}

// touch notes that rows of a sparse gradient are written.
func (x *Param) touch(ids []int64) {
	if x == nil || !x.sparse {
		return
	}
	if x.touched == nil {
		x.touched = make([]bool, x.Dims[0])
	}
	for _, id := range ids {
		if !x.touched[id] {
			x.touched[id] = true
			x.ids = append(x.ids, int(id))
		}
	}
}

// Sparse tells whether nothing but lookups read the parameter, so that of its
// gradient only the rows of the batches are written.
func (x *Param) Sparse() bool { return x.sparse }

// zero clears the gradient.
func (x *Param) zero() {
	if !x.sparse {
		clear(x.Grad)
		return
	}
	n := int(x.Dims[1])
	for _, id := range x.ids {
		clear(x.Grad[id*n : (id+1)*n])
		x.touched[id] = false
	}
	x.ids = x.ids[:0]
}

// SumSquares is the sum of the squares of the gradient.
func (x *Param) SumSquares() float64 {
	switch {
	case !x.sparse:
		return kernel.SumSquares(x.Grad)
	case x.touched == nil:
		return 0
	}
	return kernel.SumSquaresRows(x.Grad, int(x.Dims[1]), x.touched)
}

// AdamW takes a step of [kernel.AdamW] with moments m and v, which have the
// size of Value.
func (x *Param) AdamW(m, v []float32, lr, beta1, beta2, eps, decay, gradScale float32, step int) {
	if x.touched == nil {
		kernel.AdamW(x.Value, x.Grad, m, v, lr, beta1, beta2, eps, decay, gradScale, step)
		return
	}
	kernel.AdamWRows(x.Value, x.Grad, m, v, int(x.Dims[1]), x.touched, lr, beta1, beta2, eps, decay, gradScale, step)
}

// findSparse finds the tables whose gradients have few rows.
func (p *Program) findSparse() {
	dense := map[*Param]bool{}
	for _, n := range p.fused.Nodes {
		for i, in := range n.Inputs {
			lookup := opName(n) == "Gather" && i == 0 && n.Int("axis", 0) == 0
			if x := p.reads[in].param; x != nil && !lookup {
				dense[x] = true
			}
		}
	}
	for _, o := range p.fused.Outputs {
		if x := p.reads[o.Name].param; x != nil {
			dense[x] = true
		}
	}
	for _, x := range p.params {
		x.sparse = !dense[x] && len(x.Dims) == 2 && x.Dims[0] > 0 && x.Dims[1] > 0
	}
}

// reading says that an initializer is a parameter, or its transpose.
type reading struct {
	param *Param
	name  string
	flip  bool
}

// role is what a node uses a constant for.
type role int

const (
	roleNone   role = iota
	roleTable       // embedding
	roleMatrix      // right-hand side of a product
	roleVector      // bias, gain
	roleOther       // operand of an elementwise or shape operator
)

func roleOf(n *onnx.Node, i int) role {
	switch opName(n) {
	case "lite.Linear", "Gemm":
		return []role{roleNone, roleMatrix, roleVector}[min(i, 2)]
	case "lite.LayerNorm":
		if i == 1 || i == 2 {
			return roleVector
		}
	case "MatMul":
		return roleMatrix
	case "Gather":
		if i == 0 {
			return roleTable
		}
	case "Add", "Sub", "Mul", "Div", "Concat":
		return roleOther
	case "Slice", "Reshape", "Transpose", "Expand", "Unsqueeze", "Squeeze":
		if i == 0 {
			return roleOther
		}
	}
	return roleNone
}

// opName is the operator with its domain, for all but the standard one.
func opName(n *onnx.Node) string {
	if n.Domain == "" || n.Domain == "ai.onnx" {
		return n.Op
	}
	return n.Domain + "." + n.Op
}

// originals lists the tensors that the model itself holds, its initializers and those
// of Constant nodes, and their names in order.
func (p *Program) originals() (inits map[string]*onnx.Tensor, constants map[string]*onnx.Tensor, order []string) {
	inits, constants = p.model.Graph.InitializerMap(), map[string]*onnx.Tensor{}
	for _, t := range p.model.Graph.Initializers {
		order = append(order, t.Name)
	}
	for _, n := range p.model.Graph.Nodes {
		if n.Op != "Constant" || len(n.Outputs) != 1 {
			continue
		}
		if a := n.Attr("value"); a != nil && a.Tensor != nil {
			constants[n.Outputs[0]] = a.Tensor
			order = append(order, n.Outputs[0])
		}
	}
	return inits, constants, order
}

// findParams decides which constants are parameters, by what reads them:
// tables, matrices, biases and gains always; operands of other operators where
// they are initializers of more than one element and at most two long axes,
// which leaves out the constants of formulas and masks.
func (p *Program) findParams() error {
	inits, constants, order := p.originals()
	roles := map[string]role{}
	for _, n := range p.fused.Nodes {
		for i, in := range n.Inputs {
			t := p.consts[in]
			if t == nil || t.Type != onnx.Float {
				continue
			}
			r := roleOf(n, i)
			switch own := inits[in]; {
			case r == roleNone || r == roleOther && (own == nil || !isWeight(t)):
				continue
			case own == nil && constants[in] == nil:
				if r == roleTable {
					continue // a table that the graph computes, such as of sines
				}
				return fmt.Errorf("autodiff: node %s: its input %q is computed from other constants, so it cannot be trained; simplify the model first", nodeName(n), in)
			}
			if old, ok := roles[in]; !ok || r < old {
				roles[in] = r
			}
		}
	}
	ties := p.ties(roles, order)
	made := map[string]*Param{}
	for _, name := range order {
		r, ok := roles[name]
		if !ok || ties[name].name != "" {
			continue
		}
		x, err := p.newParam(name, r)
		if err != nil {
			return err
		}
		made[name] = x
		p.reads[name] = reading{param: x}
		x.copies = append(x.copies, reading{name: name})
	}
	for _, name := range order {
		if tie := ties[name]; tie.name != "" {
			x := made[tie.name]
			p.reads[name] = reading{param: x, flip: tie.flip}
			x.copies = append(x.copies, reading{name: name, flip: tie.flip})
		}
	}
	return nil
}

func isWeight(t *onnx.Tensor) bool {
	long := 0
	for _, d := range t.Dims {
		if d != 1 {
			long++
		}
	}
	return t.Len() > 1 && long <= 2 && len(t.Dims) <= 3
}

func (p *Program) newParam(name string, r role) (*Param, error) {
	t := p.consts[name]
	v, err := t.Floats()
	if err != nil {
		return nil, fmt.Errorf("autodiff: weight %q: %w", name, err)
	}
	x := &Param{Name: name, Dims: slices.Clone(t.Dims), Value: slices.Clone(v), Decay: r == roleTable || r == roleMatrix}
	if p.opts.Frozen != nil && p.opts.Frozen(name) {
		x.frozen = true
		return x, nil
	}
	x.Grad = make([]float32, len(v))
	p.params = append(p.params, x)
	return x, nil
}

// ties finds the matrices that equal an embedding table, as it is or
// transposed: exporters write a tied decoder as a second initializer. A table
// of one repeated number ties nothing, and nothing is tied where config.json says
// that the decoder is its own matrix: it may start as a copy of the table.
func (p *Program) ties(roles map[string]role, order []string) map[string]reading {
	out := map[string]reading{}
	if p.model.Config.OwnDecoder() {
		return out
	}
	for _, table := range order {
		t := p.consts[table]
		if roles[table] != roleTable || len(t.Dims) != 2 {
			continue
		}
		e, err := t.Floats()
		if err != nil || len(e) == 0 || !slices.ContainsFunc(e, func(x float32) bool { return x != e[0] }) {
			continue
		}
		for _, name := range order {
			w := p.consts[name]
			if roles[name] != roleMatrix || len(w.Dims) != 2 || out[name].name != "" || !p.onlyLinear(name) {
				continue
			}
			v, err := w.Floats()
			if err != nil || len(v) != len(e) {
				continue
			}
			switch {
			case slices.Equal(w.Dims, t.Dims) && slices.Equal(v, e):
				out[name] = reading{name: table}
			case w.Dims[0] == t.Dims[1] && w.Dims[1] == t.Dims[0] && equalTransposed(v, e, int(t.Dims[0]), int(t.Dims[1])):
				out[name] = reading{name: table, flip: true}
			}
		}
	}
	return out
}

// onlyLinear reports whether only Linear nodes read the weight: they can read
// it transposed.
func (p *Program) onlyLinear(name string) bool {
	for _, n := range p.fused.Nodes {
		for i, in := range n.Inputs {
			if in == name && !(opName(n) == "lite.Linear" && i == 1) {
				return false
			}
		}
	}
	return true
}

// equalTransposed reports whether v [cols,rows] is the transpose of e [rows,cols].
func equalTransposed(v, e []float32, rows, cols int) bool {
	for r := range rows {
		for c := range cols {
			if v[c*rows+r] != e[r*cols+c] {
				return false
			}
		}
	}
	return true
}

// Model returns the model that New was given with the current weights, in the
// layout of its own initializers; each copy of a tied weight is written. Vectors
// that torch's exporter had merged because they were equal are initializers of
// their own (see [fuse.Untie]).
func (p *Program) Model() (*onnx.Model, error) {
	m := p.model.Clone()
	old := m.Graph.InitializerMap()
	constants := map[string]*onnx.Attribute{}
	for _, n := range m.Graph.Nodes {
		if n.Op == "Constant" && len(n.Outputs) == 1 && n.Attr("value") != nil {
			constants[n.Outputs[0]] = n.Attr("value")
		}
	}
	fresh := map[string]*onnx.Tensor{}
	for _, x := range p.params {
		for _, c := range x.copies {
			v, dims := x.Value, x.Dims
			if c.flip {
				v, dims = flipped(v, int(dims[0]), int(dims[1])), []int64{dims[1], dims[0]}
			}
			t := onnx.NewFloats(c.name, v, dims...)
			switch was := old[c.name]; {
			case was != nil:
				t.Doc, t.Metadata, t.Unknown = was.Doc, was.Metadata, was.Unknown
				fresh[c.name] = t
			case constants[c.name] != nil:
				t.Name = constants[c.name].Tensor.Name
				constants[c.name].Tensor = t
			default:
				return nil, fmt.Errorf("autodiff: the model has no weight %q", c.name)
			}
		}
	}
	for i, t := range m.Graph.Initializers {
		if f := fresh[t.Name]; f != nil {
			m.Graph.Initializers[i] = f
		}
	}
	return m, nil
}

// flipped transposes a matrix [rows,cols].
func flipped(v []float32, rows, cols int) []float32 {
	out := make([]float32, len(v))
	for r := range rows {
		for c := range cols {
			out[c*rows+r] = v[r*cols+c]
		}
	}
	return out
}
