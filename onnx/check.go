package onnx

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxFaults bounds how many faults Check lists.
const maxFaults = 20

// Check reports what is wrong with a model: faults of structure (see
// [Model.CheckStructure]), and what its operators would refuse: operators that
// their set does not have in the imported version, wrong numbers of inputs and
// outputs, attributes of the wrong type or with impossible values, element types
// that do not agree, shapes that cannot fit, and declarations that contradict what
// follows from the inputs and weights. Shapes are inferred as [Model.Infer] does;
// symbols are taken to fit whatever could make them fit, and branches that may
// never run are not held to shapes, so what is reported is certain to fail, or to
// be declared wrongly. Operators of other sets than ai.onnx and those of
// com.microsoft that the executor runs are not looked into.
//
// The error joins up to 20 faults and a count of the others, each naming its node
// or tensor, both shapes and a remedy.
func (m *Model) Check() error { return m.check(true) }

// CheckRun is [Model.Check] for programs that are about to use a model: it
// reports what would make a run fail and lets pass what runtimes put up with,
// declarations of values and outputs that contradict the graph, nodes that are not
// in order, and operators of com.microsoft without an import of their set.
func (m *Model) CheckRun() error {
	if m.Graph == nil {
		return m.CheckStructure()
	}
	c, g := *m, *m.Graph
	c.Graph = &g
	if err := g.Sort(); err != nil {
		return err
	}
	if !slices.ContainsFunc(m.Opsets, func(o Opset) bool { return o.Domain == microsoftDomain }) {
		c.Opsets = append(slices.Clone(m.Opsets), Opset{Domain: microsoftDomain, Version: 1})
	}
	return c.check(false)
}

// check is Check; declared tells whether declarations of values are held to the graph.
func (m *Model) check(declared bool) error {
	if m.Graph == nil {
		return m.CheckStructure()
	}
	c := m.structure()
	w := newWalk(m, nil)
	w.report = func(text string) { c.fault("%s", text) }
	s := w.root(m)
	s.declared = declared
	s.enter(m.Graph, nil)
	s.run(m.Graph.Nodes)
	s.finish(m.Graph)
	return c.err()
}

// CheckStructure reports faults of structure only: no graph or operator set, values
// made twice or never or too late, cycles, outputs that nothing makes, and weights
// whose bytes do not fill their dimensions. Nodes of If, Loop and Scan bodies see the
// values around them. It does not know what operators want of their inputs.
// The error joins up to 20 faults, each naming its node or tensor and a remedy.
func (m *Model) CheckStructure() error {
	if m.Graph == nil {
		return errors.New("onnx: the model has no graph; decode or build one")
	}
	return m.structure().err()
}

func (m *Model) structure() *checker {
	c := &checker{opsets: map[string]bool{}, needOpsets: m.IRVersion >= 3}
	if c.needOpsets && len(m.Opsets) == 0 {
		c.fault("the model imports no operator set; add Opset{Version: 17}")
	}
	c.imports(m.Opsets)
	own := map[string]bool{}
	for _, f := range m.Functions {
		own[domain(f.Domain)] = true
	}
	for d := range own {
		c.opsets[d] = true
	}
	c.graph(m.Graph, nil)
	for _, f := range m.Functions {
		c.function(f, own)
	}
	return c
}

func (c *checker) err() error {
	if c.more > 0 {
		c.faults = append(c.faults, fmt.Errorf("onnx: and %d more faults", c.more))
	}
	return errors.Join(c.faults...)
}

type checker struct {
	opsets     map[string]bool
	needOpsets bool
	faults     []error
	more       int // faults beyond maxFaults, only counted
	depth      int
}

// full counts a fault that is not listed any more and reports so. What a fault
// costs to describe, a search for a cycle above all, must not be spent on each
// node of a graph in which all are wrong.
func (c *checker) full() bool {
	if len(c.faults) < maxFaults {
		return false
	}
	c.more++
	return true
}

func (c *checker) fault(format string, args ...any) {
	if c.full() {
		return
	}
	c.faults = append(c.faults, fmt.Errorf("onnx: "+format, args...))
}

// domain maps the two names of the default operator set to one.
func domain(d string) string {
	if d == "ai.onnx" {
		return ""
	}
	return d
}

