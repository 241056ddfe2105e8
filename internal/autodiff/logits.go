package autodiff

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/internal/kernel"
)

// logitLoss is a cross-entropy or a divergence from a teacher. Vocabularies are
// large, so no more is kept of the probabilities than two numbers for each row,
// and all such losses of the same logits make their gradient in one go: the
// backward Ops of all but the last only note their factor, and the last writes
// the sum, over the logits themselves if nothing reads them any more.
type logitLoss struct {
	loss
	kernel kernel.LogitLoss
	// terms are all losses of the group, in the last of them; nil in the others.
	terms []*kernel.LogitLoss
}

func (q *Pass) addLogitLoss(name string, c *logitLoss, x *value, others []*value, want []int) (*gorgonia.Node, error) {
	o, node, err := q.addLoss(name, c, x, others, want)
	if err == nil {
		o.keep = slices.Clone(o.in)
	}
	return node, err
}

func (c *logitLoss) forward(o *forward) error {
	k, factor := &c.kernel, 1.0
	total := 0.0
	if k.T > 0 {
		w, sum, err := c.weights(o)
		if err != nil {
			return err
		}
		k.Teacher, k.Weight = o.in[1].f32(), w
		factor, total = float64(k.T)*float64(k.T), sum
	} else {
		k.Labels = o.in[1].base.i32
		for r, l := range k.Labels {
			if int(l) >= c.n {
				return fmt.Errorf("label %d of row %d is not below the %d classes", l, r, c.n)
			}
		}
	}
	sum, count := k.Value(o.in[0].f32(), c.rows, c.n)
	if k.T == 0 {
		total = float64(count)
	}
	c.finish(o, sum, factor, total)
	if o.in[0].grad == nil {
		c.drop()
	}
	return nil
}

// drop lets go of the slices of this run.
func (c *logitLoss) drop() { c.kernel.Labels, c.kernel.Teacher, c.kernel.Weight = nil, nil, nil }

func (c *logitLoss) backward(b *backward) error {
	c.kernel.Scale = float32(c.scale * float64(b.seed))
	if c.terms == nil {
		return nil
	}
	kernel.LossGrad(b.into(0), b.o.in[0].f32(), c.rows, c.n, !b.to[0].first, c.terms...)
	for _, k := range c.terms {
		k.Labels, k.Teacher, k.Weight = nil, nil, nil
	}
	return nil
}

// groupLosses finds the losses of the same logits and makes the last one to run
// the one that writes.
func (q *Pass) groupLosses() {
	last := map[*adjoint]*backward{}
	for _, b := range q.backs {
		if c, ok := b.comp().(*logitLoss); ok {
			c.terms = nil
			if l := last[b.to[0].to]; l == nil || l.step < b.step {
				last[b.to[0].to] = b
			}
		}
	}
	for _, b := range q.backs {
		c, ok := b.comp().(*logitLoss)
		if !ok {
			continue
		}
		l := last[b.to[0].to]
		writer := l.comp().(*logitLoss)
		writer.terms = append(writer.terms, &c.kernel)
		if l != b {
			l.o.keep = append(l.o.keep, b.o.keep...)
		}
	}
}

// silent reports whether a backward Op leaves its gradient to another.
func silent(b *backward) bool {
	c, ok := b.comp().(*logitLoss)
	return ok && c.terms == nil
}

// over offers the logits' own memory for their gradient, if nothing reads them
// after the backward Op.
func (c *logitLoss) over(b *backward) *buffer {
	x := b.o.in[0]
	if x.base != nil || x.buf == nil || x.shown {
		return nil
	}
	reads := func(v *value) bool { return v.memory() == x.buf }
	for _, o := range b.pass.ops {
		if o.step > b.step && slices.ContainsFunc(o.in, reads) || o.out.shown && reads(o.out) {
			return nil
		}
	}
	for _, l := range b.pass.backs {
		if l.step > b.step && slices.ContainsFunc(l.o.keep, reads) {
			return nil
		}
	}
	return x.buf
}
