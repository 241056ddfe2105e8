package autodiff

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

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
	// The inputs besides the logits, each nil where there is none.
	labels, teacher, weight, heat *value
	table                         *Param
	excused                       *float64
	// terms are all losses of the group, in the last of them; nil in the others.
	terms []*logitLoss
	list  []*kernel.LogitLoss // scratch
}

// addLogitLoss adds the loss of x with the other inputs that c names.
func (q *Pass) addLogitLoss(name string, c *logitLoss, x *value) (*gorgonia.Node, error) {
	var others []*value
	var want []int
	var roles []**value
	add := func(v **value, n int) {
		if *v != nil {
			others, want, roles = append(others, *v), append(want, n), append(roles, v)
		}
	}
	add(&c.labels, c.rows)
	add(&c.teacher, x.size())
	add(&c.weight, c.rows)
	add(&c.heat, 1)
	o, node, err := q.addLoss(name, c, x, others, want)
	if err != nil {
		return nil, err
	}
	for i, v := range roles {
		*v = o.in[i+1] // as the Op reads it
	}
	o.keep = slices.Clone(o.in)
	return node, nil
}

// newLogitLoss starts a loss of logits [.., C].
func newLogitLoss(name string, logits *gorgonia.Node) (*Pass, *value, *logitLoss, error) {
	q, v, err := prepare(name, logits)
	if err != nil {
		return nil, nil, nil, err
	}
	x := v[0]
	if x.width() < 1 {
		return nil, nil, nil, fmt.Errorf("autodiff: %s of logits of shape %v; want [.., classes]", name, x.shape)
	}
	return q, x, &logitLoss{loss: loss{rows: x.rows(), n: x.width()}}, nil
}

// classes is the value of labels.
func (q *Pass) classes(name string, labels *gorgonia.Node) (*value, error) {
	if labels == nil {
		return nil, fmt.Errorf("autodiff: %s without labels", name)
	}
	l := q.values[labels]
	if l == nil || l.dtype != tensor.Int32 {
		return nil, fmt.Errorf("autodiff: %s: labels are %v; make them with Pass.Ints", name, labels)
	}
	return l, nil
}

// readOptional is the value of a node that may be nil.
func (q *Pass) readOptional(n *gorgonia.Node) (*value, error) {
	if n == nil {
		return nil, nil
	}
	return q.read(n)
}

// Hard says more of a cross-entropy with labels.
type Hard struct {
	// Smooth is the share of the target that is spread over all classes, 0 ≤ Smooth
	// < 1 (Szegedy et al. 2016, section 7).
	Smooth float32
	// Weight is a number ≥ 0 for each row, nil for 1. The mean is then a weighted one.
	Weight *gorgonia.Node
	// Excuse, if not nil, leaves out the rows whose likeliest class is not the
	// label but is excused by it; see [kernel.LogitLoss].
	Excuse func(label, class int32) bool
	// Excused, if not nil, is set at each run to the share of the rows with a
	// label that were excused.
	Excused *float64
}

// CrossEntropy adds the mean over the rows with label ≥ 0 of the cross-entropy
// between softmax(logits) and the label, smoothed by smooth (Szegedy et al.
// 2016, section 7). Logits are [.., C]; labels are int32, one per row. If all
// are ignored the loss and its gradient are 0.
func CrossEntropy(logits, labels *gorgonia.Node, smooth float32) (*gorgonia.Node, error) {
	return HardLabels(logits, labels, Hard{Smooth: smooth})
}

// HardLabels is [CrossEntropy] with weights and excuses. No gradient flows to
// the weights.
func HardLabels(logits, labels *gorgonia.Node, h Hard) (*gorgonia.Node, error) {
	const name = "CrossEntropy"
	if !(h.Smooth >= 0 && h.Smooth < 1) {
		return nil, fmt.Errorf("autodiff: label smoothing %v; want 0 ≤ smooth < 1", h.Smooth)
	}
	q, x, c, err := newLogitLoss(name, logits)
	if err != nil {
		return nil, err
	}
	if c.labels, err = q.classes(name, labels); err != nil {
		return nil, err
	}
	if c.weight, err = q.readOptional(h.Weight); err != nil {
		return nil, err
	}
	c.kernel.Smooth, c.kernel.Excuse, c.excused = h.Smooth, h.Excuse, h.Excused
	return q.addLogitLoss(name, c, x)
}

// Distances adds the mean over the rows with label ≥ 0, weighted where weight is
// given, of Σ p[v]·(1 − cos(E[v], E[label])) over the top classes v with the
// largest logits, p = softmax(logits) and E the rows of table [C,·], such as the
// word embeddings. No gradient flows to the table.
func Distances(logits, labels *gorgonia.Node, table *Param, top int, weight *gorgonia.Node) (*gorgonia.Node, error) {
	const name = "Distances"
	q, x, c, err := newLogitLoss(name, logits)
	if err != nil {
		return nil, err
	}
	switch {
	case top < 1:
		return nil, fmt.Errorf("autodiff: Distances of the %d likeliest classes; want at least 1", top)
	case table == nil || len(table.Dims) != 2 || int(table.Dims[0]) < c.n:
		return nil, fmt.Errorf("autodiff: Distances needs a table with a row for each of the %d classes", c.n)
	}
	if c.labels, err = q.classes(name, labels); err != nil {
		return nil, err
	}
	if c.weight, err = q.readOptional(weight); err != nil {
		return nil, err
	}
	c.table, c.kernel.Width, c.kernel.Top = table, int(table.Dims[1]), top
	return q.addLogitLoss(name, c, x)
}

