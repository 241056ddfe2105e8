package onnx

import (
	"fmt"
	"slices"
	"strings"
)

// call is one node whose outputs are inferred.
type call struct {
	*space
	n   *Node
	ver int64 // of the node's operator set
	in  []*fact
	out []fact
	bad bool // a fault was found: nothing more is said of this node
}

// node infers the outputs of one node.
func (s *space) node(n *Node) {
	dom := domain(n.Domain)
	c := &call{space: s, n: n, ver: s.version(dom), in: make([]*fact, len(n.Inputs)), out: make([]fact, len(n.Outputs))}
	for i, name := range n.Inputs {
		c.in[i] = s.of(name)
	}
	if f := s.w.functions[[3]string{dom, n.Op, n.Overload}]; f != nil {
		c.function(f)
	} else if sc, fault := findSchema(dom, n.Op, c.ver); sc != nil {
		c.apply(sc)
	} else if fault != "" {
		s.w.fault(func() string { return fmt.Sprintf("node %s: %s", n.Label(), fault) })
	}
	for i, name := range n.Outputs {
		if name == "" {
			continue
		}
		f := &c.out[i]
		if f.ints != nil && !f.fits(len(f.ints)) {
			f.ints = nil
		}
		if f.floats != nil && !f.fits(len(f.floats)) {
			f.floats = nil
		}
		if s.declared {
			f = s.believe(n, name, f)
		}
		s.set(name, f)
	}
}

// version is that of an operator set, the newest where the model names none.
func (s *space) version(dom string) int64 {
	if v, ok := s.opsets[dom]; ok {
		return v
	}
	if len(s.opsets) > 0 && dom == "" {
		return lastOpset + 1
	}
	return 1
}

// fits reports whether count is the number of elements of the shape.
func (f *fact) fits(count int) bool {
	shape, ok := numeric(f.dims)
	return f.ranked && ok && product64(shape) == int64(count)
}

// apply checks a node against its schema and runs its rules.
func (c *call) apply(sc *schema) {
	if c.ver < firstOpset && domain(c.n.Domain) == "" {
		if c.n.Attr("broadcast") != nil {
			return
		}
		c.w.quiet++
		defer func() { c.w.quiet-- }()
	}
	types := c.signature(sc)
	if !c.counts(sc) || !c.attributes(sc) || c.bad {
		c.outputTypes(sc, types)
		return
	}
	c.outputTypes(sc, types)
	if sc.infer != nil {
		sc.infer(c)
	}
	if c.bad {
		for i := range c.out {
			c.out[i] = fact{typ: c.out[i].typ, opaque: c.out[i].opaque}
		}
		return
	}
	if sc.values != nil && len(c.out) > 0 {
		sc.values(c)
	}
}

// counts checks how many inputs and outputs there are.
func (c *call) counts(sc *schema) bool {
	given := len(c.n.Inputs)
	for given > 0 && c.n.Inputs[given-1] == "" {
		given--
	}
	need, most1 := required(sc.inputs), most(sc.inputs)
	switch {
	case most1 >= 0 && given > most1:
		c.complain(fmt.Sprintf("it has %d inputs and takes at most %d", given, most1), "remove the others, or import the version of the operator set that takes them")
	case given < need || slices.Contains(c.n.Inputs[:need], ""):
		for i := range need {
			if (i >= given || c.n.Inputs[i] == "") && !param(sc.inputs, i).optional {
				c.complain(fmt.Sprintf("input %d is missing; it takes at least %d", i, need), "give it")
				break
			}
		}
	case most(sc.outputs) >= 0 && len(c.n.Outputs) > most(sc.outputs):
		c.complain(fmt.Sprintf("it has %d outputs and makes at most %d", len(c.n.Outputs), most(sc.outputs)), "remove the others")
	case len(c.n.Outputs) == 0 && required(sc.outputs) > 0:
		c.complain("it has no output", "name it or remove the node")
	}
	return !c.bad
}

// attributes checks the types of the attributes that the operator knows.
func (c *call) attributes(sc *schema) bool {
	for _, fa := range sc.attrs {
		a := c.attr(fa.name)
		switch {
		case a == nil && fa.required && c.refers(fa.name):
		case a == nil && fa.required:
			c.complain(fmt.Sprintf("attribute %s is missing", fa.name), "set it to "+kindText(fa.kind))
		case a == nil || a.Type == AttrUndefined:
		case a.Type != fa.kind:
			c.complain(fmt.Sprintf("attribute %s is %s", fa.name, kindText(a.Type)), "set it to "+kindText(fa.kind))
		case fa.kind == AttrTensor && a.Tensor == nil, fa.kind == AttrGraph && a.Graph == nil:
			c.complain(fmt.Sprintf("attribute %s is empty", fa.name), "set it to "+kindText(fa.kind))
		}
	}
	return !c.bad
}

// refers reports whether an attribute is that of a function call that does not give it.
func (c *call) refers(name string) bool {
	a := c.n.Attr(name)
	return a != nil && a.RefName != ""
}

