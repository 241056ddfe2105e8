package autodiff

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"weak"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Pass is the Gorgonia graph and tape machine of a program for one batch
// shape. Use it in this order: [Pass.Output], [Pass.Floats], [Pass.Ints] and
// the loss functions build the graph, [Pass.Compile] differentiates it once,
// [Pass.Run] runs it any number of times. Only what the losses need is built
// and run.
//
// A Pass is not safe for concurrent use, nor are two passes of one program:
// they share the memory of activations and gradients.
type Pass struct {
	B, S, R int // sizes given to NewPass

	dropping float32 // dropout of this pass
	program  *Program
	arena    *arena
	graph    *gorgonia.ExprGraph
	nextID   uint64
	hashes   map[uint32]bool
	err      error // first mistake of a builder method that cannot return one

	values map[*gorgonia.Node]*value
	inputs []*value
	byName map[string]*value // values of the fused graph
	fed    map[string]*value // Floats and Ints, by name
	params map[*Param]*value
	data   *dataFeed
	pack   *packed  // nil in a padded pass
	bias   string   // of attention, which tells a packed pass where padding is
	asked  []*value // by Output
	sketch bool     // tells shapes and never runs

	ops      []*forward
	backs    []*backward
	absorbs  []*absorb
	releases []*release

	// set by Compile
	compiled bool
	terms    []*gorgonia.Node
	order    gorgonia.Nodes
	adjoints []*adjoint
	need     int                // floats of the arena
	segments map[int][]*segment // by the step before which they run again
	twins    map[*buffer]*twin
	machine  gorgonia.VM
	token    *gorgonia.F32
	isBound  bool

	// state of a run
	step       int
	cause      error
	weights    []float32
	seed, tick uint64
	losses     []float32
}

// Feed is what a pass is given at each run.
type Feed struct {
	// Inputs holds the model's integer inputs by name, [B,S] row-major:
	// input_ids, attention_mask, token_type_ids; and "rows" [R], flat positions
	// b·S+s. The three standard names may be given to a model without them.
	Inputs map[string][]int64
	// Floats and Ints hold the values of [Pass.Floats] and [Pass.Ints] by name.
	// The slices are read in place until Run returns.
	Floats map[string][]float32
	Ints   map[string][]int32
	// Weights are the weights of the loss terms; nil means 1 for each.
	Weights []float32
	// Seed and Step choose the dropout mask.
	Seed, Step uint64
}

func newPass(p *Program, a *arena) *Pass {
	return &Pass{
		program: p, arena: a, dropping: p.opts.Dropout,
		graph:  gorgonia.NewGraph(),
		hashes: map[uint32]bool{},
		values: map[*gorgonia.Node]*value{},
		byName: map[string]*value{},
		fed:    map[string]*value{},
		params: map[*Param]*value{},
		token:  gorgonia.NewF32(0),
	}
}

// Floats returns a node for a float32 tensor that is fed at each run under
// this name, such as a teacher's logits. Asking again for the same name and
// shape returns the same node. A mistake (another shape for a known name) is
// reported by Compile.
func (q *Pass) Floats(name string, shape ...int) *gorgonia.Node {
	return q.feed(name, tensor.Float32, shape)
}

// Ints is Floats for int32 tensors, such as labels.
func (q *Pass) Ints(name string, shape ...int) *gorgonia.Node {
	return q.feed(name, tensor.Int32, shape)
}

func (q *Pass) feed(name string, t tensor.Dtype, shape []int) *gorgonia.Node {
	v := q.fed[name]
	if v == nil {
		v = &value{label: name, shape: slices.Clone(shape), dtype: t}
		if len(shape) == 0 {
			q.mistake(fmt.Errorf("autodiff: input %q has no dimensions; give it the shape [1]", name))
			v.shape = []int{1}
		}
		q.fed[name] = q.input("feed", v)
	} else if v.dtype != t || !slices.Equal(v.shape, shape) {
		q.mistake(fmt.Errorf("autodiff: input %q was declared as %v %v and now as %v %v; use another name", name, v.dtype, v.shape, t, shape))
	}
	return v.node
}

func (q *Pass) mistake(err error) {
	if q.err == nil {
		q.err = err
	}
}

