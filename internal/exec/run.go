package exec

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/litekit/lite/onnx"
)

// plan is what a set of outputs needs.
type plan struct {
	steps   []*step
	uses    []int // per value: the steps that read it, and one more for an output
	inputs  []int // indices into Session.inputs
	outputs []int // value numbers
}

// maxPlans bounds how many sets of outputs are remembered.
const maxPlans = 64

// plan returns the plan for the named outputs, all of the graph's for none.
func (s *Session) plan(outputs []string) (*plan, error) {
	if len(outputs) == 0 {
		for _, o := range s.outputs {
			outputs = append(outputs, o.Name)
		}
	}
	key := strings.Join(outputs, "\x00")
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.plans[key]; p != nil {
		return p, nil
	}
	p := &plan{uses: make([]int, len(s.names))}
	for _, name := range outputs {
		if !s.Has(name) {
			return nil, fmt.Errorf("exec: output %q is not a value of the (fused) graph, whose outputs are %s", name, quoted(s.outputs))
		}
		id := s.values[name]
		p.outputs = append(p.outputs, id)
		p.uses[id]++
	}
	need := slices.Clone(p.uses)
	for i := len(s.steps) - 1; i >= 0; i-- {
		st := s.steps[i]
		if !slices.ContainsFunc(st.out, func(id int) bool { return id >= 0 && need[id] > 0 && s.consts[id] == nil }) {
			continue
		}
		p.steps = append(p.steps, st)
		for _, id := range st.reads {
			need[id]++
			p.uses[id]++
		}
	}
	slices.Reverse(p.steps)
	for i, in := range s.inputs {
		if need[s.values[in.Name]] > 0 {
			p.inputs = append(p.inputs, i)
		}
	}
	if len(s.plans) < maxPlans {
		s.plans[key] = p
	}
	return p, nil
}

func quoted(list []*onnx.ValueInfo) string {
	names := make([]string, len(list))
	for i, v := range list {
		names[i] = fmt.Sprintf("%q", v.Name)
	}
	return strings.Join(names, ", ")
}

// Run computes the named values (the graph's outputs where none is named) from
// the inputs, of which those that the values do not depend on may be left out.
// Only the nodes that are needed run. Any batch and length will do. The
// tensors given are only read; those returned belong to the caller. A value
// that fusion replaced cannot be asked for; see [Session.Has].
//
// An error of the graph or its data names the node. When ctx is done, Run
// returns its cause before the next node.
func (s *Session) Run(ctx context.Context, in map[string]*Tensor, outputs ...string) (map[string]*Tensor, error) {
	p, err := s.plan(outputs)
	if err != nil {
		return nil, err
	}
	vals := slices.Clone(s.consts)
	if err := s.bind(p, in, vals); err != nil {
		return nil, err
	}
	mem := s.arena()
	uses := slices.Clone(p.uses)
	for _, st := range p.steps {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("exec: stopped before node %s: %w", st.node.Label(), context.Cause(ctx))
		}
		out, err := st.run(ctx, vals, uses, mem)
		if err != nil {
			return nil, err // the arena holds values in use: it is dropped with them
		}
		for i, id := range st.out {
			if id >= 0 && uses[id] > 0 && s.consts[id] == nil {
				vals[id] = out[i]
			} else if i < len(out) {
				mem.release(out[i])
			}
		}
		for _, id := range st.reads {
			if uses[id]--; uses[id] == 0 && s.consts[id] == nil {
				mem.release(vals[id])
				vals[id] = nil
			}
		}
	}
	res := make(map[string]*Tensor, len(p.outputs))
	for _, id := range p.outputs {
		if res[s.names[id]] == nil {
			res[s.names[id]] = handOver(vals[id], mem)
		}
	}
	s.giveBack(mem)
	return res, nil
}

// handOver makes a value the caller's: its buffer leaves the arena, or is
// copied where something else uses it too.
func handOver(t *Tensor, mem *arena) *Tensor {
	if t.mem == nil {
		return t.Clone()
	}
	if t.mem.refs > 1 {
		c := t.Clone()
		mem.release(t)
		return c
	}
	t.mem = nil
	t.Shape = slices.Clone(t.Shape)
	return t
}

