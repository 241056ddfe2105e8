package exec

import (
	"context"
	"fmt"
	"slices"

	"github.com/litekit/lite/onnx"
)

// controlOps are the operators that run graphs of their own. A body is a
// session: what it reads of the graph around it are inputs, which expose
// appended to those of the node.
func controlOps() map[string]operator {
	return map[string]operator{
		"If": {run: branch, inputs: 1}, "Loop": {run: loop}, "Scan": {run: scanBody},
	}
}

const (
	// maxTrips bounds a Loop whose condition never turns false.
	maxTrips = 1 << 22
	// ownInputs is the attribute that holds how many inputs a node has
	// without those that its bodies read, capturedNames what the bodies call
	// those (fusion may rename a node's inputs).
	ownInputs     = "lite.exec.inputs"
	capturedNames = "lite.exec.captured"
)

// body is one graph of a node.
type body struct {
	s        *Session
	formal   []*onnx.ValueInfo
	captured []string // inputs that come from around the node
	outputs  []*onnx.ValueInfo
}

// expose makes inputs of what the bodies of g's nodes read around them, so that
// every pass sees it. Weights of g become weights of the bodies.
func expose(g *onnx.Graph) {
	weights := g.InitializerMap()
	for _, n := range g.Nodes {
		subs := n.Graphs()
		if len(subs) == 0 || n.Attr(ownInputs) != nil {
			continue
		}
		own, names := len(n.Inputs), &onnx.Attribute{Name: capturedNames, Type: onnx.AttrStrings}
		for _, sub := range subs {
			for _, name := range sub.Free() {
				if w := weights[name]; w != nil {
					sub.Initializers = append(sub.Initializers, w)
				} else if !slices.Contains(n.Inputs[own:], name) {
					n.Inputs = append(n.Inputs, name)
					names.Strings = append(names.Strings, []byte(name))
				}
			}
		}
		n.Attrs = append(n.Attrs, onnx.IntAttr(ownInputs, int64(own)), names)
	}
}

// bodies makes sessions of the graphs of a node, by attribute.
func (p *compiler) bodies(n *onnx.Node) (map[string]*body, error) {
	var out map[string]*body
	for _, a := range n.Attrs {
		if a.Graph == nil {
			continue
		}
		g := a.Graph.Clone()
		b := &body{formal: g.Inputs, captured: g.Free(), outputs: g.Outputs}
		for _, v := range g.Inputs {
			v.Dims, v.HasShape = nil, false // a loop's values may change their shape
		}
		for _, name := range b.captured {
			g.Inputs = append(g.Inputs, &onnx.ValueInfo{Name: name})
		}
		m := &onnx.Model{IRVersion: p.model.IRVersion, Opsets: p.model.Opsets, Graph: g}
		s, err := New(m, Options{MaxBytes: p.s.limit, Unfused: p.unfused})
		if err != nil {
			return nil, err
		}
		if b.s = s; out == nil {
			out = map[string]*body{}
		}
		out[a.Name] = b
	}
	return out, nil
}

// loops reports whether a node may run a Loop, which is not done ahead of a
// run: it may not end.
func loops(n *onnx.Node) bool {
	if n.Op == "Loop" {
		return true
	}
	return slices.ContainsFunc(n.Graphs(), func(g *onnx.Graph) bool { return slices.ContainsFunc(g.Nodes, loops) })
}

// body returns the graph attribute's body; a node without it is malformed.
func (c *call) body(name string) (*body, error) {
	m, _ := c.prep.(map[string]*body)
	if m[name] == nil {
		return nil, fmt.Errorf("attribute %s, a graph, is missing", name)
	}
	return m[name], nil
}

// own are the node's own inputs.
func (c *call) own() []*Tensor {
	return c.in[:min(int(max(c.node.Int(ownInputs, int64(len(c.in))), 0)), len(c.in))]
}

// runBody runs b on its formal inputs; what it captured comes from the node's inputs.
func (c *call) runBody(b *body, in ...*Tensor) ([]*Tensor, error) {
	if len(in) != len(b.formal) {
		return nil, fmt.Errorf("the body has %d inputs; %d are needed", len(b.formal), len(in))
	}
	feed := make(map[string]*Tensor, len(in)+len(b.captured))
	for i, t := range in {
		if t == nil {
			return nil, fmt.Errorf("input %q of the body has no value", b.formal[i].Name)
		}
		feed[b.formal[i].Name] = t
	}
	around := c.in[len(c.own()):]
	if a := c.node.Attr(capturedNames); a != nil && len(a.Strings) == len(around) {
		for i, name := range a.Strings {
			if slices.Contains(b.captured, string(name)) {
				feed[string(name)] = around[i]
			}
		}
	}
	ctx := c.ctx
	if ctx == nil {
		ctx = context.Background()
	}
	got, err := b.s.Run(ctx, feed)
	if err != nil {
		return nil, err
	}
	out := make([]*Tensor, len(b.outputs))
	for i, o := range b.outputs {
		out[i] = got[o.Name]
	}
	return out, nil
}

