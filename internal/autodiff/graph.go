package autodiff

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// newOp starts an operator of the graph; the caller adds its memory with save,
// scratch and keep, and finishes with add.
func (q *Pass) newOp(kind, label string, comp computation, in ...*value) *forward {
	return &forward{core: core{kind: kind, label: label}, comp: comp, in: in}
}

// save allocates n floats that live from forward to backward.
func (o *forward) save(q *Pass, n int) *buffer {
	b := q.newBuffer(n)
	o.saved = append(o.saved, b)
	return b
}

// needsGrad reports whether any input has a gradient.
func (o *forward) needsGrad() bool {
	return slices.ContainsFunc(o.in, func(v *value) bool { return v.grad != nil })
}

// add puts the operator into the graph with an output of the given shape.
func (q *Pass) add(o *forward, shape ...int) (*value, error) {
	out := &value{pass: q, label: o.label, shape: slices.Clone(shape), dtype: tensor.Float32}
	if len(shape) == 0 {
		out.scalar = gorgonia.NewF32(0)
	} else {
		out.buf = q.newBuffer(out.size())
	}
	return out, q.finish(o, out)
}

// addView is add for an operator whose output is its first input under another shape.
func (q *Pass) addView(o *forward, shape ...int) (*value, error) {
	out := &value{pass: q, label: o.label, shape: slices.Clone(shape), dtype: tensor.Float32, base: o.in[0]}
	return out, q.finish(o, out)
}

func (q *Pass) finish(o *forward, out *value) error {
	o.out = out
	if o.needsGrad() {
		out.grad = &adjoint{of: out}
	}
	nodes := make([]*gorgonia.Node, len(o.in))
	for i, v := range o.in {
		nodes[i] = v.node
	}
	node, err := q.attach(o, &o.core, out.goType(), out.shape, nodes...)
	if err != nil {
		return err
	}
	out.node = node
	q.values[node] = out
	q.ops = append(q.ops, o)
	return nil
}

// attach gives an Op an identity under which its node's hash is new in the
// graph, and applies it. Gorgonia finds equal nodes by 32-bit hashes alone, so
// a collision would silently drop one of them.
func (q *Pass) attach(op gorgonia.Op, c *core, typ hm.Type, shape []int, children ...*gorgonia.Node) (*gorgonia.Node, error) {
	c.pass, c.shape = q, tensor.Shape(slices.Clone(shape))
	for _, child := range children {
		c.types = append(c.types, child.Type())
	}
	c.types = append(c.types, typ)
	for {
		q.nextID++
		c.id = q.nextID
		if h := nodeHash(op, typ, c.shape, children); !q.hashes[h] {
			q.hashes[h] = true
			break
		}
	}
	n, err := gorgonia.ApplyOp(op, children...)
	if err != nil {
		return nil, fmt.Errorf("autodiff: %v: %w", c, err)
	}
	return n, nil
}

// nodeHash is gorgonia.Node.Hashcode before the node exists.
func nodeHash(op gorgonia.Op, typ hm.Type, shape tensor.Shape, children []*gorgonia.Node) uint32 {
	h := fnv.New32a()
	if len(shape) == 0 {
		shape = tensor.ScalarShape()
	}
	fmt.Fprintf(h, "%v%v", typ, shape)
	op.WriteHash(h)
	h.Write([]byte{byte(len(children))})
	for _, c := range children {
		var b [4]byte
		binary.LittleEndian.PutUint32(b[:], c.Hashcode())
		h.Write(b[:])
	}
	return h.Sum32()
}

// input adds a leaf: a parameter, a constant, or data that is fed.
func (q *Pass) input(kind string, v *value) *value {
	v.pass = q
	name := kind + ":" + v.label
	for {
		v.node = nil
		h := fnv.New32a()
		fmt.Fprintf(h, "%v%v", v.goType(), tensor.Shape(v.shape))
		h.Write([]byte(name))
		h.Write([]byte{0})
		if !q.hashes[h.Sum32()] {
			q.hashes[h.Sum32()] = true
			break
		}
		name += "'"
	}
	v.node = gorgonia.NewTensor(q.graph, v.dtype, len(v.shape), gorgonia.WithShape(v.shape...), gorgonia.WithName(name))
	q.values[v.node] = v
	q.inputs = append(q.inputs, v)
	return v
}

// checkHashes verifies what attach arranged, for the nodes of Gorgonia's own
// operators too.
func (q *Pass) checkHashes() error {
	seen := map[uint32]*gorgonia.Node{}
	for _, n := range q.graph.AllNodes() {
		if m, ok := seen[n.Hashcode()]; ok && m != n {
			return fmt.Errorf("autodiff: the nodes %v and %v have the same hash, and Gorgonia would run only one of them; give one of them another name or shape", n, m)
		}
		seen[n.Hashcode()] = n
	}
	return nil
}

func (q *Pass) newBuffer(n int) *buffer { return &buffer{arena: q.arena, n: n} }