// bind checks the inputs and enters them into vals.
func (s *Session) bind(p *plan, in map[string]*Tensor, vals []*Tensor) error {
	for _, i := range p.inputs {
		decl := s.inputs[i]
		t := in[decl.Name]
		if t == nil {
			return fmt.Errorf("exec: input %q is missing; the model reads %s", decl.Name, quoted(s.inputs))
		}
		if err := checkInput(decl, t); err != nil {
			return err
		}
		plain := *t
		plain.mem = nil
		vals[s.values[decl.Name]] = &plain
	}
	known := func(name string) bool {
		return slices.ContainsFunc(s.inputs, func(v *onnx.ValueInfo) bool { return v.Name == name })
	}
	unknown := []string{}
	for name := range in {
		if !known(name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return fmt.Errorf("exec: input %q is unknown; the model reads %s", unknown[0], quoted(s.inputs))
	}
	return nil
}

// checkInput compares a tensor with its declaration.
func checkInput(decl *onnx.ValueInfo, t *Tensor) error {
	if !supported(t.Type) || t.Type != widen(t.Type) {
		return fmt.Errorf("exec: input %q is %s, which is not supported", decl.Name, typeName(t.Type))
	}
	if want := widen(decl.Type); want != onnx.Undefined && t.Type != want {
		return fmt.Errorf("exec: input %q is %s; the model reads %s", decl.Name, typeName(t.Type), typeName(want))
	}
	n, ok := elements(t.Shape)
	if !ok || n != t.dataLen() {
		return fmt.Errorf("exec: input %q has %d elements for shape %v", decl.Name, t.dataLen(), t.Shape)
	}
	if lo, hi := bounds(t.Type); wideInt(t.Type) {
		for i, v := range t.I64 {
			if v < lo || v > hi {
				return fmt.Errorf("exec: input %q is %s, but element %d is %d", decl.Name, typeName(t.Type), i, v)
			}
		}
	}
	if !decl.HasShape {
		return nil
	}
	if len(t.Shape) != len(decl.Dims) {
		return fmt.Errorf("exec: input %q has shape %v; the model reads %d dimensions", decl.Name, t.Shape, len(decl.Dims))
	}
	for i, d := range decl.Dims {
		if d.Known && d.Size >= 0 && int64(t.Shape[i]) != d.Size {
			return fmt.Errorf("exec: input %q has shape %v; dimension %d must be %d", decl.Name, t.Shape, i, d.Size)
		}
	}
	return nil
}

// ownOutputs is the most outputs that an operator makes unasked: there is room
// for them also where the node names fewer.
const ownOutputs = 4

// run executes the step on vals. uses counts each value's remaining readers;
// nil means that nothing may be overwritten.
func (st *step) run(ctx context.Context, vals []*Tensor, uses []int, mem *arena) (out []*Tensor, err error) {
	c := &call{ctx: ctx, node: st.node, opset: st.opset, mem: mem, prep: st.prep,
		in: make([]*Tensor, len(st.in)), dying: make([]bool, len(st.in)), out: make([]*Tensor, max(ownOutputs, len(st.out)))}
	for i, id := range st.in {
		if id >= 0 {
			c.in[i] = vals[id]
			c.dying[i] = uses != nil && uses[id] == 1
		}
	}
	defer func() {
		if r := recover(); r != nil {
			if e, ok := r.(runtime.Error); ok {
				r = "fault: " + e.Error()
			}
			err = nodeError(st.node, fmt.Errorf("%v (inputs %s)", r, describe(c.in)))
		}
	}()
	if err := st.op.run(c); err != nil {
		return nil, nodeError(st.node, err)
	}
	for i := range st.out {
		if c.wants(i) && c.out[i] == nil {
			return nil, nodeError(st.node, fmt.Errorf("output %d (%q) is not implemented: %w", i, st.node.Outputs[i], ErrType))
		}
	}
	for _, t := range c.out[len(st.out):] {
		mem.release(t)
	}
	return c.out[:len(st.out)], nil
}

func describe(in []*Tensor) string {
	var b strings.Builder
	for i, t := range in {
		if i > 0 {
			b.WriteString(", ")
		}
		if t == nil {
			b.WriteString("none")
			continue
		}
		fmt.Fprintf(&b, "%s%v", typeName(t.Type), t.Shape)
	}
	return b.String()
}

// nodeError says which node failed.
func nodeError(n *onnx.Node, err error) error {
	return fmt.Errorf("exec: node %s (%s): %w", n.Label(), n.Op, err)
}
