package onnx

import (
	"fmt"
	"slices"
)

// controlFamily holds the operators that run graphs.
func controlFamily() family {
	return family{
		schemas: `
			If 1 bool>_~ then_branch:g! else_branch:g!
			Loop 1 i64?,bool?,_~>_~ body:g!
			Scan 8 i64?,_~>_~ body:g! num_scan_inputs:i! directions:I
			Scan 9 _~>_~ body:g! num_scan_inputs:i! scan_input_axes:I scan_input_directions:I scan_output_axes:I scan_output_directions:I
		`,
		infer: map[string]func(*call){"If": ifRule, "Loop": loopRule, "Scan": scanRule},
	}
}

// body infers a graph of the node on facts of its inputs, and returns those of its outputs.
func (c *call) body(name string, in []*fact) (out []*fact, g *Graph) {
	a := c.attr(name)
	if a == nil || a.Graph == nil || c.w.flat || c.w.depth >= maxDepth {
		return nil, nil
	}
	g = a.Graph
	c.w.depth++
	defer func() { c.w.depth-- }()
	s := &space{w: c.w, z: c.z, facts: make(map[string]*fact, 2*len(g.Nodes)), outer: c.space, opsets: c.opsets, attrs: c.attrs, declared: c.declared}
	c.w.bodies[g] = s
	if in == nil {
		in = []*fact{}
	}
	s.enter(g, in)
	s.run(g.Nodes)
	s.finish(g)
	for _, o := range g.Outputs {
		out = append(out, s.of(o.Name))
	}
	return out, g
}

// ifRule infers both branches; a result is what they agree on. What does not
// fit in a branch that may never run is not told.
func ifRule(c *call) {
	x, ok := c.dims(0)
	if ok && !c.z.single(x) {
		c.misfit("the condition is not one bool", "give a scalar", 0)
		return
	}
	cond, known := c.number(0)
	var results [][]*fact
	for i, name := range []string{"then_branch", "else_branch"} {
		if known && (cond != 0) != (i == 0) {
			continue
		}
		if !known {
			c.w.maybe++
		}
		out, g := c.body(name, nil)
		if !known {
			c.w.maybe--
		}
		if g == nil {
			return
		}
		if len(out) < len(c.out) {
			c.complain(fmt.Sprintf("%s has %d outputs and the node %d", name, len(out), len(c.out)), "let them agree")
			return
		}
		results = append(results, out)
	}
	for i := range c.out {
		f := *results[0][i]
		for _, r := range results[1:] {
			if t := r[i].typ; t != f.typ && t != Undefined && f.typ != Undefined {
				c.complain(fmt.Sprintf("output %d is %v in one branch and %v in the other", i, f.typ, t), "cast one")
				return
			}
			f = c.z.union(&f, r[i], nil)
		}
		c.out[i] = f
	}
}

// union is what two facts agree on; where lengths differ, wide marks the axis
// and a new length stands for both.
func (z *algebra) union(a, b *fact, wide map[int]bool) fact {
	f := fact{typ: a.typ, opaque: a.opaque && b.opaque}
	if b.typ != a.typ {
		f.typ = Undefined
	}
	if !a.ranked || !b.ranked || len(a.dims) != len(b.dims) {
		return f
	}
	f.ranked, f.dims = true, a.dims
	for i := range a.dims {
		if a.dims[i] == b.dims[i] || wide[i] {
			continue
		}
		if &f.dims[0] == &a.dims[0] {
			f.dims = slices.Clone(a.dims)
		}
		f.dims[i] = z.length()
		if wide != nil {
			wide[i] = true
		}
	}
	if a.ints != nil && slices.Equal(a.ints, b.ints) && slices.Equal(f.dims, a.dims) {
		f.ints = a.ints
	}
	return f
}

// maxPasses bounds how often a body is looked at until its state does not change.
const maxPasses = 3

// iterate finds what holds of the state in every round of a body that maps head,
// state and tail to skip values, the state and more. It returns the state and the
// outputs after it.
func (c *call) iterate(head, state, tail []*fact, skip int) (end []*fact, more []*fact, ok bool) {
	state = slices.Clone(state)
	wide := make([]map[int]bool, len(state))
	for i, f := range state {
		state[i] = &fact{typ: f.typ, opaque: f.opaque, ranked: f.ranked, dims: f.dims}
		wide[i] = map[int]bool{}
	}
	for pass := 0; ; pass++ {
		var out []*fact
		var g *Graph
		flush := c.w.hold(func() { out, g = c.body("body", slices.Concat(head, state, tail)) })
		if g == nil {
			return nil, nil, false
		}
		if len(g.Inputs) != len(head)+len(state)+len(tail) || len(out) < skip+len(state) || len(out)-skip < len(c.out) {
			c.complain(fmt.Sprintf("its body has %d inputs and %d outputs, the node %d and %d", len(g.Inputs), len(out), len(c.in), len(c.out)), "let them agree as the operator wants")
			return nil, nil, false
		}
		changed := false
		for i := range state {
			was := *state[i]
			now := c.z.union(state[i], out[skip+i], wide[i])
			if was.typ != now.typ || was.ranked != now.ranked || !slices.Equal(was.dims, now.dims) {
				changed = true
			}
			if pass >= maxPasses-1 && changed && now.ranked {
				now.dims = c.fresh(len(now.dims))
				for k := range now.dims {
					wide[i][k] = true
				}
			}
			now.ints = nil
			state[i] = &now
		}
		if !changed || pass > 2*maxPasses || c.w.visits <= 0 {
			flush()
			return state, out[skip+len(state):], true
		}
	}
}

