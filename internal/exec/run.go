package exec

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/litekit/lite/onnx"
)

// state is what one run needs besides the session: its memory and the values
// as far as they are computed.
type state struct {
	memory
	vals []*Tensor // by value number; constants from the start
	uses []int     // by value number: the readers that are left
	key  []byte    // the signature of the inputs' shapes
	last int64     // the run, by the session's count, that used it last
}

// Run computes the named values (the graph's outputs where none is named) from
// the inputs, of which those that the values do not depend on may be left out.
// Only the nodes that are needed run. Any batch and length will do. The
// tensors given are only read; those returned belong to the caller.
//
// Any value of the graph can be named. Those that fusion replaced are computed
// by a variant of the session that keeps them: a second compilation, made when
// the set of such names is first asked for and kept for a few sets, and a second
// run beside that of the other outputs, whose bits therefore stay as they are.
// It shares the weights as far as it multiplies by them in the same form.
//
// An error of the graph or its data names the node. When ctx is done, Run
// returns its cause, soon also from within a long node; the session is as good
// as before. Where the file of a memory-mapped weight was cut short meanwhile,
// the error is an [onnx.CutShortError].
func (s *Session) Run(ctx context.Context, in map[string]*Tensor, outputs ...string) (res map[string]*Tensor, err error) {
	for _, name := range outputs {
		if !s.holds(name) {
			return s.runWithVariant(ctx, in, outputs)
		}
	}
	st := s.state()
	err = onnx.Guard(func() (err error) { res, err = s.runIn(ctx, st, in, outputs); return err })
	s.giveBack(st)
	return res, err
}

func (s *Session) runIn(ctx context.Context, st *state, in map[string]*Tensor, outputs []string) (map[string]*Tensor, error) {
	p, err := s.compute(ctx, st, in, outputs)
	if err != nil {
		return nil, err
	}
	res := make(map[string]*Tensor, len(p.outputs))
	for _, id := range p.outputs {
		if st.recording != nil {
			st.recording.output(st.vals[id])
		}
		res[s.names[id]] = st.handOver(st.vals[id])
	}
	s.settleLayout(p, st)
	return res, nil
}

// compute runs the steps that the outputs need; their values are in st then.
func (s *Session) compute(ctx context.Context, st *state, in map[string]*Tensor, outputs []string) (*plan, error) {
	p, err := s.plan(outputs, st.key[:0])
	if err != nil {
		return nil, err
	}
	st.vals, st.uses, st.key = append(st.vals[:0], s.consts...), append(st.uses[:0], p.uses...), st.key[:0]
	if err := s.bind(p, in, st); err != nil {
		return nil, err
	}
	known, old := s.layout(p, st.key)
	if known == nil {
		st.recording = &recording{before: old}
	}
	st.start(known, ctx.Done())
	return p, s.runSteps(ctx, p, st)
}

// settleLayout ends a run that went well: what is to be known of its layout is.
// The values are gone then.
func (s *Session) settleLayout(p *plan, st *state) {
	if st.recording != nil || st.outgrown {
		s.remember(p, st)
	}
}

// layout is where the values of a shape lie, nil where it is new or has been
// outgrown, which is old then.
func (s *Session) layout(p *plan, key []byte) (known, old *layout) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := p.layouts.get(key)
	if l != nil && l.stale {
		return nil, l
	}
	return l, nil
}

// remember makes a layout of the run that was recorded and the slab that it
// needs, or notes that the layout is to be made again.
func (s *Session) remember(p *plan, st *state) {
	if st.recording == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		st.plan.stale = true
		return
	}
	l := st.recording.layout(len(p.steps))
	if l == nil {
		return
	}
	s.mu.Lock()
	p.layouts.put(st.key, l)
	s.mu.Unlock()
	st.reserve(max(st.need, l.size))
}

// runSteps runs the steps of a plan.
func (s *Session) runSteps(ctx context.Context, p *plan, st *state) error {
	for i, step := range p.steps {
		if ctx.Err() != nil {
			return stopped(ctx, "before", step)
		}
		st.begin(i)
		out, err := step.run(ctx, st.vals, st.uses, &st.memory)
		if err != nil {
			return err
		}
		for i, id := range step.out {
			if id >= 0 && st.uses[id] > 0 && s.consts[id] == nil {
				st.vals[id] = out[i]
				if st.recording != nil {
					st.recording.value(out[i])
				}
			} else if i < len(out) {
				st.release(out[i])
			}
		}
		for _, id := range step.reads {
			if st.uses[id]--; st.uses[id] == 0 && s.consts[id] == nil {
				st.release(st.vals[id])
				st.vals[id] = nil
			}
		}
	}
	if ctx.Err() != nil && len(p.steps) > 0 {
		return stopped(ctx, "in or after", p.steps[len(p.steps)-1])
	}
	return nil
}

func stopped(ctx context.Context, where string, st *step) error {
	return fmt.Errorf("exec: stopped %s node %s: %w", where, st.node.Label(), context.Cause(ctx))
}

// handOver makes a value the caller's: one that has its memory to itself as it
// is, another as a copy.
func (m *memory) handOver(t *Tensor) *Tensor {
	if t.mem == nil || t.mem.region != ownHeap || t.mem.refs > 1 {
		return t.Clone()
	}
	out := *t
	out.mem, out.Shape = nil, slices.Clone(t.Shape)
	return &out
}

// ownOutputs is the most outputs that an operator makes unasked: there is room
// for them also where the node names fewer.
const ownOutputs = 4

// run executes the step on vals. uses counts each value's remaining readers;
// nil means that nothing may be overwritten. What it returns is good until the
// next step.
func (st *step) run(ctx context.Context, vals []*Tensor, uses []int, mem *memory) (out []*Tensor, err error) {
	c := mem.call(len(st.in), max(ownOutputs, len(st.out)))
	c.ctx, c.node, c.opset, c.prep = ctx, st.node, st.opset, st.prep
	for i, id := range st.in {
		if id >= 0 {
			c.in[i] = vals[id]
			c.dying[i] = uses != nil && uses[id] == 1
		}
	}
	defer func() {
		if r := recover(); r != nil {
			if err = onnx.Fault(r); err != nil {
				err = nodeError(st.node, err)
				return
			}
			err = fault(st.node, r, c.in)
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

func fault(n *onnx.Node, r any, in []*Tensor) error {
	if e, ok := r.(runtime.Error); ok {
		r = "fault: " + e.Error()
	}
	return nodeError(n, fmt.Errorf("%v (inputs %s)", r, describe(in)))
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
