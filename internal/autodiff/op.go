package autodiff

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/fnv"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/litekit/lite/internal/kernel"
)

// computation is the arithmetic of one operator; forward and backward below
// put it into Gorgonia's graph.
type computation interface {
	// forward computes o.out from o.in.
	forward(o *forward) error
	// backward adds to the gradients of o.in. For input i the memory is
	// b.into(i); it is nil where no gradient is wanted. Where the computation
	// only overwrites (see overwriter), it writes to b.fresh(i) instead.
	backward(b *backward) error
}

// overwriter is a computation whose gradient of input i cannot add to what is
// there. It is given scratch memory where it is not the first writer.
type overwriter interface{ overwrites(i int) bool }

// passer is a computation whose gradient of input i is its own gradient as it
// stands. If it is the only writer, both share memory.
type passer interface{ passes(i int) bool }

// donor is a computation that has its input's gradient, up to a factor, in a
// buffer of its own, which then may serve as the adjoint.
type donor interface{ gift() *buffer }

// core is what all Ops of this package share. An id in the hash keeps Gorgonia
// from merging two Ops that look alike.
type core struct {
	pass  *Pass
	id    uint64
	kind  string
	label string // the ONNX node, for messages
	types []hm.Type
	shape tensor.Shape
	step  int // place in the order of execution
}

func (c *core) Arity() int { return len(c.types) - 1 }

// Type returns a new function type each time: Gorgonia puts it in a pool after use.
func (c *core) Type() hm.Type { return hm.NewFnType(c.types...) }

func (c *core) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) { return c.shape.Clone(), nil }
func (c *core) ReturnsPtr() bool                                      { return true }
func (c *core) CallsExtern() bool                                     { return false }
func (c *core) OverwritesInput() int                                  { return -1 }
func (c *core) String() string {
	if c.label == "" {
		return c.kind
	}
	return c.kind + "[" + c.label + "]"
}

func (c *core) WriteHash(h hash.Hash) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], c.id)
	h.Write([]byte("lite/autodiff/"))
	h.Write([]byte(c.kind))
	h.Write(b[:])
}

func (c *core) Hashcode() uint32 {
	h := fnv.New32a()
	c.WriteHash(h)
	return h.Sum32()
}

func (c *core) meta() *core { return c }

// own is implemented by all Ops of this package.
type own interface {
	gorgonia.Op
	meta() *core
}

// fail remembers the cause of a failed run, which Gorgonia would bury under
// the state of its machine.
func (c *core) fail(err error) error {
	err = fmt.Errorf("autodiff: %v: %w", c, err)
	if c.pass.cause == nil {
		c.pass.cause = err
	}
	return err
}

// enter checks that the machine keeps to the order in which memory was laid out.
func (c *core) enter() error {
	if c.step <= c.pass.step {
		return c.fail(errors.New("the tape machine left the planned order; memory would be shared wrongly"))
	}
	c.pass.step = c.step
	return nil
}

// forward is the Gorgonia Op of one operator.
type forward struct {
	core
	comp computation
	in   []*value
	out  *value
	// saved is written by forward and read by backward; temp and backTemp are
	// used in one of them; keep lists the values that backward reads.
	saved, temp, backTemp []*buffer
	keep                  []*value
}

// Do runs the computation.
func (o *forward) Do(vals ...gorgonia.Value) (gorgonia.Value, error) {
	if err := o.enter(); err != nil {
		return nil, err
	}
	for i, v := range o.in {
		if !v.foreign {
			continue
		}
		data, err := floatsOf(vals[i])
		if err == nil && len(data) != v.size() {
			err = fmt.Errorf("%d elements, want the shape %v", len(data), v.shape)
		}
		if err != nil {
			return nil, o.fail(fmt.Errorf("input %d is %w", i, err))
		}
		v.floats = data
	}
	if err := o.comp.forward(o); err != nil {
		return nil, o.fail(err)
	}
	return o.out.out(), nil
}

// DiffWRT says which inputs a parameter reaches.
func (o *forward) DiffWRT(int) []bool {
	d := make([]bool, len(o.in))
	for i, v := range o.in {
		d[i] = v.grad != nil
	}
	return d
}

// SymDiff adds the backward Op. Its token is the gradient of every input that
// is a value of the pass; see the package documentation.
func (o *forward) SymDiff(inputs gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	q := o.pass
	if !o.out.isScalar() && !grad.IsScalar() {
		var err error
		if grad, err = q.absorb(o.out, grad); err != nil {
			return nil, err
		}
	}
	b := &backward{o: o, to: make([]*contribution, len(o.in)), fresh: make([]*buffer, len(o.in))}
	b.core = core{kind: o.kind + "Grad", label: o.label}
	for i, v := range o.in {
		if v.grad != nil {
			b.to[i] = &contribution{to: v.grad, by: b}
		}
	}
	token, err := q.attach(b, &b.core, tensor.Float32, nil, output, grad)
	if err != nil {
		return nil, err
	}
	q.backs = append(q.backs, b)
	out := make(gorgonia.Nodes, len(o.in))
	for i, v := range o.in {
		switch {
		case v.grad == nil:
		case v.foreign:
			if out[i], err = q.release(v.grad, token); err != nil {
				return nil, err
			}
		default:
			out[i] = token
		}
	}
	return out, nil
}