// hold keeps back what is reported while fn runs, until flush.
func (w *walk) hold(fn func()) (flush func()) {
	report := w.report
	if report == nil {
		fn()
		return func() {}
	}
	var list []string
	w.report = func(text string) {
		if len(list) < 3*maxFaults {
			list = append(list, text)
		}
	}
	fn()
	w.report = report
	return func() {
		for _, text := range list {
			report(text)
		}
	}
}

func scalarFact(t DataType) *fact { return &fact{typ: t, ranked: true, dims: []Size{}} }

// loopRule: the body maps (round, condition, state…) to (condition, state…, rows…).
func loopRule(c *call) {
	if len(c.in) < 2 {
		c.complain("the number of rounds and the condition are missing", "give them, or empty names")
		return
	}
	state, rows, ok := c.iterate([]*fact{scalarFact(Int64), scalarFact(Bool)}, c.in[2:], nil, 1)
	if !ok {
		return
	}
	rounds := c.z.length()
	for i := range c.out {
		if i < len(state) {
			c.out[i] = *state[i]
		} else if r := rows[i-len(state)]; true {
			c.stack(i, r, 0, rounds)
		}
	}
}

// stack makes output i of the rows of all rounds along a new axis.
func (c *call) stack(i int, row *fact, axis int64, rounds Size) {
	c.typed(i, row.typ)
	if !row.ranked {
		return
	}
	k, ok := normalAxis(axis, len(row.dims)+1)
	if !ok {
		c.complain(fmt.Sprintf("attribute scan_output_axes has the axis %d for rows of %d axes", axis, len(row.dims)), "name an axis of the result")
		return
	}
	c.shape(i, slices.Insert(slices.Clone(row.dims), k, rounds))
}

// scanRule: the body maps (state…, slices…) to (state…, rows…).
func scanRule(c *call) {
	in, batch := c.in, Size{}
	old := c.ver < 9
	if old { // input 0 has lengths, all values a batch in front
		if len(in) == 0 {
			return
		}
		in = slices.Clone(in[1:])
		batch = c.z.length()
		for i, f := range in {
			if f.ranked && len(f.dims) > 0 {
				batch = f.dims[0]
				in[i] = &fact{typ: f.typ, ranked: true, dims: f.dims[1:]}
			} else {
				in[i] = &fact{typ: f.typ}
			}
		}
	}
	m := c.int("num_scan_inputs", 0)
	if m < 1 || m > int64(len(in)) {
		c.complain(fmt.Sprintf("attribute num_scan_inputs is %d and it has %d inputs", m, len(in)), "it says how many of the last inputs are cut into slices")
		return
	}
	k := len(in) - int(m)
	cut, rounds, ok := c.cuts(in[k:])
	if !ok {
		return
	}
	state, rows, ok := c.iterate(nil, in[:k], cut, 0)
	if !ok {
		return
	}
	axes := c.list("scan_output_axes")
	for i := range c.out {
		if i < k {
			c.out[i] = *state[i]
		} else {
			axis := int64(0)
			if i-k < len(axes) {
				axis = axes[i-k]
			}
			c.stack(i, rows[i-k], axis, rounds)
		}
		if f := &c.out[i]; old && f.ranked {
			f.dims = slices.Insert(slices.Clone(f.dims), 0, batch)
		}
	}
}

// cuts are the slices of the inputs that a Scan goes through.
func (c *call) cuts(in []*fact) (out []*fact, rounds Size, ok bool) {
	axes := c.list("scan_input_axes")
	rounds = c.z.length()
	counted := false
	for i, f := range in {
		if !f.ranked {
			out = append(out, &fact{typ: f.typ})
			continue
		}
		axis := int64(0)
		if i < len(axes) {
			axis = axes[i]
		}
		k, inside := normalAxis(axis, len(f.dims))
		if !inside {
			c.complain(fmt.Sprintf("attribute scan_input_axes has the axis %d for an input of %d axes", axis, len(f.dims)), "name an axis of the input")
			return nil, rounds, false
		}
		if n := f.dims[k]; counted && n.sym == 0 && rounds.sym == 0 && n.n != rounds.n {
			c.complain(fmt.Sprintf("the inputs have %d and %d slices", rounds.n, n.n), "cut all into as many")
			return nil, rounds, false
		} else if !counted || n.sym == 0 {
			rounds, counted = n, true
		}
		out = append(out, &fact{typ: f.typ, ranked: true, dims: slices.Delete(slices.Clone(f.dims), k, k+1)})
	}
	return out, rounds, true
}

// function infers the call of a function of the model.
func (c *call) function(f *Function) {
	if c.w.calls >= maxCalls {
		return
	}
	c.w.calls++
	c.w.where = append(c.w.where, fmt.Sprintf("function %s, called by node %s", f.Name, c.n.Label()))
	defer func() {
		c.w.calls--
		c.w.where = c.w.where[:len(c.w.where)-1]
	}()
	s := &space{w: c.w, z: c.z, facts: make(map[string]*fact, 2*len(f.Nodes)), opsets: map[string]int64{}, attrs: map[string]*Attribute{}}
	for d, v := range c.opsets {
		s.opsets[d] = v
	}
	for _, o := range f.Opsets {
		s.opsets[domain(o.Domain)] = o.Version
	}
	for _, a := range f.Defaults {
		s.attrs[a.Name] = a
	}
	for _, a := range c.n.Attrs {
		s.attrs[a.Name] = a
		if a.RefName != "" {
			if s.attrs[a.Name] = c.attrs[a.RefName]; s.attrs[a.Name] == nil {
				delete(s.attrs, a.Name)
			}
		}
	}
	for i, name := range f.Inputs {
		s.facts[name] = c.arg(i)
	}
	s.run(f.Nodes)
	for i, name := range f.Outputs {
		if i < len(c.out) {
			c.out[i] = *s.of(name)
		}
	}
}
