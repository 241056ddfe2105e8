package exec

import (
	"context"
	"fmt"
	"slices"

	"github.com/litekit/lite/onnx"
)

// rounds runs the body of a Loop or Scan again and again. From the second round
// of one shape on nothing comes from the heap: the body's session has its slab,
// and what goes from round to round lies in two sets of buffers, one of which is
// read while the other is written.
type rounds struct {
	c    *call
	b    *body
	args []*Tensor          // what the body reads: the values from at on, the rest set by the caller
	feed map[string]*Tensor // the same by name, and what the body reads around it
	at   int

	state []*Tensor // the values that go from round to round
	sets  [2][]*Tensor
	n     int // rounds that are done

	out  []*Tensor // what the body makes: before the values, first of all the condition where there is one
	cond int       // how many conditions: 0 or 1
	on   bool      // the condition
	rows *stacks
	take func([]*Tensor) error // collect
}

// newRounds is for a body that reads state from its input at on and makes, after
// cond conditions, as many values and then rows.
func (c *call) newRounds(b *body, state []*Tensor, at, cond int) *rounds {
	k := len(state)
	r := &rounds{c: c, b: b, at: at, cond: cond, on: true,
		args: make([]*Tensor, len(b.formal)), out: make([]*Tensor, len(b.outputs)),
		feed: c.around(b), state: slices.Clone(state), rows: c.newStacks(b.outputs[cond+k:])}
	r.sets[0], r.sets[1] = make([]*Tensor, k), make([]*Tensor, k)
	r.take = r.collect
	return r
}

// round runs the body once.
func (r *rounds) round() error {
	copy(r.args[r.at:], r.state)
	for i, t := range r.args {
		if t == nil {
			return fmt.Errorf("input %q of the body has no value", r.b.formal[i].Name)
		}
		r.feed[r.b.formal[i].Name] = t
	}
	if err := r.b.s.visit(r.c.context(), r.feed, r.b.outputs, r.out, r.take); err != nil {
		return err
	}
	r.n++
	return nil
}

// collect copies what a round made.
func (r *rounds) collect(out []*Tensor) (err error) {
	if r.cond > 0 {
		if r.on, err = flag(out[0], "the body's condition"); err != nil {
			return err
		}
	}
	set := r.sets[r.n%2]
	for i, t := range out[r.cond:][:len(r.state)] {
		if set[i], err = r.c.keep(set[i], t); err != nil {
			return err
		}
	}
	copy(r.state, set)
	return r.rows.add(out[r.cond+len(r.state):])
}

// keep copies t to old, or to another buffer where that is not like it.
func (c *call) keep(old, t *Tensor) (*Tensor, error) {
	if old == nil || old.Type != t.Type || !sameShape(old.Shape, t.Shape) {
		c.mem.release(old)
		var err error
		if old, err = c.new(t.Type, t.Shape...); err != nil {
			return nil, err
		}
	}
	old.blit(0, t, 0, t.Len(), 1)
	return old, nil
}

// finish sets the outputs of the node: the last values, then the stacks.
func (r *rounds) finish(axes, directions []int64) error {
	c, k := r.c, len(r.state)
	c.out = make([]*Tensor, max(1, k+len(r.rows.list)))
	for i, t := range r.state {
		if r.n > 0 {
			c.out[i] = t
			c.mem.release(r.sets[r.n%2][i]) // those of the round before
		} else if t != nil {
			c.view(i, t, t.Shape)
		}
	}
	return r.rows.stack(k, axes, directions)
}

// visit runs the session and calls use with the values named, which are its
// outputs and good until use returns. out is room for them.
func (s *Session) visit(ctx context.Context, in map[string]*Tensor, names []*onnx.ValueInfo, out []*Tensor, use func([]*Tensor) error) error {
	st := s.state()
	err := onnx.Guard(func() error {
		p, err := s.compute(ctx, st, in, nil)
		if err != nil {
			return err
		}
		for i, o := range names {
			out[i] = st.vals[s.values[o.Name]]
		}
		if err := use(out); err != nil {
			return err
		}
		s.settleLayout(p, st)
		return nil
	})
	clear(out)
	s.giveBack(st)
	return err
}