// flag reads a scalar bool.
func flag(t *Tensor, what string) (bool, error) {
	if t == nil || t.Type != onnx.Bool || len(t.Bool) != 1 {
		return false, fmt.Errorf("%s is not one bool", what)
	}
	return t.Bool[0], nil
}

func branch(c *call) error {
	yes, err := flag(c.in[0], "the condition")
	if err != nil {
		return err
	}
	name := "else_branch"
	if yes {
		name = "then_branch"
	}
	b, err := c.body(name)
	if err != nil {
		return err
	}
	if len(b.outputs) < len(c.node.Outputs) {
		return fmt.Errorf("%s has %d outputs; the node has %d", name, len(b.outputs), len(c.node.Outputs))
	}
	c.out, err = c.runBody(b)
	return err
}

// loop runs its body while the condition holds, at most M times. The body maps
// (trip, condition, values…) to (condition, values…, rows…); the rows of all
// trips are stacked.
func loop(c *call) error {
	b, err := c.body("body")
	if err != nil {
		return err
	}
	in := c.own()
	if len(in) < 2 || len(b.formal) != len(in) || len(b.outputs) < len(in)-1 || len(b.outputs)-1 < len(c.node.Outputs) {
		return fmt.Errorf("the body has %d inputs and %d outputs, the node %d and %d", len(b.formal), len(b.outputs), len(in), len(c.node.Outputs))
	}
	trips, going := int64(-1), true
	if in[0] != nil {
		if trips, err = c.scalar(0, -1); err != nil {
			return err
		}
		trips = max(trips, 0)
	}
	if in[1] != nil {
		if going, err = flag(in[1], "the condition"); err != nil {
			return err
		}
	}
	state, k := slices.Clone(in[2:]), len(in)-2
	rows := newStacks(b.outputs[1+k:], c.mem.limit)
	for i := int64(0); going && i != trips; i++ {
		if i == maxTrips {
			return fmt.Errorf("the loop does not end after %d rounds", maxTrips)
		}
		now := []*Tensor{Int64s([]int64{i}), {Type: onnx.Bool, Bool: []bool{true}}}
		out, err := c.runBody(b, append(now, state...)...)
		if err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
		if going, err = flag(out[0], "the body's condition"); err != nil {
			return err
		}
		copy(state, out[1:])
		if err := rows.add(out[1+k:]); err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
	}
	return c.finish(state, rows, nil, nil)
}

// finish sets the outputs of Loop and Scan: the last values, then the stacks.
func (c *call) finish(state []*Tensor, rows *stacks, axes, directions []int64) error {
	c.out = make([]*Tensor, max(1, len(state)+len(rows.list)))
	for i, t := range state {
		if t != nil {
			c.view(i, t, t.Shape)
		}
	}
	for i := range rows.list {
		a, back := int64(0), false
		if i < len(axes) {
			a = axes[i]
		}
		if i < len(directions) {
			back = directions[i] != 0
		}
		if err := c.stack(len(state)+i, rows, i, a, back); err != nil {
			return err
		}
	}
	return nil
}

// stacks collects a body's outputs round by round.
type stacks struct {
	list  [][]*Tensor
	decl  []*onnx.ValueInfo
	bytes int
	limit int
}

func newStacks(decl []*onnx.ValueInfo, limit int) *stacks {
	return &stacks{list: make([][]*Tensor, len(decl)), decl: decl, limit: limit}
}

func (s *stacks) add(row []*Tensor) error {
	for i, t := range row {
		if l := s.list[i]; len(l) > 0 && (l[0].Type != t.Type || !sameShape(l[0].Shape, t.Shape)) {
			return fmt.Errorf("output %q is %s %v, in round 0 it was %s %v", s.decl[i].Name, typeName(t.Type), t.Shape, typeName(l[0].Type), l[0].Shape)
		}
		if s.bytes += t.Len()*storage(t.Type).Size() + 64; s.bytes > s.limit {
			return fmt.Errorf("the values of all rounds are over the limit of %d MiB; see Options.MaxBytes", s.limit>>20)
		}
		s.list[i] = append(s.list[i], t)
	}
	return nil
}

// stack makes output o of stack i, with the rounds along a new axis.
func (c *call) stack(o int, s *stacks, i int, a int64, back bool) error {
	list, decl := s.list[i], s.decl[i]
	t, shape := widen(decl.Type), make([]int, len(decl.Dims))
	for d, dim := range decl.Dims {
		if dim.Known {
			shape[d] = int(dim.Size)
		}
	}
	if len(list) > 0 {
		t, shape = list[0].Type, list[0].Shape
	}
	d, err := axis(a, len(shape)+1)
	if err != nil {
		return err
	}
	out, err := c.output(o, t, slices.Insert(slices.Clone(shape), d, len(list))...)
	if err != nil {
		return err
	}
	inner, dst := product(shape[d:]), out
	for k, row := range list {
		if back {
			k = len(list) - 1 - k
		}
		src := row
		for r := range product(shape[:d]) {
			dst.blit((r*len(list)+k)*inner, src, r*inner, inner, 1)
		}
	}
	return nil
}

