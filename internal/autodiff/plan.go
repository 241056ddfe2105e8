package autodiff

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
)

// plan lays out the memory of a differentiated graph: it numbers the Ops in
// the order in which the tape machine will run them, finds the first writer of
// every adjoint, shares adjoints where it can, and gives every buffer a place
// in the arena. It returns the size of the arena it needs.
func (q *Pass) plan() (int, error) {
	order, err := gorgonia.Sort(q.graph)
	if err != nil {
		return 0, fmt.Errorf("autodiff: %w", err)
	}
	slices.Reverse(order) // children first, as the tape machine compiles it
	q.order = order
	for i, n := range order {
		op, ok := n.Op().(own)
		if ok {
			op.meta().step = i
			continue
		}
		if n.Op() == nil {
			continue
		}
		for _, child := range q.graphChildren(n) {
			if v := q.values[child]; v != nil {
				v.shown = true
			}
		}
	}
	q.groupLosses()
	q.remakeActivations()
	q.orderWriters()
	q.placeAdjoints()
	if q.program.opts.Recompute {
		q.findSegments()
	}
	need := layout(q.lifetimes())
	q.settle()
	return need, nil
}

// graphChildren lists the inputs of a node.
func (q *Pass) graphChildren(n *gorgonia.Node) []*gorgonia.Node {
	var out []*gorgonia.Node
	for it := q.graph.From(n.ID()); it.Next(); {
		out = append(out, it.Node().(*gorgonia.Node))
	}
	return out
}

// orderWriters lists the writers of each adjoint in the order of execution.
func (q *Pass) orderWriters() {
	type write struct {
		step int
		c    *contribution
	}
	var all []write
	for _, b := range q.backs {
		if silent(b) {
			continue
		}
		for _, c := range b.to {
			if c != nil {
				all = append(all, write{b.step, c})
			}
		}
	}
	for _, a := range q.absorbs {
		all = append(all, write{a.step, a.c})
	}
	slices.SortStableFunc(all, func(a, b write) int { return a.step - b.step })
	q.adjoints = nil
	for _, w := range all {
		g := w.c.to
		if len(g.writers) == 0 {
			q.adjoints = append(q.adjoints, g)
			w.c.first = g.of.param == nil
		}
		g.writers = append(g.writers, w.c)
	}
}

// placeAdjoints decides where each adjoint lives.
func (q *Pass) placeAdjoints() {
	for _, g := range q.adjoints {
		first := g.writers[0]
		if g.of.param != nil {
			continue
		}
		b := first.by
		switch i := indexOf(b, first); {
		case b == nil:
			g.buf = q.newBuffer(g.of.size())
		case len(g.writers) == 1 && passes(b, i):
			g.alias, first.shared = b.o.out.grad, true
		default:
			switch c := b.comp().(type) {
			case donor:
				g.buf, first.shared = c.gift(), true
			case *logitLoss:
				g.buf = c.over(b)
			}
			if g.buf == nil {
				g.buf = q.newBuffer(g.of.size())
			}
		}
	}
	for _, b := range q.backs {
		o, ok := b.comp().(overwriter)
		if !ok {
			continue
		}
		for i, c := range b.to {
			if c != nil && !c.first && o.overwrites(i) {
				b.fresh[i] = q.newBuffer(c.to.of.size())
			}
		}
	}
}

func indexOf(b *backward, c *contribution) int {
	if b == nil {
		return -1
	}
	return slices.Index(b.to, c)
}

// passes reports whether input i's gradient is the output's own.
func passes(b *backward, i int) bool {
	p, ok := b.comp().(passer)
	return ok && p.passes(i) && b.o.in[i].size() == b.o.out.size()
}

// lifetimes marks the steps at which each buffer is in use and lists the
// buffers in a fixed order.
func (q *Pass) lifetimes() []*buffer {
	var all []*buffer
	seen := map[*buffer]bool{}
	use := func(b *buffer, step int) {
		if b == nil {
			return
		}
		if t := q.twins[b]; t != nil && step >= t.from {
			b = t.late
		}
		if !seen[b] {
			seen[b] = true
			all = append(all, b)
		}
		b.use(step)
	}
	adjoint := func(g *adjoint, step int) {
		if g != nil && g.of.param == nil {
			use(g.root().buf, step)
		}
	}
	last := len(q.order)
	for _, o := range q.ops {
		for _, v := range o.in {
			use(v.memory(), o.step)
		}
		use(o.out.memory(), o.step)
		if o.out.shown {
			use(o.out.memory(), last)
		}
		for _, b := range slices.Concat(o.saved, o.temp) {
			use(b, o.step)
		}
	}
	for _, b := range q.backs {
		for _, v := range b.o.keep {
			use(v.memory(), b.step)
		}
		for _, s := range slices.Concat(b.o.saved, b.o.backTemp, b.fresh) {
			use(s, b.step)
		}
		if !b.o.out.isScalar() {
			adjoint(b.o.out.grad, b.step)
		}
		for _, c := range b.to {
			if c != nil {
				adjoint(c.to, b.step)
			}
		}
	}
	q.useAgain(use)
	for _, a := range q.absorbs {
		adjoint(a.c.to, a.step)
	}
	for _, r := range q.releases {
		adjoint(r.g, last)
	}
	return all
}