// Soft says how a student's logits are compared with a teacher's.
type Soft struct {
	Form kernel.Form
	// Temperature T; not read by kernel.FormMSE. Heat, a fed node of one number,
	// takes its place where it is not nil.
	Temperature float32
	Heat        *gorgonia.Node
	// Alpha and Beta weigh the parts of kernel.FormDKD, whose target is the class
	// in Labels (int32, one per row; −1 or no Labels: the teacher's likeliest).
	Alpha, Beta float32
	Labels      *gorgonia.Node
	// Weight is a number ≥ 0 for each row, nil for 1; the mean is then a weighted one.
	Weight *gorgonia.Node
}

// KL adds T²·mean over rows of KL(softmax(teacher/T) ‖ softmax(student/T))
// (Hinton et al. 2015, section 2), or with weight (one number per row, not
// negative) the weighted mean. student and teacher are [.., C]. No gradient
// flows to teacher or weight. If all weights are 0 the loss is 0.
func KL(student, teacher *gorgonia.Node, temperature float32, weight *gorgonia.Node) (*gorgonia.Node, error) {
	return SoftLabels(student, teacher, Soft{Temperature: temperature, Weight: weight})
}

// SoftLabels is [KL] in other forms: the mean over rows of what s.Form says
// (see [kernel.Form]), times T² for all forms but the MSE.
func SoftLabels(student, teacher *gorgonia.Node, s Soft) (*gorgonia.Node, error) {
	name, ok := map[kernel.Form]string{kernel.FormKL: "KL", kernel.FormMSE: "LogitMSE", kernel.FormJS: "JS", kernel.FormDKD: "DKD"}[s.Form]
	if !ok {
		return nil, fmt.Errorf("autodiff: form %d of soft labels is not known", s.Form)
	}
	if s.Form == kernel.FormMSE {
		s.Temperature, s.Heat = 1, nil
	}
	if t := s.Temperature; s.Heat == nil && (!(t > 0) || math.IsInf(float64(t), 0)) {
		return nil, fmt.Errorf("autodiff: temperature %v; want a positive number", t)
	}
	if teacher == nil {
		return nil, fmt.Errorf("autodiff: %s without a teacher", name)
	}
	q, x, c, err := newLogitLoss(name, student)
	if err != nil {
		return nil, err
	}
	if c.teacher, err = q.read(teacher); err != nil {
		return nil, err
	}
	if c.weight, err = q.readOptional(s.Weight); err != nil {
		return nil, err
	}
	if c.heat, err = q.readOptional(s.Heat); err != nil {
		return nil, err
	}
	k := &c.kernel
	k.Form, k.T, k.Alpha, k.Beta = s.Form, s.Temperature, s.Alpha, s.Beta
	if s.Form == kernel.FormDKD && s.Labels != nil {
		if c.labels, err = q.classes(name, s.Labels); err != nil {
			return nil, err
		}
	} else if s.Form == kernel.FormDKD {
		k.Labels = slices.Repeat([]int32{-1}, c.rows)
	}
	return q.addLogitLoss(name, c, x)
}

func (c *logitLoss) forward(o *forward) error {
	k, factor := &c.kernel, 1.0
	var err error
	if k.Weight, _, err = c.weights(c.weight); err != nil {
		return err
	}
	if c.labels != nil {
		k.Labels = c.labels.base.i32
		for r, l := range k.Labels {
			if int(l) >= c.n {
				return &RowError{r, fmt.Sprintf("label %d is not below the %d classes", l, c.n)}
			}
		}
	}
	if c.heat != nil {
		if k.T = c.heat.f32()[0]; !(k.T > 0) || math.IsInf(float64(k.T), 0) {
			return fmt.Errorf("temperature %v; want a positive number", k.T)
		}
	}
	if c.table != nil {
		k.Table = c.table.Value
	}
	if c.teacher != nil {
		k.Teacher = c.teacher.f32()
		if k.Form != kernel.FormMSE {
			factor = float64(k.T) * float64(k.T)
		}
	}
	sum, total := k.Value(o.in[0].f32(), c.rows, c.n)
	if c.excused != nil {
		*c.excused = float64(k.Excused) / float64(max(1, k.Labelled))
	}
	c.finish(o, sum, factor, total)
	if o.in[0].grad == nil {
		c.drop()
	}
	return nil
}

// drop lets go of the slices of this run.
func (c *logitLoss) drop() {
	k := &c.kernel
	k.Teacher, k.Weight, k.Table = nil, nil, nil
	if c.labels != nil {
		k.Labels = nil
	}
}

func (c *logitLoss) backward(b *backward) error {
	c.kernel.Scale = float32(c.scale * float64(b.seed))
	if c.terms == nil {
		return nil
	}
	kernel.LossGrad(b.into(0), b.o.in[0].f32(), c.rows, c.n, !b.to[0].first, c.kernels()...)
	for _, l := range c.terms {
		l.drop()
	}
	return nil
}

// kernels are the kernels of the group.
func (c *logitLoss) kernels() []*kernel.LogitLoss {
	c.list = c.list[:0]
	for _, l := range c.terms {
		c.list = append(c.list, &l.kernel)
	}
	return c.list
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
		writer.terms = append(writer.terms, c)
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