var kindTexts = [...]string{"of no type", "a float", "an integer", "a string", "a tensor", "a graph", "a list of floats", "a list of integers",
	"a list of strings", "a list of tensors", "a list of graphs", "a sparse tensor", "a list of sparse tensors", "a type", "a list of types"}

func kindText(k AttrType) string {
	if k < 0 || int(k) >= len(kindTexts) {
		return fmt.Sprintf("of type %d", k)
	}
	return kindTexts[k]
}

// signature finds what the names of types stand for and checks that they agree.
func (c *call) signature(sc *schema) map[string]DataType {
	types, first := map[string]DataType{}, map[string]int{}
	for i, f := range c.in {
		if len(sc.inputs) == 0 || i >= len(sc.inputs) && most(sc.inputs) >= 0 || f.typ == Undefined {
			continue
		}
		p := param(sc.inputs, i)
		if p.class != "" && !slices.Contains(classes[p.class], f.typ) {
			c.bad = true
			c.w.fault(c.describe(fmt.Sprintf("input %d is %v", i, f.typ), "it takes "+classText(p.class)+"; cast it", i))
			continue
		}
		if p.name == "_" {
			continue
		}
		if t, ok := types[p.name]; !ok {
			types[p.name], first[p.name] = f.typ, i
		} else if t != f.typ {
			c.bad = true
			c.w.fault(c.describe(fmt.Sprintf("the types %v and %v differ", t, f.typ), "cast one to the type of the other", first[p.name], i))
		}
	}
	return types
}

func classText(class string) string {
	l := classes[class]
	names := make([]string, len(l))
	for i, t := range l {
		names[i] = t.String()
	}
	if k := len(names) - 1; k > 0 {
		return strings.Join(names[:k], ", ") + " or " + names[k]
	}
	return names[0]
}

func (c *call) outputTypes(sc *schema, types map[string]DataType) {
	for i := range c.out {
		if len(sc.outputs) == 0 {
			return
		}
		p := param(sc.outputs, i)
		if t, ok := types[p.name]; ok {
			c.out[i].typ = t
		} else {
			c.out[i].typ = single(p.class)
		}
	}
}

// arg is what is known of input i, nothing where it is omitted.
func (c *call) arg(i int) *fact {
	if i >= 0 && i < len(c.in) {
		return c.in[i]
	}
	return unknown
}

// given reports whether input i has a name.
func (c *call) given(i int) bool { return i < len(c.n.Inputs) && c.n.Inputs[i] != "" }

// dims returns the shape of input i.
func (c *call) dims(i int) ([]Size, bool) { f := c.arg(i); return f.dims, f.ranked }

// shape sets the shape of output i, where there is one.
func (c *call) shape(i int, dims []Size) {
	if i < len(c.out) {
		c.out[i].ranked, c.out[i].dims = true, dims
	}
}

// typed sets the type of output i.
func (c *call) typed(i int, t DataType) {
	if i < len(c.out) && t != Undefined {
		c.out[i].typ = t
	}
}

// fresh is a shape of which only the rank is known.
func (c *call) fresh(rank int) []Size {
	out := make([]Size, rank)
	for i := range out {
		out[i] = c.z.length()
	}
	return out
}

// attr returns an attribute of the node, that of the call where it refers to one.
func (c *call) attr(name string) *Attribute {
	a := c.n.Attr(name)
	if a != nil && a.RefName != "" {
		return c.attrs[a.RefName]
	}
	return a
}

func (c *call) int(name string, def int64) int64 {
	if a := c.attr(name); a != nil {
		return a.Int
	}
	return def
}

func (c *call) list(name string) []int64 {
	if a := c.attr(name); a != nil {
		return a.Ints
	}
	return nil
}

func (c *call) str(name, def string) string {
	if a := c.attr(name); a != nil {
		return string(a.String)
	}
	return def
}

// choice reads a string attribute that must be one of a few.
func (c *call) choice(name, def string, allowed ...string) string {
	v := c.str(name, def)
	if !slices.Contains(allowed, v) {
		c.complain(fmt.Sprintf("attribute %s is %q", name, v), "set it to "+strings.Join(allowed, ", "))
	}
	return v
}

// complain reports a fault of the node itself.
func (c *call) complain(what, remedy string) {
	c.bad = true
	c.w.fault(func() string { return fmt.Sprintf("node %s (%s): %s; %s", c.n.Label(), c.n.Op, what, remedy) })
}

// misfit reports that inputs do not fit, with their types and shapes.
func (c *call) misfit(what, remedy string, inputs ...int) {
	c.bad = true
	c.w.shapeFault(c.describe(what, remedy, inputs...))
}