func domainName(d string) string {
	if domain(d) == "" {
		return "ai.onnx"
	}
	return d
}

func (c *checker) imports(list []Opset) {
	seen := map[string]int64{}
	for _, o := range list {
		d := domain(o.Domain)
		if v, ok := seen[d]; ok && v != o.Version {
			c.fault("operator set %s is imported as version %d and %d; keep one", domainName(d), v, o.Version)
		}
		if o.Version < 1 && d == "" {
			c.fault("operator set %s has version %d; versions count from 1", domainName(d), o.Version)
		}
		seen[d] = o.Version
		c.opsets[d] = true
	}
}

func (c *checker) function(f *Function, own map[string]bool) {
	inner := &checker{opsets: map[string]bool{}, needOpsets: c.needOpsets}
	inner.imports(f.Opsets)
	for d := range own {
		inner.opsets[d] = true
	}
	s := &scope{made: map[string]bool{}, reported: map[string]bool{}}
	for _, in := range f.Inputs {
		if in != "" && s.made[in] {
			inner.fault("function %s: input %q is declared twice; rename one", f.Name, in)
		}
		s.made[in] = true
	}
	inner.nodes(f.Nodes, s)
	for _, o := range f.Outputs {
		if !s.made[o] {
			inner.fault("function %s: nothing makes output %q; remove it or add the node", f.Name, o)
		}
	}
	for _, err := range inner.faults {
		if !c.full() {
			c.faults = append(c.faults, err)
		}
	}
	c.more += inner.more
}

// scope is the set of values that exist at a point of a graph.
type scope struct {
	made     map[string]bool
	reported map[string]bool // missing, and said so
	outer    *scope
}

func (s *scope) sees(name string) bool {
	for ; s != nil; s = s.outer {
		if s.made[name] || s.reported[name] {
			return true
		}
	}
	return false
}

func (c *checker) graph(g *Graph, outer *scope) {
	if c.depth++; c.depth > maxDepth {
		c.fault("graph %q: nested more than %d deep; flatten it", g.Name, maxDepth)
		c.depth--
		return
	}
	defer func() { c.depth-- }()
	s := &scope{made: map[string]bool{}, reported: map[string]bool{}, outer: outer}
	for _, in := range g.Inputs {
		if in.Name == "" {
			c.fault("graph %q: an input has no name; give it one", g.Name)
		} else if s.made[in.Name] {
			c.fault("input %q is declared twice; rename one", in.Name)
		}
		s.made[in.Name] = true
	}
	c.weights(g, s)
	c.nodes(g.Nodes, s)
	outputs := map[string]bool{}
	for _, o := range g.Outputs {
		switch {
		case outputs[o.Name]:
			c.fault("output %q is declared twice; remove one", o.Name)
		case !s.sees(o.Name):
			c.fault("output %q: no node makes it; remove the output or add the node", o.Name)
		}
		outputs[o.Name] = true
	}
}

// weights checks the initializers and adds their names to s.
func (c *checker) weights(g *Graph, s *scope) {
	seen := map[string]bool{}
	add := func(name string) {
		if name == "" {
			c.fault("graph %q: an initializer has no name; give it one or remove it", g.Name)
		} else if seen[name] {
			c.fault("initializer %q stands twice; remove or rename one", name)
		}
		seen[name] = true
		s.made[name] = true
	}
	for _, t := range g.Initializers {
		add(t.Name)
		c.tensor(fmt.Sprintf("initializer %q", t.Name), t)
	}
	for _, sp := range g.Sparse {
		if c.sparse(fmt.Sprintf("graph %q", g.Name), sp) {
			add(sp.Values.Name)
		}
	}
}

func (c *checker) tensor(where string, t *Tensor) {
	if t.Type == Undefined {
		c.fault("%s: its element type is undefined; set Type", where)
	}
	if err := t.checkSize(); err != nil {
		c.fault("%s: %w", where, err)
	}
}

func (c *checker) sparse(where string, s *SparseTensor) bool {
	if s.Values == nil || s.Indices == nil {
		c.fault("%s: a sparse tensor lacks values or indices; set both", where)
		return false
	}
	c.tensor(where+": sparse values", s.Values)
	c.tensor(where+": sparse indices", s.Indices)
	return true
}