// scanBody runs its body over the slices of its last inputs. The body maps
// (values…, slices…) to (values…, rows…).
func scanBody(c *call) error {
	if c.opset < 9 {
		return scanBatch(c)
	}
	b, err := c.body("body")
	if err != nil {
		return err
	}
	in, m := c.own(), int(c.node.Int("num_scan_inputs", 0))
	k := len(in) - m
	if m < 1 || k < 0 || len(b.formal) != len(in) || len(b.outputs) < k || len(b.outputs) < len(c.node.Outputs) {
		return fmt.Errorf("num_scan_inputs is %d; the body has %d inputs and %d outputs, the node %d and %d",
			m, len(b.formal), len(b.outputs), len(in), len(c.node.Outputs))
	}
	inAxes, back := c.node.Ints("scan_input_axes"), c.node.Ints("scan_input_directions")
	at, n := make([]int, m), 0
	for i, x := range in[k:] {
		a := int64(0)
		if i < len(inAxes) {
			a = inAxes[i]
		}
		if x == nil {
			return fmt.Errorf("input %d is missing", k+i)
		}
		if at[i], err = axis(a, len(x.Shape)); err != nil {
			return err
		}
		if i == 0 {
			n = x.Shape[at[i]]
		}
		if x.Shape[at[i]] != n {
			return fmt.Errorf("the inputs have %d and %d slices", n, x.Shape[at[i]])
		}
	}
	state, rows := slices.Clone(in[:k]), newStacks(b.outputs[k:], c.mem.limit)
	for t := range n {
		args := slices.Clone(state)
		for i, x := range in[k:] {
			s := t
			if i < len(back) && back[i] != 0 {
				s = n - 1 - t
			}
			args = append(args, sliceAt(x, at[i], s))
		}
		out, err := c.runBody(b, args...)
		if err != nil {
			return fmt.Errorf("slice %d: %w", t, err)
		}
		copy(state, out)
		if err := rows.add(out[k:]); err != nil {
			return fmt.Errorf("slice %d: %w", t, err)
		}
	}
	return c.finish(state, rows, c.node.Ints("scan_output_axes"), c.node.Ints("scan_output_directions"))
}

// sliceAt is a copy of position s of axis d.
func sliceAt(x *Tensor, d, s int) *Tensor {
	shape := slices.Delete(slices.Clone(x.Shape), d, d+1)
	inner, outer := product(x.Shape[d+1:]), product(x.Shape[:d])
	out := &Tensor{Type: x.Type, Shape: shape}
	out.allocate(outer * inner)
	dst, src := out, x
	for o := range outer {
		dst.blit(o*inner, src, (o*x.Shape[d]+s)*inner, inner, 1)
	}
	return out
}

// scanBatch is the Scan of opset 8: every value has the batch as first
// dimension, slices are along the second, and input 0 may give lengths.
func scanBatch(c *call) error {
	b, err := c.body("body")
	if err != nil {
		return err
	}
	own, m := c.own(), int(c.node.Int("num_scan_inputs", 0))
	k := len(own) - 1 - m
	if m < 1 || k < 0 || len(b.outputs) < k || len(b.outputs) < len(c.node.Outputs) {
		return fmt.Errorf("num_scan_inputs is %d; the node has %d inputs, the body %d outputs", m, len(own), len(b.outputs))
	}
	if own[0] != nil {
		return fmt.Errorf("the sequence lengths of Scan in opset 8: %w", ErrType)
	}
	batch := -1
	for i, x := range own[1:] {
		if x == nil || len(x.Shape) == 0 || i >= k && len(x.Shape) < 2 || batch >= 0 && x.Shape[0] != batch {
			return fmt.Errorf("input %d has no batch dimension like the others", i+1)
		}
		batch = x.Shape[0]
	}
	node := c.node.Clone()
	for _, a := range node.Attrs {
		if a.Name == "directions" {
			a.Name = "scan_input_directions"
		}
		if a.Name == ownInputs {
			a.Int = int64(len(own) - 1)
		}
	}
	rows := newStacks(b.outputs, c.mem.limit)
	for e := range batch {
		in := make([]*Tensor, 0, len(c.in))
		for _, x := range own[1:] {
			in = append(in, sliceAt(x, 0, e))
		}
		one := c.inner(node, append(in, c.in[len(own):]...)...)
		one.prep, one.opset = c.prep, 9
		if err := scanBody(one); err != nil {
			return fmt.Errorf("sequence %d: %w", e, err)
		}
		if err := rows.add(one.out[:len(b.outputs)]); err != nil {
			return err
		}
	}
	return c.finish(nil, rows, nil, nil)
}
