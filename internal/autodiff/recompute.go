package autodiff

import (
	"cmp"
	"slices"
)

// segment is a stretch of the forward pass whose values are not kept for the
// backward pass but computed again when it gets there (Chen et al., arXiv
// 1604.06174, section 3; here a segment is a layer): what only the segment reads
// takes other memory the second time. Dropout and lookups follow from the run
// alone, so the second time gives the same bits.
type segment struct {
	ops   []*forward // in the order of execution
	at    int        // the step before which they run again
	twins map[*buffer]*twin
}

// twin is a buffer that has two places in the arena: one until its segment runs
// again, and one from then on.
type twin struct {
	from int     // the step from which it is at the second place
	late *buffer // of which only the size, the steps and the offset are used
	off  [2]int
}

// findSegments cuts the forward pass at what the queries of each layer are made
// from. The last layer is not computed again: the backward pass begins there.
func (q *Pass) findSegments() {
	q.segments, q.twins = map[int][]*segment{}, map[*buffer]*twin{}
	ops := slices.SortedFunc(slices.Values(q.ops), func(a, b *forward) int { return cmp.Compare(a.step, b.step) })
	made := map[*value]*forward{}
	for _, o := range ops {
		made[o.out] = o
	}
	var cuts []int
	for _, o := range ops {
		if _, ok := o.comp.(*attention); !ok {
			continue
		}
		if l := made[o.in[0]]; l != nil && made[l.in[0]] != nil {
			cuts = append(cuts, made[l.in[0]].step)
		}
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	lent := q.lentBuffers()
	for i := 1; i < len(cuts); i++ {
		s := &segment{}
		for _, o := range ops {
			if o.step > cuts[i-1] && o.step <= cuts[i] && repeatable(o, lent) {
				s.ops = append(s.ops, o)
			}
		}
		if q.schedule(s) {
			q.segments[s.at] = append(q.segments[s.at], s)
			for b, t := range s.twins {
				q.twins[b] = t
			}
		}
	}
}

// lentBuffers are those that serve as adjoints too.
func (q *Pass) lentBuffers() map[*buffer]bool {
	lent := map[*buffer]bool{}
	for _, g := range q.adjoints {
		if g.buf != nil {
			lent[g.buf] = true
		}
	}
	return lent
}

// repeatable reports whether an operator can run twice: losses, and what reads
// values of Gorgonia's own operators, cannot.
func repeatable(o *forward, lent map[*buffer]bool) bool {
	return !o.out.isScalar() && !lent[o.out.memory()] &&
		!slices.ContainsFunc(o.saved, func(b *buffer) bool { return lent[b] }) &&
		!slices.ContainsFunc(o.in, func(v *value) bool { return v.foreign })
}

// schedule finds when a segment must run again and which buffers it alone uses;
// false where it need not or cannot.
func (q *Pass) schedule(s *segment) bool {
	inside := map[*forward]bool{}
	mine := map[*buffer]bool{}
	for _, o := range s.ops {
		inside[o] = true
		if o.out.buf != nil {
			mine[o.out.buf] = true
		}
		for _, b := range slices.Concat(o.saved, o.temp) {
			mine[b] = true
		}
	}
	s.at = -1
	for _, b := range q.backs {
		uses := slices.ContainsFunc(b.o.keep, func(v *value) bool { return mine[v.memory()] }) ||
			slices.ContainsFunc(b.o.saved, func(x *buffer) bool { return mine[x] })
		if uses && (s.at < 0 || b.step < s.at) {
			s.at = b.step
		}
	}
	if s.at < 0 {
		return false
	}
	for _, o := range q.ops {
		reads := slices.ContainsFunc(o.in, func(v *value) bool { return mine[v.memory()] })
		if (reads || inside[o]) && o.step >= s.at {
			return false // a branch that is computed late
		}
		if inside[o] {
			continue
		}
		for _, v := range o.in {
			delete(mine, v.memory())
		}
		for _, b := range o.saved {
			delete(mine, b)
		}
	}
	for _, o := range s.ops {
		if o.out.shown {
			delete(mine, o.out.memory())
		}
	}
	s.twins = map[*buffer]*twin{}
	for b := range mine {
		s.twins[b] = &twin{from: s.at, late: q.newBuffer(b.n)}
	}
	return len(mine) > 0
}

// useAgain marks what the segments need when they run again.
func (q *Pass) useAgain(use func(b *buffer, step int)) {
	for _, o := range q.ops {
		for at, list := range q.segments {
			for _, s := range list {
				if !slices.Contains(s.ops, o) {
					continue
				}
				for _, v := range o.in {
					use(v.memory(), at)
				}
				use(o.out.memory(), at)
				for _, b := range slices.Concat(o.saved, o.temp) {
					use(b, at)
				}
			}
		}
	}
}

// settle notes where the twins came to lie.
func (q *Pass) settle() {
	for b, t := range q.twins {
		t.off = [2]int{b.off, t.late.off}
	}
}

// rewind puts all buffers where they are at the start of a run.
func (q *Pass) rewind() {
	for b, t := range q.twins {
		b.off = t.off[0]
	}
}

// runAgain computes the segments that are due at a step.
func (q *Pass) runAgain(step int) error {
	for _, s := range q.segments[step] {
		for b, t := range s.twins {
			b.off = t.off[1]
		}
		for _, o := range s.ops {
			if err := o.comp.forward(o); err != nil {
				return err
			}
		}
	}
	return nil
}