func (c *checker) nodes(nodes []*Node, s *scope) {
	maker := map[string]int{}
	for i, n := range nodes {
		for _, o := range n.Outputs {
			if _, ok := maker[o]; !ok && o != "" {
				maker[o] = i
			}
		}
	}
	for i, n := range nodes {
		c.node(n, s)
		for _, in := range n.reads() {
			c.input(nodes, maker, i, in, s)
		}
		for _, a := range n.Attrs {
			for _, g := range a.graphs() {
				c.graph(g, s)
			}
		}
		for _, o := range n.Outputs {
			if o == "" {
				continue
			}
			if s.made[o] && !c.full() {
				c.fault("node %s: output %q is made before, by %s; rename one", n.Label(), o, c.origin(nodes[:i], o))
			}
			s.made[o] = true
		}
	}
}

// origin names what made a value.
func (c *checker) origin(nodes []*Node, name string) string {
	for _, n := range nodes {
		if slices.Contains(n.Outputs, name) {
			return "node " + n.Label()
		}
	}
	return "an input, an initializer or the node itself"
}

// input checks one value that node i reads.
func (c *checker) input(nodes []*Node, maker map[string]int, i int, in string, s *scope) {
	if s.sees(in) {
		return
	}
	s.reported[in] = true
	if c.full() {
		return
	}
	n := nodes[i]
	j, ok := maker[in]
	if !ok {
		c.fault("node %s: input %q is unknown: no input, initializer or node makes it; add one or correct the name", n.Label(), in)
		return
	}
	if cycle := findCycle(nodes, maker, i, j); cycle != "" {
		c.fault("node %s: input %q closes a cycle: %s; remove one of these edges", n.Label(), in, cycle)
		return
	}
	c.fault("node %s: input %q is made later, by node %s; call Graph.Sort", n.Label(), in, nodes[j].Label())
}

// cycleEnds is how many nodes of either end of a long cycle are named.
const cycleEnds = 6

// findCycle returns the way from node i to node j along inputs, given that i
// reads what j makes: a way back from j to i is a cycle.
func findCycle(nodes []*Node, maker map[string]int, i, j int) string {
	from := map[int]int{j: -1}
	for queue := []int{j}; len(queue) > 0; queue = queue[1:] {
		k := queue[0]
		if k == i {
			var names []string
			for ; k >= 0; k = from[k] {
				names = append(names, nodes[k].Label())
			}
			slices.Reverse(names)
			if k := len(names) - 2*cycleEnds; k > 1 { // a cycle can be as long as the graph
				names = slices.Replace(names, cycleEnds, cycleEnds+k, fmt.Sprintf("(%d more)", k))
			}
			return strings.Join(append([]string{nodes[i].Label()}, names...), " ← ")
		}
		for _, in := range nodes[k].reads() {
			if p, ok := maker[in]; ok {
				if _, seen := from[p]; !seen {
					from[p] = k
					queue = append(queue, p)
				}
			}
		}
	}
	return ""
}

// node checks what a node says of itself.
func (c *checker) node(n *Node, s *scope) {
	if n.Op == "" {
		c.fault("node %s: it has no operator; set Op", n.Label())
	}
	if c.needOpsets && !c.opsets[domain(n.Domain)] {
		c.fault("node %s: operator set %s is not imported; add it to Opsets", n.Label(), domainName(n.Domain))
	}
	seen := map[string]bool{}
	for _, a := range n.Attrs {
		if seen[a.Name] {
			c.fault("node %s: attribute %q stands twice; remove one", n.Label(), a.Name)
		}
		seen[a.Name] = true
		where := fmt.Sprintf("node %s: attribute %q", n.Label(), a.Name)
		for _, t := range append(slices.Clone(a.Tensors), a.Tensor) {
			if t != nil {
				c.tensor(where, t)
			}
		}
		for _, sp := range append(slices.Clone(a.Sparses), a.Sparse) {
			if sp != nil {
				c.sparse(where, sp)
			}
		}
	}
}

// graphs lists the subgraphs that an attribute holds.
func (a *Attribute) graphs() []*Graph {
	if a.Graph == nil {
		return a.Graphs
	}
	return append([]*Graph{a.Graph}, a.Graphs...)
}