// Compile differentiates Σ w_i·term_i with respect to the parameters, where
// the w_i are fed at each run, and prepares the tape machine. Terms are scalar
// float32 nodes of this pass. Without terms the pass only runs forward, for
// the values that were asked for with Output. Compile may be called once.
func (q *Pass) Compile(terms []*gorgonia.Node) error {
	if err := q.checkTerms(terms); err != nil {
		return err
	}
	if len(terms) > 0 {
		q.terms = slices.Clone(terms)
		if err := q.differentiate(); err != nil {
			return err
		}
	}
	return q.ready(len(terms) == 0)
}

// CompileForward is Compile for terms whose values alone are wanted: a run leaves
// the gradients as they are.
func (q *Pass) CompileForward(terms []*gorgonia.Node) error {
	if err := q.checkTerms(terms); err != nil {
		return err
	}
	q.terms = slices.Clone(terms)
	for _, t := range terms {
		if v := q.values[t]; v != nil {
			v.shown = true // it is read after the run
		}
	}
	return q.ready(false)
}

// checkTerms refuses to compile twice, and terms that cannot be.
func (q *Pass) checkTerms(terms []*gorgonia.Node) error {
	switch {
	case q.err != nil:
		return q.err
	case q.compiled:
		return errors.New("autodiff: the pass is compiled already; make a new one with NewPass")
	}
	for i, t := range terms {
		if t == nil || t.Graph() != q.graph || !t.IsScalar() || t.Dtype() != tensor.Float32 {
			return fmt.Errorf("autodiff: loss term %d is %v; want a float32 scalar node of this pass", i, t)
		}
	}
	return nil
}

// WithoutDropout makes a pass, of which no output was asked for yet, one that drops
// nothing.
func (q *Pass) WithoutDropout() { q.dropping = 0 }

// ready plans the memory and makes the machine; show tells that the values asked
// for are read after a run.
func (q *Pass) ready(show bool) error {
	q.compiled = true
	if err := q.data.settleSizes(); err != nil {
		return err
	}
	if err := q.checkHashes(); err != nil {
		return err
	}
	if show {
		for _, v := range q.asked {
			v.shown = true
		}
	}
	need, err := q.plan()
	if err != nil {
		return err
	}
	q.need = need
	q.losses = make([]float32, len(q.terms))
	return q.bindInputs()
}

// differentiate adds the sum of the terms and its gradient to the graph.
func (q *Pass) differentiate() error {
	total, err := q.total(q.terms)
	if err != nil {
		return err
	}
	wrt := q.reached(total)
	for i, t := range q.terms {
		if len(q.reached(t)) == 0 {
			return fmt.Errorf("autodiff: no parameter reaches loss term %d (%v); compute it from an output of the model", i, t)
		}
	}
	if _, err := gorgonia.Grad(total, wrt...); err != nil {
		return fmt.Errorf("autodiff: %w", err)
	}
	return nil
}

// reached lists the parameters that a node depends on differentiably.
func (q *Pass) reached(n *gorgonia.Node) gorgonia.Nodes {
	seen := map[*gorgonia.Node]bool{}
	var walk func(n *gorgonia.Node)
	walk = func(n *gorgonia.Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		op, ok := n.Op().(gorgonia.SDOp)
		if !ok {
			return
		}
		children := q.graphChildren(n)
		for i, d := range op.DiffWRT(len(children)) {
			if d && i < len(children) {
				walk(children[i])
			}
		}
	}
	walk(n)
	var out gorgonia.Nodes
	for _, v := range q.inputs {
		if v.param != nil && seen[v.node] {
			out = append(out, v.node)
		}
	}
	return out
}

// bindInputs gives every leaf its value.
func (q *Pass) bindInputs() error {
	for _, v := range q.inputs {
		var val gorgonia.Value = envelope{v}
		if v.shown {
			switch {
			case v.dtype == tensor.Int32:
				v.i32 = make([]int32, v.size())
			case v.param == nil && (v.floats == nil || q.fed[v.label] == v):
				v.floats = make([]float32, v.size())
			}
			var backing any = v.floats
			if v.dtype == tensor.Int32 {
				backing = v.i32
			}
			v.dense = tensor.New(tensor.WithShape(v.shape...), tensor.WithBacking(backing))
			val = v.dense
		}
		if err := gorgonia.Let(v.node, val); err != nil {
			return fmt.Errorf("autodiff: input %q: %w", v.label, err)
		}
	}
	q.machine = gorgonia.NewTapeMachine(q.graph)
	// Its finalizer does nothing without CUDA, and as the machine is reached from
	// the graph's own operators it would keep all of this from ever being freed.
	runtime.SetFinalizer(q.machine, nil)
	return nil
}

