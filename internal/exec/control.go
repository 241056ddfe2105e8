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
	feed := c.around(b)
	for i, t := range in {
		if t == nil {
			return nil, fmt.Errorf("input %q of the body has no value", b.formal[i].Name)
		}
		feed[b.formal[i].Name] = t
	}
	got, err := b.s.Run(c.context(), feed)
	if err != nil {
		return nil, err
	}
	out := make([]*Tensor, len(b.outputs))
	for i, o := range b.outputs {
		out[i] = got[o.Name]
	}
	return out, nil
}

// around is what b reads of the graph around it, by name.
func (c *call) around(b *body) map[string]*Tensor {
	feed := make(map[string]*Tensor, len(b.formal)+len(b.captured))
	values := c.in[len(c.own()):]
	if a := c.node.Attr(capturedNames); a != nil && len(a.Strings) == len(values) {
		for i, name := range a.Strings {
			if slices.Contains(b.captured, string(name)) {
				feed[string(name)] = values[i]
			}
		}
	}
	return feed
}

// context is the run's, or one that never ends where values are folded.
func (c *call) context() context.Context {
	if c.ctx == nil {
		return context.Background()
	}
	return c.ctx
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
	r := c.newRounds(b, in[2:], 2, 1)
	trip := Int64s([]int64{0})
	r.args[0], r.args[1] = trip, &Tensor{Type: onnx.Bool, Bool: []bool{true}}
	for i := int64(0); going && i != trips; i++ {
		if i == maxTrips {
			return fmt.Errorf("the loop does not end after %d rounds", maxTrips)
		}
		trip.I64[0] = i
		if err := r.round(); err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
		going = r.on
	}
	return r.finish(nil, nil)
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
	r := c.newRounds(b, in[:k], 0, 0)
	for i, x := range in[k:] {
		if r.args[k+i], err = c.slot(x, at[i]); err != nil {
			return err
		}
	}
	for t := range n {
		for i, x := range in[k:] {
			s := t
			if i < len(back) && back[i] != 0 {
				s = n - 1 - t
			}
			r.args[k+i].slice(x, at[i], s)
		}
		if err := r.round(); err != nil {
			return fmt.Errorf("slice %d: %w", t, err)
		}
	}
	return r.finish(c.node.Ints("scan_output_axes"), c.node.Ints("scan_output_directions"))
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
	rows := c.newStacks(b.outputs)
	in := slices.Clone(c.in[1:])
	for i, x := range own[1:] {
		if in[i], err = c.slot(x, 0); err != nil {
			return err
		}
	}
	for e := range batch {
		for i, x := range own[1:] {
			in[i].slice(x, 0, e)
		}
		one := c.inner(node, in...)
		one.prep, one.opset = c.prep, 9
		if err := scanBody(one); err != nil {
			return fmt.Errorf("sequence %d: %w", e, err)
		}
		if err := rows.add(one.out[:len(b.outputs)]); err != nil {
			return err
		}
		for _, t := range one.out {
			c.mem.release(t)
		}
	}
	c.out = make([]*Tensor, len(b.outputs))
	return rows.stack(0, nil, nil)
}