// describe is the text of a fault of inputs.
func (c *call) describe(what, remedy string, inputs ...int) func() string {
	return func() string {
		var b strings.Builder
		fmt.Fprintf(&b, "node %s (%s): %s: ", c.n.Label(), c.n.Op, what)
		for k, i := range inputs {
			f := c.arg(i)
			if k > 0 {
				b.WriteString(", ")
			}
			name := ""
			if i < len(c.n.Inputs) {
				name = c.n.Inputs[i]
			}
			fmt.Fprintf(&b, "input %q is ", name)
			if f.typ != Undefined {
				b.WriteString(f.typ.String() + " ")
			}
			b.WriteString(c.z.shapeText(f))
		}
		b.WriteString("; " + remedy)
		return b.String()
	}
}

// equal checks two lengths that must be one; what names them.
func (c *call) equal(a, b Size, what, remedy string, inputs ...int) bool {
	if a.sym == 0 && b.sym == 0 && a.n != b.n {
		c.misfit(fmt.Sprintf("%s %d and %d differ", what, a.n, b.n), remedy, inputs...)
		return false
	}
	return true
}

// rank checks that input i has one of these ranks where it is known.
func (c *call) rank(i int, ranks ...int) bool {
	x, ok := c.dims(i)
	if ok && !slices.Contains(ranks, len(x)) {
		c.misfit(fmt.Sprintf("input %d has %d axes", i, len(x)), fmt.Sprintf("it takes %s", rankText(ranks)), i)
		return false
	}
	return ok
}

func rankText(ranks []int) string {
	parts := make([]string, len(ranks))
	for i, r := range ranks {
		parts[i] = fmt.Sprint(r)
	}
	return strings.Join(parts, " or ")
}

// axisIn normalizes an axis of a value of that rank.
func (c *call) axisIn(what string, axis int64, rank, input int) (int, bool) {
	k, ok := normalAxis(axis, rank)
	if !ok {
		c.misfit(fmt.Sprintf("%s %d is out of range", what, axis), fmt.Sprintf("axes go from %d to %d", -rank, rank-1), input)
	}
	return k, ok
}

func normalAxis(axis int64, rank int) (int, bool) {
	if axis < 0 {
		axis += int64(rank)
	}
	return int(axis), axis >= 0 && axis < int64(rank)
}

// axis reads the attribute axis for input i.
func (c *call) axis(def int64, rank, input int) (int, bool) {
	return c.axisIn("attribute axis", c.int("axis", def), rank, input)
}

// numbers returns the elements of input i where all are numbers.
func (c *call) numbers(i int) ([]int64, bool) {
	f := c.arg(i)
	if f.ints == nil {
		return nil, false
	}
	return numeric(f.ints)
}

// number is the only element of input i.
func (c *call) number(i int) (int64, bool) {
	v, ok := c.numbers(i)
	if !ok || len(v) != 1 {
		return 0, false
	}
	return v[0], true
}

// element is the only element of input i, which may be an expression.
func (c *call) element(i int) (Size, bool) {
	if f := c.arg(i); len(f.ints) == 1 {
		return f.ints[0], true
	}
	return Size{}, false
}

// elementCount is the length of input i, a list.
func (c *call) elementCount(i int) (int, bool) {
	f := c.arg(i)
	if f.ints != nil {
		return len(f.ints), true
	}
	if f.ranked && len(f.dims) == 1 && f.dims[0].sym == 0 && f.dims[0].n >= 0 && f.dims[0].n <= maxRank {
		return int(f.dims[0].n), true
	}
	return 0, false
}

// as makes a length of a number that the graph computes.
func (c *call) asLength(s Size) Size {
	if s.sym == 0 && s.n < 0 || c.z.wild(s) {
		return c.z.length()
	}
	return s
}

func (z *algebra) broadcastAll(shapes ...[]Size) ([]Size, bool) {
	var out []Size
	for i, s := range shapes {
		if i == 0 {
			out = s
			continue
		}
		if len(s) > len(out) {
			out, s = s, out
		}
		off, own := len(out)-len(s), false
		for k, y := range s {
			d, ok := z.broadcast(out[off+k], y)
			if !ok {
				return nil, false
			}
			if d != out[off+k] {
				if !own {
					out, own = slices.Clone(out), true
				}
				out[off+k] = d
			}
		}
	}
	return out, true
}

// sameAsFirst gives the outputs the shape of input 0.
func sameAsFirst(c *call) {
	if x, ok := c.dims(0); ok {
		c.shape(0, x)
	}
}

// broadcastInputs gives output 0 the broadcast shape of inputs from to to−1.
func (c *call) broadcastInputs(from, to int) {
	shapes := make([][]Size, 0, to-from)
	for i := from; i < to; i++ {
		x, ok := c.dims(i)
		if !ok {
			return
		}
		shapes = append(shapes, x)
	}
	out, ok := c.z.broadcastAll(shapes...)
	if ok {
		c.shape(0, out)
		return
	}
	for i := range shapes { // name the first two that do not fit
		for j := range i {
			if _, ok := c.z.broadcastAll(shapes[j], shapes[i]); !ok {
				c.misfit("the shapes cannot be broadcast", "lengths must be equal or 1; reshape or transpose one", from+j, from+i)
				return
			}
		}
	}
	c.bad = true
}