// bind takes hold of the arena.
func (q *Pass) bind() {
	if q.isBound && len(q.arena.slab) >= q.need {
		return
	}
	q.arena.grow(q.need)
	if !q.isBound {
		q.isBound = true
		q.arena.bound = append(q.arena.bound, weak.Make(q))
	}
}

// unbind lets go of all tensors over the arena.
func (q *Pass) unbind() {
	q.isBound = false
	for _, o := range q.ops {
		if o.out.dense == nil {
			continue
		}
		o.out.dense = nil
		// The shape and type agree, so this cannot fail.
		_ = gorgonia.UnsafeLet(o.out.node, envelope{o.out})
	}
	for _, r := range q.releases {
		r.dense = nil
	}
}

// Run executes forward and backward. Gradients are added to [Param.Grad]. It
// returns the unweighted value of each term, in the order given to Compile; the
// slice is valid until the next Run. A term that is not finite is an error, and
// so is wrong input; gradients may then have been added in part.
func (q *Pass) Run(feed Feed) ([]float32, error) {
	if q.machine == nil {
		return nil, errors.New("autodiff: the pass is not compiled; call Compile first")
	}
	if err := q.setFeed(feed); err != nil {
		return nil, err
	}
	if err := q.data.run(context.Background(), feed); err != nil {
		return nil, err
	}
	q.bind()
	q.rewind()
	q.step, q.cause = -1, nil
	q.machine.Reset()
	err := q.machine.RunAll()
	q.machine.Reset()
	q.dropFeed()
	if q.cause != nil {
		return nil, q.cause
	}
	if err != nil {
		return nil, fmt.Errorf("autodiff: %w", err)
	}
	for i, t := range q.terms {
		x, err := floatsOf(t.Value())
		if err != nil || len(x) != 1 {
			return nil, fmt.Errorf("autodiff: loss term %d (%v) has no scalar value", i, t)
		}
		if f := float64(x[0]); math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, &NotFiniteError{Term: i, Value: x[0]}
		}
		q.losses[i] = x[0]
	}
	return q.losses, nil
}

// RowError is a number fed to a loss that cannot be: of that row.
type RowError struct {
	Row    int
	Reason string
}

func (e *RowError) Error() string { return fmt.Sprintf("row %d: %s", e.Row, e.Reason) }

// NotFiniteError is a loss term whose value is not a finite number.
type NotFiniteError struct {
	Term  int // its place in the terms given to Compile
	Value float32
}

func (e *NotFiniteError) Error() string {
	return fmt.Sprintf("autodiff: loss term %d is %v; lower the learning rate, or check its inputs", e.Term, e.Value)
}

// setFeed takes over the fed slices.
func (q *Pass) setFeed(feed Feed) error {
	q.seed, q.tick, q.weights = feed.Seed, feed.Step, feed.Weights
	if feed.Weights != nil && len(feed.Weights) != len(q.terms) {
		return fmt.Errorf("autodiff: %d weights for %d loss terms", len(feed.Weights), len(q.terms))
	}
	for _, v := range q.inputs {
		if q.fed[v.label] != v {
			continue
		}
		floats, ints := feed.Floats[v.label], feed.Ints[v.label]
		if n := max(len(floats), len(ints)); v.dtype == tensor.Int32 && len(ints) != v.size() || v.dtype == tensor.Float32 && len(floats) != v.size() {
			return fmt.Errorf("autodiff: input %q was fed %d elements; its shape is %v", v.label, n, v.shape)
		}
		switch {
		case v.shown:
			copy(v.floats, floats)
			copy(v.i32, ints)
		case v.dtype == tensor.Int32:
			v.i32 = ints
		default:
			v.floats = floats
		}
	}
	return nil
}

// dropFeed lets go of the caller's slices.
func (q *Pass) dropFeed() {
	for _, v := range q.fed {
		if !v.shown {
			v.floats, v.i32 = nil, nil
		}
	}
}