// backward is the Gorgonia Op of an operator's gradient. Its inputs are the
// operator's node and the gradient token, or for a loss the real gradient.
type backward struct {
	core
	o     *forward
	to    []*contribution
	fresh []*buffer // scratch of overwriting inputs that are not first
	seed  float32   // incoming gradient of a loss
}

// into is the memory to which the gradient of input i is added, or written
// where b.to[i].first; nil if none is wanted.
func (b *backward) into(i int) []float32 {
	if b.to[i] == nil {
		return nil
	}
	return b.to[i].data()
}

// over is memory for the gradient of input i to be overwritten; flush adds it
// to the adjoint where it is not the adjoint itself.
func (b *backward) over(i int) []float32 {
	if b.to[i] == nil {
		return nil
	}
	if f := b.fresh[i]; f != nil {
		return f.data()
	}
	return b.to[i].data()
}

func (b *backward) flush() {
	for i, f := range b.fresh {
		if f != nil {
			kernel.Axpy(1, f.data(), b.to[i].data())
		}
	}
}

// beta is 0 where input i is overwritten and 1 where it is added to.
func (b *backward) beta(i int) float32 { return b.to[i].beta() }

// dy is the gradient of the operator's output.
func (b *backward) dy() []float32 { return b.o.out.grad.data() }

// Do adds to the adjoints and returns the token.
func (b *backward) Do(vals ...gorgonia.Value) (gorgonia.Value, error) {
	if err := b.enter(); err != nil {
		return nil, err
	}
	if b.o.out.isScalar() {
		seed, err := floatsOf(vals[1])
		if err != nil {
			return nil, b.fail(err)
		}
		b.seed = seed[0]
	}
	if err := b.pass.runAgain(b.step); err != nil {
		return nil, b.fail(err)
	}
	if err := b.comp().backward(b); err != nil {
		return nil, b.fail(err)
	}
	b.flush()
	return b.pass.token, nil
}

func (b *backward) comp() computation { return b.o.comp }

func (b *backward) DiffWRT(int) []bool { return []bool{false, false} }
func (b *backward) SymDiff(gorgonia.Nodes, *gorgonia.Node, *gorgonia.Node) (gorgonia.Nodes, error) {
	return nil, errSecond
}

var errSecond = errors.New("autodiff: gradients of gradients are not supported")

// absorb adds a real gradient, made by Gorgonia's own operators, to an adjoint.
type absorb struct {
	core
	c *contribution
}

func (q *Pass) absorb(v *value, grad *gorgonia.Node) (*gorgonia.Node, error) {
	a := &absorb{core: core{kind: "Absorb", label: v.label}, c: &contribution{to: v.grad}}
	q.absorbs = append(q.absorbs, a)
	return q.attach(a, &a.core, tensor.Float32, nil, grad)
}

// Do adds the gradient.
func (a *absorb) Do(vals ...gorgonia.Value) (gorgonia.Value, error) {
	if err := a.enter(); err != nil {
		return nil, err
	}
	g, err := floatsOf(vals[0])
	if err == nil && len(g) != a.c.to.of.size() {
		err = fmt.Errorf("a gradient of %d elements for a value of shape %v", len(g), a.c.to.of.shape)
	}
	if err != nil {
		return nil, a.fail(err)
	}
	addTo(a.c, g)
	return a.pass.token, nil
}

func (a *absorb) DiffWRT(int) []bool { return []bool{false} }
func (a *absorb) SymDiff(gorgonia.Nodes, *gorgonia.Node, *gorgonia.Node) (gorgonia.Nodes, error) {
	return nil, errSecond
}

// release hands an adjoint to Gorgonia as the gradient of a foreign value.
type release struct {
	core
	g     *adjoint
	dense *tensor.Dense
}

func (q *Pass) release(g *adjoint, token *gorgonia.Node) (*gorgonia.Node, error) {
	r := &release{core: core{kind: "Release", label: g.of.label}, g: g}
	q.releases = append(q.releases, r)
	return q.attach(r, &r.core, g.of.goType(), g.of.shape, token)
}

// Do returns the gradient.
func (r *release) Do(...gorgonia.Value) (gorgonia.Value, error) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	if r.dense == nil {
		r.dense = tensor.New(tensor.WithShape(r.g.of.shape...), tensor.WithBacking(r.g.data()))
	}
	return r.dense, nil
}

func (r *release) DiffWRT(int) []bool { return []bool{false} }
func (r *release) SymDiff(gorgonia.Nodes, *gorgonia.Node, *gorgonia.Node) (gorgonia.Nodes, error) {
	return nil, errSecond
}

// addTo adds x to an adjoint, or copies it there if it is the first.
func addTo(c *contribution, x []float32) {
	if c.first {
		copy(c.data(), x)
		return
	}
	kernel.Axpy(1, x, c.data())
}