// stacks collects rows, the outputs of a body round by round.
type stacks struct {
	c     *call
	list  []rowStack
	bytes int
}

// rowStack are the rows of one output, one after the other.
type rowStack struct {
	decl *onnx.ValueInfo
	row  *Tensor // the type and shape of each, nil before the first
	data *Tensor // room for some rows, nil before the first
	n    int
}

func (c *call) newStacks(decl []*onnx.ValueInfo) *stacks {
	s := &stacks{c: c, list: make([]rowStack, len(decl))}
	for i, d := range decl {
		s.list[i].decl = d
	}
	return s
}

func (s *stacks) add(row []*Tensor) error {
	for i, t := range row {
		l := &s.list[i]
		if l.row == nil {
			l.row = &Tensor{Type: t.Type, Shape: slices.Clone(t.Shape)}
		}
		if l.row.Type != t.Type || !sameShape(l.row.Shape, t.Shape) {
			return fmt.Errorf("output %q is %s %v, in round 0 it was %s %v", l.decl.Name, typeName(t.Type), t.Shape, typeName(l.row.Type), l.row.Shape)
		}
		n, size, limit := t.Len(), storage(t.Type).Size(), s.c.mem.limit
		if s.bytes += n*size + 64; s.bytes > limit {
			return fmt.Errorf("the values of all rounds are over the limit of %d MiB; see Options.MaxBytes", limit>>20)
		}
		if l.data == nil || (l.n+1)*n > l.data.Len() {
			more, err := s.c.new(t.Type, min(max(8, 2*l.n)*n, limit/size))
			if err != nil {
				return err
			}
			if l.data != nil {
				more.blit(0, l.data, 0, l.n*n, 1)
				s.c.mem.release(l.data)
			}
			l.data = more
		}
		l.data.blit(l.n*n, t, 0, n, 1)
		l.n++
	}
	return nil
}

// stack makes the outputs from first on: the rows of each along a new axis, which
// axes gives (0 where it says nothing), the last row first where directions says so.
func (s *stacks) stack(first int, axes, directions []int64) error {
	for i := range s.list {
		a, back := int64(0), false
		if i < len(axes) {
			a = axes[i]
		}
		if i < len(directions) {
			back = directions[i] != 0
		}
		if err := s.list[i].output(s.c, first+i, a, back); err != nil {
			return err
		}
	}
	return nil
}

func (l *rowStack) output(c *call, o int, a int64, back bool) error {
	t, shape := widen(l.decl.Type), make([]int, len(l.decl.Dims))
	for d, dim := range l.decl.Dims {
		if dim.Known {
			shape[d] = int(dim.Size)
		}
	}
	if l.row != nil {
		t, shape = l.row.Type, l.row.Shape
	}
	d, err := axis(a, len(shape)+1)
	if err != nil {
		return err
	}
	out, err := c.output(o, t, slices.Insert(slices.Clone(shape), d, l.n)...)
	if err != nil || l.n == 0 {
		return err
	}
	inner, size := product(shape[d:]), product(shape)
	for k := range l.n {
		from := k
		if back {
			from = l.n - 1 - k
		}
		for r := range product(shape[:d]) {
			out.blit((r*l.n+k)*inner, l.data, from*size+r*inner, inner, 1)
		}
	}
	c.mem.release(l.data)
	return nil
}

// slot is scratch for a slice of x along d.
func (c *call) slot(x *Tensor, d int) (*Tensor, error) {
	shape := c.newShape(len(x.Shape) - 1)
	copy(shape, x.Shape[:d])
	copy(shape[d:], x.Shape[d+1:])
	return c.temp(x.Type, shape...)
}

// slice copies position s of axis d of x to t.
func (t *Tensor) slice(x *Tensor, d, s int) {
	inner := product(x.Shape[d+1:])
	for o := range product(x.Shape[:d]) {
		t.blit(o*inner, x, (o*x.Shape[d]+s)*inner, inner, 1)
	}
}
