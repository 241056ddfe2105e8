package onnx

import (
	"fmt"
	"slices"
	"strings"
)

// fact is what is known of one value.
type fact struct {
	typ    DataType
	opaque bool // not a tensor
	ranked bool
	dims   []Size
	ints   []Size
	floats []float32
}

const (
	// maxRank is the greatest rank that is followed.
	maxRank = 32
	// maxInts and maxFloats are the most elements that are followed.
	maxInts, maxFloats = 128, 16
	// minVisits bounds the nodes that an inference looks at, with what bodies
	// and functions make of them; large graphs get visitsPerNode for each.
	minVisits, visitsPerNode = 1 << 15, 4
	// maxCalls bounds how deep functions call each other.
	maxCalls = 64
)

var unknown = &fact{}

// walk is what all spaces of one inference share.
type walk struct {
	z         *algebra
	functions map[[3]string]*Function
	bodies    map[*Graph]*space
	visits    int // nodes that may still be looked at
	calls     int
	sizes     map[string]int64
	used      map[string]bool
	shown     []string // symbols of the inputs
	report    func(text string)
	quiet     int  // above 0: nothing is reported
	maybe     int  // above 0: shapes that do not fit are not reported, as in a branch that may never run
	flat      bool // bodies are not followed
	depth     int
	where     []string // the function calls around
}

func newWalk(m *Model, sizes map[string]int64) *walk {
	w := &walk{z: newAlgebra(), bodies: map[*Graph]*space{}, sizes: sizes, used: map[string]bool{}}
	w.visits = max(minVisits, visitsPerNode*len(m.Graph.Nodes))
	if len(m.Functions) > 0 {
		w.functions = map[[3]string]*Function{}
		for _, f := range m.Functions {
			w.functions[[3]string{domain(f.Domain), f.Name, f.Overload}] = f
		}
	}
	return w
}

func (w *walk) symbols() []string {
	l := slices.Clone(w.shown)
	slices.Sort(l)
	return slices.Compact(l)
}

// space holds the values of one graph, of one of its bodies, or of a call.
type space struct {
	w        *walk
	z        *algebra
	facts    map[string]*fact
	outer    *space
	opsets   map[string]int64
	attrs    map[string]*Attribute // of the function call around, by name
	declared bool                  // declarations of values between nodes are used
	said     map[string]*ValueInfo // those declarations
}

func (w *walk) root(m *Model) *space {
	s := &space{w: w, z: w.z, facts: make(map[string]*fact, 2*len(m.Graph.Nodes)), opsets: map[string]int64{}}
	for _, o := range m.Opsets {
		s.opsets[domain(o.Domain)] = o.Version
	}
	return s
}

func (s *space) of(name string) *fact {
	for o := s; o != nil && name != ""; o = o.outer {
		if f := o.facts[name]; f != nil {
			return f
		}
	}
	return unknown
}

func (s *space) set(name string, f *fact) {
	if len(f.dims) > maxRank {
		f.ranked, f.dims = false, nil
	}
	if len(f.ints) > maxInts {
		f.ints = nil
	}
	s.facts[name] = f
}

// enter makes the inputs and constants of a graph known. given are facts of the
// formal inputs, nil for those of a model.
func (s *space) enter(g *Graph, given []*fact) {
	for i, v := range g.Inputs {
		f := s.declare(v, given == nil)
		if i < len(given) && given[i] != nil {
			f = merge(given[i], f)
		}
		s.set(v.Name, f)
	}
	for _, t := range g.Initializers {
		s.set(t.Name, tensorFact(t))
	}
	for _, t := range g.Sparse {
		if t.Values != nil {
			s.set(t.Values.Name, &fact{typ: t.Values.Type, ranked: true, dims: numbersOf(t.Dims)})
		}
	}
	if s.declared && len(g.Values)+len(g.Outputs) > 0 {
		s.said = make(map[string]*ValueInfo, len(g.Values)+len(g.Outputs))
		for _, v := range g.Values {
			s.said[v.Name] = v
		}
		for _, v := range g.Outputs {
			if d := s.said[v.Name]; d == nil || v.Type != Undefined {
				s.said[v.Name] = v
			}
		}
	}
}

// declare is what a declaration says. Lengths of a model's inputs have homes.
func (s *space) declare(v *ValueInfo, input bool) *fact {
	f := &fact{typ: v.Type, opaque: v.Type == Undefined && len(v.Other) > 0, ranked: v.HasShape && len(v.Dims) <= maxRank}
	if !f.ranked {
		return f
	}
	f.dims = make([]Size, len(v.Dims))
	for i, d := range v.Dims {
		name := d.Param
		switch {
		case d.Known && d.Size >= 0:
			f.dims[i] = SizeOf(d.Size)
			continue
		case name == "" || d.Known:
			if !input {
				f.dims[i] = s.z.length()
				continue
			}
			name = fmt.Sprintf("%s.%d", v.Name, i)
		}
		if n, ok := s.w.sizes[name]; ok && (input || s.w.used[name]) {
			s.w.used[name] = true
			f.dims[i] = SizeOf(max(n, 0))
			continue
		}
		if d.Param != "" && !d.Known {
			f.dims[i] = s.z.symbol(name)
		} else {
			f.dims[i] = s.z.length()
		}
		if e := s.z.expr(f.dims[i]); input {
			if e.home.input == "" {
				e.home = home{v.Name, i}
			}
			s.w.shown = append(s.w.shown, name)
		}
	}
	return f
}

// merge fills what f lacks from another source.
func merge(f, other *fact) *fact {
	if f.typ != Undefined && f.ranked || other == unknown || f.opaque {
		return f
	}
	c := *f
	if c.typ == Undefined {
		c.typ, c.opaque = other.typ, other.opaque
	}
	if !c.ranked {
		c.ranked, c.dims = other.ranked, other.dims
	}
	return &c
}

func numbersOf(v []int64) []Size {
	out := make([]Size, len(v))
	for i, n := range v {
		out[i] = SizeOf(n)
	}
	return out
}

// numeric returns the elements where all are numbers.
func numeric(v []Size) ([]int64, bool) {
	out := make([]int64, len(v))
	for i, d := range v {
		if d.sym != 0 {
			return nil, false
		}
		out[i] = d.n
	}
	return out, true
}

// tensorFact is what is known of a constant.
func tensorFact(t *Tensor) *fact {
	f := &fact{typ: t.Type}
	count := int64(1)
	for _, d := range t.Dims {
		if d < 0 {
			return f
		}
		ok := true
		if count, ok = times(count, d, true); !ok {
			return f
		}
	}
	f.ranked, f.dims = true, numbersOf(t.Dims)
	switch t.Type {
	case Int64, Int32, Bool, Int8, Uint8:
		if count <= maxInts {
			if v, err := t.Int64s(); err == nil {
				f.ints = numbersOf(v)
			}
		}
	case Float, Float16, Double, BFloat16:
		if count <= maxFloats {
			if v, err := t.Floats(); err == nil {
				f.floats = v
			}
		}
	}
	return f
}

func (s *space) run(nodes []*Node) {
	for _, n := range nodes {
		if s.w.visits <= 0 {
			return
		}
		s.w.visits--
		s.node(n)
	}
}

// finish compares what is declared of outputs that no node makes: inputs and constants.
func (s *space) finish(g *Graph) {
	if !s.declared || len(g.Outputs) == 0 {
		return
	}
	given := make(map[string]bool, len(g.Inputs)+len(g.Initializers))
	for _, v := range g.Inputs {
		given[v.Name] = true
	}
	for _, t := range g.Initializers {
		given[t.Name] = true
	}
	for _, o := range g.Outputs {
		if f := s.facts[o.Name]; f != nil && given[o.Name] {
			s.believe(nil, o.Name, f)
		}
	}
}

// believe compares what was inferred of a value with what is declared of it, and
// fills in what was not inferred.
func (s *space) believe(n *Node, name string, f *fact) *fact {
	v := s.said[name]
	if v == nil || f.opaque {
		return f
	}
	if v.Type != Undefined && f.typ != Undefined && v.Type != f.typ {
		s.contradict(n, name, v.Type.String(), f.typ.String())
		return f
	}
	if !v.HasShape {
		return merge(f, &fact{typ: v.Type, opaque: v.Type == Undefined && len(v.Other) > 0})
	}
	if f.ranked && len(f.dims) != len(v.Dims) {
		s.contradict(n, name, declaredText(v), s.z.shapeText(f))
		return f
	}
	if !f.ranked {
		return merge(f, s.declare(v, false))
	}
	dims := f.dims
	for i, d := range v.Dims {
		if !d.Known || d.Size < 0 {
			continue
		}
		if k, known := dims[i].Number(); known && k != d.Size {
			s.contradict(n, name, declaredText(v), s.z.shapeText(f))
			return f
		} else if _, complete := s.z.text(dims[i]); !known && !complete {
			if &dims[0] == &f.dims[0] {
				dims = slices.Clone(dims)
			}
			dims[i] = SizeOf(d.Size)
		}
	}
	c := *f
	c.dims = dims
	return merge(&c, &fact{typ: v.Type})
}

func (s *space) contradict(n *Node, name, declared, inferred string) {
	who := "the graph's inputs and constants give"
	if n != nil {
		who = "node " + n.Label() + " makes"
	}
	s.w.shapeFault(func() string {
		return fmt.Sprintf("value %q is declared as %s, but %s %s; correct the declaration or remove it", name, declared, who, inferred)
	})
}

// fault reports what text describes; it is only made where it will be read.
func (w *walk) fault(text func() string) {
	if w.report == nil || w.quiet > 0 {
		return
	}
	prefix := ""
	if k := len(w.where); k > 0 {
		prefix = "in " + w.where[k-1] + ": "
	}
	w.report(prefix + text())
}

// shapeFault is fault for what only a run would stumble over.
func (w *walk) shapeFault(text func() string) {
	if w.maybe == 0 {
		w.fault(text)
	}
}

func declaredText(v *ValueInfo) string {
	parts := make([]string, 0, len(v.Dims))
	for i, d := range v.Dims {
		switch {
		case i == 16:
			return "[" + strings.Join(parts, ",") + ",…]"
		case d.Known:
			parts = append(parts, fmt.Sprint(d.Size))
		case d.Param != "":
			parts = append(parts, d.Param)
		default:
			parts = append(parts, "?")
		}
	}
	return "[" + strings.Join(parts, ",") + "]"
}

// shapeText writes a shape for messages.
func (z *algebra) shapeText(f *fact) string {
	if !f.ranked {
		return "of unknown rank"
	}
	parts := make([]string, 0, len(f.dims))
	for i, d := range f.dims {
		if i == 16 {
			parts = append(parts, "…")
			break
		}
		text, _ := z.text(d)
		parts = append(parts, text)
	}
	return "[" + strings.Join(parts, ",") + "]"
}
